/* SPDX-License-Identifier: Apache-2.0 */
/* Places where something is short: arming that fails, and the room that a region takes.
 * also on: arm64 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/corners.h"

/* ---- Arming that fails ----------------------------------------------------------------------- */

static void check_limited(const char *how, const char *dir, bool placed)
{
	struct command command = {
		.argv = LIST(prog("tight"), "limited", how),
		.env = LIST("TALLY=1", dir),
	};
	struct job job = job_start(&command);
	static const char *const whose[] = { "parent", "child" };
	size_t i;

	for (i = 0; i < 2; i++) {
		char *line = job_line(&job);
		char who[20], region[20];
		unsigned long long unplaced;
		int armed, error;

		assert_int_equal(sscanf(line, "%19s %d %d %llu %19s", who, &armed, &error,
					&unplaced, region),
				 5);
		assert_string_equal(who, whose[i]);
		assert_int_equal(armed, 1);
		assert_int_equal(unplaced, placed ? 0 : 100);
		assert_string_equal(region, placed ? "placed" : "-");
		if (placed)
			assert_int_equal(error, 0);
		else
			assert_true(error < 0);
	}
	job_say(&job, "1");
	job_say(&job, "2");
	finish(&job);
	assert_int_equal(regions_left(), 0);
}

static void missing_directory_leaves_descriptors_as_they_were(void **state)
{
	(void)state;
	check_limited("none", "TALLY_DIR=/nonexistent", false);
}

static void limits_leave_descriptors_as_they_were(void **state)
{
	char *dir = text("TALLY_DIR=%s", test_dir);

	(void)state;
	check_limited("none", dir, true);
	check_limited("fsize", dir, false);
	check_limited("small-files", dir, true);
	check_limited("nofile", dir, false);
	if (!EMULATED) /* the emulator itself needs room: it does not pass RLIMIT_AS on */
		check_limited("as", dir, false);
}

/* ---- Room ------------------------------------------------------------------------------------ */

/* Bytes that a region takes of shared memory; 0 if what was asked for is not permitted. */
static int64_t footprint(const char *how, const char *setting)
{
	struct command command = {
		.argv = LIST(prog("tight"), "footprint", how),
		.env = LIST("TALLY=1", setting),
	};
	struct job job = job_start(&command);
	char *line = job_line(&job);
	struct stat status = { 0 };

	if (strcmp(line, "no") != 0) {
		assert_string_equal(line, only_region());
		assert_int_equal(stat(text("%s/%s", test_dir, line), &status), 0);
		assert_true(status.st_blocks > 0);
	}
	finish(&job);
	return (int64_t)status.st_blocks * 512;
}

static void region_without_records_takes_16_KiB(void **state)
{
	(void)state;
	assert_in_range(footprint("nothing", "TALLY_RING=0"), 4096, 16384);
	assert_in_range(footprint("push", "TALLY_RING=0"), 4096, 16384);
}

static void region_with_a_first_lane_takes_256_KiB(void **state)
{
	(void)state;
	assert_in_range(footprint("push", "TALLY_KEEP=0"), 128 << 10, 256 << 10);
}

static void region_takes_no_more_where_all_memory_is_locked(void **state)
{
	int64_t bytes = footprint("locked", "TALLY_KEEP=0");

	(void)state;
	if (bytes == 0)
		SKIP("memory may not be locked here");
	assert_in_range(bytes, 128 << 10, 256 << 10);
}

/* What comes before a command to give it a test_dir that is a file system of `size`. */
#define SMALL(size)                                                                                \
	"unshare", geteuid() == 0 ? "-m" : "-rm", "sh", "-c",                                      \
		"mount -t tmpfs -o size=$0 none \"$TALLY_DIR\" && exec \"$@\"", size

static bool may_mount(void)
{
	return RUN(SMALL("64k"), "true").status == 0;
}

static void ring_that_does_not_fit_gives_its_pages_back(void **state)
{
	struct command command = {
		.argv = LIST(SMALL("96k"), prog("tight"), "no-ring"),
		.env = LIST("TALLY=1"),
	};
	struct outcome outcome;

	(void)state;
	if (!may_mount())
		SKIP("no file system may be mounted here");
	outcome = run(&command);
	check_outcome(&outcome);
}

/* All that a run of `tight full` makes. */
static uint64_t calls_when_full(const char *pushes)
{
	char *path = text("%s/strace", test_tmp);
	struct command command = {
		.argv = LIST(SMALL("48k"), STRACE(path), prog("tight"), "full", pushes),
		.env = LIST("TALLY=1"),
	};
	struct outcome outcome = run(&command);
	uint64_t calls = strace_total(&outcome, path);

	check_outcome(&outcome);
	return calls;
}

static void pushes_in_a_full_file_system_make_hardly_a_system_call(void **state)
{
	static const char few[] = "2000", many[] = "100000";
	struct command command = {
		.argv = LIST(SMALL("48k"), prog("tight"), "full", many),
		.env = LIST("TALLY=1"),
	};
	struct outcome outcome;
	uint64_t base;

	(void)state;
	if (!may_mount())
		SKIP("no file system may be mounted here");
	outcome = run(&command);
	check_outcome(&outcome);
	base = calls_when_full(few);
	assert_true(calls_when_full(many) < base + 2000); /* for 200000 pushes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(missing_directory_leaves_descriptors_as_they_were),
		TEST(limits_leave_descriptors_as_they_were),
		TEST(region_without_records_takes_16_KiB),
		TEST(region_with_a_first_lane_takes_256_KiB),
		TEST(region_takes_no_more_where_all_memory_is_locked),
		TEST(ring_that_does_not_fit_gives_its_pages_back),
		TEST(pushes_in_a_full_file_system_make_hardly_a_system_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
