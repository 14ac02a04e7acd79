/* SPDX-License-Identifier: Apache-2.0 */
/* Opening somebody else's region: every reason not to believe a file is checked and said here. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/entries.h"
#include "ring/region.h"

static int check_file(int fd, struct stat *status, char why[REGION_WHY_MAX])
{
	if (fstat(fd, status) != 0)
		return -errno;
	if (!S_ISREG(status->st_mode)) {
		snprintf(why, REGION_WHY_MAX, "not a regular file; remove it if nobody needs it");
		return -EBADMSG;
	}
	if (status->st_uid != geteuid() && geteuid() != 0) {
		snprintf(why, REGION_WHY_MAX, "owned by user %u; ask them, or be root",
			 (unsigned int)status->st_uid);
		return -EACCES;
	}
	return 0;
}

/* The prefix, which has the same meaning in every version. */
static int check_prefix(const struct tally_region_header *header, char why[REGION_WHY_MAX])
{
	char comm[24];

	entries_printable(comm, sizeof(comm), header->creator_comm, sizeof(comm));
	if (header->magic == __builtin_bswap64(TALLY_MAGIC)) {
		snprintf(why, REGION_WHY_MAX,
			 "region version %" PRIu32 " in the other byte order, this tally reads "
			 "version %u: process %" PRIu32 " (%s) ran on another kind of machine",
			 __builtin_bswap32(header->abi_version), TALLY_ABI_VERSION,
			 __builtin_bswap32(header->creator_pid), comm);
		return -EPROTO;
	}
	if (header->magic != TALLY_MAGIC) {
		snprintf(why, REGION_WHY_MAX,
			 "not a tally region, or a broken one; remove it if nobody needs it");
		return -EBADMSG;
	}
	if (header->byte_order != TALLY_BYTE_ORDER) {
		snprintf(why, REGION_WHY_MAX,
			 "region version %" PRIu32 " with byte order %08" PRIx32
			 ", this tally reads version %u with %08x: process %" PRIu32
			 " (%s) ran on another kind of machine",
			 header->abi_version, header->byte_order, TALLY_ABI_VERSION,
			 TALLY_BYTE_ORDER, header->creator_pid, comm);
		return -EPROTO;
	}
	if (header->abi_version != TALLY_ABI_VERSION) {
		snprintf(why, REGION_WHY_MAX,
			 "region version %" PRIu32 ", this tally reads version %u: process %" PRIu32
			 " (%s) was started with another release; restart it or use that release",
			 header->abi_version, TALLY_ABI_VERSION, header->creator_pid, comm);
		return -EPROTO;
	}
	return 0;
}

static int check_layout(const struct tally_region_header *header, const struct stat *status,
			struct geometry *ret_at, char why[REGION_WHY_MAX])
{
	char comm[24];

	entries_printable(comm, sizeof(comm), header->creator_comm, sizeof(comm));
	if (header->signature != region_signature()) {
		snprintf(why, REGION_WHY_MAX,
			 "region version %" PRIu32 " with layout %016" PRIx64
			 ", this tally reads version %u with layout %016" PRIx64
			 ": process %" PRIu32
			 " (%s) has another build of libtally; restart it with this one",
			 header->abi_version, header->signature, TALLY_ABI_VERSION,
			 region_signature(), header->creator_pid, comm);
		return -EPROTO;
	}
	if (!geometry_compute(header, ret_at) || ret_at->size != header->size_bytes) {
		snprintf(why, REGION_WHY_MAX,
			 "region version %" PRIu32 " of process %" PRIu32
			 " (%s), read by version %u: its sizes contradict each other; it is broken",
			 header->abi_version, header->creator_pid, comm, TALLY_ABI_VERSION);
		return -EPROTO;
	}
	if ((uint64_t)status->st_size != header->size_bytes) {
		snprintf(why, REGION_WHY_MAX,
			 "file of %lld bytes, process %" PRIu32 " (%s) made it with %" PRIu64
			 "; it was cut, and is broken",
			 (long long)status->st_size, header->creator_pid, comm, header->size_bytes);
		return -EBADMSG;
	}
	if (header->clock < TALLY_CLOCK_TSC || header->clock > TALLY_CLOCK_CNTVCT) {
		snprintf(why, REGION_WHY_MAX, "clock %" PRIu32 " is unknown; it is broken",
			 header->clock);
		return -EBADMSG;
	}
	return 0;
}

static int load(int fd, int protection, struct region_view *view, char why[REGION_WHY_MAX])
{
	struct stat status;
	ssize_t got;
	int error = check_file(fd, &status, why);

	if (error)
		return error;
	got = pread(fd, &view->header, sizeof(view->header), 0);
	if (got < 64) {
		snprintf(why, REGION_WHY_MAX, "%s; remove it if nobody needs it",
			 got == 0 ? "empty" : "too short to be a tally region");
		return got < 0 ? -errno : -EBADMSG;
	}
	error = check_prefix(&view->header, why);
	if (error)
		return error;
	if (got < (ssize_t)sizeof(view->header)) {
		snprintf(why, REGION_WHY_MAX, "cut within its header; it is broken");
		return -EBADMSG;
	}
	error = check_layout(&view->header, &status, &view->at, why);
	if (error)
		return error;
	view->base = region_map(fd, view->at.size, protection, NULL);
	if (view->base == MAP_FAILED)
		return -errno;
	view->dev = status.st_dev;
	view->ino = status.st_ino;
	view->uid = status.st_uid;
	return 0;
}

int region_open(int dir_fd, const char *name, struct region_view *ret_view,
		char why[REGION_WHY_MAX])
{
	struct region_view view = { .fd = -1 };
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int error;

	why[0] = '\0';
	if (fd < 0) {
		error = -errno;
		if (error == -ELOOP) {
			snprintf(why, REGION_WHY_MAX,
				 "a symbolic link; remove it if nobody needs it");
			error = -EBADMSG;
		}
	} else {
		error = load(fd, PROT_READ, &view, why);
	}
	if (error) {
		if (!why[0])
			snprintf(why, REGION_WHY_MAX, "%s", strerror(-error));
		if (fd >= 0)
			close(fd);
		ret_view->header = view.header;
		return error;
	}
	view.fd = fd;
	*ret_view = view;
	return 0;
}

void region_close(struct region_view *view)
{
	munmap(view->base, view->at.size);
	if (view->fd >= 0)
		close(view->fd);
	view->fd = -1;
}

int region_alive(const struct region_view *view, uint32_t entry)
{
	return alive_test(view->fd, entry);
}

int region_open_shared(const char *dir, const char *name, uint32_t flags, int *open_fd,
		       struct region *ret_region)
{
	struct region region = { .fd = -1, .open_fd = open_fd };
	struct region_view view;
	struct stat status;
	char why[REGION_WHY_MAX];
	int error;

	snprintf(region.path, sizeof(region.path), "%s/%s", dir, name);
	snprintf(region.name, sizeof(region.name), "%s", name);
	region.fd = open(region.path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (region.fd < 0)
		return -errno;
	if (open_fd)
		*open_fd = region.fd; /* at once: no lock is held yet */
	/* Nor for root: another user could cut the file while we write into it. */
	if (fstat(region.fd, &status) != 0 || status.st_uid != geteuid() ||
	    (status.st_mode & 022)) {
		region_close_file(&region);
		return -EACCES;
	}
	error = load(region.fd, PROT_READ | PROT_WRITE, &view, why);
	region.joined = flags & TALLY_REGION_JOINED;
	if (!error &&
	    ((view.header.flags & flags) != flags || (region.joined && view.at.processes < 2) ||
	     madvise(view.base, view.at.size, MADV_DONTFORK) != 0)) {
		munmap(view.base, view.at.size);
		error = -EBADMSG;
	}
	if (error || !open_fd)
		region_close_file(&region);
	if (error)
		return error;
	region.base = view.base;
	region.by_file = !region_advice_heeded(region.base);
	region.at = view.at;
	region.id = view.header.region_id;
	error = region_reserve_cursors(&region);
	if (error) {
		munmap(view.base, view.at.size);
		region_close_file(&region);
		return error;
	}
	*ret_region = region;
	return 0;
}
