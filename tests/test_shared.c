/* SPDX-License-Identifier: Apache-2.0 */
/* Pushing into the shared ring: what is pushed is read, who may claim a slot, what a push does that
 * finds none, what the dead leave.
 * sanitizers: address, thread; also on: arm64 */
#include <unistd.h>

#include "tests/shared.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static void every_word_of_an_event_arrives(void **state)
{
	struct shared_event event = { .time = UINT64_MAX - 1,
				      .kind = TALLY_KIND_MARK,
				      .buffer_id = 0x0123456789abcdefull,
				      .size = 1ull << 63,
				      .where = UINT64_MAX - 2,
				      .label = UINT64_MAX - 3 };
	struct tally_record record = { 0 };
	struct shared_ring ring;
	uint64_t ticket = 0;

	(void)state;
	begin_at(5 * RING + 8);
	ring = ring_of(255);
	assert_true(shared_push(&ring, &event, &ticket));
	assert_int_equal(*reserve_pos(), 5 * RING + 8 + SHARED_GROUP);
	assert_int_equal(ticket, 5 * RING + 9);
	assert_int_equal(slot_read(slot_at(8), 5 * RING + 8, RING_LOG2, &record), SLOT_VALID);
	assert_int_equal(slot_kind(record.commit), TALLY_KIND_MARK);
	assert_int_equal(slot_version(record.commit), TALLY_RECORD_VERSION);
	assert_int_equal(slot_owner(record.commit), 255);
	assert_int_equal(record.time, event.time);
	assert_int_equal(record.buffer_id, event.buffer_id);
	assert_int_equal(record.size, event.size);
	assert_int_equal(record.lane_balance, 0);
	assert_int_equal(record.event_no, 1);
	assert_int_equal(record.where, event.where);
	assert_int_equal(record.label, event.label);
	shared_end();
}

static void each_process_entry_has_its_own_numbers(void **state)
{
	uint64_t numbers[3] = { 0 };
	uint32_t n;

	(void)state;
	begin_at(0);
	for (n = 0; n < 60; n++)
		assert_true(push_as(n * n % 3, n * n % 3)); /* 0 twice as often as 1, 2 never */
	assert_int_equal(drain(), 60);
	for (n = 0; n < taken.count; n++) {
		uint32_t owner = slot_owner(taken.records[n].commit);

		assert_in_range(owner, 0, 1);
		assert_int_equal(taken.records[n].buffer_id >> 40, owner);
		assert_int_equal(taken.records[n].event_no, ++numbers[owner]);
	}
	for (n = 0; n < 2; n++)
		assert_int_equal(ring_of(n).process->shared_events, numbers[n]);
	assert_int_equal(numbers[0], 20);
	shared_end();
}

static void all_is_read_across_the_wraps_of_positions_and_laps(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		uint64_t n, read = 0;

		begin_at(starts[i]);
		assert_int_equal(drain(), 0);
		for (n = 1; n <= 5 * RING; n++) {
			push_many(n % 3, 1);
			if (n % 11 == 0)
				read += drain();
		}
		read += drain();
		assert_int_equal(read, 5 * RING);
		assert_int_equal(reader.died, 0);
		assert_null(reader.quarantine);
		/* a pusher may have tickets left */
		assert_in_range(*reserve_pos() - starts[i], 5 * RING, 5 * RING + 3 * SHARED_GROUP);
		shared_end();
	}
}

/* ---- Claiming -------------------------------------------------------------------------------- */

enum taken_slot { ITS_OWN, NEXT_TICKETS, NEXT_GROUPS };

/* Which slot a push takes whose ticket is `pos`, in a slot in `state` and `laps` ahead of it. */
static enum taken_slot claim_of(uint64_t pos, enum tally_slot_state slot_is, int64_t laps)
{
	static const uint64_t ahead[] = { 0, 1, SHARED_GROUP };
	uint64_t lap = slot_lap(pos + ((uint64_t)laps << RING_LOG2), RING_LOG2);
	uint64_t before = slot_commit(lap, slot_is, TALLY_KIND_FREE) | 3;
	int found = -1;
	size_t n;

	*reserve_pos() = pos;
	tickets[0] = 0;
	slot_at(pos)->commit = before;
	slot_at(pos + 1)->commit = 0;
	slot_at(pos + SHARED_GROUP)->commit = 0;
	assert_true(push_as(0, 0));
	for (n = 0; n < COUNT(ahead); n++) {
		uint64_t at = pos + ahead[n];
		uint64_t commit = slot_at(at)->commit;

		if (commit == (n == 0 ? before : 0))
			continue; /* left alone */
		assert_int_equal(found, -1);
		found = (int)n;
		assert_int_equal(slot_state(commit), TALLY_SLOT_VALID);
		assert_int_equal(slot_ahead(commit, slot_lap(at, RING_LOG2)), 0);
		assert_int_equal(tickets[0], at + 1);
	}
	assert_int_not_equal(found, -1);
	assert_int_equal(*reserve_pos(), pos + SHARED_GROUP * (found == NEXT_GROUPS ? 2ull : 1ull));
	return (enum taken_slot)found;
}

static void slot_is_claimed_when_it_is_free_or_done_with_in_an_older_lap(void **state)
{
	static const int64_t older[] = { -1, -2, -1000, -(1ll << 39) };
	static const int64_t newer[] = { 1, 2, 1000, (1ll << 39) - 1 };
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		uint64_t pos = starts[i];

		begin_at(pos);
		for (j = 0; j < COUNT(older); j++) {
			assert_int_equal(claim_of(pos, TALLY_SLOT_FREE, older[j]), ITS_OWN);
			assert_int_equal(claim_of(pos, TALLY_SLOT_FREE, newer[j]), ITS_OWN);
			assert_int_equal(claim_of(pos, TALLY_SLOT_VALID, older[j]), ITS_OWN);
			assert_int_equal(claim_of(pos, TALLY_SLOT_ABORTED, older[j]), ITS_OWN);
			/* the thread comes too late with its whole group */
			assert_int_equal(claim_of(pos, TALLY_SLOT_VALID, newer[j]), NEXT_GROUPS);
			assert_int_equal(claim_of(pos, TALLY_SLOT_ABORTED, newer[j]), NEXT_GROUPS);
			assert_int_equal(claim_of(pos, TALLY_SLOT_WRITING, older[j]), NEXT_TICKETS);
			assert_int_equal(claim_of(pos, TALLY_SLOT_WRITING, newer[j]), NEXT_TICKETS);
		}
		assert_int_equal(claim_of(pos, TALLY_SLOT_VALID, 0), NEXT_GROUPS);
		assert_int_equal(claim_of(pos, TALLY_SLOT_ABORTED, 0), NEXT_GROUPS);
		assert_int_equal(claim_of(pos, TALLY_SLOT_WRITING, 0), NEXT_TICKETS);
		shared_end();
	}
}

static void push_until_refused(uint64_t stuck, bool refused)
{
	uint64_t tried = refused ? SHARED_TRIES : stuck + 1;
	uint64_t n, start_pos = 3 * RING + 8;

	begin_at(start_pos);
	for (n = 0; n < stuck; n++)
		slot_at(start_pos + n)->commit = slot_commit(slot_lap(start_pos + n - RING,
								      RING_LOG2),
							     TALLY_SLOT_WRITING, TALLY_KIND_FREE);
	assert_int_equal(push_as(0, 0), !refused);
	assert_int_equal(tickets[0], start_pos + tried);
	assert_int_equal(*reserve_pos(),
			 start_pos + (tried + SHARED_GROUP - 1) / SHARED_GROUP * SHARED_GROUP);
	/* a number is taken only by who has a slot */
	assert_int_equal(ring_of(0).process->shared_events, !refused);
	assert_int_equal(drain(), !refused);
	/* those slots become free: it goes on as ever */
	for (n = 0; n < stuck; n++)
		slot_at(start_pos + n)->commit = slot_aborted(slot_at(start_pos + n)->commit);
	push_many(0, 3 * RING);
	assert_int_equal(ring_of(0).process->shared_events, 3 * RING + !refused);
	shared_end();
}

static void push_passes_over_slots_that_others_write_sixteen_times_at_most(void **state)
{
	(void)state;
	push_until_refused(0, false);
	push_until_refused(1, false);
	push_until_refused(SHARED_GROUP - 1, false);
	push_until_refused(SHARED_GROUP, false);
	push_until_refused(SHARED_TRIES - 1, false);
	push_until_refused(SHARED_TRIES, true);
	push_until_refused(RING, true);
}

static uint64_t others_pushes;

static void others_push(void)
{
	push_many(1, others_pushes);
}

/* It had its ticket first, and the slot was taken from it by one that came a lap later. */
static void push_that_is_overtaken_by_laps_takes_another_ticket(void **state)
{
	uint64_t laps;

	(void)state;
	for (laps = 0; laps <= 3; laps++) {
		begin_at(96);
		others_pushes = laps * RING + RING / 2;
		at_place.ticket = others_push;
		push_many(0, 1);
		assert_int_equal(tickets[0], (laps ? 96 + SHARED_GROUP + others_pushes : 96) + 1);
		assert_int_equal(slot_at(tickets[0] - 1)->buffer_id, 1);
		shared_end();
	}
}

/* ---- Short of memory ------------------------------------------------------------------------- */

static void ring_without_memory_refuses_and_asks_again_only_now_and_then(void **state)
{
	struct region *region = &rig.region;
	struct shared_ring ring;
	uint64_t n;

	(void)state;
	shared_begin(0);
	ring = ring_of(0);
	/* as on a full file system: a touch beyond the file's end would be a SIGBUS as well */
	assert_int_equal(truncate(region->path, (off_t)region->at.shared_at), 0);
	if (madvise(slot_at(0), TALLY_PAGE, MADV_POPULATE_WRITE) == 0 || errno != EFAULT) {
		shared_end();
		SKIP("this kernel does not say beforehand that a touch would fail");
	}
	assert_int_equal(region->refusals, 0);
	assert_false(shared_reserve(&ring));
	assert_int_equal(region->refusals, REGION_REFUSALS);
	assert_int_equal(truncate(region->path, (off_t)region->at.size), 0);
	for (n = REGION_REFUSALS; n > 0; n--) {
		assert_int_equal(region->refusals, n); /* no system call was made */
		assert_false(shared_reserve(&ring));
		assert_false(shared_ready(&ring));
	}
	assert_true(shared_reserve(&ring)); /* it has asked, and there is room now */
	assert_true(shared_ready(&ring));
	shared_end();
}

static void region_without_records_has_no_shared_ring(void **state)
{
	struct shared_ring ring;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig = rig_make(0, 0);
	ring = shared_of(&rig.region, 0);
	assert_null(ring.slots);
	assert_false(shared_ready(&ring));
	assert_false(shared_reserve(&ring));
	shared_abort(&rig.region, 0); /* nothing to do */
	rig_free(&rig);
}

/* ---- What the dead leave --------------------------------------------------------------------- */

static void only_what_a_dead_entry_was_writing_is_freed(void **state)
{
	uint64_t before[RING];
	uint64_t n;

	(void)state;
	begin_at(0);
	for (n = 0; n < RING; n++) {
		enum tally_slot_state is = (enum tally_slot_state)(n % 4);
		uint64_t owner = n / 4 % 3;

		before[n] = is ? slot_commit(slot_lap(n * RING, RING_LOG2), is, TALLY_KIND_ALLOC) |
					    owner
			       : 0;
		slot_at(n)->commit = before[n];
	}
	shared_abort(&rig.region, 1);
	shared_abort(&rig.region, 1); /* again is the same */
	for (n = 0; n < RING; n++) {
		bool dead = slot_state(before[n]) == TALLY_SLOT_WRITING &&
			    slot_owner(before[n]) == 1;

		assert_int_equal(slot_at(n)->commit, dead ? slot_aborted(before[n]) : before[n]);
	}
	shared_end();
}

static void ring_that_was_never_used_is_not_touched_for_the_dead(void **state)
{
	unsigned char there;

	(void)state;
	shared_begin(0);
	assert_int_equal(mincore(slot_at(0), TALLY_PAGE, &there), 0);
	assert_int_equal(there & 1, 0);
	shared_abort(&rig.region, 0);
	assert_int_equal(mincore(slot_at(0), TALLY_PAGE, &there), 0);
	assert_int_equal(there & 1, 0); /* reading a hole would have taken memory */
	shared_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_word_of_an_event_arrives),
		TEST(each_process_entry_has_its_own_numbers),
		TEST(all_is_read_across_the_wraps_of_positions_and_laps),
		TEST(slot_is_claimed_when_it_is_free_or_done_with_in_an_older_lap),
		TEST(push_passes_over_slots_that_others_write_sixteen_times_at_most),
		TEST(push_that_is_overtaken_by_laps_takes_another_ticket),
		TEST(ring_without_memory_refuses_and_asks_again_only_now_and_then),
		TEST(region_without_records_has_no_shared_ring),
		TEST(only_what_a_dead_entry_was_writing_is_freed),
		TEST(ring_that_was_never_used_is_not_touched_for_the_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
