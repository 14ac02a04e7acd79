/* SPDX-License-Identifier: Apache-2.0 */
/* Arming and disarming in one process, seen by a consumer of its own; and calls that are refused.
 * sanitizers: address, thread; also on: arm64 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "tests/own_region.h"

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST_OFF(off_again_nothing_counts_and_calls_say_so),
		TEST_OFF(init_refuses_sizes_that_are_not_usable),
		TEST_OFF(armed_and_disarmed_again_and_again),
		TEST_OFF(program_watches_itself_from_before_its_first_push),
		TEST_OFF(descriptors_that_the_host_gets_again_are_its_own),
		TEST_OFF(own_consumer_takes_no_other_region),
		TEST_OFF(fork_child_of_a_consumer_looks_once_and_does_not_hang),
		TEST_OFF(errno_is_left_alone),
		TEST_OFF(calls_refuse_what_is_out_of_range),
	};

	(void)argc;
	return own_region_main(argv, true, tests, COUNT(tests));
}
