/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes with a writer and several readers at once: nothing torn is taken, nothing is unaccounted.
 * All go through one mapping, so that ThreadSanitizer can follow.
 * sanitizers: address, thread; also on: arm64 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "tests/rig.h"
#include "tests/support.h"

#define TID 77
#define READERS 3

static uint64_t writer_done;

struct reader {
	pthread_t thread;
	struct lane_reader lane;
	bool to_end;
	unsigned int nap; /* looks away for so many yields after each drain */
	uint64_t last_no, bad, gap;
};

static void take(void *arg, const struct tally_record *record)
{
	struct reader *me = arg;

	me->bad += !numbered_record(record, TID) || record->event_no <= me->last_no;
	me->gap += record->event_no - me->last_no - 1;
	me->last_no = record->event_no;
}

static void *read_lane(void *arg)
{
	struct reader *me = arg;
	bool last = false;

	/* once more after the writer is done: everything is there then */
	while (!last) {
		uint64_t before;
		unsigned int i;

		last = tally_load_acquire(&writer_done);
		do {
			before = me->lane.pos;
			lane_drain(&me->lane, me->to_end || last, false, take, me);
		} while (last && me->lane.pos != before);
		for (i = 0; i < me->nap; i++)
			sched_yield();
	}
	return NULL;
}

static void readers_and_a_writer(uint32_t ring_log2, uint64_t start_pos, uint64_t events)
{
	struct rig rig = rig_make(ring_log2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, start_pos);
	struct reader readers[READERS] = { { .to_end = true }, { .nap = 3 }, { .nap = 500 } };
	uint64_t n;
	int i;

	tally_store_release(&writer_done, 0);
	for (i = 0; i < READERS; i++) {
		readers[i].lane = rig_reader(&rig, writer);
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_lane, &readers[i]),
				 0);
	}
	for (n = 1; n <= events; n++) {
		struct rig_event event = numbered_event(n);

		rig_push(writer, &event);
	}
	tally_store_release(&writer_done, 1);
	for (i = 0; i < READERS; i++) {
		const struct lane_reader *lane = &readers[i].lane;

		pthread_join(readers[i].thread, NULL);
		assert_null(lane->quarantine);
		assert_int_equal(readers[i].bad, 0);
		assert_true(lane->seen > 0);
		/* seen and lost are all that was pushed, and the numbers say so, too */
		assert_int_equal(lane->seen + lane->lost + lane->missed, events);
		assert_int_equal(readers[i].gap, lane->lost + lane->missed);
		assert_int_equal(readers[i].last_no, events);
		assert_int_equal(lane->skipped, 0);
	}
	rig_free(&rig);
}

static const uint64_t events_max = UNDER_TSAN ? 20000 : 1000000;

static void readers_account_for_every_record_of_a_small_ring(void **state)
{
	(void)state;
	readers_and_a_writer(6, 0, events_max);
}

static void readers_account_for_every_record_of_a_large_ring(void **state)
{
	(void)state;
	readers_and_a_writer(11, 0, events_max);
}

static void readers_account_for_every_record_across_the_wraps(void **state)
{
	(void)state;
	readers_and_a_writer(6, 0 - events_max / 2, events_max);
	readers_and_a_writer(6, ((1ull << TALLY_LAP_BITS) << 6) - events_max / 2, events_max);
}

/* ---- Threads that come and go ---------------------------------------------------------------- */

#define TURNS 200

static struct rig shared_rig;

static void *claim_push_leave(void *arg)
{
	uint64_t *pushed = arg;
	uint64_t turn;

	for (turn = 0; turn < TURNS; turn++) {
		struct lane_writer *writer = rig_claim(&shared_rig, TID, 0);
		uint64_t i;

		if (!writer)
			continue; /* the others have them all */
		for (i = 0; i < 20; i++)
			rig_alloc(writer, 1, 7, i, 3);
		*pushed += 20;
		lane_leave(writer);
	}
	return NULL;
}

static void lanes_passed_among_threads_lose_nothing(void **state)
{
	uint64_t pushed[6] = { 0 }, sum = 0, events = 0, allocs = 0, bytes = 0;
	pthread_t threads[COUNT(pushed)];
	uint32_t lane;
	size_t i;

	(void)state;
	shared_rig = rig_make(6, 2); /* 4 lanes for 6 threads */
	for (i = 0; i < COUNT(pushed); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claim_push_leave, &pushed[i]),
				 0);
	for (i = 0; i < COUNT(pushed); i++) {
		pthread_join(threads[i], NULL);
		sum += pushed[i];
	}
	for (lane = 0; lane < region_state(shared_rig.region.base)->lanes_used; lane++) {
		struct lane_writer *writer = &shared_rig.writers[lane];
		struct ledger_sums sums = { 0 };

		events += rig_events(writer);
		assert_true(ledger_read(&writer->cells[0], &sums));
		allocs += sums.allocs;
		bytes += sums.allocated_bytes;
		assert_int_equal(writer->header->owner >> 56, TALLY_LANE_EXITED);
	}
	assert_true(sum > 0);
	assert_int_equal(events, sum);
	assert_int_equal(allocs, sum);
	assert_int_equal(bytes, 3 * sum);
	rig_free(&shared_rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(readers_account_for_every_record_of_a_small_ring),
		TEST(readers_account_for_every_record_of_a_large_ring),
		TEST(readers_account_for_every_record_across_the_wraps),
		TEST(lanes_passed_among_threads_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
