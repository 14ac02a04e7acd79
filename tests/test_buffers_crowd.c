/* SPDX-License-Identifier: Apache-2.0 */
/* Live buffers of processes that come, fork, share a region and die, and threads that read the list
 * meanwhile.
 * sanitizers: address */
#include <errno.h>
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

/* ---- Events ---------------------------------------------------------------------------------- */

#define EVENTS_MAX 200000

static struct tally_event events[EVENTS_MAX];
static char tags[EVENTS_MAX][24], pools[EVENTS_MAX][24];
static size_t event_count;

static void keep_event(void *arg, const struct tally_event *event)
{
	assert_ptr_equal(arg, &event_count);
	assert_true(event_count < EVENTS_MAX);
	assert_string_equal(event->comm, "scripted");
	snprintf(tags[event_count], sizeof(tags[0]), "%s", event->tag);
	snprintf(pools[event_count], sizeof(pools[0]), "%s", event->pool_name);
	events[event_count++] = *event;
}

static struct tally_consumer *watch_events(pid_t pid)
{
	struct tally_consumer_options options = { .pid = (uint32_t)pid,
						  .event = keep_event,
						  .event_arg = &event_count };
	struct tally_consumer *consumer = NULL;

	event_count = 0;
	assert_int_equal(watch_open(&options, &consumer), 0);
	return consumer;
}

static void check_event(size_t n, enum tally_kind kind, uint64_t id, uint64_t size,
			const char *pool, const char *tag)
{
	assert_true(n < event_count);
	assert_int_equal(events[n].kind, kind);
	assert_int_equal(events[n].buffer_id, id);
	assert_int_equal(events[n].size, size);
	assert_string_equal(pools[n], pool);
	assert_string_equal(tags[n], tag);
}

static void events_tell_what_happened(void **state)
{
	struct job job = keeper_start("TALLY_LANES=1", NULL);
	struct tally_consumer *consumer = watch_events(job.pid);
	uint64_t before_ns = now_ns();

	(void)state;
	job_do(&job, "name 9 mine");
	job_do(&job, "alloc 1 0 7 4096");
	job_do(&job, "tag layer");
	job_do(&job, "alloc 2 9 8 77");
	job_do(&job, "mark phase");
	job_do(&job, "thread free 1 0 7 0");
	job_do(&job, "failed 2 10 5");
	job_do(&job, "alloc 2 33554438 9 1"); /* kernel, dispatch */
	job_do(&job, "reset 2 9");
	keeper_look(consumer);
	assert_int_equal(event_count, 7);
	check_event(0, TALLY_KIND_ALLOC, 7, 4096, "dram", "");
	check_event(1, TALLY_KIND_ALLOC, 8, 77, "mine", "layer");
	check_event(2, TALLY_KIND_MARK, 0, 0, "dram", "phase");
	check_event(3, TALLY_KIND_FREE, 7, 0, "dram", "");
	check_event(4, TALLY_KIND_ALLOC_FAILED, 0, 5, "pool-10", "layer");
	check_event(5, TALLY_KIND_ALLOC, 9, 1, "kernel", "layer");
	check_event(6, TALLY_KIND_POOL_RESET, 1, 77, "mine", "layer");
	assert_int_equal(events[5].flags, 2);
	assert_int_equal(events[0].device, 1);
	assert_int_equal(events[0].tid, job.pid);
	assert_int_equal(events[0].pid, job.pid);
	assert_int_equal(events[1].event_no, events[0].event_no + 1);
	assert_false(events[0].shared);
	assert_true(events[3].shared);
	assert_int_not_equal(events[3].tid, job.pid);
	assert_in_range(events[0].monotonic_ns, before_ns - 1000000, now_ns() + 1000000);
	assert_true(events[0].realtime_ns > events[0].monotonic_ns);
	job_end_well(&job);
}

static struct tally_consumer *to_stop;

static void stop_it(void *arg, const struct tally_event *event)
{
	(void)event;
	tally_store_release((uint64_t *)arg, (uint64_t)-tally_consumer_stop(to_stop));
}

static void thread_that_calls_back_is_not_stopped_from_there(void **state)
{
	struct job job = keeper_start(NULL, NULL);
	uint64_t answer = 0;
	struct tally_consumer_options options = { .event = stop_it, .event_arg = &answer };

	(void)state;
	assert_int_equal(watch_open(&options, &to_stop), 0);
	assert_int_equal(tally_consumer_start(to_stop, 1), 0);
	job_do(&job, "alloc 1 0 1 10");
	WAIT_FOR(tally_load_acquire(&answer) != 0);
	assert_int_equal(answer, EDEADLK);
	assert_int_equal(tally_consumer_stop(to_stop), 0);
	assert_int_equal(tally_consumer_stop(to_stop), -ESRCH);
	job_end_well(&job);
}

static void count_event(void *arg, const struct tally_event *event)
{
	(void)event;
	tally_add_relaxed((uint64_t *)arg, 1);
}

/* However long nothing came, and however far the next look is. */
static void records_that_come_slowly_do_not_wait_for_the_next_look(void **state)
{
	struct job job = keeper_start(NULL, NULL);
	uint64_t count = 0, n;
	struct tally_consumer_options options = { .event = count_event, .event_arg = &count };
	struct tally_consumer *consumer = NULL;

	(void)state;
	assert_int_equal(watch_open(&options, &consumer), 0);
	assert_int_equal(tally_consumer_start(consumer, 3600000), 0);
	for (n = 1; n <= 16; n++) { /* a pause that doubles each time takes a minute in the end */
		job_do(&job, "alloc 1 0 1 10");
		WAIT_FOR(tally_load_relaxed(&count) >= n);
	}
	watch_close(consumer);
	job_end_well(&job);
}

/* Whatever was published before, of lanes and of the shared ring: nobody comes for the rest. */
static void stop_leaves_nothing_behind(void **state)
{
	struct job job = keeper_start("TALLY_RING=4096", "TALLY_LANES=1");
	int round;

	(void)state;
	for (round = 0; round < 10; round++) {
		uint64_t count = 0;
		struct tally_consumer_options options = { .pid = (uint32_t)job.pid,
							  .event = count_event,
							  .event_arg = &count };
		struct tally_consumer *consumer = NULL;
		uint64_t before;

		assert_int_equal(watch_open(&options, &consumer), 0);
		assert_int_equal(tally_consumer_poll(consumer), 0);
		before = count;
		assert_int_equal(tally_consumer_start(consumer, 3600000), 0);
		job_do(&job, "alloc 1 0 1 10 100");
		job_do(&job, "thread free 1 0 1 0 100");
		assert_int_equal(tally_consumer_stop(consumer), 0);
		assert_int_equal(count - before, 200);
		watch_close(consumer);
	}
	job_end_well(&job);
}

static void rows_and_events_are_of_the_process_that_was_asked_for(void **state)
{
	struct job one = keeper_start("TALLY_REGION=/crowd", NULL);
	struct job other = keeper_start("TALLY_REGION=/crowd", NULL);
	struct tally_consumer *table = keeper_watch(one.pid), *consumer = watch_events(one.pid);
	const struct tally_snapshot *now;
	size_t n;

	(void)state;
	job_do(&other, "alloc 1 0 1 20 3");
	job_do(&one, "alloc 1 0 1 10");
	job_do(&other, "thread free 1 0 1 0");
	keeper_look(table);
	assert_int_equal(keeper_rows(table), 1);
	assert_int_equal(keeper_row(one.pid, 1, 1)->size, 10);
	keeper_look(consumer);
	now = watch_look(consumer);
	assert_int_equal(event_count, now->records_read);
	watch_put(now);
	assert_int_equal(event_count, 1);
	for (n = 0; n < event_count; n++)
		assert_int_equal(events[n].pid, one.pid);
	job_end_well(&other);
	job_end_well(&one);
	remove_regions();
}

static void events_of_many_threads_come_in_order_of_time(void **state)
{
	struct job job = keeper_start("TALLY_RING=65536", NULL);
	struct tally_consumer *consumer = watch_events(job.pid);
	const struct tally_snapshot *now;
	size_t late = 0, n;

	(void)state;
	assert_int_equal(tally_consumer_start(consumer, 2), 0);
	job_say(&job, "churn 4 10000");
	n = (size_t)atoi(job_line(&job));
	while (n-- > 0)
		job_line(&job);
	assert_int_equal(tally_consumer_stop(consumer), 0);
	now = watch_look(consumer);
	assert_int_equal(now->lost_records, 0);
	assert_int_equal(event_count, now->records_read);
	assert_true(event_count > 40000);
	watch_put(now);
	for (n = 1; n < event_count; n++)
		late += events[n].monotonic_ns < events[n - 1].monotonic_ns;
	print_message("%zu of %zu late\n", late, event_count);
	/* A thread that is stopped between taking the time and publishing is all there may be. */
	assert_true(late < event_count / 1000);
	job_end_well(&job);
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
		TEST(events_tell_what_happened),
		TEST(thread_that_calls_back_is_not_stopped_from_there),
		TEST(records_that_come_slowly_do_not_wait_for_the_next_look),
		TEST(stop_leaves_nothing_behind),
		TEST(rows_and_events_are_of_the_process_that_was_asked_for),
		TEST(events_of_many_threads_come_in_order_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
