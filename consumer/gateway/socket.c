/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket and its path; see socket.h. */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS 20000000 /* between two tries */
#define LOCK_TRIES 250
#define BACKLOG 1024

struct made {
	char name[SOCKET_PATH_MAX + 24]; /* until it has the path */
	const char *path;
	char *why;
};

static void pause_a_little(long ns)
{
	struct timespec time = { .tv_nsec = ns };

	nanosleep(&time, NULL);
}

static int fail(const struct made *made, int error, const char *words)
{
	snprintf(made->why, SOCKET_WHY_MAX, "%s: %s: %s", made->path, words, strerror(-error));
	return error;
}

/* ---- What is there --------------------------------------------------------------------------- */

enum there { NOTHING, DEAD, LIVE, STRANGE, UNKNOWN };

static int try_connect(const char *path, pid_t *ret_pid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int error = 0;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		*ret_pid = peer.pid;
	close(fd);
	return error;
}

/* EAGAIN: so many wait to be accepted that there is no room. Refused twice, as a server that is
 * being started is bound before it listens. */
static enum there look(const char *path, struct stat *ret_status, pid_t *ret_pid)
{
	int tries, error = 0;

	*ret_pid = 0;
	if (lstat(path, ret_status))
		return errno == ENOENT ? NOTHING : UNKNOWN;
	if (!S_ISSOCK(ret_status->st_mode))
		return STRANGE;
	for (tries = 0; tries < 2; tries++) {
		if (tries)
			pause_a_little(PAUSE_NS * 5);
		error = try_connect(path, ret_pid);
		if (error == 0 || error == -EAGAIN || error == -EPROTOTYPE)
			return LIVE;
		if (error == -ENOENT)
			return NOTHING;
		if (error != -ECONNREFUSED)
			break;
	}
	errno = -error;
	return error == -ECONNREFUSED ? DEAD : UNKNOWN;
}

/* ---- Giving it the path ---------------------------------------------------------------------- */

static int exchange(const struct made *made)
{
	return renameat2(AT_FDCWD, made->name, AT_FDCWD, made->path, RENAME_EXCHANGE);
}

static int replace(const struct made *made, const struct stat *dead)
{
	struct stat out;

	if (exchange(made)) {
		if (errno != EINVAL && errno != ENOSYS)
			return fail(made, -errno, "what a dead server left cannot be replaced");
		/* A file system without: then in one step all the same, but blindly. */
		if (rename(made->name, made->path))
			return fail(made, -errno, "what a dead server left cannot be replaced");
		return 0;
	}
	if (lstat(made->name, &out) == 0 && out.st_dev == dead->st_dev &&
	    out.st_ino == dead->st_ino) {
		unlink(made->name);
		return 0;
	}
	exchange(made);
	return fail(made, -EADDRINUSE, "somebody has just put something else there");
}

static int take_path(const struct made *made)
{
	struct stat status;
	char who[32];
	pid_t pid;

	switch (look(made->path, &status, &pid)) {
	case NOTHING:
		if (link(made->name, made->path) == 0) {
			unlink(made->name);
			return 0;
		}
		return fail(made, -errno, "the socket cannot be given that name");
	case DEAD:
		return replace(made, &status);
	case LIVE:
		snprintf(who, sizeof(who), " (process %d)", (int)pid);
		snprintf(made->why, SOCKET_WHY_MAX,
			 "%s: a server listens there%s; end it, or use --socket", made->path,
			 pid ? who : "");
		return -EADDRINUSE;
	case STRANGE:
		snprintf(made->why, SOCKET_WHY_MAX,
			 "%s: there is something that is no socket; remove it, or use --socket",
			 made->path);
		return -EEXIST;
	case UNKNOWN:
		break;
	}
	return fail(made, -errno, "it cannot be told whether a server listens there");
}

/* A descriptor of the directory, locked; others hold the lock for moments. */
static int lock_dir(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[SOCKET_PATH_MAX] = ".";
	int fd, tries;

	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		if (errno != EWOULDBLOCK && errno != EINTR)
			break;
		pause_a_little(PAUSE_NS);
	}
	close(fd);
	return -EAGAIN;
}

/* ---- Making it ------------------------------------------------------------------------------- */

static int name_it(struct made *made)
{
	unsigned int random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return fail(made, -EAGAIN, "there are no random numbers");
	snprintf(made->name, sizeof(made->name), "%s.%08x", made->path, random);
	if (strlen(made->name) >= SOCKET_PATH_MAX) {
		snprintf(made->why, SOCKET_WHY_MAX, "%s: a socket's path may have %d bytes at most",
			 made->path, SOCKET_PATH_MAX - 10);
		return -ENAMETOOLONG;
	}
	return 0;
}

/* Bound for nobody but us until its group is right. */
static int bind_it(struct made *made, struct socket_place *place, mode_t mode, gid_t group)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat status;
	mode_t mask;
	int error;

	memcpy(address.sun_path, made->name, strlen(made->name) + 1);
	mask = umask(0177);
	error = bind(place->fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (error)
		return fail(made, error, "no socket can be made there");
	if (group != (gid_t)-1 && lchown(made->name, (uid_t)-1, group))
		error = fail(made, -errno, "the socket cannot have that group");
	else if (chmod(made->name, mode))
		error = fail(made, -errno, "the socket cannot have that mode");
	else if (listen(place->fd, BACKLOG))
		error = fail(made, -errno, "it cannot be listened there");
	else if (lstat(made->name, &status))
		error = fail(made, -errno, "the socket has gone");
	if (error) {
		unlink(made->name);
		return error;
	}
	place->dev = status.st_dev;
	place->ino = status.st_ino;
	return 0;
}

int socket_make(struct socket_place *place, const char *path, mode_t mode, gid_t group,
		char why[SOCKET_WHY_MAX])
{
	struct made made = { .path = path, .why = why };
	int error = name_it(&made), lock;

	place->fd = -1;
	if (error)
		return error;
	place->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (place->fd < 0)
		return fail(&made, -errno, "there can be no socket");
	snprintf(place->path, sizeof(place->path), "%s", path);
	lock = lock_dir(path);
	if (lock < 0)
		error = fail(&made, lock,
			     lock == -EAGAIN ? "another process holds the directory's lock"
					     : "its directory cannot be opened");
	if (!error)
		error = bind_it(&made, place, mode, group);
	if (!error) {
		error = take_path(&made);
		if (error)
			unlink(made.name);
	}
	if (lock >= 0)
		close(lock);
	if (error) {
		close(place->fd);
		place->fd = -1;
	}
	return error;
}

void socket_remove(struct socket_place *place)
{
	int lock = lock_dir(place->path);
	struct stat status;

	if (lock >= 0 && lstat(place->path, &status) == 0 && status.st_dev == place->dev &&
	    status.st_ino == place->ino)
		unlink(place->path);
	if (lock >= 0)
		close(lock);
	close(place->fd);
}
