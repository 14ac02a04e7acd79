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

bool join_name(char name[REGION_NAME_MAX], const char *given)
{
	const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t length;

	if (*given == '/')
		given++;
	length = strlen(given);
	if (length < 1 || length > JOIN_NAME_MAX || strspn(given, allowed) != length)
		return false;
	snprintf(name, REGION_NAME_MAX, "tally-%u-join-%s", (unsigned int)geteuid(), given);
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

static void forget(struct region *region, const struct region_config *config)
{
	munmap(region->base, region->at.size);
	close(region->fd);
	if (config->open_fd)
		*config->open_fd = -1;
}

static int join(const struct region_config *config, struct region *ret_region)
{
	struct region region;
	int error = region_open_shared(config->dir, config->name, TALLY_REGION_JOINED, false,
				       &region);

	if (error)
		return error;
	if (config->open_fd)
		*config->open_fd = region.fd;
	error = enter(&region, config);
	if (error) {
		forget(&region, config);
		return error;
	}
	madvise(region.base, region.at.size, MADV_DONTDUMP);
	close(region.fd); /* the mapping keeps the open file, and so the lock */
	if (config->open_fd)
		*config->open_fd = -1;
	region.fd = -1;
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

int join_region(const struct region_config *config, struct region *ret_region)
{
	int tries, error = -EBUSY;

	for (tries = 0; tries < JOIN_TRIES; tries++) {
		error = join(config, ret_region);
		if (error == -ENOENT)
			error = make(config, ret_region);
		/* Every entry is locked also while somebody removes the file. */
		if (error != -EAGAIN && error != -EUSERS)
			return error;
		sched_yield();
	}
	return error == -EAGAIN ? -EBUSY : error;
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
