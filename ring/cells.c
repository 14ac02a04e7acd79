/* SPDX-License-Identifier: Apache-2.0 */
/* Shared cells: finding or claiming one, adding to it, moving sums from block to block. */
#include "ring/cells.h"

#include <stddef.h>
#include <tally/atomic.h>

/* After so many lost races for the peak, it is raised by the event's size: still "at most". */
#define PEAK_TRIES 4

struct cells cells_of(struct region *region, uint32_t entry)
{
	struct tally_process_header *process = region_process(region->base, &region->at, entry);
	struct cells cells = {
		.process = process,
		.cells = process_cells(process),
		.count = region->at.shared_cells,
		.region = region,
	};

	return cells;
}

/* Makes sure that the page of cell `n` is there, and said to be used. */
static bool reserve(const struct cells *to, uint32_t n)
{
	size_t entry = to->region ? (size_t)((unsigned char *)to->process - to->region->base) : 0;
	uint32_t page = cells_page(n);

	/* relaxed: set after the page was there, by this process or, seen by way of the lock, by
	 * the entry's last owner */
	if (tally_load_relaxed(&to->process->cell_pages) >> page & 1)
		return true;
	if (to->region && region_reserve(to->region, entry + page * TALLY_PAGE, TALLY_PAGE) != 0)
		return false;
	/* U1'' -> U2: the page is reserved before its bit says so */
	tally_or_release(&to->process->cell_pages, 1ull << page);
	return true;
}

struct tally_shared_cell *cells_find(const struct cells *to, uint64_t key)
{
	uint32_t first = cells_place(key);
	uint32_t tries;

	for (tries = 0; tries < to->count; tries++) {
		uint32_t n = (first + tries) & (to->count - 1);
		struct tally_shared_cell *cell = &to->cells[n];
		uint64_t found;

		if (!reserve(to, n))
			return NULL;
		found = tally_load_relaxed(&cell->key); /* relaxed: fields stand by themselves */
		if (found == key)
			return cell;
		if (found == 0 && tally_cas_relaxed(&cell->key, &found, key)) /* likewise */
			return cell;
		if (found == key)
			return cell;
	}
	return NULL;
}

void cells_unrecorded(struct tally_process_header *process, uint64_t count)
{
	/* relaxed: Y1 orders it */
	tally_add_relaxed(&process->shared_unrecorded, count);
	/* Y1' -> Y2: who counts the event knows that it has no record */
	tally_add_release(&process->shared_events, count);
}

void cells_reject(const struct cells *to)
{
	/* relaxed: a count that stands by itself */
	tally_add_relaxed(&to->process->rejected_events, 1);
}

void cells_raise_peak(struct tally_shared_cell *cell, int64_t balance, uint64_t size)
{
	uint64_t peak = tally_load_relaxed(&cell->peak_bytes); /* relaxed: only ever raised */
	int tries;

	for (tries = 0; tries < PEAK_TRIES; tries++) {
		if (balance <= (int64_t)peak)
			return;
		/* relaxed: one word that stands by itself */
		if (tally_cas_relaxed(&cell->peak_bytes, &peak, (uint64_t)balance))
			return;
	}
	tally_add_relaxed(&cell->peak_bytes, size); /* relaxed: likewise */
}

void cells_change(struct tally_shared_cell *cell, const struct ledger_sums *change)
{
	if (change->allocs)
		cells_alloc(cell, change->allocated_bytes);
	/* relaxed, all: each field stands by itself */
	if (change->frees || change->freed_bytes) {
		tally_add_relaxed(&cell->freed_bytes, change->freed_bytes);
		tally_add_relaxed(&cell->frees, change->frees);
	}
	if (change->failures)
		tally_add_relaxed(&cell->failures, change->failures);
}

bool cells_push(const struct cells *to, enum tally_kind kind, uint32_t device, uint32_t pool,
		uint64_t size, uint64_t count)
{
	struct ledger_sums change = ledger_change(kind, size, count);
	struct tally_shared_cell *cell = cells_find(to, TALLY_KEY(device, pool & 0xff));

	if (!cell) {
		cells_reject(to);
		return false;
	}
	cells_unrecorded(to->process, 1);
	cells_change(cell, &change);
	return true;
}

bool cells_add(const struct cells *to, uint64_t key, const struct ledger_sums *sums)
{
	struct tally_shared_cell *cell = cells_find(to, key);
	uint64_t allocated, freed;
	int64_t above;

	if (!cell) {
		/* relaxed: a count that stands by itself */
		tally_add_relaxed(&to->process->rejected_events, sums->event_no);
		return false;
	}
	cells_unrecorded(to->process, sums->event_no);
	/* sums folded in the middle of a push may lack the peak that goes with them */
	above = (int64_t)(sums->peak_bytes - (sums->allocated_bytes - sums->freed_bytes));
	if (above < 0)
		above = 0;
	/* relaxed, all: each field stands by itself. Frees first, as their balance stood before. */
	tally_add_relaxed(&cell->freed_bytes, sums->freed_bytes);
	tally_add_relaxed(&cell->frees, sums->frees);
	freed = tally_load_first(&cell->freed_bytes); /* own order, as in cells_alloc() */
	allocated = tally_add_relaxed(&cell->allocated_bytes, sums->allocated_bytes) +
		    sums->allocated_bytes;
	cells_raise_peak(cell, (int64_t)(allocated - freed) + above, sums->allocated_bytes);
	tally_add_relaxed(&cell->allocs, sums->allocs); /* relaxed: as above */
	tally_add_relaxed(&cell->failures, sums->failures);
	return true;
}

void cells_fold(const struct cells *from,
		bool (*give)(void *arg, uint64_t key, const struct ledger_sums *sums), void *arg)
{
	/* relaxed, all: the caller's fence makes sure that what is added later is not left behind,
	 * and a swap takes each count once */
	uint64_t pages = tally_load_relaxed(&from->process->cell_pages);
	uint32_t n;

	for (n = cells_next(pages, 0, from->count); n < from->count;
	     n = cells_next(pages, n + 1, from->count)) {
		struct tally_shared_cell *cell = &from->cells[n];
		struct ledger_sums sums = { 0 };
		uint64_t key = tally_load_relaxed(&cell->key); /* relaxed: as above */

		if (key == 0)
			continue;
		/* relaxed, all: as above */
		sums.allocated_bytes = tally_swap_relaxed(&cell->allocated_bytes, 0);
		sums.freed_bytes = tally_swap_relaxed(&cell->freed_bytes, 0);
		sums.allocs = tally_swap_relaxed(&cell->allocs, 0);
		/* relaxed: as above */
		sums.frees = tally_swap_relaxed(&cell->frees, 0);
		sums.failures = tally_swap_relaxed(&cell->failures, 0);
		sums.peak_bytes = tally_swap_relaxed(&cell->peak_bytes, 0);
		sums.event_no = sums.allocs + sums.frees + sums.failures;
		cells_unrecorded(from->process, 0 - sums.event_no);
		if ((sums.event_no || sums.allocated_bytes || sums.freed_bytes) &&
		    !give(arg, key, &sums))
			cells_add(from, key, &sums);
	}
}

void cells_book(const struct cells *of)
{
	/* own, all: the dead owner's, whose lock is held */
	uint64_t pages = tally_load_relaxed(&of->process->cell_pages);
	uint32_t n;

	for (n = cells_next(pages, 0, of->count); n < of->count;
	     n = cells_next(pages, n + 1, of->count)) {
		struct tally_shared_cell *cell = &of->cells[n];
		struct tally_cell_base *base = &cell->base;
		uint64_t allocated, freed;

		/* relaxed, all: N1 and N2 keep readers from mixing them with what was before */
		allocated = tally_load_relaxed(&cell->allocated_bytes);
		freed = tally_load_relaxed(&cell->freed_bytes);
		tally_store_relaxed(&base->allocated_bytes, allocated);
		tally_store_relaxed(&base->freed_bytes, freed);
		/* relaxed: as above */
		tally_store_relaxed(&base->allocs, tally_load_relaxed(&cell->allocs));
		tally_store_relaxed(&base->frees, tally_load_relaxed(&cell->frees));
		tally_store_relaxed(&base->failures, tally_load_relaxed(&cell->failures));
		tally_store_relaxed(&cell->peak_bytes, allocated - freed);
	}
}

bool cells_read(const struct tally_shared_cell *cell, uint64_t *ret_key,
		struct ledger_sums *ret_sums)
{
	struct ledger_sums sums = { 0 };
	uint64_t key = tally_load_relaxed(&cell->key); /* relaxed, all: each stands by itself */

	if (key == 0)
		return false;
	sums.freed_bytes = tally_load_relaxed(&cell->freed_bytes);
	sums.allocated_bytes = tally_load_relaxed(&cell->allocated_bytes);
	sums.allocs = tally_load_relaxed(&cell->allocs);
	sums.frees = tally_load_relaxed(&cell->frees);
	/* relaxed: as above */
	sums.failures = tally_load_relaxed(&cell->failures);
	sums.peak_bytes = tally_load_relaxed(&cell->peak_bytes);
	*ret_key = key;
	*ret_sums = sums;
	return true;
}
