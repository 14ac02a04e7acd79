/* SPDX-License-Identifier: Apache-2.0 */
/* Pushes as a program does them: alloc and free in turn, on one device and pool. Inlined, as what a
 * call costs is what is measured. */
#ifndef BENCH_PUSH_PAIRS_H
#define BENCH_PUSH_PAIRS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <tally/tally.h>

#include "bench/harness/figure.h"

static inline void push_pairs(uint64_t calls)
{
	uint64_t i;

	for (i = 0; i < calls / 2; i++) {
		tally_alloc(0, TALLY_POOL_DRAM, i, 64);
		tally_free(0, TALLY_POOL_DRAM, i, 64);
	}
}

/* Nanoseconds for each of so many calls. */
static inline double time_push_pairs(uint64_t calls)
{
	double start = now_ns();

	push_pairs(calls);
	return (now_ns() - start) / (double)calls;
}

/* The process is off until the bench arms it; ends the program if the environment has. */
static inline void need_off(const char *bench, const char *why)
{
	if (!tally_enabled())
		return;
	fprintf(stderr, "bench/%s: unset TALLY, %s\n", bench, why);
	exit(2);
}

#endif
