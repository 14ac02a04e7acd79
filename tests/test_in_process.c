/* SPDX-License-Identifier: Apache-2.0 */
/* Producer and consumer in one process: arming and disarming, tags, observers that are not counted,
 * and the race of everybody's first push, where ThreadSanitizer can see it.
 * sanitizers: address, thread; also on: arm64 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "ring/entries.h"
#include "ring/lane.h"
#include "tests/support.h"
#include "tests/watch.h"

#define THREADS 8
#define PUSHES (UNDER_TSAN ? 2000u : 50000u)

/* The directory that the library has read from TALLY_DIR as it was loaded, see main(). */
static const char *region_dir;

/* ThreadSanitizer knows nothing of liburcu's synchronisation; it asks here what to leave out. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:liburcu\n";
}

static struct tally_consumer *watch_self(void)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid(),
						  .dir = region_dir,
						  .read_records = true,
						  .from_start = true };
	struct tally_consumer *consumer = NULL;

	assert_int_equal(watch_open(&options, &consumer), 0);
	return consumer;
}

static struct tally_status status_now(void)
{
	struct tally_status status;

	assert_int_equal(tally_status(&status), 0);
	return status;
}

/* ---- The first push -------------------------------------------------------------------------- */

static uint64_t waiting, go;

static void *push_at_once(void *arg)
{
	uint32_t device = (uint32_t)(uintptr_t)arg;
	uint32_t n;

	tally_add_relaxed(&waiting, 1);
	while (!tally_load_acquire(&go))
		;
	for (n = 0; n < PUSHES; n++) {
		tally_alloc(device, TALLY_POOL_L1, n, 8);
		tally_free(device, TALLY_POOL_L1, n, 3);
		tally_alloc(99, TALLY_POOL_CB, n, 1); /* the same for all */
	}
	return NULL;
}

static void run_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];
	uintptr_t i;

	tally_store_release(&waiting, 0);
	tally_store_release(&go, 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)i), 0);
	while (tally_load_acquire(&waiting) < THREADS)
		;
	tally_store_release(&go, 1);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void check_threads(uint64_t times)
{
	struct tally_consumer *consumer = watch_self();
	const struct tally_snapshot *now;
	int64_t each = (int64_t)(PUSHES * times);
	uint32_t device;

	watch_put(watch_look(consumer));
	now = watch_look(consumer);
	watch_check(now);
	for (device = 0; device < THREADS; device++)
		assert_sums_equal(watch_sums(now, device, TALLY_POOL_L1),
				  ((struct sums){ .allocated_bytes = 8 * each,
						  .freed_bytes = 3 * each,
						  .allocs = each,
						  .frees = each }));
	assert_int_equal(watch_sums(now, 99, TALLY_POOL_CB).allocs, THREADS * each);
	assert_int_equal(now->events, 3 * THREADS * each);
	assert_int_equal(now->lost_records, now->events - now->records_read);
	watch_put(now);
	watch_close(consumer);
}

/* Has to be the first test: a process has one first push. */
static void first_pushes_of_all_threads_are_counted_while_the_region_is_made(void **state)
{
	(void)state;
	assert_int_equal(access(text("%s/.", region_dir), F_OK), 0);
	run_threads(push_at_once);
	assert_int_equal(status_now().armed, 1);
	check_threads(1);
	run_threads(push_at_once);
	check_threads(2);
	assert_int_equal(tally_shutdown(), 0);
}

/* ---- Arming ---------------------------------------------------------------------------------- */

static void off_again_nothing_counts_and_calls_say_so(void **state)
{
	struct tally_device_info info = { .name = "chip" };
	int64_t bytes = 77;

	(void)state;
	assert_int_equal(tally_enabled(), 0);
	tally_alloc(1, 1, 1, 1);
	assert_int_equal(tally_now(), 0);
	assert_int_equal(tally_pool_reset(1, 1, &bytes), -ENODEV);
	assert_int_equal(bytes, 77);
	assert_int_equal(tally_device_describe(1, &info), -ENODEV);
	assert_int_equal(tally_pool_describe(8, "x"), -ENODEV);
	assert_int_equal(tally_shutdown(), -ENODEV);
	assert_int_equal(status_now().armed, 0);
	assert_string_equal(status_now().region, "");
	assert_int_equal(tally_status(NULL), -EINVAL);
}

static void init_refuses_sizes_that_are_not_usable(void **state)
{
	static const uint32_t rings[] = { 1, 32, 63, 65, 100, 1u << 21, UINT32_MAX };
	static const uint32_t lanes[] = { 3, 1025, 2048, UINT32_MAX };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rings); i++)
		assert_int_equal(tally_init(&(struct tally_options){ .ring_records = rings[i] }),
				 -EINVAL);
	for (i = 0; i < COUNT(lanes); i++)
		assert_int_equal(tally_init(&(struct tally_options){ .lanes = lanes[i] }), -EINVAL);
	assert_int_equal(tally_enabled(), 0);
}

static void armed_and_disarmed_again_and_again(void **state)
{
	static const struct tally_options options[] = {
		{ .ring_records = 64 },
		{ .totals_only = 1 },
		{ .lanes = 2 },
		{ .ring_records = 4096 },
	};
	uint32_t round;

	(void)state;
	for (round = 0; round < 20; round++) {
		const struct tally_options *chosen = &options[round % COUNT(options)];
		struct tally_consumer *consumer;
		const struct tally_snapshot *now;
		char *path;

		assert_int_equal(tally_init(chosen), 0);
		assert_int_equal(tally_init(chosen), -EALREADY);
		assert_int_equal(tally_enabled(), 1);
		tally_alloc(1, 2, 3, 100 + round);
		path = text("%s/%s", region_dir, status_now().region);
		assert_int_equal(access(path, F_OK), 0);
		consumer = watch_self();
		now = watch_look(consumer);
		/* each time a region of its own, with what came since */
		assert_int_equal(now->events, 1);
		assert_int_equal(watch_sums(now, 1, 2).allocated_bytes, 100 + round);
		watch_put(now);
		assert_int_equal(tally_shutdown(), 0);
		assert_int_not_equal(access(path, F_OK), 0); /* it took its region along */
		tally_alloc(1, 2, 3, 7);
		now = watch_look(consumer); /* the consumer sees it end */
		if (now->process_count)
			assert_int_equal(now->processes[0].end, TALLY_EXITED);
		watch_put(now);
		watch_close(consumer);
	}
}

/* One call, before there is anything to see; the thread finds the region as it comes, and the next
 * one, too. */
static void program_watches_itself_from_before_its_first_push(void **state)
{
	struct tally_consumer_options options = { .dir = region_dir };
	struct tally_consumer *consumer = NULL;
	int64_t round;

	(void)state;
	if (UNDER_TSAN)
		SKIP("ThreadSanitizer does not see how liburcu publishes");
	assert_int_equal(tally_consumer_start_own(&options, 1, &consumer), 0);
	watch_keep(consumer);
	assert_int_equal(tally_consumer_start(consumer, 1), -EBUSY);
	for (round = 1; round <= 3; round++) {
		const struct tally_snapshot *now;
		size_t shown = 0;

		assert_int_equal(tally_init(NULL), 0);
		tally_alloc(1, TALLY_POOL_DRAM, 1, (uint64_t)round);
		while (shown == 0) { /* or the test runs out of time */
			now = watch_get(consumer);
			if (watch_sums(now, 1, TALLY_POOL_DRAM).allocated_bytes == round)
				shown = now->process_count;
			watch_put(now);
			sched_yield();
		}
		assert_int_equal(shown, 1);
		assert_int_equal(tally_shutdown(), 0);
		while (shown > 0) {
			now = watch_get(consumer);
			shown = now->process_count;
			watch_put(now);
			sched_yield();
		}
	}
	watch_close(consumer);
}

/* As daemons do it, and then open files of their own. */
static void descriptors_that_the_host_gets_again_are_its_own(void **state)
{
	struct tally_consumer_options options = { .dir = region_dir };
	struct tally_consumer *consumer = NULL;
	int lowest, fd, ends[16][2];
	size_t n;
	char byte;

	(void)state;
	if (UNDER_TSAN)
		SKIP("ThreadSanitizer does not see how liburcu publishes");
	lowest = fcntl(0, F_DUPFD_CLOEXEC, 3);
	close(lowest);
	assert_int_equal(tally_consumer_start_own(&options, 1, &consumer), 0);
	watch_keep(consumer);
	assert_int_equal(tally_init(NULL), 0);
	for (fd = lowest; fd < 200; fd++)
		close(fd);
	for (n = 0; n < COUNT(ends); n++) {
		assert_int_equal(pipe(ends[n]), 0);
		assert_int_equal(write(ends[n][1], "x", 1), 1);
	}
	tally_alloc(1, TALLY_POOL_DRAM, 1, 10);
	for (;;) { /* it still sees what comes and goes, or the test runs out of time */
		const struct tally_snapshot *now = watch_get(consumer);
		bool shown = watch_sums(now, 1, TALLY_POOL_DRAM).allocated_bytes == 10;

		watch_put(now);
		if (shown)
			break;
		sched_yield();
	}
	assert_int_equal(tally_shutdown(), 0);
	watch_close(consumer);
	for (n = 0; n < COUNT(ends); n++) {
		assert_int_equal(read(ends[n][0], &byte, 1), 1);
		assert_int_equal(close(ends[n][0]), 0);
		assert_int_equal(close(ends[n][1]), 0);
	}
}

static void own_consumer_takes_no_other_region(void **state)
{
	struct tally_consumer_options wrong[] = {
		{ .dir = region_dir, .pid = 1 },
		{ .dir = region_dir, .name = "tally-0-1-1" },
		{ .dir = region_dir, .run_id = 1 },
	};
	struct tally_consumer_options nowhere = { .dir = text("%s/none", region_dir) };
	struct tally_consumer *consumer = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(wrong); i++)
		assert_int_equal(tally_consumer_start_own(&wrong[i], 1, &consumer), -EINVAL);
	assert_int_equal(tally_consumer_start_own(&nowhere, 1, &consumer), -ENOENT);
	assert_null(consumer);
}

/* What it published could never be given back, as it has not got liburcu's thread. */
static int look_in_child(void)
{
	struct tally_consumer_options options = { .dir = region_dir };
	struct tally_consumer *consumer;

	if (tally_consumer_open(&options, &consumer) != 0)
		return 1;
	tally_snapshot_put(tally_snapshot_get(consumer));
	if (tally_consumer_poll(consumer) != -EDEADLK)
		return 2;
	if (tally_consumer_start(consumer, 1) != -EDEADLK)
		return 3;
	tally_consumer_close(consumer);
	if (tally_consumer_start_own(&options, 1, &consumer) != -EDEADLK)
		return 4;
	options.read_buffers = true;
	return tally_consumer_open(&options, &consumer) == -EDEADLK ? 0 : 5;
}

static void fork_child_of_a_consumer_looks_once_and_does_not_hang(void **state)
{
	struct tally_consumer_options options = { .dir = region_dir };
	struct tally_consumer *consumer = NULL;
	pid_t pid;

	(void)state;
	assert_int_equal(watch_open(&options, &consumer), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(look_in_child());
	assert_int_equal(wait_status(pid), 0);
	watch_put(watch_look(consumer)); /* the parent's goes on */
	watch_close(consumer);
}

static void errno_is_left_alone(void **state)
{
	struct tally_device_info info = { .name = "chip" };

	(void)state;
	errno = 4242;
	assert_int_equal(tally_init(NULL), 0);
	tally_alloc(1, 2, 3, 4);
	tally_alloc(1u << 20, 2, 3, 4);
	tally_free(1, 2, 3, 4);
	tally_alloc_failed(1, 2, 3);
	tally_tag_push("a");
	tally_mark("b");
	tally_tag_pop();
	tally_device_describe(1, &info);
	tally_pool_describe(8, "name");
	tally_pool_reset(1, 2, NULL);
	tally_shutdown();
	assert_int_equal(errno, 4242);
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static void calls_refuse_what_is_out_of_range(void **state)
{
	struct tally_device_info info = { .name = "chip" };
	struct tally_device_info other = { .name = "another chip" };
	uint32_t n, described = 0;

	(void)state;
	assert_int_equal(tally_init(NULL), 0);
	assert_int_equal(tally_device_describe(65536, &info), -EINVAL);
	assert_int_equal(tally_device_describe(0, NULL), -EINVAL);
	assert_int_equal(tally_pool_describe(7, "mine"), -EINVAL);
	assert_int_equal(tally_pool_describe(256, "mine"), -EINVAL);
	assert_int_equal(tally_pool_describe(9, NULL), -EINVAL);
	assert_int_equal(tally_pool_describe(9, ""), -EINVAL);
	assert_int_equal(tally_pool_describe(9, "mine"), 0);
	assert_int_equal(tally_pool_describe(9, "mine"), 0);
	assert_int_equal(tally_pool_describe(9, "yours"), -EEXIST);
	assert_int_equal(tally_pool_describe(255, "a name that is longer than the field for it"),
			 0);
	assert_int_equal(tally_pool_reset(65536, 0, NULL), -EINVAL);
	assert_int_equal(tally_pool_reset(0, 256, NULL), -EINVAL);
	/* 256 descriptions, and no more; the same again takes no room */
	for (n = 0; n < 300; n++) {
		int error = tally_device_describe(n, &info);

		assert_true(error == 0 || error == -ENOSPC);
		described += error == 0;
		if (!error)
			assert_int_equal(tally_device_describe(n, &info), 0);
	}
	assert_int_equal(described, 256);
	assert_int_equal(tally_device_describe(3, &other), -ENOSPC);
	assert_int_equal(tally_shutdown(), 0);
}

/* ---- Tags ------------------------------------------------------------------------------------ */

#define RECORDS_MAX 128

static struct tally_record records[RECORDS_MAX];
static size_t record_count;

static void keep_record(void *arg, const struct tally_record *record)
{
	(void)arg;
	if (record_count < RECORDS_MAX)
		records[record_count++] = *record;
}

/* The name of the tag that record n carries, "" for none. */
static const char *tag_of(const struct region_view *view, size_t n)
{
	uint64_t tag = records[n].label & UINT32_MAX;

	if (tag == 0)
		return "";
	assert_in_range(tag, 1, view->at.tags);
	return region_tags(view->base, &view->at)[tag - 1].name;
}

static void records_carry_the_tag_of_their_thread(void **state)
{
	char why[REGION_WHY_MAX], long_name[100];
	struct region_view view;
	struct lane_reader reader;
	int dir = open(region_dir, O_RDONLY | O_DIRECTORY);
	int i;

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	long_name[99] = '\0';
	assert_int_equal(tally_init(NULL), 0);
	tally_alloc(1, 1, 0, 0); /* 0 */
	tally_tag_push("layer 1");
	tally_alloc(1, 1, 0, 0); /* 1 */
	tally_tag_push("layer 2");
	tally_mark("phase");	 /* 2 */
	tally_alloc(1, 1, 0, 0); /* 3 */
	tally_tag_pop();
	tally_free(1, 1, 0, 0); /* 4 */
	tally_tag_pop();
	tally_tag_pop();	 /* once too often */
	tally_alloc(1, 1, 0, 0); /* 5 */
	tally_tag_push(long_name);
	tally_alloc(1, 1, 0, 0); /* 6 */
	tally_tag_pop();
	for (i = 1; i <= 20; i++)
		tally_tag_push(text("deep %d", i));
	tally_alloc(1, 1, 0, 0); /* 7: the 12th stays */
	for (i = 0; i < 10; i++)
		tally_tag_pop();
	tally_alloc(1, 1, 0, 0); /* 8: the 10th again */

	assert_int_equal(region_open(dir, status_now().region, &view, why), 0);
	close(dir);
	reader = (struct lane_reader){ .header = region_lane(view.base, &view.at, 0),
				       .slots = region_ring(view.base, &view.at, 0),
				       .ring_log2 = view.at.ring_log2 };
	record_count = 0;
	lane_drain(&reader, true, false, keep_record, NULL);
	assert_int_equal(record_count, 9);
	assert_string_equal(tag_of(&view, 0), "");
	assert_string_equal(tag_of(&view, 1), "layer 1");
	assert_string_equal(tag_of(&view, 2), "phase");
	assert_int_equal(slot_kind(records[2].commit), TALLY_KIND_MARK);
	assert_string_equal(tag_of(&view, 3), "layer 2");
	assert_string_equal(tag_of(&view, 4), "layer 1");
	assert_string_equal(tag_of(&view, 5), "");
	assert_int_equal(strlen(tag_of(&view, 6)), 55); /* cut */
	assert_string_equal(tag_of(&view, 7), "deep 12");
	assert_string_equal(tag_of(&view, 8), "deep 10");
	region_close(&view);
	assert_int_equal(tally_shutdown(), 0);
}

static void *push_tagged(void *arg)
{
	uint32_t n;

	tally_add_relaxed(&waiting, 1);
	while (!tally_load_acquire(&go))
		;
	for (n = 0; n < 1500; n++) { /* more names than there is room for */
		char name[32];

		snprintf(name, sizeof(name), "request %u", n);
		tally_tag_push(name);
		tally_alloc(0, 0, n, 1);
		tally_tag_pop();
	}
	return arg;
}

static void threads_that_intern_the_same_tags_share_them(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	assert_int_equal(tally_init(NULL), 0);
	run_threads(push_tagged);
	consumer = watch_self();
	now = watch_look(consumer);
	assert_int_equal(watch_sums(now, 0, 0).allocs, THREADS * 1500);
	watch_put(now);
	watch_close(consumer);
	assert_int_equal(tally_shutdown(), 0);
}

/* ---- Observers ------------------------------------------------------------------------------- */

static void excluded_thread_is_not_counted_until_it_is_included_again(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	assert_int_equal(tally_init(NULL), 0);
	tally_alloc(0, 0, 1, 1);
	tally_thread_exclude();
	tally_alloc(0, 0, 1, 10);
	tally_thread_exclude();
	tally_thread_include();
	tally_alloc(0, 0, 1, 100); /* they nest */
	tally_mark("not seen");
	tally_thread_include();
	tally_alloc(0, 0, 1, 1000);
	tally_thread_include(); /* once too often */
	tally_alloc(0, 0, 1, 10000);
	consumer = watch_self();
	now = watch_look(consumer);
	assert_int_equal(watch_sums(now, 0, 0).allocated_bytes, 11001);
	assert_int_equal(now->events, 3);
	watch_put(now);
	watch_close(consumer);
	assert_int_equal(tally_shutdown(), 0);
}

/* The consumer's thread drains while everybody pushes. */
static void consumer_thread_beside_its_producers_misses_nothing(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	assert_int_equal(tally_init(&(struct tally_options){ .ring_records = 256 }), 0);
	consumer = watch_self();
	assert_int_equal(tally_consumer_start(consumer, 1), 0);
	run_threads(push_at_once);
	assert_int_equal(tally_consumer_stop(consumer), 0);
	watch_put(watch_look(consumer));
	now = watch_look(consumer);
	watch_check(now);
	assert_int_equal(now->events, 3 * THREADS * PUSHES);
	assert_int_equal(now->lost_records, now->events - now->records_read);
	watch_put(now);
	watch_close(consumer);
	check_threads(1);
	assert_int_equal(tally_shutdown(), 0);
}

/* A test that failed may have left it armed. */
static int begin_off(void **state)
{
	if (tally_enabled())
		tally_shutdown();
	return test_begin(state);
}

#define TEST_OFF(name) cmocka_unit_test_setup_teardown(name, begin_off, test_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_pushes_of_all_threads_are_counted_while_the_region_is_made),
		TEST_OFF(off_again_nothing_counts_and_calls_say_so),
		TEST_OFF(init_refuses_sizes_that_are_not_usable),
		TEST_OFF(armed_and_disarmed_again_and_again),
		TEST_OFF(program_watches_itself_from_before_its_first_push),
		TEST_OFF(descriptors_that_the_host_gets_again_are_its_own),
		TEST_OFF(own_consumer_takes_no_other_region),
		TEST_OFF(fork_child_of_a_consumer_looks_once_and_does_not_hang),
		TEST_OFF(errno_is_left_alone),
		TEST_OFF(calls_refuse_what_is_out_of_range),
		TEST_OFF(records_carry_the_tag_of_their_thread),
		TEST_OFF(threads_that_intern_the_same_tags_share_them),
		TEST_OFF(excluded_thread_is_not_counted_until_it_is_included_again),
		TEST_OFF(consumer_thread_beside_its_producers_misses_nothing),
	};
	char made[] = "/dev/shm/test-of-tally-XXXXXX";
	int failed;

	/* The library reads its environment as it is loaded: set that, and begin once more. */
	region_dir = getenv("TEST_REGION_DIR");
	if (!region_dir) {
		if (!mkdtemp(made) || setenv("TEST_REGION_DIR", made, 1) != 0 ||
		    setenv("TALLY_DIR", made, 1) != 0 || setenv("TALLY", "1", 1) != 0)
			return 1;
		execute(LIST(realpath("/proc/self/exe", NULL)));
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (rmdir(region_dir) != 0) {
		fprintf(stderr, "left in %s: regions\n", region_dir);
		return 1;
	}
	return failed;
}
