/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that cannot be joined: bad names, files that are no region or another's, no room.
 * Who wanted to join has a region of its own, and says so.
 * also on: arm64 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tally/abi.h>

#include "ring/alive.h"
#include "ring/join.h"
#include "tests/joined_rows.h"

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

/* Nor if it says that it has. */
static void region_of_one_process_that_says_it_is_shared_is_not_joined(void **state)
{
	struct member member = start("stay", "9", "", "TALLY_KEEP=1");
	const char *path = path_of("alone");
	struct tally_region_header header;
	int fd;

	(void)state;
	leave(&member);
	assert_int_equal(rename(text("%s/%s", test_dir, member.region), path), 0);
	memcpy(&header, read_file(path, NULL), sizeof(header));
	header.flags |= TALLY_REGION_JOINED;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
	close(fd);
	check_unjoined("alone", -EBADMSG);
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

/* ---- A full one ------------------------------------------------------------------------------ */

/* Children that join and stay until they are killed. */
static void fill_entries(pid_t *pids, size_t count)
{
	struct region_config config = { .dir = test_dir,
					.name = joined_file("full"),
					.ring_log2 = 6 };
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

/* ---- One that is being removed --------------------------------------------------------------- */

/* Looks at locks that this process makes. */
static uint64_t looks;

int fcntl(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	looks += command == F_OFD_SETLK || command == F_OFD_GETLK;
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

static void who_finds_a_remover_that_stands_still_gives_up_soon(void **state)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 6 };
	struct member member;
	struct region region;
	int fd;

	(void)state;
	make_kept("gate");
	fd = open(path_of("gate"), O_RDWR | O_CLOEXEC);
	assert_int_equal(alive_lock_all(fd), 0); /* and then it was stopped */
	config.name = joined_file("gate");
	looks = 0;
	assert_int_equal(join_region(&config, &region), -EBUSY);
	assert_in_range(looks, 2, 10000);
	check_unjoined("gate", -EBUSY);
	/* When it dies all is as before. */
	close(fd);
	member = start("stay", "3", "/gate", NULL);
	assert_joined(&member, "gate");
	leave(&member);
	assert_int_equal(regions_left(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(name_that_is_none_is_not_joined_and_the_region_says_so),
		TEST(file_that_is_no_region_is_left_alone),
		TEST(region_of_another_version_or_broken_is_left_alone),
		TEST(region_of_one_process_is_not_joined),
		TEST(region_of_one_process_that_says_it_is_shared_is_not_joined),
		TEST(region_of_another_user_is_not_joined),
		TEST(one_more_than_256_has_a_region_of_its_own_until_there_is_room),
		TEST(who_finds_a_remover_that_stands_still_gives_up_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
