/* SPDX-License-Identifier: Apache-2.0 */
/* Pushes while the region is being made, and when none can be: each is counted, or said not to be
 * with its number.
 * also on: arm64 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/watch.h"

struct status {
	int armed, region_error;
	uint64_t unplaced, rejected;
	char region[64];
};

/* As root `without_power` takes its capabilities from it, so that it is like any other user. */
static bool without_power;

static struct job rush(int threads, int pushes, const char *const *env, struct status *ret_status)
{
	const char *const argv[] = { "setpriv",	   "--bounding-set=-all", "--inh-caps=-all",
				     prog("rush"), text("%d", threads),	  text("%d", pushes),
				     NULL };
	bool drop = without_power && geteuid() == 0;
	struct job job = job_start(&(struct command){ .argv = argv + (drop ? 0 : 3), .env = env });
	char *line = job_line(&job);

	memset(ret_status, 0, sizeof(*ret_status));
	assert_true(sscanf(line, "%d %d %" SCNu64 " %" SCNu64 " %63s", &ret_status->armed,
			   &ret_status->region_error, &ret_status->unplaced, &ret_status->rejected,
			   ret_status->region) >= 4);
	return job;
}

/* Thread n of rush pushes allocs of n bytes. */
static struct test_sums truth_of(int threads, int pushes)
{
	return (struct test_sums){ .allocated_bytes = (int64_t)threads * (threads + 1) / 2 * pushes,
				   .allocs = (int64_t)threads * pushes };
}

static void finish(struct job *job)
{
	struct outcome outcome = job_end(job);

	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
}

static void check_counted(const struct job *job, int threads, int pushes)
{
	struct tally_consumer *consumer = watch_pid(job->pid);
	const struct tally_snapshot *now = watch_look(consumer);

	watch_check(now);
	assert_sums_equal(watch_sums(now, 2, TALLY_POOL_DRAM), truth_of(threads, pushes));
	assert_int_equal(now->events, threads * pushes);
	assert_int_equal(now->records_read + now->lost_records, now->events);
	assert_int_equal(now->rejected_events, 0);
	watch_put(now);
	watch_close(consumer);
}

static void threads_whose_first_pushes_race_are_all_counted(void **state)
{
	static const int pushes[] = { 1, 2, 100 };
	int round;

	(void)state;
	for (round = 0; round < 90; round++) {
		int threads = round % 2 ? 48 : 8; /* below and near the number of lanes */
		int each = pushes[round % 3];
		struct status status;
		struct job job = rush(threads, each, LIST("TALLY=1", "TALLY_RING=64"), &status);

		assert_int_equal(status.armed, 1);
		assert_int_equal(status.region_error, 0);
		assert_int_equal(status.unplaced, 0);
		assert_string_equal(status.region, only_region());
		check_counted(&job, threads, each);
		finish(&job);
	}
}

static void threads_beyond_the_lanes_are_counted_too(void **state)
{
	struct status status;
	struct job job = rush(200, 50, LIST("TALLY=1", "TALLY_LANES=4"), &status);

	(void)state;
	check_counted(&job, 200, 50);
	finish(&job);
}

/* ---- No region ------------------------------------------------------------------------------- */

static void cannot_be_made(const char *dir, int error)
{
	struct status status;
	struct job job = rush(16, 100, LIST("TALLY=1", dir), &status);

	assert_int_equal(status.armed, 1);
	assert_int_equal(status.region_error, error);
	assert_int_equal(status.unplaced, 1600); /* said, with its number */
	assert_int_equal(status.rejected, 0);
	assert_string_equal(status.region, "");
	assert_int_equal(regions_left(), 0);
	finish(&job);
}

static void directory_that_is_missing_leaves_a_number_and_a_reason(void **state)
{
	(void)state;
	cannot_be_made("TALLY_DIR=/nonexistent", -ENOENT);
}

static void directory_that_is_a_file_leaves_a_number_and_a_reason(void **state)
{
	(void)state;
	write_file(text("%s/file", test_tmp), "", 0);
	cannot_be_made(text("TALLY_DIR=%s/file", test_tmp), -ENOTDIR);
}

static void directory_that_may_not_be_written_leaves_a_number_and_a_reason(void **state)
{
	char *dir = text("%s/locked", test_tmp);

	(void)state;
	assert_int_equal(mkdir(dir, 0500), 0);
	without_power = true;
	cannot_be_made(text("TALLY_DIR=%s", dir), -EACCES);
	without_power = false;
}

/* The region exists, then the directory and all in it goes: nothing happens to the process. */
static void region_that_is_removed_under_a_process_does_it_no_harm(void **state)
{
	struct command command = { .argv = LIST(prog("push_many"), "100000", "wait"),
				   .env = LIST("TALLY=1") };
	struct job job = job_start(&command);
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	job_line(&job);
	consumer = watch_pid(job.pid);
	remove_regions();
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	now = watch_look(consumer);
	assert_int_equal(watch_sums(now, 1, TALLY_POOL_L1).allocs, 50000);
	watch_put(now);
	watch_close(consumer);
	finish(&job);
}

/* ---- Settings -------------------------------------------------------------------------------- */

static void setting(const char *variable, uint32_t flag, bool records)
{
	struct status status;
	struct job job = rush(8, 30, LIST("TALLY=1", variable), &status);
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	check_counted(&job, 8, 30);
	consumer = watch_pid(job.pid);
	now = watch_look(consumer);
	assert_int_equal(now->processes[0].region_flags, flag);
	if (records)
		assert_true(now->records_read > 0);
	else
		assert_int_equal(now->processes[0].lost_unrecorded, 240);
	watch_put(now);
	watch_close(consumer);
	finish(&job);
}

static void unusable_ring_size_keeps_totals_and_says_so(void **state)
{
	static const char *const values[] = {
		"TALLY_RING=77",    "TALLY_RING=32",
		"TALLY_RING=-64",   "TALLY_RING=0x40",
		"TALLY_RING=64k",   "TALLY_RING=",
		"TALLY_RING=many",  "TALLY_RING=2097152",
		"TALLY_RING= 2048", "TALLY_RING=99999999999999999999999",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(values); i++)
		setting(values[i], TALLY_REGION_BAD_RING, false);
}

static void unusable_number_of_lanes_leaves_the_default_and_says_so(void **state)
{
	static const char *const values[] = { "TALLY_LANES=0", "TALLY_LANES=3", "TALLY_LANES=2048",
					      "TALLY_LANES=x", "TALLY_LANES=-1" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(values); i++)
		setting(values[i], TALLY_REGION_BAD_LANES, true);
}

static void unusable_time_to_wait_waits_for_nobody_and_says_so(void **state)
{
	static const char *const values[] = { "TALLY_LOSSLESS=0", "TALLY_LOSSLESS=60001",
					      "TALLY_LOSSLESS=", "TALLY_LOSSLESS=1s" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(values); i++)
		setting(values[i], TALLY_REGION_BAD_LOSSLESS, true);
	setting("TALLY_LOSSLESS=1", TALLY_REGION_LOSSLESS, true);
	setting("TALLY_LOSSLESS=60000", TALLY_REGION_LOSSLESS, true);
}

static void usable_settings_raise_no_flag(void **state)
{
	(void)state;
	setting("TALLY_RING=64", 0, true);
	setting("TALLY_RING=0", 0, false);
	setting("TALLY_LANES=1", 0, true);
	setting("TALLY_LANES=1024", 0, true);
}

static void anything_but_one_leaves_it_off(void **state)
{
	static const char *const values[] = { "TALLY=0", "TALLY=", "TALLY=yes", "TALLY=11" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(values); i++) {
		struct status status;
		struct job job = rush(4, 10, LIST(values[i]), &status);

		assert_int_equal(status.armed, 0);
		assert_int_equal(status.unplaced, 0);
		assert_int_equal(regions_left(), 0);
		finish(&job);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threads_whose_first_pushes_race_are_all_counted),
		TEST(threads_beyond_the_lanes_are_counted_too),
		TEST(directory_that_is_missing_leaves_a_number_and_a_reason),
		TEST(directory_that_is_a_file_leaves_a_number_and_a_reason),
		TEST(directory_that_may_not_be_written_leaves_a_number_and_a_reason),
		TEST(region_that_is_removed_under_a_process_does_it_no_harm),
		TEST(unusable_ring_size_keeps_totals_and_says_so),
		TEST(unusable_number_of_lanes_leaves_the_default_and_says_so),
		TEST(unusable_time_to_wait_waits_for_nobody_and_says_so),
		TEST(usable_settings_raise_no_flag),
		TEST(anything_but_one_leaves_it_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
