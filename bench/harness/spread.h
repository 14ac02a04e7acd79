/* SPDX-License-Identifier: Apache-2.0 */
/* How long single calls take, by a timestamp before and after each, with the timestamps' own cost
 * taken off.
 *
 *	spread_begin(&spread);                  a batch: a probe stands on either side of it
 *	for (...) {
 *		uint64_t start = stamp();
 *		call();
 *		spread_add(&spread, stamp() - start);
 *	}
 *	spread_end(&spread);
 */
#ifndef BENCH_HARNESS_SPREAD_H
#define BENCH_HARNESS_SPREAD_H

#include <stddef.h>
#include <stdint.h>

#include "bench/harness/figure.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SPREAD_BATCHES 512
#define SPREAD_BUCKETS 256 /* eight to each doubling, from 1 tick */

/* Set the name and the parameters; the rest is 0. Lives until bench_end(). */
struct spread {
	const char *name;
	struct parameter parameters[PARAMETERS];
	uint32_t *ticks; /* all batches, one after the other */
	size_t count, room;
	struct {
		size_t end; /* of its samples */
		double probe_ns;
	} batches[SPREAD_BATCHES];
	size_t batch_count;
	double probe_ns; /* of the one before this batch */
	long interrupted;
};

/* A timestamp in ticks: all before it has been done, nothing behind it has begun. */
static inline uint64_t stamp(void)
{
#if defined(__x86_64__)
	uint64_t ticks;

	__builtin_ia32_lfence();
	ticks = __builtin_ia32_rdtsc();
	__builtin_ia32_lfence();
	return ticks;
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("isb; mrs %0, cntvct_el0; isb" : "=r"(ticks)::"memory");
	return ticks;
#else
	return (uint64_t)now_ns();
#endif
}

/* Nanoseconds of a tick; ticks between two stamps with nothing between them, on average; and by how
 * much these differ, from the 10th percentile to the 90th, as some counters go by steps of 10 ns.
 * Measured once, at the first call of any: call one before anything is timed. */
double stamp_tick_ns(void);
double stamp_cost_ticks(void);
double stamp_doubt_ticks(void);

/* A batch. Beyond SPREAD_BATCHES of them the last one grows. Ends the program when memory is short;
 * takes none between begin and end for up to 4,096 samples. */
void spread_begin(struct spread *spread);
void spread_end(struct spread *spread);

static inline void spread_add(struct spread *spread, uint64_t ticks)
{
	if (spread->count < spread->room)
		spread->ticks[spread->count++] = ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}

#define SPREAD_BATCH 4096 /* samples of one at most; more are left out */

/* Of the quiet batches; of all when fewer than ROUNDS_MIN were quiet. Nanoseconds. */
struct spread_summary {
	double p50, p90, p99, p999, max;
	size_t count;	  /* samples that this is of */
	bool quiet;	  /* of quiet batches alone */
	size_t disturbed; /* samples in batches that were not quiet */
	struct {
		double up_to_ns; /* and above the one before */
		size_t count;
	} buckets[SPREAD_BUCKETS]; /* those that hold something */
	size_t bucket_count;
};

void spread_summary(const struct spread *spread, struct spread_summary *ret_summary);

#ifdef __cplusplus
}
#endif

#endif
