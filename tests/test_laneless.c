/* SPDX-License-Identifier: Apache-2.0 */
/* Events that go past the lanes, through the library: of threads that got none, of handlers that
 * interrupt a push, of threads past their destructors. Each leaves a record in the shared ring.
 * also on: arm64 */
#include "tests/laneless.h"

#define THREADS 16

/* ---- Threads without a lane ------------------------------------------------------------------ */

static uint64_t each, kernel_tids[THREADS];

static void *push_each(void *arg)
{
	uint64_t thread = (uint64_t)(uintptr_t)arg, n;

	kernel_tids[thread] = (uint64_t)gettid();
	for (n = 1; n <= each; n++)
		tally_alloc(DEVICE, TALLY_POOL_DRAM, thread << 32 | n, n);
	assert_null(tally_thread.lane);
	return NULL;
}

static void run_threads(void *(*body)(void *arg), uint64_t count)
{
	pthread_t threads[THREADS];
	uint64_t n;

	for (n = 0; n < count; n++)
		assert_int_equal(pthread_create(&threads[n], NULL, body, (void *)(uintptr_t)n), 0);
	for (n = 0; n < count; n++)
		pthread_join(threads[n], NULL);
}

static void threads_without_a_lane_leave_a_record_of_each_event(void **state)
{
	uint64_t seen[THREADS] = { 0 };
	struct account is;
	size_t i;

	(void)state;
	arm(4096);
	each = 3900 / THREADS;
	run_threads(push_each, THREADS);
	read_shared();
	assert_int_equal(record_count, THREADS * each);
	for (i = 0; i < record_count; i++) {
		uint64_t thread = records[i].buffer_id >> 32;

		assert_in_range(thread, 0, THREADS - 1);
		assert_int_equal(records[i].buffer_id & UINT32_MAX, ++seen[thread]);
		assert_int_equal(records[i].size, seen[thread]);
		assert_int_equal(records[i].where, (uint64_t)DEVICE << 48 | kernel_tids[thread]);
		assert_int_equal(slot_kind(records[i].commit), TALLY_KIND_ALLOC);
	}
	is = account();
	assert_int_equal(is.events, 1 + THREADS * each);
	assert_int_equal(is.read, is.events);
	assert_int_equal(is.lost, 0);
	assert_int_equal(is.sums.allocs, THREADS * each);
	assert_int_equal(is.sums.allocated_bytes, THREADS * each * (each + 1) / 2);
	disarm();
}

static void what_a_small_shared_ring_loses_is_counted(void **state)
{
	struct tally_consumer *consumer;
	struct account is;
	uint64_t round;

	(void)state;
	arm(64);
	consumer = watch_self();
	each = 1000;
	for (round = 1; round <= 3; round++) {
		run_threads(push_each, THREADS);
		is = account_of(consumer);
		assert_int_equal(is.events, 1 + round * THREADS * each);
		assert_int_equal(is.read + is.lost, is.events);
		assert_in_range(is.read, 1, round * 66);
		assert_int_equal(is.sums.allocs, round * THREADS * each);
	}
	watch_close(consumer);
	disarm();
}

/* One event of each kind, in a thread that has no lane. */
static void *push_each_kind(void *arg)
{
	struct tally_device_info info = { .name = "a device" };

	tally_tag_push("outer");
	tally_alloc(DEVICE, TALLY_POOL_DRAM, 1, 100);
	tally_tag_push("inner");
	tally_free(DEVICE, TALLY_POOL_KERNEL | TALLY_KERNEL_DISPATCH, 2, 50);
	tally_mark("a mark");
	tally_tag_pop();
	tally_alloc_failed(DEVICE, TALLY_POOL_L1, 70);
	tally_tag_pop();
	tally_free_at(4242, DEVICE, TALLY_POOL_DRAM, 1, 100);
	assert_int_equal(tally_device_describe(DEVICE, &info), 0);
	assert_int_equal(tally_pool_reset(DEVICE, TALLY_POOL_KERNEL, NULL), 0);
	tally_alloc(1u << 16, TALLY_POOL_DRAM, 1, 1); /* out of range */
	kernel_tids[0] = (uint64_t)gettid();
	return arg;
}

static uint32_t tag_named(const char *name)
{
	/* interning again gives the number it has */
	uint32_t tag;

	tally_tag_push(name);
	tag = tags_current(&tally_thread, process_look());
	tally_tag_pop();
	return tag;
}

static void records_of_threads_without_a_lane_say_all(void **state)
{
	static const struct {
		enum tally_kind kind;
		uint32_t pool, flags;
		uint64_t buffer_id, size;
		const char *tag;
	} expected[] = {
		{ TALLY_KIND_ALLOC, TALLY_POOL_DRAM, 0, 1, 100, "outer" },
		{ TALLY_KIND_FREE, TALLY_POOL_KERNEL, 2, 2, 50, "inner" },
		{ TALLY_KIND_MARK, 0, 0, 0, 0, "a mark" },
		{ TALLY_KIND_ALLOC_FAILED, TALLY_POOL_L1, 0, 0, 70, "outer" },
		{ TALLY_KIND_FREE, TALLY_POOL_DRAM, 0, 1, 100, NULL },
		{ TALLY_KIND_DEVICE, 0, 0, 0, 0, NULL },
		{ TALLY_KIND_POOL_RESET, TALLY_POOL_KERNEL, 0, (uint64_t)-1, (uint64_t)-50, NULL },
	};
	struct tally_status status;
	size_t i;

	(void)state;
	arm(64);
	run_threads(push_each_kind, 1);
	read_shared();
	assert_int_equal(record_count, COUNT(expected));
	for (i = 0; i < COUNT(expected); i++) {
		const struct tally_record *record = &records[i];

		assert_int_equal(slot_kind(record->commit), expected[i].kind);
		assert_int_equal(record->buffer_id, expected[i].buffer_id);
		assert_int_equal(record->size, expected[i].size);
		assert_int_equal(record->where >> 48, i == 2 ? 0 : DEVICE); /* a mark has none */
		assert_int_equal(record->where >> 40 & 0xff, expected[i].pool);
		assert_int_equal(record->where >> 32 & 0xff, expected[i].flags);
		assert_int_equal(record->where & UINT32_MAX, kernel_tids[0]);
		assert_int_equal(record->label, expected[i].tag ? tag_named(expected[i].tag) : 0);
		assert_int_equal(record->event_no, i + 1);
		if (i == 4)
			assert_int_equal(record->time, 4242);
		else if (i > 0 && i != 5)
			assert_true(record->time >= records[0].time);
	}
	assert_int_not_equal(records[0].label, records[1].label);
	assert_int_equal(tally_status(&status), 0);
	assert_int_equal(status.rejected_events, 1);
	assert_int_equal(account().rejected, 1);
	disarm();
}

static void *push_tagged(void *arg)
{
	uint64_t n;

	tally_tag_push("outer");
	tally_tag_push("inner");
	for (n = 0; n < 10; n++) {
		tally_alloc(DEVICE, TALLY_POOL_DRAM, n, 1);
		tally_free(DEVICE, TALLY_POOL_DRAM, n, 1);
	}
	tally_tag_pop();
	tally_alloc(DEVICE, TALLY_POOL_DRAM, 10, 1);
	return arg;
}

static void records_of_threads_without_a_lane_carry_their_tag(void **state)
{
	size_t i;

	(void)state;
	arm(64);
	run_threads(push_tagged, 1);
	read_shared();
	assert_int_equal(record_count, 21);
	for (i = 0; i < record_count; i++)
		assert_int_equal(records[i].label, tag_named(i < 20 ? "inner" : "outer"));
	disarm();
}

static void without_records_there_is_no_shared_ring_either(void **state)
{
	struct tally_options options = { .lanes = 1, .totals_only = 1 };
	struct account is;

	(void)state;
	assert_int_equal(tally_init(&options), 0);
	tally_mark("the lane is taken");
	assert_null(tally_private.in.process.shared.slots);
	assert_int_equal(tally_private.in.process.region.at.shared_size, 0);
	each = 1000;
	run_threads(push_each, 4);
	is = account();
	assert_int_equal(is.events, 4001);
	assert_int_equal(is.unrecorded, 4001);
	assert_int_equal(is.read, 0);
	assert_int_equal(is.sums.allocs, 4000);
	disarm();
}

/* ---- A lane that becomes free ---------------------------------------------------------------- */

static uint64_t step;

static void *have_the_lane(void *arg)
{
	tally_mark("first");
	assert_non_null(tally_thread.lane);
	tally_store_release(&step, 1);
	while (tally_load_acquire(&step) != 2)
		sched_yield();
	return arg;
}

static void thread_without_a_lane_gets_one_that_becomes_free(void **state)
{
	struct tally_options options = { .lanes = 1, .ring_records = 4096 };
	pthread_t first;
	struct account is;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(tally_init(&options), 0);
	lane_leave(tally_thread.lane); /* init has attached this thread */
	tally_thread.lane = NULL;
	tally_store_release(&step, 0);
	assert_int_equal(pthread_create(&first, NULL, have_the_lane, NULL), 0);
	while (tally_load_acquire(&step) != 1)
		sched_yield();
	for (n = 0; n < 1500; n++) /* more than once it asks in vain */
		tally_alloc(DEVICE, TALLY_POOL_DRAM, n, 1);
	assert_null(tally_thread.lane);
	tally_store_release(&step, 2);
	pthread_join(first, NULL);
	for (; n < 2600; n++)
		tally_alloc(DEVICE, TALLY_POOL_DRAM, n, 1);
	assert_non_null(tally_thread.lane);
	read_shared();
	assert_in_range(record_count, 1500, 2599);
	is = account();
	assert_int_equal(is.events, 2601);
	assert_int_equal(is.read, 2601);
	assert_int_equal(is.sums.allocs, 2600);
	disarm();
}

/* ---- Past its destructor --------------------------------------------------------------------- */

static pthread_key_t late_key;
static int late_pushes;

static void push_late(void *value)
{
	if (!tally_thread.gone) { /* ours came first: come again */
		pthread_setspecific(late_key, value);
		return;
	}
	tally_alloc(DEVICE, TALLY_POOL_DRAM, 77, 5);
	tally_free(DEVICE, TALLY_POOL_DRAM, 77, 5);
	late_pushes++;
}

static void *push_and_end(void *arg)
{
	kernel_tids[0] = (uint64_t)gettid();
	pthread_setspecific(late_key, &late_key);
	tally_alloc(DEVICE, TALLY_POOL_DRAM, 76, 5);
	return arg;
}

static void thread_past_its_destructor_leaves_records(void **state)
{
	struct account is;

	(void)state;
	assert_int_equal(pthread_key_create(&late_key, push_late), 0);
	late_pushes = 0;
	assert_int_equal(tally_init(&(struct tally_options){ .lanes = 4, .ring_records = 64 }), 0);
	run_threads(push_and_end, 1); /* it has a lane as long as it lives */
	assert_int_equal(late_pushes, 1);
	read_shared();
	assert_int_equal(record_count, 2);
	assert_int_equal(records[0].buffer_id, 77);
	assert_int_equal(records[1].where & UINT32_MAX, kernel_tids[0]);
	is = account();
	assert_int_equal(is.events, 3);
	assert_int_equal(is.read, 3);
	assert_int_equal(is.sums.frees, 1);
	pthread_key_delete(late_key);
	disarm();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST_OFF(threads_without_a_lane_leave_a_record_of_each_event),
		TEST_OFF(what_a_small_shared_ring_loses_is_counted),
		TEST_OFF(records_of_threads_without_a_lane_say_all),
		TEST_OFF(records_of_threads_without_a_lane_carry_their_tag),
		TEST_OFF(without_records_there_is_no_shared_ring_either),
		TEST_OFF(thread_without_a_lane_gets_one_that_becomes_free),
		TEST_OFF(thread_past_its_destructor_leaves_records),
	};

	(void)argc;
	return own_region_main(argv, false, tests, COUNT(tests));
}
