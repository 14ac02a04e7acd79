/* SPDX-License-Identifier: Apache-2.0 */
/* Records handed over one by one: what they say, their order, whose they are, when they come.
 * sanitizers: address */
#include <errno.h>
#include <sys/resource.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#include "tests/keeper.h"

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

/* ---- Nothing is lost without a word ---------------------------------------------------------- */

/* Of a storm some records are always too new to be put in order. */
static void close_hands_over_what_waits(void **state)
{
	struct job job = keeper_start("TALLY_RING=4096", "TALLY_LANES=4");
	int round;

	(void)state;
	job_say(&job, "storm 2 2000");
	for (round = 0; round < 40; round++) {
		uint64_t count = 0, read;
		struct tally_consumer_options options = { .pid = (uint32_t)job.pid,
							  .event = count_event,
							  .event_arg = &count };
		struct tally_consumer *consumer = NULL;
		const struct tally_snapshot *now;

		assert_int_equal(watch_open(&options, &consumer), 0);
		now = watch_look(consumer);
		read = now->records_read;
		watch_put(now);
		watch_close(consumer);
		assert_int_equal(count, read);
	}
	job_line(&job);
	job_end_well(&job);
}

static void limit_memory(size_t more)
{
	struct rlimit limit;
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = more ? pages * (size_t)sysconf(_SC_PAGESIZE) + more : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void record_without_memory_is_lost_and_counted(void **state)
{
	struct job job;
	uint64_t count = 0, lost;
	struct tally_consumer_options options = { .event = count_event, .event_arg = &count };
	struct tally_consumer *consumer = NULL;
	const struct tally_snapshot *now;

	(void)state;
	if (UNDER_ASAN)
		SKIP("memory cannot be limited here");
	SKIP_EMULATED("limited memory");
	job = keeper_start("TALLY_RING=131072", "TALLY_LANES=1");
	options.pid = (uint32_t)job.pid;
	assert_int_equal(watch_open(&options, &consumer), 0);
	job_do(&job, "alloc 1 0 1 10 100000");
	limit_memory(1 << 20);
	assert_int_equal(tally_consumer_poll(consumer), 0);
	limit_memory(0);
	now = watch_look(consumer);
	lost = 100000 - count;
	assert_in_range(lost, 1, 99999);
	assert_int_equal(now->records_read, count);
	assert_int_equal(now->lost_records, lost);
	assert_int_equal(now->processes[0].lost_overwritten, lost);
	assert_true(now->processes[0].incomplete_until_realtime_ns > 0);
	watch_put(now);
	job_do(&job, "free 1 0 1 0 100");
	keeper_look(consumer);
	now = watch_look(consumer);
	assert_int_equal(count, 100000 - lost + 100);
	assert_int_equal(now->records_read, count);
	assert_int_equal(now->lost_records, lost);
	watch_put(now);
	job_end_well(&job);
}

/* They would wait for a look that is not theirs: by then their process's row has gone. */
static void last_records_of_who_was_overtaken_do_not_wait(void **state)
{
	struct job stays = keeper_start("TALLY_REGION=/crowd", "TALLY_RING=1024");
	struct job dies = keeper_start("TALLY_REGION=/crowd", "TALLY_RING=1024"), heir;
	struct tally_consumer *consumer = watch_events(0);

	(void)state;
	keeper_look(consumer);
	job_do(&dies, "alloc 1 0 1 10 500");
	job_do(&dies, "ahead 1 0 1 20");
	assert_int_equal(tally_consumer_poll(consumer), 0);
	assert_in_range(event_count, 1, 499); /* of one that goes on the last are left */
	job_do(&stays, "ahead 1 0 3 30");
	job_kill(&dies);
	heir = keeper_start("TALLY_REGION=/crowd", "TALLY_RING=1024"); /* in its place */
	assert_int_equal(tally_consumer_poll(consumer), 0);
	assert_int_equal(event_count, 501);
	check_event(500, TALLY_KIND_FREE, 1, 20, "dram", "");
	assert_int_equal(events[500].pid, dies.pid);
	keeper_look(consumer); /* who lives has time */
	assert_int_equal(event_count, 502);
	check_event(501, TALLY_KIND_FREE, 3, 30, "dram", "");
	job_end_well(&heir);
	job_end_well(&stays);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first, when malloc() has nothing free */
		TEST(record_without_memory_is_lost_and_counted),
		TEST(events_tell_what_happened),
		TEST(thread_that_calls_back_is_not_stopped_from_there),
		TEST(records_that_come_slowly_do_not_wait_for_the_next_look),
		TEST(stop_leaves_nothing_behind),
		TEST(rows_and_events_are_of_the_process_that_was_asked_for),
		TEST(events_of_many_threads_come_in_order_of_time),
		TEST(last_records_of_who_was_overtaken_do_not_wait),
		TEST(close_hands_over_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
