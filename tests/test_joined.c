/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that several processes join by TALLY_REGION: who is in, and who leaves what behind.
 * also on: arm64 */
#include <tally/abi.h>

#include "tests/joined_rows.h"

/* ---- Together -------------------------------------------------------------------------------- */

static void processes_of_one_name_share_a_region_and_keep_their_own_sums(void **state)
{
	struct member first = start("stay", "11", "/shared", "TALLY_LANES=1");
	struct member second = start("stay", "22", "/shared", NULL);
	struct member other = start("stay", "33", "/other", NULL);

	(void)state;
	assert_joined(&first, "shared");
	assert_joined(&second, "shared");
	assert_joined(&other, "other");
	assert_int_equal(regions_left(), 2);
	look_at_regions();
	assert_int_equal(row_count, 3);
	assert_has(&first, 11);
	assert_has(&second, 22);
	assert_has(&other, 33);
	assert_int_equal(row_of(first.pid)->shared, 0);
	assert_int_equal(row_of(second.pid)->shared, 22); /* the one lane is the first one's */
	assert_true(row_of(first.pid)->generation != row_of(second.pid)->generation);
	assert_int_equal(row_of(first.pid)->flags, TALLY_REGION_JOINED);
	leave(&first);
	look_at_regions();
	assert_has(&second, 22);
	leave(&second);
	assert_false(is_there("shared"));
	leave(&other);
	assert_int_equal(regions_left(), 0);
}

static void fork_child_joins_as_a_process_of_its_own(void **state)
{
	struct member parent = start("stay-with-child", "50", "/family", NULL);
	struct member child = parent, second = parent;

	(void)state;
	hear(&second); /* in either order */
	if (second.pid == parent.job.pid)
		parent = second;
	else
		child = second;
	assert_joined(&child, "family");
	look_at_regions();
	assert_int_equal(row_count, 2);
	assert_has(&parent, 51);
	assert_has(&child, 100);
	assert_int_equal(row_of(child.pid)->parent, row_of(parent.pid)->generation);
	leave(&parent);
	assert_int_equal(regions_left(), 0);
}

static void image_that_an_exec_starts_is_another_owner(void **state)
{
	struct member keeper = start("stay", "1", "/exec", NULL);
	struct member member = start("become", "40", "/exec", NULL);

	(void)state;
	look_at_regions();
	assert_int_equal(row_count, 2);
	assert_has(&member, 7); /* the same process; what it held before is abandoned */
	assert_int_equal(all_sums.allocs, 1 + 40 + 7);
	assert_int_equal(all_events, 1 + 40 + 7);
	leave(&member);
	leave(&keeper);
	assert_int_equal(regions_left(), 0);
}

static void process_may_leave_and_come_again(void **state)
{
	struct member keeper = start("stay", "1", "/again", NULL);
	struct member member = start("again", "20", "/again", NULL);

	(void)state;
	assert_joined(&member, "again");
	look_at_regions();
	assert_int_equal(row_count, 2);
	assert_has(&member, 1); /* of this stay */
	assert_int_equal(all_sums.allocs, 1 + 21);
	leave(&keeper);
	leave(&member);
	assert_int_equal(regions_left(), 0);
}

/* ---- Leaving --------------------------------------------------------------------------------- */

static void killed_process_leaves_the_region_to_the_next(void **state)
{
	struct member dead = start("stay", "10", "/killed", NULL);
	struct member next;
	uint64_t generation;

	(void)state;
	job_kill(&dead.job);
	assert_true(is_there("killed"));
	look_at_regions();
	assert_int_equal(row_count, 1);
	assert_false(rows[0].alive);
	assert_int_equal(rows[0].sums.allocs, 10); /* to be read until somebody comes */
	generation = rows[0].generation;
	next = start("stay", "5", "/killed", NULL);
	assert_joined(&next, "killed");
	look_at_regions();
	assert_int_equal(row_count, 1); /* it has the dead one's place */
	assert_int_not_equal(rows[0].generation, generation);
	assert_has(&next, 5);
	assert_int_equal(all_sums.allocs, 15);
	leave(&next);
	assert_int_equal(regions_left(), 0);
}

static void last_one_to_leave_takes_the_name_along(void **state)
{
	struct member members[4];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(members); i++)
		members[i] = start("stay", "3", "/last", NULL);
	leave(&members[1]);
	job_kill(&members[2].job);
	leave(&members[0]);
	assert_true(is_there("last"));
	leave(&members[3]);
	assert_false(is_there("last"));
}

static void kept_region_stays_and_is_joined_again(void **state)
{
	struct member member = start("stay", "3", "/kept", "TALLY_KEEP=1");
	int turn;

	(void)state;
	leave(&member);
	for (turn = 2; turn <= 4; turn++) {
		assert_true(is_there("kept"));
		member = start("stay", "3", "/kept", "TALLY_KEEP=1");
		look_at_regions();
		assert_int_equal(row_count, 1);
		assert_has(&member, 3);
		assert_int_equal(all_sums.allocs, 3 * turn);
		leave(&member);
	}
	assert_int_equal(regions_left(), 1);
	remove_regions();
}

static void those_that_come_and_go_are_never_in_a_region_without_a_name(void **state)
{
	struct command command = {
		.argv = LIST(prog("joined"), "come-and-go", "150"),
		.env = LIST("TALLY_RING=64", "TALLY_REGION=/race"),
	};
	struct job jobs[3]; /* few: it must often be empty */
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(jobs); i++)
		jobs[i] = job_start(&command);
	for (i = 0; i < COUNT(jobs); i++) {
		struct outcome outcome = job_end(&jobs[i]);

		if (outcome.status != 0 || outcome.err_size)
			fail_msg("status %d: %s", outcome.status, outcome.err);
	}
	remove_regions(); /* two that leave at once may each take the other for one that stays */
}

static void run_counts_each_process_by_itself(void **state)
{
	struct command command = {
		.argv = LIST(built("tally"), "run", "--json", "-", "--", prog("joined"), "stay",
			     "5"),
		.env = LIST("TALLY_REGION=/ignored", "TALLY_RING=64"),
	};
	struct outcome outcome = run(&command);
	json_t *json = json_parse(strchr(outcome.out, '{'));

	(void)state;
	assert_int_equal(outcome.status, 0);
	assert_null(strstr(outcome.out, "-join-"));
	assert_int_equal(json_sums(json_pool(json, 5, "dram")).allocs, 5);
	assert_int_equal(regions_left(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(processes_of_one_name_share_a_region_and_keep_their_own_sums),
		TEST(fork_child_joins_as_a_process_of_its_own),
		TEST(image_that_an_exec_starts_is_another_owner),
		TEST(process_may_leave_and_come_again),
		TEST(killed_process_leaves_the_region_to_the_next),
		TEST(last_one_to_leave_takes_the_name_along),
		TEST(kept_region_stays_and_is_joined_again),
		TEST(those_that_come_and_go_are_never_in_a_region_without_a_name),
		TEST(run_counts_each_process_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
