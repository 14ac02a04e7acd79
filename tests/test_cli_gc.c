/* SPDX-License-Identifier: Apache-2.0 */
/* `tally gc` removes what the dead have left, says so, and touches nothing else. */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/child.h"
#include "tests/cli.h"
#include "tests/support.h"

static void gc_removes_the_dead_beyond_the_newest_16_and_leaves_the_living(void **state)
{
	struct job living = start_pushing("21");
	struct outcome outcome;
	json_t *process;

	(void)state;
	leave_dead(20);
	outcome = TALLY("gc", "-n");
	assert_int_equal(outcome.status, 0);
	assert_int_equal(count_of(outcome.out, "would remove tally-"), 4);
	assert_int_equal(count_of(outcome.out, "(push_many), modified "), 4);
	assert_int_equal(count_of(outcome.out, "\n"), 4);
	check_one_line(outcome.err);
	check_contains(outcome.err, "would remove 4 regions of the dead");
	check_contains(outcome.err, "kept 16 of the dead, 1 of the living");
	assert_int_equal(regions_left(), 21);

	outcome = TALLY("gc");
	assert_int_equal(outcome.status, 0);
	assert_int_equal(count_of(outcome.out, "\nremoved tally-") + 1, 4);
	check_contains(outcome.err, "removed 4 regions of the dead");
	assert_int_equal(regions_left(), 17);
	outcome = TALLY("gc");
	assert_string_equal(outcome.out, "");
	assert_int_equal(regions_left(), 17);

	assert_int_equal(count_of(TALLY("gc", "--keep", "3").out, "removed tally-"), 13);
	assert_int_equal(count_of(TALLY("gc", "--keep", "0").out, "removed tally-"), 3);
	assert_int_equal(regions_left(), 1);
	assert_int_equal(
		json_processes(json_parse(TALLY("ps", "--json").out), living.pid, &process), 1);
	job_end_well(&living);
}

static void json_says_the_same(void **state)
{
	struct job living = start_pushing("21");
	json_t *json;
	size_t i;

	(void)state;
	leave_dead(5);
	json = json_parse(TALLY("gc", "--json", "--keep", "2", "--dry-run").out);
	assert_string_equal(json_text(json, "schema"), "tally.gc/1");
	assert_true(json_flag(json, "dry_run"));
	assert_int_equal(json_array_size(json_get(json, "removed")), 3);
	assert_int_equal(regions_left(), 6);
	json = json_parse(TALLY("gc", "--json", "--keep", "2").out);
	assert_false(json_flag(json, "dry_run"));
	assert_int_equal(json_number(json, "keep"), 2);
	assert_int_equal(json_number(json, "kept"), 2);
	assert_int_equal(json_number(json, "living"), 1);
	assert_int_equal(json_number(json, "of_runs"), 0);
	assert_int_equal(json_number(json, "strange"), 0);
	assert_int_equal(json_array_size(json_get(json, "failed")), 0);
	assert_int_equal(json_array_size(json_get(json, "removed")), 3);
	assert_true(json_number(json, "removed_bytes") >= 3 * 4096);
	for (i = 0; i < 3; i++) {
		json_t *removed = json_get(json, text("removed/%zu", i));
		const char *name = json_text(removed, "region");

		assert_string_equal(json_text(removed, "comm"), "push_many");
		check_contains(name, text("-%d-", (int)json_number(removed, "pid")));
		assert_int_equal(access(text("%s/%s", test_dir, name), F_OK), -1);
		assert_int_equal(json_number(removed, "uid"), geteuid());
		assert_int_equal(strlen(json_text(removed, "modified_time")), 19);
	}
	assert_int_equal(regions_left(), 3);
	job_end_well(&living);
	remove_regions();
}

static void what_a_run_has_yet_to_read_is_left_to_it(void **state)
{
	struct job job = START(built("tally"), "run", "--json", report_path(), "--", "sh", "-c",
			       "echo ready; read go; \"$0\" 30 30; echo killed; read go",
			       prog("mortal"));
	size_t left;
	json_t *json;

	(void)state;
	assert_string_equal(job_line(&job), "ready");
	job_signal(&job, SIGSTOP); /* the runner reads nothing now */
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "30");
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "killed");
	left = regions_left();
	assert_true(left > 30);
	json = json_parse(TALLY("gc", "--keep", "0", "--json").out);
	assert_true(json_number(json, "of_runs") >= 30);
	assert_int_equal(json_array_size(json_get(json, "removed")), 0);
	assert_int_equal(regions_left(), left);
	check_contains(TALLY("gc", "--keep", "0").err, "left to the `tally run`");
	job_signal(&job, SIGCONT);
	job_say(&job, "go");
	assert_int_equal(job_end(&job).status, 0);
	json = json_parse(read_file(report_path(), NULL));
	assert_int_equal(json_sums(json_pool(json, 1, "l1")).allocs, 30 * 11);
	assert_int_equal(regions_left(), 0);
}

static void run_that_was_killed_leaves_its_regions_to_gc(void **state)
{
	struct job job = START(built("tally"), "run", "--", "sh", "-c",
			       "echo ready; read go; \"$0\" 30 30; echo killed; read go",
			       prog("mortal"));

	(void)state;
	assert_string_equal(job_line(&job), "ready");
	job_signal(&job, SIGSTOP);
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "30");
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "killed");
	job_signal(&job, SIGKILL);
	assert_int_equal(job_end(&job).status,
			 -SIGKILL); /* its command sees the end of its input */
	WAIT_FOR(TALLY("gc", "--keep", "0").status == 0 && regions_left() == 0);
}

static void what_has_our_name_and_is_no_region_is_left_and_mentioned(void **state)
{
	char *empty = text("%s/tally-%u-1-0000000000000001", test_dir, (unsigned int)geteuid());
	struct outcome outcome;

	(void)state;
	write_file(empty, "", 0);
	outcome = TALLY("gc", "--keep", "0");
	assert_int_equal(outcome.status, 0);
	check_contains(outcome.err, "tally doctor");
	assert_int_equal(access(empty, F_OK), 0);
	unlink(empty);
}

static void usage_and_the_directory_have_their_exit_statuses(void **state)
{
	struct command command = { .argv = LIST(built("tally"), "gc"),
				   .env = LIST("TALLY_DIR=/nonexistent") };
	static const char *const wrong[][3] = { { "--keep", "x", NULL },   { "--keep", "-1", NULL },
						{ "--keep", "", NULL },	   { "--keep", NULL, NULL },
						{ "--bogus", NULL, NULL }, { "word", NULL, NULL } };
	struct outcome outcome;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(wrong); i++) {
		outcome = TALLY("gc", wrong[i][0], wrong[i][1]);
		assert_int_equal(outcome.status, 2);
		check_one_line(outcome.err);
		assert_string_equal(outcome.out, "");
	}
	outcome = run(&command);
	assert_int_equal(outcome.status, 3);
	check_contains(outcome.err, "/nonexistent");
	check_contains(TALLY("help", "gc").out, "--keep N");
	check_contains(TALLY("help").out, "  gc ");
}

/* ---- Several users --------------------------------------------------------------------------- */

static void need_nobody_to_run_ours(void)
{
	if (RUN(AS_NOBODY, prog("mortal")).status != 2)
		SKIP("user 65534 may not run what was built");
}

static void root_looks_after_everybody_others_after_themselves(void **state)
{
	struct command theirs = { .argv = LIST(AS_NOBODY, prog("mortal"), "3", "3") };
	struct outcome outcome;
	struct job job;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	need_nobody_to_run_ours();
	assert_int_equal(chmod(test_dir, 01777), 0);
	theirs.env = LIST("TALLY=1");
	job = job_start(&theirs);
	assert_string_equal(job_line(&job), "3");
	job_say(&job, "end");
	assert_int_equal(job_end(&job).status, 0);
	leave_dead(2);
	outcome = RUN(AS_NOBODY, built("tally"), "gc", "--keep", "2");
	assert_int_equal(outcome.status, 0);
	assert_int_equal(count_of(outcome.out, "removed tally-65534-"), 1);
	assert_int_equal(regions_left(), 4);
	outcome = TALLY("gc", "--keep", "1");
	assert_int_equal(count_of(outcome.out, "removed tally-65534-"), 1);
	assert_int_equal(count_of(outcome.out, "removed tally-0-"), 1);
	assert_int_equal(regions_left(), 2);
	assert_int_equal(TALLY("gc", "--keep", "0").status, 0);
	assert_int_equal(regions_left(), 0);
}

static void gc_where_nothing_may_be_removed(void)
{
	struct outcome outcome;

	if (geteuid() == 0)
		CHILD_CHECK(setresuid(65534, 65534, 65534) == 0);
	outcome = TALLY("gc", "--keep", "0");
	CHILD_CHECK(outcome.status == 4);
	CHILD_CHECK(strstr(outcome.err, "cannot be removed"));
	CHILD_CHECK(outcome.out[0] == '\0');
	outcome = TALLY("gc", "--keep", "0", "--json");
	CHILD_CHECK(outcome.status == 4);
	CHILD_CHECK(strstr(outcome.out, "\"error\""));
}

static void what_may_not_be_removed_is_said_with_exit_status_4(void **state)
{
	char *path, *theirs;

	(void)state;
	if (geteuid() == 0)
		need_nobody_to_run_ours();
	leave_dead(1);
	if (geteuid() == 0) { /* who may do everything */
		path = text("%s/%s", test_dir, only_region());
		theirs = text("%s/tally-65534-%s", test_dir,
			      strchr(strrchr(path, '/') + 7, '-') + 1);
		assert_int_equal(rename(path, theirs), 0);
		assert_int_equal(chown(theirs, 65534, 65534), 0);
		assert_int_equal(chmod(test_tmp, 0777), 0);
	}
	assert_int_equal(chmod(test_dir, 0555), 0);
	in_child(gc_where_nothing_may_be_removed, "");
	assert_int_equal(chmod(test_dir, 0700), 0);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gc_removes_the_dead_beyond_the_newest_16_and_leaves_the_living),
		TEST(json_says_the_same),
		TEST(what_a_run_has_yet_to_read_is_left_to_it),
		TEST(run_that_was_killed_leaves_its_regions_to_gc),
		TEST(what_has_our_name_and_is_no_region_is_left_and_mentioned),
		TEST(usage_and_the_directory_have_their_exit_statuses),
		TEST(root_looks_after_everybody_others_after_themselves),
		TEST(what_may_not_be_removed_is_said_with_exit_status_4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
