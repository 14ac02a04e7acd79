/* SPDX-License-Identifier: Apache-2.0 */
/* Of the regions of the dead the newest stay, the others go; whatever is alive, or is not this
 * user's region, is never touched.
 * sanitizers: address */
#include "ring/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "consumer/lend.h"
#include "ring/alive.h"
#include "tests/child.h"
#include "tests/rig.h"
#include "tests/seccomp.h"
#include "tests/support.h"

#define RUN_ID 0x77

/* ---- Regions --------------------------------------------------------------------------------- */

static struct region make(uint64_t run_id)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 6, .run_id = run_id };
	struct region region;

	assert_int_equal(region_create(&config, &region), 0);
	assert_int_equal(region_publish(&region), 0);
	return region;
}

static void set_time(const char *path, time_t seconds)
{
	struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* A region of the dead, modified at that time: its last mapping is gone. The path. */
static char *leave_of_run(time_t seconds, uint64_t run_id)
{
	struct region region = make(run_id);

	munmap(region.base, region.at.size);
	set_time(region.path, seconds);
	return text("%s", region.path);
}

static char *leave(time_t seconds)
{
	return leave_of_run(seconds, 0);
}

static bool is_there(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static void edit(const char *path, size_t offset, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

static void edit_header(const char *path, size_t offset, uint32_t value)
{
	edit(path, offset, &value, sizeof(value));
}

/* ---- Pruning --------------------------------------------------------------------------------- */

static int told[PRUNE_FAILED + 1]; /* how often each verdict was */

static void count_verdict(void *arg, const struct prune_found *found, enum prune_verdict verdict,
			  int error)
{
	(void)arg;
	told[verdict]++;
	assert_int_equal(strchr(found->name, '/'), NULL);
	assert_int_equal(error != 0, verdict == PRUNE_FAILED);
}

static void prune_to(size_t keep, bool dry_run)
{
	struct prune_found kept[40];
	struct prune_room room = { .dir_fd = -1, .file_fd = -1 };
	struct prune_job job = {
		.dir = test_dir,
		.uid = (uint32_t)geteuid(),
		.kept = kept,
		.keep = keep,
		.dry_run = dry_run,
		.tell = count_verdict,
	};

	assert_true(keep <= COUNT(kept));
	memset(told, 0, sizeof(told));
	assert_int_equal(prune(&room, &job), 0);
	assert_int_equal(room.dir_fd, -1);
	assert_int_equal(room.file_fd, -1);
}

static void newest_of_the_dead_stay_and_the_others_go(void **state)
{
	static const size_t keeps[] = { 40, 30, 29, 16, 1, 0 };
	char *paths[30];
	size_t i, n;

	(void)state;
	for (n = 0; n < COUNT(paths); n++) /* in no order at all */
		paths[n] = leave((time_t)(1000 + n * 7 % COUNT(paths)));
	for (i = 0; i < COUNT(keeps); i++) {
		prune_to(keeps[i], true);
		assert_int_equal(regions_left(), i ? keeps[i - 1] < 30 ? keeps[i - 1] : 30 : 30);
		prune_to(keeps[i], false);
		for (n = 0; n < COUNT(paths); n++)
			assert_int_equal(is_there(paths[n]),
					 COUNT(paths) - n * 7 % COUNT(paths) <= keeps[i]);
		assert_int_equal(told[PRUNE_KEPT], regions_left());
		assert_int_equal(told[PRUNE_LIVES], 0);
	}
	assert_int_equal(regions_left(), 0);
}

static void regions_of_the_living_stay_however_old_they_are(void **state)
{
	struct region living[20];
	size_t n;

	(void)state;
	for (n = 0; n < COUNT(living); n++) {
		living[n] = make(0);
		set_time(living[n].path, 1);
		leave((time_t)(1000 + n));
	}
	prune_to(3, false);
	assert_int_equal(told[PRUNE_LIVES], COUNT(living));
	assert_int_equal(told[PRUNE_REMOVED], COUNT(living) - 3);
	assert_int_equal(told[PRUNE_KEPT], 3);
	for (n = 0; n < COUNT(living); n++) {
		assert_true(is_there(living[n].path));
		munmap(living[n].base, living[n].at.size);
	}
	prune_to(0, false);
	assert_int_equal(told[PRUNE_REMOVED], COUNT(living) + 3);
	assert_int_equal(regions_left(), 0);
}

static void any_process_entry_that_lives_keeps_a_region(void **state)
{
	static const unsigned int entries[] = { 0, 1, 500, 1023 };
	char *path = leave(1);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(entries); i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		assert_int_equal(alive_lock(fd, entries[i]), 0);
		prune_to(0, true);
		assert_int_equal(told[PRUNE_LIVES], 1);
		prune_to(0, false);
		assert_int_equal(told[PRUNE_LIVES], 1);
		assert_true(is_there(path));
		close(fd);
	}
	prune_to(0, false);
	assert_false(is_there(path));
}

static void who_holds_all_entries_keeps_every_other_out(void **state)
{
	static const unsigned int entries[] = { 0, 1, 1023 };
	char *path = leave(1);
	int fd = open(path, O_RDWR | O_CLOEXEC), other = open(path, O_RDWR | O_CLOEXEC);
	size_t i;

	(void)state;
	assert_int_equal(alive_lock_all(fd), 0);
	for (i = 0; i < COUNT(entries); i++)
		assert_int_equal(alive_lock(other, entries[i]), -EAGAIN);
	close(fd);
	for (i = 0; i < COUNT(entries); i++) {
		assert_int_equal(alive_lock(other, entries[i]), 0);
		fd = open(path, O_RDWR | O_CLOEXEC);
		assert_int_equal(alive_lock_all(fd), -EAGAIN);
		close(fd);
	}
	close(other);
	unlink(path);
}

static void dead_region_of_any_version_goes(void **state)
{
	char *other = leave_of_run(1, RUN_ID), *shorter = leave(2);
	char *layout = leave_of_run(3, RUN_ID);
	struct region lent;

	(void)state;
	/* whose run it is only a region of this version can say */
	assert_int_equal(lend_open(&lent, test_dir, RUN_ID), 0);
	edit_header(other, offsetof(struct tally_region_header, abi_version), 99);
	edit_header(shorter, offsetof(struct tally_region_header, abi_version), 7);
	assert_int_equal(truncate(shorter, 64), 0);
	edit_header(layout, offsetof(struct tally_region_header, signature), 1);
	prune_to(0, false);
	assert_int_equal(told[PRUNE_REMOVED], 3);
	assert_int_equal(told[PRUNE_LIVES], 1);
	lend_close(&lent);
}

static char *our_name(uint32_t uid, uint32_t id)
{
	return text("%s/tally-%u-%u-%016x", test_dir, (unsigned int)uid, id, id);
}

static void what_is_no_region_of_this_user_is_never_touched(void **state)
{
	uint32_t uid = (uint32_t)geteuid();
	char *target = text("%s/target", test_tmp);
	char *region = leave(1);
	size_t left;

	(void)state;
	write_file(our_name(uid, 1), "", 0);
	write_file(our_name(uid, 2), "some text", 9);
	write_file(our_name(uid, 3), memset(text("%4096s", ""), 0, 4096), 4096);
	assert_int_equal(mkdir(our_name(uid, 4), 0700), 0);
	assert_int_equal(mkfifo(our_name(uid, 5), 0600), 0);
	write_file(target, read_file(region, NULL), 4096);
	assert_int_equal(symlink(target, our_name(uid, 6)), 0);
	write_file(text("%s/tally-%u-x", test_dir, uid), "", 0);
	write_file(text("%s/tally", test_dir), "", 0);
	/* named as another's; a region all the same */
	assert_int_equal(rename(region, our_name(uid + 1, 7)), 0);
	if (uid == 0) { /* named as ours, but another's */
		region = leave(1);
		assert_int_equal(chown(region, 65534, 65534), 0);
	}
	left = regions_left();
	prune_to(0, false);
	assert_int_equal(regions_left(), left);
	assert_true(is_there(target) && is_there(text("%s/tally", test_dir)));
	assert_int_equal(told[PRUNE_STRANGE], uid == 0 ? 7 : 6);
	assert_int_equal(told[PRUNE_REMOVED], 0);
	remove_regions();
}

static void become_somebody(void)
{
	if (geteuid() == 0) /* who is denied nothing */
		CHILD_CHECK(setresuid(65534, 65534, 65534) == 0);
}

static void remove_what_may_only_be_read(void)
{
	char *path;

	become_somebody();
	path = leave(1);
	CHILD_CHECK(chmod(path, 0400) == 0);
	prune_to(0, false);
	CHILD_CHECK(!is_there(path));
}

static void region_its_owner_may_only_read_goes_too(void **state)
{
	(void)state;
	assert_int_equal(chmod(test_dir, 0777), 0);
	in_child(remove_what_may_only_be_read, "");
}

static void remove_from_a_locked_directory(void)
{
	become_somebody();
	prune_to(0, false);
	CHILD_CHECK(told[PRUNE_FAILED] == 2 && told[PRUNE_REMOVED] == 0);
}

static void what_cannot_be_removed_is_told(void **state)
{
	char *paths[] = { leave(1), leave(2) };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(paths) && geteuid() == 0; i++) {
		char *theirs = our_name(65534, (uint32_t)i + 1);

		assert_int_equal(rename(paths[i], theirs), 0);
		assert_int_equal(chown(theirs, 65534, 65534), 0);
	}
	assert_int_equal(chmod(test_dir, 0555), 0);
	in_child(remove_from_a_locked_directory, "");
	assert_int_equal(chmod(test_dir, 0700), 0);
	remove_regions();
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static void regions_of_a_run_stay_as_long_as_its_runner_lives(void **state)
{
	struct region lent, other;
	size_t n;

	(void)state;
	for (n = 0; n < 20; n++) {
		leave_of_run((time_t)(10 + n), RUN_ID);
		leave_of_run((time_t)(10 + n), RUN_ID + 1);
		leave((time_t)(10 + n));
	}
	assert_int_equal(lend_open(&lent, test_dir, RUN_ID), 0);
	set_time(lent.path, 1);
	other = make(RUN_ID + 1); /* lives, but is no runner */
	prune_to(3, false);
	assert_int_equal(told[PRUNE_OF_RUN], 20);
	assert_int_equal(told[PRUNE_KEPT], 3);
	assert_int_equal(told[PRUNE_REMOVED], 37);
	assert_int_equal(told[PRUNE_LIVES], 2);
	munmap(lent.base, lent.at.size); /* killed */
	prune_to(3, false);
	assert_int_equal(told[PRUNE_OF_RUN], 0);
	assert_int_equal(told[PRUNE_KEPT], 3);
	assert_int_equal(told[PRUNE_LIVES], 1);
	munmap(other.base, other.at.size);
	set_time(other.path, 1);
	prune_to(0, false);
	assert_int_equal(regions_left(), 0);
}

static void region_of_a_run_that_began_during_the_pass_stays(void **state)
{
	char *early = leave_of_run(time(NULL) - 1000, RUN_ID);
	char *late = leave_of_run(time(NULL) + 1000, RUN_ID); /* its runner may have come, too */

	(void)state;
	prune_to(0, false);
	assert_false(is_there(early));
	assert_true(is_there(late));
	assert_int_equal(told[PRUNE_OF_RUN], 1);
	unlink(late);
}

static void with_very_many_runs_all_of_them_are_left_alone(void **state)
{
	struct region lent[PRUNE_RUNS + 1];
	size_t n;

	(void)state;
	leave_of_run(1, RUN_ID);
	for (n = 0; n < COUNT(lent); n++) {
		assert_int_equal(lend_open(&lent[n], test_dir, 1000 + n), 0);
		prune_to(0, true);
		assert_int_equal(told[PRUNE_OF_RUN], n == PRUNE_RUNS);
		assert_int_equal(told[PRUNE_REMOVED], n < PRUNE_RUNS);
	}
	for (n = 0; n < COUNT(lent); n++)
		lend_close(&lent[n]);
	remove_regions();
}

/* ---- Files that are not published ------------------------------------------------------------ */

static char *hidden_name_of(const char *path)
{
	char *hidden = text("%s/.%s", test_dir, strrchr(path, '/') + 1);

	assert_int_equal(rename(path, hidden), 0);
	return hidden;
}

static void unpublished_file_of_the_dead_goes_and_of_the_living_stays(void **state)
{
	char *whole = hidden_name_of(leave(1000000)), *empty = hidden_name_of(leave(1000000));
	char *half = hidden_name_of(leave(1000000));
	struct region living = make(0);
	char *living_path = hidden_name_of(living.path);

	(void)state;
	assert_int_equal(truncate(empty, 0), 0);
	edit_header(half, 0, 0);
	prune_to(16, false);
	assert_false(is_there(whole) || is_there(empty) || is_there(half));
	assert_true(is_there(living_path));
	assert_int_equal(told[PRUNE_REMOVED], 3);
	assert_int_equal(told[PRUNE_LIVES], 1);
	munmap(living.base, living.at.size);
	unlink(living_path);
}

static void prune_again_and_again(void)
{
	for (;;)
		prune_to(0, false);
}

static void make_many_with_hidden_names(void)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 6 };
	struct region region;
	int n;

	if (!seccomp_forbid_unnamed_files())
		_exit(CANNOT);
	for (n = 0; n < 3000; n++) {
		CHILD_CHECK(region_create(&config, &region) == 0);
		CHILD_CHECK(region.hidden_name);
		CHILD_CHECK(region_publish(&region) == 0);
		CHILD_CHECK(access(region.path, F_OK) == 0);
		region_unlink(&region);
		munmap(region.base, region.at.size);
	}
}

static void maker_without_unnamed_files_is_not_disturbed_by_pruners(void **state)
{
	pid_t pruner[2];
	size_t n;

	(void)state;
	for (n = 0; n < COUNT(pruner); n++) {
		fflush(NULL);
		pruner[n] = fork();
		if (pruner[n] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prune_again_and_again();
		}
	}
	in_child(make_many_with_hidden_names, "no seccomp filter may be set here");
	for (n = 0; n < COUNT(pruner); n++) {
		kill(pruner[n], SIGKILL);
		assert_int_equal(wait_status(pruner[n]), -SIGKILL);
	}
	assert_int_equal(regions_left(), 0);
}

/* ---- Several at once ------------------------------------------------------------------------- */

static void pruners_at_the_same_time_keep_the_newest_all_the_same(void **state)
{
	char *paths[60];
	pid_t pruner[4];
	int round;
	size_t n;

	(void)state;
	for (round = 0; round < 20; round++) {
		int go[2];

		for (n = 0; n < COUNT(paths); n++)
			paths[n] = leave((time_t)(1000 + n));
		assert_int_equal(pipe2(go, O_CLOEXEC), 0);
		for (n = 0; n < COUNT(pruner); n++) {
			fflush(NULL);
			pruner[n] = fork();
			if (pruner[n] == 0) {
				char byte;

				prctl(PR_SET_PDEATHSIG, SIGKILL);
				close(go[1]);
				if (read(go[0], &byte, 1) != 0)
					_exit(1);
				prune_to(16, false);
				_exit(0);
			}
		}
		close(go[0]);
		close(go[1]); /* all begin */
		for (n = 0; n < COUNT(pruner); n++)
			assert_int_equal(wait_status(pruner[n]), 0);
		for (n = 0; n < COUNT(paths); n++)
			assert_int_equal(is_there(paths[n]), n >= COUNT(paths) - 16);
		remove_regions();
	}
}

/* ---- Now and then ---------------------------------------------------------------------------- */

static void now_and_then(uint64_t random)
{
	struct prune_room room = { .dir_fd = -1, .file_fd = -1 };

	errno = ERANGE;
	prune_now_and_then(&room, test_dir, random);
	assert_int_equal(errno, ERANGE);
}

static void maker_of_a_region_leaves_room_for_its_own(void **state)
{
	struct region region;
	size_t n;

	(void)state;
	for (n = 0; n < 15; n++)
		leave((time_t)(1000 + n));
	region = make(0);
	now_and_then(1);
	assert_int_equal(regions_left(), 16);
	leave(2000);
	now_and_then(1);
	assert_int_equal(regions_left(), 16); /* its own is one of them */
	assert_true(is_there(region.path));
	munmap(region.base, region.at.size);
	assert_int_equal(regions_left(), 16);
	remove_regions();
}

static void among_many_files_only_few_makers_prune(void **state)
{
	struct region living[200];
	size_t n, passes = 0;

	(void)state;
	for (n = 0; n < COUNT(living); n++)
		living[n] = make(0);
	for (n = 0; n < 600; n++) {
		size_t before = regions_left();

		while (before < COUNT(living) + 20) {
			leave((time_t)(1000 + n));
			before++;
		}
		now_and_then(n);
		passes += regions_left() < before;
	}
	assert_int_equal(passes, 600 / (220 / 32));
	for (n = 0; n < COUNT(living); n++) {
		assert_true(is_there(living[n].path));
		munmap(living[n].base, living[n].at.size);
	}
	remove_regions();
}

static void missing_directory_is_nobodys_trouble(void **state)
{
	struct prune_room room = { .dir_fd = -1, .file_fd = -1 };
	struct prune_job job = { .dir = "/nonexistent", .uid = 0 };

	(void)state;
	errno = ERANGE;
	prune_now_and_then(&room, "/nonexistent", 0);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(prune(&room, &job), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(newest_of_the_dead_stay_and_the_others_go),
		TEST(regions_of_the_living_stay_however_old_they_are),
		TEST(any_process_entry_that_lives_keeps_a_region),
		TEST(who_holds_all_entries_keeps_every_other_out),
		TEST(dead_region_of_any_version_goes),
		TEST(what_is_no_region_of_this_user_is_never_touched),
		TEST(region_its_owner_may_only_read_goes_too),
		TEST(what_cannot_be_removed_is_told),
		TEST(regions_of_a_run_stay_as_long_as_its_runner_lives),
		TEST(region_of_a_run_that_began_during_the_pass_stays),
		TEST(with_very_many_runs_all_of_them_are_left_alone),
		TEST(unpublished_file_of_the_dead_goes_and_of_the_living_stays),
		TEST(maker_without_unnamed_files_is_not_disturbed_by_pruners),
		TEST(pruners_at_the_same_time_keep_the_newest_all_the_same),
		TEST(maker_of_a_region_leaves_room_for_its_own),
		TEST(among_many_files_only_few_makers_prune),
		TEST(missing_directory_is_nobodys_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
