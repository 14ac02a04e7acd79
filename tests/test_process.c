/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever happens in a process's life, what it pushed is counted, and counted as its own.
 *
 * tests/prog/life.c plays each scenario and writes down what each process image pushed on device 5,
 * pool dram; here it runs under `tally run`, with the adapter, and both are compared.
 *
 * also on: arm64 */
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tally/abi.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/watch.h"

#define DEVICE 5
#define IMAGES_MAX 256

/* What one process image says of itself. */
struct image {
	int64_t pid;
	struct test_sums sums;
	int64_t unsure;
	bool found;
};

static struct image images[IMAGES_MAX];
static size_t image_count;

static void read_images(const char *path)
{
	char *rest = read_file(path, NULL), *line;

	image_count = 0;
	while ((line = strsep(&rest, "\n")) && *line) {
		struct image *image = &images[image_count++];

		memset(image, 0, sizeof(*image));
		assert_int_equal(sscanf(line,
					"%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
					" %" SCNd64,
					&image->pid, &image->sums.allocated_bytes,
					&image->sums.freed_bytes, &image->sums.allocs,
					&image->sums.frees, &image->unsure),
				 6);
		assert_in_range(image_count, 1, IMAGES_MAX - 1);
	}
}

static bool same(struct test_sums a, struct test_sums b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Finds the image a row is of; fails when there is none. */
static void match(json_t *process)
{
	int64_t pid = json_number(process, "pid");
	struct test_sums sums = json_sums(json_pool(process, DEVICE, "dram"));
	size_t i;

	if (same(sums, (struct test_sums){ 0 }))
		return; /* a process that did nothing on that device */
	for (i = 0; i < image_count; i++) {
		struct image *image = &images[i];

		if (image->found || image->pid != pid)
			continue;
		if (image->unsure) {
			assert_in_range(sums.allocs, image->sums.allocs,
					image->sums.allocs + image->unsure);
			assert_in_range(sums.allocated_bytes, image->sums.allocated_bytes,
					image->sums.allocated_bytes + 16 * image->unsure);
			image->found = true;
			return;
		}
		if (same(sums, image->sums)) {
			image->found = true;
			return;
		}
	}
	fail_msg("process %" PRId64 " is said to have allocated %" PRId64 " in %" PRId64
		 ", freed %" PRId64 " in %" PRId64 ", which no image did",
		 pid, sums.allocated_bytes, sums.allocs, sums.freed_bytes, sums.frees);
}

static char *truth_path;

/* Runs a scenario under `tally run`; its report, after every row was found to be the truth. */
static json_t *live_with(const char *scenario, const char *argument, const char *setting)
{
	char *json_path = text("%s/%s.json", test_tmp, scenario);
	struct command command = {
		.argv = LIST(built("tally"), "run", "--json", json_path, "--", prog("life"),
			     scenario, argument),
		.env = LIST(text("LIFE_TRUTH=%s", truth_path = text("%s/truth", test_tmp)),
			    setting),
	};
	struct outcome outcome;
	json_t *json, *process;
	size_t i;

	unlink(truth_path);
	outcome = run(&command);
	if (outcome.status != 0)
		fail_msg("life %s ended with %d: %s", scenario, outcome.status, outcome.err);
	json = json_parse(read_file(json_path, NULL));
	read_images(truth_path);
	assert_true(image_count > 0);
	json_array_foreach(json_get(json, "processes"), i, process) {
		match(process);
		assert_int_equal(json_number(process, "lost_records"),
				 json_number(process, "events_total") -
					 json_number(process, "records_read"));
		assert_int_equal(json_number(process, "rejected_events"), 0);
	}
	for (i = 0; i < image_count; i++)
		if (!images[i].found)
			fail_msg("process %" PRId64 " is missing", images[i].pid);
	return json;
}

static json_t *live(const char *scenario)
{
	return live_with(scenario, NULL, "TALLY_RING=64");
}

/* ---- Fork and its like ----------------------------------------------------------------------- */

static void parent_and_fork_child_are_counted_apart(void **state)
{
	json_t *json = live("fork");

	(void)state;
	assert_int_equal(image_count, 2);
	/* device pools open at zero: 30 - 1000 in the child is below zero, and shown so */
	assert_int_equal(json_number(json_pool(json, DEVICE, "dram"), "abandoned_bytes_total"),
			 6000 + 30 - 1000);
}

static void child_of_a_child_is_counted_apart(void **state)
{
	(void)state;
	live("fork-twice");
	assert_int_equal(image_count, 3);
}

static void clone_child_without_handlers_is_counted_apart(void **state)
{
	(void)state;
	SKIP_EMULATED("MADV_WIPEONFORK is not heeded");
	live("clone");
	assert_int_equal(image_count, 2);
}

static void vfork_child_counts_in_its_parent_until_it_execs(void **state)
{
	(void)state;
	SKIP_EMULATED("vfork() is a fork()");
	live("vfork");
	assert_int_equal(image_count, 2);
}

static void spawned_child_is_counted_apart(void **state)
{
	(void)state;
	live("spawn");
	assert_int_equal(image_count, 2);
}

static void exec_makes_a_second_row_of_the_same_pid(void **state)
{
	json_t *json = live("exec"), *first;

	(void)state;
	assert_int_equal(image_count, 2);
	assert_int_equal(images[0].pid, images[1].pid);
	assert_int_equal(json_processes(json, images[0].pid, &first), 2);
	assert_true(json_flag(json, "run/followed"));
}

static void child_of_a_millisecond_is_not_missed(void **state)
{
	(void)state;
	live("short");
	assert_int_equal(image_count, 101);
}

static void daemon_that_closes_all_descriptors_is_counted(void **state)
{
	(void)state;
	live_with("daemon", NULL, "TALLY_RING=64");
	assert_int_equal(image_count, 2);
}

static void daemon_that_outlives_the_command_is_listed_as_alive(void **state)
{
	json_t *json, *process;
	size_t i, alive = 0;

	(void)state;
	SKIP_EMULATED("PR_SET_CHILD_SUBREAPER is refused: the daemon would not come to us");
	json = live_with("daemon", "stays", "TALLY_RING=64");
	assert_int_equal(image_count, 2);
	json_array_foreach(json_get(json, "processes"), i, process) {
		if (!json_flag(process, "alive"))
			continue;
		alive++;
		assert_int_equal(json_number(process, "pid"), images[1].pid);
		assert_int_equal(json_number(json_pool(process, DEVICE, "dram"), "live_bytes"), 11);
		assert_int_equal(json_number(json_pool(json, DEVICE, "dram"), "live_bytes"), 11);
	}
	assert_int_equal(alive, 1);
	/* its copy of the heap was its parent's as long as that lived, and is its own now */
	json_processes(json, images[1].pid, &process);
	assert_in_range(json_number(json_pool(process, 0, "heap"), "live_bytes"), 40000, 50000);
	assert_int_equal(json_number(json_pool(json, 0, "heap"), "live_bytes"),
			 json_number(json_pool(process, 0, "heap"), "live_bytes"));
	/* it is our child now */
	assert_int_equal(kill((pid_t)images[1].pid, SIGKILL), 0);
	assert_int_equal(wait_status((pid_t)images[1].pid), -SIGKILL);
	remove_regions(); /* which nobody waited for */
}

static void forks_among_pushing_threads_lose_nothing(void **state)
{
	(void)state;
	live("fork-among-threads");
	assert_int_equal(image_count, 51);
}

/* The heap is copied by a fork: the child's books open with its parent's balance. */
static void fork_childs_heap_opens_with_its_parents_balance(void **state)
{
	json_t *json = live("fork"), *parent = NULL, *child = NULL, *heap, *mother;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		json_t *process = NULL;

		assert_int_equal(json_processes(json, images[i].pid, &process), 1);
		if (json_is_null(json_get(process, "parent_region")))
			parent = process;
		else
			child = process;
	}
	assert_non_null(parent);
	assert_non_null(child);
	heap = json_pool(child, 0, "heap");
	mother = json_pool(parent, 0, "heap");
	assert_non_null(heap);
	assert_non_null(mother);
	/* two blocks, of which it has freed one and kept the other */
	assert_in_range(json_number(heap, "inherited_bytes"), 150000, 160000);
	assert_int_equal(json_number(heap, "inherited_bytes"), json_number(mother, "live_bytes"));
	assert_in_range(json_number(heap, "freed_bytes_total"), 100000, 100100);
	assert_in_range(json_number(heap, "live_bytes"), 50000, 60000);
	assert_int_equal(json_number(mother, "inherited_bytes"), 0);
	assert_int_equal(json_number(heap, "live_bytes"),
			 json_number(heap, "inherited_bytes") +
				 json_number(heap, "allocated_bytes_total") -
				 json_number(heap, "freed_bytes_total"));
	/* what it has from its parent is not allocated once more */
	assert_int_equal(json_sums(json_pool(json, 0, "heap")).allocated_bytes,
			 json_sums(heap).allocated_bytes + json_sums(mother).allocated_bytes);
}

static void heap_that_a_living_child_inherited_is_counted_once(void **state)
{
	struct command command = {
		.argv = LIST(prog("life"), "fork-stays"),
		.env = LIST("TALLY=1", text("LIFE_TRUTH=%s/truth", test_tmp),
			    text("LD_PRELOAD=%s", built("libtally-malloc.so"))),
	};
	struct job job = job_start(&command);
	json_t *json, *parent = NULL, *child;
	int64_t inherited;

	(void)state;
	assert_string_equal(job_line(&job), "working");
	json = json_parse(TALLY("ps", "--json").out);
	assert_int_equal(json_array_size(json_get(json, "processes")), 2);
	assert_int_equal(json_processes(json, job.pid, &parent), 1);
	child = json_get(json, "processes/0") == parent ? json_get(json, "processes/1")
							: json_get(json, "processes/0");
	inherited = json_number(json_pool(child, 0, "heap"), "inherited_bytes");
	assert_in_range(inherited, 150000, 160000);
	assert_in_range(json_number(json_pool(child, 0, "heap"), "live_bytes"), 50000, 60000);
	assert_int_equal(json_number(json_pool(json, 0, "heap"), "live_bytes"),
			 json_number(json_pool(parent, 0, "heap"), "live_bytes") +
				 json_number(json_pool(child, 0, "heap"), "live_bytes") -
				 inherited);
	assert_int_equal(job_end(&job).status, 0);
	remove_regions(); /* the child left by _exit() */
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void thread_that_outlives_main_is_counted(void **state)
{
	(void)state;
	live("pthread-exit");
	assert_int_equal(image_count, 1);
}

static void threads_that_come_and_go_pass_their_lanes_on(void **state)
{
	json_t *json = live_with("threads-come-and-go", NULL, "TALLY_LANES=4");

	(void)state;
	/* with four lanes for 2000 threads every event still has its record's place */
	assert_int_equal(json_number(json_get(json, "processes/0"), "lost_unrecorded"), 0);
}

static void pushes_in_thread_destructors_are_counted(void **state)
{
	(void)state;
	live("thread-destructors");
}

static void threads_with_one_lane_between_them_are_counted(void **state)
{
	(void)state;
	live_with("thread-destructors", NULL, "TALLY_LANES=1");
	live_with("fork-among-threads", NULL, "TALLY_LANES=1");
}

/* ---- Loading, beginning, ending -------------------------------------------------------------- */

static void library_that_pushes_may_come_and_go(void **state)
{
	(void)state;
	live_with("dlopen", prog("libplug.so"), "TALLY_RING=64");
}

static void pushes_before_main_and_after_exit_handlers_are_counted(void **state)
{
	(void)state;
	live("edges");
}

/* ---- Signals --------------------------------------------------------------------------------- */

static void pushes_in_signal_handlers_are_counted(void **state)
{
	(void)state;
	live("signals");
}

static void handler_that_jumps_out_of_a_push_loses_nothing_else(void **state)
{
	(void)state;
	live("longjmp");
}

/* ---- Ends without `tally run` ---------------------------------------------------------------- */

static struct job start(const char *scenario, const char *argument, const char *setting)
{
	struct command command = {
		.argv = LIST(prog("life"), scenario, argument),
		.env = LIST("TALLY=1", text("LIFE_TRUTH=%s/truth", test_tmp), setting),
	};
	struct job job = job_start(&command);

	assert_string_equal(job_line(&job), "working");
	assert_int_equal(regions_left(), 1);
	return job;
}

static void ended_cleanly_leaves_no_region(void **state)
{
	static const char *const ways[] = { "returns", "shutdown" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(ways); i++) {
		struct job job = start("ends", ways[i], "TALLY_RING=64");

		assert_int_equal(job_end(&job).status, 0);
		assert_int_equal(regions_left(), 0);
	}
}

static void kept_region_of_a_clean_end_is_left_when_asked_for(void **state)
{
	struct job job = start("ends", "returns", "TALLY_KEEP=1");
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	assert_int_equal(job_end(&job).status, 0);
	assert_int_equal(regions_left(), 1);
	consumer = watch_pid(job.pid);
	now = watch_look(consumer);
	assert_int_equal(now->processes[0].end, TALLY_EXITED);
	assert_int_equal(watch_pool(now, DEVICE, 0)->totals.live_bytes, 0);
	assert_int_equal(watch_pool(now, DEVICE, 0)->totals.abandoned_bytes, 600);
	assert_int_equal(now->records_read, 2);
	watch_put(now);
	watch_close(consumer);
	remove_regions();
}

static void killed_process_is_shown_with_what_it_abandoned(void **state)
{
	struct job job = start("killed", NULL, "TALLY_RING=64");
	struct outcome outcome;
	json_t *json, *process, *pool;

	(void)state;
	job_signal(&job, SIGKILL);
	assert_int_equal(job_end(&job).status, -SIGKILL);
	outcome = TALLY("ps", "--json");
	assert_int_equal(outcome.status, 0);
	json = json_parse(outcome.out);
	pool = json_pool(json, DEVICE, "dram");
	assert_int_equal(json_number(pool, "live_bytes"), 0);
	assert_int_equal(json_number(pool, "abandoned_bytes_total"), 1200);
	assert_int_equal(json_processes(json, job.pid, &process), 1);
	assert_false(json_flag(process, "alive"));
	outcome = TALLY("ps");
	assert_int_equal(outcome.status, 0);
	assert_non_null(strstr(outcome.out, text("%d", job.pid)));
	remove_regions();
}

static void process_that_leaves_by_underscore_exit_abandons_too(void **state)
{
	struct job job = start("ends", "_exit", "TALLY_RING=64");
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	assert_int_equal(job_end(&job).status, 0);
	consumer = watch_pid(job.pid);
	now = watch_look(consumer);
	assert_int_equal(now->processes[0].end, TALLY_GONE);
	assert_int_equal(watch_pool(now, DEVICE, 0)->totals.abandoned_bytes, 600);
	watch_put(now);
	watch_close(consumer);
	remove_regions();
}

/* The dead are told from the living by the kernel, whoever has their pid now. */
static void stopped_process_is_alive(void **state)
{
	struct job job = start("killed", NULL, "TALLY_RING=64");
	struct tally_consumer *consumer = watch_pid(job.pid);
	const struct tally_snapshot *now;

	(void)state;
	job_signal(&job, SIGSTOP);
	waitpid(job.pid, NULL, WUNTRACED);
	now = watch_look(consumer);
	assert_int_equal(now->processes[0].end, TALLY_RUNNING);
	assert_int_equal(watch_pool(now, DEVICE, 0)->totals.live_bytes, 1200);
	watch_put(now);
	job_signal(&job, SIGKILL);
	assert_int_equal(job_end(&job).status, -SIGKILL);
	now = watch_look(consumer);
	assert_int_equal(now->processes[0].end, TALLY_GONE);
	assert_int_equal(watch_pool(now, DEVICE, 0)->totals.abandoned_bytes, 1200);
	watch_put(now);
	watch_close(consumer);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(parent_and_fork_child_are_counted_apart),
		TEST(child_of_a_child_is_counted_apart),
		TEST(clone_child_without_handlers_is_counted_apart),
		TEST(vfork_child_counts_in_its_parent_until_it_execs),
		TEST(spawned_child_is_counted_apart),
		TEST(exec_makes_a_second_row_of_the_same_pid),
		TEST(child_of_a_millisecond_is_not_missed),
		TEST(daemon_that_closes_all_descriptors_is_counted),
		TEST(daemon_that_outlives_the_command_is_listed_as_alive),
		TEST(forks_among_pushing_threads_lose_nothing),
		TEST(fork_childs_heap_opens_with_its_parents_balance),
		TEST(heap_that_a_living_child_inherited_is_counted_once),
		TEST(thread_that_outlives_main_is_counted),
		TEST(threads_that_come_and_go_pass_their_lanes_on),
		TEST(pushes_in_thread_destructors_are_counted),
		TEST(threads_with_one_lane_between_them_are_counted),
		TEST(library_that_pushes_may_come_and_go),
		TEST(pushes_before_main_and_after_exit_handlers_are_counted),
		TEST(pushes_in_signal_handlers_are_counted),
		TEST(handler_that_jumps_out_of_a_push_loses_nothing_else),
		TEST(ended_cleanly_leaves_no_region),
		TEST(kept_region_of_a_clean_end_is_left_when_asked_for),
		TEST(killed_process_is_shown_with_what_it_abandoned),
		TEST(process_that_leaves_by_underscore_exit_abandons_too),
		TEST(stopped_process_is_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
