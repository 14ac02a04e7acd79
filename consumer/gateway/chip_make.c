/* SPDX-License-Identifier: Apache-2.0 */
/* A chip's file made, whole before it has its name; and removed again, when nobody has it open.
 *
 * A runtime does not remove its file: others may have it mapped, and would watch, or count in, one
 * that nobody else finds. The gateway removes what it has made itself, as clients choose numbers of
 * devices and would leave a file for each; and then only when the kernel gives it a write lease:
 * nobody has the file open or mapped, of whatever PID namespace. Who comes later finds none, as
 * where no runtime has run.
 *
 * Who opens it meanwhile waits for the lease to end, and would get a file without a name: a reader
 * zeros for as long as it keeps it mapped, a runtime a place to count where nobody looks. So the
 * file is moved aside first. It is removed if nobody has asked for it up to then; else it has its
 * name again, before he goes on. What remains is who found the name before it was moved, and has
 * not yet got to asking for the file, some instructions later in the same system call, when it is
 * removed. He has to be a runtime that starts on the device in that moment, after 5 s in which
 * nobody used it, to matter: its totals are missing from its file then until it ends. That is a
 * price, and smaller than that of 65,536 files, at more than 1,024 of which no reader of Tally's
 * reads all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chip.h"
#include "lease.h"

/* ---- Making ---------------------------------------------------------------------------------- */

struct hidden {
	char name[TALLY_CHIP_FILE_NAME_MAX + 8];
};

/* One that no reader looks for. */
static struct hidden hidden_of(const char *name)
{
	struct hidden hidden;

	snprintf(hidden.name, sizeof(hidden.name), ".%s.new", name);
	return hidden;
}

/* What a gateway that was killed has left there is removed: of one that is at it the file has a
 * lock, or will have in a moment; then that one finds its file without a name, and tries again. */
static int clear_hidden(int dir_fd, const char *hidden)
{
	int fd = openat(dir_fd, hidden, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool locked = fd >= 0 && chip_is_locked(fd);

	if (fd >= 0)
		close(fd);
	if (locked)
		return -EBUSY;
	unlinkat(dir_fd, hidden, 0);
	return 0;
}

static int open_hidden(int dir_fd, const char *name)
{
	struct hidden hidden = hidden_of(name);
	int fd = clear_hidden(dir_fd, hidden.name);

	if (fd < 0)
		return fd;
	fd = openat(dir_fd, hidden.name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

/* Opens an unnamed file, or one with a hidden name where the file system has none of those. */
static int open_new(int dir_fd, const char *name, bool *ret_hidden)
{
	int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int error = fd < 0 ? -errno : 0;

	*ret_hidden = error == -EOPNOTSUPP || error == -EISDIR || error == -EINVAL;
	if (*ret_hidden)
		return open_hidden(dir_fd, name);
	return error ? error : fd;
}

int chip_make(int dir_fd, const char *name, struct chip_hold *hold, char why[CHIP_LINE_MAX])
{
	bool hidden;
	int fd = open_new(dir_fd, name, &hidden);
	int error = fd < 0 ? fd : 0;

	if (!error && fchmod(fd, 0600) != 0) /* whatever the mask is */
		error = -errno;
	if (!error && ftruncate(fd, TALLY_CHIP_FILE_SIZE) != 0)
		error = -errno;
	if (!error) /* so that no store finds the file system full */
		error = -posix_fallocate(fd, 0, TALLY_CHIP_FILE_SIZE);
	if (!error)
		error = chip_hold_open(fd, hold);
	if (!error) {
		hold->hidden = hidden;
		hold->made = true;
		return 0;
	}
	if (fd >= 0 && hidden)
		unlinkat(dir_fd, hidden_of(name).name, 0);
	if (fd >= 0)
		close(fd);
	snprintf(why, CHIP_LINE_MAX, "it cannot be made: %s", strerror(-error));
	return error;
}

int chip_name(int dir_fd, const char *name, struct chip_hold *hold, char why[CHIP_LINE_MAX])
{
	char path[32];
	int error;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", hold->fd);
	if (linkat(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	error = -errno;
	snprintf(why, CHIP_LINE_MAX, "it cannot be given its name: %s", strerror(-error));
	return error;
}

static bool leads_to(int dir_fd, const char *name, const struct chip_hold *hold)
{
	struct stat status;

	return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       status.st_dev == hold->dev && status.st_ino == hold->ino;
}

void chip_unhide(int dir_fd, const char *name, struct chip_hold *hold)
{
	struct hidden hidden = hidden_of(name);

	if (hold->hidden && leads_to(dir_fd, hidden.name, hold))
		unlinkat(dir_fd, hidden.name, 0);
	hold->hidden = false;
}

/* ---- Removing -------------------------------------------------------------------------------- */

static bool move(int dir_fd, const char *from, const char *to)
{
	return renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0;
}

/* With a write lease: nobody else has it open. */
static bool remove_leased(int dir_fd, const char *name, const struct chip_hold *hold)
{
	struct hidden aside = hidden_of(name);

	if (clear_hidden(dir_fd, aside.name) != 0 || !move(dir_fd, name, aside.name))
		return false;
	if (!leads_to(dir_fd, aside.name, hold)) { /* it was replaced: another's */
		move(dir_fd, aside.name, name);
		return false;
	}
	/* Somebody asks for it, and waits. Should there be another by now, it is too late. */
	if (fcntl(hold->fd, F_GETLEASE) != F_WRLCK && move(dir_fd, aside.name, name))
		return false;
	return unlinkat(dir_fd, aside.name, 0) == 0;
}

bool chip_remove(int dir_fd, const char *name, const struct chip_hold *hold)
{
	sigset_t before;
	bool removed;

	if (!hold->made || lease_begin(hold->fd, F_WRLCK, &before) != 1)
		return false;
	removed = remove_leased(dir_fd, name, hold);
	lease_end(hold->fd, &before);
	return removed;
}
