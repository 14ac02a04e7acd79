/* SPDX-License-Identifier: Apache-2.0 */
/* Ledgers of one process: read three times, so that what is held is known within bounds.
 *
 * Freed bytes are summed up before the allocated ones and again after them: what was held while
 * the allocated ones were read lies between allocated - freed after and allocated - freed before.
 * When the two agree, it is exact; when not, the second sum serves as the first of another try.
 */
#include "consumer/totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#include "ring/cells.h"
#include "ring/ledger.h"

#define BOUND_TRIES 3

enum pass { PASS_FREED_FIRST, PASS_ALLOCATED, PASS_FREED_LAST };

/* One cell as it was just read. */
struct reading {
	uint64_t key;
	struct ledger_sums sums;
	bool shared;
	bool current;
};

static bool is_key(uint64_t key)
{
	return key == TALLY_KEY(TALLY_KEY_DEVICE(key), TALLY_KEY_POOL(key));
}

static bool is_active(const struct ledger_sums *sums)
{
	return sums->allocs || sums->frees || sums->failures || sums->allocated_bytes ||
	       sums->freed_bytes;
}

static int add(struct process *process, enum pass pass, const struct reading *cell)
{
	struct tally_totals *totals;
	struct sum *sum;

	if (!is_active(&cell->sums))
		return 0;
	sum = sums_get(&process->sums, cell->key);
	if (!sum)
		return -ENOMEM;
	totals = &sum->totals;
	totals->current = totals->current && cell->current;
	switch (pass) {
	case PASS_FREED_FIRST:
		sum->freed_first += cell->sums.freed_bytes;
		break;
	case PASS_ALLOCATED:
		totals->allocated_bytes += cell->sums.allocated_bytes;
		totals->allocations += cell->sums.allocs;
		totals->failures += cell->sums.failures;
		sum->freed_between += cell->sums.freed_bytes;
		sum->frees_between += cell->sums.frees;
		sum->peaks = plus(sum->peaks, (int64_t)cell->sums.peak_bytes);
		sum->writers++;
		sum->shared = sum->shared || cell->shared;
		break;
	case PASS_FREED_LAST:
		totals->freed_bytes += cell->sums.freed_bytes;
		totals->frees += cell->sums.frees;
		break;
	}
	return 0;
}

/* ---- Cells ----------------------------------------------------------------------------------- */

static int room_for_good(struct lane_watch *lane, uint32_t cells)
{
	uint32_t room = lane->good_room ? lane->good_room : 1;
	struct ledger_sums *good;

	if (cells <= lane->good_room)
		return 0;
	while (room < cells)
		room *= 2;
	good = realloc(lane->good, room * sizeof(*good));
	if (!good)
		return -ENOMEM;
	memset(good + lane->good_room, 0, (room - lane->good_room) * sizeof(*good));
	lane->good = good;
	lane->good_room = room;
	return 0;
}

static int scan_lane(struct process *process, struct lane_watch *lane, enum pass pass, bool gone)
{
	struct tally_lane_header *header = lane->reader.header;
	const struct tally_record *last = gone && lane->has_last ? &lane->last : NULL;
	/* D2 -> D1: every cell counted here is there */
	uint64_t count = tally_load_acquire(&header->cell_count);
	uint32_t n;

	if (count > process->view.at.lane_cells)
		count = process->view.at.lane_cells;
	for (n = 0; n < count; n++) {
		const struct tally_cell *cell = &lane_cells(header)[n];
		/* relaxed: D2 makes sure that it was written */
		struct reading now = { .key = tally_load_relaxed(&cell->key) };

		if (!is_key(now.key))
			break; /* a broken directory: nothing behind it is touched */
		if (room_for_good(lane, n + 1) != 0)
			return -ENOMEM;
		now.current = ledger_settled(cell, now.key, last, &now.sums);
		if (now.current)
			lane->good[n] = now.sums;
		else
			now.sums = lane->good[n];
		if (add(process, pass, &now) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* The shared cells, page by page, as far as pages are reserved. */
static int scan_shared(struct process *process, enum pass pass)
{
	const struct geometry *at = &process->view.at;
	struct tally_process_header *header = region_process(process->view.base, at, 0);
	/* U2'''''' -> U1: the pages whose bits are set are reserved */
	uint64_t pages = tally_load_acquire(&header->cell_pages);
	uint32_t n = 0;

	while (n < at->shared_cells) {
		uint32_t page = cells_page(n);
		struct reading now = { .shared = true, .current = true };

		if (page >= 64)
			break;
		if (!(pages >> page & 1)) {
			while (n < at->shared_cells && cells_page(n) == page)
				n++;
			continue;
		}
		if (cells_read(&process_cells(header)[n], &now.key, &now.sums) && is_key(now.key) &&
		    add(process, pass, &now) != 0)
			return -ENOMEM;
		n++;
	}
	return 0;
}

static int scan(struct process *process, enum pass pass, bool gone)
{
	uint32_t n;

	for (n = 0; n < process->lane_count; n++)
		if (scan_lane(process, &process->lanes[n], pass, gone) != 0)
			return -ENOMEM;
	return scan_shared(process, pass);
}

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
	sum_order_peaks(totals);
}

int totals_read(struct process *process, bool gone)
{
	struct sums *sums = &process->sums;
	int tries;
	size_t n;

	if ((process->inherited_bytes || process->inherited_allocations) &&
	    !sums_get(sums, TALLY_KEY(0, TALLY_POOL_HEAP)))
		return -ENOMEM;
	sums_restart(sums);
	if (scan(process, PASS_FREED_FIRST, gone) != 0)
		return -ENOMEM;
	for (tries = 1;; tries++) {
		if (scan(process, PASS_ALLOCATED, gone) != 0 ||
		    scan(process, PASS_FREED_LAST, gone) != 0)
			return -ENOMEM;
		if (tries == BOUND_TRIES || bounds_agree(sums))
			break;
		try_again(sums);
	}
	for (n = 0; n < sums->count; n++)
		finish(process, &sums->all[n]);
	return 0;
}
