/* SPDX-License-Identifier: Apache-2.0 */
/* What Tally's contenders have in common: what a record carries. */
#ifndef BENCH_CONTENDERS_TALLY_H
#define BENCH_CONTENDERS_TALLY_H

#include <sys/cdefs.h>
#include <tally/abi.h>

#include "bench/contender.h"
#include "ring/region.h"

#define CONTENDER_PRODUCERS_LOG2 4

/* A record's time carries the check word: no clock is read on either side. */
static inline struct payload tally_payload(uint64_t producer, uint64_t sequence)
{
	struct payload payload;

	payload_fill(&payload, producer, sequence);
	return payload;
}

static inline void take_record(void *arg, const struct tally_record *record)
{
	checker_take(arg, (uint32_t)record->where, record->buffer_id, record->where >> 48,
		     record->size, record->time);
}

#endif
