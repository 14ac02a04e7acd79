/* SPDX-License-Identifier: Apache-2.0 */
/* Samples, quiet and disturbed, and medians of them. */
#include "bench/harness/figure.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Quiet and disturbed --------------------------------------------------------------------- */

#define PROBE_STEPS 20000
#define PROBE_QUIET 1.15 /* times the quickest probe of the run */

static double quickest = PROBE_INTERRUPTED / 2;

/* How long a fixed number of independent additions takes. */
double probe(void)
{
	uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
	double start = now_ns();
	double took;
	int i;

	for (i = 0; i < PROBE_STEPS; i++) {
		a += b;
		c += d;
		e += f;
		b += 7;
		d += 7;
		f += 7;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	}
	took = now_ns() - start;
	if (took < quickest)
		quickest = took;
	return took;
}

bool probe_quiet(double probe_ns)
{
	return probe_ns <= quickest * PROBE_QUIET;
}

/* ---- Samples --------------------------------------------------------------------------------- */

static void *need(void *memory)
{
	if (!memory) {
		fprintf(stderr, "bench: out of memory\n");
		exit(1);
	}
	return memory;
}

void figure_add(struct figure *figure, const struct sample *sample)
{
	if (figure->count == figure->room) {
		figure->room = figure->room ? figure->room * 2 : 64;
		figure->samples = (struct sample *)need(
			realloc(figure->samples, figure->room * sizeof(*figure->samples)));
	}
	figure->samples[figure->count++] = *sample;
}

void figure_time(struct figure *figure, double (*measure)(void))
{
	double before = probe();
	long interrupted = interruptions();
	struct sample sample = { .value = measure(), .round = (uint32_t)figure->count };
	bool alone = interruptions() == interrupted;
	double after = probe();

	sample.probe_ns = !alone ? PROBE_INTERRUPTED : before > after ? before : after;
	figure_add(figure, &sample);
}

/* ---- Medians --------------------------------------------------------------------------------- */

#define CONFIDENCE 0.95

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double quantile(double *values, size_t count, double part)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(double), ascending);
	return values[(size_t)(part * (double)(count - 1) + 0.5)];
}

struct interval interval_of(size_t count)
{
	/* The chance that at most i of `count` values lie below the median: tosses of a coin. */
	double here = ldexp(1, -(int)count);
	double below = here;
	struct interval interval = { 0, count - 1, 1 - 2 * below };
	size_t i;

	for (i = 1; i < count / 2; i++) {
		here *= (double)(count - i + 1) / (double)i;
		below += here;
		if (1 - 2 * below < CONFIDENCE)
			break;
		interval = (struct interval){ i, count - 1 - i, 1 - 2 * below };
	}
	return interval;
}

struct summary figure_summary(const struct figure *figure, enum place place)
{
	double *quiet = need(malloc((figure->count + 1) * 2 * sizeof(double)));
	double *loud = quiet + figure->count + 1;
	struct summary summary = { .count = 0 };
	size_t i;

	for (i = 0; i < figure->count; i++) {
		const struct sample *sample = &figure->samples[i];

		if (sample->place != place)
			continue;
		if (probe_quiet(sample->probe_ns))
			quiet[summary.count++] = sample->value;
		else
			loud[summary.disturbed++] = sample->value;
	}
	summary.median_disturbed = quantile(loud, summary.disturbed, 0.5);
	summary.quiet = summary.count >= ROUNDS_MIN || summary.disturbed == 0;
	if (summary.count < ROUNDS_MIN) {
		memcpy(quiet + summary.count, loud, summary.disturbed * sizeof(double));
		summary.count += summary.disturbed;
	}
	summary.median = quantile(quiet, summary.count, 0.5);
	summary.lower = quantile(quiet, summary.count, 0.25);
	summary.upper = quantile(quiet, summary.count, 0.75);
	if (summary.count > 0) {
		struct interval interval = interval_of(summary.count);

		summary.from = quiet[interval.from];
		summary.to = quiet[interval.to];
		summary.confidence = interval.confidence;
		summary.largest = quiet[summary.count - 1];
	}
	free(quiet);
	return summary;
}

static size_t count_at(const struct figure *figure, enum place place)
{
	size_t count = 0, i;

	for (i = 0; i < figure->count; i++)
		count += figure->samples[i].place == place;
	return count;
}

enum place figure_nearest(const struct figure *figure)
{
	enum place best = PLACES;
	int place;

	for (place = PLACES - 1; place >= 0; place--) {
		size_t count = count_at(figure, (enum place)place);

		if (count >= ROUNDS_MIN || (count > 0 && best == PLACES))
			best = (enum place)place;
	}
	return best;
}

double figure_median(const struct figure *figure)
{
	enum place place = figure_nearest(figure);

	return place == PLACES ? NAN : figure_summary(figure, place).median;
}

/* The sample of that round, or NULL. They are in the order of rounds. */
static const struct sample *of_round(const struct figure *figure, uint32_t round, size_t *at)
{
	while (*at < figure->count && figure->samples[*at].round < round)
		(*at)++;
	return *at < figure->count && figure->samples[*at].round == round ? &figure->samples[*at]
									  : NULL;
}

#define PAIRS_MIN 3 /* rounds in which both were quiet */

/* Where those are too few: of the medians, which are of quiet samples if there are enough. */
static double of_medians(const struct figure *a, const struct figure *b, enum place place,
			 bool ratio)
{
	struct summary x = figure_summary(a, place), y = figure_summary(b, place);

	if (x.count == 0 || y.count == 0)
		return NAN;
	return ratio ? x.median / y.median : x.median - y.median;
}

static double of_both(const struct figure *a, const struct figure *b, enum place place, bool ratio)
{
	double *values = need(malloc((a->count + 1) * sizeof(double)));
	size_t count = 0, at = 0, i;
	double result;

	for (i = 0; i < a->count; i++) {
		const struct sample *x = &a->samples[i];
		const struct sample *y = of_round(b, x->round, &at);

		if (!y || x->place != place || y->place != place)
			continue;
		if (probe_quiet(x->probe_ns) && probe_quiet(y->probe_ns))
			values[count++] = ratio ? x->value / y->value : x->value - y->value;
	}
	result = count < PAIRS_MIN ? of_medians(a, b, place, ratio) : quantile(values, count, 0.5);
	free(values);
	return result;
}

static double nearest_of_both(const struct figure *a, const struct figure *b, bool ratio)
{
	double result = NAN;
	int place;

	for (place = 0; place < PLACES; place++) {
		double here = of_both(a, b, (enum place)place, ratio);

		if (isnan(here))
			continue;
		if (isnan(result))
			result = here;
		if (count_at(a, (enum place)place) >= ROUNDS_MIN)
			return here;
	}
	return result;
}

double figure_difference(const struct figure *a, const struct figure *b)
{
	return nearest_of_both(a, b, false);
}

double figure_ratio(const struct figure *a, const struct figure *b)
{
	return nearest_of_both(a, b, true);
}

double figure_ratio_at(const struct figure *a, const struct figure *b, enum place place)
{
	return of_both(a, b, place, true);
}
