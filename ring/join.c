/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a region by its name: finding it or making it, and taking an entry. */
#include "ring/join.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tally/atomic.h>
#include <time.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/owner.h"

/* A region may go between finding and joining it, and another come between not finding and making
 * it, and who removes one shuts the gate for a moment; more often than this is not chance. */
#define JOIN_TRIES 600

/* So many tries follow each other at once; then who has shut the gate may need the processor. All
 * in all that is some 50 ms; somebody who is stopped there is not waited for any longer. */
#define QUICK_TRIES 100
#define PAUSE_NS 100000

/* How often who leaves finds the gate taken by others that come and go. */
#define LEAVE_TRIES 600

static bool is_allowed(const char *given)
{
	const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t length = strlen(given);

	return length >= 1 && length <= JOIN_NAME_MAX && strspn(given, allowed) == length;
}

bool join_name(char name[REGION_NAME_MAX], const char *given)
{
	if (*given == '/')
		given++;
	if (!is_allowed(given))
		return false;
	snprintf(name, REGION_NAME_MAX, "tally-%u-join-%s", (unsigned int)geteuid(), given);
	return true;
}

bool join_name_parse(const char *name, uint32_t *ret_uid)
{
	char again[REGION_NAME_MAX];
	unsigned int uid;
	int length = 0;

	if (sscanf(name, "tally-%u-join-%n", &uid, &length) != 1 || length == 0 ||
	    !is_allowed(name + length))
		return false;
	snprintf(again, sizeof(again), "tally-%u-join-%s", uid, name + length);
	if (strcmp(again, name) != 0)
		return false;
	*ret_uid = uid;
	return true;
}

static void pause_before(int tries)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	if (tries >= QUICK_TRIES)
		nanosleep(&pause, NULL);
	else if (tries > 0)
		sched_yield();
}

/* Takes the first entry whose owner is dead, or that has none. Dead ones come first, so they do
 * not pile up. */
static int take_entry(struct region *region)
{
	uint32_t entry;
	int error;

	for (entry = 0; entry < region->at.processes; entry++) {
		error = alive_lock(region->fd, entry);
		if (error == -EAGAIN)
			continue;
		region->entry = entry;
		return error;
	}
	return -EUSERS;
}

static bool is_named(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* Makes sure that what the region's words say is there can be touched: a file that lies costs the
 * right to join it, not a SIGBUS where memory is short. */
static int reserve_claimed(struct region *region)
{
	const struct geometry *at = &region->at;
	struct tally_region_state *state = region_state(region->base);
	struct tally_process_header *process = region_process(region->base, at, region->entry);
	/* own, both: the entry's, since its lock; the other only grows */
	uint64_t pages = tally_load_relaxed(&process->cell_pages);
	uint64_t used = tally_load_relaxed(&state->lanes_used);
	size_t entry_at = (size_t)((unsigned char *)process - region->base);
	int error = region_reserve(region, entry_at, TALLY_PAGE);
	size_t n;

	for (n = 1; n < at->process_stride / TALLY_PAGE && !error; n++)
		if (pages >> n & 1)
			error = region_reserve(region, entry_at + n * TALLY_PAGE, TALLY_PAGE);
	for (n = 0; n < used && n < at->lanes && !error; n++)
		error = region_reserve(region, at->lane_at + n * at->lane_stride, TALLY_PAGE);
	/* relaxed, all: flags that once set stay */
	if (!error && at->shared_size && tally_load_relaxed(&state->shared_ready))
		error = region_reserve(region, at->shared_at, at->shared_size);
	if (!error && tally_load_relaxed(&state->pools_ready))
		error = region_reserve(region, at->pool_at, at->device_at - at->pool_at);
	/* relaxed: as above */
	if (!error && tally_load_relaxed(&state->devices_ready))
		error = region_reserve(region, at->device_at, at->tag_at - at->device_at);
	if (!error && tally_load_relaxed(&state->tags_ready))
		error = region_reserve(region, at->tag_at, at->lane_at - at->tag_at);
	return error;
}

/* With the gate: the file has its name until it is given back. */
static int enter(struct region *region, const struct region_config *config)
{
	struct tally_process_header *process;
	uint64_t generation;
	int error;

	if (!is_named(region->fd, region->path))
		return -EAGAIN;
	error = owner_generation(&generation);
	if (!error)
		error = take_entry(region);
	if (!error)
		error = reserve_claimed(region);
	if (error)
		return error;
	process = region_process(region->base, &region->at, region->entry);
	/* relaxed: nobody else owns the entry. Without pages it never had an owner; without a
	 * generation a booking may have been cut short. */
	if (tally_load_relaxed(&process->cell_pages))
		error = owner_book(region);
	if (!error)
		owner_begin(region, config, generation);
	return error;
}

static int join(const struct region_config *config, struct region *ret_region)
{
	int own_fd = -1;
	int *open_fd = config->open_fd ? config->open_fd : &own_fd;
	struct region region;
	int error = region_open_shared(config->dir, config->name, TALLY_REGION_JOINED, open_fd,
				       &region);

	if (error)
		return error;
	error = alive_join_gate(region.fd);
	if (!error)
		error = enter(&region, config);
	alive_leave_gate(region.fd);
	region_close_file(&region); /* the mapping keeps the open file, and so the lock */
	if (error) {
		munmap(region.base, region.at.size);
		return error;
	}
	madvise(region.base, region.at.size, MADV_DONTDUMP);
	*ret_region = region;
	return 0;
}

static int make(const struct region_config *config, struct region *ret_region)
{
	struct region region;
	int error = region_create(config, &region);

	if (error)
		return error;
	error = region_publish(&region);
	if (error) {
		region_discard(&region);
		return error == -EEXIST ? -EAGAIN : error;
	}
	*ret_region = region;
	return 0;
}

/* Whether somebody removes the file just now: a look that costs less than trying to join. */
static bool is_shut(const struct region_config *config)
{
	char path[REGION_PATH_MAX];
	bool shut;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", config->dir, config->name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	shut = alive_gate_is_shut(fd) == 1;
	close(fd);
	return shut;
}

int join_region(const struct region_config *config, struct region *ret_region)
{
	int tries, error = -EAGAIN;

	for (tries = 0; tries < JOIN_TRIES && error == -EAGAIN; tries++) {
		pause_before(tries);
		if (is_shut(config))
			continue;
		error = join(config, ret_region);
		if (error == -ENOENT)
			error = make(config, ret_region);
	}
	return error == -EAGAIN ? -EBUSY : error;
}

/* With the gate, so that nobody takes an entry meanwhile: whether one of `count` processes from
 * `first` on lives and has not said that it leaves. */
static bool one_stays(const struct region *region, int fd, uint32_t first, uint32_t count)
{
	if (count == 0 || alive_test_some(fd, first, count) == 0)
		return false;
	if (count == 1) /* relaxed: it was there before the gate was taken, and so was its word */
		return tally_load_relaxed(
			       &region_process(region->base, &region->at, first)->ended_ns) == 0;
	return one_stays(region, fd, first, count / 2) ||
	       one_stays(region, fd, first + count / 2, count - count / 2);
}

static bool all_leave(const struct region *region, int fd)
{
	uint32_t own = region->entry;

	return !one_stays(region, fd, 0, own) &&
	       !one_stays(region, fd, own + 1, region->at.processes - own - 1);
}

void join_leave(const struct region *region)
{
	int fd = open(region->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int tries, error = -EAGAIN;

	if (fd < 0)
		return;
	for (tries = 0; tries < LEAVE_TRIES && error == -EAGAIN; tries++) {
		pause_before(tries);
		error = alive_remove_gate(fd);
	}
	if (!error && is_named(fd, region->path) && all_leave(region, fd))
		unlink(region->path);
	close(fd);
}
