/* SPDX-License-Identifier: Apache-2.0 */
/* One figure: its samples, each with how quiet the processor was, and their medians.
 *
 * Samples of one round are measured one after the other, so that differences and ratios of two
 * figures, taken round by round, hold whatever the machine is doing.
 */
#ifndef BENCH_HARNESS_FIGURE_H
#define BENCH_HARNESS_FIGURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/harness/machine.h"
#include "bench/harness/place.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ROUNDS 301   /* odd, so that the median is one of them */
#define ROUNDS_MIN 9 /* quiet ones that a median is taken of */
#define PARAMETERS 4
#define PROBE_INTERRUPTED 1e18

/* What a figure was measured with: name and unit in one, as `ring_records`. */
struct parameter {
	const char *name; /* NULL: no more */
	double value;
};

struct sample {
	double value;
	double probe_ns; /* 0: nobody looked; it counts as quiet. PROBE_INTERRUPTED: it does not */
	uint32_t round;
	uint32_t place; /* enum place */
};

/* Set the name and the parameters; the rest is 0. Lives until bench_end(). */
struct figure {
	const char *name; /* of what was measured: a contender, a call */
	struct parameter parameters[PARAMETERS];
	struct sample *samples;
	size_t count, room;
	size_t dropped; /* the processors moved meanwhile */
};

/* ---- Measuring ------------------------------------------------------------------------------- */

/* Adds a sample of round `round`. Ends the program when memory is short. */
void figure_add(struct figure *figure, const struct sample *sample);

/* Measures once, between two probes. A probe is a loop of plain additions: where a neighbour on the
 * same core takes half of its width, it is slower, and the sample counts as disturbed; so it does
 * when the thread has had to leave the processor meanwhile. Its round is the number of samples so
 * far. */
void figure_time(struct figure *figure, double (*measure)(void));

/* One probe, in nanoseconds, and whether it is among the quick ones so far. */
double probe(void);
bool probe_quiet(double probe_ns);

/* ---- Summing up ------------------------------------------------------------------------------ */

/* Of the quiet samples of one place; of all of them when fewer than ROUNDS_MIN were quiet. */
struct summary {
	double median, lower, upper; /* lower and upper quartile */
	double from, to, confidence; /* the median's interval, interval_of() */
	double largest;
	size_t count;		 /* that this is of */
	bool quiet;		 /* quiet ones alone */
	size_t disturbed;	 /* samples that were not quiet */
	double median_disturbed; /* of these */
};

struct summary figure_summary(const struct figure *figure, enum place place);

/* The place where the processors were nearest that has at least ROUNDS_MIN samples, or failing that
 * any. PLACES: no sample. */
enum place figure_nearest(const struct figure *figure);

/* The median where the processors were nearest. NAN: no sample. */
double figure_median(const struct figure *figure);

/* The median of the differences a - b, or of the ratios a / b, of rounds in which both were quiet
 * and in the same place; of the nearest place that both have, or of `place`. With hardly any such
 * round: the difference, or the ratio, of the medians. NAN: no samples there. */
double figure_difference(const struct figure *a, const struct figure *b);
double figure_ratio(const struct figure *a, const struct figure *b);
double figure_ratio_at(const struct figure *a, const struct figure *b, enum place place);

/* Between which two of a figure's values its true median lies, with a confidence of at least 0.95,
 * by order statistics: whatever the distribution. Of fewer than 6 values the lowest and the
 * highest, and less confidence. `count` is 1 or more. */
struct interval {
	size_t from, to; /* positions in ascending order */
	double confidence;
};

struct interval interval_of(size_t count);

/* The value below which `part` of them lie. Sorts them. 0: none. */
double quantile(double *values, size_t count, double part);

#ifdef __cplusplus
}
#endif

#endif
