/* SPDX-License-Identifier: Apache-2.0 */
/* Many processes at once: a tree of 1,001 forks, all alive, joined and each by itself, in a PID
 * namespace too; and process numbers that come again. None is taken for another, none for dead
 * while it lives. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/joined_rows.h"

#define TREE 1001 /* see tests/prog/joined.c */
#define ENTRIES 256
#define UNSHARE "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"

static const char *const plain[] = { NULL };
static const char *const in_namespace[] = { UNSHARE, NULL };
static const char *const in_user_namespace[] = { UNSHARE, "--user", "--map-root-user", NULL };

/* How to get into a PID namespace here; skips the test where there is no way. */
static const char *const *namespace_way(void)
{
	const char *probe[] = { UNSHARE, "true", NULL };
	const char *user_probe[] = { UNSHARE, "--user", "--map-root-user", "true", NULL };

	if (run(&(struct command){ .argv = probe }).status == 0)
		return in_namespace;
	if (run(&(struct command){ .argv = user_probe }).status != 0)
		SKIP("no PID namespace can be made here");
	return in_user_namespace;
}

static struct job begin(const char *const *before, const char *scenario, const char *number,
			const char *name)
{
	struct command command = {
		.argv = list_and(before, LIST(prog("joined"), scenario, number)),
		.env = LIST("TALLY=1", "TALLY_RING=64", "TALLY_LANES=64",
			    text("TALLY_REGION=%s", name), "TALLY_KEEP=1"),
	};

	return job_start(&command);
}

static void finish(struct job *job)
{
	struct outcome outcome = job_end(job);

	if (outcome.status != 0 || outcome.err_size)
		fail_msg("status %d: %s", outcome.status, outcome.err);
}

/* ---- The tree -------------------------------------------------------------------------------- */

/* Process n has pushed n + 1 events of 16 bytes: each n is there once, and lives. */
static void check_tree(bool joined)
{
	static bool there[TREE];
	size_t n, in_one = 0;

	memset(there, 0, sizeof(there));
	look_at_regions();
	assert_int_equal(row_count, TREE);
	for (n = 0; n < row_count; n++) {
		const struct row *row = &rows[n];
		int64_t number = row->sums.allocs - 1;

		assert_true(row->alive);
		assert_in_range(number, 0, TREE - 1);
		assert_false(there[number]);
		there[number] = true;
		assert_int_equal(row->sums.allocated_bytes, 16 * (number + 1));
		assert_int_equal(row->events, number + 1);
		if (row->flags & TALLY_REGION_JOINED)
			in_one++;
		else
			assert_int_equal(row->flags, joined ? TALLY_REGION_UNJOINED : 0);
	}
	assert_int_equal(in_one, joined ? ENTRIES : 0);
	assert_int_equal(all_sums.allocs, TREE * (TREE + 1) / 2);
	assert_int_equal(all_events, TREE * (TREE + 1) / 2);
	assert_int_equal(regions_left(), joined ? TREE - ENTRIES + 1 : TREE);
}

static void storm(const char *const *before, bool joined)
{
	struct job job = begin(before, "storm", "", joined ? "/storm" : "");

	assert_string_equal(job_line(&job), "ready");
	check_tree(joined);
	finish(&job);
	remove_regions();
}

static void tree_of_a_thousand_processes_counts_each(void **state)
{
	(void)state;
	storm(plain, false);
}

static void tree_of_a_thousand_joins_as_far_as_there_is_room(void **state)
{
	(void)state;
	storm(plain, true);
}

static void tree_in_a_pid_namespace_counts_each(void **state)
{
	const char *const *way = namespace_way();

	(void)state;
	storm(way, false);
	storm(way, true);
}

/* A second tree takes the places of the first one's dead, whose sums stay in the totals. */
static void second_tree_takes_the_places_of_the_dead(void **state)
{
	struct job job = begin(plain, "storm", "", "/storm");
	struct test_sums sums;
	size_t n;

	(void)state;
	look_only = "-join-";
	assert_string_equal(job_line(&job), "ready");
	look_at_regions();
	assert_int_equal(row_count, ENTRIES);
	sums = all_sums;
	finish(&job);
	job = begin(plain, "storm", "", "/storm");
	assert_string_equal(job_line(&job), "ready");
	look_at_regions();
	assert_int_equal(row_count, ENTRIES);
	for (n = 0; n < row_count; n++) {
		assert_true(rows[n].alive);
		sums = sums_plus(sums, rows[n].sums);
	}
	assert_sums_equal(all_sums, sums);
	look_only = "";
	finish(&job);
	remove_regions();
}

/* ---- Numbers that come again ----------------------------------------------------------------- */

static void process_numbers_that_come_again_confuse_nobody(void **state)
{
	static const int lives = 1000, long_lived = 8;
	struct job job = begin(namespace_way(), "reuse", text("%d", lives), "/reuse");
	bool there[9] = { false };
	size_t n, alive = 0;
	char *line;

	(void)state;
	line = job_line(&job);
	if (strcmp(line, "no") == 0) {
		finish(&job);
		SKIP("pid_max is not the namespace's own here");
	}
	assert_in_range(atoi(line), lives / 4, lives);
	look_at_regions();
	for (n = 0; n < row_count; n++) {
		if (!rows[n].alive)
			continue;
		alive++;
		assert_in_range(rows[n].sums.allocs, 1, long_lived);
		assert_false(there[rows[n].sums.allocs]);
		there[rows[n].sums.allocs] = true;
		assert_int_equal(rows[n].events, rows[n].sums.allocs);
	}
	assert_int_equal(alive, long_lived);
	assert_int_equal(all_sums.allocs, lives + long_lived * (long_lived + 1) / 2);
	assert_int_equal(all_events, all_sums.allocs);
	finish(&job);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tree_of_a_thousand_processes_counts_each),
		TEST(tree_of_a_thousand_joins_as_far_as_there_is_room),
		TEST(tree_in_a_pid_namespace_counts_each),
		TEST(second_tree_takes_the_places_of_the_dead),
		TEST(process_numbers_that_come_again_confuse_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
