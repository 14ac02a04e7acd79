/* SPDX-License-Identifier: Apache-2.0 */
/* Joining and leaving, over and over: beside a thread that forks, with all memory locked, and
 * together with others. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "ring/alive.h"
#include "ring/join.h"
#include "tests/joined_rows.h"

/* Room for the locks of all entries, and the gate's. */
#define LOCKS (ALIVE_ENTRIES + 1)

/* ---- Beside a fork --------------------------------------------------------------------------- */

static struct job start_turns(const char *scenario, const char *number, const char *region)
{
	struct command command = {
		.argv = LIST(prog("turns"), scenario, number),
		.env = LIST("TALLY_RING=64", "TALLY_LANES=4", region),
	};

	return job_start(&command);
}

static size_t held_locks(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t held = 0;
	unsigned int n;

	assert_true(fd >= 0);
	for (n = 0; n < LOCKS; n++)
		held += alive_test(fd, n) == 1;
	close(fd);
	return held;
}

/* How often it came and went meanwhile. */
static int turns_done(const struct job *job)
{
	int turns = 0;

	assert_int_equal(sscanf(job_line(job), "done %d", &turns), 1);
	return turns;
}

/* The children of a job that has been killed end with its stdin; they are ours by now. */
static void end_killed(struct job *job)
{
	assert_int_equal(job_end(job).status, -SIGKILL);
	WAIT_FOR(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void child_of_a_fork_beside_one_who_joins_and_leaves_has_nothing_of_the_region(void **state)
{
	struct member keeper = start("stay", "1", "/beside", NULL);
	struct job job = start_turns("fork-beside", "300", "TALLY_REGION=/beside");

	(void)state;
	assert_true(turns_done(&job) > 0);
	assert_int_equal(held_locks(path_of("beside")), 2);
	job_kill(&keeper.job);
	assert_int_equal(held_locks(path_of("beside")), 1);
	job_signal(&job, SIGKILL);
	/* Its children live still; what they have of the file would be seen here. */
	WAIT_FOR(held_locks(path_of("beside")) == 0);
	end_killed(&job);
	remove_regions();
}

static void child_of_a_fork_beside_one_who_makes_regions_has_nothing_of_them(void **state)
{
	struct job job = start_turns("fork-beside", "300", NULL);
	const char *path;

	(void)state;
	assert_true(turns_done(&job) > 0);
	path = text("%s/%s", test_dir, only_region());
	assert_int_equal(held_locks(path), 1);
	job_signal(&job, SIGKILL);
	WAIT_FOR(held_locks(path) == 0);
	end_killed(&job);
	remove_regions();
}

/* ---- Locked memory --------------------------------------------------------------------------- */

static void check_locked(const char *region)
{
	struct command command = {
		.argv = LIST(prog("turns"), "all-locked"),
		.env = LIST("TALLY_RING=64", "TALLY_LANES=4", region),
	};
	struct outcome outcome = run(&command);

	if (outcome.status != 0 || outcome.err_size)
		fail_msg("status %d: %s", outcome.status, outcome.err);
	if (strcmp(outcome.out, "no\n") == 0)
		SKIP("memory may not be locked here");
	assert_string_equal(outcome.out, "yes\n");
	assert_int_equal(regions_left(), 0);
}

static void region_is_made_again_where_all_memory_is_locked(void **state)
{
	(void)state;
	SKIP_EMULATED("locked memory");
	check_locked(NULL);
}

static void region_is_joined_again_where_all_memory_is_locked(void **state)
{
	(void)state;
	SKIP_EMULATED("locked memory");
	check_locked("TALLY_REGION=/locked");
}

/* ---- Together -------------------------------------------------------------------------------- */

static void check_together(const char *processes)
{
	struct command command = {
		.argv = LIST(prog("turns"), "leave-together", processes),
		.env = LIST("TALLY=1", "TALLY_RING=64", "TALLY_REGION=/together"),
	};
	struct outcome outcome = run(&command);

	if (outcome.status != 0 || outcome.err_size)
		fail_msg("status %d: %s", outcome.status, outcome.err);
	assert_int_equal(regions_left(), 0);
}

static void last_of_two_that_leave_together_takes_the_name_along(void **state)
{
	(void)state;
	check_together("2");
}

static void last_of_four_that_leave_together_takes_the_name_along(void **state)
{
	(void)state;
	check_together("4");
}

#define MEMBERS 6

/* Whichever of them leaves, and whichever stays. */
static void name_stays_as_long_as_one_has_not_said_that_it_leaves(void **state)
{
	struct tally_process_header *entries[MEMBERS];
	struct region members[MEMBERS];
	struct region_config config = { .dir = test_dir };
	char name[REGION_NAME_MAX];
	int leaver, stayer, n;

	(void)state;
	assert_true(join_name(name, "/one-stays"));
	config.name = name;
	for (n = 0; n < MEMBERS; n++) {
		assert_int_equal(join_region(&config, &members[n]), 0);
		entries[n] = region_process(members[n].base, &members[n].at, members[n].entry);
		tally_store_relaxed(&entries[n]->ended_ns, 1);
	}
	for (stayer = 0; stayer < MEMBERS; stayer++) {
		tally_store_relaxed(&entries[stayer]->ended_ns, 0);
		for (leaver = 0; leaver < MEMBERS; leaver++) {
			if (leaver != stayer)
				join_leave(&members[leaver]);
			assert_int_equal(regions_left(), 1);
		}
		tally_store_relaxed(&entries[stayer]->ended_ns, 1);
	}
	join_leave(&members[2]);
	assert_int_equal(regions_left(), 0);
	for (n = 0; n < MEMBERS; n++)
		munmap(members[n].base, members[n].at.size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(name_stays_as_long_as_one_has_not_said_that_it_leaves),
		TEST(child_of_a_fork_beside_one_who_joins_and_leaves_has_nothing_of_the_region),
		TEST(child_of_a_fork_beside_one_who_makes_regions_has_nothing_of_them),
		TEST(region_is_made_again_where_all_memory_is_locked),
		TEST(region_is_joined_again_where_all_memory_is_locked),
		TEST(last_of_two_that_leave_together_takes_the_name_along),
		TEST(last_of_four_that_leave_together_takes_the_name_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
