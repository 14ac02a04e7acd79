/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing where the file system has no files without a name. */
#include <dirent.h>
#include <sys/inotify.h>
#include <sys/wait.h>

#include "tests/child.h"
#include "tests/publish.h"
#include "tests/seccomp.h"

#define ROUNDS 50

static char *hidden_path(void)
{
	return text("%s/.tt_device_3_memory.new", test_dir);
}

static void forbid(void)
{
	if (!seccomp_forbid_unnamed_files())
		_exit(CANNOT);
}

/* Files in the directory: the two that every directory has, and others. */
static int files(void)
{
	DIR *dir = opendir(test_dir);
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static int update(int64_t bytes)
{
	struct made made;

	made_begin(&made, 3);
	made_process(&made, 100001, "made");
	made_pool(&made, TALLY_POOL_DRAM, bytes);
	return publish_update(publishing, &made.snapshot);
}

static void publish_with_a_name(void)
{
	struct stat status;

	forbid();
	CHILD_CHECK(publish_open(test_dir, 4, keep_line, NULL, &publishing) == 0);
	CHILD_CHECK(update(50) == 0 && lines == 0);
	CHILD_CHECK(chip_get64(chip_now(3), 48) == 50);
	CHILD_CHECK(files() == 3); /* the hidden name has gone */
	CHILD_CHECK(stat(chip_path(3), &status) == 0 && status.st_mode == (S_IFREG | 0600));
	CHILD_CHECK(status.st_size == 8576 && status.st_nlink == 1);
	CHILD_CHECK(chip_get32(chip_now(3), 8536) == 0x52454459);
	CHILD_CHECK(update(60) == 0 && lines == 0);
	CHILD_CHECK(chip_get64(chip_now(3), 48) == 60);
	publish_end();
}

static void a_file_is_published_where_none_can_be_without_a_name(void **state)
{
	(void)state;
	write_file(hidden_path(), "left by one that was killed", 20);
	in_child(publish_with_a_name, "no system calls can be filtered here");
	assert_int_equal(files(), 2); /* with the end of publishing it has gone */
}

static void be_second(void)
{
	forbid();
	CHILD_CHECK(publish_open(test_dir, 4, keep_line, NULL, &publishing) == 0);
	CHILD_CHECK(update(50) == 0 && lines == 1);
	CHILD_CHECK(strstr(said, "it cannot be made: Device or resource busy"));
	CHILD_CHECK(access(hidden_path(), F_OK) == 0 && access(chip_path(3), F_OK) != 0);
	CHILD_CHECK(unlink(hidden_path()) == 0); /* the other has given up */
	CHILD_CHECK(update(50) == 0);
	CHILD_CHECK(chip_get64(chip_now(3), 48) == 50);
	publish_end();
}

static void what_another_gateway_is_making_is_left_to_it(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	int fd;

	(void)state;
	write_file(hidden_path(), "", 0);
	fd = open(hidden_path(), O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	in_child(be_second, "no system calls can be filtered here");
	close(fd);
}

static void publish_again_and_again(void)
{
	int round;

	forbid();
	for (round = 0; round < ROUNDS; round++) {
		CHILD_CHECK(publish_open(test_dir, 4, NULL, NULL, &publishing) == 0);
		CHILD_CHECK(update(4711) == 0);
		CHILD_CHECK(rename(chip_path(3), text("%s/was-%d", test_dir, round)) == 0);
		publish_end();
	}
}

/* What the kernel tells of the directory: the file has its name by a link, and is never opened for
 * writing by it. */
static void a_file_is_whole_before_it_has_its_name(void **state)
{
	union {
		struct inotify_event first;
		char bytes[65536];
	} events;
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), created = 0, modified = 0;
	ssize_t size;
	char *at;

	(void)state;
	assert_true(inotify_add_watch(fd, test_dir, IN_CREATE | IN_MODIFY | IN_OPEN) >= 0);
	in_child(publish_again_and_again, "no system calls can be filtered here");
	while ((size = read(fd, events.bytes, sizeof(events))) > 0)
		for (at = events.bytes; at < events.bytes + size;) {
			const struct inotify_event *event = (const void *)at;

			if (strcmp(event->name, "tt_device_3_memory") == 0) {
				created += (event->mask & IN_CREATE) != 0;
				modified += (event->mask & (IN_MODIFY | IN_OPEN)) != 0;
			}
			at += sizeof(*event) + event->len;
		}
	close(fd);
	assert_int_equal(created, ROUNDS);
	assert_int_equal(modified, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_published_where_none_can_be_without_a_name),
		TEST(what_another_gateway_is_making_is_left_to_it),
		TEST(a_file_is_whole_before_it_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
