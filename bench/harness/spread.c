/* SPDX-License-Identifier: Apache-2.0 */
/* Timestamps, their cost, and percentiles of what was timed with them. */
#include "bench/harness/spread.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The timer ------------------------------------------------------------------------------- */

#define PAIRS 2001
#define RATE_NS 2e7 /* how long the two clocks are compared for */

static double tick_ns, cost_ticks, doubt_ticks;

/* Of the middle half, sorted: a median would be no finer than the steps. */
static double middle_mean(double *pairs)
{
	double sum = 0;
	size_t i;

	quantile(pairs, PAIRS, 0.5);
	for (i = PAIRS / 4; i < PAIRS - PAIRS / 4; i++)
		sum += pairs[i];
	return sum / (double)(PAIRS - PAIRS / 4 - PAIRS / 4);
}

static void calibrate(void)
{
	double pairs[PAIRS];
	double start_ns = now_ns(), took;
	uint64_t start = stamp(), end;
	size_t i;

	do {
		took = now_ns() - start_ns;
		end = stamp();
	} while (took < RATE_NS);
	tick_ns = took / (double)(end - start);
	for (i = 0; i < PAIRS; i++) {
		uint64_t before = stamp();

		pairs[i] = (double)(stamp() - before);
	}
	cost_ticks = middle_mean(pairs);
	doubt_ticks = quantile(pairs, PAIRS, 0.9) - quantile(pairs, PAIRS, 0.1);
}

double stamp_tick_ns(void)
{
	if (tick_ns == 0)
		calibrate();
	return tick_ns;
}

double stamp_cost_ticks(void)
{
	if (tick_ns == 0)
		calibrate();
	return cost_ticks;
}

double stamp_doubt_ticks(void)
{
	if (tick_ns == 0)
		calibrate();
	return doubt_ticks;
}

/* ---- Batches --------------------------------------------------------------------------------- */

void spread_begin(struct spread *spread)
{
	size_t want = spread->count + SPREAD_BATCH;

	if (want > spread->room) {
		spread->room = want * 2;
		spread->ticks = realloc(spread->ticks, spread->room * sizeof(*spread->ticks));
		if (!spread->ticks) {
			fprintf(stderr, "bench: out of memory\n");
			exit(1);
		}
		/* touched, so that no page is missing while something is timed */
		memset(spread->ticks + spread->count, 0,
		       (spread->room - spread->count) * sizeof(*spread->ticks));
	}
	stamp_tick_ns();
	spread->probe_ns = probe();
	spread->interrupted = interruptions();
}

void spread_end(struct spread *spread)
{
	bool alone = interruptions() == spread->interrupted;
	double after = alone ? probe() : PROBE_INTERRUPTED;
	size_t last = spread->batch_count < SPREAD_BATCHES ? spread->batch_count++
							   : SPREAD_BATCHES - 1;
	double *worst = &spread->batches[last].probe_ns;

	spread->batches[last].end = spread->count;
	*worst = fmax(*worst, fmax(after, spread->probe_ns));
}

/* ---- Percentiles ----------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double to_ns(uint32_t ticks)
{
	return fmax(0, ticks - stamp_cost_ticks()) * stamp_tick_ns();
}

static double part_of(const uint32_t *sorted, size_t count, double part)
{
	return count ? to_ns(sorted[(size_t)(part * (double)(count - 1) + 0.5)]) : 0;
}

static void fill_buckets(const uint32_t *sorted, size_t count, struct spread_summary *summary)
{
	size_t i = 0;
	int bucket;

	for (bucket = 0; bucket < SPREAD_BUCKETS && i < count; bucket++) {
		double up_to_ns = exp2(bucket / 8.0) * stamp_tick_ns();
		size_t first = i;

		while (i < count && to_ns(sorted[i]) <= up_to_ns)
			i++;
		if (i == first)
			continue;
		summary->buckets[summary->bucket_count].up_to_ns = up_to_ns;
		summary->buckets[summary->bucket_count++].count = i - first;
	}
}

/* Copies the samples of batches that were quiet, or of all; how many. */
static size_t gather(const struct spread *spread, bool all, uint32_t *ret_ticks)
{
	size_t begin = 0, count = 0, i;

	for (i = 0; i < spread->batch_count; i++) {
		size_t end = spread->batches[i].end;

		if (all || probe_quiet(spread->batches[i].probe_ns)) {
			memcpy(ret_ticks + count, spread->ticks + begin,
			       (end - begin) * sizeof(*ret_ticks));
			count += end - begin;
		}
		begin = end;
	}
	return count;
}

static size_t quiet_batches(const struct spread *spread)
{
	size_t count = 0, i;

	for (i = 0; i < spread->batch_count; i++)
		count += probe_quiet(spread->batches[i].probe_ns);
	return count;
}

void spread_summary(const struct spread *spread, struct spread_summary *ret_summary)
{
	uint32_t *sorted = malloc((spread->count + 1) * sizeof(*sorted));
	size_t count;

	memset(ret_summary, 0, sizeof(*ret_summary));
	if (!sorted) {
		fprintf(stderr, "bench: out of memory\n");
		exit(1);
	}
	ret_summary->disturbed = spread->count - gather(spread, false, sorted);
	ret_summary->quiet = quiet_batches(spread) >= ROUNDS_MIN || ret_summary->disturbed == 0;
	count = gather(spread, !ret_summary->quiet, sorted);
	qsort(sorted, count, sizeof(*sorted), ascending);
	ret_summary->count = count;
	ret_summary->p50 = part_of(sorted, count, 0.5);
	ret_summary->p90 = part_of(sorted, count, 0.9);
	ret_summary->p99 = part_of(sorted, count, 0.99);
	ret_summary->p999 = part_of(sorted, count, 0.999);
	ret_summary->max = part_of(sorted, count, 1);
	fill_buckets(sorted, count, ret_summary);
	free(sorted);
}
