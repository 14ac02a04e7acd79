/* SPDX-License-Identifier: Apache-2.0 */
/* The 64 bytes that go through a pipe, a message queue or a file: as much as a record of Tally's
 * holds, with the cheapest timestamp there is. */
#ifndef BENCH_REPORTERS_RECORD_H
#define BENCH_REPORTERS_RECORD_H

#include "bench/reporter.h"
#include "ring/clock.h"

struct record {
	uint64_t time, freed, device, pool, id, size, spare[2];
};

static inline struct record record_of(bool freed, uint64_t id, uint64_t size)
{
	struct record record = {
		.time = clock_ticks(CLOCK_PROCESSOR),
		.freed = freed,
		.device = EVENT_DEVICE,
		.pool = EVENT_POOL,
		.id = id,
		.size = size,
	};

	return record;
}

static inline void records_take(struct taken *taken, const struct record *records, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		taken_add(taken, records[i].freed, records[i].id, records[i].size);
}

#endif
