/* SPDX-License-Identifier: Apache-2.0 */
/* What a push costs, and how fast a lane is drained: the first question about a ring.
 *
 * Everything is measured in each round, one after the other on one processor, so that ratios hold
 * whatever the machine is doing. The floor is that of bench/floor.h.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/tally.h>

#include "bench/empty_call.h"
#include "bench/floor.h"
#include "bench/harness/result.h"
#include "bench/push_pairs.h"
#include "ring/lane.h"
#include "ring/region.h"

#define CALLS 50000
#define DRAIN_LOG2 16 /* records per drain */
#define DRAINS 51

static const struct question cost = {
	.id = "push_cost", .words = "What does a push cost?", .unit = "ns", .base = FLOOR
};
static const struct question draining = { .id = "lane_drain",
					  .words = "How fast is a lane drained that another "
						   "processor has filled?",
					  .unit = "M records/s",
					  .more = true };

static struct figure empty = { .name = "empty call" };
static struct figure off = { .name = "push when off" };
static struct figure store = { .name = FLOOR };
static struct figure push = { .name = "push" };
static struct figure push_given = { .name = "push, timestamp given" };
static struct figure push_devices = { .name = "push, 64 devices in turn" };
static struct figure drain = { .name = "drain" };

/* ---- One processor --------------------------------------------------------------------------- */

/* Through a pointer, so that both of these are the same call but for what is behind it. */
static double time_call(void (*volatile call)(uint32_t, uint32_t, uint64_t, uint64_t))
{
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < CALLS; i++)
		call(0, TALLY_POOL_DRAM, i, 64);
	return (now_ns() - start) / CALLS;
}

static double time_empty(void)
{
	return time_call(empty_call);
}

static double time_off(void)
{
	return time_call(tally_alloc);
}

/* Alternating, as a program does. */
static double time_push(void)
{
	return time_push_pairs(CALLS);
}

static double time_push_given(void)
{
	uint64_t ticks = tally_now();
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < CALLS; i++)
		tally_free_at(ticks + i, 0, TALLY_POOL_DRAM, i, 64);
	return (now_ns() - start) / CALLS;
}

static double time_push_devices(void)
{
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < CALLS; i++)
		tally_alloc((uint32_t)i & 63, TALLY_POOL_DRAM, i, 64);
	return (now_ns() - start) / CALLS;
}

static double time_floor(void)
{
	static struct floor_ring ring;
	enum tally_clock clock = clock_choose();
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < CALLS; i++)
		floor_store(&ring, clock, i);
	return (now_ns() - start) / CALLS;
}

static void round_of_pushes(void)
{
	figure_time(&empty, time_empty);
	figure_time(&off, time_off);
	figure_time(&store, time_floor);
	if (tally_init(NULL) != 0) {
		fprintf(stderr, "bench/push: no region can be made in /dev/shm\n");
		exit(1);
	}
	time_push(); /* the first touches pages and caches */
	figure_time(&push, time_push);
	figure_time(&push_given, time_push_given);
	time_push_devices();
	figure_time(&push_devices, time_push_devices);
	tally_shutdown();
}

static void rounds_of_pushes(void)
{
	size_t rounds = bench_rounds(ROUNDS), i;

	for (i = 0; i < rounds; i++) {
		bench_progress("rounds of pushes", i, rounds);
		round_of_pushes();
	}
	result_figure(&cost, &empty);
	result_figure(&cost, &store);
	result_figure(&cost, &off);
	result_figure(&cost, &push);
	result_figure(&cost, &push_given);
	result_figure(&cost, &push_devices);
	result_goal(&cost, &(struct goal){ .words = "push when off - empty call",
					   .value = figure_difference(&off, &empty),
					   .unit = "ns",
					   .limit = 1 });
	result_goal(&cost, &(struct goal){ .words = "push - floor",
					   .value = figure_difference(&push, &store),
					   .unit = "ns",
					   .limit = 4 });
}

/* ---- Two processors -------------------------------------------------------------------------- */

static struct {
	struct region region;
	struct lane_writer writer;
	struct lane_writer *lane;
	struct lane_reader reader;
	uint64_t sum;
} filled = { .reader = { .ring_log2 = DRAIN_LOG2 } };

static void *fill(void *unused)
{
	const struct lane_target *target;
	struct lane_event event = { .kind = TALLY_KIND_ALLOC, .size = 64 };
	uint64_t i;

	pin(1);
	if (!filled.lane)
		filled.lane = lane_claim(&filled.region, &filled.writer, 0, 1, 0);
	target = lane_target(filled.lane, 0, TALLY_POOL_DRAM);
	for (i = 0; i < 1ull << DRAIN_LOG2; i++) {
		event.time = event.buffer_id = i;
		lane_push(filled.lane, target, &event);
	}
	return unused;
}

static void add_up(void *arg, const struct tally_record *record)
{
	*(uint64_t *)arg += record->size;
}

static double time_drain(void)
{
	double start = now_ns();

	lane_drain(&filled.reader, true, false, add_up, &filled.sum);
	return (double)(1ull << DRAIN_LOG2) * 1e3 / (now_ns() - start);
}

static void rounds_of_drain(void)
{
	struct region_config config = { .dir = "/dev/shm", .ring_log2 = DRAIN_LOG2 };
	size_t rounds = bench_rounds(DRAINS), i;
	pthread_t thread;

	if (processors() < 2) {
		result_absent(&draining, drain.name, NULL, "needs a second processor");
		return;
	}
	if (region_create(&config, &filled.region) != 0) {
		fprintf(stderr, "bench/push: no room for a ring of 4 MiB in /dev/shm\n");
		exit(1);
	}
	for (i = 0; i < rounds; i++) {
		bench_progress("drains", i, rounds);
		pthread_create(&thread, NULL, fill, NULL);
		pthread_join(thread, NULL);
		filled.reader.header = filled.lane->header;
		filled.reader.slots = filled.lane->slots;
		figure_time(&drain, time_drain);
	}
	if (filled.reader.seen != (uint64_t)rounds << DRAIN_LOG2 ||
	    filled.sum != filled.reader.seen * 64)
		bench_fail("drained %llu records, not all of them",
			   (unsigned long long)filled.reader.seen);
	region_discard(&filled.region);
	result_figure(&draining, &drain);
	result_goal(&draining, &(struct goal){ .words = "drain",
					       .value = figure_median(&drain),
					       .unit = draining.unit,
					       .limit = 20,
					       .at_least = true });
}

int main(int argc, char **argv)
{
	bench_begin(argc, argv, "push");
	need_off("push", "it measures both off and on");
	pin(0);
	rounds_of_pushes();
	rounds_of_drain();
	return bench_end();
}
