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
_Static_assert(DRAIN_DISTANCE % SHARED_GROUP == 0, "groups are read whole");

/* ---- Writing --------------------------------------------------------------------------------- */

struct shared_ring shared_of(struct region *region, uint32_t entry)
{
	const struct geometry *at = &region->at;
	struct shared_ring ring = {
		.head = region_shared(region->base),
		.process = region_process(region->base, &region->at, entry),
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

bool shared_reserve(const struct shared_ring *ring)
{
	if (!ring->slots)
		return false;
	/* Nothing is taken back should it fail: somebody else may have begun to use it. */
	if (region_reserve(ring->region, ring->region->at.shared_at,
			   ring->region->at.shared_size) != 0)
		return false;
	/* U1'''' -> U2: the ring's pages are reserved before the flag says so */
	tally_store_release(&region_state(ring->region->base)->shared_ready, 1);
	return true;
}

void shared_abort(struct region *region, uint32_t entry)
{
	struct shared_ring ring = shared_of(region, entry);
	uint64_t n;

	if (!shared_ready(&ring))
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

#define WORD_BITS 64

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
	reader->holes = calloc(size / WORD_BITS, sizeof(*reader->holes));
	reader->hole_pos = malloc(size * sizeof(*reader->hole_pos));
	reader->found = malloc(size * sizeof(*reader->found));
	reader->entries = at->processes;
	reader->writing = calloc(at->processes, sizeof(*reader->writing));
	if (!reader->holes || !reader->hole_pos || !reader->found || !reader->writing) {
		shared_reader_close(reader);
		return -ENOMEM;
	}
	/* relaxed: written before shared_ready */
	reader->scan_pos = tally_load_relaxed(&region_state(base)->shared_start);
	reader->scan_pos -= reader->scan_pos % SHARED_GROUP;
	reader->idle_pos = reader->scan_pos;
	return 0;
}

void shared_reader_close(struct shared_reader *reader)
{
	free(reader->holes);
	free(reader->hole_pos);
	free(reader->found);
	free(reader->writing);
	memset(reader, 0, sizeof(*reader));
}

uint64_t shared_outstanding(const struct shared_reader *reader, uint32_t entry)
{
	return reader->idle_pos - reader->scan_pos + reader->writing[entry];
}

static void count_writing(struct shared_reader *reader, uint64_t commit)
{
	if (slot_state(commit) == TALLY_SLOT_WRITING && slot_owner(commit) < reader->entries)
		reader->writing[slot_owner(commit)]++;
}

struct taker {
	void (*take)(void *arg, const struct tally_record *record);
	void *arg;
};

/* Reads the record at `pos` if it is there still: overwritten, it is lost, as its number tells. */
static void read_one(struct shared_reader *reader, uint64_t pos, const struct taker *taker)
{
	const struct tally_record *slot = &reader->slots[pos & (size_of(reader) - 1)];
	struct tally_record record;

	if (slot_read(slot, pos, reader->ring_log2, &record) != SLOT_VALID)
		return;
	if (slot_version(record.commit) != TALLY_RECORD_VERSION)
		reader->quarantine = "a record of an unknown version";
	else if (taker->take)
		taker->take(taker->arg, &record);
	if (flush_wanted())
		flush_line(slot);
}

/* ---- Holes ----------------------------------------------------------------------------------- */

static bool is_hole(const struct shared_reader *reader, uint64_t n)
{
	return reader->holes[n / WORD_BITS] >> n % WORD_BITS & 1;
}

static void set_hole(struct shared_reader *reader, uint64_t n, bool open)
{
	uint64_t bit = 1ull << n % WORD_BITS;

	if (open)
		reader->holes[n / WORD_BITS] |= bit;
	else
		reader->holes[n / WORD_BITS] &= ~bit;
}

/* What has become of the hole in slot n. True: *ret_pos is of a record that is to be read.
 * Positions that are past hope leave the hole; without any it is closed. */
static bool look_at_hole(struct shared_reader *reader, uint64_t n, bool writers_gone,
			 uint64_t *ret_pos)
{
	uint64_t pos = reader->hole_pos[n];
	/* R1' -> C1: VALID is seen, and all that its thread published before */
	uint64_t commit = tally_load_acquire(&reader->slots[n].commit);
	enum tally_slot_state state = slot_state(commit);
	uint64_t ahead = slot_ahead(commit, slot_lap(pos, reader->ring_log2));
	bool found = false;

	TALLY_TESTPOINT(hole_seen);
	count_writing(reader, commit);
	if (state != TALLY_SLOT_FREE && !slot_is_older(ahead)) {
		pos += ahead << reader->ring_log2; /* where the slot is now */
		if ((int64_t)(pos - reader->scan_pos) >= 0) {
			pos = reader->scan_pos; /* the scan will come by there */
		} else if (state != TALLY_SLOT_WRITING || writers_gone) {
			found = state == TALLY_SLOT_VALID;
			reader->died += !found;
			*ret_pos = pos;
			pos += size_of(reader);
		}
	}
	reader->hole_pos[n] = pos;
	set_hole(reader, n, !writers_gone && (int64_t)(pos - reader->scan_pos) < 0);
	return found;
}

/* The one that is further behind comes first. */
static int by_distance(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x < y) - (x > y);
}

/* Reads what holes have become, in the order of positions. They are looked at from the last slot to
 * the first: who finds a record in a group finds, behind it, what its thread published before. */
static void read_holes(struct shared_reader *reader, bool writers_gone, const struct taker *taker)
{
	uint64_t n = size_of(reader);
	size_t found = 0, i;

	while (n-- > 0) {
		if (reader->holes[n / WORD_BITS] == 0)
			n -= n % WORD_BITS; /* none in this word */
		else if (is_hole(reader, n))
			found += look_at_hole(reader, n, writers_gone, &reader->found[found]);
	}
	for (i = 0; i < found; i++)
		reader->found[i] = reader->scan_pos - reader->found[i];
	qsort(reader->found, found, sizeof(*reader->found), by_distance);
	for (i = 0; i < found && !reader->quarantine; i++)
		read_one(reader, reader->scan_pos - reader->found[i], taker);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* A position that has no record yet, or never gets one. Holes of earlier laps are over when the
 * slot has come this far. */
static void note(struct shared_reader *reader, uint64_t pos, uint64_t commit)
{
	uint64_t n = pos & (size_of(reader) - 1);
	enum slot_sight sight = slot_sight(commit, pos, reader->ring_log2);

	reader->died += sight == SLOT_ABORTED;
	if (sight != SLOT_EARLY) {
		set_hole(reader, n, false);
		return;
	}
	if (!is_hole(reader, n)) /* else an earlier lap's is open still */
		reader->hole_pos[n] = pos;
	set_hole(reader, n, true);
	count_writing(reader, commit);
}

/* The next group: looked at from its last position to its first, then read from the first. What was
 * published only after its look is left for the next drain, or it might come before what its
 * thread published earlier. */
static void read_group(struct shared_reader *reader, const struct taker *taker)
{
	bool valid[SHARED_GROUP];
	uint64_t n;

	for (n = SHARED_GROUP; n-- > 0;) {
		uint64_t pos = reader->scan_pos + n;
		const struct tally_record *slot = &reader->slots[pos & (size_of(reader) - 1)];
		/* R1'' -> C1: as above */
		uint64_t commit = tally_load_acquire(&slot->commit);

		valid[n] = slot_sight(commit, pos, reader->ring_log2) == SLOT_VALID;
		note(reader, pos, commit);
		TALLY_TESTPOINT(slot_seen);
	}
	for (n = 0; n < SHARED_GROUP && !reader->quarantine; n++)
		if (valid[n])
			read_one(reader, reader->scan_pos + n, taker);
	reader->scan_pos += SHARED_GROUP;
}

void shared_drain(struct shared_reader *reader, bool to_end, bool writers_gone,
		  void (*take)(void *arg, const struct tally_record *record), void *arg)
{
	struct taker taker = { .take = take, .arg = arg };
	uint64_t size = size_of(reader);
	/* T2 -> T1: first of all, so that what a thread published before it took a group below
	 * `end` is seen by all that follows */
	uint64_t reserve_pos = tally_load_acquire(&reader->head->reserve_pos);
	uint64_t end = reserve_pos - reserve_pos % SHARED_GROUP;

	TALLY_TESTPOINT(end_known);
	if (reader->quarantine)
		return;
	if ((int64_t)(reserve_pos - reader->idle_pos) < 0) {
		reader->quarantine = "a position that goes back";
		return;
	}
	memset(reader->writing, 0, reader->entries * sizeof(*reader->writing));
	read_holes(reader, writers_gone, &taker);
	TALLY_TESTPOINT(holes_read);
	if (end - reader->scan_pos > size) /* lapped; of what is left some will go meanwhile */
		reader->scan_pos = end - size + (writers_gone ? 0 : size / 8);
	if (!to_end && reserve_pos != reader->idle_pos)
		end -= DRAIN_DISTANCE;
	reader->idle_pos = reserve_pos;
	while ((int64_t)(end - reader->scan_pos) > 0 && !reader->quarantine)
		read_group(reader, &taker);
	if (writers_gone)
		read_holes(reader, true, &taker);
}
