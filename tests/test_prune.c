/* SPDX-License-Identifier: Apache-2.0 */
/* Of the regions of the dead the newest stay, the others go; whatever is alive, or is not this
 * user's region, is never touched.
 * sanitizers: address */
#include <sys/stat.h>
#include <time.h>

#include "consumer/lend.h"
#include "ring/alive.h"
#include "ring/join.h"
#include "tests/prune.h"

#define RUN_ID 0x77

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

static void region_that_was_joined_lives_with_any_of_its_processes(void **state)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 6 };
	struct region first, second, third;
	char name[REGION_NAME_MAX];

	(void)state;
	assert_true(join_name(name, "/work"));
	config.name = name;
	assert_int_equal(join_region(&config, &first), 0);
	assert_int_equal(join_region(&config, &second), 0);
	munmap(first.base, first.at.size); /* its maker */
	prune_to(0, false);
	assert_int_equal(told[PRUNE_LIVES], 1);
	assert_int_equal(join_region(&config, &third), 0);
	assert_int_equal(third.id, second.id);
	munmap(second.base, second.at.size);
	prune_to(0, false);
	assert_int_equal(told[PRUNE_LIVES], 1);
	munmap(third.base, third.at.size);
	prune_to(1, false);
	assert_int_equal(told[PRUNE_KEPT], 1);
	prune_to(0, false);
	assert_int_equal(told[PRUNE_REMOVED], 1);
	assert_int_equal(regions_left(), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(newest_of_the_dead_stay_and_the_others_go),
		TEST(regions_of_the_living_stay_however_old_they_are),
		TEST(any_process_entry_that_lives_keeps_a_region),
		TEST(region_that_was_joined_lives_with_any_of_its_processes),
		TEST(who_holds_all_entries_keeps_every_other_out),
		TEST(dead_region_of_any_version_goes),
		TEST(what_is_no_region_of_this_user_is_never_touched),
		TEST(region_its_owner_may_only_read_goes_too),
		TEST(what_cannot_be_removed_is_told),
		TEST(regions_of_a_run_stay_as_long_as_its_runner_lives),
		TEST(region_of_a_run_that_began_during_the_pass_stays),
		TEST(with_very_many_runs_all_of_them_are_left_alone),
		TEST(unpublished_file_of_the_dead_goes_and_of_the_living_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
