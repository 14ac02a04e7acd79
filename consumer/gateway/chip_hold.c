/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a chip's file is: taken over when nobody uses it, given up when somebody does.
 *
 * That somebody uses it is the kernel's word where it has one (lease.h). A living process's
 * slot counts as well. Gateways know each other by a lock on the first byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "chip.h"
#include "lease.h"

/* ---- Who uses it ----------------------------------------------------------------------------- */

/* Whether a living process has a slot that is not ours; else those of others' dead are noted. */
static bool has_user(const struct tally_chip_file *file, bool *ret_dead, char why[CHIP_LINE_MAX])
{
	char name[sizeof(file->slots[0].name) + 1] = "";
	size_t n, i;
	uint32_t pid;

	for (n = 0; n < TALLY_CHIP_SLOTS; n++) {
		const struct tally_chip_slot *slot = &file->slots[n];

		if (chip_slot_is_ours(slot, &pid) || pid == 0)
			continue;
		*ret_dead = true;
		/* relaxed: whoever writes it now has the file open, which the kernel says */
		if (!tally_chip_slot_lives(pid, tally_load_relaxed(&slot->last_update_ns)))
			continue;
		memcpy(name, slot->name, sizeof(slot->name));
		for (i = 0; name[i]; i++)
			if (name[i] < ' ' || name[i] > '~')
				name[i] = '?';
		snprintf(why, CHIP_LINE_MAX, "process %u (%s) reports it there by itself", pid,
			 name);
		return true;
	}
	return false;
}

static void clear_others(struct tally_chip_file *file)
{
	uint32_t pid;
	size_t n;

	for (n = 0; n < TALLY_CHIP_SLOTS; n++)
		if (!chip_slot_is_ours(&file->slots[n], &pid) && pid)
			chip_slot_clear(&file->slots[n]);
}

/* What is in it is what the next values replace. */
static void adopt(struct chip_hold *hold)
{
	size_t n;

	/* relaxed, both: nobody else writes there, or exchanges will find out */
	hold->references = tally_load_relaxed(&hold->file->reference_count);
	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		hold->last[n] = tally_load_relaxed(&hold->file->bytes[n]);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int lock(int fd, int command, short *type)
{
	struct flock lock = { .l_type = *type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	if (fcntl(fd, command, &lock) != 0)
		return -errno;
	*type = lock.l_type;
	return 0;
}

bool chip_is_locked(int fd)
{
	short type = F_WRLCK;

	return lock(fd, F_OFD_GETLK, &type) == 0 && type != F_UNLCK;
}

static int check_file(int fd, const struct stat *status, char why[CHIP_LINE_MAX])
{
	struct tally_chip_file head;
	ssize_t got;
	uint32_t version;

	if (!S_ISREG(status->st_mode)) {
		snprintf(why, CHIP_LINE_MAX, "it is not a regular file; remove it");
		return -EBADMSG;
	}
	/* Nor for root: its owner could cut it while we write into it. */
	if (status->st_uid != geteuid() || (status->st_mode & 022)) {
		snprintf(why, CHIP_LINE_MAX,
			 "it is user %u's, or others may write it; have it removed, once no "
			 "runtime uses it",
			 (unsigned int)status->st_uid);
		return -EACCES;
	}
	got = pread(fd, &head, sizeof(head), 0);
	version = got >= (ssize_t)sizeof(head.version) ? tally_chip_low(head.version) : 0;
	if (got == (ssize_t)sizeof(head) && status->st_size == (off_t)sizeof(head) &&
	    version >= TALLY_CHIP_VERSION_MIN && version <= TALLY_CHIP_VERSION_MAX)
		return 0;
	snprintf(why, CHIP_LINE_MAX,
		 "it is version %u with %lld bytes, not 2 to 4 with %d; remove it, once no runtime "
		 "uses it",
		 version, (long long)status->st_size, TALLY_CHIP_FILE_SIZE);
	return -EPROTO;
}

static int open_checked(int dir_fd, const char *name, int flags, struct stat *ret_status,
			char why[CHIP_LINE_MAX])
{
	int fd = lease_open(dir_fd, name, flags);
	int error = fd < 0 ? -errno : 0;

	if (!error && fstat(fd, ret_status) != 0)
		error = -errno;
	if (!error)
		return fd;
	if (fd >= 0)
		close(fd);
	if (error == -EACCES && fstatat(dir_fd, name, ret_status, AT_SYMLINK_NOFOLLOW) == 0)
		snprintf(why, CHIP_LINE_MAX,
			 "it is user %u's; have it removed, once no runtime uses it",
			 (unsigned int)ret_status->st_uid);
	else if (error != -ENOENT)
		snprintf(why, CHIP_LINE_MAX, "%s", strerror(-error));
	return error;
}

/* Through a descriptor that cannot write, so that we are not among those who can. */
static int look(int dir_fd, const char *name, struct stat *ret_status, char why[CHIP_LINE_MAX])
{
	int fd = open_checked(dir_fd, name, O_RDONLY, ret_status, why);
	int error;

	if (fd < 0)
		return fd;
	error = check_file(fd, ret_status, why);
	if (!error && chip_is_locked(fd)) {
		snprintf(why, CHIP_LINE_MAX, "another gateway publishes there");
		error = -EBUSY;
	} else if (!error && lease_ask(fd, F_RDLCK) == 0) {
		snprintf(why, CHIP_LINE_MAX,
			 "a process has it open for writing, of this or another PID namespace");
		error = -EBUSY;
	}
	close(fd);
	return error;
}

int chip_hold_open(int fd, struct chip_hold *hold)
{
	short type = F_WRLCK;
	struct stat status;
	void *file;

	if (lock(fd, F_OFD_SETLK, &type) != 0)
		return -EBUSY;
	if (fstat(fd, &status) != 0)
		return -errno;
	file = mmap(NULL, sizeof(*hold->file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		return -errno;
	madvise(file, sizeof(*hold->file), MADV_DONTFORK);
	*hold = (struct chip_hold){
		.fd = fd,
		.dev = status.st_dev,
		.ino = status.st_ino,
		.file = file,
	};
	return 0;
}

void chip_let_go(struct chip_hold *hold)
{
	if (hold->fd < 0)
		return;
	munmap(hold->file, sizeof(*hold->file));
	close(hold->fd); /* and with it the lock */
	hold->fd = -1;
	hold->file = NULL;
}

int chip_take(int dir_fd, const char *name, struct chip_hold *hold, char why[CHIP_LINE_MAX])
{
	struct stat seen, status;
	bool dead = false;
	int fd, error = look(dir_fd, name, &seen, why);

	if (error)
		return error;
	fd = open_checked(dir_fd, name, O_RDWR, &status, why);
	if (fd < 0)
		return fd;
	error = status.st_ino != seen.st_ino || status.st_dev != seen.st_dev
			? -EBUSY
			: chip_hold_open(fd, hold);
	if (error) {
		snprintf(why, CHIP_LINE_MAX, "it is another file by now, or cannot be mapped");
		close(fd);
		return error;
	}
	adopt(hold);
	/* P2 -> P1: the slots of whoever made it ready. Until then nobody has one. */
	if (tally_load_acquire(&hold->file->init_state) != 1 || lease_ask(fd, F_WRLCK) == 1)
		error = has_user(hold->file, &dead, why) ? -EBUSY : 0;
	else
		error = -EBUSY;
	if (error) {
		if (!why[0])
			snprintf(why, CHIP_LINE_MAX, "a runtime is making it ready");
		chip_let_go(hold);
		return error;
	}
	if (dead)
		clear_others(hold->file);
	return 0;
}

/* ---- Staying --------------------------------------------------------------------------------- */

static bool is_untouched(const struct chip_hold *hold)
{
	const struct tally_chip_file *file = hold->file;
	uint32_t pid;
	size_t n;

	/* relaxed, all: what comes after this look fails the exchange that would hide it */
	if (tally_load_relaxed(&file->reference_count) != hold->references)
		return false;
	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		if (tally_load_relaxed(&file->bytes[n]) > hold->last[n])
			return false;
	for (n = 0; n < TALLY_CHIP_SLOTS; n++)
		if (!chip_slot_is_ours(&file->slots[n], &pid) && pid)
			return false;
	return true;
}

enum chip_owner chip_ask(int dir_fd, const char *name, struct chip_hold *hold,
			 char why[CHIP_LINE_MAX])
{
	struct stat status;
	bool dead = false;

	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
	    status.st_dev != hold->dev || status.st_ino != hold->ino ||
	    status.st_size != (off_t)sizeof(*hold->file))
		return CHIP_GONE;
	if (is_untouched(hold))
		return CHIP_OURS;
	if (has_user(hold->file, &dead, why))
		return CHIP_SHARED;
	if (lease_ask(hold->fd, F_WRLCK) != 1) {
		snprintf(why, CHIP_LINE_MAX,
			 "a process that has it open has counted there, of this or another PID "
			 "namespace");
		return CHIP_SHARED;
	}
	/* Who it was has gone: what is there is to be replaced. */
	clear_others(hold->file);
	adopt(hold);
	return CHIP_OURS;
}
