/* SPDX-License-Identifier: Apache-2.0 */
/* What every benchmark needs: a pinned thread, a clock, medians with their spread, the machine.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stddef.h>

#define ROUNDS 301   /* odd, so that the median is one of them */
#define ROUNDS_MIN 9 /* quiet ones that a median is taken of */

/* One figure: what was measured, once per round, and how fast the processor was meanwhile. */
struct figure {
	const char *name;
	const char *unit;
	double samples[ROUNDS];
	double probes[ROUNDS];
	size_t count;
};

/* Binds the calling thread to the n-th processor it may run on, modulo their number. */
void pin(unsigned int n);

/* How many processors the process may run on. */
unsigned int processors(void);

/* CLOCK_MONOTONIC in nanoseconds. */
double now_ns(void);

/* Measures once, between two probes. A probe is a loop of plain additions: where a neighbour on the
 * same core takes half of its width, it is slower, and the sample is filed as disturbed. */
void figure_time(struct figure *figure, double (*measure)(void));

/* The median of the quiet rounds; of all of them when fewer than ROUNDS_MIN were quiet. */
double figure_median(const struct figure *figure);

/* The median of the differences a - b, or of the ratios a / b, of rounds in which both were quiet.
 */
double figure_difference(const struct figure *a, const struct figure *b);
double figure_ratio(const struct figure *a, const struct figure *b);

/* One line: name, median, unit, the middle half of the quiet rounds and how many those were, and
 * the median of the disturbed ones. */
void figure_print(const struct figure *figure);

/* What the figures were measured on, and a warning when something else is running. */
void machine_print(void);

#endif
