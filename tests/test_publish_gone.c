/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are published no more: what becomes of their files, and of who has them open.
 * sanitizers: address */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/calls.h"
#include "tests/cli.h"
#include "tests/publish.h"

static int count_in(const char *path)
{
	DIR *dir = opendir(path);
	int count = -2; /* . and .. */

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static int open_files(void)
{
	return count_in("/proc/self/fd");
}

static int files(void)
{
	return count_in(test_dir);
}

static bool is_locked(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
	close(fd);
	return lock.l_type != F_UNLCK;
}

/* A device that has not been seen for so long is let go, with the update after this. */
static void publish_others_only(void)
{
	int n;

	for (n = 1; n < PUBLISH_UNSEEN_MAX; n++)
		publish_named(4, NULL, 40);
}

static void a_device_that_is_seen_no_more_is_let_go_and_its_file_is_removed(void **state)
{
	int before = open_files(), round;

	(void)state;
	publish_begin(4);
	for (round = 0; round < 2; round++) { /* it comes again */
		publish_named(3, NULL, 30 + round);
		assert_int_equal(json_number(publish_read(3), "totals/dram"), 30 + round);
		publish_others_only();
		assert_true(is_locked(chip_path(3)));
		publish_named(4, NULL, 40);
		assert_int_equal(access(chip_path(3), F_OK), -1);
		assert_true(is_locked(chip_path(4)));
		assert_int_equal(open_files(), before + 2); /* the directory and 4 */
	}
	/* by another name if it has one by then */
	publish_named(3, "777", 32);
	assert_int_equal(json_number(publish_read(777), "totals/dram"), 32);
	assert_int_equal(access(chip_path(3), F_OK), -1);
	assert_int_equal(lines, 0);
	publish_end();
	assert_int_equal(files(), 0);
}

/* A runtime's, which others may find again. */
static void a_file_that_was_there_before_stays_with_zeros_in_it(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	struct stat before, after;
	const char *now;

	(void)state;
	chip_write(&chip, 3);
	assert_int_equal(stat(chip_path(3), &before), 0);
	publish_begin(4);
	publish_named(3, NULL, 30);
	publish_others_only();
	assert_true(is_locked(chip_path(3)));
	now = chip_now(3);
	publish_named(4, NULL, 40);
	assert_false(is_locked(chip_path(3)));
	assert_memory_equal(chip_now(3), now, CHIP_SIZE);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 0);
	assert_int_equal(json_number(publish_read(3), "num_active_processes"), 0);
	publish_named(3, NULL, 31);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 31);
	publish_end();
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 0);
	assert_int_equal(stat(chip_path(3), &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(files(), 1);
	assert_int_equal(lines, 0);
}

static void *map_read_only(uint64_t chip_id)
{
	int fd = open(chip_path(chip_id), O_RDONLY | O_CLOEXEC);
	void *file = mmap(NULL, CHIP_SIZE, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(file != MAP_FAILED);
	close(fd);
	return file;
}

/* He would watch one that nobody writes to. */
static void a_file_that_somebody_has_mapped_stays_until_he_has_it_no_more(void **state)
{
	void *file;
	int n;

	(void)state;
	publish_begin(4);
	publish_named(3, NULL, 30);
	file = map_read_only(3);
	for (n = 0; n < 3 * PUBLISH_UNSEEN_MAX; n++)
		publish_named(4, NULL, 40);
	assert_int_equal(chip_get64(file, 48), 0);
	publish_named(3, NULL, 31);
	assert_int_equal(chip_get64(file, 48), 31);
	publish_others_only();
	publish_named(4, NULL, 40);
	assert_true(is_locked(chip_path(3)));
	munmap(file, CHIP_SIZE);
	publish_named(4, NULL, 40);
	assert_int_equal(access(chip_path(3), F_OK), -1);
	file = map_read_only(4);
	publish_end();
	assert_int_equal(json_number(publish_read(4), "totals/dram"), 0);
	assert_int_equal(files(), 1);
	munmap(file, CHIP_SIZE);
	assert_int_equal(lines, 0);
}

static void of_devices_that_come_and_go_no_number_is_too_many(void **state)
{
	int before = open_files();
	uint32_t device;

	(void)state;
	publish_begin(4);
	for (device = 0; device < PUBLISH_CHIPS_MAX + 100; device++) {
		publish_named(device, NULL, 10);
		assert_true(open_files() <= before + 1 + PUBLISH_UNSEEN_MAX);
		assert_true(files() <= PUBLISH_UNSEEN_MAX);
	}
	assert_int_equal(lines, 0);
	publish_end();
	assert_int_equal(files(), 0);
}

static void of_files_that_cannot_be_removed_there_are_no_more_than_are_held(void **state)
{
	void *mapped[PUBLISH_CHIPS_MAX];
	uint32_t device;
	int n;

	(void)state;
	publish_begin(4);
	for (device = 0; device < PUBLISH_CHIPS_MAX; device++) {
		publish_named(device, NULL, 10);
		mapped[device] = map_read_only(device);
	}
	for (n = 0; n < 2 * PUBLISH_UNSEEN_MAX; n++)
		publish_named(device++, NULL, 10);
	assert_int_equal(files(), PUBLISH_CHIPS_MAX);
	assert_int_equal(lines, 1);
	check_contains(said, "device 256 is not published, nor are others: 256 are, the most");
	for (n = 0; n < PUBLISH_CHIPS_MAX; n++)
		munmap(mapped[n], CHIP_SIZE);
	publish_named(device, NULL, 10);
	publish_named(device, NULL, 10);
	assert_true(files() <= 1 + PUBLISH_UNSEEN_MAX);
	publish_end();
	assert_int_equal(files(), 0);
}

/* ---- Who asks for one that is being removed -------------------------------------------------- */

static void let_go_followed(void)
{
	publish_begin(4);
	publish_named(3, NULL, 30);
	publish_others_only();
	calls_begin();
	publish_named(4, NULL, 40);
	calls_end();
}

/* Lets it go, and asks for the file `at` stops after it is leased, by name or, if that is gone, as
 * who had found it before. Whether one came so far; *ret_late: it was decided before. */
static bool ask_meanwhile(int at, bool *ret_late)
{
	pid_t pid = calls_follow(let_go_followed);
	int found = open(chip_path(3), O_PATH | O_CLOEXEC), fd, stops = 0;
	struct call call = { 0 };
	bool leased = false, asked = false;

	*ret_late = false;
	while (calls_next(pid, &call)) {
		assert_int_equal(call.signal == 0 || call.signal == SIGURG, true);
		if (call.number == SYS_fcntl && call.args[1] == F_SETLEASE && call.done)
			leased = call.args[2] == F_WRLCK && call.result == 0;
		if (call.number == SYS_fcntl && call.args[1] == F_GETLEASE && call.done && !asked)
			*ret_late = true;
		if (!leased || stops++ != at)
			continue;
		fd = open(text("/proc/self/fd/%d", found), O_RDWR | O_NONBLOCK | O_CLOEXEC);
		assert_true(fd == -1 && errno == EWOULDBLOCK);
		asked = true;
	}
	close(found);
	calls_let_go(pid);
	return asked;
}

/* In every moment. Who comes first waits, and finds it with its name. */
static void a_file_that_is_asked_for_while_it_is_removed_stays(void **state)
{
	int at, stayed = 0, removed = 0;
	bool late;

	(void)state;
	for (at = 0; ask_meanwhile(at, &late); at++) {
		assert_int_equal(access(chip_path(3), F_OK), late ? -1 : 0);
		stayed += !late;
		removed += late;
		assert_int_equal(files(), late ? 1 : 2); /* and 4 */
		unlink(chip_path(3));
		unlink(chip_path(4));
	}
	assert_true(stayed > 4 && removed > 1);
	assert_int_equal(access(chip_path(3), F_OK), -1);
}

/* Somebody has removed it in that moment, and put another there. */
static void a_file_that_has_taken_its_place_stays(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	pid_t pid = calls_follow(let_go_followed);
	struct call call = { 0 };
	bool replaced = false;

	(void)state;
	chip_slot(&chip, 0, CHIP_NOBODY, "another", BYTES(1000));
	while (calls_next(pid, &call)) {
		if (replaced || call.number != SYS_fcntl || call.args[1] != F_SETLEASE ||
		    !call.done)
			continue;
		assert_int_equal(unlink(chip_path(3)), 0);
		chip_write(&chip, 3);
		replaced = true;
	}
	calls_let_go(pid);
	assert_true(replaced);
	chip_unchanged(&chip, chip_path(3));
	assert_int_equal(files(), 2); /* and 4 */
}

static void what_a_gateway_that_was_killed_has_left_is_in_no_ones_way(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	char *hidden = text("%s/.tt_device_3_memory.new", test_dir);
	int fd;

	(void)state;
	write_file(hidden, "left", 4);
	publish_begin(4);
	publish_named(3, NULL, 30);
	publish_others_only();
	fd = open(hidden, O_RDWR | O_CLOEXEC); /* or it is at it now */
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	publish_named(4, NULL, 40);
	assert_int_equal(access(hidden, F_OK) + access(chip_path(3), F_OK), 0);
	close(fd);
	publish_named(4, NULL, 40);
	assert_int_equal(files(), 1);
	publish_end();
	assert_int_equal(files(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_that_is_seen_no_more_is_let_go_and_its_file_is_removed),
		TEST(a_file_that_was_there_before_stays_with_zeros_in_it),
		TEST(a_file_that_somebody_has_mapped_stays_until_he_has_it_no_more),
		TEST(of_devices_that_come_and_go_no_number_is_too_many),
		TEST(of_files_that_cannot_be_removed_there_are_no_more_than_are_held),
		TEST(a_file_that_is_asked_for_while_it_is_removed_stays),
		TEST(a_file_that_has_taken_its_place_stays),
		TEST(what_a_gateway_that_was_killed_has_left_is_in_no_ones_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
