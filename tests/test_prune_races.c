/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning beside others: who prunes, makes or joins a region at the same time; and how often.
 * sanitizers: address */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "ring/join.h"
#include "tests/prune.h"
#include "tests/seccomp.h"

static void join_again_and_again(void)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 6 };
	char name[REGION_NAME_MAX];
	struct region region;
	int n;

	CHILD_CHECK(join_name(name, "work"));
	config.name = name;
	for (n = 0; n < 1000; n++) {
		CHILD_CHECK(join_region(&config, &region) == 0);
		CHILD_CHECK(access(region.path, F_OK) == 0); /* as long as somebody lives in it */
		munmap(region.base, region.at.size);
	}
}

static void prune_again_and_again(void)
{
	for (;;)
		prune_to(0, false);
}

/* Starts two that prune without a pause, and ends them after `act` in a child. */
static void among_pruners(void (*act)(void), const char *cannot)
{
	pid_t pruner[2];
	size_t n;

	for (n = 0; n < COUNT(pruner); n++) {
		fflush(NULL);
		pruner[n] = fork();
		if (pruner[n] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prune_again_and_again();
		}
	}
	in_child(act, cannot);
	for (n = 0; n < COUNT(pruner); n++) {
		kill(pruner[n], SIGKILL);
		assert_int_equal(wait_status(pruner[n]), -SIGKILL);
	}
}

static void who_joins_is_not_disturbed_by_pruners(void **state)
{
	(void)state;
	among_pruners(join_again_and_again, "");
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
	(void)state;
	among_pruners(make_many_with_hidden_names, "no seccomp filter may be set here");
	assert_int_equal(regions_left(), 0);
}

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
		TEST(who_joins_is_not_disturbed_by_pruners),
		TEST(maker_without_unnamed_files_is_not_disturbed_by_pruners),
		TEST(pruners_at_the_same_time_keep_the_newest_all_the_same),
		TEST(maker_of_a_region_leaves_room_for_its_own),
		TEST(among_many_files_only_few_makers_prune),
		TEST(missing_directory_is_nobodys_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
