/* SPDX-License-Identifier: Apache-2.0 */
/* Producers stopped in the middle of a push, for many laps; and so many of them at once that
 * the others run into the bound of their tries.
 */
#include "tests/crash_scene.h"
#include "tests/support.h"

/* ---- One, for as many laps as it takes ------------------------------------------------------- */

#define LAPS 50

static void push_some(void)
{
	victim_push_many(10);
}

static void push_one(void)
{
	victim_push();
}

static const struct scene in_a_lane = { .name = "stopped in a push into a lane",
					.lanes_log2 = 2,
					.before = push_some,
					.act = push_one };
static const struct scene in_the_ring = { .name = "stopped in a push into the shared ring",
					  .before = push_some,
					  .act = push_one };

static void producer_stopped_in_a_push_delays_nothing_but_that_record(void **state)
{
	(void)state;
	crash_laps = LAPS;
	scene_play(&in_a_lane);
	scene_play(&in_the_ring);
	crash_laps = 2;
}

/* ---- As many of them as a push has tries ----------------------------------------------------- */

#define STUCK SHARED_TRIES    /* in slots next to each other */
#define ROUND_INSTRUCTIONS 40 /* that one more slot may take */
#define HINDERED (STUCK + 2)  /* the event of who meets them all */
#define RING_SIZE (1u << RING_LOG2)

static uint64_t *dones; /* by event, shared */

/* A process without a lane that pushes one event. */
static void live(void *arg)
{
	uint64_t n = (uint64_t)(uintptr_t)arg;

	victim_start();
	if (!tally_enabled())
		_exit(2);
	tracee_stop_here();
	victim_call(VICTIM, n);
	tally_store_release(&dones[n], 1);
	_exit(0);
}

static struct tracee begin(uint64_t n)
{
	return tracee_start(live, (void *)(uintptr_t)n, &dones[n]);
}

/* Instructions until it has pushed; then it goes its way. */
static uint64_t count_steps(struct tracee *tracee)
{
	uint64_t steps = 0;
	int status;

	while (!tracee_done(tracee)) {
		CHECK(tracee_step(tracee));
		steps++;
	}
	CHECK(ptrace(PTRACE_DETACH, tracee->tid, NULL, NULL) == 0);
	CHECK(waitpid(tracee->pid, &status, 0) == tracee->pid);
	CHECK_EQUAL(status, 0);
	return steps;
}

static bool is_being_written(const struct world *world, uint64_t slot)
{
	const struct region_view *view = &world->follow.view;
	const struct tally_record *slots = region_shared_slots(view->base, &view->at);

	return slot_state(tally_load_acquire(&slots[slot].commit)) == TALLY_SLOT_WRITING;
}

/* Pushes, and reads what has a record. How many had none? */
static uint64_t push_among_them(struct world *world, int count)
{
	uint64_t lost = 0, before;
	int i;

	witness_drain(&world->follow);
	before = world->follow.seen[OTHER].shared;
	for (i = 0; i < count; i++) {
		lost += !other_push_shared(&world->other);
		if (i % ROUND == ROUND - 1)
			witness_drain(&world->follow);
	}
	witness_drain(&world->follow);
	CHECK_EQUAL(world->follow.seen[OTHER].shared, before + (uint64_t)count - lost);
	return lost;
}

/* Pushes until the next tickets are those of slots `slot` and following. */
static void come_to(struct world *world, uint64_t slot)
{
	const struct tally_shared_ring *head = world->other.ring.head;

	while (tally_load_relaxed(&head->reserve_pos) % RING_SIZE != slot)
		CHECK_EQUAL(push_among_them(world, 1), 0);
}

/* Each slot of the ring's first two groups is being written by another process; those of the second
 * one first, as nobody comes to it past a first one that is full. */
static void get_stuck(struct world *world, struct tracee *stuck)
{
	uint64_t i;

	for (i = 0; i < STUCK; i++) {
		uint64_t slot = (i + SHARED_GROUP) % STUCK;

		come_to(world, slot - slot % SHARED_GROUP);
		stuck[i] = begin(i + 2);
		while (!is_being_written(world, slot))
			CHECK(tracee_step(&stuck[i]));
	}
	come_to(world, 0);
}

static void check_all_came_through(struct world *world, uint64_t unrecorded)
{
	struct ledger_sums other = books_of(&world->follow, OTHER, false);
	struct ledger_sums victims = books_of(&world->follow, VICTIM, false);
	uint64_t counted = 0;
	uint32_t entry;

	CHECK_EQUAL(world->follow.seen[VICTIM].shared, STUCK + 1);
	CHECK_EQUAL(world->follow.shared.died, 0);
	for (entry = 0; entry < crash_entries; entry++) {
		struct tally_process_header *process = region_process(
			world->follow.view.base, &world->follow.view.at, entry);

		CHECK_EQUAL(tally_load_acquire(&process->shared_events),
			    world->follow.by_entry[entry] +
				    tally_load_acquire(&process->shared_unrecorded));
		counted += tally_load_acquire(&process->shared_unrecorded);
	}
	CHECK_EQUAL(counted, unrecorded);
	books_check(&other, OTHER, world->other.n, world->other.n);
	books_check(&victims, VICTIM, HINDERED, HINDERED);
}

static void run_into_them(const struct scene *scene, unsigned int worker)
{
	struct tracee stuck[STUCK], tracee;
	uint64_t steps, hindered, reserve_pos, unrecorded, i;
	struct world world;

	alarm(DEADLINE_S);
	scene_open(scene, &world, worker);
	tracee = begin(1);
	steps = count_steps(&tracee);
	get_stuck(&world, stuck);
	reserve_pos = tally_load_relaxed(&world.other.ring.head->reserve_pos);
	tracee = begin(HINDERED);
	hindered = count_steps(&tracee);
	CHECK_EQUAL(tally_load_relaxed(&world.other.ring.head->reserve_pos),
		    reserve_pos + SHARED_TRIES);
	CHECK_RANGE(hindered, steps, steps + SHARED_TRIES * ROUND_INSTRUCTIONS);
	unrecorded = 1 + push_among_them(&world, 1000);
	CHECK_RANGE(unrecorded, 2, 1 + 1000 / (RING_SIZE - STUCK) + 1);
	for (i = 0; i < STUCK; i++)
		count_steps(&stuck[i]);
	CHECK_EQUAL(push_among_them(&world, 2 * RING_SIZE), 0);
	check_all_came_through(&world, unrecorded);
	printf("a push took %llu instructions, and %llu to find no slot among %u stopped ones\n",
	       (unsigned long long)steps, (unsigned long long)hindered, STUCK);
	world_close(&world);
}

static void push_among_many_stopped_ones_gives_up_in_bounded_steps(void **state)
{
	static const struct scene scene = { .name = "run into stopped ones" };

	(void)state;
#ifndef __x86_64__
	SKIP("no single steps here");
#endif
	dones = crash_share(4096);
	crash_entries = ENTRIES_MAX;
	scene_await(scene_fork(&scene, 0, run_into_them));
	crash_entries = 6;
}

static const struct CMUnitTest tests[] = {
	TEST(producer_stopped_in_a_push_delays_nothing_but_that_record),
	TEST(push_among_many_stopped_ones_gives_up_in_bounded_steps),
};

SCENE_MAIN(tests)
