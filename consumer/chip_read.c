/* SPDX-License-Identifier: Apache-2.0 */
/* One file of a runtime's totals: opened, read, and not believed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <time.h>
#include <unistd.h>

#include "consumer/chips.h"
#include "ring/entries.h"

/* ---- Opening --------------------------------------------------------------------------------- */

/* A file, as it was found. */
struct at {
	int dir_fd;
	const char *name;
	struct stat status;
};

/* Waits for nobody: it may be a FIFO by now. One on which somebody has a lease, as Tally's gateway
 * does for a moment, is tried again; not another user's, who may keep it. */
static int open_now(const struct at *at)
{
	const struct timespec moment = { .tv_nsec = 200000 };
	int tries = at->status.st_uid == geteuid() ? 4 : 1, fd;

	for (;;) {
		fd = openat(at->dir_fd, at->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 || errno != EWOULDBLOCK || --tries == 0)
			return fd;
		nanosleep(&moment, NULL);
	}
}

static int open_file(struct at *at, bool all_users, char why[CHIP_WHY_MAX])
{
	const struct stat *status = &at->status;
	bool others;
	int fd;

	if (fstatat(at->dir_fd, at->name, &at->status, AT_SYMLINK_NOFOLLOW) != 0)
		return -ENOENT;
	others = status->st_uid != geteuid();
	if (others && !all_users)
		return -ENOENT;
	if (!S_ISREG(status->st_mode)) {
		snprintf(why, CHIP_WHY_MAX, "%s; remove it if nobody needs it",
			 S_ISLNK(status->st_mode) ? "a symbolic link" : "not a regular file");
		return -EBADMSG;
	}
	fd = open_now(at);
	if (fd >= 0)
		return fd;
	if (errno == EACCES && others)
		snprintf(why, CHIP_WHY_MAX, "belongs to user %u; ask them, or be root",
			 (unsigned int)status->st_uid);
	else if (errno == EACCES)
		snprintf(why, CHIP_WHY_MAX, "its rights keep it from being read; chmod 600 it");
	else
		snprintf(why, CHIP_WHY_MAX, "%s", strerror(errno));
	return -errno;
}

/* It may be another file than the one that was looked at. */
static bool is_same(int fd, const struct stat *status)
{
	struct stat now;

	return fstat(fd, &now) == 0 && now.st_dev == status->st_dev &&
	       now.st_ino == status->st_ino && now.st_uid == status->st_uid && S_ISREG(now.st_mode);
}

/* Whether somebody can write into it, of this or another PID namespace, as the kernel knows: it
 * gives no read lease then. Who opens the file in the moment that we have one waits for as long;
 * the signal that asks for it back is one that is ignored by default. Nor is this thread stopped
 * from a terminal in that moment: the other would wait for 45 s. */
static bool has_writer(int fd)
{
	sigset_t stops, before;
	bool has;

	if (fcntl(fd, F_SETSIG, SIGURG) != 0)
		return false;
	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &stops, &before);
	has = fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
	if (!has)
		fcntl(fd, F_SETLEASE, F_UNLCK);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return has;
}

/* One that was replaced meanwhile the next look knows. */
static bool is_in_use(const struct at *at)
{
	int fd = open_now(at);
	bool used = fd >= 0 && is_same(fd, &at->status) && has_writer(fd);

	if (fd >= 0)
		close(fd);
	return used;
}

/* ---- What it says ---------------------------------------------------------------------------- */

static void read_slot(const struct tally_chip_slot *slot, struct chip_slot *ret_slot)
{
	size_t n;

	ret_slot->pid = tally_chip_low(slot->pid);
	entries_printable(ret_slot->comm, sizeof(ret_slot->comm), (const char *)slot->name,
			  sizeof(slot->name));
	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		ret_slot->bytes[n] = (int64_t)slot->bytes[n];
}

/* The part of a total that is in no slot is that of processes that found none free, or was counted
 * between two reads. Where nobody lives it was left by the dead; where the gateway counts, Tally
 * knows better; and below zero it says that increments were lost. */
static int64_t rest_of(const struct tally_chip_file *file, size_t pool)
{
	uint64_t sum = 0;
	int64_t rest;
	size_t n;

	for (n = 0; n < TALLY_CHIP_SLOTS; n++)
		if (tally_chip_low(file->slots[n].pid))
			sum += file->slots[n].bytes[pool];
	rest = (int64_t)(file->bytes[pool] - sum);
	return rest > 0 ? rest : 0;
}

/* As an upper bound; what has wrapped is none. */
static int64_t total_of(const struct tally_chip_file *file, size_t pool)
{
	int64_t total = (int64_t)file->bytes[pool];

	return total > 0 ? total : 0;
}

/* Until then no file is open: to ask after 64 processes takes a while. The dead have nothing open:
 * where all are, and a file is, they live, elsewhere. */
static void take(const struct tally_chip_file *file, struct chip_lives *lives, const struct at *at,
		 struct chip_said *said)
{
	bool kept = file->mark == TALLY_CHIP_MARK, unseen = false;
	bool own = at->status.st_uid == geteuid();
	size_t n;

	said->device = tally_chip_low(file->device_id);
	for (n = 0; n < TALLY_CHIP_SLOTS; n++) {
		uint32_t pid = tally_chip_low(file->slots[n].pid);

		if (file->slots[n].pid != tally_chip_slot_word(pid) &&
		    chip_lives(lives, own, pid, file->slots[n].last_update_ns))
			read_slot(&file->slots[n], &said->slots[said->slot_count++]);
		else
			unseen = unseen || pid;
	}
	unseen = unseen && !kept && said->slot_count == 0 && is_in_use(at);
	for (n = 0; n < TALLY_CHIP_POOLS && !kept; n++)
		if (unseen)
			said->rest[n] = total_of(file, n);
		else if (said->slot_count)
			said->rest[n] = rest_of(file, n);
	said->idle = kept && said->slot_count == 0;
}

/* ---- Whether it is one ----------------------------------------------------------------------- */

static int not_ready(char why[CHIP_WHY_MAX], const char *how)
{
	snprintf(why, CHIP_WHY_MAX,
		 "%s: a runtime's totals that are not ready yet; look again, and if they stay so, "
		 "remove it when no runtime is starting",
		 how);
	return -EAGAIN;
}

static int check_version(uint32_t version, char why[CHIP_WHY_MAX])
{
	if (version == 0)
		return not_ready(why, "version 0");
	if (version == 1)
		snprintf(
			why, CHIP_WHY_MAX,
			"version 1 of a runtime's totals, which this tally does not read (it reads "
			"%d to %d); update the runtime, then remove the file",
			TALLY_CHIP_VERSION_MIN, TALLY_CHIP_VERSION_MAX);
	else if (version < TALLY_CHIP_VERSION_MIN || version > TALLY_CHIP_VERSION_MAX)
		snprintf(why, CHIP_WHY_MAX,
			 "version %" PRIu32
			 " of a runtime's totals, which this tally does not read "
			 "(it reads %d to %d); update tally, or remove the file if no runtime uses "
			 "it",
			 version, TALLY_CHIP_VERSION_MIN, TALLY_CHIP_VERSION_MAX);
	else
		return 0;
	return -EPROTO;
}

static int check(const struct tally_chip_file *file, size_t size, char why[CHIP_WHY_MAX])
{
	uint32_t version = tally_chip_low(file->version);
	int error = size < sizeof(version) ? not_ready(why, "empty") : check_version(version, why);

	if (error)
		return error;
	if (size != sizeof(*file)) {
		snprintf(why, CHIP_WHY_MAX,
			 "version %" PRIu32 " of a runtime's totals has %zu bytes, this has %s%zu; "
			 "remove it if no runtime uses it",
			 version, sizeof(*file), size > sizeof(*file) ? "more than " : "",
			 size > sizeof(*file) ? sizeof(*file) : size);
		return -EBADMSG;
	}
	if (version >= TALLY_CHIP_VERSION_READY &&
	    tally_chip_low(file->init_state) != TALLY_CHIP_READY)
		return not_ready(why, "version 4");
	if (tally_chip_low(file->device_id) >= TALLY_DEVICES) {
		snprintf(why, CHIP_WHY_MAX,
			 "a runtime's totals of device %" PRIu32 ", which is none; remove it if no "
			 "runtime uses it",
			 tally_chip_low(file->device_id));
		return -EBADMSG;
	}
	return 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* All of it and a byte more, if there is one. */
static int read_whole(int fd, struct tally_chip_file *file, size_t *ret_size)
{
	struct {
		struct tally_chip_file file;
		char more;
	} room;
	size_t size = 0;

	memset(&room, 0, sizeof(room));
	while (size < sizeof(room.file) + 1) {
		ssize_t got = pread(fd, (char *)&room + size, sizeof(room.file) + 1 - size,
				    (off_t)size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		size += (size_t)got;
	}
	*file = room.file;
	*ret_size = size;
	return 0;
}

int chip_read(int dir_fd, const char *name, bool all_users, struct chip_lives *lives,
	      struct chip_said *ret_said, char why[CHIP_WHY_MAX])
{
	struct at at = { .dir_fd = dir_fd, .name = name };
	struct tally_chip_file file;
	size_t size = 0;
	int fd, error;

	why[0] = '\0';
	fd = open_file(&at, all_users, why);
	if (fd < 0)
		return fd;
	if (!is_same(fd, &at.status))
		error = -ENOENT; /* the next look knows more */
	else
		error = read_whole(fd, &file, &size);
	close(fd);
	if (!error)
		error = check(&file, size, why);
	else if (error != -ENOENT)
		snprintf(why, CHIP_WHY_MAX, "%s", strerror(-error));
	if (error)
		return error;
	memset(ret_said, 0, sizeof(*ret_said));
	ret_said->uid = at.status.st_uid;
	chips_parse(name, &ret_said->chip_id);
	take(&file, lives, &at, ret_said);
	return 0;
}
