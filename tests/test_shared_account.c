/* SPDX-License-Identifier: Apache-2.0 */
/* What a consumer says was lost in a shared ring: exact at rest, by process, and never less than it
 * said before. */
#include <stdlib.h>

#include "ring/cells.h"
#include "ring/join.h"
#include "tests/joined_rows.h"
#include "tests/shared.h"
#include "tests/watch.h"

static struct shared_ring ring;
static uint64_t next_ticket;

static void push_events(uint64_t count)
{
	struct shared_event event = { .time = 1, .kind = TALLY_KIND_ALLOC, .where = 1 };

	while (count--)
		assert_true(shared_push(&ring, &event, &next_ticket));
}

/* A slot that is claimed, and no more. */
static void claim_and_stop(const struct shared_ring *in)
{
	uint64_t ticket = 0, writing;

	CHILD_CHECK(shared_claim(in, TALLY_KIND_ALLOC, &ticket, &writing) != NULL);
}

static void begin(const char *name)
{
	struct region_config config = { .dir = test_dir, .name = name, .ring_log2 = RING_LOG2 };

	next_ticket = 0;
	memset(&rig, 0, sizeof(rig));
	if (name) {
		assert_int_equal(join_region(&config, &rig.region), 0);
	} else {
		assert_int_equal(region_create(&config, &rig.region), 0);
		assert_int_equal(region_publish(&rig.region), 0);
	}
	ring = shared_of(&rig.region, rig.region.entry);
	assert_true(shared_reserve(&ring));
}

static struct tally_consumer *watch_from_now(void)
{
	struct tally_consumer_options options = { .read_records = true };
	struct tally_consumer *consumer = NULL;

	assert_int_equal(watch_open(&options, &consumer), 0);
	return consumer;
}

/* This process's row; nobody moves, so the second look is at rest. */
static struct tally_process_view at_rest(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now;
	struct tally_process_view row = { 0 };
	size_t n, found = 0;

	assert_int_equal(tally_consumer_poll(consumer), 0);
	now = watch_look(consumer);
	for (n = 0; n < now->process_count; n++) {
		if (now->processes[n].region_id != rig.region.generation)
			continue;
		row = now->processes[n];
		found++;
	}
	watch_put(now);
	assert_int_equal(found, 1);
	return row;
}

/* ---- Exact ----------------------------------------------------------------------------------- */

static void events_without_a_record_before_the_first_look_hide_no_loss_after_it(void **state)
{
	struct tally_consumer *consumer;
	struct tally_process_view row;
	uint64_t read;

	(void)state;
	begin(NULL);
	push_events(20);
	cells_unrecorded(ring.process, 1000);
	consumer = watch_from_now();
	row = at_rest(consumer);
	assert_int_equal(row.lost_overwritten, 0);
	assert_int_equal(row.lost_unrecorded, 1000);
	read = row.records_read;
	push_events(300);
	row = at_rest(consumer);
	assert_int_equal(row.events, 1320);
	assert_int_equal(row.lost_unrecorded, 1000);
	assert_true(row.records_read > read && row.records_read < read + 300);
	assert_int_equal(row.records_read - read + row.lost_overwritten, 300);
	cells_unrecorded(ring.process, 7);
	push_events(2 * RING);
	assert_int_equal(at_rest(consumer).lost_unrecorded, 1007);
	watch_close(consumer);
	rig_free(&rig);
}

/* Events of before that no reader was there for are no loss of its. */
static void what_was_overwritten_before_the_first_look_is_no_loss(void **state)
{
	struct tally_consumer *consumer;
	struct tally_process_view row;
	uint64_t read;

	(void)state;
	begin(NULL);
	cells_unrecorded(ring.process, 1000);
	push_events(300);
	consumer = watch_from_now();
	row = at_rest(consumer);
	assert_int_equal(row.events, 1300);
	assert_int_equal(row.lost_overwritten, 0);
	read = row.records_read;
	push_events(10);
	row = at_rest(consumer);
	assert_int_equal(row.records_read, read + 10);
	assert_int_equal(row.lost_overwritten, 0);
	watch_close(consumer);
	rig_free(&rig);
}

/* ---- By process ------------------------------------------------------------------------------ */

#define DEAD_SLOTS 5

static void claim_and_die(const char *name)
{
	struct region_config config = { .dir = test_dir, .name = name, .ring_log2 = RING_LOG2 };
	struct shared_ring its;
	struct region region;
	int n;

	CHILD_CHECK(join_region(&config, &region) == 0);
	its = shared_of(&region, region.entry);
	for (n = 0; n < DEAD_SLOTS; n++)
		claim_and_stop(&its);
	raise(SIGKILL);
}

static void slots_of_a_dead_process_hide_no_loss_of_a_living_one(void **state)
{
	struct tally_consumer *consumer;
	struct tally_process_view row;
	pid_t pid;

	(void)state;
	begin(joined_file("slots"));
	consumer = watch_pid(0);
	assert_int_equal(at_rest(consumer).events, 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		claim_and_die(joined_file("slots"));
	assert_int_equal(wait_status(pid), -SIGKILL);
	push_events(500);
	row = at_rest(consumer);
	assert_int_equal(row.events, 500);
	assert_true(row.records_read > 0 && row.records_read < 500);
	assert_int_equal(row.records_read + row.lost_overwritten, 500);
	watch_close(consumer);
	rig_free(&rig);
}

/* ---- Never less ------------------------------------------------------------------------------ */

static void what_was_said_to_be_lost_stays_lost(void **state)
{
	struct tally_consumer *consumer;
	uint64_t lost = 0, random_now;
	int round;

	(void)state;
	begin(NULL);
	consumer = watch_pid(getpid());
	for (round = 0; round < 300; round++) {
		struct tally_process_view row;

		random_now = mix((uint64_t)round);
		if (random_now % 4 == 0 && round < 60) /* as if jumped out of a push */
			claim_and_stop(&ring);
		push_events(random_now >> 8 & 127);
		if (random_now >> 20 & 1)
			assert_int_equal(tally_consumer_poll(consumer), 0);
		row = at_rest(consumer);
		assert_true(row.lost_overwritten >= lost);
		assert_true(row.records_read + row.lost_overwritten <= row.events);
		lost = row.lost_overwritten;
	}
	assert_true(lost > 0);
	watch_close(consumer);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(events_without_a_record_before_the_first_look_hide_no_loss_after_it),
		TEST(what_was_overwritten_before_the_first_look_is_no_loss),
		TEST(slots_of_a_dead_process_hide_no_loss_of_a_living_one),
		TEST(what_was_said_to_be_lost_stays_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
