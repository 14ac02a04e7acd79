/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a descriptor out of the way. */
#include "consumer/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ASIDE 512 /* below the limit of 1,024 that is usual */

int descriptor_aside(int fd)
{
	int saved = errno, moved;

	if (fd < 0 || fd >= ASIDE)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, ASIDE);
	if (moved >= 0)
		close(fd);
	errno = saved;
	return moved >= 0 ? moved : fd;
}
