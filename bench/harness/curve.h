/* SPDX-License-Identifier: Apache-2.0 */
/* How a figure grows with a number: a figure for each point, and the slope of a line through them.
 */
#ifndef BENCH_HARNESS_CURVE_H
#define BENCH_HARNESS_CURVE_H

#include <stddef.h>

#include "bench/harness/result.h"

#define CURVE_POINTS 8 /* at most */

/* Set the first three; `x_name` is the parameter that grows. Lives until bench_end(). */
struct curve {
	const struct question *question;
	const char *name, *x_name;
	double xs[CURVE_POINTS];
	struct figure figures[CURVE_POINTS];
	size_t count;
};

/* Names its figures. */
void curve_begin(struct curve *curve, const double *xs, size_t count);

/* Reports them, and how much more each further `one` costs. */
void curve_end(const struct curve *curve, const char *one);

/* Of the straight line through the points, least squares. */
double curve_slope(const double *xs, const double *ys, size_t count);

#endif
