/* SPDX-License-Identifier: Apache-2.0 */
/* The shared ring under load, from 2 to 64 producers: every record read is whole, each producer's
 * are in order, every push is accounted for, and none takes more tickets than it may. The long run
 * of the same is `make campaign-shared`.
 * sanitizers: address, thread; also on: arm64 */
#include "tests/stress.h"

#include "tests/support.h"

static const uint64_t pushes_max = UNDER_TSAN ? 20000 : 1000000;

static struct stress_result check(const struct stress *stress)
{
	struct stress with = *stress;
	struct stress_result result;

	with.dir = test_dir;
	if (!with.ring_log2)
		with.ring_log2 = 10;
	if (!with.pushes)
		with.pushes = pushes_max;
	result = stress_run(&with);
	if (result.wrong)
		fail_msg("%s", result.wrong);
	if (result.quarantine)
		fail_msg("quarantine: %s", result.quarantine);
	assert_int_equal(result.torn, 0);
	assert_int_equal(result.out_of_order, 0);
	assert_int_equal(result.died, 0);
	assert_true(result.read > 0);
	/* pushed = read + lost, of which each cause is known by itself */
	assert_int_equal(result.events, with.pushes);
	assert_int_equal(result.unrecorded, result.refused);
	assert_true(result.overwritten <= with.pushes - result.refused);
	if (with.in_step)
		assert_int_equal(result.overwritten, 0);
	/* no push tried more slots than it may; tickets are left, or were too late, in groups */
	assert_true(result.positions >= with.pushes - result.refused);
	assert_true(result.positions <= (result.tries + STRESS_PRODUCERS) * SHARED_GROUP);
	assert_in_range(result.most_tries, 1, SHARED_TRIES);
	return result;
}

static void producers_in_threads_are_all_accounted_for(void **state)
{
	static const uint32_t threads[] = { 2, 3, 16, 64 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(threads); i++)
		check(&(struct stress){ .threads = threads[i], .read = true });
}

static void need_processes(void)
{
	if (UNDER_TSAN)
		SKIP("ThreadSanitizer sees one mapping only");
}

static void producers_in_processes_are_all_accounted_for(void **state)
{
	static const uint32_t processes[] = { 2, 3, 16, 64 };
	size_t i;

	(void)state;
	need_processes();
	for (i = 0; i < COUNT(processes); i++)
		check(&(struct stress){ .processes = processes[i], .threads = 1, .read = true });
}

static void producers_in_threads_of_processes_are_all_accounted_for(void **state)
{
	(void)state;
	need_processes();
	check(&(struct stress){ .processes = 4, .threads = 4, .read = true });
}

/* So late publications, too, are all read. */
static void nothing_is_lost_that_the_reader_is_waited_for(void **state)
{
	(void)state;
	check(&(struct stress){
		.threads = 4, .read = true, .in_step = true, .pushes = pushes_max / 100 });
	if (!UNDER_TSAN)
		check(&(struct stress){ .processes = 4,
					.threads = 2,
					.read = true,
					.in_step = true,
					.pushes = pushes_max / 100 });
}

static void producers_without_a_reader_are_all_accounted_for(void **state)
{
	struct stress_result result;

	(void)state;
	result = check(&(struct stress){ .threads = 8 });
	assert_in_range(result.read, 1, 1024);
}

static void smallest_ring_is_enough_for_many(void **state)
{
	(void)state;
	check(&(struct stress){ .threads = 64, .ring_log2 = 6, .read = true });
}

static void all_is_accounted_for_across_the_wraps(void **state)
{
	(void)state;
	check(&(struct stress){ .threads = 4, .read = true, .start_pos = 0 - pushes_max / 2 });
	check(&(struct stress){ .threads = 4,
				.read = true,
				.start_pos = ((1ull << TALLY_LAP_BITS) << 10) - pushes_max / 2 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(producers_in_threads_are_all_accounted_for),
		TEST(producers_in_processes_are_all_accounted_for),
		TEST(producers_in_threads_of_processes_are_all_accounted_for),
		TEST(nothing_is_lost_that_the_reader_is_waited_for),
		TEST(producers_without_a_reader_are_all_accounted_for),
		TEST(smallest_ring_is_enough_for_many),
		TEST(all_is_accounted_for_across_the_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
