/* SPDX-License-Identifier: Apache-2.0 */
/* A lane in one thread: what is pushed is read, what is lapped is counted, what is left is settled.
 * sanitizers: address, thread; also on: arm64 */
#include "ring/lane.h"

#include <string.h>

#include "tests/rig.h"
#include "tests/support.h"
#include "tests/trap.h"

#define RING_LOG2 6
#define RING (1u << RING_LOG2)
#define TID 4711

/* The records that a drain hands over. */
static struct {
	struct tally_record records[4096];
	size_t count;
	uint64_t last_no, bad;
} taken;

static void take(void *arg, const struct tally_record *record)
{
	(void)arg;
	if (taken.count < COUNT(taken.records))
		taken.records[taken.count] = *record;
	taken.count++;
	taken.bad += !numbered_record(record, TID) || record->event_no <= taken.last_no;
	taken.last_no = record->event_no;
}

/* Drains to the end, as often as it takes. */
static void drain(struct lane_reader *reader)
{
	uint64_t before;

	memset(&taken, 0, sizeof(taken));
	do {
		before = reader->pos;
		lane_drain(reader, true, false, take, NULL);
	} while (reader->pos != before && !reader->quarantine);
}

static void push_numbered(struct lane_writer *writer, uint64_t count)
{
	while (count--) {
		struct rig_event event = numbered_event(rig_events(writer) + 1);

		rig_push(writer, &event);
	}
}

/* Every lane of these tests starts where positions and laps are about to wrap, too. */
static const uint64_t starts[] = {
	0,
	1,
	1000,
	UINT64_MAX - 10,		       /* positions wrap at 2^64 */
	0 - (uint64_t)RING * 2,		       /* likewise, on a lap's first slot */
	((1ull << TALLY_LAP_BITS) - 1) * RING, /* laps wrap at 2^40 */
	((1ull << TALLY_LAP_BITS) * RING) - 3,
	(1ull << (TALLY_LAP_BITS - 1)) * RING - 5, /* half of them */
};

static void every_word_of_an_event_arrives(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, UINT32_MAX, 0);
	struct lane_reader reader = rig_reader(&rig, writer);
	struct rig_event pushed = { .event = { .time = UINT64_MAX - 1,
					       .kind = TALLY_KIND_ALLOC,
					       .buffer_id = 0xfedcba9876543210ull,
					       .size = 1ull << 62 },
				    .device = 65535,
				    .pool = 255 | 2u << 24,
				    .tag = 1023 };
	const struct lane_event *event = &pushed.event;
	const struct tally_record *record = &taken.records[0];

	(void)state;
	assert_true(rig_push(writer, &pushed));
	drain(&reader);
	assert_int_equal(taken.count, 1);
	assert_int_equal(record->time, event->time);
	assert_int_equal(record->buffer_id, event->buffer_id);
	assert_int_equal(record->size, event->size);
	assert_int_equal(record->lane_balance, event->size);
	assert_int_equal(record->event_no, 1);
	assert_int_equal(record->where >> 48, 65535);
	assert_int_equal(record->where >> 40 & 0xff, 255);
	assert_int_equal(record->where >> 32 & 0xff, 2);
	assert_int_equal(record->where & UINT32_MAX, UINT32_MAX);
	assert_int_equal(record->label, 1023);
	assert_int_equal(slot_kind(record->commit), TALLY_KIND_ALLOC);
	rig_free(&rig);
}

static void records_arrive_whole_and_in_order_across_every_wrap(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		struct rig rig = rig_make(RING_LOG2, 0);
		struct lane_writer *writer = rig_claim(&rig, TID, starts[i]);
		struct lane_reader reader = rig_reader(&rig, writer);
		uint64_t pushed = 0, round;

		for (round = 0; round < 40; round++) {
			uint64_t count = mix(round) % RING; /* never a whole lap */

			push_numbered(writer, count);
			pushed += count;
			drain(&reader);
			assert_int_equal(taken.count, count);
			assert_int_equal(taken.bad, 0);
		}
		assert_null(reader.quarantine);
		assert_int_equal(reader.seen, pushed);
		assert_int_equal(reader.lost + reader.missed, 0);
		assert_int_equal(reader.pos, starts[i] + pushed);
		rig_free(&rig);
	}
}

static void balance_in_a_record_is_the_lanes_own_after_it(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer);
	static const int64_t want[] = { 100, 100, 60, -30, 0 };
	size_t i;

	(void)state;
	rig_alloc(writer, 0, 7, 1, 100);
	rig_alloc(writer, 1, 7, 1, 100); /* another device: another balance */
	rig_release(writer, 0, 7, 1, 40);
	rig_release(writer, 0, 7, 2, 90); /* allocated elsewhere */
	rig_push(writer, &(struct rig_event){ .event = { .kind = TALLY_KIND_MARK } });
	drain(&reader);
	assert_int_equal(taken.count, COUNT(want));
	for (i = 0; i < COUNT(want); i++)
		assert_int_equal((int64_t)taken.records[i].lane_balance, want[i]);
	rig_free(&rig);
}

/* ---- Loss ------------------------------------------------------------------------------------ */

static void lapped_reader_accounts_for_the_gap_exactly(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		struct rig rig = rig_make(RING_LOG2, 0);
		struct lane_writer *writer = rig_claim(&rig, TID, starts[i]);
		struct lane_reader reader = rig_reader(&rig, writer);
		uint64_t pushed = 0, round;

		drain(&reader); /* attached from the start */
		for (round = 0; round < 60; round++) {
			uint64_t count = mix(round ^ 99) % (RING * 5);

			push_numbered(writer, count);
			pushed += count;
			drain(&reader);
			assert_int_equal(taken.bad, 0);
			assert_int_equal(reader.seen + reader.lost, pushed);
			/* what it read last is what was pushed last */
			assert_int_equal(reader.event_no, pushed);
			/* what was not lapped was read */
			if (count <= RING)
				assert_int_equal(taken.count, count);
			else
				assert_in_range(taken.count, RING / 2, RING);
		}
		assert_int_equal(reader.missed, 0);
		assert_true(reader.lost > 0);
		rig_free(&rig);
	}
}

static void late_reader_begins_with_the_oldest_record_and_says_what_it_missed(void **state)
{
	static const uint64_t before[] = { 1, RING - 1, RING, RING + 1, 2 * RING, 1000 };
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		for (j = 0; j < COUNT(before); j++) {
			struct rig rig = rig_make(RING_LOG2, 0);
			struct lane_writer *writer = rig_claim(&rig, TID, starts[i]);
			struct lane_reader reader = rig_reader(&rig, writer);
			uint64_t there = before[j] < RING ? before[j] : RING;

			push_numbered(writer, before[j]);
			drain(&reader);
			assert_int_equal(taken.bad, 0);
			assert_int_equal(taken.count, there);
			assert_int_equal(taken.records[0].event_no, before[j] - there + 1);
			assert_int_equal(reader.missed, before[j] - there);
			assert_int_equal(reader.lost, 0);
			rig_free(&rig);
		}
	}
}

static void reader_stays_behind_a_moving_writer_and_catches_up_when_it_rests(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	push_numbered(writer, 50);
	lane_drain(&reader, false, false, NULL, NULL);
	assert_in_range(reader.seen, 1, 49); /* not the line being written */
	lane_drain(&reader, false, false, NULL, NULL);
	assert_int_equal(reader.seen, 50); /* nothing has moved since */
	rig_free(&rig);
}

static void one_drain_is_bounded_however_much_there_is(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	push_numbered(writer, 100 * RING);
	lane_drain(&reader, true, false, NULL, NULL);
	assert_in_range(reader.seen, 1, RING + RING / 2);
	rig_free(&rig);
}

/* ---- What cannot be believed ----------------------------------------------------------------- */

/* Stores a record that another version of a producer might have written. */
static void forge(struct lane_writer *writer, uint32_t version, uint32_t kind)
{
	uint64_t pos = writer->header->publish_pos;
	struct tally_record *slot = &writer->slots[pos & writer->slot_mask];
	uint64_t commit = slot_commit(slot_lap(pos, writer->ring_log2), TALLY_SLOT_VALID, 0);

	commit &= ~((uint64_t)TALLY_VERSION_MASK << TALLY_VERSION_SHIFT);
	commit |= (uint64_t)version << TALLY_VERSION_SHIFT | (uint64_t)kind << TALLY_KIND_SHIFT;
	slot->event_no = rig_events(writer) + 1;
	tally_store_release(&slot->commit, commit);
	tally_store_release(&writer->header->publish_pos, pos + 1);
}

static void record_of_an_unknown_kind_is_skipped_and_counted(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	push_numbered(writer, 3);
	forge(writer, TALLY_RECORD_VERSION, 0);
	forge(writer, TALLY_RECORD_VERSION, TALLY_KIND_MARK + 1);
	forge(writer, TALLY_RECORD_VERSION, TALLY_KIND_MASK);
	push_numbered(writer, 3);
	drain(&reader);
	assert_int_equal(taken.count, 6);
	assert_int_equal(taken.bad, 0);
	assert_int_equal(reader.skipped, 3);
	assert_int_equal(reader.seen, 9); /* they were there: they are not lost */
	assert_null(reader.quarantine);
	rig_free(&rig);
}

static void record_of_an_unknown_version_quarantines_the_lane(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	push_numbered(writer, 3);
	forge(writer, TALLY_RECORD_VERSION + 1, TALLY_KIND_ALLOC);
	push_numbered(writer, 3);
	drain(&reader);
	assert_int_equal(taken.count, 3);
	assert_non_null(reader.quarantine);
	drain(&reader);
	assert_int_equal(taken.count, 0);
	assert_int_equal(reader.pos, 3);
	rig_free(&rig);
}

static void event_numbers_that_do_not_ascend_quarantine_the_lane(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	push_numbered(writer, 3);
	writer->slots[2].event_no = 2; /* again */
	drain(&reader);
	assert_int_equal(reader.seen, 2);
	assert_non_null(reader.quarantine);
	rig_free(&rig);
}

static void position_without_its_record_quarantines_the_lane(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	push_numbered(writer, 3);
	/* a hostile writer says that there are more */
	tally_store_release(&writer->header->publish_pos, 20);
	drain(&reader);
	assert_int_equal(taken.count, 3);
	assert_non_null(reader.quarantine);
	rig_free(&rig);
}

static void hostile_positions_cost_a_bounded_drain(void **state)
{
	static const uint64_t positions[] = { UINT64_MAX, 1ull << 63, (1ull << 63) - 1, 0, 63 };
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(positions); i++) {
		for (j = 0; j < COUNT(positions); j++) {
			struct rig rig = rig_make(RING_LOG2, 0);
			struct lane_writer *writer = rig_claim(&rig, TID, 0);
			struct lane_reader reader = rig_reader(&rig, writer);
			int drains;

			push_numbered(writer, 100);
			for (drains = 0; drains < 4; drains++) {
				uint64_t seen = reader.seen;

				tally_store_relaxed(&writer->header->publish_pos,
						    positions[(i + (size_t)drains) % 5]);
				tally_store_relaxed(&writer->header->start_pos, positions[j]);
				lane_drain(&reader, drains & 1, drains & 2, NULL, NULL);
				assert_true(reader.seen - seen <= RING + RING / 2);
			}
			rig_free(&rig);
		}
	}
}

/* As a writer would that means harm: it says that there is no end of records, then takes that back
 * while the reader is among slots that are always newer than it looks for. */
static struct tally_lane_header *hostile;

static void take_back(int page)
{
	trap_set(page, true);
	tally_store_relaxed(&hostile->publish_pos, 0);
}

static void hostile_writer_cannot_keep_a_reader_in_a_drain(void **state)
{
	struct tally_lane_header header = { .publish_pos = 1ull << 62, .ring_ready = 1 };
	struct lane_reader reader = { .header = &header, .ring_log2 = RING_LOG2, .started = true };
	struct tally_record *slots;
	uint64_t lap = slot_lap(1ull << 44, RING_LOG2);
	size_t i;

	(void)state;
	if (UNDER_TSAN)
		SKIP("ThreadSanitizer takes faults for itself");
	slots = trap_make(0, take_back);
	for (i = 0; i < RING; i++)
		slots[i].commit = slot_commit(lap, TALLY_SLOT_VALID, TALLY_KIND_ALLOC);
	hostile = &header;
	reader.slots = slots;
	trap_set(1, false);
	lane_drain(&reader, true, false, NULL, NULL);
	assert_int_equal(trap_count, 1);
	assert_in_range(reader.pos, 1, 2 * RING);
	trap_free();
}

/* ---- Cells ----------------------------------------------------------------------------------- */

/* Devices and pools of the directory's cell n, of which many collide in the private index. */
static struct tally_cell *cell_number(struct lane_writer *writer, uint32_t n, uint32_t flags)
{
	const struct lane_target *target = lane_target(writer, n * 8 % TALLY_DEVICES,
						       n % 7 | flags << 24);

	return target ? target->cell : NULL;
}

static void full_directory_has_no_cell_for_another_pool_and_keeps_the_others(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	uint32_t cells = rig.region.at.lane_cells;
	uint32_t n;

	(void)state;
	for (n = 0; n < cells; n++)
		assert_ptr_equal(cell_number(writer, n, 0), &writer->cells[n]);
	assert_null(lane_target(writer, 65535, 255));
	assert_null(lane_target(writer, 65535, 254));
	for (n = 0; n < cells; n++) {
		assert_ptr_equal(cell_number(writer, n, 0), &writer->cells[n]);
		assert_int_equal(writer->cells[n].key, TALLY_KEY(n * 8, n % 7));
	}
	assert_int_equal(writer->header->cell_count, cells);
	rig_free(&rig);
}

static void flags_of_a_pool_share_its_cell_also_when_they_fill_the_index(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	uint32_t cells = rig.region.at.lane_cells;
	uint32_t n, flags, refused = 0;

	(void)state;
	for (flags = 0; flags < 3; flags++) {
		for (n = 0; n < cells; n++) {
			struct tally_cell *cell = cell_number(writer, n, flags);

			if (cell)
				assert_ptr_equal(cell, &writer->cells[n]);
			refused += !cell;
		}
	}
	/* three times as many as cells do not fit into an index of twice as many */
	assert_in_range(refused, cells, cells + 1);
	assert_int_equal(writer->header->cell_count, cells);
	rig_free(&rig);
}

static void numbers_out_of_range_have_no_cell(void **state)
{
	static const struct {
		uint32_t device, pool;
	} bad[] = {
		{ 65536, 0 },	       { UINT32_MAX, 0 },	   { 0, 256 },
		{ 0, 0x00010000 },     { 0, 0x00ffff00 },	   { 1u << 31, 255 },
		{ 65536, UINT32_MAX }, { UINT32_MAX, UINT32_MAX }, { UINT32_MAX, UINT32_MAX - 1 }
	};
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_null(lane_target(writer, bad[i].device, bad[i].pool));
	assert_int_equal(writer->header->cell_count, 0);
	assert_non_null(lane_target(writer, 65535, 255 | 255u << 24));
	rig_free(&rig);
}

static void sums_of_a_lane_are_exact_however_often_it_was_lapped(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, starts[5]);
	uint32_t device, pool;

	(void)state;
	push_numbered(writer, 10000);
	for (device = 0; device < 3; device++) {
		for (pool = 0; pool < 2; pool++) {
			struct ledger_sums want = numbered_sums(device, pool, 10000);
			struct ledger_sums read = { 0 };

			assert_true(ledger_read(lane_target(writer, device, pool)->cell, &read));
			assert_true(same_sums(&read, &want));
		}
	}
	assert_int_equal(rig_events(writer), 10000);
	assert_int_equal(writer->header->unrecorded, 0);
	rig_free(&rig);
}

static void lane_without_a_ring_keeps_its_sums_and_counts_what_has_no_record(void **state)
{
	struct rig rig = rig_make(0, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, starts[3]);
	struct ledger_sums want = numbered_sums(1, 1, 500), read = { 0 };
	uint64_t events, unrecorded;

	(void)state;
	push_numbered(writer, 500);
	assert_true(ledger_read(lane_target(writer, 1, 1)->cell, &read));
	assert_true(same_sums(&read, &want));
	lane_count(writer->header, &events, &unrecorded);
	assert_int_equal(events, 500);
	assert_int_equal(unrecorded, 500);
	assert_int_equal(writer->header->ring_ready, 0);
	rig_free(&rig);
}

static void opening_of_a_cell_counts_events_without_records(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct ledger_sums opening = { .allocated_bytes = 900,
				       .freed_bytes = 1000,
				       .allocs = 4,
				       .frees = 5,
				       .failures = 1,
				       .peak_bytes = 300 };
	struct ledger_sums read = { 0 };
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	assert_true(lane_open_cell(writer, TALLY_KEY(0, 7), &opening, 10));
	rig_alloc(writer, 0, 7, 1, 50);
	assert_true(ledger_read(lane_target(writer, 0, 7)->cell, &read));
	assert_int_equal(read.event_no, 11);
	assert_int_equal(read.allocated_bytes, 950);
	assert_int_equal(read.freed_bytes, 1000);
	assert_int_equal(read.allocs, 5);
	assert_int_equal(read.failures, 1);
	assert_int_equal(read.peak_bytes, 300);
	assert_int_equal(rig_events(writer), 11);
	assert_int_equal(writer->header->unrecorded, 10);
	drain(&reader);
	assert_int_equal(taken.count, 1);
	assert_int_equal(taken.records[0].event_no, 11);
	assert_int_equal((int64_t)taken.records[0].lane_balance, -50);
	rig_free(&rig);
}

/* What the next owner of a dead one's lane is told of its peak: above what the dead one left. */
static int64_t peak_in_adopted_lane(enum tally_kind kind, uint64_t left)
{
	static const struct ledger_sums opening = { .allocated_bytes = 1000,
						    .freed_bytes = 900,
						    .allocs = 2,
						    .frees = 1,
						    .peak_bytes = 1000 };
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct rig_event event = { .event = { .kind = kind, .time = 1, .size = left }, .pool = 7 };
	const struct tally_cell *cell = writer->cells;
	int64_t peak;

	assert_true(rig_push(writer, &event));
	assert_int_equal(lanes_book(&rig.region, 0), 0);
	memset(rig.writers, 0, sizeof(*rig.writers)); /* another process's */
	assert_ptr_equal(rig_claim(&rig, TID + 1, 0), writer);
	assert_true(lane_open_cell(writer, TALLY_KEY(0, 7), &opening, 3));
	peak = (int64_t)(cell->peak_bytes - (cell->base.allocated_bytes - cell->base.freed_bytes));
	rig_free(&rig);
	return peak;
}

static void opening_of_a_cell_in_an_adopted_lane_keeps_its_owners_peak(void **state)
{
	(void)state;
	assert_int_equal(peak_in_adopted_lane(TALLY_KIND_ALLOC, 1000000), 1000);
	assert_int_equal(peak_in_adopted_lane(TALLY_KIND_FREE, 500), 1000);
	assert_int_equal(peak_in_adopted_lane(TALLY_KIND_ALLOC, 0), 1000);
}

/* ---- From thread to thread ------------------------------------------------------------------- */

static void lane_of_a_thread_that_left_goes_on_with_the_next(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, starts[3]);
	struct lane_reader reader = rig_reader(&rig, writer);
	struct ledger_sums want = numbered_sums(0, 1, 300), read = { 0 };
	struct lane_writer *next;

	(void)state;
	push_numbered(writer, 100);
	assert_null(rig_claim(&rig, TID + 1, 0)); /* taken */
	lane_leave(writer);
	next = rig_claim(&rig, TID + 1, 12345);
	assert_ptr_equal(next, writer);
	assert_int_equal(writer->header->owner, (uint64_t)TALLY_LANE_OWNED << 56 | (TID + 1));
	rig_alloc(next, 0, 0, 1, 1);
	drain(&reader);
	assert_int_equal(reader.event_no, 101);
	assert_int_equal(taken.records[taken.count - 1].where & UINT32_MAX, TID + 1);
	lane_leave(next);
	assert_ptr_equal(rig_claim(&rig, TID, 0), writer);
	push_numbered(writer, 199);
	assert_int_equal(rig_events(writer), 300);
	assert_int_equal(writer->header->publish_pos, starts[3] + 300);
	assert_true(ledger_read(lane_target(writer, 0, 1)->cell, &read));
	assert_true(same_sums(&read, &want));
	rig_free(&rig);
}

static void lane_of_another_process_entry_is_not_continued(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 1);
	struct lane_writer *writer = lane_claim(&rig.region, rig.writers, 3, TID, 0);
	struct lane_writer *next;

	(void)state;
	assert_int_equal(writer->header->owner,
			 (uint64_t)TALLY_LANE_OWNED << 56 | 3ull << 32 | TID);
	lane_leave(writer);
	next = lane_claim(&rig.region, rig.writers, 4, TID, 0);
	assert_ptr_not_equal(next, writer);
	assert_null(lane_claim(&rig.region, rig.writers, 4, TID, 0));
	assert_ptr_equal(lane_claim(&rig.region, rig.writers, 3, TID, 0), writer);
	rig_free(&rig);
}

static void every_lane_can_be_claimed_once(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 4);
	uint32_t n;

	(void)state;
	for (n = 0; n < 16; n++) {
		struct lane_writer *writer = rig_claim(&rig, n + 1, n * 1000);

		assert_non_null(writer);
		assert_int_equal(rig_lane(&rig, writer), n);
		assert_int_equal(writer->header->publish_pos, n * 1000);
		assert_int_equal(rig_events(writer), 0);
		assert_int_equal(region_state(rig.region.base)->lanes_used, n + 1);
		assert_int_equal(writer->header->ring_ready, 1);
	}
	assert_null(rig_claim(&rig, 17, 0));
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_word_of_an_event_arrives),
		TEST(records_arrive_whole_and_in_order_across_every_wrap),
		TEST(balance_in_a_record_is_the_lanes_own_after_it),
		TEST(lapped_reader_accounts_for_the_gap_exactly),
		TEST(late_reader_begins_with_the_oldest_record_and_says_what_it_missed),
		TEST(reader_stays_behind_a_moving_writer_and_catches_up_when_it_rests),
		TEST(one_drain_is_bounded_however_much_there_is),
		TEST(record_of_an_unknown_kind_is_skipped_and_counted),
		TEST(record_of_an_unknown_version_quarantines_the_lane),
		TEST(event_numbers_that_do_not_ascend_quarantine_the_lane),
		TEST(position_without_its_record_quarantines_the_lane),
		TEST(hostile_positions_cost_a_bounded_drain),
		TEST(hostile_writer_cannot_keep_a_reader_in_a_drain),
		TEST(full_directory_has_no_cell_for_another_pool_and_keeps_the_others),
		TEST(flags_of_a_pool_share_its_cell_also_when_they_fill_the_index),
		TEST(numbers_out_of_range_have_no_cell),
		TEST(sums_of_a_lane_are_exact_however_often_it_was_lapped),
		TEST(lane_without_a_ring_keeps_its_sums_and_counts_what_has_no_record),
		TEST(opening_of_a_cell_counts_events_without_records),
		TEST(opening_of_a_cell_in_an_adopted_lane_keeps_its_owners_peak),
		TEST(lane_of_a_thread_that_left_goes_on_with_the_next),
		TEST(lane_of_another_process_entry_is_not_continued),
		TEST(every_lane_can_be_claimed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
