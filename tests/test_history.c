/* SPDX-License-Identifier: Apache-2.0 */
/* What looks have seen so far: rates that do not care who comes and goes, and peaks since attach.
 *
 * A rate is a count by a time that nobody else knows; so it is compared with that of a reference:
 * a pair of its own, of which as many events are pushed between the same looks.
 * sanitizers: address
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <tally/tally.h>

#include "ring/join.h"
#include "tests/rig.h"
#include "tests/watch.h"

#define DEVICE 1
#define REFERENCE 2
#define POOL TALLY_POOL_DRAM
#define SIZE 10

static struct lane_writer *claim(struct rig *rig)
{
	struct lane_writer *writer = rig_claim(rig, 1, 0);

	assert_non_null(writer);
	return writer;
}

static void alloc_many(struct lane_writer *writer, uint32_t device, int count)
{
	while (count-- > 0)
		rig_alloc(writer, device, POOL, 1, SIZE);
}

static const struct tally_pool_view *pool_of(const struct tally_snapshot *now, size_t process,
					     uint32_t device)
{
	const struct tally_process_view *row = &now->processes[process];
	size_t i;

	assert_true(process < now->process_count);
	for (i = row->first_pool; i < row->first_pool + row->pool_count; i++)
		if (now->process_pools[i].device == device)
			return &now->process_pools[i];
	fail_msg("no such pair");
	return NULL;
}

static void check_same_rates(const struct tally_snapshot *now)
{
	const struct tally_pool_view *pool = watch_pool(now, DEVICE, POOL);
	const struct tally_pool_view *reference = watch_pool(now, REFERENCE, POOL);

	assert_true(reference->allocations_per_s > 0);
	assert_true(pool->allocations_per_s == reference->allocations_per_s);
	assert_true(pool->frees_per_s == reference->frees_per_s);
	assert_true(pool->allocated_bytes_per_s == reference->allocated_bytes_per_s);
}

static struct tally_consumer *attach(void)
{
	struct tally_consumer *consumer;

	assert_int_equal(watch_open(NULL, &consumer), 0);
	return consumer;
}

/* ---- Rates ----------------------------------------------------------------------------------- */

static void rates_are_unknown_then_what_was_counted_by_the_time_it_took(void **state)
{
	struct rig rig = rig_make(6, 0);
	struct lane_writer *writer = claim(&rig);
	const struct tally_pool_view *pool;
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	uint64_t before, between, again, after;
	double rate;
	int i;

	(void)state;
	alloc_many(writer, DEVICE, 1000000);
	before = now_ns();
	consumer = attach();
	between = now_ns();
	now = watch_get(consumer);
	assert_true(watch_pool(now, DEVICE, POOL)->allocations_per_s < 0);
	assert_true(watch_pool(now, DEVICE, POOL)->frees_per_s < 0);
	assert_true(watch_pool(now, DEVICE, POOL)->allocated_bytes_per_s < 0);
	assert_true(pool_of(now, 0, DEVICE)->allocations_per_s < 0);
	watch_put(now);
	alloc_many(writer, DEVICE, 300);
	for (i = 0; i < 100; i++)
		rig_release(writer, DEVICE, POOL, 1, SIZE);
	pause_a_moment();
	again = now_ns();
	now = watch_look(consumer);
	after = now_ns();
	pool = watch_pool(now, DEVICE, POOL);
	rate = pool->allocations_per_s;
	assert_true(rate >= 300 * 1e9 / (double)(after - before));
	assert_true(rate <= 300 * 1e9 / (double)(again - between));
	assert_true(pool->frees_per_s > rate * 0.333 && pool->frees_per_s < rate * 0.334);
	assert_true(pool->allocated_bytes_per_s > rate * (SIZE - 0.01));
	assert_true(pool->allocated_bytes_per_s < rate * (SIZE + 0.01));
	assert_true(pool_of(now, 0, DEVICE)->allocations_per_s == rate);
	watch_put(now);
	watch_close(consumer);
	rig_free(&rig);
}

static double rate_now(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now = watch_look(consumer);
	double rate = watch_pool(now, DEVICE, POOL)->allocations_per_s;

	assert_true(rate == pool_of(now, 0, DEVICE)->allocations_per_s);
	assert_true(rate >= 0);
	watch_put(now);
	return rate;
}

static void rate_is_of_about_the_last_second_only(void **state)
{
	struct rig rig = rig_make(6, 0);
	struct lane_writer *writer = claim(&rig);
	struct tally_consumer *consumer = attach();
	uint64_t pushed_ns;

	(void)state;
	alloc_many(writer, DEVICE, 1000);
	pushed_ns = now_ns();
	while (rate_now(consumer) > 0)
		pause_a_moment();
	assert_true(now_ns() - pushed_ns > 900000000u); /* not forgotten before */
	alloc_many(writer, DEVICE, 1);
	assert_true(rate_now(consumer) > 0);
	watch_close(consumer);
	rig_free(&rig);
}

static void who_leaves_takes_nothing_away(void **state)
{
	struct rig rigs[3] = { rig_make(6, 0), rig_make(6, 0), rig_make(6, 0) };
	struct lane_writer *writers[3];
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	size_t n;

	(void)state;
	for (n = 0; n < 3; n++) {
		writers[n] = claim(&rigs[n]);
		alloc_many(writers[n], DEVICE, 100000);
	}
	consumer = attach();
	for (n = 0; n < 3; n++) {
		size_t i;

		for (i = n; i < 3; i++) /* those that are left, and the one that leaves now */
			alloc_many(writers[i], DEVICE, 50);
		alloc_many(writers[2], REFERENCE, 50 * (3 - (int)n));
		if (n < 2)
			rig_free(&rigs[n]);
		now = watch_look(consumer);
		check_same_rates(now);
		watch_put(now);
	}
	for (n = 0; n < 3; n++) {
		alloc_many(writers[2], DEVICE, 1);
		alloc_many(writers[2], REFERENCE, 1);
		now = watch_look(consumer);
		check_same_rates(now);
		watch_put(now);
	}
	watch_close(consumer);
	rig_free(&rigs[2]);
}

static void who_comes_has_done_all_since_the_last_look(void **state)
{
	struct rig rig = rig_make(6, 0), fresh, brief;
	struct lane_writer *writer = claim(&rig);
	struct tally_consumer *consumer = attach();
	const struct tally_snapshot *now;

	(void)state;
	fresh = rig_make(6, 0);
	brief = rig_make(6, 0);
	alloc_many(claim(&fresh), DEVICE, 40);
	alloc_many(claim(&brief), DEVICE, 30);
	munmap(brief.region.base, brief.region.at.size); /* dead by now */
	alloc_many(writer, REFERENCE, 70);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 3);
	check_same_rates(now);
	watch_put(now);
	watch_close(consumer);
	region_unlink(&brief.region);
	free(brief.writers);
	rig_free(&fresh);
	rig_free(&rig);
}

/* Who could not be attached to may have done it at any time. */
static void who_was_left_aside_counts_from_when_it_was_not(void **state)
{
	struct rig rig = rig_make(6, 0), late;
	struct lane_writer *writer = claim(&rig), *late_writer;
	struct tally_consumer *consumer = attach();
	const struct tally_snapshot *now;
	struct rlimit before, none;
	int error;

	(void)state;
	alloc_many(writer, REFERENCE, 1);
	late = rig_make(6, 0);
	late_writer = claim(&late);
	alloc_many(late_writer, DEVICE, 1000);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	error = tally_consumer_poll(consumer);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(error, 0);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 2);
	assert_true(watch_pool(now, DEVICE, POOL)->allocations_per_s == 0);
	assert_true(pool_of(now, 1, DEVICE)->allocations_per_s < 0);
	watch_put(now);
	alloc_many(late_writer, DEVICE, 5);
	alloc_many(writer, REFERENCE, 4); /* and the one above */
	now = watch_look(consumer);
	check_same_rates(now);
	assert_true(pool_of(now, 1, DEVICE)->allocations_per_s > 0);
	watch_put(now);
	watch_close(consumer);
	rig_free(&late);
	rig_free(&rig);
}

/* Its last events are nobody's who is told apart, and count all the same. */
static void owner_that_is_overtaken_in_a_joined_region_counts_to_its_end(void **state)
{
	char name[REGION_NAME_MAX];
	struct region_config config = {
		.dir = test_dir, .name = name, .ring_log2 = 6, .lanes_log2 = 0
	};
	struct rig rig = rig_make(6, 0);
	struct lane_writer *reference = claim(&rig), lane_room, *lane;
	struct tally_consumer *consumer = attach();
	const struct tally_snapshot *now;
	struct region owner;
	int round;

	(void)state;
	assert_true(join_name(name, "/turns"));
	for (round = 0; round < 5; round++) {
		assert_int_equal(join_region(&config, &owner), 0);
		memset(&lane_room, 0, sizeof(lane_room));
		lane = lane_claim(&owner, &lane_room, owner.entry, 1, 0);
		assert_non_null(lane);
		alloc_many(lane, DEVICE, 7);
		alloc_many(reference, REFERENCE, round ? 12 : 7);
		now = watch_look(consumer);
		check_same_rates(now);
		watch_put(now);
		alloc_many(lane, DEVICE, 5); /* not seen as its own */
		munmap(owner.base, owner.at.size);
	}
	alloc_many(reference, REFERENCE, 5);
	now = watch_look(consumer);
	check_same_rates(now);
	watch_put(now);
	watch_close(consumer);
	region_unlink(&owner);
	rig_free(&rig);
}

/* ---- Peaks ----------------------------------------------------------------------------------- */

static void check_peaks(struct tally_consumer *consumer, int64_t over_all, int64_t first)
{
	const struct tally_snapshot *now = watch_look(consumer);

	assert_int_equal(watch_pool(now, DEVICE, POOL)->totals.attach_peak_bytes, over_all);
	assert_int_equal(pool_of(now, 0, DEVICE)->totals.attach_peak_bytes, first);
	watch_put(now);
}

static void attach_peak_is_the_highest_that_a_look_has_seen(void **state)
{
	struct rig rig = rig_make(6, 0), other;
	struct lane_writer *writer = claim(&rig);
	struct tally_consumer *consumer;

	(void)state;
	rig_alloc(writer, DEVICE, POOL, 1, 1000);
	rig_release(writer, DEVICE, POOL, 1, 900);
	consumer = attach();
	check_peaks(consumer, 100, 100); /* since its start it was 1000 */
	rig_release(writer, DEVICE, POOL, 1, 100);
	check_peaks(consumer, 100, 100);
	rig_alloc(writer, DEVICE, POOL, 1, 500); /* not seen */
	rig_release(writer, DEVICE, POOL, 1, 500);
	check_peaks(consumer, 100, 100);
	rig_alloc(writer, DEVICE, POOL, 1, 250);
	check_peaks(consumer, 250, 250);
	other = rig_make(6, 0);
	rig_alloc(claim(&other), DEVICE, POOL, 1, 50);
	check_peaks(consumer, 300, 250);
	rig_release(writer, DEVICE, POOL, 1, 250);
	check_peaks(consumer, 300, 250);
	rig_free(&other);
	rig_free(&rig);
	for (int looks = 0; looks < 3; looks++)
		watch_put(watch_look(consumer));
	rig = rig_make(6, 0); /* the pair was nobody's meanwhile */
	rig_alloc(claim(&rig), DEVICE, POOL, 1, 10);
	check_peaks(consumer, 300, 10);
	watch_close(consumer);
	rig_free(&rig);
}

static void attach_peak_may_be_below_zero(void **state)
{
	struct rig rig = rig_make(6, 0);
	struct lane_writer *writer = claim(&rig);
	struct tally_consumer *consumer;

	(void)state;
	rig_release(writer, DEVICE, POOL, 1, 30); /* armed late */
	consumer = attach();
	rig_release(writer, DEVICE, POOL, 1, 5);
	check_peaks(consumer, -30, -30);
	watch_close(consumer);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rates_are_unknown_then_what_was_counted_by_the_time_it_took),
		TEST(rate_is_of_about_the_last_second_only),
		TEST(who_leaves_takes_nothing_away),
		TEST(who_comes_has_done_all_since_the_last_look),
		TEST(who_was_left_aside_counts_from_when_it_was_not),
		TEST(owner_that_is_overtaken_in_a_joined_region_counts_to_its_end),
		TEST(attach_peak_is_the_highest_that_a_look_has_seen),
		TEST(attach_peak_may_be_below_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
