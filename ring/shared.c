/* SPDX-License-Identifier: Apache-2.0 */
/* The shared ring: tickets and claims on one side, holes and their order on the other. */
#include "ring/shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>

#include "ring/flush.h"
#include "ring/slot.h"

/* How many records a reader stays behind writers that are moving. */
#define DRAIN_DISTANCE 32

/* ---- Writing --------------------------------------------------------------------------------- */

struct shared_ring shared_of(struct region *region, uint32_t entry)
{
	const struct geometry *at = &region->at;
	struct shared_ring ring = {
		.head = region_shared(region->base),
		.events = &region_process(region->base, &region->at, entry)->shared_events,
		.entry = entry,
		.region = region,
	};

	if (!at->shared_size)
		return ring;
	ring.slots = region_shared_slots(region->base, at);
	ring.slot_mask = (1ull << at->shared_ring_log2) - 1;
	ring.lap_scale = 1ull << (TALLY_LAP_SHIFT - at->shared_ring_log2);
	return ring;
}

/* The region's state, by the ring's own pointers, as `region` may have been wiped by a fork. */
static struct tally_region_state *state_of(const struct shared_ring *ring)
{
	return region_state((unsigned char *)ring->head - TALLY_SHARED_RING);
}

/* Reserves the ring on its first use. Another process, or thread, may do the same at once; so
 * nothing is taken back should it fail. */
static bool make_ready(const struct shared_ring *ring)
{
	if (region_reserve(ring->region, ring->region->at.shared_at,
			   ring->region->at.shared_size) != 0)
		return false;
	/* U1'''' -> U2: the ring's pages are reserved before the flag says so */
	tally_store_release(&state_of(ring)->shared_ready, 1);
	return true;
}

static bool is_ready(const struct shared_ring *ring)
{
	/* U2'''''''' -> U1: who sees the flag finds the pages */
	return tally_load_acquire(&state_of(ring)->shared_ready) == 1;
}

/* Whether a pusher at `lap` may take a slot that has this commit word. */
static bool is_claimable(uint64_t commit, uint64_t lap)
{
	switch (slot_state(commit)) {
	case TALLY_SLOT_FREE:
		return true;
	case TALLY_SLOT_WRITING:
		return false;
	default:
		return slot_is_older(slot_ahead(commit, lap));
	}
}

/* Takes tickets until a slot is claimed; its commit word meanwhile is *ret_writing. NULL: none. */
static struct tally_record *claim(const struct shared_ring *ring, enum tally_kind kind,
				  uint64_t *ret_writing)
{
	int tries;

	for (tries = 0; tries < SHARED_TRIES; tries++) {
		/* T1 -> T2: this thread's records so far, before its next position */
		uint64_t pos = tally_add_release(&ring->head->reserve_pos, 1);
		struct tally_record *slot = &ring->slots[pos & ring->slot_mask];
		uint64_t lap = (pos & ~ring->slot_mask) * ring->lap_scale;
		uint64_t writing = slot_commit(lap, TALLY_SLOT_WRITING, kind) | ring->entry;
		/* relaxed: the exchange decides */
		uint64_t found = tally_load_relaxed(&slot->commit);

		/* C2 -> C1: what the slot's last owner wrote is before what is written now */
		if (is_claimable(found, lap) && tally_cas_acquire(&slot->commit, &found, writing)) {
			*ret_writing = writing;
			return slot;
		}
	}
	return NULL;
}

bool shared_push(const struct shared_ring *ring, const struct shared_event *event)
{
	struct tally_record *slot;
	uint64_t writing, event_no;

	if (!ring->slots || (!is_ready(ring) && !make_ready(ring)))
		return false;
	slot = claim(ring, event->kind, &writing);
	if (!slot)
		return false;
	/* Y1 -> Y2: who counts the number finds the slot claimed */
	event_no = tally_add_release(ring->events, 1) + 1;
	tally_fence_release(); /* L1' -> R2: the mark before any payload word */
	/* relaxed: C1 publishes them together */
	tally_store_relaxed(&slot->time, event->time);
	tally_store_relaxed(&slot->buffer_id, event->buffer_id);
	tally_store_relaxed(&slot->size, event->size);
	tally_store_relaxed(&slot->lane_balance, 0);
	tally_store_relaxed(&slot->event_no, event_no);
	tally_store_relaxed(&slot->where, event->where);
	tally_store_relaxed(&slot->label, event->label);
	/* C1 -> R1, C2: payload before VALID */
	tally_store_release(&slot->commit, slot_valid(writing));
	return true;
}

void shared_abort(struct region *region, uint32_t entry)
{
	struct shared_ring ring = shared_of(region, entry);
	uint64_t n;

	if (!ring.slots || !is_ready(&ring))
		return;
	for (n = 0; n <= ring.slot_mask; n++) {
		/* relaxed: the exchange decides */
		uint64_t commit = tally_load_relaxed(&ring.slots[n].commit);

		if (slot_state(commit) == TALLY_SLOT_WRITING && slot_owner(commit) == entry)
			/* C1' -> C2: what the dead one wrote is before what is written next; seen
			 * here by way of its lock */
			tally_cas_both(&ring.slots[n].commit, &commit, slot_aborted(commit));
	}
}

/* ---- Reading --------------------------------------------------------------------------------- */

static uint64_t size_of(const struct shared_reader *reader)
{
	return 1ull << reader->ring_log2;
}

int shared_reader_open(struct shared_reader *reader, unsigned char *base, const struct geometry *at)
{
	size_t size = (size_t)1 << at->shared_ring_log2;

	memset(reader, 0, sizeof(*reader));
	reader->head = region_shared(base);
	reader->slots = region_shared_slots(base, at);
	reader->ring_log2 = at->shared_ring_log2;
	reader->holes = malloc(size * sizeof(*reader->holes));
	reader->hole_pos = malloc(size * sizeof(*reader->hole_pos));
	reader->found = malloc(size * sizeof(*reader->found));
	if (!reader->holes || !reader->hole_pos || !reader->found) {
		shared_reader_close(reader);
		return -ENOMEM;
	}
	memset(reader->hole_pos, 0xff, size * sizeof(*reader->hole_pos));
	/* relaxed: written before shared_ready */
	reader->scan_pos = tally_load_relaxed(&region_state(base)->shared_start);
	reader->idle_pos = reader->scan_pos;
	return 0;
}

void shared_reader_close(struct shared_reader *reader)
{
	free(reader->holes);
	free(reader->hole_pos);
	free(reader->found);
	memset(reader, 0, sizeof(*reader));
}

static void accept(struct shared_reader *reader, const struct tally_record *record,
		   void (*take)(void *arg, const struct tally_record *record), void *arg)
{
	if (slot_version(record->commit) != TALLY_RECORD_VERSION)
		reader->quarantine = "a record of an unknown version";
	else if (take)
		take(arg, record);
}

/* The scan's position, in slot n, has no record yet. */
static void add_hole(struct shared_reader *reader, uint64_t n)
{
	if (reader->hole_pos[n] != SHARED_NO_HOLE)
		return; /* an earlier lap's is open still */
	reader->hole_pos[n] = reader->scan_pos;
	reader->holes[reader->hole_count++] = (uint32_t)n;
}

/* What has become of a hole: the position of a record that is to be read, or SHARED_NO_HOLE. The
 * positions in it that are past hope leave it; closed when none is left. */
static uint64_t look_at_hole(struct shared_reader *reader, uint32_t slot, bool writers_gone)
{
	uint64_t size = size_of(reader);
	uint64_t pos = reader->hole_pos[slot];
	/* R1' -> C1: VALID is seen with the payload behind it */
	uint64_t commit = tally_load_acquire(&reader->slots[slot].commit);
	enum tally_slot_state state = slot_state(commit);
	uint64_t ahead = slot_ahead(commit, slot_lap(pos, reader->ring_log2));
	uint64_t found = SHARED_NO_HOLE;

	if (state != TALLY_SLOT_FREE && !slot_is_older(ahead)) {
		pos += ahead << reader->ring_log2; /* where the slot is now */
		if ((int64_t)(pos - reader->scan_pos) >= 0) {
			pos = reader->scan_pos; /* the scan will come by there */
		} else if (state == TALLY_SLOT_VALID) {
			found = pos;
			pos += size;
		} else if (state == TALLY_SLOT_ABORTED || writers_gone) {
			reader->died++;
			pos += size;
		}
	}
	if (writers_gone || (int64_t)(pos - reader->scan_pos) >= 0)
		pos = SHARED_NO_HOLE;
	reader->hole_pos[slot] = pos;
	return found;
}

static int by_position(const void *a, const void *b)
{
	int64_t behind = (int64_t)(*(const uint64_t *)a - *(const uint64_t *)b);

	return (behind > 0) - (behind < 0);
}

/* Reads what holes have become, in the order of positions: a thread's tickets ascend. */
static void read_holes(struct shared_reader *reader, bool writers_gone,
		       void (*take)(void *arg, const struct tally_record *record), void *arg)
{
	uint32_t n, open = 0;
	size_t found = 0, i;

	for (n = 0; n < reader->hole_count; n++) {
		uint32_t slot = reader->holes[n];
		uint64_t pos = SHARED_NO_HOLE;

		if (reader->hole_pos[slot] != SHARED_NO_HOLE)
			pos = look_at_hole(reader, slot, writers_gone);
		if (pos != SHARED_NO_HOLE)
			reader->found[found++] = pos;
		if (reader->hole_pos[slot] != SHARED_NO_HOLE)
			reader->holes[open++] = slot;
	}
	reader->hole_count = open;
	qsort(reader->found, found, sizeof(*reader->found), by_position);
	for (i = 0; i < found && !reader->quarantine; i++) {
		uint64_t pos = reader->found[i];
		struct tally_record record;

		/* Overwritten meanwhile: lost, as its number tells. */
		if (slot_read(&reader->slots[pos & (size_of(reader) - 1)], pos, reader->ring_log2,
			      &record) == SLOT_VALID)
			accept(reader, &record, take, arg);
	}
}

void shared_drain(struct shared_reader *reader, bool to_end, bool writers_gone,
		  void (*take)(void *arg, const struct tally_record *record), void *arg)
{
	uint64_t size = size_of(reader);
	/* T2 -> T1: first of all, so that what a thread published before it took a ticket below
	 * `end` is seen by all that follows */
	uint64_t reserve_pos = tally_load_acquire(&reader->head->reserve_pos);
	uint64_t end = reserve_pos;
	bool flush = flush_wanted();

	if (reader->quarantine)
		return;
	if ((int64_t)(end - reader->idle_pos) < 0) {
		reader->quarantine = "a position that goes back";
		return;
	}
	read_holes(reader, writers_gone, take, arg);
	if (end - reader->scan_pos > size) /* lapped; of what is left some will go meanwhile */
		reader->scan_pos = end - size + (writers_gone ? 0 : size / 8);
	if (!to_end && reserve_pos != reader->idle_pos)
		end -= DRAIN_DISTANCE;
	reader->idle_pos = reserve_pos;
	for (; (int64_t)(end - reader->scan_pos) > 0 && !reader->quarantine; reader->scan_pos++) {
		uint64_t n = reader->scan_pos & (size - 1);
		struct tally_record record;
		enum slot_sight sight = slot_read(&reader->slots[n], reader->scan_pos,
						  reader->ring_log2, &record);

		if (sight == SLOT_EARLY) {
			add_hole(reader, n);
			continue;
		}
		reader->hole_pos[n] = SHARED_NO_HOLE; /* of earlier laps: nothing will come */
		if (sight == SLOT_VALID) {
			accept(reader, &record, take, arg);
			if (flush)
				flush_line(&reader->slots[n]);
		}
		reader->died += sight == SLOT_ABORTED;
	}
	if (writers_gone)
		read_holes(reader, true, take, arg);
}
