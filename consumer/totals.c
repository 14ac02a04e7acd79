/* SPDX-License-Identifier: Apache-2.0 */
/* Ledgers of one region: read three times, so that what is held is known within bounds.
 *
 * Freed bytes are summed up before the allocated ones and again after them: what was held while
 * the allocated ones were read lies between allocated - freed after and allocated - freed before.
 * When the two agree, it is exact; when not, the second sum serves as the first of another try.
 *
 * A region of one process in which nothing has happened since is not read again: the last event
 * that was in the cells in the first pass is the last that is counted still, so all passes saw the
 * same.
 */
#include "consumer/totals.h"

#include <errno.h>
#include <tally/tally.h>

#include "consumer/passes.h"

#define BOUND_TRIES 3

/* ---- Bounds and peaks ------------------------------------------------------------------------ */

/* A single cell is a picture of one moment, whatever its owner did before and after. */
static bool is_single(const struct sum *sum)
{
	return sum->writers == 1 && !sum->shared;
}

static bool bounds_agree(const struct sums *sums)
{
	size_t n;

	for (n = 0; n < sums->count; n++)
		if (sums->all[n].freed_first != sums->all[n].totals.freed_bytes &&
		    !is_single(&sums->all[n]))
			return false;
	return true;
}

/* Makes the last sum of freed bytes the first one of another try. */
static void try_again(struct sums *sums)
{
	size_t n;

	for (n = 0; n < sums->count; n++) {
		struct sum *sum = &sums->all[n];
		uint64_t freed = sum->totals.freed_bytes;
		bool current = sum->totals.current;

		sum_restart(sum);
		sum->freed_first = freed;
		sum->totals.current = current;
	}
}

static void finish(const struct process *process, struct sum *sum)
{
	struct tally_totals *totals = &sum->totals;

	if (is_single(sum)) {
		sum->freed_first = totals->freed_bytes = sum->freed_between;
		totals->frees = sum->frees_between;
	}
	if (sum->key == TALLY_KEY(0, TALLY_POOL_HEAP)) {
		totals->inherited_bytes = process->inherited_bytes;
		totals->inherited_allocations = process->inherited_allocations;
	}
	totals->live_bytes = plus(totals->inherited_bytes,
				  (int64_t)(totals->allocated_bytes - totals->freed_bytes));
	totals->live_bytes_high = plus(totals->inherited_bytes,
				       (int64_t)(totals->allocated_bytes - sum->freed_first));
	totals->live_allocations = plus(totals->inherited_allocations,
					(int64_t)(totals->allocations - totals->frees));
	totals->peak_bytes_high = plus(totals->inherited_bytes, sum->peaks);
	if (is_single(sum) && totals->peak_bytes_high > sum->observed_bytes)
		sum->observed_bytes = totals->peak_bytes_high; /* exact until now */
	if (totals->live_bytes > sum->observed_bytes)
		sum->observed_bytes = totals->live_bytes;
	totals->peak_bytes = is_single(sum) ? totals->peak_bytes_high : sum->observed_bytes;
	sum_order_bounds(totals);
}

/* Nobody writes there any more. */
static void finish_past(struct region_watch *region)
{
	size_t n;

	for (n = 0; n < region->past.count; n++) {
		struct sum *sum = &region->past.all[n];
		struct tally_totals *totals = &sum->totals;

		totals->live_bytes = minus((int64_t)totals->allocated_bytes,
					   (int64_t)totals->freed_bytes);
		totals->live_bytes_high = totals->live_bytes;
		totals->live_allocations = minus((int64_t)totals->allocations,
						 (int64_t)totals->frees);
		totals->peak_bytes_high = sum->peaks;
	}
}

/* ---- All rows -------------------------------------------------------------------------------- */

static bool all_agree(const struct region_watch *region)
{
	uint32_t n;

	for (n = 0; n < region->entry_count; n++)
		if (region->entries[n].row && !bounds_agree(&region->entries[n].row->sums))
			return false;
	return true;
}

static void try_all_again(struct region_watch *region)
{
	uint32_t n;

	try_again(&region->past);
	for (n = 0; n < region->entry_count; n++)
		if (region->entries[n].row)
			try_again(&region->entries[n].row->sums);
}

static int restart_all(struct region_watch *region)
{
	uint32_t n;

	sums_restart(&region->past);
	for (n = 0; n < region->entry_count; n++) {
		struct process *row = region->entries[n].row;

		if (!row)
			continue;
		if ((row->inherited_bytes || row->inherited_allocations) &&
		    !sums_get(&row->sums, TALLY_KEY(0, TALLY_POOL_HEAP)))
			return -ENOMEM;
		sums_restart(&row->sums);
	}
	return 0;
}

/* Adds the pairs that a pass has met and nobody knew. */
static int settle(struct sums *sums, bool *found)
{
	*found = *found || sums->noted_count > 0;
	return sums_settle(sums);
}

static int settle_all(struct region_watch *region, bool *found)
{
	int error = settle(&region->past, found);
	uint32_t n;

	for (n = 0; n < region->entry_count && !error; n++)
		if (region->entries[n].row)
			error = settle(&region->entries[n].row->sums, found);
	return error;
}

/* The first pass, once more when it has found something new. */
static int scan_first(struct region_watch *region)
{
	bool found = false;
	int error = restart_all(region);

	if (!error)
		error = pass_over(region, PASS_FREED_FIRST);
	if (!error)
		error = settle_all(region, &found);
	if (error || !found)
		return error;
	error = restart_all(region);
	return error ? error : pass_over(region, PASS_FREED_FIRST);
}

static void finish_all(struct region_watch *region)
{
	uint32_t n;
	size_t i;

	finish_past(region);
	for (n = 0; n < region->entry_count; n++) {
		struct process *row = region->entries[n].row;

		for (i = 0; row && i < row->sums.count; i++)
			finish(row, &row->sums.all[i]);
	}
}

int totals_read(struct region_watch *region)
{
	int tries;

	if (pass_is_needless(region))
		return 0;
	if (scan_first(region) != 0)
		return -ENOMEM;
	for (tries = 1;; tries++) {
		if (pass_over(region, PASS_ALLOCATED) != 0 ||
		    pass_over(region, PASS_FREED_LAST) != 0)
			return -ENOMEM;
		if (tries == BOUND_TRIES || all_agree(region))
			break;
		try_all_again(region);
	}
	finish_all(region);
	return 0;
}
