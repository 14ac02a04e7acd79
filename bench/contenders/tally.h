/* SPDX-License-Identifier: Apache-2.0 */
/* What Tally's contenders have in common: what a record carries, and how a producer paces itself
 * where the ring would rather lose records than wait. */
#ifndef BENCH_CONTENDERS_TALLY_H
#define BENCH_CONTENDERS_TALLY_H

#include <sys/cdefs.h>
#include <tally/abi.h>

#include "bench/contender.h"
#include "ring/region.h"

/* A record's time carries the check word: no clock is read on either side. */
static inline struct payload tally_payload(uint64_t producer, uint64_t sequence)
{
	struct payload payload;

	payload_fill(&payload, producer, sequence);
	return payload;
}

/* ---- Pace ------------------------------------------------------------------------------------ */

#define CONTENDER_PRODUCERS_LOG2 4

#define PACE_LOOK 32 /* records between two looks */

struct pace {
	uint64_t taken __attribute__((aligned(128))); /* by the consumer */
};

/* Before record `i` of a producer: no more than `window` of them are under way. False: give up. */
static __always_inline bool pace_keep(const struct pace *pace, uint64_t i, uint64_t window,
				      struct sender *sender)
{
	if (i % PACE_LOOK != 0)
		return true;
	while (i + PACE_LOOK - tally_load_acquire(&pace->taken) > window)
		if (!wait_more(&sender->patience))
			return false;
	return true;
}

/* ---- Taking ---------------------------------------------------------------------------------- */

struct taker {
	struct checker *checker;
	struct pace *pace; /* each producer's, or if `together` one for all of them */
	uint32_t producers;
	bool together;
};

/* Says what has been taken of a producer, or of the one that is furthest behind. */
static inline void taker_say(struct taker *taker, uint64_t producer)
{
	const struct checker *checker = taker->checker;
	uint64_t taken = checker->next[producer];
	uint32_t i;

	for (i = 0; taker->together && i < taker->producers; i++)
		if (checker->next[i] < taken)
			taken = checker->next[i];
	tally_store_release(&taker->pace[taker->together ? 0 : producer].taken, taken);
}

static void take(void *arg, const struct tally_record *record)
{
	struct taker *taker = arg;
	struct checker *checker = taker->checker;
	uint64_t producer = (uint32_t)record->where;

	checker_take(checker, producer, record->buffer_id, record->where >> 48, record->size,
		     record->time);
	if (checker->taken % PACE_LOOK == 0)
		taker_say(taker, producer % CONTENDER_PRODUCERS);
}

#endif
