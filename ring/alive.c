/* SPDX-License-Identifier: Apache-2.0 */
/* Liveness locks: taking one, asking for one. */
#include "ring/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <tally/abi.h>
#include <unistd.h>

static struct flock byte_of(unsigned int entry)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = TALLY_LOCK_BYTE + (off_t)entry,
		.l_len = 1,
	};

	return lock;
}

int alive_lock(int fd, unsigned int entry)
{
	struct flock lock = byte_of(entry);

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int alive_test(int fd, unsigned int entry)
{
	struct flock lock = byte_of(entry);

	if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}
