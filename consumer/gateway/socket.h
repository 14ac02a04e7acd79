/* SPDX-License-Identifier: Apache-2.0 */
/* The socket in the file system: made safely, taken away only while it is ours.
 *
 * A path at which a server listens is never taken from it. The socket is bound and listening, with
 * its group and mode, under a name that nobody knows before it gets the path, in one step; so
 * nobody finds it half made, and no connection is refused meanwhile. A socket there on which nobody
 * listens (asked twice) is one that a dead server left: the new one changes places with it, and
 * should what comes out not be what was asked, as somebody has been quicker, they change back. Of
 * several gateways one at a time does all this, by a lock on the directory.
 */
#ifndef GATEWAY_SOCKET_H
#define GATEWAY_SOCKET_H

#include <sys/types.h>

#define SOCKET_PATH_MAX 108 /* sun_path */
#define SOCKET_WHY_MAX 256

struct socket_place {
	int fd; /* listening, non-blocking */
	char path[SOCKET_PATH_MAX];
	dev_t dev;
	ino_t ino;
};

/* group: -1: as it comes. 0, or a negative errno with a line that says what is wrong and what to
 * do: -EADDRINUSE: a server listens there; -EEXIST: there is something that is no socket;
 * -ENAMETOOLONG; -EACCES, ... */
int socket_make(struct socket_place *place, const char *path, mode_t mode, gid_t group,
		char why[SOCKET_WHY_MAX]);

/* Stops listening; the path goes if it is still this socket. */
void socket_remove(struct socket_place *place);

#endif
