/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the cells of a region: each is read whole, and added to what it belongs to.
 *
 * In a joined region sums run through over all owners: those up to a cell's base are the past's,
 * the rest its row's, or the past's too where there is none.
 */
#include "consumer/passes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>

#include "ring/cells.h"
#include "ring/ledger.h"

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
	const struct tally_shared_cell *cells = process_cells(watch_header(region, entry));
	uint64_t pages = shared_pages(region, entry), print = 0;
	uint32_t n, count = region->view.at.shared_cells;

	for (n = cells_next(pages, 0, count); n < count; n = cells_next(pages, n + 1, count)) {
		struct reading now = { .shared = true, .current = true };

		if (!cells_read(&cells[n], &now.key, &now.sums) || !is_key(now.key))
			continue;
		print += print_of(&now.sums);
		if (add_to(region, region->entries[entry].row, pass, &now, &cells[n].base) != 0)
			return -ENOMEM;
	}
	if (pass == PASS_FREED_FIRST)
		region->settled_print = print;
	return 0;
}

bool pass_is_needless(const struct region_watch *region)
{
	uint32_t n, count = region->view.at.shared_cells;
	const struct tally_shared_cell *cells;
	uint64_t pages, print = 0, key;
	struct ledger_sums sums;

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
	cells = process_cells(watch_header(region, 0));
	for (n = cells_next(pages, 0, count); n < count; n = cells_next(pages, n + 1, count))
		if (cells_read(&cells[n], &key, &sums) && is_key(key))
			print += print_of(&sums);
	return print == region->settled_print;
}

int pass_over(struct region_watch *region, enum pass pass)
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
