/* SPDX-License-Identifier: Apache-2.0 */
/* `tally ps` of regions that several processes join. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/joined.h"

static json_t *ps_of(pid_t pid)
{
	struct outcome outcome = TALLY("ps", "--json", "-p", text("%d", (int)pid));

	if (outcome.status != 0)
		fail_msg("ps -p %d: %d %s", (int)pid, outcome.status, outcome.err);
	return json_parse(outcome.out);
}

static void ps_of_one_process_shows_it_and_its_part_alone(void **state)
{
	struct job jobs[3];
	json_t *json, *row;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(jobs); i++) {
		jobs[i] = join_start(NULL);
		job_do(&jobs[i], text("alloc %zu 100", i + 1));
	}
	job_kill(&jobs[0]);
	jobs[0] = join_start(NULL); /* what the dead one left is not theirs */
	for (i = 0; i < COUNT(jobs); i++) {
		json = ps_of(jobs[i].pid);
		assert_int_equal(json_array_size(json_get(json, "processes")), 1);
		assert_int_equal(json_processes(json, jobs[i].pid, &row), 1);
		assert_string_equal(json_text(row, "region"), join_file());
		assert_true(json_flag(row, "alive"));
		if (i == 0)
			continue;
		assert_int_equal(json_number(json_pool(json, DEVICE, "dram"), "live_bytes"),
				 100 * ((int64_t)i + 1));
		assert_int_equal(
			json_number(json_pool(json, DEVICE, "dram"), "abandoned_bytes_total"), 0);
	}
	assert_int_equal(TALLY("ps", "-p", text("%d", (int)getpid())).status, 3);
	for (i = 0; i < COUNT(jobs); i++)
		job_end_well(&jobs[i]);
}

static void json_tells_processes_of_one_region_apart(void **state)
{
	struct job first = join_start(NULL), second = join_start(NULL);
	json_t *json, *a, *b;
	pid_t child;

	(void)state;
	job_do(&first, "alloc 1 10");
	job_do(&second, "alloc 2 10");
	child = job_do(&second, "fork");
	json = json_parse(TALLY("ps", "--json").out);
	assert_int_equal(json_processes(json, first.pid, &a), 1);
	assert_int_equal(json_processes(json, second.pid, &b), 1);
	assert_string_equal(json_text(a, "region"), json_text(b, "region"));
	assert_string_not_equal(json_text(a, "image"), json_text(b, "image"));
	assert_int_equal(json_processes(json, child, &a), 1);
	assert_string_equal(json_text(a, "parent_region"), json_text(b, "image"));
	assert_int_equal(json_number(json_pool(json, DEVICE, "dram"), "live_bytes"), 10 + 20 + 7);
	job_kill(&second);
	join_kill_child(child);
	job_kill(&first);
	remove_regions();
}

static void ps_says_what_was_left_by_processes_it_does_not_show(void **state)
{
	struct job dies = join_start(NULL), heir;
	struct outcome outcome;

	(void)state;
	job_do(&dies, "alloc 5 1024");
	job_kill(&dies);
	outcome = TALLY("ps");
	assert_non_null(strstr(outcome.out, "gone"));
	assert_non_null(strstr(outcome.out, "5.00 KiB"));
	assert_null(strstr(outcome.err, "not shown any more"));
	heir = join_start(NULL);
	outcome = TALLY("ps");
	assert_null(strstr(outcome.out, "gone"));
	assert_non_null(strstr(outcome.out, "5.00 KiB"));
	assert_non_null(strstr(outcome.err, "5.00 KiB of what was abandoned is of processes"));
	job_end_well(&heir);
}

static void name_that_is_not_usable_is_told(void **state)
{
	struct command command = {
		.argv = LIST(prog("joiner"), "1", "1"),
		.env = LIST("TALLY=1", "TALLY_REGION=/a b"),
	};
	struct job job = job_start(&command);
	struct outcome outcome;

	(void)state;
	assert_string_equal(job_line(&job), "armed");
	outcome = TALLY("ps");
	assert_int_equal(outcome.status, 0);
	assert_non_null(strstr(outcome.err, "TALLY_REGION is not usable"));
	assert_non_null(strstr(outcome.err, text("%d (joiner)", (int)job.pid)));
	assert_int_equal(job_end(&job).status, 0);
}

static void region_that_is_broken_is_refused_and_its_joiner_told(void **state)
{
	struct outcome outcome;
	struct job job;

	(void)state;
	write_file(join_path(), "", 0);
	job = join_start(NULL);
	job_do(&job, "alloc 1 10");
	outcome = TALLY("ps");
	assert_int_equal(outcome.status, 0);
	assert_non_null(strstr(outcome.err, "could not be joined"));
	assert_non_null(strstr(outcome.err, join_file()));
	assert_non_null(strstr(outcome.err, "empty"));
	/* of a process elsewhere nothing is to be said about that file */
	outcome = TALLY("ps", "-p", text("%d", (int)job.pid));
	assert_int_equal(outcome.status, 0);
	assert_null(strstr(outcome.err, join_file()));
	job_end_well(&job);
	unlink(join_path());
}

static void names_that_are_nearly_those_of_joined_regions_are_strangers(void **state)
{
	const char *const names[] = { "tally-%u-join-", "tally-%u-join-a b", "tally-0%u-join-a" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(names); i++) {
		char path[200], name[64];
		struct outcome outcome;

		snprintf(name, sizeof(name), names[i], (unsigned int)geteuid());
		snprintf(path, sizeof(path), "%s/%s", test_dir, name);
		write_file(path, "", 0);
		outcome = TALLY("ps");
		assert_int_equal(outcome.status, 3);
		assert_non_null(strstr(outcome.err, "not a name tally gives"));
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ps_of_one_process_shows_it_and_its_part_alone),
		TEST(json_tells_processes_of_one_region_apart),
		TEST(ps_says_what_was_left_by_processes_it_does_not_show),
		TEST(name_that_is_not_usable_is_told),
		TEST(region_that_is_broken_is_refused_and_its_joiner_told),
		TEST(names_that_are_nearly_those_of_joined_regions_are_strangers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
