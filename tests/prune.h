/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of pruning share: regions of the dead, a pass, and what it has told. */
#ifndef TESTS_PRUNE_H
#define TESTS_PRUNE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ring/prune.h"
#include "tests/child.h"
#include "tests/support.h"

/* ---- Regions --------------------------------------------------------------------------------- */

static inline struct region make(uint64_t run_id)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 6, .run_id = run_id };
	struct region region;

	assert_int_equal(region_create(&config, &region), 0);
	assert_int_equal(region_publish(&region), 0);
	return region;
}

static inline void set_time(const char *path, time_t seconds)
{
	struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* A region of the dead, modified at that time: its last mapping is gone. The path. */
static inline char *leave_of_run(time_t seconds, uint64_t run_id)
{
	struct region region = make(run_id);

	munmap(region.base, region.at.size);
	set_time(region.path, seconds);
	return text("%s", region.path);
}

static inline char *leave(time_t seconds)
{
	return leave_of_run(seconds, 0);
}

static inline bool is_there(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static inline void edit(const char *path, size_t offset, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

static inline void edit_header(const char *path, size_t offset, uint32_t value)
{
	edit(path, offset, &value, sizeof(value));
}

/* ---- Pruning --------------------------------------------------------------------------------- */

static int told[PRUNE_FAILED + 1]; /* how often each verdict was */

static inline void count_verdict(void *arg, const struct prune_found *found,
				 enum prune_verdict verdict, int error)
{
	(void)arg;
	told[verdict]++;
	assert_int_equal(strchr(found->name, '/'), NULL);
	assert_int_equal(error != 0, verdict == PRUNE_FAILED);
}

static inline void prune_to(size_t keep, bool dry_run)
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

#endif
