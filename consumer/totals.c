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
 *
 * In a joined region sums run through over all owners: those up to a cell's base are the past's,
 * the rest its row's, or the past's too where there is none.
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
	size_t place; /* of its sum */
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

/* What appears after the first pass waits for the next look. */
static int add(struct sums *sums, enum pass pass, struct reading *cell)
{
	struct tally_totals *totals;
	struct sum *sum;

	if (!is_active(&cell->sums))
		return 0;
	sum = sums_find_near(sums, cell->key, &cell->place);
	if (!sum)
		return pass == PASS_FREED_FIRST ? sums_note(sums, cell->key) : 0;
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

static void subtract(uint64_t *from, uint64_t *base)
{
	if (*base > *from) /* an old value of the cell, or a lie */
		*base = *from;
	*from -= *base;
}

/* A cell of a joined region: the base is the past's, the rest its row's. */
static int add_joined(struct region_watch *region, struct process *row, enum pass pass,
		      struct reading *cell, const struct tally_cell_base *cell_base)
{
	struct reading past = { .key = cell->key, .shared = cell->shared, .current = true };
	struct ledger_sums *base = &past.sums, *sums = &cell->sums;
	int64_t peak;

	if (!row)
		return add(&region->past, pass, cell);
	/* relaxed, all: census_holds() tells whether they are the row's */
	base->allocated_bytes = tally_load_relaxed(&cell_base->allocated_bytes);
	base->freed_bytes = tally_load_relaxed(&cell_base->freed_bytes);
	base->allocs = tally_load_relaxed(&cell_base->allocs);
	base->frees = tally_load_relaxed(&cell_base->frees);
	/* relaxed: as above */
	base->failures = tally_load_relaxed(&cell_base->failures);
	subtract(&sums->allocated_bytes, &base->allocated_bytes);
	subtract(&sums->freed_bytes, &base->freed_bytes);
	subtract(&sums->allocs, &base->allocs);
	subtract(&sums->frees, &base->frees);
	subtract(&sums->failures, &base->failures);
	base->peak_bytes = (uint64_t)ledger_balance(base);
	/* The peak is one of the whole balance. */
	peak = minus((int64_t)sums->peak_bytes, ledger_balance(base));
	if (is_active(base))
		sums->peak_bytes = peak > 0 ? (uint64_t)peak : 0;
	if (add(&region->past, pass, &past) != 0)
		return -ENOMEM;
	return add(&row->sums, pass, cell);
}

static int add_to(struct region_watch *region, struct process *row, enum pass pass,
		  struct reading *cell, const struct tally_cell_base *base)
{
	if (region->joined)
		return add_joined(region, row, pass, cell, base);
	return add(&row->sums, pass, cell);
}

/* ---- Cells ----------------------------------------------------------------------------------- */

static int room_for_cells(struct lane_watch *lane, uint32_t count)
{
	uint32_t room = lane->cell_room ? lane->cell_room : 1;
	struct cell_watch *cells;

	if (count <= lane->cell_room)
		return 0;
	while (room < count)
		room *= 2;
	cells = realloc(lane->cells, room * sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	memset(cells + lane->cell_room, 0, (room - lane->cell_room) * sizeof(*cells));
	lane->cells = cells;
	lane->cell_room = room;
	return 0;
}

static int scan_lane(struct region_watch *region, struct lane_watch *lane, enum pass pass)
{
	struct tally_lane_header *header = lane->reader.header;
	const struct tally_record *last = lane->has_last ? &lane->last : NULL;
	/* D2 -> D1: every cell counted here is there */
	uint64_t count = tally_load_acquire(&header->cell_count);
	uint64_t event_no = 0;
	uint32_t n;

	if (count > region->view.at.lane_cells)
		count = region->view.at.lane_cells;
	for (n = 0; n < count; n++) {
		const struct tally_cell *cell = &lane_cells(header)[n];
		/* relaxed: D2 makes sure that it was written */
		struct reading now = { .key = tally_load_relaxed(&cell->key) };

		if (!is_key(now.key))
			break; /* a broken directory: nothing behind it is touched */
		if (room_for_cells(lane, n + 1) != 0)
			return -ENOMEM;
		now.current = ledger_settled(cell, now.key, last, &now.sums);
		if (now.current)
			lane->cells[n].good = now.sums;
		else
			now.sums = lane->cells[n].good;
		if (!now.current || now.sums.event_no > event_no)
			event_no = now.current ? now.sums.event_no : UINT64_MAX;
		now.place = lane->cells[n].place;
		if (add_to(region, lane->row, pass, &now, &cell->base) != 0)
			return -ENOMEM;
		lane->cells[n].place = now.place;
	}
	if (pass == PASS_FREED_FIRST) {
		lane->settled_cells = count;
		lane->settled_event_no = event_no;
	}
	return 0;
}

/* The next of an entry's shared cells from *n on that is in a page of `pages`; *n moves behind it.
 * NULL: no more. */
static const struct tally_shared_cell *next_shared(const struct region_watch *region,
						   uint32_t entry, uint64_t pages, uint32_t *n)
{
	struct tally_process_header *header = watch_header(region, entry);

	for (; *n < region->view.at.shared_cells; ++*n) {
		uint32_t page = cells_page(*n);

		if (page >= 64)
			break;
		if (pages >> page & 1)
			return &process_cells(header)[(*n)++];
	}
	return NULL;
}

static uint64_t shared_pages(const struct region_watch *region, uint32_t entry)
{
	/* U2'''''' -> U1: the pages whose bits are set are reserved */
	return tally_load_acquire(&watch_header(region, entry)->cell_pages);
}

/* Its words only grow, and so does their sum. */
static uint64_t print_of(const struct ledger_sums *sums)
{
	return sums->allocated_bytes + sums->freed_bytes + sums->allocs + sums->frees +
	       sums->failures + sums->peak_bytes;
}

/* The shared cells of one entry, page by page, as far as pages are reserved. */
static int scan_shared(struct region_watch *region, uint32_t entry, enum pass pass)
{
	uint64_t pages = shared_pages(region, entry), print = 0;
	const struct tally_shared_cell *cell;
	uint32_t n = 0;

	while ((cell = next_shared(region, entry, pages, &n))) {
		struct reading now = { .shared = true, .current = true };

		if (!cells_read(cell, &now.key, &now.sums) || !is_key(now.key))
			continue;
		print += print_of(&now.sums);
		if (add_to(region, region->entries[entry].row, pass, &now, &cell->base) != 0)
			return -ENOMEM;
	}
	if (pass == PASS_FREED_FIRST)
		region->settled_print = print;
	return 0;
}

/* Whether nothing has happened since it was read. */
static bool is_still(const struct region_watch *region)
{
	const struct tally_shared_cell *cell;
	uint64_t pages, print = 0, key;
	struct ledger_sums sums;
	uint32_t n;

	if (region->joined || region->fresh || !region->alive)
		return false;
	for (n = 0; n < region->lane_count; n++) {
		const struct lane_watch *lane = &region->lanes[n];

		/* relaxed: a new cell comes before its first event, which is counted */
		if (lane->events != lane->settled_event_no ||
		    tally_load_relaxed(&lane->reader.header->cell_count) != lane->settled_cells)
			return false;
	}
	pages = shared_pages(region, 0);
	for (n = 0; (cell = next_shared(region, 0, pages, &n));)
		if (cells_read(cell, &key, &sums) && is_key(key))
			print += print_of(&sums);
	return print == region->settled_print;
}

static int scan(struct region_watch *region, enum pass pass)
{
	uint32_t n;

	for (n = 0; n < region->lane_count; n++)
		if (scan_lane(region, &region->lanes[n], pass) != 0)
			return -ENOMEM;
	for (n = 0; n < region->entry_count; n++)
		if (region->entries[n].known && scan_shared(region, n, pass) != 0)
			return -ENOMEM;
	return 0;
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
		error = scan(region, PASS_FREED_FIRST);
	if (!error)
		error = settle_all(region, &found);
	if (error || !found)
		return error;
	error = restart_all(region);
	return error ? error : scan(region, PASS_FREED_FIRST);
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

	if (is_still(region))
		return 0;
	if (scan_first(region) != 0)
		return -ENOMEM;
	for (tries = 1;; tries++) {
		if (scan(region, PASS_ALLOCATED) != 0 || scan(region, PASS_FREED_LAST) != 0)
			return -ENOMEM;
		if (tries == BOUND_TRIES || all_agree(region))
			break;
		try_all_again(region);
	}
	finish_all(region);
	return 0;
}
