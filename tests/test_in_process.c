/* SPDX-License-Identifier: Apache-2.0 */
/* Producers and consumer in one process, at once: the race of everybody's first push, of tags, and
 * of the consumer's thread with all of them, where ThreadSanitizer can see it.
 * sanitizers: address, thread; also on: arm64 */
#include <pthread.h>
#include <stdio.h>
#include <tally/atomic.h>

#include "tests/own_region.h"

#define THREADS 8
#define PUSHES (UNDER_TSAN ? 2000u : 50000u)

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
				  ((struct test_sums){ .allocated_bytes = 8 * each,
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

/* ---- Beside each other ----------------------------------------------------------------------- */

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(first_pushes_of_all_threads_are_counted_while_the_region_is_made),
		TEST_OFF(threads_that_intern_the_same_tags_share_them),
		TEST_OFF(consumer_thread_beside_its_producers_misses_nothing),
	};

	(void)argc;
	return own_region_main(argv, true, tests, COUNT(tests));
}
