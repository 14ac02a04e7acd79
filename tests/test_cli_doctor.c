/* SPDX-License-Identifier: Apache-2.0 */
/* `tally doctor` finds what it is there to find, says what to do, and leaves nothing behind. */
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <tally/abi.h>
#include <unistd.h>

#include "tests/child.h"
#include "tests/doctor.h"
#include "tests/seccomp.h"
#include "tests/support.h"

static json_t *doctor_with(const char *const *env, int status)
{
	struct command command = { .argv = LIST(built("tally"), "doctor", "--json"), .env = env };
	struct outcome outcome = run(&command);
	json_t *json = json_parse(outcome.out);

	assert_string_equal(outcome.err, "");
	if (outcome.status != status)
		fail_msg("status %d: %s", outcome.status, outcome.out);
	assert_int_equal(problems_in(json) > 0, status == 1);
	return json;
}

static void healthy_machine_has_no_problem_and_nothing_is_left(void **state)
{
	static const char *const names[] = {
		"directory", "file-system", "space",	     "inodes",	   "unnamed-files",
		"file-size", "descriptors", "address-space", "region",	   "page-size",
		"kernel",    "clock",	    "TALLY",	     "TALLY_RING", "TALLY_LANES",
		"TALLY_DIR", "TALLY_KEEP",  "TALLY_REGION",  "adapter",	   "files",
		"dead",
	};
	struct outcome outcome = TALLY("doctor");
	json_t *json, *checks;
	size_t i;

	(void)state;
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
	assert_int_equal(count_of(outcome.out, "problem: "), 0);
	assert_int_equal(count_of(outcome.out, "\n"), COUNT(names)); /* one line each */
	json = doctor_with(NULL, 0);
	checks = json_get(json, "checks");
	assert_int_equal(json_array_size(checks), COUNT(names));
	for (i = 0; i < COUNT(names); i++)
		assert_string_equal(json_text(json, text("checks/%zu/name", i)), names[i]);
	check_finding(json, "region", "ok", "found alive, and removed");
	assert_int_equal(regions_left(), 0);
	assert_int_equal(count_of(TALLY("help").out, "  doctor "), 1);
	assert_int_equal(TALLY("doctor", "word").status, 2);
	assert_int_equal(TALLY("doctor", "--bogus").status, 2);
}

static void directory_that_is_missing_or_none_is_a_problem(void **state)
{
	json_t *json = doctor_with(LIST("TALLY_DIR=/nonexistent/dir"), 1);
	char *file = text("%s/file", test_tmp);

	(void)state;
	check_finding(json, "directory", "problem", "/nonexistent/dir");
	check_finding(json, "region", "problem", "no region can be made: No such file");
	check_finding(json, "files", "problem", "cannot be searched");
	write_file(file, "", 0);
	json = doctor_with(LIST(text("TALLY_DIR=%s", file)), 1);
	check_finding(json, "directory", "problem", "no directory");
}

static void relative_or_endless_directory_is_a_problem(void **state)
{
	struct command command = { .argv = LIST(built("tally"), "doctor", "--json"),
				   .env = LIST("TALLY_DIR=here"),
				   .cwd = test_tmp };
	char *endless = text("%s", test_tmp);

	(void)state;
	assert_int_equal(mkdir(text("%s/here", test_tmp), 0700), 0);
	check_finding(json_parse(run(&command).out), "TALLY_DIR", "problem", "begins with /");
	while (strlen(endless) < 200) {
		endless = text("%s/longer-and-longer", endless);
		assert_int_equal(mkdir(endless, 0700), 0);
	}
	check_finding(doctor_with(LIST(text("TALLY_DIR=%s", endless)), 1), "TALLY_DIR", "problem",
		      "shorter");
}

/* ---- Settings -------------------------------------------------------------------------------- */

/* What a producer makes of it: the flags of its region. */
static uint32_t flags_of(const char *setting)
{
	struct command command = { .argv = LIST(prog("push_many"), "11"),
				   .env = LIST("TALLY=1", "TALLY_KEEP=1", setting) };
	struct tally_region_header header;
	int fd;

	assert_int_equal(run(&command).status, 0);
	fd = open(text("%s/%s", test_dir, only_region()), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, &header, sizeof(header)), sizeof(header));
	close(fd);
	remove_regions();
	return header.flags;
}

static void sizes_are_judged_as_producers_judge_them(void **state)
{
	static const char *const values[] = {
		"64",
		"32",
		"0",
		"00",
		"2048",
		"1048576",
		"2097152",
		"77",
		"-64",
		"0x40",
		"64k",
		"",
		"1",
		"2",
		"1024",
		"3",
		"4096",
		"many",
		" 64",
		"64 ",
		"0064",
		"+64",
		"18446744073709551616",
		"99999999999999999999999",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(values); i++) {
		char *ring = text("TALLY_RING=%s", values[i]);
		char *lanes = text("TALLY_LANES=%s", values[i]);
		bool bad_ring = flags_of(ring) & TALLY_REGION_BAD_RING;
		bool bad_lanes = flags_of(lanes) & TALLY_REGION_BAD_LANES;

		check_finding(doctor_with(LIST(ring), bad_ring), "TALLY_RING",
			      bad_ring ? "problem" : "ok", bad_ring ? "power of two" : "");
		check_finding(doctor_with(LIST(lanes), bad_lanes), "TALLY_LANES",
			      bad_lanes ? "problem" : "ok", bad_lanes ? "power of two" : "");
	}
}

static void time_to_wait_is_judged_as_programs_judge_it(void **state)
{
	static const char *const values[] = { "1", "100", "60000", "0", "60001", "", "-1", "1s" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(values); i++) {
		char *wait = text("TALLY_LOSSLESS=%s", values[i]);
		uint32_t flags = flags_of(wait);
		bool bad = flags & TALLY_REGION_BAD_LOSSLESS;

		assert_int_equal(bad, !(flags & TALLY_REGION_LOSSLESS));
		check_finding(doctor_with(LIST(wait), bad), "TALLY_LOSSLESS",
			      bad ? "problem" : "note", bad ? "1 to 60000" : "events --hold");
	}
}

static void switches_that_switch_nothing_are_problems(void **state)
{
	static const char *const bad[] = { "yes", "on", "11", "1 ", "true" };
	static const char *const good[] = { "1", "0" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		check_finding(doctor_with(LIST(text("TALLY=%s", bad[i])), 1), "TALLY", "problem",
			      "set TALLY=1");
		check_finding(doctor_with(LIST(text("TALLY_KEEP=%s", bad[i])), 1), "TALLY_KEEP",
			      "problem", "set TALLY_KEEP=1");
	}
	for (i = 0; i < COUNT(good); i++)
		doctor_with(LIST(text("TALLY=%s", good[i]), text("TALLY_KEEP=%s", good[i])), 0);
}

static void runtimes_switch_is_judged_together_with_tallys(void **state)
{
	static const char name[] = "TT_ALLOC_TRACKING_ENABLED";
	static const char set[] = "TT_ALLOC_TRACKING_ENABLED=1";

	(void)state;
	check_finding(doctor_with(LIST(set), 0), name, "ok", "adapter count");
	check_finding(doctor_with(LIST(set, "TALLY=1"), 0), name, "ok", "adapter count");
	check_finding(doctor_with(LIST(set, "TALLY=0"), 0), name, "note", "but TALLY=0 holds");
	check_finding(doctor_with(LIST("TT_ALLOC_TRACKING_ENABLED=0"), 0), name, "ok",
		      "count if TALLY=1");
	check_finding(doctor_with(LIST("TT_ALLOC_TRACKING_ENABLED=yes"), 1), name, "problem",
		      "does not make runtimes count");
}

static void what_keeps_runtimes_from_publishing_is_noted(void **state)
{
	static const char name[] = "TT_METAL_SHM_TRACKING_DISABLED";

	(void)state;
	check_finding(doctor_with(LIST("TT_METAL_SHM_TRACKING_DISABLED=1"), 0), name, "note",
		      "publish no totals");
	assert_null(strstr(TALLY("doctor").out, name));
}

static void name_of_a_shared_region_is_judged(void **state)
{
	static const char *const bad[] = { "/",	     "//work",
					   "a/b",    "two words",
					   "name\n", "abcdefghijklmnopqrstuvwxyz0123456" };
	static const char *const good[] = { "", "/work", "work", "A.b_c-9",
					    "/abcdefghijklmnopqrstuvwxyz012345" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		check_finding(doctor_with(LIST(text("TALLY_REGION=%s", bad[i])), 1), "TALLY_REGION",
			      "problem", "1 to 32");
	for (i = 0; i < COUNT(good); i++)
		doctor_with(LIST(text("TALLY_REGION=%s", good[i])), 0);
}

static void adapter_that_is_missing_is_a_problem(void **state)
{
	char *alone = text("%s/tally", test_tmp), *spaced = text("%s/a b.so", test_tmp);
	struct command command = { .argv = LIST(alone, "doctor", "--json") };
	struct outcome outcome;

	(void)state;
	assert_int_equal(RUN("cp", "-L", built("tally"), alone).status, 0);
	outcome = run(&command);
	assert_int_equal(outcome.status, 1);
	check_finding(json_parse(outcome.out), "adapter", "problem", "set TALLY_PRELOAD to it");
	check_finding(doctor_with(LIST("TALLY_PRELOAD=/nonexistent.so"), 1), "adapter", "problem",
		      "No such file");
	assert_int_equal(RUN("cp", "-L", built("libtally-malloc.so"), spaced).status, 0);
	check_finding(doctor_with(LIST(text("TALLY_PRELOAD=%s", spaced)), 1), "adapter", "problem",
		      "space or colon");
	command.env = LIST(text("TALLY_PRELOAD=%s", built("libtally-malloc.so")));
	assert_int_equal(run(&command).status, 0);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static char *our_path(uint32_t id)
{
	return text("%s/tally-%u-%u-%016x", test_dir, (unsigned int)geteuid(), id, id);
}

static void each_file_that_is_refused_is_a_problem_with_its_reason(void **state)
{
	static const uint32_t version = 99;
	struct command kept = { .argv = LIST(prog("push_many"), "11"),
				.env = LIST("TALLY=1", "TALLY_KEEP=1") };
	char *whole;
	size_t size;
	json_t *json;

	(void)state;
	assert_int_equal(run(&kept).status, 0);
	whole = read_file(text("%s/%s", test_dir, only_region()), &size);
	remove_regions();
	write_file(our_path(1), "", 0);
	write_file(our_path(2),
		   "some words that are no region at all, whatever it is called by now", 66);
	write_file(our_path(3), whole, size / 2);
	write_file(our_path(4), whole, 100);
	memcpy(whole + offsetof(struct tally_region_header, abi_version), &version,
	       sizeof(version));
	write_file(our_path(5), whole, size);
	write_file(text("%s/tally-backup", test_dir), "", 0);
	json = doctor_with(NULL, 1);
	assert_int_equal(problems_in(json), 6);
	check_finding(json, "file", "problem", text("%s is refused: empty; remove", our_path(1)));
	check_finding(json, "file", "problem", text("%s is refused: not a tally", our_path(2)));
	check_finding(json, "file", "problem", text("%s is refused: file of", our_path(3)));
	check_finding(json, "file", "problem",
		      text("%s is refused: cut within its header; it is broken; remove it",
			   our_path(4)));
	check_finding(json, "file", "problem",
		      text("%s is refused: region version 99", our_path(5)));
	check_finding(json, "file", "problem", "tally-backup is refused: not a name");
	remove_regions();
	doctor_with(NULL, 0);
}

static void regions_of_the_dead_are_counted(void **state)
{
	(void)state;
	leave_dead(20);
	check_finding(doctor_with(NULL, 0), "dead", "note",
		      "20 regions of processes that died lie there, 4 more");
	assert_int_equal(TALLY("gc").status, 0);
	check_finding(doctor_with(NULL, 0), "dead", "ok", "16 of processes that died");
	assert_int_equal(TALLY("gc", "--keep", "0").status, 0);
	check_finding(doctor_with(NULL, 0), "dead", "ok", "0 of processes that died");
}

/* ---- The system ------------------------------------------------------------------------------ */

static void without_unnamed_files(void)
{
	struct outcome outcome;

	if (!seccomp_forbid_unnamed_files())
		_exit(CANNOT);
	outcome = TALLY("doctor");
	CHILD_CHECK(outcome.status == 0);
	CHILD_CHECK(strstr(outcome.out, "note: ") && strstr(outcome.out, "no unnamed files"));
	CHILD_CHECK(strstr(outcome.out, "ok: a region was made"));
}

static void file_system_without_unnamed_files_is_noted(void **state)
{
	(void)state;
	in_child(without_unnamed_files, "no seccomp filter may be set here");
	assert_int_equal(regions_left(), 0);
}

static void directory_on_a_disk_is_noted(void **state)
{
	struct statfs fs;

	(void)state;
	assert_int_equal(statfs(test_tmp, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC)
		SKIP("%s is in memory, too", test_tmp);
	check_finding(doctor_with(LIST(text("TALLY_DIR=%s", test_tmp)), 0), "file-system", "note",
		      "not in memory");
}

static void limits_are_named(void **state)
{
	struct outcome outcome = RUN("sh", "-c", "ulimit -n 60; exec \"$0\" doctor --json",
				     built("tally"));

	(void)state;
	assert_int_equal(outcome.status, 0);
	check_finding(json_parse(outcome.out), "descriptors", "note", "60 file descriptors");
	outcome = RUN("sh", "-c", "ulimit -v 60000; exec \"$0\" doctor --json", built("tally"));
	assert_int_equal(outcome.status, 1);
	check_finding(json_parse(outcome.out), "address-space", "problem", "ulimit -v");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(healthy_machine_has_no_problem_and_nothing_is_left),
		TEST(directory_that_is_missing_or_none_is_a_problem),
		TEST(relative_or_endless_directory_is_a_problem),
		TEST(sizes_are_judged_as_producers_judge_them),
		TEST(time_to_wait_is_judged_as_programs_judge_it),
		TEST(switches_that_switch_nothing_are_problems),
		TEST(runtimes_switch_is_judged_together_with_tallys),
		TEST(what_keeps_runtimes_from_publishing_is_noted),
		TEST(name_of_a_shared_region_is_judged),
		TEST(adapter_that_is_missing_is_a_problem),
		TEST(each_file_that_is_refused_is_a_problem_with_its_reason),
		TEST(regions_of_the_dead_are_counted),
		TEST(file_system_without_unnamed_files_is_noted),
		TEST(directory_on_a_disk_is_noted),
		TEST(limits_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
