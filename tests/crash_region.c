/* SPDX-License-Identifier: Apache-2.0 */
/* The crash matrix, of a process that makes a region: judged by the consumer library, which looks
 * before, while it is stopped, and afterwards.
 */
#include <stdlib.h>

#include "tests/crash_scene.h"
#include "tests/rig.h"
#include "tests/support.h"
#include "tests/watch.h"

#define LAP_EVENTS 150 /* two laps and more of a ring of 64 */

static const struct tally_process_view *find(const struct tally_snapshot *now, uint32_t pid,
					     bool equal)
{
	size_t i;

	for (i = 0; i < now->process_count; i++)
		if ((now->processes[i].pid == pid) == equal)
			return &now->processes[i];
	return NULL;
}

/* Sums of a process, over all its pools; nothing is lost, and nothing in doubt. */
static struct ledger_sums certain_sums(const struct tally_snapshot *now,
				       const struct tally_process_view *process)
{
	size_t i;

	CHECK_EQUAL(process->lost_records, 0);
	CHECK_EQUAL(process->rejected_events, 0);
	CHECK_EQUAL(process->quarantined_lanes, 0);
	CHECK_EQUAL(process->skipped_records, 0);
	CHECK_EQUAL(process->records_read, process->events);
	for (i = 0; i < process->pool_count; i++)
		CHECK(now->process_pools[process->first_pool + i].totals.current);
	return shown_sums(now, process);
}

/* The victim's region is not there or right, the other's is right. True: the victim's is there. */
static bool look(struct tally_consumer *consumer, uint64_t others)
{
	uint64_t done = tally_load_acquire(&truth->done), begun = tally_load_acquire(&truth->begun);
	const struct tally_process_view *other, *victim;
	const struct tally_snapshot *now;
	struct ledger_sums sums;

	CHECK_EQUAL(tally_consumer_poll(consumer), 0);
	CHECK_EQUAL(tally_consumer_poll(consumer), 0); /* whoever moves is read to the end now */
	now = tally_snapshot_get(consumer);
	CHECK_EQUAL(now->refused_files, 0);
	other = find(now, (uint32_t)getpid(), true);
	victim = find(now, (uint32_t)getpid(), false);
	CHECK(other != NULL);
	CHECK_EQUAL(now->process_count, victim ? 2 : 1);
	sums = certain_sums(now, other);
	CHECK_EQUAL(sums.allocs, others);
	if (victim) {
		sums = certain_sums(now, victim);
		books_check(&sums, VICTIM, done, begun);
		CHECK_RANGE(victim->events, done, begun);
	} else {
		CHECK_EQUAL(done, 0);
	}
	tally_snapshot_put(now);
	return victim != NULL;
}

static void lap(struct lane_writer *writer, struct tally_consumer *consumer, uint64_t *ret_events)
{
	int i, n;

	for (i = 0; i < LAP_EVENTS / 30; i++) {
		for (n = 0; n < 30; n++)
			rig_alloc(writer, DEVICE_FIRST + OTHER, 0, 1, 100);
		*ret_events += 30;
		look(consumer, *ret_events);
	}
}

static void judge(struct tracee *tracee, bool killed)
{
	struct tally_consumer_options options = { .read_records = true, .from_start = true };
	struct tally_consumer *consumer;
	struct lane_writer *writer;
	uint64_t events = 0;
	struct rig rig;

	CHECK(rig_try(&rig, RING_LOG2, 0));
	writer = rig_claim(&rig, 1, 0);
	CHECK(writer != NULL);
	CHECK_EQUAL(tally_consumer_open(&options, &consumer), 0);
	if (killed) {
		tracee_kill(tracee);
	} else {
		tracee_sigstop(tracee);
		lap(writer, consumer, &events);
		tracee_sigcont(tracee);
		CHECK_EQUAL(tally_load_acquire(&truth->done), tally_load_acquire(&truth->begun));
		CHECK(look(consumer, events));
	}
	lap(writer, consumer, &events);
	CHECK_RANGE(regions_left(), 1, 2);
	tally_consumer_close(consumer);
	rig_free(&rig);
	remove_regions();
	CHECK_EQUAL(regions_left(), 0);
}

static void first_push(void)
{
	victim_push();
}

SCENE(making_of_a_region, .lanes_log2 = 2, .judge = judge, .act = first_push)
SCENE(making_of_a_region_to_join, .lanes_log2 = 2, .alone = true, .judge = judge, .act = first_push)

static const struct CMUnitTest tests[] = {
	TEST(making_of_a_region),
	TEST(making_of_a_region_to_join),
};

SCENE_MAIN(tests)
