/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer among regions that lie: no crash, no hang, and no wrong number anywhere else.
 * sanitizers: address */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tally/abi.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "ring/cells.h"
#include "ring/entries.h"
#include "tests/child.h"
#include "tests/cli.h"
#include "tests/rig.h"
#include "tests/support.h"
#include "tests/watch.h"

#define FORGED "tally-%u-1-%016llx"

/* The bytes of a region with lanes, cells of both kinds, names, and some laps of records. */
static unsigned char *make_sound(size_t *ret_size)
{
	struct rig rig = rig_make(6, 2);
	struct tally_device_entry device = { .device = 1, .name = "chip" };
	struct cells cells = cells_of(&rig.region, 0);
	unsigned char *bytes;
	uint32_t lane, n;

	for (lane = 0; lane < 3; lane++) {
		struct lane_writer *writer = rig_claim(&rig, lane + 1, 0);

		for (n = 1; n <= 200; n++) {
			struct rig_event event = numbered_event(n);

			rig_push(writer, &event);
		}
	}
	for (n = 0; n < 50; n++)
		cells_push(&cells, TALLY_KIND_ALLOC, n, 7, n, 0);
	entries_device(&rig.region, &device);
	entries_pool(&rig.region, 8, "scratch");
	entries_tag(&rig.region, "phase");
	bytes = (unsigned char *)read_file(rig.region.path, ret_size);
	rig_free(&rig);
	return bytes;
}

/* Puts a region's file there, under the name of one. */
static void place(const unsigned char *bytes, size_t size, unsigned int number)
{
	char *name = text(FORGED, geteuid(), (unsigned long long)number + 1);

	write_file(text("%s/%s", test_dir, name), bytes, size);
}

/* A sound process beside the forged ones, and its numbers. */
static struct job start_sound(void)
{
	return start_pushing("1001");
}

static void check_sound(const struct tally_snapshot *now, pid_t pid)
{
	const struct tally_process_view *process = watch_process(now, pid);

	assert_non_null(process);
	assert_int_equal(process->end, TALLY_RUNNING);
	assert_int_equal(process->events, 1001);
	assert_int_equal(process->records_read, 1001);
	assert_int_equal(process->lost_records, 0);
	assert_int_equal(process->pool_count, 1);
	assert_int_equal(now->process_pools[process->first_pool].totals.allocations, 501);
}

static uint64_t refusals;

static void count_refusal(void *arg, const struct tally_refusal *refusal)
{
	(void)arg;
	refusals++;
	assert_non_null(refusal->name);
	assert_true(strlen(refusal->message) > 3);
	assert_null(strchr(refusal->message, '\n'));
	assert_true(refusal->error < 0);
}

/* Reads all of it, as a user would. */
static void look_at_event(void *arg, const struct tally_event *event)
{
	(void)arg;
	assert_true(strlen(event->comm) < 24 && strlen(event->tag) < 56);
	assert_true(strlen(event->pool_name) < 24);
}

static struct tally_consumer *open_all(void)
{
	struct tally_consumer_options options = { .read_buffers = true,
						  .from_start = true,
						  .event = look_at_event,
						  .refused = count_refusal };
	struct tally_consumer *consumer = NULL;

	refusals = 0;
	assert_int_equal(watch_open(&options, &consumer), 0);
	return consumer;
}

/* A sound process does not notice what there is beside it. */
static void check_look(const struct job *sound)
{
	struct tally_consumer *consumer = open_all();
	const struct tally_snapshot *now = watch_look(consumer);

	check_sound(now, sound->pid);
	watch_put(now);
	watch_close(consumer);
}

/* ---- Lies ------------------------------------------------------------------------------------ */

static uint64_t *word(unsigned char *bytes, size_t offset)
{
	return (uint64_t *)(void *)(bytes + offset);
}

static void counters_that_lie_cost_only_their_own_region(void **state)
{
	static const uint64_t lies[] = { 0,
					 1,
					 63,
					 64,
					 65,
					 4096,
					 1ull << 31,
					 1ull << 32,
					 1ull << 63,
					 (1ull << 63) - 1,
					 UINT64_MAX - 1,
					 UINT64_MAX };
	struct job sound = start_sound();
	unsigned char *bytes;
	struct geometry at;
	size_t size, i, j;

	(void)state;
	bytes = make_sound(&size);
	assert_true(geometry_compute((struct tally_region_header *)bytes, &at));
	for (i = 0; i < COUNT(lies); i++) {
		const size_t words[] = {
			TALLY_REGION_STATE + offsetof(struct tally_region_state, lanes_used),
			TALLY_REGION_STATE + offsetof(struct tally_region_state, devices_ready),
			at.lane_at + offsetof(struct tally_lane_header, publish_pos),
			at.lane_at + offsetof(struct tally_lane_header, start_pos),
			at.lane_at + offsetof(struct tally_lane_header, unrecorded),
			at.lane_at + offsetof(struct tally_lane_header, cell_count),
			at.lane_at + offsetof(struct tally_lane_header, owner),
			at.lane_at + sizeof(struct tally_lane_header) +
				offsetof(struct tally_cell, seq),
			at.lane_at + sizeof(struct tally_lane_header) +
				offsetof(struct tally_cell, key),
			at.process_at + offsetof(struct tally_process_header, cell_pages),
			at.process_at + offsetof(struct tally_process_header, shared_events),
		};

		for (j = 0; j < COUNT(words); j++) {
			uint64_t was = *word(bytes, words[j]);

			*word(bytes, words[j]) = lies[i];
			place(bytes, size, (unsigned int)j);
			*word(bytes, words[j]) = was;
		}
		check_look(&sound);
		for (j = 0; j < COUNT(words); j++)
			unlink(text("%s/" FORGED, test_dir, geteuid(), (unsigned long long)j + 1));
	}
	assert_int_equal(job_end(&sound).status, 0);
}

/* Bytes at random, all over what is not the header. */
static void regions_of_noise_cost_only_themselves(void **state)
{
	struct job sound = start_sound();
	unsigned char *bytes, *noisy;
	unsigned int round, i;
	size_t size;

	(void)state;
	bytes = make_sound(&size);
	noisy = malloc(size);
	assert_non_null(noisy);
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 4; i++) {
			uint64_t seed = mix(round * 4 + i), changes = 1ull << (seed % 14), n;

			memcpy(noisy, bytes, size);
			for (n = 0; n < changes; n++) {
				uint64_t random = mix(seed + n);
				/* half of them where the counters are */
				size_t reach = n % 2 ? size : 65536;
				size_t offset = random % (reach - 192) + 192;

				noisy[offset] = (unsigned char)(random >> 56);
			}
			place(noisy, size, i);
		}
		check_look(&sound);
	}
	free(noisy);
	assert_int_equal(job_end(&sound).status, 0);
	remove_regions();
}

/* Everything but the header is one byte, over and over. */
static void regions_of_one_byte_cost_only_themselves(void **state)
{
	static const unsigned char fills[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	struct job sound = start_sound();
	unsigned char *bytes;
	size_t size, i;

	(void)state;
	bytes = make_sound(&size);
	for (i = 0; i < COUNT(fills); i++) {
		memset(bytes + 192, fills[i], size - 192);
		place(bytes, size, 0);
		check_look(&sound);
	}
	assert_int_equal(job_end(&sound).status, 0);
	remove_regions();
}

/* A directory of cells that says it has no end, and nothing behind it that would show one. */
static void directory_without_an_end_is_read_to_its_end(void **state)
{
	struct job sound = start_sound();
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	struct tally_lane_header *lane;
	unsigned char *bytes;
	struct geometry at;
	size_t size, offset;

	(void)state;
	bytes = make_sound(&size);
	assert_true(geometry_compute((struct tally_region_header *)bytes, &at));
	lane = region_lane(bytes, &at, 2);
	lane->cell_count = UINT32_MAX;
	for (offset = (size_t)((unsigned char *)(lane + 1) - bytes); offset + 8 <= size;
	     offset += 8)
		*word(bytes, offset) = TALLY_KEY(9, 9);
	place(bytes, size, 0);
	consumer = open_all();
	now = watch_look(consumer);
	check_sound(now, sound.pid);
	/* each of its cells says that it has had so many allocs */
	assert_int_equal(watch_sums(now, 9, 9).allocs, at.lane_cells * TALLY_KEY(9, 9));
	watch_put(now);
	watch_close(consumer);
	assert_int_equal(job_end(&sound).status, 0);
	remove_regions();
}

/* Every word is the same, and looks like what it is not. */
static void regions_of_one_word_cost_only_themselves(void **state)
{
	static const uint64_t fills[] = { TALLY_KEY(1, 1),
					  TALLY_KEY(65535, 255),
					  2,
					  64,
					  1 << 20,
					  (uint64_t)TALLY_SLOT_VALID << TALLY_STATE_SHIFT |
						  TALLY_RECORD_VERSION << TALLY_VERSION_SHIFT };
	struct job sound = start_sound();
	unsigned char *bytes;
	size_t size, i, at;

	(void)state;
	bytes = make_sound(&size);
	for (i = 0; i < COUNT(fills); i++) {
		for (at = 192; at + 8 <= size; at += 8)
			*word(bytes, at) = fills[i];
		place(bytes, size, 0);
		check_look(&sound);
	}
	assert_int_equal(job_end(&sound).status, 0);
	remove_regions();
}

/* What cannot be believed is not read, and so it is lost: that is counted, too. */
static void records_of_a_quarantined_lane_are_lost_by_number(void **state)
{
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	struct tally_record *ring;
	unsigned char *bytes;
	struct geometry at;
	size_t size;

	(void)state;
	bytes = make_sound(&size);
	assert_true(geometry_compute((struct tally_region_header *)bytes, &at));
	/* 200 events in a ring of 64: slots 8 .. 63 hold events 137 .. 192, then 0 .. 7 the last */
	ring = (void *)(bytes + at.ring_at);
	assert_int_equal(ring[20].event_no, 149);
	ring[20].commit += 1ull << TALLY_VERSION_SHIFT;
	place(bytes, size, 0);
	consumer = open_all();
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 1);
	assert_int_equal(now->processes[0].quarantined_lanes, 1);
	assert_int_equal(now->events, 3 * 200 + 50);
	/* of one lane 12 were read before that, of the two others 64 each */
	assert_int_equal(now->records_read, 12 + 2 * 64);
	assert_int_equal(now->lost_records, now->events - now->records_read);
	watch_put(now);
	watch_close(consumer);
	remove_regions();
}

/* ---- A region that changes while it is watched ----------------------------------------------- */

/* A live process that holds a region and does to its file what each byte says; it answers each with
 * one, as it does when the region is there. */
static pid_t hold_region(int *ret_orders, int *ret_answers)
{
	int orders[2], ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct lane_writer *writer;
		struct rig rig;
		uint32_t n;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!rig_try(&rig, 6, 2) || !(writer = rig_claim(&rig, 1, 0)))
			_exit(1);
		for (n = 0; n < 200; n++)
			rig_alloc(writer, 2, 2, n, 2);
		if (write(ready[1], "r", 1) != 1)
			_exit(2);
		while (read(orders[0], &byte, 1) == 1) {
			if (byte == 't' && truncate(rig.region.path, 8192) != 0)
				_exit(3);
			if (byte == 'z' && truncate(rig.region.path, 0) != 0)
				_exit(3);
			if (write(ready[1], "r", 1) != 1)
				_exit(2);
		}
		_exit(0);
	}
	close(orders[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	*ret_orders = orders[1];
	*ret_answers = ready[0];
	return pid;
}

static void region_that_is_cut_while_it_is_watched_is_refused_from_then_on(void **state)
{
	static const char ways[] = { 't', 'z' };
	struct job sound = start_sound();
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(ways); i++) {
		const struct tally_snapshot *now;
		struct tally_consumer *consumer;
		int orders, answers;
		pid_t pid = hold_region(&orders, &answers);
		char byte;

		consumer = open_all();
		now = watch_look(consumer);
		assert_int_equal(now->process_count, 2);
		assert_int_equal(watch_sums(now, 2, 2).allocs, 200);
		watch_put(now);
		assert_int_equal(write(orders, &ways[i], 1), 1);
		/* Not a look before it is cut: in the midst of one, without the guard that an
		 * embedder may call, that would be a SIGBUS. */
		assert_int_equal(read(answers, &byte, 1), 1);
		now = watch_look(consumer);
		assert_int_equal(refusals, i + 1);
		assert_int_equal(now->process_count, 1);
		assert_int_equal(now->refused_files, i + 1);
		assert_false(now->complete);
		check_sound(now, sound.pid);
		watch_put(now);
		assert_int_equal(tally_consumer_poll(consumer), 0);
		assert_int_equal(refusals, i + 1); /* said once */
		watch_close(consumer);
		kill(pid, SIGKILL);
		wait_status(pid);
		close(orders);
		close(answers);
	}
	assert_int_equal(job_end(&sound).status, 0);
	remove_regions();
}

/* ---- Cut while the command reads it ---------------------------------------------------------- */

static struct rig victim;

static void hold(void *arg)
{
	struct lane_writer *writer;
	uint32_t n;

	(void)arg;
	CHILD_CHECK(rig_try(&victim, 6, 2));
	writer = rig_claim(&victim, 1, 0);
	CHILD_CHECK(writer != NULL);
	for (n = 0; n < 200; n++)
		rig_alloc(writer, n, 2, n, 2);
}

/* Cuts its own region and makes it whole again. */
static void cut(void *arg)
{
	(void)arg;
	CHILD_CHECK(truncate(victim.region.path, 4096) == 0);
	CHILD_CHECK(truncate(victim.region.path, (off_t)victim.region.at.size) == 0);
}

static void region_that_is_cut_again_and_again_costs_itself_alone(void **state)
{
	struct job sound = start_sound();
	pid_t pid = start_child(hold, cut, NULL);
	int i;

	(void)state;
	for (i = 0; i < 150; i++) {
		struct outcome outcome = TALLY("ps", "--json");
		json_t *json, *process;

		if (outcome.status != 0)
			fail_msg("look %d ended with %d: %s", i, outcome.status, outcome.err);
		json = json_parse(outcome.out);
		assert_int_equal(json_processes(json, sound.pid, &process), 1);
		assert_int_equal(json_sums(json_pool(process, 1, "l1")).allocs, 501);
		assert_int_equal(json_sums(json_pool(process, 1, "l1")).frees, 500);
	}
	kill(pid, SIGKILL);
	wait_status(pid);
	assert_int_equal(job_end(&sound).status, 0);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counters_that_lie_cost_only_their_own_region),
		TEST(regions_of_noise_cost_only_themselves),
		TEST(regions_of_one_byte_cost_only_themselves),
		TEST(directory_without_an_end_is_read_to_its_end),
		TEST(regions_of_one_word_cost_only_themselves),
		TEST(records_of_a_quarantined_lane_are_lost_by_number),
		TEST(region_that_is_cut_while_it_is_watched_is_refused_from_then_on),
		TEST(region_that_is_cut_again_and_again_costs_itself_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
