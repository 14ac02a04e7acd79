/* SPDX-License-Identifier: Apache-2.0 */
/* The machine: its processors, its clock, and what it is said to be.
 */
#ifndef BENCH_HARNESS_MACHINE_H
#define BENCH_HARNESS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Binds the calling thread to the n-th processor it may run on, modulo their number. */
void pin(unsigned int n);

/* How many processors the process was allowed to run on when it started. */
unsigned int processors(void);

/* CLOCK_MONOTONIC in nanoseconds. */
double now_ns(void);

/* How often the calling thread was made to leave its processor to another. */
long interruptions(void);

/* What figures were measured on. Strings are cut to fit; "" is unknown. */
struct machine {
	char cpu[128];
	char architecture[32];
	char kernel[128];
	char governor[32];
	unsigned int processors;
	bool virtual_machine;
	double load; /* 1 minute's average, -1: unknown */
};

/* Describes it as it is now. */
void machine_look(struct machine *ret_machine);

/* The i-th reason to distrust figures taken between two looks, into `why`. False: there are no
 * more. Begin at 0. */
bool machine_warning(const struct machine *begin, const struct machine *end, size_t i, char *why,
		     size_t size);

#ifdef __cplusplus
}
#endif

#endif
