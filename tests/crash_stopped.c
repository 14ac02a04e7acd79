/* SPDX-License-Identifier: Apache-2.0 */
/* Producers stopped in the middle of a push, for hundreds of laps; and so many of them at once that
 * the others run into the bound of their tries.
 */
#include "tests/crash_scene.h"
#include "tests/support.h"

/* ---- One, for as many laps as it takes ------------------------------------------------------- */

#define LAPS 200

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

/* ---- More of them than a push has tries ------------------------------------------------------ */

#define STUCK 20
#define ROUND_INSTRUCTIONS 40 /* that a ticket more may take */

static uint64_t *dones; /* of each child, shared */

/* A process without a lane that pushes one event. */
static void live(void *arg)
{
	uint64_t n = (uint64_t)(uintptr_t)arg;
	struct lane_event event = books_event(VICTIM, n);

	victim_start();
	if (!tally_enabled())
		_exit(2);
	tracee_stop_here();
	push_event(DEVICE_FIRST + VICTIM, books_pool(n), &event);
	tally_store_release(&dones[n], 1);
	_exit(0);
}

static struct tracee begin(uint64_t n)
{
	return tracee_start(live, (void *)(uintptr_t)n, &dones[n]);
}

/* Instructions until it has pushed. */
static uint64_t count_steps(struct tracee *tracee)
{
	uint64_t steps = 0;

	while (!tracee_done(tracee)) {
		CHECK(tracee_step(tracee));
		steps++;
	}
	return steps;
}

static void let_go(struct tracee *tracee)
{
	int status;

	CHECK(ptrace(PTRACE_DETACH, tracee->tid, NULL, NULL) == 0);
	CHECK(waitpid(tracee->pid, &status, 0) == tracee->pid);
	CHECK_EQUAL(status, 0);
}

static uint64_t slots_being_written(const struct witness *from)
{
	uint64_t found = 0;
	uint32_t entry;

	for (entry = 0; entry < crash_entries; entry++)
		found += books_slots(from, entry, TALLY_SLOT_WRITING);
	return found;
}

/* Pushes, `lost` of them without a record. */
static uint64_t push_among_them(struct world *world, int count)
{
	uint64_t lost = 0, before;
	int i;

	witness_drain(&world->follow);
	before = world->follow.seen[OTHER].shared;
	for (i = 0; i < count; i++) {
		lost += !other_push_shared(&world->other);
		if (i % 8 == 7)
			witness_drain(&world->follow);
	}
	witness_drain(&world->follow);
	CHECK_EQUAL(world->follow.seen[OTHER].shared, before + (uint64_t)count - lost);
	return lost;
}

/* Slots next to each other, as many as there are children, are stuck. */
static void get_stuck(struct world *world, struct tracee *stuck)
{
	uint64_t i;

	for (i = 0; i < STUCK; i++)
		stuck[i] = begin(i + 2);
	for (i = 0; i < STUCK; i++)
		while (slots_being_written(&world->follow) < i + 1)
			CHECK(tracee_step(&stuck[i]));
}

static void check_all_came_through(struct world *world, uint64_t unrecorded)
{
	struct ledger_sums other = books_of(&world->follow, OTHER, false);
	struct ledger_sums victims = books_of(&world->follow, VICTIM, false);
	uint64_t counted = 0;
	uint32_t entry;

	witness_drain(&world->follow);
	CHECK_EQUAL(world->follow.seen[VICTIM].shared, STUCK + 1);
	CHECK_EQUAL(world->follow.shared.hole_count, 0);
	CHECK_EQUAL(world->follow.shared.died, 0);
	for (entry = 0; entry < crash_entries; entry++) {
		struct tally_process_header *process =
			region_process(world->follow.view.base, &world->follow.view.at, entry);

		CHECK_EQUAL(tally_load_acquire(&process->shared_events),
			    world->follow.by_entry[entry] +
				    tally_load_acquire(&process->shared_unrecorded));
		counted += tally_load_acquire(&process->shared_unrecorded);
	}
	CHECK_EQUAL(counted, unrecorded);
	books_check(&other, OTHER, world->other.n, world->other.n);
	books_check(&victims, VICTIM, STUCK + 2, STUCK + 2);
}

static void run_into_them(const struct scene *scene, unsigned int worker)
{
	struct tracee stuck[STUCK], free_one, hindered;
	uint64_t steps, hindered_steps, unrecorded = 0, i;
	struct world world;

	alarm(DEADLINE_S);
	scene_open(scene, &world, worker);
	free_one = begin(1);
	steps = count_steps(&free_one);
	let_go(&free_one);
	get_stuck(&world, stuck);
	i = tally_load_relaxed(&world.other.ring.head->reserve_pos); /* behind the last of them */
	CHECK_EQUAL(push_among_them(&world, (1 << RING_LOG2) - STUCK), 0);
	CHECK_EQUAL(tally_load_relaxed(&world.other.ring.head->reserve_pos),
		    i + (1 << RING_LOG2) - STUCK);
	/* the next ticket is for the first stuck slot */
	hindered = begin(STUCK + 2);
	hindered_steps = count_steps(&hindered);
	let_go(&hindered);
	unrecorded++;
	CHECK_EQUAL(tally_load_relaxed(&world.other.ring.head->reserve_pos),
		    i + (1 << RING_LOG2) - STUCK + SHARED_TRIES);
	CHECK_RANGE(hindered_steps, steps, steps + SHARED_TRIES * ROUND_INSTRUCTIONS);
	i = push_among_them(&world, 1000);
	CHECK_RANGE(i, 1, 1000 / 16);
	unrecorded += i;
	CHECK_EQUAL(crash_tickets_max, SHARED_TRIES);
	for (i = 0; i < STUCK; i++)
		let_go(&stuck[i]);
	CHECK_EQUAL(push_among_them(&world, 2 << RING_LOG2), 0);
	check_all_came_through(&world, unrecorded);
	printf("a push took %llu instructions, %llu among %d stopped ones, and no record\n",
	       (unsigned long long)steps, (unsigned long long)hindered_steps, STUCK);
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
