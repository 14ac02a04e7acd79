/* SPDX-License-Identifier: Apache-2.0 */
/* What a push costs, and how fast a lane is drained: the first question about a ring.
 *
 * Everything is measured in each round, one after the other on one processor, so that ratios hold
 * whatever the machine is doing. The floor is what any recorder has to pay: reading a timestamp and
 * storing 64 bytes, into a ring of the same size as a lane's.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/tally.h>

#include "bench/harness.h"
#include "bench/push_pairs.h"
#include "ring/clock.h"
#include "ring/lane.h"
#include "ring/region.h"

#define CALLS 50000
#define FLOOR_SLOTS 2048 /* a default lane's */
#define DRAIN_LOG2 16	 /* records per drain */
#define DRAINS 51

static struct figure empty = { .name = "empty call", .unit = "ns" };
static struct figure off = { .name = "push when off", .unit = "ns" };
static struct figure store = { .name = "floor: timestamp and 64-byte store", .unit = "ns" };
static struct figure push = { .name = "push", .unit = "ns" };
static struct figure push_given = { .name = "push, timestamp given", .unit = "ns" };
static struct figure push_devices = { .name = "push, 64 devices in turn", .unit = "ns" };
static struct figure drain = { .name = "drain of a lane another core filled",
			       .unit = "M records/s" };

/* ---- One processor --------------------------------------------------------------------------- */

__attribute__((noinline, noipa)) static void empty_call(uint32_t device, uint32_t pool,
							uint64_t buffer_id, uint64_t size)
{
	(void)device;
	(void)pool;
	(void)buffer_id;
	(void)size;
}

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
	static uint64_t slots[FLOOR_SLOTS][8] __attribute__((aligned(64)));
	enum tally_clock clock = clock_choose();
	double start = now_ns();
	uint64_t i, word;

	for (i = 0; i < CALLS; i++) {
		volatile uint64_t *slot = slots[i & (FLOOR_SLOTS - 1)];

		slot[0] = clock_ticks(clock);
		for (word = 1; word < 8; word++)
			slot[word] = i;
	}
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
	pthread_t thread;
	int i;

	if (region_create(&config, &filled.region) != 0) {
		fprintf(stderr, "bench/push: no room for a ring of 4 MiB in /dev/shm\n");
		exit(1);
	}
	for (i = 0; i < DRAINS; i++) {
		pthread_create(&thread, NULL, fill, NULL);
		pthread_join(thread, NULL);
		filled.reader.header = filled.lane->header;
		filled.reader.slots = filled.lane->slots;
		figure_time(&drain, time_drain);
	}
	if (filled.reader.seen != (uint64_t)DRAINS << DRAIN_LOG2 ||
	    filled.sum != filled.reader.seen * 64) {
		fprintf(stderr, "bench/push: drained %llu records, not all of them\n",
			(unsigned long long)filled.reader.seen);
		exit(1);
	}
	region_discard(&filled.region);
}

int main(void)
{
	int i;

	need_off("push", "it measures both off and on");
	pin(0);
	machine_print();
	for (i = 0; i < ROUNDS; i++)
		round_of_pushes();
	figure_print(&empty);
	figure_print(&off);
	figure_print(&store);
	figure_print(&push);
	figure_print(&push_given);
	figure_print(&push_devices);
	if (processors() > 1) {
		rounds_of_drain();
		figure_print(&drain);
	} else {
		printf("%-44s needs a second processor: absent\n", drain.name);
	}
	printf("off - empty call  %6.2f ns     goal: at most 1\n", figure_difference(&off, &empty));
	printf("push - floor      %6.2f ns     goal: at most 4\n",
	       figure_difference(&push, &store));
	printf("push / floor      %6.2f\n", figure_ratio(&push, &store));
	printf("push / off        %6.2f\n", figure_ratio(&push, &off));
	if (drain.count)
		printf("drain             %6.1f M records/s     goal: at least 20\n",
		       figure_median(&drain));
	return 0;
}
