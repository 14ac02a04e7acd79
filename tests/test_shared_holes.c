/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the shared ring where records come late: each is read when it comes, each thread's are in
 * order, and holes end.
 * sanitizers: address, thread; also on: arm64 */
#include "tests/shared.h"

/* ---- What comes late ------------------------------------------------------------------------- */

static uint64_t others_pushes, others_read;

/* What the others do while pusher 0 is stopped in a push; all of it is read meanwhile. */
static void others_push_and_are_read(void)
{
	uint64_t n;

	for (n = 1; n <= others_pushes; n++) {
		push_many(1 + n % 5, 1);
		if (n % 13 == 0)
			others_read += drain();
	}
	others_read += drain();
	assert_int_equal(others_read, others_pushes);
	assert_int_equal(taken.last[0], pushed[0] - 1);
}

/* Pusher 0 has 3 records, is stopped at `place` of its 4th push, and goes on with 3 more. */
static void stop_at(void (**place)(void), uint64_t others, bool late)
{
	uint64_t before;
	size_t i;

	for (i = 0; i < COUNT(starts); i++) {
		begin_at(starts[i]);
		push_many(0, 3);
		assert_int_equal(drain(), 3);
		others_pushes = others;
		others_read = 0;
		*place = others_push_and_are_read;
		before = tickets[0];
		push_many(0, 1);
		assert_null(*place);
		push_many(0, 3);
		assert_int_equal(drain(), 4);
		/* it was late: its slot is the one it had at first */
		if (late)
			assert_int_equal(slot_at(before)->buffer_id, 4);
		assert_int_equal(drain(), 0);
		assert_int_equal(taken.count, 7 + others);
		assert_int_equal(ring_of(0).process->shared_events, 7 + others);
		assert_int_equal(shared_outstanding(&reader, 0), 0);
		assert_int_equal(push_and_drain(1, 2 * RING), 2 * RING);
		assert_int_equal(reader.died, 0);
		shared_end();
	}
}

static void record_that_comes_late_is_read_late_while_others_are_read(void **state)
{
	(void)state;
	stop_at(&at_place.ticket, RING / 2, true);
	stop_at(&at_place.claimed, RING / 2, true);
	stop_at(&at_place.written, RING / 2, true);
}

static void pusher_that_stops_for_many_laps_loses_its_record_no_more_than_others(void **state)
{
	static const uint64_t laps[] = { 1, 2, 3, 8 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(laps); i++) {
		uint64_t others = laps[i] * RING;

		stop_at(&at_place.ticket, others, false);
		stop_at(&at_place.claimed, others, false);
		stop_at(&at_place.written, others + 5, false);
	}
}

/* Stopped at one place after the other, each inside the one before. */
static uint64_t nested, nested_max;

static void push_and_stop(void)
{
	if (nested == nested_max) {
		push_many(100, RING / 4);
		assert_int_equal(drain(), RING / 4);
		return;
	}
	assert_int_equal(drain(), 0);
	nested++;
	at_place.claimed = push_and_stop;
	push_many(nested, 1);
	assert_int_equal(drain(), 1); /* this one; those around it are still at it */
	assert_int_equal(taken.records[taken.count - 1].buffer_id >> 40, nested);
	push_many(nested, 1); /* in order for each */
	assert_int_equal(drain(), 1);
	nested--;
}

static void several_that_stop_are_each_read_when_they_go_on(void **state)
{
	(void)state;
	for (nested_max = 1; nested_max <= SHARED_TRIES; nested_max++) {
		begin_at(RING - SHARED_GROUP);
		nested = 0;
		push_and_stop();
		assert_int_equal(taken.count, 2 * nested_max + RING / 4);
		assert_int_equal(shared_outstanding(&reader, 0), 0);
		shared_end();
	}
}

static void others_publish(void)
{
	push_many(2, 10);
}

static void what_comes_during_a_drain_is_read_once_and_in_order(void **state)
{
	(void)state;
	begin_at(0);
	push_many(1, 1);
	at_place.end_known = others_publish;
	assert_int_equal(drain(), 1); /* that was all as it began */
	at_place.holes_read = others_publish;
	drain();
	at_place.slot_seen = others_publish;
	drain();
	drain();
	assert_int_equal(taken.count, 1 + 30);
	shared_end();
}

static void publish_and_push(void)
{
	publish(0, 1);
	pushed[0] = 1;
	push_many(0, 1); /* of another group */
}

static void publish_both(void)
{
	publish(0, 1);
	publish(1, 2);
}

/* Its record is in a hole that the drain has looked at, its next one in a group still to come. */
static void thread_that_goes_on_after_the_holes_is_read_in_order(void **state)
{
	(void)state;
	begin_at(0);
	*reserve_pos() = SHARED_GROUP;
	push_many(1, 5);
	assert_int_equal(drain(), 5);
	at_place.holes_read = publish_and_push;
	assert_int_equal(drain(), 0);
	assert_int_equal(drain(), 2);
	assert_int_equal(taken.last[0], 2);
	shared_end();
}

/* Both are in one group, and both are published when the first of their holes has been seen. */
static void thread_that_goes_on_among_the_holes_is_read_in_order(void **state)
{
	(void)state;
	begin_at(0);
	*reserve_pos() = SHARED_GROUP;
	push_many(1, 5);
	assert_int_equal(drain(), 5);
	while (taken.last[0] < 2) {
		at_place.hole_seen = publish_both;
		drain();
	}
	assert_int_equal(taken.count, 7);
	shared_end();
}

/* Likewise while the group is looked at for the first time, after each of its slots. */
static uint64_t slots_to_see;

static void publish_in_time(void)
{
	if (--slots_to_see > 0)
		at_place.slot_seen = publish_in_time;
	else
		publish_both();
}

static void thread_that_goes_on_within_a_group_is_read_in_order(void **state)
{
	uint64_t n;

	(void)state;
	for (n = 1; n <= SHARED_GROUP; n++) {
		begin_at(0);
		*reserve_pos() = SHARED_GROUP;
		slots_to_see = n;
		at_place.slot_seen = publish_in_time;
		drain();
		assert_int_equal(slots_to_see, 0);
		drain();
		assert_int_equal(taken.count, 2);
		assert_int_equal(taken.last[0], 2);
		shared_end();
	}
}

/* ---- The end of a hole ----------------------------------------------------------------------- */

static void hole_ends_when_its_slot_has_a_newer_lap(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		uint64_t left = RING - SHARED_GROUP - 3;

		make_hole(starts[i], false);
		assert_int_equal(push_and_drain(1, left), left);
		assert_int_equal(open_holes(), SHARED_GROUP); /* its lap is not over */
		assert_int_equal(push_and_drain(1, 1), 1);
		assert_int_equal(drain(), 0);
		assert_false(is_hole(&reader, starts[i] & (RING - 1)));
		assert_int_equal(push_and_drain(1, SHARED_GROUP - 1), SHARED_GROUP - 1);
		assert_int_equal(open_holes(), 0);
		assert_int_equal(reader.died, 0);
		shared_end();
	}
}

static void publish_a_lap_later(void)
{
	publish(RING, 1);
}

/* Its slot's next lap is published between the look at the hole and the scan. */
static void hole_ends_when_the_scan_finds_its_slot_used(void **state)
{
	(void)state;
	make_hole(0, false);
	assert_int_equal(push_and_drain(1, RING - SHARED_GROUP - 3), RING - SHARED_GROUP - 3);
	*reserve_pos() += SHARED_GROUP;
	at_place.holes_read = publish_a_lap_later;
	assert_int_equal(drain(), 1);
	assert_false(is_hole(&reader, 0));
	assert_int_equal(drain(), 0);
	shared_end();
}

static void hole_ends_when_its_writer_is_found_dead(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		make_hole(starts[i], true);
		assert_int_equal(drain(), 0);
		assert_true(is_hole(&reader, starts[i] & (RING - 1)));
		shared_abort(&rig.region, 0);
		assert_int_equal(drain(), 0);
		assert_int_equal(reader.died, 1);
		assert_false(is_hole(&reader, starts[i] & (RING - 1)));
		assert_int_equal(shared_outstanding(&reader, 0), 0);
		/* the slot is used again */
		assert_int_equal(push_and_drain(1, 2 * RING), 2 * RING);
		assert_int_equal(reader.died, 1);
		shared_end();
	}
}

static void holes_end_when_nobody_lives(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		make_hole(starts[i], i % 2);
		shared_drain(&reader, true, true, take, NULL);
		assert_int_equal(open_holes(), 0);
		assert_int_equal(reader.died, i % 2);
		assert_int_equal(taken.count, 3);
		shared_end();
	}
}

/* Dead, and the same look finds its slot for the first time. */
static void what_the_dead_left_is_read_at_the_first_look(void **state)
{
	(void)state;
	begin_at(0);
	push_many(1, 20);
	slot_at(24)->commit = slot_commit(0, TALLY_SLOT_WRITING, TALLY_KIND_ALLOC);
	*reserve_pos() += SHARED_GROUP;
	push_many(2, 20);
	shared_drain(&reader, true, true, take, NULL);
	assert_int_equal(taken.count, 40);
	assert_int_equal(reader.died, 1);
	assert_int_equal(open_holes(), 0);
	shared_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(record_that_comes_late_is_read_late_while_others_are_read),
		TEST(pusher_that_stops_for_many_laps_loses_its_record_no_more_than_others),
		TEST(several_that_stop_are_each_read_when_they_go_on),
		TEST(what_comes_during_a_drain_is_read_once_and_in_order),
		TEST(thread_that_goes_on_after_the_holes_is_read_in_order),
		TEST(thread_that_goes_on_among_the_holes_is_read_in_order),
		TEST(thread_that_goes_on_within_a_group_is_read_in_order),
		TEST(hole_ends_when_its_slot_has_a_newer_lap),
		TEST(hole_ends_when_the_scan_finds_its_slot_used),
		TEST(hole_ends_when_its_writer_is_found_dead),
		TEST(holes_end_when_nobody_lives),
		TEST(what_the_dead_left_is_read_at_the_first_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
