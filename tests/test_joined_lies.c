/* SPDX-License-Identifier: Apache-2.0 */
/* Regions whose words say that there is what is not, on a file system that has no room left for it:
 * who joins runs on, in a region of its own or in none. */
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "tests/joined_rows.h"

/* The words that may lie; those of the dead owner of entry 0, and of his lane, among them. */
static const struct lie {
	const char *what;
	enum { STATE, PROCESS, LANE } where;
	size_t offset; /* there */
	uint64_t word;
} lies[] = {
	{ "nothing", STATE, offsetof(struct tally_region_state, spare), 0 },
	{ "64 lanes", STATE, offsetof(struct tally_region_state, lanes_used), 64 },
	{ "many lanes", STATE, offsetof(struct tally_region_state, lanes_used), UINT64_MAX },
	{ "pools", STATE, offsetof(struct tally_region_state, pools_ready), 1 },
	{ "devices", STATE, offsetof(struct tally_region_state, devices_ready), 1 },
	{ "tags", STATE, offsetof(struct tally_region_state, tags_ready), 1 },
	{ "a shared ring", STATE, offsetof(struct tally_region_state, shared_ready), 1 },
	{ "shared cells", PROCESS, offsetof(struct tally_process_header, cell_pages), UINT64_MAX },
	{ "cells", LANE, offsetof(struct tally_lane_header, cell_count), UINT64_MAX },
	{ "a ring", LANE, offsetof(struct tally_lane_header, ring_ready), 1 },
};

static const struct lie *lie;

/* A small file system in place of test_dir, in a namespace of our own. */
static void mount_small(void)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", test_dir, "tmpfs", 0, "size=2m") != 0)
		_exit(CANNOT);
}

static void fill_up(void)
{
	int fd = open(text("%s/filler", test_dir), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	off_t size = 0;

	CHILD_CHECK(fd >= 0);
	while (posix_fallocate(fd, size, TALLY_PAGE) == 0)
		size += TALLY_PAGE;
	CHILD_CHECK(size > 0);
	close(fd);
}

/* The region's first owner, who has lane 0, tells the lie and dies. */
static void make_lying(void)
{
	struct region_config config = {
		.dir = test_dir, .name = joined_file("lies"), .ring_log2 = 11, .lanes_log2 = 6
	};
	struct tally_lane_header *lane;
	struct region region;
	unsigned char *in;

	CHILD_CHECK(region_create(&config, &region) == 0);
	CHILD_CHECK(region_publish(&region) == 0);
	lane = region_lane(region.base, &region.at, 0);
	CHILD_CHECK(region_reserve(&region, region.at.lane_at, TALLY_PAGE) == 0);
	lane->opened = 1;
	lane->publish_pos = lie->where == LANE ? 1000 : 0;
	lane->owner = (uint64_t)TALLY_LANE_OWNED << 56 | 1;
	region_state(region.base)->lanes_used = 1;
	in = lie->where == STATE     ? (unsigned char *)region_state(region.base)
	     : lie->where == PROCESS ? (unsigned char *)region_process(region.base, &region.at, 0)
				     : (unsigned char *)lane;
	memcpy(in + lie->offset, &lie->word, sizeof(lie->word));
}

/* Joins, or does without, and uses all that there may be. */
static void join_it(void)
{
	putenv("TALLY_REGION=/lies");
	execute(LIST(prog("turns"), "use-all", lie->word ? "lied-to" : NULL));
}

static int status_of(void (*act)(void))
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		act();
		_exit(act == make_lying ? 0 : 99);
	}
	return wait_status(pid);
}

static void believe(void)
{
	int status;

	mount_small();
	CHILD_CHECK(status_of(make_lying) == 0);
	fill_up();
	status = status_of(join_it);
	if (status != 0)
		fprintf(stderr, "a lie about %s: status %d\n", lie->what, status);
	CHILD_CHECK(status == 0);
}

static void what_a_joined_file_claims_costs_the_right_to_join_it_and_no_signal(void **state)
{
	(void)state;
	for (lie = lies; lie < lies + COUNT(lies); lie++)
		in_child(believe, "no file system may be mounted here");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_joined_file_claims_costs_the_right_to_join_it_and_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
