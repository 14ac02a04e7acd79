/* SPDX-License-Identifier: Apache-2.0 */
/* Liveness locks: taking one, asking for one. */
#include "ring/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <tally/abi.h>
#include <unistd.h>

static struct flock bytes_of(unsigned int entry, unsigned int count)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = TALLY_LOCK_BYTE + (off_t)entry,
		.l_len = count,
	};

	return lock;
}

static int set_lock(int fd, struct flock *lock)
{
	if (fcntl(fd, F_OFD_SETLK, lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int lock_entries(int fd, unsigned int entry, unsigned int count)
{
	struct flock lock = bytes_of(entry, count);

	return set_lock(fd, &lock);
}

int alive_lock(int fd, unsigned int entry)
{
	return lock_entries(fd, entry, 1);
}

void alive_unlock(int fd, unsigned int entry)
{
	struct flock lock = bytes_of(entry, 1);

	lock.l_type = F_UNLCK;
	set_lock(fd, &lock);
}

int alive_join_gate(int fd)
{
	struct flock lock = bytes_of(ALIVE_ENTRIES, 1);

	lock.l_type = F_RDLCK;
	return set_lock(fd, &lock);
}

int alive_gate_is_shut(int fd)
{
	struct flock lock = bytes_of(ALIVE_ENTRIES, 1);

	lock.l_type = F_RDLCK;
	if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

int alive_remove_gate(int fd)
{
	return lock_entries(fd, ALIVE_ENTRIES, 1);
}

void alive_leave_gate(int fd)
{
	alive_unlock(fd, ALIVE_ENTRIES);
}

int alive_lock_all(int fd)
{
	return lock_entries(fd, 0, ALIVE_ENTRIES + 1);
}

int alive_test(int fd, unsigned int entry)
{
	return alive_test_some(fd, entry, 1);
}

int alive_test_some(int fd, unsigned int first, unsigned int count)
{
	struct flock lock = bytes_of(first, count);

	if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}
