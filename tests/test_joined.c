/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that several processes join by TALLY_REGION: who is in, under which names, who cannot
 * and what becomes of him, who leaves what behind. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tally/abi.h>

#include "ring/join.h"
#include "tests/joined.h"

/* ---- Programs that join ---------------------------------------------------------------------- */

struct member {
	struct job job;
	pid_t pid;
	char region[64];
	int join_error;
};

static void hear(struct member *member)
{
	char *line = job_line(&member->job);
	int pid;

	assert_int_equal(sscanf(line, "%d %63s %d", &pid, member->region, &member->join_error), 3);
	member->pid = pid;
}

static struct member start(const char *scenario, const char *number, const char *name,
			   const char *more)
{
	struct command command = {
		.argv = LIST(prog("joined"), scenario, number),
		.env = LIST("TALLY=1", "TALLY_RING=64", text("TALLY_REGION=%s", name), more),
	};
	struct member member = { .job = job_start(&command) };

	hear(&member);
	return member;
}

static void leave(struct member *member)
{
	struct outcome outcome = job_end(&member->job);

	if (outcome.status != 0 || outcome.err_size)
		fail_msg("status %d: %s", outcome.status, outcome.err);
}

static void kill_member(struct member *member)
{
	job_signal(&member->job, SIGKILL);
	assert_int_equal(job_end(&member->job).status, -SIGKILL);
}

static const char *file_of(const char *given)
{
	return text("tally-%u-join-%s", (unsigned int)geteuid(), given);
}

static const char *path_of(const char *given)
{
	return text("%s/%s", test_dir, file_of(given));
}

static bool is_there(const char *given)
{
	struct stat status;

	return lstat(path_of(given), &status) == 0;
}

/* `count` events of 16 bytes, of this process. */
static void assert_has(const struct member *member, int64_t count)
{
	const struct row *row = row_of(member->pid);

	assert_string_equal(row->region, member->region);
	assert_int_equal(row->sums.allocs, count);
	assert_int_equal(row->sums.allocated_bytes, 16 * count);
	assert_int_equal(row->events, count);
}

static void assert_joined(const struct member *member, const char *given)
{
	assert_int_equal(member->join_error, 0);
	assert_string_equal(member->region, file_of(given));
}

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
	struct member child = parent;

	(void)state;
	hear(&child);
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
	kill_member(&dead);
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
	kill_member(&members[2]);
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
		.argv = LIST(prog("joined"), "come-and-go", "60"),
		.env = LIST("TALLY_RING=64", "TALLY_REGION=/race"),
	};
	struct job jobs[6];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(jobs); i++)
		jobs[i] = job_start(&command);
	for (i = 0; i < COUNT(jobs); i++) {
		struct outcome outcome = job_end(&jobs[i]);

		if (outcome.status != 0 || outcome.err_size)
			fail_msg("status %d: %s", outcome.status, outcome.err);
	}
	assert_int_equal(regions_left(), 0);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void name_that_is_none_is_not_joined_and_the_region_says_so(void **state)
{
	static const char *const bad[] = {
		"/",	"/a/b", "//a", "a b", "/\xc3\xa4", "/123456789012345678901234567890123",
		"/a\n",
	};
	static const char *const good[] = { "/a", "a", "/A.b_c-9", "/.",
					    "/12345678901234567890123456789012" };
	struct member member;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		member = start("stay", "3", bad[i], NULL);
		assert_null(strstr(member.region, "join"));
		look_at_regions();
		assert_int_equal(row_count, 1);
		assert_int_equal(rows[0].flags, TALLY_REGION_BAD_NAME);
		assert_has(&member, 3);
		leave(&member);
	}
	for (i = 0; i < COUNT(good); i++) {
		member = start("stay", "3", good[i], NULL);
		assert_joined(&member, good[i] + (good[i][0] == '/'));
		leave(&member);
	}
	member = start("stay", "3", "", NULL); /* as if it were not set */
	assert_null(strstr(member.region, "join"));
	look_at_regions();
	assert_int_equal(rows[0].flags, 0);
	leave(&member);
	assert_int_equal(regions_left(), 0);
}

/* ---- Those that cannot join ------------------------------------------------------------------ */

/* It has a region of its own, in which everything counts, and the file is as it was. */
static void check_unjoined(const char *given, int error)
{
	struct member member = start("stay", "9", given, NULL);
	const struct row *row;

	assert_int_equal(member.join_error, error);
	assert_null(strstr(member.region, "join"));
	look_at_regions();
	row = row_of(member.pid);
	assert_int_equal(row->flags, TALLY_REGION_UNJOINED);
	assert_int_equal(row->sums.allocs, 9);
	assert_int_equal(row->events, 9);
	leave(&member);
	assert_true(is_there(given));
}

static void file_that_is_no_region_is_left_alone(void **state)
{
	char bytes[8192];

	(void)state;
	memset(bytes, 0x5a, sizeof(bytes));
	write_file(path_of("empty"), "", 0);
	check_unjoined("empty", -EBADMSG);
	write_file(path_of("noise"), bytes, sizeof(bytes));
	check_unjoined("noise", -EBADMSG);
	assert_memory_equal(read_file(path_of("noise"), NULL), bytes, sizeof(bytes));
	assert_int_equal(symlink("/dev/null", path_of("link")), 0);
	check_unjoined("link", -ELOOP);
	assert_int_equal(mkdir(path_of("directory"), 0700), 0);
	check_unjoined("directory", -EISDIR);
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	check_unjoined("fifo", -EBADMSG);
	rmdir(path_of("directory"));
	remove_regions();
}

/* A region that was kept, and then changed. */
static void make_kept(const char *given)
{
	struct member member = start("stay", "9", given, "TALLY_KEEP=1");

	leave(&member);
	assert_true(is_there(given));
}

static void region_of_another_version_or_broken_is_left_alone(void **state)
{
	struct tally_region_header header;
	size_t size;

	(void)state;
	make_kept("version");
	memcpy(&header, read_file(path_of("version"), &size), sizeof(header));
	header.abi_version++;
	write_file(path_of("version"), &header, sizeof(header));
	check_unjoined("version", -EPROTO);
	header.abi_version--;
	header.signature ^= 1;
	write_file(path_of("version"), &header, sizeof(header));
	check_unjoined("version", -EPROTO);
	make_kept("cut");
	assert_int_equal(truncate(path_of("cut"), 4096), 0);
	check_unjoined("cut", -EBADMSG);
	remove_regions();
}

/* A process's own region under such a name has room for no second one. */
static void region_of_one_process_is_not_joined(void **state)
{
	struct member member = start("stay", "9", "", "TALLY_KEEP=1");

	(void)state;
	leave(&member);
	assert_int_equal(rename(text("%s/%s", test_dir, member.region), path_of("single")), 0);
	check_unjoined("single", -EBADMSG);
	remove_regions();
}

static void region_of_another_user_is_not_joined(void **state)
{
	(void)state;
	if (geteuid() != 0)
		SKIP("only root can make files of another user");
	make_kept("foreign");
	assert_int_equal(chown(path_of("foreign"), 65534, 65534), 0);
	/* not even root: its owner could cut it under our feet */
	check_unjoined("foreign", -EACCES);
	remove_regions();
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

/* ---- A full one ------------------------------------------------------------------------------ */

/* Children that join and stay until they are killed. */
static void fill_entries(pid_t *pids, size_t count)
{
	struct region_config config = { .dir = test_dir, .name = file_of("full"), .ring_log2 = 6 };
	size_t i;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	for (i = 0; i < count; i++) {
		char error;

		pids[i] = fork();
		if (pids[i] == 0) {
			struct region region;

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			error = (char)-join_region(&config, &region);
			if (write(ends[1], &error, 1) != 1)
				_exit(1);
			while (pause())
				;
		}
		assert_true(pids[i] > 0);
		assert_int_equal(read(ends[0], &error, 1), 1);
		assert_int_equal(error, 0);
	}
	close(ends[0]);
	close(ends[1]);
}

static void one_more_than_256_has_a_region_of_its_own_until_there_is_room(void **state)
{
	pid_t pids[256];
	struct member member;
	size_t i;

	(void)state;
	fill_entries(pids, COUNT(pids));
	check_unjoined("full", -EUSERS);
	kill(pids[100], SIGKILL);
	assert_int_equal(wait_status(pids[100]), -SIGKILL);
	member = start("stay", "4", "/full", NULL);
	assert_joined(&member, "full");
	look_at_regions();
	assert_has(&member, 4);
	assert_int_equal(row_of(member.pid)->entry, 100);
	for (i = 0; i < COUNT(pids); i++) {
		if (i == 100)
			continue;
		kill(pids[i], SIGKILL);
		wait_status(pids[i]);
	}
	leave(&member); /* the last one: it finds all the others dead */
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
		TEST(name_that_is_none_is_not_joined_and_the_region_says_so),
		TEST(file_that_is_no_region_is_left_alone),
		TEST(region_of_another_version_or_broken_is_left_alone),
		TEST(region_of_one_process_is_not_joined),
		TEST(region_of_another_user_is_not_joined),
		TEST(run_counts_each_process_by_itself),
		TEST(one_more_than_256_has_a_region_of_its_own_until_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
