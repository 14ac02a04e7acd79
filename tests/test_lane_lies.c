/* SPDX-License-Identifier: Apache-2.0 */
/* A lane that cannot be believed: skipped or set apart, in a bounded time.
 * sanitizers: address, thread; also on: arm64 */
#include "tests/lane_drain.h"
#include "tests/trap.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(record_of_an_unknown_kind_is_skipped_and_counted),
		TEST(record_of_an_unknown_version_quarantines_the_lane),
		TEST(event_numbers_that_do_not_ascend_quarantine_the_lane),
		TEST(position_without_its_record_quarantines_the_lane),
		TEST(hostile_positions_cost_a_bounded_drain),
		TEST(hostile_writer_cannot_keep_a_reader_in_a_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
