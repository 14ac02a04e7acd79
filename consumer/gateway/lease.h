/* SPDX-License-Identifier: Apache-2.0 */
/* Who else has a file open, as the kernel knows, of this or another PID namespace: leases, held for
 * a few instructions.
 *
 * A read lease is given only on a file that nobody has open, or mapped, for writing; a write lease
 * only to whoever alone has it open. Who opens the file in the moment that there is one waits for
 * as long, or is told EWOULDBLOCK if it does not wait; the signal that asks for the lease back is
 * one that is ignored by default.
 *
 * A process that is stopped in that moment would keep the other waiting for 45 s
 * (/proc/sys/fs/lease-break-time), so this thread is not stopped from a terminal meanwhile. Another
 * thread of the process may still be, and all with it; and SIGSTOP stops anybody.
 */
#ifndef GATEWAY_LEASE_H
#define GATEWAY_LEASE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

/* 1: it is held, until lease_end(); 0: somebody else has the file open; -1: nobody can tell. */
static inline int lease_begin(int fd, int lease, sigset_t *ret_before)
{
	sigset_t stops;
	int error;

	if (fcntl(fd, F_SETSIG, SIGURG) != 0)
		return -1;
	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &stops, ret_before);
	if (fcntl(fd, F_SETLEASE, lease) == 0)
		return 1;
	error = errno;
	pthread_sigmask(SIG_SETMASK, ret_before, NULL);
	return error == EAGAIN ? 0 : -1;
}

static inline void lease_end(int fd, const sigset_t *before)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* 1: nobody else has it open, as the lease asks; 0, -1: as above. */
static inline int lease_ask(int fd, int lease)
{
	sigset_t before;
	int answer = lease_begin(fd, lease, &before);

	if (answer == 1)
		lease_end(fd, &before);
	return answer;
}

/* Opens what may be no regular file, and waits for none: as openat(). Where somebody has a lease on
 * it, as Tally's readers do for a moment, again a moment later. */
static inline int lease_open(int dir_fd, const char *name, int flags)
{
	const struct timespec moment = { .tv_nsec = 200000 };
	int tries = 4, fd;

	for (;;) {
		fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 || errno != EWOULDBLOCK || --tries == 0)
			return fd;
		nanosleep(&moment, NULL);
	}
}

#endif
