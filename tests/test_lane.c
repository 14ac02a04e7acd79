/* SPDX-License-Identifier: Apache-2.0 */
/* A lane in one thread: what is pushed is read, what is lapped is counted, who leaves is followed.
 * sanitizers: address, thread; also on: arm64 */
#include "tests/lane_drain.h"

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
		TEST(lane_of_a_thread_that_left_goes_on_with_the_next),
		TEST(lane_of_another_process_entry_is_not_continued),
		TEST(every_lane_can_be_claimed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
