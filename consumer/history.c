/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping what looks saw: marks of counts twice a second, peaks at each look. */
#include "consumer/history.h"

#include <errno.h>

#include "ring/clock.h"

/* Of SUM_MARKS marks so far apart one is at least two of these old, and no more than three when
 * looks are frequent. */
#define MARK_APART_NS 450000000u

/* Pairs whose peak is remembered when no process has them any more; nobody has as many. */
#define PEAKS_MAX 65536

static struct counts counts_of(const struct tally_totals *totals)
{
	return (struct counts){ totals->allocations, totals->frees, totals->allocated_bytes };
}

/* The youngest mark that is old enough, or else the oldest. */
static unsigned int choose_mark(const struct history *history)
{
	unsigned int age, n = history->newest;

	for (age = 0; age < history->marks; age++) {
		n = (history->newest + SUM_MARKS - age) % SUM_MARKS;
		if (history->now_ns - history->at_ns[n] >= 2ull * MARK_APART_NS)
			break;
	}
	return n;
}

void history_begin(struct history *history)
{
	history->now_ns = clock_monotonic_ns();
	history->marking = history->marks == 0 ||
			   history->now_ns - history->at_ns[history->newest] >= MARK_APART_NS;
	if (history->marking) {
		history->newest = (history->newest + 1) % SUM_MARKS;
		history->at_ns[history->newest] = history->now_ns;
		if (history->marks < SUM_MARKS)
			history->marks++;
	}
	history->since = choose_mark(history);
}

/* ---- One row --------------------------------------------------------------------------------- */

/* As if it had always been so. */
static void start_from_here(struct sums *sums)
{
	size_t n;
	int i;

	for (n = 0; n < sums->count; n++) {
		sums->all[n].counted = counts_of(&sums->all[n].totals);
		for (i = 0; i < SUM_MARKS; i++)
			sums->all[n].marks[i] = sums->all[n].counted;
	}
}

/* What it was seen to count is in its region's past from now on. */
static void hand_over(struct process *row)
{
	size_t n;

	for (n = 0; n < row->sums.count; n++) {
		const struct counts *counted = &row->sums.all[n].counted;
		struct sum *past = sums_find(&row->region->past, row->sums.all[n].key);

		if (!past)
			continue;
		past->counted.allocations += counted->allocations;
		past->counted.frees += counted->frees;
		past->counted.allocated_bytes += counted->allocated_bytes;
	}
}

void history_meet(const struct history *history, struct process *row)
{
	if (row->past && row->met && !row->handed_over) {
		hand_over(row);
		row->handed_over = true;
	}
	if (!row->met && row->region->seen_late) {
		start_from_here(&row->sums);
		row->met_ns = history->now_ns;
	}
	row->met = true;
}

void history_meet_past(struct region_watch *region)
{
	if (region->fresh || !region->seen_late)
		return;
	start_from_here(&region->past);
	region->seen_late = false; /* who joins from now on is new */
}

/* ---- Over all rows --------------------------------------------------------------------------- */

/* An old value of a cell, or a lie, takes nothing back. */
static uint64_t rise(uint64_t *from, uint64_t to)
{
	uint64_t risen = to > *from ? to - *from : 0;

	*from += risen;
	return risen;
}

static void note_peak(struct sum *sum)
{
	if (!sum->has_peak || sum->totals.live_bytes > sum->totals.attach_peak_bytes)
		sum->totals.attach_peak_bytes = sum->totals.live_bytes;
	sum->has_peak = true;
}

void history_add(const struct history *history, struct sum *to, struct sum *from)
{
	to->counted.allocations += rise(&from->counted.allocations, from->totals.allocations);
	to->counted.frees += rise(&from->counted.frees, from->totals.frees);
	to->counted.allocated_bytes += rise(&from->counted.allocated_bytes,
					    from->totals.allocated_bytes);
	note_peak(from);
	if (history->marking)
		from->marks[history->newest] = from->counted;
}

/* Sums over all go when nobody is left to add up, their peaks do not. */
static int note_peaks_over_all(struct history *history, struct sums *over_all)
{
	struct sums *peaks = &history->peaks;
	size_t n;

	for (n = 0; n < over_all->count && peaks->count + peaks->noted_count < PEAKS_MAX; n++)
		if (!sums_find(peaks, over_all->all[n].key) &&
		    sums_note(peaks, over_all->all[n].key) != 0)
			return -ENOMEM;
	if (sums_settle(peaks) != 0)
		return -ENOMEM;
	for (n = 0; n < over_all->count; n++) {
		struct sum *sum = &over_all->all[n];
		struct sum *peak = sums_find(peaks, sum->key);

		if (peak) {
			peak->totals.live_bytes = sum->totals.live_bytes;
			note_peak(peak);
			sum->totals.attach_peak_bytes = peak->totals.attach_peak_bytes;
		} else {
			note_peak(sum);
		}
	}
	return 0;
}

int history_finish(struct history *history, struct sums *over_all)
{
	size_t n;

	for (n = 0; n < over_all->count && history->marking; n++)
		over_all->all[n].marks[history->newest] = over_all->all[n].counted;
	return note_peaks_over_all(history, over_all);
}

void history_free(struct history *history)
{
	sums_free(&history->peaks);
}

/* ---- Rates ----------------------------------------------------------------------------------- */

struct rates history_rates(const struct history *history, const struct sum *sum, uint64_t since_ns)
{
	const struct counts *then = &sum->marks[history->since];
	uint64_t at_ns = history->at_ns[history->since];
	uint64_t from_ns = at_ns > since_ns ? at_ns : since_ns;
	double per_s;

	if (history->now_ns <= from_ns)
		return (struct rates){ -1, -1, -1 };
	if (sum->counted.allocations == then->allocations && sum->counted.frees == then->frees)
		return (struct rates){ 0, 0, 0 };
	per_s = 1e9 / (double)(history->now_ns - from_ns);
	return (struct rates){
		.allocations = (double)(sum->counted.allocations - then->allocations) * per_s,
		.frees = (double)(sum->counted.frees - then->frees) * per_s,
		.allocated_bytes = (double)(sum->counted.allocated_bytes - then->allocated_bytes) *
				   per_s,
	};
}
