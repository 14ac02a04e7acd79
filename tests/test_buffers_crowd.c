/* SPDX-License-Identifier: Apache-2.0 */
/* Live buffers of processes that come, fork, share a region and die, and threads that read the list
 * meanwhile.
 * sanitizers: address */
#include <pthread.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#include "tests/keeper.h"

/* ---- Death ----------------------------------------------------------------------------------- */

static void what_the_dead_held_is_there_until_their_region_goes(void **state)
{
	struct job job = keeper_start(NULL, NULL), other = keeper_start(NULL, NULL);
	struct tally_consumer *consumer = keeper_watch(0);

	(void)state;
	job_do(&job, "alloc 1 0 1 10 5");
	job_do(&other, "alloc 1 0 1 20 2");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 7);
	assert_false(keeper_row(job.pid, 1, 1)->ended);
	job_kill(&job);
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 7);
	assert_true(keeper_row(job.pid, 1, 1)->ended);
	assert_int_equal(keeper_row(job.pid, 1, 1)->size, 10);
	assert_false(keeper_row(other.pid, 1, 1)->ended);
	job_end_well(&other); /* takes its region along; is shown as ended once more */
	remove_regions();
	keeper_look(consumer);
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 0);
}

static void last_records_of_a_killed_process_count(void **state)
{
	struct job job = keeper_start("TALLY_RING=65536", NULL);
	struct tally_consumer *consumer = keeper_watch(job.pid);

	(void)state;
	job_do(&job, "alloc 1 0 1 10 1000");
	job_do(&job, "free 1 0 1 0 999");
	job_kill(&job); /* nobody has looked in between */
	assert_int_equal(tally_consumer_poll(consumer), 0);
	assert_int_equal(keeper_rows(consumer), 1);
	assert_non_null(keeper_row(job.pid, 1, 1000));
	remove_regions();
}

static void fork_and_exec_begin_lists_of_their_own(void **state)
{
	struct job job = keeper_start(NULL, NULL);
	struct tally_consumer *consumer = keeper_watch(0);
	const struct tally_snapshot *now;
	pid_t child;

	(void)state;
	job_do(&job, "alloc 1 0 1 10");
	child = job_do(&job, "fork");
	WAIT_FOR((keeper_look(consumer), keeper_rows(consumer) == 2));
	assert_int_equal(keeper_row(job.pid, 1, 1)->size, 10);
	assert_int_equal(keeper_row(child, 1, 1)->size, 7);
	assert_int_not_equal(keeper_row(child, 1, 1)->region_id,
			     keeper_row(job.pid, 1, 1)->region_id);
	assert_int_equal(kill(child, SIGKILL), 0);
	job_say(&job, "exec");
	assert_string_equal(job_line(&job), "ready");
	assert_int_equal(job_do(&job, "enabled"), 1);
	job_do(&job, "alloc 1 0 2 30");
	keeper_look(consumer);
	keeper_rows(consumer);
	assert_true(keeper_row(job.pid, 1, 1)->ended);
	assert_false(keeper_row(job.pid, 1, 2)->ended);
	now = watch_get(consumer);
	assert_int_equal(now->process_count, 3);
	watch_put(now);
	job_end_well(&job);
	remove_regions();
}

/* ---- A region for several -------------------------------------------------------------------- */

static void processes_of_one_region_are_told_apart(void **state)
{
	struct job one = keeper_start("TALLY_REGION=/crowd", "TALLY_RING=1024");
	struct job other = keeper_start("TALLY_REGION=/crowd", "TALLY_RING=1024");
	struct tally_consumer *consumer = keeper_watch(0);
	struct job third;

	(void)state;
	job_do(&one, "alloc 1 0 1 10 3");
	job_do(&other, "alloc 1 0 1 20 3");
	job_do(&other, "thread alloc 1 0 4 20");
	job_do(&one, "free 1 0 2 0");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 6);
	assert_null(keeper_row(one.pid, 1, 2));
	assert_int_equal(keeper_row(other.pid, 1, 2)->size, 20);
	job_do(&other, "reset 1 0");
	job_do(&one, "alloc 1 0 9 90");
	job_kill(&one);
	third = keeper_start("TALLY_REGION=/crowd", "TALLY_RING=1024"); /* in its place */
	job_do(&third, "alloc 1 0 1 30");
	keeper_look(consumer);
	keeper_rows(consumer);
	assert_int_equal(keeper_rows_of(other.pid), 0);
	assert_int_equal(keeper_rows_of(third.pid), 1);
	assert_int_equal(keeper_row(third.pid, 1, 1)->size, 30);
	if (keeper_rows_of(one.pid)) /* shown as ended once more */
		assert_true(keeper_row(one.pid, 1, 1)->ended);
	keeper_look(consumer);
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 1);
	job_end_well(&other);
	job_end_well(&third);
	remove_regions();
}

static void processes_without_lanes_share_a_ring(void **state)
{
	struct job one = keeper_start("TALLY_REGION=/crowd", "TALLY_LANES=1");
	struct job other = keeper_start("TALLY_REGION=/crowd", "TALLY_LANES=1");
	struct tally_consumer *consumer;
	int n;

	(void)state;
	job_do(&one, "alloc 1 0 1 10 3");
	consumer = keeper_watch(0);
	for (n = 0; n < 20; n++) {
		job_do(&other, "alloc 1 0 1 20 3");
		job_do(&one, "thread alloc 1 0 4 10");
		job_do(&one, "thread free 1 0 4 0");
		job_do(&other, "free 1 0 2 0 2");
		job_do(&other, "free 1 0 1 0");
		assert_int_equal(tally_consumer_poll(consumer), 0);
	}
	job_do(&other, "alloc 1 0 7 20");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 4);
	assert_int_equal(keeper_rows_of(one.pid), 3);
	assert_int_equal(keeper_row(other.pid, 1, 7)->size, 20);
	job_end_well(&other);
	job_end_well(&one);
	remove_regions();
}

/* ---- Readers --------------------------------------------------------------------------------- */

static struct tally_consumer *watched;
static uint64_t over, wrong;

static bool check_row(void *arg, const struct tally_buffer *row)
{
	uint64_t *rows = arg;
	bool right = row->buffer_id >= 1 && row->buffer_id <= 512 && row->size < 16384 &&
		     row->device == 5 && row->pool == TALLY_POOL_L1 &&
		     strcmp(row->comm, "scripted") == 0 && strcmp(row->pool_name, "l1") == 0 &&
		     strcmp(row->tag, "") == 0 && row->region_id && row->pid && row->tid;

	if (!right)
		tally_add_relaxed(&wrong, 1);
	++*rows;
	return *rows % 1000 != 999; /* now and then one stops early */
}

static void *walk(void *arg)
{
	uint64_t rows = 0;

	while (!tally_load_acquire(&over)) {
		const struct tally_snapshot *now;

		tally_buffers_each(watched, check_row, &rows);
		now = tally_snapshot_get(watched);
		if (now->buffers > 2 * 512 || now->tag_count > 1)
			tally_add_relaxed(&wrong, 1);
		tally_snapshot_put(now);
	}
	*(uint64_t *)arg = rows;
	return NULL;
}

static void any_thread_reads_while_the_table_changes(void **state)
{
	struct job one = keeper_start("TALLY_RING=2048", NULL);
	struct job other = keeper_start("TALLY_RING=2048", NULL);
	pthread_t threads[3];
	uint64_t rows[3];
	size_t n;

	(void)state;
	over = wrong = 0;
	watched = keeper_watch(0);
	assert_int_equal(tally_consumer_start(watched, 2), 0);
	for (n = 0; n < COUNT(threads); n++)
		assert_int_equal(pthread_create(&threads[n], NULL, walk, &rows[n]), 0);
	job_say(&one, "storm 3 1500");
	job_say(&other, "storm 2 500");
	job_line(&other);
	job_kill(&other);
	job_line(&one);
	tally_store_release(&over, 1);
	for (n = 0; n < COUNT(threads); n++) {
		pthread_join(threads[n], NULL);
		assert_true(rows[n] > 0);
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(tally_consumer_stop(watched), 0);
	job_end_well(&one);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_the_dead_held_is_there_until_their_region_goes),
		TEST(last_records_of_a_killed_process_count),
		TEST(fork_and_exec_begin_lists_of_their_own),
		TEST(processes_of_one_region_are_told_apart),
		TEST(processes_without_lanes_share_a_ring),
		TEST(any_thread_reads_while_the_table_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
