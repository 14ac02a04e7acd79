/* SPDX-License-Identifier: Apache-2.0 */
/* Forks wherever a producer happens to be: out of handlers, of several threads at once; and what
 * the children open with.
 * also on: arm64 */
#include <stdio.h>
#include <stdlib.h>
#include <tally/tally.h>

#include "tests/corners.h"
#include "tests/watch.h"

#define DEVICE 5
#define CHILDS_DEVICE 6

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

/* ---- Out of a handler ------------------------------------------------------------------------ */

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

/* ---- Forks and balances ---------------------------------------------------------------------- */

static void check_openings(const char *scenario)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	uint64_t parent_id = 0;
	struct job job;
	size_t i;
	char *line;

	job = start_run(scenario, NULL, "TALLY_LANES=64", &line, &consumer);
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

static void children_of_threads_that_fork_at_once_open_with_the_balance(void **state)
{
	(void)state;
	check_openings("forks-at-once");
}

static void child_of_a_fork_beside_the_first_push_opens_with_the_balance(void **state)
{
	(void)state;
	check_openings("first-push-beside-a-fork");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fork_out_of_a_handler_while_the_region_is_made_is_survived),
		TEST(fork_beside_a_thread_that_makes_the_region_takes_nothing_along),
		TEST(forks_out_of_a_handler_amid_pushes_are_survived_and_counted),
		TEST(forks_out_of_a_handler_amid_pushes_without_a_lane_are_too),
		TEST(forks_out_of_a_handler_at_each_instruction_of_a_push_are_too),
		TEST(children_of_threads_that_fork_at_once_open_with_the_balance),
		TEST(child_of_a_fork_beside_the_first_push_opens_with_the_balance),
		TEST(pool_reset_in_a_child_releases_what_it_has_from_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
