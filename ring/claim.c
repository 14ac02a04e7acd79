/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns a lane: claiming one, leaving it, finishing and booking what a dead owner has left. */
#include <stddef.h>

#include "ring/lane.h"
#include "ring/region.h"

static uint64_t owner_word(enum tally_lane_state state, uint32_t entry, uint32_t tid)
{
	return (uint64_t)state << 56 | (uint64_t)(entry & 0xffffff) << 32 | tid;
}

/* ---- What the last owner left ---------------------------------------------------------------- */

static struct tally_cell *find_cell(struct tally_lane_header *header, uint64_t count, uint64_t key)
{
	struct tally_cell *cells = lane_cells(header);
	uint64_t n;

	for (n = 0; n < count; n++)
		if (tally_load_relaxed(&cells[n].key) == key) /* own */
			return &cells[n];
	return NULL;
}

/* Own, or nobody's: the lane's counted cells. */
static uint64_t count_cells(const struct tally_lane_header *header, const struct geometry *at)
{
	uint64_t count = tally_load_relaxed(&header->cell_count); /* own */

	return count < at->lane_cells ? count : at->lane_cells;
}

/* Finishes what a push that never returned has left behind: applies the lane's last record when
 * the ledger is behind it. `last` may be NULL. The owner, or who stands in for a dead one. */
static void settle(struct tally_lane_header *header, const struct geometry *at,
		   const struct tally_record *last)
{
	/* own, all: the last owner's words, seen by O2 or by its lock */
	uint64_t pos = tally_load_relaxed(&header->publish_pos);
	uint64_t start_pos = tally_load_relaxed(&header->start_pos);
	uint64_t unrecorded = tally_load_relaxed(&header->unrecorded);
	struct ledger_sums change;
	struct tally_cell *cell;
	uint64_t seq;

	if (!last)
		return;
	if (last->event_no == pos - start_pos + unrecorded + 1)
		/* L3' -> R3: the push that never returned stopped before this step */
		tally_store_release(&header->publish_pos, pos + 1);
	cell = find_cell(header, count_cells(header, at),
			 TALLY_KEY(last->where >> 48, last->where >> 40 & 0xff));
	if (!cell)
		return;
	seq = tally_load_relaxed(&cell->seq); /* own, both */
	if (last->event_no <= tally_load_relaxed(&ledger_half(cell, seq)->event_no))
		return;
	change = ledger_change((enum tally_kind)slot_kind(last->commit), last->size,
			       last->buffer_id);
	ledger_commit(cell, seq, &change, ledger_prepare(cell, seq, &change, last->event_no));
}

/* The last record that was completed, its position published or not. */
static bool last_record(const struct lane_writer *writer, struct tally_record *ret_record)
{
	if (writer->slots != &writer->no_ring)
		return lane_last(writer->header, writer->slots, writer->ring_log2, ret_record);
	*ret_record = writer->no_ring; /* private, and nobody is in a push */
	return slot_state(ret_record->commit) == TALLY_SLOT_VALID;
}

/* The lane of a thread of this process that has gone, perhaps in the middle of a push. */
static void continue_lane(struct lane_writer *writer)
{
	const struct geometry *at = &writer->region->at;
	struct tally_record last;
	bool has_last = last_record(writer, &last);

	settle(writer->header, at, has_last ? &last : NULL);
	/* It may have stopped between adding a cell and knowing it. */
	writer->cell_count = (uint32_t)count_cells(writer->header, at);
}

/* ---- Setting up a writer --------------------------------------------------------------------- */

/* Raises lanes_used to at least `lanes`. Bounded: it only grows, to the number of lanes. */
static void count_lane(struct region *region, uint32_t lanes)
{
	uint64_t *used = &region_state(region->base)->lanes_used;
	uint64_t now = tally_load_relaxed(used); /* relaxed: the exchange below decides */

	while (now < lanes) {
		/* U1 -> U2: a lane's first page is reserved before it is counted */
		tally_fence_release();
		/* relaxed: after the fence, and a failure only looks again */
		if (tally_cas_relaxed(used, &now, lanes))
			break;
	}
}

static void use_ring(struct lane_writer *writer, uint32_t lane)
{
	const struct geometry *at = &writer->region->at;

	writer->slots = region_ring(writer->region->base, at, lane);
	writer->slot_mask = (1ull << at->ring_log2) - 1;
	writer->lap_scale = 1ull << (TALLY_LAP_SHIFT - at->ring_log2);
	if (at->cursor_size)
		lossless_open(&writer->lossless, region_cursor(writer->region->base, at, lane),
			      tally_load_relaxed(&writer->header->publish_pos), /* own */
			      writer->region->lossless_ms);
}

static void set_up(struct lane_writer *writer, struct region *region, uint32_t lane)
{
	writer->header = region_lane(region->base, &region->at, lane);
	writer->cells = lane_cells(writer->header);
	writer->region = region;
	writer->ring_log2 = region->at.ring_log2;
	writer->slots = &writer->no_ring;
	writer->lossless.cursor = NULL;
	writer->index[0].key = LANE_INDEX_TAKEN;
	writer->clock = (enum tally_clock)((struct tally_region_header *)region->base)->clock;
}

/* A lane nobody had before, or whose first owner died opening it: its pages are reserved now. */
static void open_lane(struct lane_writer *writer, uint32_t lane, uint64_t start_pos)
{
	struct tally_lane_header *header = writer->header;
	struct region *region = writer->region;
	const struct geometry *at = &region->at;

	writer->event_offset = 1 - start_pos;
	/* relaxed, all: ring_ready, and lanes_used after them, say that they can be read */
	tally_store_relaxed(&header->start_pos, start_pos);
	tally_store_relaxed(&header->publish_pos, start_pos);
	if (at->ring_stride && region_reserve_all(region, at->ring_at + lane * at->ring_stride,
						  at->ring_stride) == 0) {
		use_ring(writer, lane);
		tally_store_release(&header->ring_ready, 1); /* U1' -> U2 likewise */
	}
	tally_store_relaxed(&header->opened, 1); /* own */
	count_lane(region, lane + 1);
}

/* What a lane's words say is there: reserved again, as they may lie. */
static int reserve_lane(struct region *region, uint32_t lane)
{
	const struct geometry *at = &region->at;
	struct tally_lane_header *header = region_lane(region->base, at, lane);
	uint64_t count = count_cells(header, at);
	int error = region_reserve(region, at->lane_at + lane * at->lane_stride,
				   sizeof(*header) + count * sizeof(struct tally_cell));

	if (!error && at->ring_stride && tally_load_relaxed(&header->ring_ready) == 1) /* own */
		error = region_reserve(region, at->ring_at + lane * at->ring_stride,
				       at->ring_stride);
	return error;
}

/* The lane of a process that is dead and booked: another's words, so each is checked. False: what
 * they say is not there. */
static bool adopt_lane(struct lane_writer *writer, uint32_t lane)
{
	struct tally_lane_header *header = writer->header;

	if (reserve_lane(writer->region, lane) != 0)
		return false;
	/* own, all: since O2 */
	writer->event_offset = 1 - tally_load_relaxed(&header->start_pos) +
			       tally_load_relaxed(&header->unrecorded);
	writer->cell_count = (uint32_t)count_cells(header, &writer->region->at);
	if (writer->region->at.ring_stride && tally_load_relaxed(&header->ring_ready) == 1)
		use_ring(writer, lane);
	count_lane(writer->region, lane + 1);
	return true;
}

/* ---- Claiming -------------------------------------------------------------------------------- */

static bool may_claim(uint64_t owner, uint32_t entry)
{
	enum tally_lane_state state = (enum tally_lane_state)(owner >> 56);

	return state == TALLY_LANE_FREE || state == TALLY_LANE_RETIRED ||
	       owner == owner_word(TALLY_LANE_EXITED, entry, 0);
}

/* A lane whose header can be touched: counted ones can, others are reserved for it. */
static bool can_touch(struct region *region, uint32_t lane)
{
	/* U2' -> U1: the first page of a counted lane is reserved */
	uint64_t used = tally_load_acquire(&region_state(region->base)->lanes_used);

	return lane < used ||
	       region_reserve(region, region->at.lane_at + lane * region->at.lane_stride,
			      TALLY_PAGE) == 0;
}

struct lane_writer *lane_claim(struct region *region, struct lane_writer *writers, uint32_t entry,
			       uint32_t tid, uint64_t start_pos)
{
	const struct geometry *at = &region->at;
	uint64_t mine = owner_word(TALLY_LANE_OWNED, entry, tid);
	uint32_t lane;

	for (lane = 0; lane < at->lanes && can_touch(region, lane); lane++) {
		struct tally_lane_header *header = region_lane(region->base, at, lane);
		struct lane_writer *writer = &writers[lane];
		/* relaxed: the exchange decides */
		uint64_t owner = tally_load_relaxed(&header->owner);

		if (!may_claim(owner, entry))
			continue;
		/* O2 -> O1: what the last owner did, its writer included, is done */
		if (!tally_cas_acquire(&header->owner, &owner, mine))
			continue;
		/* Without a writer no thread of ours has left it: the word lies. */
		if (owner >> 56 == TALLY_LANE_EXITED && writer->region) {
			continue_lane(writer);
		} else {
			set_up(writer, region, lane);
			if (!tally_load_relaxed(&header->opened)) { /* own */
				open_lane(writer, lane, start_pos);
			} else if (!adopt_lane(writer, lane)) {
				/* O1'' -> O2: as it was */
				tally_store_release(&header->owner,
						    owner_word(TALLY_LANE_RETIRED, 0, 0));
				continue;
			}
		}
		writer->tid = tid;
		writer->tag = 0;
		return writer;
	}
	return NULL;
}

bool lane_claimable(const struct region *region, uint32_t entry)
{
	/* Copies: should a handler fork here, the child comes back to wiped state. */
	unsigned char *base = region->base;
	struct geometry at = region->at;
	uint64_t used;
	uint32_t lane;

	tally_fence_signal(); /* the copies are taken here, and not again */
	if (!base)
		return false;
	/* U2'' -> U1: the first page of a counted lane is reserved */
	used = tally_load_acquire(&region_state(base)->lanes_used);
	for (lane = 0; lane < at.lanes; lane++) {
		if (lane >= used)
			return true; /* if there is memory for it */
		/* relaxed: a hint, claiming it decides */
		if (may_claim(tally_load_relaxed(&region_lane(base, &at, lane)->owner), entry))
			return true;
	}
	return false;
}

void lane_leave(struct lane_writer *writer)
{
	uint64_t owner = tally_load_relaxed(&writer->header->owner); /* own */
	uint32_t entry = (uint32_t)(owner >> 32 & 0xffffff);

	/* O1 -> O2: everything this thread did in the lane comes before */
	tally_store_release(&writer->header->owner, owner_word(TALLY_LANE_EXITED, entry, 0));
}

/* ---- Booking --------------------------------------------------------------------------------- */

static void book_cell(struct tally_cell *cell)
{
	/* own, all: nobody else writes while the dead owner's lock is held */
	struct tally_cell_half *now = ledger_half(cell, tally_load_relaxed(&cell->seq));
	struct tally_cell_base *base = &cell->base;
	uint64_t allocated = tally_load_relaxed(&now->allocated_bytes);
	uint64_t freed = tally_load_relaxed(&now->freed_bytes);

	/* relaxed, all: N1 and N2 keep readers from mixing them with what was before */
	tally_store_relaxed(&base->allocated_bytes, allocated);
	tally_store_relaxed(&base->freed_bytes, freed);
	tally_store_relaxed(&base->allocs, tally_load_relaxed(&now->allocs));
	tally_store_relaxed(&base->frees, tally_load_relaxed(&now->frees));
	tally_store_relaxed(&base->failures, tally_load_relaxed(&now->failures));
	tally_store_relaxed(&cell->peak_bytes, allocated - freed);
}

static int book_lane(struct region *region, uint32_t lane)
{
	struct tally_lane_header *header = region_lane(region->base, &region->at, lane);
	uint64_t count = count_cells(header, &region->at);
	uint64_t events, unrecorded, n;
	struct tally_record last;
	bool has_last = false;
	int error = reserve_lane(region, lane);

	if (error)
		return error;
	/* own, all: as above */
	if (region->at.ring_stride && tally_load_relaxed(&header->ring_ready) == 1)
		has_last = lane_last(header, region_ring(region->base, &region->at, lane),
				     region->at.ring_log2, &last);
	settle(header, &region->at, has_last ? &last : NULL);
	for (n = 0; n < count; n++)
		book_cell(&lane_cells(header)[n]);
	lane_count(header, &events, &unrecorded);
	/* relaxed, both: N1 and N2, as above */
	tally_store_relaxed(&header->base_events, events);
	tally_store_relaxed(&header->base_unrecorded, unrecorded);
	return 0;
}

int lanes_book(struct region *region, uint32_t entry)
{
	uint32_t lane;

	for (lane = 0; lane < region->at.lanes; lane++) {
		struct tally_lane_header *header = region_lane(region->base, &region->at, lane);
		uint64_t owner;
		int error;

		if (!can_touch(region, lane))
			break;				    /* nobody could claim it, then */
		owner = tally_load_relaxed(&header->owner); /* relaxed: own, or not ours at all */
		if (owner >> 56 == TALLY_LANE_FREE)
			break; /* lanes are claimed in order, and are never free again */
		if (owner >> 56 == TALLY_LANE_RETIRED || (owner >> 32 & 0xffffff) != entry)
			continue;
		error = book_lane(region, lane);
		if (error)
			return error;
		/* O1' -> O2: booked before anybody claims it */
		tally_store_release(&header->owner, owner_word(TALLY_LANE_RETIRED, 0, 0));
	}
	return 0;
}
