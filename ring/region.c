/* SPDX-License-Identifier: Apache-2.0 */
/* Making a region: an unnamed file, locked, mapped, filled, and only then linked to its name. */
#include "ring/region.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/clock.h"
#include "ring/owner.h"
#include "tally/atomic.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define CREATE_TRIES 32 /* a pruner may take a new file for a dead one */

/* Not /proc/self: that is the main thread, which may have ended before the others. */
#define OPEN_FILES "/proc/thread-self/fd"

uint64_t region_signature(void)
{
	static uint64_t known;
	/* relaxed, both: a number that stands by itself, and is the same for all */
	uint64_t signature = tally_load_relaxed(&known);

	if (!signature) {
		signature = tally_abi_signature();
		tally_store_relaxed(&known, signature);
	}
	return signature;
}

void region_name(char name[REGION_NAME_MAX], uint32_t uid, uint32_t pid, uint64_t region_id)
{
	snprintf(name, REGION_NAME_MAX, "tally-%" PRIu32 "-%" PRIu32 "-%016" PRIx64, uid, pid,
		 region_id);
}

bool region_name_parse(const char *name, uint32_t *ret_uid, uint32_t *ret_pid)
{
	uint32_t uid, pid;
	uint64_t region_id;
	char again[REGION_NAME_MAX];

	if (sscanf(name, "tally-%" SCNu32 "-%" SCNu32 "-%" SCNx64, &uid, &pid, &region_id) != 3)
		return false;
	region_name(again, uid, pid, region_id);
	if (strcmp(again, name) != 0)
		return false;
	*ret_uid = uid;
	*ret_pid = pid;
	return true;
}

bool region_name_loose(const char *name)
{
	return strncmp(name, "tally-", 6) == 0;
}

bool region_advice_heeded(void *page)
{
	static const int no_advice = -1; /* the kernel knows none of this number */

	return madvise(page, TALLY_PAGE, no_advice) != 0;
}

/* ---- Reserving ------------------------------------------------------------------------------- */

/* Kernels before 5.14, and emulators: through the file, by name once the descriptor is closed. */
static int reserve_by_file(const struct region *region, size_t offset, size_t size)
{
	struct rlimit limit;
	int fd = region->fd;
	int error, cancel_state;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < offset + size)
		return -EFBIG;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state); /* a push is no such point */
	if (fd < 0)
		fd = open(region->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	error = fd < 0 ? errno : posix_fallocate(fd, (off_t)offset, (off_t)size);
	if (fd >= 0 && fd != region->fd)
		close(fd);
	pthread_setcancelstate(cancel_state, &cancel_state);
	return -error;
}

static int reserve(const struct region *region, size_t first, size_t bytes)
{
	if (!region->base)
		return -EINVAL; /* wiped: this is a fork child, inside what its parent was doing */
	if (!region->by_file && madvise(region->base + first, bytes, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (region->by_file || errno == EINVAL)
		return reserve_by_file(region, first, bytes);
	return errno == EFAULT ? -ENOSPC : -errno; /* EFAULT: a touch would have been a SIGBUS */
}

int region_reserve(struct region *region, size_t offset, size_t size)
{
	size_t first = offset / TALLY_PAGE * TALLY_PAGE;
	size_t bytes = (offset + size - first + TALLY_PAGE - 1) / TALLY_PAGE * TALLY_PAGE;
	/* relaxed, all: a hint, and nobody minds a try more or less */
	uint64_t *refusals = bytes == TALLY_PAGE ? &region->refusals : &region->large_refusals;
	uint64_t left = tally_load_relaxed(refusals);
	int error;

	if (left > 0) {
		tally_store_relaxed(refusals, left - 1);
		return -ENOSPC;
	}
	error = reserve(region, first, bytes);
	if (error) /* relaxed: as above */
		tally_store_relaxed(refusals, REGION_REFUSALS);
	return error;
}

int region_reserve_cursors(struct region *region)
{
	if (!region->at.cursor_size)
		return 0;
	return reserve(region, region->at.cursor_at, region->at.cursor_size);
}

int region_reserve_all(struct region *region, size_t offset, size_t size)
{
	int error = reserve(region, offset, size);

	if (error && region->base)
		madvise(region->base + offset, size, MADV_REMOVE);
	return error;
}

void *region_map(int fd, size_t size, int protection, void *place)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	void *base = mmap(place, size, PROT_NONE, flags | (place ? MAP_FIXED : 0), fd, 0);

	if (base == MAP_FAILED)
		return base;
	munlock(base, size);
	if (mprotect(base, size, protection) != 0) {
		int error = errno;

		/* addresses that were given are not left without memory */
		if (!place ||
		    mmap(place, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != place)
			munmap(base, size);
		errno = error;
		return MAP_FAILED;
	}
	return base;
}

/* ---- Making ---------------------------------------------------------------------------------- */

void region_close_file(struct region *region)
{
	if (region->fd >= 0)
		close(region->fd);
	region->fd = -1;
	if (region->open_fd)
		*region->open_fd = -1;
	region->open_fd = NULL;
}

/* The name of a file that could not be made without one, until it is published. */
static void hidden_path(const struct region *region, char path[REGION_PATH_MAX + 1])
{
	char name[REGION_NAME_MAX];

	region_name(name, (uint32_t)geteuid(), (uint32_t)getpid(), region->id);
	snprintf(path, REGION_PATH_MAX + 1, "%.*s.%s",
		 (int)(strlen(region->path) - strlen(region->name)), region->path, name);
}

/* Opens an unnamed file, or one with a hidden name where the file system has none of those. */
static int open_new(struct region *region, const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[REGION_PATH_MAX + 1];

	if (fd >= 0 && access(OPEN_FILES, X_OK) != 0) {
		close(fd); /* it could not be linked later */
		fd = -1;
		errno = EOPNOTSUPP;
	}
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		hidden_path(region, path);
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
		region->hidden_name = fd >= 0;
	}
	if (fd < 0)
		return -errno;
	if (region->open_fd)
		*region->open_fd = fd; /* at once: no lock is held yet */
	return fd;
}

/* Fewer lanes, then no records, until the file fits under RLIMIT_FSIZE: growing it beyond would
 * send SIGXFSZ. */
static int fit_file_size(struct tally_region_header *header, struct geometry *ret_at)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) != 0)
		limit.rlim_cur = RLIM_INFINITY;
	for (;;) {
		if (!geometry_compute(header, ret_at))
			return -EINVAL;
		if (ret_at->size <= limit.rlim_cur)
			return 0;
		header->flags |= TALLY_REGION_SMALL_FILES;
		if (header->lanes_log2 > 0)
			header->lanes_log2--;
		else if (header->shared_ring_log2 > 0)
			header->shared_ring_log2 = 0;
		else if (header->ring_log2 > 0)
			header->ring_log2 = 0;
		else
			return -EFBIG;
	}
}

/* A file with a name may have been pruned before it was locked. */
static bool was_taken_away(const struct region *region)
{
	struct stat status;

	return region->hidden_name && fstat(region->fd, &status) == 0 && status.st_nlink == 0;
}

static int map_and_lock(struct region *region, const struct region_config *config)
{
	int error;

	error = alive_lock(region->fd, 0); /* first, as it may have a name */
	if (!error && was_taken_away(region))
		error = -EAGAIN;
	if (error)
		return error;
	if (fchmod(region->fd, 0600) != 0) /* whatever the umask says */
		return -errno;
	if (ftruncate(region->fd, (off_t)region->at.size) != 0)
		return -errno;
	region->in_place = config->place && config->place_size == region->at.size;
	region->base = region_map(region->fd, region->at.size, PROT_READ | PROT_WRITE,
				  region->in_place ? config->place : NULL);
	if (region->base == MAP_FAILED) {
		region->base = NULL;
		return -errno;
	}
	if (madvise(region->base, region->at.size, MADV_DONTFORK) != 0)
		return -errno;
	madvise(region->base, region->at.size, MADV_DONTDUMP);
	region->by_file = !region_advice_heeded(region->base);
	error = region_reserve(region, 0, region->at.process_at + TALLY_PAGE);
	return error ? error : region_reserve_cursors(region);
}

static void fill(struct region *region, struct tally_region_header *header)
{
	struct clock_reading now;

	header->magic = TALLY_MAGIC;
	header->abi_version = TALLY_ABI_VERSION;
	header->byte_order = TALLY_BYTE_ORDER;
	header->size_bytes = region->at.size;
	header->creator_pid = (uint32_t)getpid();
	header->creator_uid = (uint32_t)geteuid();
	header->region_id = region->id;
	snprintf(header->creator_comm, sizeof(header->creator_comm), "%s",
		 program_invocation_short_name ? program_invocation_short_name : "");
	header->signature = region_signature();
	header->clock = clock_choose();
	now = clock_read_all((enum tally_clock)header->clock);
	header->start_ticks = now.ticks;
	header->start_monotonic_ns = now.monotonic_ns;
	header->start_realtime_ns = now.realtime_ns;
	memcpy(region->base, header, sizeof(*header));
}

void region_discard(struct region *region)
{
	char path[REGION_PATH_MAX + 1];

	if (region->base && region->in_place)
		region_blank(region->base, region->at.size);
	else if (region->base)
		munmap(region->base, region->at.size);
	if (region->hidden_name) {
		hidden_path(region, path);
		unlink(path);
	}
	region_close_file(region);
	region->base = NULL;
}

static int create_once(const struct region_config *config, struct region *ret_region)
{
	uint32_t processes_log2 = config->processes_log2 ? config->processes_log2
							 : GEOMETRY_PROCESSES_LOG2;
	uint32_t shared_ring_log2 = config->shared_ring_log2 ? config->shared_ring_log2
							     : config->ring_log2;
	struct region region = {
		.fd = -1,
		.open_fd = config->open_fd,
	};
	struct tally_region_header header = {
		.ring_log2 = (uint8_t)config->ring_log2,
		.lanes_log2 = (uint8_t)config->lanes_log2,
		.lane_cells_log2 = GEOMETRY_CELLS_LOG2,
		.shared_cells_log2 = GEOMETRY_CELLS_LOG2,
		.devices_log2 = GEOMETRY_DEVICES_LOG2,
		.tags_log2 = GEOMETRY_TAGS_LOG2,
		.processes_log2 = config->name ? (uint8_t)processes_log2 : 0,
		.shared_ring_log2 = (uint8_t)shared_ring_log2,
		.flags = config->flags | (config->name ? TALLY_REGION_JOINED : 0),
		.run_id = config->run_id,
	};
	int error = owner_generation(&region.id);

	if (error)
		return error;
	if (sysconf(_SC_PAGESIZE) != TALLY_PAGE)
		return -EOPNOTSUPP;
	region_name(region.name, (uint32_t)geteuid(), (uint32_t)getpid(), region.id);
	if (config->name)
		snprintf(region.name, sizeof(region.name), "%s", config->name);
	if (snprintf(region.path, sizeof(region.path), "%s/%s", config->dir, region.name) >=
	    (int)sizeof(region.path) - 1)
		return -ENAMETOOLONG;
	error = fit_file_size(&header, &region.at);
	if (error)
		return error;
	region.fd = open_new(&region, config->dir);
	if (region.fd < 0)
		return region.fd;
	error = map_and_lock(&region, config);
	if (error) {
		region_discard(&region);
		return error;
	}
	fill(&region, &header);
	owner_begin(&region, config, region.id);
	region.joined = config->name != NULL;
	*ret_region = region;
	return 0;
}

int region_create(const struct region_config *config, struct region *ret_region)
{
	int tries, error = -EAGAIN;

	for (tries = 0; tries < CREATE_TRIES && error == -EAGAIN; tries++)
		error = create_once(config, ret_region);
	return error;
}

int region_publish(struct region *region)
{
	char from[REGION_PATH_MAX + 1];
	int result;

	if (region->hidden_name) {
		hidden_path(region, from);
		result = link(from, region->path);
		if (result == 0)
			unlink(from);
	} else {
		snprintf(from, sizeof(from), OPEN_FILES "/%d", region->fd);
		result = linkat(AT_FDCWD, from, AT_FDCWD, region->path, AT_SYMLINK_FOLLOW);
	}
	if (result != 0)
		return -errno;
	region_close_file(region); /* the mapping keeps the open file, and so the lock */
	region->hidden_name = false;
	return 0;
}

void region_unlink(const struct region *region)
{
	unlink(region->path);
}

void region_blank(void *base, size_t size)
{
	region_map(-1, size, PROT_READ | PROT_WRITE, base);
}
