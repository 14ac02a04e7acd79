/* SPDX-License-Identifier: Apache-2.0 */
/* Following a directory: inotify begun, its events read, given up when it fails. */
#include "consumer/follow.h"

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "consumer/descriptor.h"

/* link(2) and rename(2) give a region its name; both are told by one of these. */
#define CHANGES (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_MOVE_SELF)

/* At a time, as others may fill the queue as fast as it is read; the rest comes next time. */
#define READS_MAX 64

void follow_open(struct follow *follow)
{
	*follow = (struct follow){ .fd = -1, .changed = true };
}

void follow_end(struct follow *follow)
{
	if (follow->fd >= 0)
		close(follow->fd);
	follow->fd = -1;
	follow->changed = true;
}

void follow_begin(struct follow *follow, int dir_fd)
{
	char path[32];

	if (follow->fd >= 0)
		return;
	follow->fd = descriptor_aside(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	if (follow->fd < 0)
		return;
	/* The directory that is open, whatever its path leads to by now. */
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", dir_fd);
	if (inotify_add_watch(follow->fd, path, CHANGES | IN_ONLYDIR) < 0)
		follow_end(follow);
	follow->changed = true;
}

static void note(struct follow *follow, const struct inotify_event *event, follow_concerns concerns,
		 const void *concerns_arg)
{
	follow->changed = true;
	if ((event->mask & (IN_Q_OVERFLOW | IN_MOVE_SELF | IN_IGNORED)) ||
	    (event->len > 0 && concerns(concerns_arg, event->name)))
		follow->urgent = true;
}

void follow_read(struct follow *follow, follow_concerns concerns, const void *concerns_arg)
{
	alignas(struct inotify_event) char events[4096];
	bool over = false;
	int reads;

	for (reads = 0; follow->fd >= 0 && reads < READS_MAX; reads++) {
		ssize_t got = read(follow->fd, events, sizeof(events));
		ssize_t at = 0;

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		while (got - at >= (ssize_t)sizeof(struct inotify_event)) {
			const struct inotify_event *event = (const void *)&events[at];

			at += (ssize_t)(sizeof(*event) + event->len);
			if (at > got)
				break;
			note(follow, event, concerns, concerns_arg);
			over = over || (event->mask & IN_IGNORED);
		}
		/* The directory has gone, or the host has closed our descriptor. */
		if (got <= 0 || over || at != got)
			follow_end(follow);
	}
}
