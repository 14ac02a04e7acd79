/* SPDX-License-Identifier: Apache-2.0 */
/* A shared ring as tests drive it, in one thread, with others at work in its places. */
#ifndef TESTS_SHARED_H
#define TESTS_SHARED_H

#include "tests/places.h"
#include "tests/rig.h"

#define RING_LOG2 6
#define RING (1u << RING_LOG2)

static struct rig rig;
static struct shared_reader reader;

/* The ring as process entry `entry` has it. */
static inline struct shared_ring ring_of(uint32_t entry)
{
	unsigned char *process = (unsigned char *)region_process(rig.region.base, &rig.region.at,
								 entry);

	assert_int_equal(
		region_reserve(&rig.region, (size_t)(process - rig.region.base), TALLY_PAGE), 0);
	return shared_of(&rig.region, entry);
}

static inline struct tally_record *slot_at(uint64_t pos)
{
	return &region_shared_slots(rig.region.base, &rig.region.at)[pos & (RING - 1)];
}

static inline uint64_t *reserve_pos(void)
{
	return &region_shared(rig.region.base)->reserve_pos;
}

/* A region for several processes, whose shared ring begins at `start_pos`, and a reader. */
static inline void shared_begin(uint64_t start_pos)
{
	struct region_config config = { .dir = test_dir,
					.name = "tally-0-join-test",
					.ring_log2 = RING_LOG2 };

	memset(&at_place, 0, sizeof(at_place));
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(region_create(&config, &rig.region), 0);
	assert_int_equal(region_publish(&rig.region), 0);
	region_state(rig.region.base)->shared_start = start_pos;
	*reserve_pos() = start_pos;
}

static inline void reader_begin(void)
{
	struct shared_ring ring = ring_of(0);

	assert_true(shared_ready(&ring) || shared_reserve(&ring));
	assert_int_equal(shared_reader_open(&reader, rig.region.base, &rig.region.at), 0);
}

static inline void shared_end(void)
{
	if (reader.holes)
		shared_reader_close(&reader);
	rig_free(&rig);
}

/* Positions and laps are about to wrap in these, too. */
static const uint64_t starts[] = {
	0,
	SHARED_GROUP,
	1000,
	0 - (uint64_t)SHARED_GROUP * 2,	       /* positions wrap at 2^64 */
	0 - (uint64_t)RING * 2,		       /* likewise, on a lap's first slot */
	((1ull << TALLY_LAP_BITS) - 1) * RING, /* laps wrap at 2^40 */
	((1ull << TALLY_LAP_BITS) * RING) - SHARED_GROUP,
	(1ull << (TALLY_LAP_BITS - 1)) * RING - SHARED_GROUP, /* half of them */
};

/* ---- Events whose every word follows from who pushed them, and which of his it was ----------- */

#define PUSHERS 128

static inline struct shared_event event_of(uint64_t pusher, uint64_t n)
{
	uint64_t id = pusher << 40 | n;

	return (struct shared_event){
		.time = mix(id ^ 1) | 1,
		.kind = (enum tally_kind)(1 + mix(id ^ 2) % 6),
		.buffer_id = id,
		.size = mix(id ^ 3),
		.where = mix(id ^ 4),
		.label = mix(id ^ 5),
	};
}

static uint64_t pushed[PUSHERS];  /* by pusher: how many it has */
static uint64_t tickets[PUSHERS]; /* likewise its next ticket */

/* Pusher p's next event, as one of process entry `entry`. */
static inline bool push_as(uint32_t entry, uint64_t pusher)
{
	struct shared_ring ring = ring_of(entry);
	struct shared_event event = event_of(pusher, ++pushed[pusher]);

	return shared_push(&ring, &event, &tickets[pusher]);
}

static inline void push_many(uint64_t pusher, uint64_t count)
{
	while (count--)
		assert_true(push_as(0, pusher));
}

/* ---- What is read ---------------------------------------------------------------------------- */

static struct {
	struct tally_record records[1024];
	size_t count;
	uint64_t last[PUSHERS]; /* by pusher */
} taken;

static inline void take(void *arg, const struct tally_record *record)
{
	uint64_t pusher = record->buffer_id >> 40, n = record->buffer_id & ((1ull << 40) - 1);
	struct shared_event event = event_of(pusher, n);

	(void)arg;
	assert_true(pusher < PUSHERS);
	assert_int_equal(record->time, event.time);
	assert_int_equal(slot_kind(record->commit), event.kind);
	assert_int_equal(record->size, event.size);
	assert_int_equal(record->lane_balance, 0);
	assert_int_equal(record->where, event.where);
	assert_int_equal(record->label, event.label);
	assert_int_equal(slot_state(record->commit), TALLY_SLOT_VALID);
	/* in order, and none twice */
	assert_true(n > taken.last[pusher]);
	taken.last[pusher] = n;
	if (taken.count < COUNT(taken.records)) /* the first ones are looked at again */
		taken.records[taken.count] = *record;
	taken.count++;
}

/* Everything there is; how many records that was. */
static inline size_t drain(void)
{
	size_t before = taken.count;

	shared_drain(&reader, true, false, take, NULL);
	return taken.count - before;
}

/* As many, with a drain after each few; how many were read. */
static inline size_t push_and_drain(uint64_t pusher, uint64_t count)
{
	size_t read = 0;

	while (count--) {
		push_many(pusher, 1);
		if (count % 5 == 0)
			read += drain();
	}
	return read;
}

/* A test's first line. */
static inline void begin_at(uint64_t start_pos)
{
	memset(pushed, 0, sizeof(pushed));
	memset(tickets, 0, sizeof(tickets));
	memset(&taken, 0, sizeof(taken));
	shared_begin(start_pos);
	reader_begin();
}

/* ---- Holes ----------------------------------------------------------------------------------- */

/* Position `pos`, which pusher 0 has claimed by hand, gets its n-th record. */
static inline void publish(uint64_t pos, uint64_t n)
{
	struct shared_event event = event_of(0, n);
	struct tally_record *slot = slot_at(pos);

	slot->time = event.time;
	slot->buffer_id = event.buffer_id;
	slot->size = event.size;
	slot->where = event.where;
	slot->label = event.label;
	slot->event_no = n;
	slot->lane_balance = 0;
	slot->commit = slot_valid(
		slot_commit(slot_lap(pos, RING_LOG2), TALLY_SLOT_WRITING, event.kind));
}

static inline size_t open_holes(void)
{
	size_t n, count = 0;

	for (n = 0; n < RING; n++)
		count += is_hole(&reader, n);
	return count;
}

/* A group that somebody has taken; in its first slot he is writing, or has yet to claim it. */
static inline void make_hole(uint64_t start_pos, bool claimed)
{
	begin_at(start_pos);
	if (claimed)
		slot_at(start_pos)->commit = slot_commit(slot_lap(start_pos, RING_LOG2),
							 TALLY_SLOT_WRITING, event_of(0, 1).kind);
	*reserve_pos() += SHARED_GROUP;
	push_many(1, 3);
	assert_int_equal(drain(), 3);
	assert_true(is_hole(&reader, start_pos & (RING - 1)));
	assert_int_equal(open_holes(), SHARED_GROUP + 5);
	assert_int_equal(shared_outstanding(&reader, 0), claimed);
}

#endif
