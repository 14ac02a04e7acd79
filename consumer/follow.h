/* SPDX-License-Identifier: Apache-2.0 */
/* Whether files came to a directory or went, told by inotify; without it nobody tells, and whoever
 * wants to know has to look.
 */
#ifndef CONSUMER_FOLLOW_H
#define CONSUMER_FOLLOW_H

#include <stdbool.h>

struct follow {
	int fd;	      /* of inotify, for poll(2) too; -1: there is none */
	bool changed; /* something is not as it was when this was last set to false */
	bool urgent;  /* likewise, under a name that concerns us */
};

/* True of names that somebody waits for. */
typedef bool (*follow_concerns)(const void *concerns_arg, const char *name);

void follow_open(struct follow *follow);

/* Begins, if inotify can be had: there may be no descriptor, or too many watches of this user. What
 * happened before is not told, so all counts as changed. Does nothing when it has begun. */
void follow_begin(struct follow *follow, int dir_fd);
void follow_end(struct follow *follow);

/* Notes what has happened since the last time. Does not wait. */
void follow_read(struct follow *follow, follow_concerns concerns, const void *concerns_arg);

#endif
