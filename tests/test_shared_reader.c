/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the shared ring: laps are jumped, nothing is read twice, what cannot be trusted is left.
 * sanitizers: address, thread; also on: arm64 */
#include "tests/shared.h"

/* ---- Laps ------------------------------------------------------------------------------------ */

static void reader_that_was_lapped_jumps_and_reads_the_rest_once(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		begin_at(starts[i]);
		push_many(1, 5 * RING);
		assert_int_equal(drain(), RING - RING / 8); /* some will go meanwhile */
		assert_int_equal(drain(), 0);
		push_many(2, RING);
		assert_int_equal(drain(), RING); /* just not lapped */
		push_many(1, RING / 2);
		push_many(2, RING / 2 + SHARED_GROUP);
		shared_drain(&reader, true, true, take, NULL); /* nobody overwrites any more */
		assert_int_equal(taken.count, RING - RING / 8 + RING + RING);
		shared_end();
	}
}

/* A hole from before the jump, whose slot is used by a lap that was jumped over. */
static void jump_over_an_open_hole_reads_nothing_twice(void **state)
{
	uint64_t laps;

	(void)state;
	for (laps = 1; laps < 5; laps++) {
		make_hole(8, true);
		push_many(2, laps * RING + RING / 2);
		assert_in_range(drain(), RING / 2, RING);
		assert_int_equal(drain(), 0);
		/* the late one is lost with those it was among, or read: not more than that */
		slot_at(8)->commit = slot_aborted(slot_at(8)->commit);
		assert_int_equal(drain(), 0);
		assert_int_equal(push_and_drain(2, 2 * RING), 2 * RING);
		assert_in_range(reader.died, 0, 1);
		shared_end();
	}
}

static void lap_reader(void)
{
	push_many(1, 3 * RING);
}

static void reader_that_is_lapped_in_a_drain_reads_no_record_for_another(void **state)
{
	(void)state;
	begin_at(RING / 2);
	push_many(1, 32);
	at_place.end_known = lap_reader;
	assert_int_equal(drain(), 0); /* those are gone */
	assert_int_equal(drain(), RING - RING / 8);
	push_many(1, 32);
	at_place.holes_read = lap_reader;
	assert_int_equal(drain(), 0);
	assert_int_equal(drain(), RING - RING / 8);
	push_many(1, 32);
	at_place.slot_seen = lap_reader;
	assert_int_equal(drain(), 0);
	assert_int_equal(drain(), RING - RING / 8);
	assert_int_equal(taken.last[1], pushed[1]);
	shared_end();
}

static void reader_that_comes_late_finds_the_last_lap(void **state)
{
	(void)state;
	begin_at(80);
	push_many(1, 3 * RING);
	shared_reader_close(&reader);
	reader_begin();
	assert_int_equal(drain(), RING - RING / 8);
	assert_int_equal(taken.last[1], pushed[1]);
	shared_end();
}

static void reader_stays_behind_pushers_that_move_and_catches_up_at_rest(void **state)
{
	(void)state;
	begin_at(0);
	push_many(1, 56);
	shared_drain(&reader, false, false, take, NULL);
	assert_in_range(taken.count, 1, 55);
	shared_drain(&reader, false, false, take, NULL);
	assert_int_equal(taken.count, 56);
	push_many(1, 8); /* less than it stays behind */
	shared_drain(&reader, false, false, take, NULL);
	assert_int_equal(taken.count, 56);
	shared_drain(&reader, false, false, take, NULL);
	assert_int_equal(taken.count, 64);
	shared_end();
}

/* ---- What cannot be trusted ------------------------------------------------------------------ */

static void position_that_goes_back_ends_the_reading(void **state)
{
	(void)state;
	begin_at(0 - 16ull);
	push_many(1, 24);
	assert_int_equal(drain(), 24);
	*reserve_pos() -= 1;
	assert_int_equal(drain(), 0);
	assert_non_null(reader.quarantine);
	*reserve_pos() += 1;
	push_many(1, 20);
	assert_int_equal(drain(), 0);
	shared_end();
}

static void spoil(uint64_t pos)
{
	uint64_t unknown = (uint64_t)(TALLY_RECORD_VERSION ^ 8) << TALLY_VERSION_SHIFT;
	uint64_t known = (uint64_t)TALLY_RECORD_VERSION << TALLY_VERSION_SHIFT;

	slot_at(pos)->commit = (slot_at(pos)->commit & ~known) | unknown;
}

static void record_of_an_unknown_version_ends_the_reading(void **state)
{
	(void)state;
	begin_at(0);
	push_many(1, 20);
	spoil(5);
	assert_int_equal(drain(), 5);
	assert_non_null(reader.quarantine);
	assert_int_equal(drain(), 0);
	shared_end();

	make_hole(8, false);
	publish(8, 1);
	spoil(8);
	push_many(1, 10);
	assert_int_equal(drain(), 0); /* in a hole */
	assert_non_null(reader.quarantine);
	shared_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reader_that_was_lapped_jumps_and_reads_the_rest_once),
		TEST(jump_over_an_open_hole_reads_nothing_twice),
		TEST(reader_that_is_lapped_in_a_drain_reads_no_record_for_another),
		TEST(reader_that_comes_late_finds_the_last_lap),
		TEST(reader_stays_behind_pushers_that_move_and_catches_up_at_rest),
		TEST(position_that_goes_back_ends_the_reading),
		TEST(record_of_an_unknown_version_ends_the_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
