/* SPDX-License-Identifier: Apache-2.0 */
/* A slot: what a reader makes of every state and lap it may find, and of one that changes.
 * sanitizers: address; also on: arm64 */
#include "ring/slot.h"

#include <string.h>

#include "tests/support.h"
#include "tests/trap.h"

#define RING_LOG2 6
#define LAP_HALF (1ull << (TALLY_LAP_BITS - 1))

/* The first position of a lap; laps count modulo 2^40. */
static uint64_t lap_start(uint64_t lap)
{
	return lap << RING_LOG2;
}

/* What a reader at lap `reader` makes of a slot in `state` of lap `slot`. */
static enum slot_sight sight(uint64_t reader, uint64_t slot, enum tally_slot_state state)
{
	uint64_t lap = slot_lap(lap_start(slot) + 5, RING_LOG2);
	uint64_t commit = slot_commit(lap, state, TALLY_KIND_FREE);

	return slot_sight(commit, lap_start(reader) + 5, RING_LOG2);
}

/* Laps from which the tests look: also just before they wrap, modulo 2^40 and modulo 2^64 of the
 * position, and where the difference is half of them. */
static const uint64_t laps[] = {
	0,
	1,
	2,
	1000,
	LAP_HALF - 1,
	LAP_HALF,
	LAP_HALF + 1,
	SLOT_LAP_MASK - 1,
	SLOT_LAP_MASK,
	/* position bits above the laps */
	SLOT_LAP_MASK + 1,
	(1ull << 58) - 2,
	(1ull << 58) - 1,
};

static void slot_of_the_same_lap_is_valid_only_in_state_valid(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(laps); i++) {
		assert_int_equal(sight(laps[i], laps[i], TALLY_SLOT_VALID), SLOT_VALID);
		assert_int_equal(sight(laps[i], laps[i], TALLY_SLOT_WRITING), SLOT_EARLY);
		assert_int_equal(sight(laps[i], laps[i], TALLY_SLOT_FREE), SLOT_EARLY);
	}
}

static void slot_of_an_older_lap_is_early_and_of_a_newer_lap_is_lapped(void **state)
{
	static const uint64_t distances[] = { 1, 2, 3, 1000, LAP_HALF - 2, LAP_HALF - 1 };
	static const enum tally_slot_state states[] = { TALLY_SLOT_WRITING, TALLY_SLOT_VALID };
	size_t i, j, k;

	(void)state;
	for (i = 0; i < COUNT(laps); i++) {
		for (j = 0; j < COUNT(distances); j++) {
			for (k = 0; k < COUNT(states); k++) {
				uint64_t d = distances[j];

				assert_int_equal(sight(laps[i], laps[i] - d, states[k]),
						 SLOT_EARLY);
				assert_int_equal(sight(laps[i], laps[i] + d, states[k]),
						 SLOT_LAPPED);
			}
		}
		/* 2^39 behind is the oldest of the older ones */
		assert_int_equal(sight(laps[i], laps[i] - LAP_HALF, TALLY_SLOT_VALID), SLOT_EARLY);
	}
}

static void free_slot_is_older_than_every_lap(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(laps); i++)
		for (j = 0; j < COUNT(laps); j++)
			assert_int_equal(sight(laps[i], laps[j], TALLY_SLOT_FREE), SLOT_EARLY);
	/* as it lies in a fresh file */
	for (i = 0; i < COUNT(laps); i++)
		assert_int_equal(slot_sight(0, lap_start(laps[i]), RING_LOG2), SLOT_EARLY);
}

static void unknown_state_is_never_valid(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(laps); i++)
		for (j = 0; j < COUNT(laps); j++)
			assert_int_not_equal(sight(laps[i], laps[j], (enum tally_slot_state)3),
					     SLOT_VALID);
}

static void position_decides_the_lap_in_rings_of_every_size(void **state)
{
	uint32_t log2;

	(void)state;
	for (log2 = 6; log2 <= 20; log2++) {
		uint64_t size = 1ull << log2;
		/* the last position before laps wrap, and the last before positions wrap */
		uint64_t last[] = { (SLOT_LAP_MASK + 1) * size - 1, UINT64_MAX };
		size_t i;

		for (i = 0; i < COUNT(last); i++) {
			uint64_t commit = slot_commit(slot_lap(last[i], log2), TALLY_SLOT_VALID,
						      TALLY_KIND_ALLOC);

			assert_int_equal(slot_sight(commit, last[i], log2), SLOT_VALID);
			/* same slot, a lap later and a lap before */
			assert_int_equal(slot_sight(commit, last[i] + size, log2), SLOT_EARLY);
			assert_int_equal(slot_sight(commit, last[i] - size, log2), SLOT_LAPPED);
		}
	}
}

/* ---- Copies ---------------------------------------------------------------------------------- */

static struct tally_record *slot;

static void write_slot(uint64_t pos, enum tally_slot_state state)
{
	uint64_t *words = &slot->time;
	size_t i;

	for (i = 0; i < 7; i++)
		words[i] = mix(pos + i);
	slot->commit = slot_commit(slot_lap(pos, RING_LOG2), state, TALLY_KIND_ALLOC);
}

static void valid_record_is_copied_whole(void **state)
{
	struct tally_record here, copy = { 0 };

	(void)state;
	slot = &here;
	write_slot(77, TALLY_SLOT_VALID);
	assert_int_equal(slot_read(slot, 77, RING_LOG2, &copy), SLOT_VALID);
	assert_memory_equal(&copy, slot, sizeof(copy));
}

static void record_that_is_not_valid_is_not_copied(void **state)
{
	struct tally_record here, copy, before;

	(void)state;
	slot = &here;
	memset(&copy, 0x5a, sizeof(copy));
	before = copy;
	write_slot(77, TALLY_SLOT_WRITING);
	assert_int_equal(slot_read(slot, 77, RING_LOG2, &copy), SLOT_EARLY);
	write_slot(77 + 64, TALLY_SLOT_VALID);
	assert_int_equal(slot_read(slot, 77, RING_LOG2, &copy), SLOT_LAPPED);
	write_slot(77 - 64, TALLY_SLOT_VALID);
	assert_int_equal(slot_read(slot, 77, RING_LOG2, &copy), SLOT_EARLY);
	assert_memory_equal(&copy, &before, sizeof(copy));
}

/* The owner overwrites the slot after the reader has seen it valid and copied a part of it. */
static enum tally_slot_state overwrite_as;

static void overwrite(int page)
{
	trap_set(page, true);
	write_slot(77 + 64, overwrite_as);
}

static void copy_torn_at_any_word_is_dropped(void **state)
{
	static const enum tally_slot_state ways[] = { TALLY_SLOT_WRITING, TALLY_SLOT_VALID };
	size_t word, way;

	(void)state;
	for (way = 0; way < COUNT(ways); way++) {
		for (word = 1; word < 8; word++) {
			struct tally_record copy, before;

			slot = trap_make(word * sizeof(uint64_t), overwrite);
			overwrite_as = ways[way];
			write_slot(77, TALLY_SLOT_VALID);
			memset(&copy, 0x5a, sizeof(copy));
			before = copy;
			trap_set(1, false);
			assert_int_equal(slot_read(slot, 77, RING_LOG2, &copy), SLOT_LAPPED);
			assert_int_equal(trap_count, 1); /* the race was met */
			assert_memory_equal(&copy, &before, sizeof(copy));
			trap_free();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(slot_of_the_same_lap_is_valid_only_in_state_valid),
		TEST(slot_of_an_older_lap_is_early_and_of_a_newer_lap_is_lapped),
		TEST(free_slot_is_older_than_every_lap),
		TEST(unknown_state_is_never_valid),
		TEST(position_decides_the_lap_in_rings_of_every_size),
		TEST(valid_record_is_copied_whole),
		TEST(record_that_is_not_valid_is_not_copied),
		TEST(copy_torn_at_any_word_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
