/* SPDX-License-Identifier: Apache-2.0 */
/* Curves: their points as figures, their slope as a note. */
#include "bench/harness/curve.h"

void curve_begin(struct curve *curve, const double *xs, size_t count)
{
	size_t i;

	curve->count = count;
	for (i = 0; i < count; i++) {
		curve->xs[i] = xs[i];
		curve->figures[i].name = curve->name;
		curve->figures[i].parameters[0] = (struct parameter){ curve->x_name, xs[i] };
	}
}

double curve_slope(const double *xs, const double *ys, size_t count)
{
	double x_mean = 0, y_mean = 0, above = 0, below = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		x_mean += xs[i] / (double)count;
		y_mean += ys[i] / (double)count;
	}
	for (i = 0; i < count; i++) {
		above += (xs[i] - x_mean) * (ys[i] - y_mean);
		below += (xs[i] - x_mean) * (xs[i] - x_mean);
	}
	return above / below;
}

void curve_end(const struct curve *curve, const char *one)
{
	double ys[CURVE_POINTS];
	size_t i;

	for (i = 0; i < curve->count; i++) {
		result_figure(curve->question, &curve->figures[i]);
		ys[i] = figure_median(&curve->figures[i]);
	}
	result_note(curve->question, "%s: %.4g %s for each further %s", curve->name,
		    curve_slope(curve->xs, ys, curve->count), curve->question->unit, one);
}
