/* SPDX-License-Identifier: Apache-2.0 */
/* Corners of a producer's life: first pushes that are interrupted, cancelled or forked, calls in
 * an unusual order, and places where something is short.
 * also on: arm64 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/watch.h"

#define DEVICE 5
#define CHILDS_DEVICE 6

/* ---- Running --------------------------------------------------------------------------------- */

static void check_outcome(const struct outcome *outcome)
{
	if (outcome->status != 0 || outcome->err_size > 0)
		fail_msg("status %d: %s", outcome->status, outcome->err);
}

/* A scenario that judges itself. */
static void corner_with(const char *program, const char *scenario, const char *argument,
			const char *const *env)
{
	struct command command = { .argv = LIST(prog(program), scenario, argument), .env = env };
	struct outcome outcome = run(&command);

	check_outcome(&outcome);
	assert_int_equal(regions_left(), 0);
}

static void corner(const char *program, const char *scenario)
{
	corner_with(program, scenario, NULL, LIST("TALLY=1", "TALLY_RING=64"));
}

/* One that has a region to be read after its first line. */
static struct job start(const char *program, const char *scenario, const char *argument,
			const char *lanes, char **ret_line)
{
	struct command command = {
		.argv = LIST(prog(program), scenario, argument),
		.env = LIST("TALLY=1", "TALLY_RING=64", lanes),
	};
	struct job job = job_start(&command);

	*ret_line = job_line(&job);
	return job;
}

/* The same, watched as a run: no region of its dead is pruned before it was read. */
static struct job start_run(const char *scenario, const char *argument, const char *lanes,
			    char **ret_line, struct tally_consumer **ret_consumer)
{
	struct job job;

	*ret_consumer = watch_run(0x5a);
	setenv("TALLY_RUN", "5a", 1);
	job = start("forks", scenario, argument, lanes, ret_line);
	unsetenv("TALLY_RUN");
	return job;
}

static void finish(struct job *job)
{
	struct outcome outcome = job_end(job);

	check_outcome(&outcome);
}

static const struct tally_pool_view *pool_of(const struct tally_snapshot *now,
					     const struct tally_process_view *process,
					     uint32_t device, uint32_t pool)
{
	size_t i;

	for (i = 0; i < process->pool_count; i++) {
		const struct tally_pool_view *view = &now->process_pools[process->first_pool + i];

		if (view->device == device && view->pool == pool)
			return view;
	}
	return NULL;
}

static uint64_t allocs_of(const struct tally_snapshot *now,
			  const struct tally_process_view *process, uint32_t device)
{
	const struct tally_pool_view *view = pool_of(now, process, device, TALLY_POOL_DRAM);

	return view ? view->totals.allocations : 0;
}

/* ---- Interrupted ----------------------------------------------------------------------------- */

static void handler_that_jumps_out_of_the_first_push_leaves_all_able_to_push(void **state)
{
	(void)state;
	corner("interrupted", "jump");
}

static void thread_to_be_cancelled_comes_back_from_every_call(void **state)
{
	(void)state;
	corner("calls", "cancel");
}

static void fork_out_of_a_handler_while_the_region_is_made_is_survived(void **state)
{
	char *precious = text("%s/precious", test_tmp);

	(void)state;
	write_file(precious, "precious", 8);
	corner_with("interrupted", "fork-while-made", precious, LIST("TALLY=1", "TALLY_RING=64"));
	assert_string_equal(read_file(precious, NULL), "precious");
}

static void fork_beside_a_thread_that_makes_the_region_takes_nothing_along(void **state)
{
	(void)state;
	corner("interrupted", "fork-beside");
}

/* Handlers fork wherever pushes happen to be: parent and children count everything. */
static void check_fork_storm(const char *argument, const char *lanes)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	unsigned long long pushes;
	size_t i, children;
	struct job job;
	char *line;

	job = start_run("fork-storm", argument, lanes, &line, &consumer);
	assert_int_equal(sscanf(line, "%llu %zu", &pushes, &children), 2);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, children + 1);
	for (i = 0; i < now->process_count; i++) {
		const struct tally_process_view *process = &now->processes[i];

		assert_int_equal(process->rejected_events, 0);
		if (process->pid == (uint32_t)job.pid) {
			assert_int_equal(allocs_of(now, process, DEVICE), pushes);
			assert_int_equal(process->events, pushes);
			continue;
		}
		assert_int_equal(allocs_of(now, process, CHILDS_DEVICE), 20);
		/* the push that was under way may count here as well */
		assert_in_range(allocs_of(now, process, DEVICE), 0, 1);
	}
	watch_put(now);
	watch_close(consumer);
	finish(&job);
	remove_regions();
}

static void forks_out_of_a_handler_amid_pushes_are_survived_and_counted(void **state)
{
	(void)state;
	check_fork_storm(NULL, "TALLY_LANES=64");
}

static void forks_out_of_a_handler_amid_pushes_without_a_lane_are_too(void **state)
{
	(void)state;
	check_fork_storm("laneless", "TALLY_LANES=1");
}

static void forks_out_of_a_handler_at_each_instruction_of_a_push_are_too(void **state)
{
	(void)state;
#ifndef __x86_64__
	SKIP("no single steps here");
#endif
	corner_with("forks", "fork-at-instruction", NULL, LIST("TALLY=1", "TALLY_RING=64"));
	corner_with("forks", "fork-at-instruction", "laneless",
		    LIST("TALLY=1", "TALLY_RING=64", "TALLY_LANES=1"));
}

static void events_before_the_region_are_in_it_also_when_rejected_or_a_mark(void **state)
{
	(void)state;
	corner("interrupted", "early");
}

static void first_push_may_come_when_the_main_thread_has_ended(void **state)
{
	(void)state;
	corner("interrupted", "main-gone");
}

/* ---- Forks and balances ---------------------------------------------------------------------- */

static void children_of_threads_that_fork_at_once_open_with_the_balance(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	uint64_t parent_id = 0;
	struct job job;
	size_t i;
	char *line;

	(void)state;
	job = start_run("forks-at-once", NULL, "TALLY_LANES=64", &line, &consumer);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, atoi(line) + 1);
	for (i = 0; i < now->process_count; i++)
		if (now->processes[i].pid == (uint32_t)job.pid)
			parent_id = now->processes[i].region_id;
	assert_true(parent_id != 0);
	for (i = 0; i < now->process_count; i++) {
		const struct tally_process_view *process = &now->processes[i];
		const struct tally_pool_view *heap = pool_of(now, process, 0, TALLY_POOL_HEAP);

		assert_non_null(heap);
		if (process->pid == (uint32_t)job.pid)
			continue;
		assert_int_equal(process->parent_id, parent_id);
		assert_int_equal(heap->totals.inherited_bytes, 1000000);
		assert_int_equal(heap->totals.inherited_allocations, 1);
		assert_int_equal(heap->totals.allocated_bytes, 5);
		assert_int_equal(heap->totals.live_bytes, 1000005);
	}
	watch_put(now);
	watch_close(consumer);
	finish(&job);
	remove_regions();
}

static void pool_reset_in_a_child_releases_what_it_has_from_its_parent(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct job job;
	size_t i;
	char *line;

	(void)state;
	job = start("forks", "pool-reset", NULL, "TALLY_LANES=64", &line);
	consumer = watch_pid(0);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 3);
	for (i = 0; i < now->process_count; i++) {
		const struct tally_process_view *process = &now->processes[i];
		const struct tally_pool_view *heap = pool_of(now, process, 0, TALLY_POOL_HEAP);
		bool is_parent = process->pid == (uint32_t)job.pid;

		assert_non_null(heap);
		assert_int_equal(heap->totals.live_bytes, is_parent ? 1000 : 0);
		assert_int_equal(heap->totals.live_allocations, is_parent ? 1 : 0);
	}
	watch_put(now);
	watch_close(consumer);
	finish(&job);
	remove_regions();
}

/* ---- Calls in any order ---------------------------------------------------------------------- */

static void tags_may_be_popped_in_another_region_than_they_were_pushed_in(void **state)
{
	(void)state;
	corner_with("calls", "tag-pop", NULL, LIST("TALLY_RING=64"));
}

static void shutdown_before_the_first_push_disarms(void **state)
{
	struct job job;
	char *line;

	(void)state;
	job = start("calls", "shutdown-first", NULL, "TALLY_LANES=64", &line);
	assert_string_equal(line, "off");
	assert_int_equal(regions_left(), 0);
	finish(&job);
	assert_int_equal(regions_left(), 0);
}

static void no_function_changes_errno(void **state)
{
	(void)state;
	corner("calls", "errno");
	corner_with("calls", "errno", NULL, LIST("TALLY=1", "TALLY_DIR=/nonexistent"));
	corner_with("calls", "errno", NULL,
		    LIST("TALLY=1", "TALLY_RING=x", "TALLY_LANES=x", "TALLY_RUN=x"));
	corner_with("calls", "errno", NULL, LIST("TALLY=0"));
	corner_with("calls", "errno", NULL, LIST("TALLY=0", "TALLY_DIR=/nonexistent"));
}

static void thousand_regions_one_after_the_other_take_no_more_than_a_few(void **state)
{
	(void)state;
	corner_with("calls", "cycles", NULL, LIST("TALLY=0"));
}

static void plugin_with_a_library_of_its_own_may_go_before_its_threads(void **state)
{
	char *plugin = text("%s/plugin.so", test_tmp);
	const char *object = built("obj/tests/prog/libplug.o");
	const char *compiler = getenv("CC") ? getenv("CC") : "gcc";

	(void)state;
	if (RUN("sh", "-c", text("command -v %s >/dev/null", compiler)).status != 0)
		SKIP("no %s", compiler);
	assert_int_equal(RUN("sh", "-c",
			     text("%s -shared -pthread -Wl,-Bsymbolic -o \"$@\"", compiler), "sh",
			     plugin, object, built("libtally.a"))
				 .status,
			 0);
	corner_with("forks", "plugin", plugin, LIST("TALLY=1", "TALLY_RING=64"));
}

/* ---- Arming that fails ----------------------------------------------------------------------- */

static void check_limited(const char *how, const char *dir, bool placed)
{
	struct command command = {
		.argv = LIST(prog("tight"), "limited", how),
		.env = LIST("TALLY=1", dir),
	};
	struct job job = job_start(&command);
	static const char *const whose[] = { "parent", "child" };
	size_t i;

	for (i = 0; i < 2; i++) {
		char *line = job_line(&job);
		char who[20], region[20];
		unsigned long long unplaced;
		int armed, error;

		assert_int_equal(sscanf(line, "%19s %d %d %llu %19s", who, &armed, &error,
					&unplaced, region),
				 5);
		assert_string_equal(who, whose[i]);
		assert_int_equal(armed, 1);
		assert_int_equal(unplaced, placed ? 0 : 100);
		assert_string_equal(region, placed ? "placed" : "-");
		if (placed)
			assert_int_equal(error, 0);
		else
			assert_true(error < 0);
	}
	job_say(&job, "1");
	job_say(&job, "2");
	finish(&job);
	assert_int_equal(regions_left(), 0);
}

static void missing_directory_leaves_descriptors_as_they_were(void **state)
{
	(void)state;
	check_limited("none", "TALLY_DIR=/nonexistent", false);
}

static void limits_leave_descriptors_as_they_were(void **state)
{
	char *dir = text("TALLY_DIR=%s", test_dir);

	(void)state;
	check_limited("none", dir, true);
	check_limited("fsize", dir, false);
	check_limited("small-files", dir, true);
	check_limited("nofile", dir, false);
	if (!EMULATED) /* the emulator itself needs room: it does not pass RLIMIT_AS on */
		check_limited("as", dir, false);
}

/* ---- Room ------------------------------------------------------------------------------------ */

/* Bytes that a region takes of shared memory; 0 if what was asked for is not permitted. */
static int64_t footprint(const char *how, const char *setting)
{
	struct command command = {
		.argv = LIST(prog("tight"), "footprint", how),
		.env = LIST("TALLY=1", setting),
	};
	struct job job = job_start(&command);
	char *line = job_line(&job);
	struct stat status = { 0 };

	if (strcmp(line, "no") != 0) {
		assert_string_equal(line, only_region());
		assert_int_equal(stat(text("%s/%s", test_dir, line), &status), 0);
		assert_true(status.st_blocks > 0);
	}
	finish(&job);
	return (int64_t)status.st_blocks * 512;
}

static void region_without_records_takes_16_KiB(void **state)
{
	(void)state;
	assert_in_range(footprint("nothing", "TALLY_RING=0"), 4096, 16384);
	assert_in_range(footprint("push", "TALLY_RING=0"), 4096, 16384);
}

static void region_with_a_first_lane_takes_256_KiB(void **state)
{
	(void)state;
	assert_in_range(footprint("push", "TALLY_KEEP=0"), 128 << 10, 256 << 10);
}

static void region_takes_no_more_where_all_memory_is_locked(void **state)
{
	int64_t bytes = footprint("locked", "TALLY_KEEP=0");

	(void)state;
	if (bytes == 0)
		SKIP("memory may not be locked here");
	assert_in_range(bytes, 128 << 10, 256 << 10);
}

/* What comes before a command to give it a test_dir that is a file system of `size`. */
#define SMALL(size)                                                                                \
	"unshare", geteuid() == 0 ? "-m" : "-rm", "sh", "-c",                                      \
		"mount -t tmpfs -o size=$0 none \"$TALLY_DIR\" && exec \"$@\"", size

static bool may_mount(void)
{
	return RUN(SMALL("64k"), "true").status == 0;
}

static void ring_that_does_not_fit_gives_its_pages_back(void **state)
{
	struct command command = {
		.argv = LIST(SMALL("96k"), prog("tight"), "no-ring"),
		.env = LIST("TALLY=1"),
	};
	struct outcome outcome;

	(void)state;
	if (!may_mount())
		SKIP("no file system may be mounted here");
	outcome = run(&command);
	check_outcome(&outcome);
}

/* All that a run of `tight full` makes. */
static uint64_t calls_when_full(const char *pushes)
{
	char *path = text("%s/strace", test_tmp);
	struct command command = {
		.argv = LIST(SMALL("48k"), STRACE(path), prog("tight"), "full", pushes),
		.env = LIST("TALLY=1"),
	};
	struct outcome outcome = run(&command);
	uint64_t calls = strace_total(&outcome, path);

	check_outcome(&outcome);
	return calls;
}

static void pushes_in_a_full_file_system_make_hardly_a_system_call(void **state)
{
	static const char few[] = "2000", many[] = "100000";
	struct command command = {
		.argv = LIST(SMALL("48k"), prog("tight"), "full", many),
		.env = LIST("TALLY=1"),
	};
	struct outcome outcome;
	uint64_t base;

	(void)state;
	if (!may_mount())
		SKIP("no file system may be mounted here");
	outcome = run(&command);
	check_outcome(&outcome);
	base = calls_when_full(few);
	assert_true(calls_when_full(many) < base + 2000); /* for 200000 pushes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handler_that_jumps_out_of_the_first_push_leaves_all_able_to_push),
		TEST(thread_to_be_cancelled_comes_back_from_every_call),
		TEST(fork_out_of_a_handler_while_the_region_is_made_is_survived),
		TEST(fork_beside_a_thread_that_makes_the_region_takes_nothing_along),
		TEST(forks_out_of_a_handler_amid_pushes_are_survived_and_counted),
		TEST(forks_out_of_a_handler_amid_pushes_without_a_lane_are_too),
		TEST(forks_out_of_a_handler_at_each_instruction_of_a_push_are_too),
		TEST(events_before_the_region_are_in_it_also_when_rejected_or_a_mark),
		TEST(first_push_may_come_when_the_main_thread_has_ended),
		TEST(children_of_threads_that_fork_at_once_open_with_the_balance),
		TEST(pool_reset_in_a_child_releases_what_it_has_from_its_parent),
		TEST(tags_may_be_popped_in_another_region_than_they_were_pushed_in),
		TEST(shutdown_before_the_first_push_disarms),
		TEST(no_function_changes_errno),
		TEST(thousand_regions_one_after_the_other_take_no_more_than_a_few),
		TEST(plugin_with_a_library_of_its_own_may_go_before_its_threads),
		TEST(missing_directory_leaves_descriptors_as_they_were),
		TEST(limits_leave_descriptors_as_they_were),
		TEST(region_without_records_takes_16_KiB),
		TEST(region_with_a_first_lane_takes_256_KiB),
		TEST(region_takes_no_more_where_all_memory_is_locked),
		TEST(ring_that_does_not_fit_gives_its_pages_back),
		TEST(pushes_in_a_full_file_system_make_hardly_a_system_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
