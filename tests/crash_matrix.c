/* SPDX-License-Identifier: Apache-2.0 */
/* The crash matrix: a producer is killed, and stopped, at every single instruction of all it does,
 * while others use the same region.
 *
 * Each scene prints how many points it has tried. Of the C library's instructions every 16th is
 * one, and both sides of each system call: CRASH_STRIDE=1 tries them all.
 */
#include <stdlib.h>

#include "tests/crash_scene.h"
#include "tests/support.h"

/* ---- What a victim does ---------------------------------------------------------------------- */

static void push_some(void)
{
	victim_push_many(10);
}

/* All kinds, and the first event of another cell. */
static void push_each(void)
{
	victim_push_many(6);
}

static void push_first(void)
{
	victim_push();
}

static void push_more(void)
{
	victim_push_many(12);
}

/* As from a signal handler that interrupts a push; three kinds. */
static void push_interrupting(void)
{
	uint64_t armed = tally_thread.armed;

	tally_thread.armed = THREAD_BUSY;
	victim_push_many(3);
	tally_thread.armed = armed;
}

static void *push_and_end(void *arg)
{
	victim_push_many(4);
	return arg;
}

/* Leaves a lane to whoever comes next. */
static void push_from_two_threads(void)
{
	pthread_t thread;

	victim_push_many(4);
	if (pthread_create(&thread, NULL, push_and_end, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0)
		_exit(2);
}

static void leave(void)
{
	exit(0);
}

static void nothing(void)
{
}

/* ---- Who was there before -------------------------------------------------------------------- */

/* A push that gets as far as its record. */
static void push_half(struct world *world, struct other *dead)
{
	uint64_t n = ++dead->n;
	struct lane_event event = books_event(DEAD, n);
	struct ledger_sums change = ledger_change(event.kind, event.size, event.buffer_id);
	struct lane_writer *lane = dead->lane;
	const struct lane_target *target = lane_target(lane, DEVICE_FIRST + DEAD, books_pool(n));
	uint64_t pos = tally_load_relaxed(&lane->header->publish_pos);
	struct lane_slot begun;

	books_add(&world->dead_half, &change);
	event.time = n;
	begun = lane_begin(lane, pos, target->where, &event);
	lane_publish(lane, &begun,
		     ledger_prepare(target->cell, tally_load_relaxed(&target->cell->seq), &change,
				    pos + lane->event_offset));
}

/* A slot is claimed, and its number taken. */
static void claim_slot(struct world *world, struct other *dead)
{
	uint64_t writing;

	CHECK(shared_claim(&dead->ring, TALLY_KIND_ALLOC, &dead->ticket, &writing) != NULL);
	tally_add_release(&dead->ring.process->shared_events, 1);
	world->dead_slots++;
}

/* Dies in the middle of pushes into two lanes and two slots, where the victim will come to be. */
static void die_in_the_middle(struct world *world)
{
	struct other dead;
	int i, lane;

	CHECK_EQUAL(world_join(world, &dead, DEAD), 0);
	for (lane = 0; lane < 2; lane++) {
		struct lane_writer *writers = dead.writers;

		other_claim(&dead);
		for (i = 0; i < 9; i++)
			other_push_lane(&dead);
		push_half(world, &dead);
		free(writers);
	}
	for (i = 0; i < 9; i++)
		CHECK(other_push_shared(&dead));
	claim_slot(world, &dead);
	CHECK(other_push_shared(&dead));
	claim_slot(world, &dead);
	world->dead_n = dead.n;
	other_die(&dead);
}

/* ---- The matrix ------------------------------------------------------------------------------ */

SCENE(push_into_a_lane, .lanes_log2 = 2, .before = push_some, .act = push_each)
SCENE(push_into_the_shared_ring, .lanes_log2 = 0, .before = push_some, .act = push_each)
SCENE(push_that_interrupts_a_push, .lanes_log2 = 2, .before = push_more, .act = push_interrupting)
SCENE(first_push_into_the_shared_ring, .lanes_log2 = 2, .fresh_ring = true, .before = push_more,
      .act = push_interrupting)
SCENE(claim_of_a_new_lane, .lanes_log2 = 2, .in_thread = true, .before = push_some,
      .act = push_first)
SCENE(claim_of_a_lane_that_a_thread_has_left, .lanes_log2 = 2, .in_thread = true,
      .before = push_from_two_threads, .act = push_first)
SCENE(claim_of_a_lane_of_the_dead, .lanes_log2 = 2, .in_thread = true, .prepare = die_in_the_middle,
      .before = push_some, .act = push_first)
SCENE(exit_of_a_thread, .lanes_log2 = 2, .in_thread = true, .before = push_some, .ready = push_some,
      .act = nothing)
SCENE(join_of_a_region, .lanes_log2 = 2, .act = push_first)
SCENE(join_that_books_the_dead, .lanes_log2 = 2, .prepare = die_in_the_middle, .act = push_first)
SCENE(making_of_a_region_to_join, .lanes_log2 = 2, .alone = true, .act = push_first)
SCENE(leave_of_a_region, .lanes_log2 = 2, .leaves = true, .before = push_some, .act = leave)
SCENE(leave_of_the_last_one, .lanes_log2 = 2, .alone = true, .leaves = true, .before = push_some,
      .act = leave)

static const struct CMUnitTest scenes[] = {
	TEST(push_into_a_lane),
	TEST(push_into_the_shared_ring),
	TEST(push_that_interrupts_a_push),
	TEST(first_push_into_the_shared_ring),
	TEST(claim_of_a_new_lane),
	TEST(claim_of_a_lane_that_a_thread_has_left),
	TEST(claim_of_a_lane_of_the_dead),
	TEST(exit_of_a_thread),
	TEST(join_of_a_region),
	TEST(join_that_books_the_dead),
	TEST(making_of_a_region_to_join),
	TEST(leave_of_a_region),
	TEST(leave_of_the_last_one),
};

SCENE_MAIN(scenes)
