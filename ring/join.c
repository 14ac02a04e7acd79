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
#include <unistd.h>

#include "ring/alive.h"
#include "ring/owner.h"

/* A region may go between finding and joining it, and another come between not finding and making
 * it; more often than this is not chance. */
#define JOIN_TRIES 100

/* How often is looked whether somebody who removes the file has done so. */
#define REMOVE_TRIES 10000

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

/* The file may have been removed, under a lock of all entries, before ours was taken. */
static bool has_gone(const struct region *region)
{
	struct stat status;

	return fstat(region->fd, &status) != 0 || status.st_nlink == 0;
}

static int enter(struct region *region, const struct region_config *config)
{
	struct tally_process_header *process;
	uint64_t generation;
	int error = owner_generation(&generation);

	if (!error)
		error = take_entry(region);
	if (error)
		return has_gone(region) ? -EAGAIN : error;
	if (has_gone(region))
		return -EAGAIN;
	process = region_process(region->base, &region->at, region->entry);
	error = region_reserve(region, (size_t)((unsigned char *)process - region->base),
			       TALLY_PAGE);
	if (error)
		return error;
	/* relaxed: nobody else owns the entry. Without pages it never had an owner; without a
	 * generation a booking may have been cut short. */
	if (tally_load_relaxed(&process->cell_pages))
		owner_book(region);
	owner_begin(region, config, generation);
	return 0;
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
	error = enter(&region, config);
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

/* Every entry is locked also while somebody removes the file, and then so are those that do not
 * exist. */
static bool is_being_removed(const struct region_config *config)
{
	char path[REGION_PATH_MAX];
	bool removed = true;
	int fd, tries;

	snprintf(path, sizeof(path), "%s/%s", config->dir, config->name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return true;
	for (tries = 0; tries < REMOVE_TRIES && removed; tries++) {
		removed = alive_test(fd, ALIVE_ENTRIES - 1) == 1;
		if (removed && tries > 0)
			sched_yield();
	}
	removed = tries > 1;
	close(fd);
	return removed;
}

int join_region(const struct region_config *config, struct region *ret_region)
{
	int tries, error = -EAGAIN;

	for (tries = 0; tries < JOIN_TRIES; tries++) {
		error = join(config, ret_region);
		if (error == -ENOENT)
			error = make(config, ret_region);
		if (error == -EUSERS && is_being_removed(config))
			error = -EAGAIN;
		if (error != -EAGAIN)
			return error;
		sched_yield();
	}
	return -EBUSY;
}

static bool is_named(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

void join_leave(const struct region *region)
{
	int fd = open(region->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (alive_lock_others(fd, region->entry) == 0 && is_named(fd, region->path))
		unlink(region->path);
	close(fd);
}
