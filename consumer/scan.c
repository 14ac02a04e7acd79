/* SPDX-License-Identifier: Apache-2.0 */
/* Finding regions: a pass over the directory, by name, when something has come or gone. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/attach.h"
#include "ring/join.h"

/* A name that starts like ours: worth a word if it is our file. */
static bool is_stray(const struct attach *attach, const char *name)
{
	struct stat status;

	return region_name_loose(name) && !attach->options.pid && !attach->name &&
	       !attach->options.run_id &&
	       fstatat(dirfd(attach->dir), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       status.st_uid == geteuid();
}

/* A joined region may have any process in it. */
static bool is_wanted(const struct attach *attach, const char *name, uint32_t uid, uint32_t pid)
{
	if (attach->name)
		return strcmp(attach->name, name) == 0;
	if (attach->options.pid && pid)
		return attach->options.pid == pid;
	return uid == geteuid() || attach->options.all_users ||
	       (attach->options.pid && geteuid() == 0);
}

/* Whether a name is one that is looked at, if there is more to it than to a stray one. */
static bool concerns(const void *arg, const char *name)
{
	const struct attach *attach = arg;
	uint32_t uid, pid = 0;
	uint64_t chip_id;

	if (attach->name)
		return strcmp(attach->name, name) == 0;
	if (attach->chips.on && chips_parse(name, &chip_id))
		return true;
	return (join_name_parse(name, &uid) || region_name_parse(name, &uid, &pid)) &&
	       is_wanted(attach, name, uid, pid);
}

/* Names of joined regions are used again: whether this one has another file by now. If so, it is
 * looked at as if never seen. */
static bool is_replaced(struct attach *attach, struct known *known, uint64_t ino)
{
	struct stat status;

	if (!known->joined || known->ino == ino)
		return false;
	known->ino = ino;
	if (known->state == KNOWN_FOLLOWED && known->region) {
		const struct region_view *view = &known->region->view;

		if (fstatat(dirfd(attach->dir), known->name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		    (status.st_dev == view->dev && status.st_ino == view->ino))
			return false;
		known->region->file_gone = true;
		known->region = NULL;
	}
	return true;
}

static int visit(struct attach *attach, const char *name, uint64_t ino)
{
	uint32_t uid = geteuid(), pid = 0;
	struct known *known = known_find(&attach->known, name);
	bool parsed, joined;
	uint64_t chip_id;

	if (attach->chips.on && chips_parse(name, &chip_id))
		return chips_note(attach, name, chip_id);
	if (known) {
		known->look = attach->look;
		if (known->state != KNOWN_LATER && known->state != KNOWN_EMPTY &&
		    !is_replaced(attach, known, ino))
			return 0;
	}
	joined = join_name_parse(name, &uid);
	parsed = joined || region_name_parse(name, &uid, &pid);
	if (parsed || attach->name ? !is_wanted(attach, name, uid, pid) : !is_stray(attach, name))
		return 0;
	if (!known) {
		known = known_add(&attach->known, name);
		if (!known)
			return -ENOMEM;
		known->joined = joined;
		known->ino = ino;
	}
	known->look = attach->look;
	if (known->state != KNOWN_LATER)
		known->state = KNOWN_OTHER;
	if (parsed || attach->name)
		attach_try(attach, known, uid);
	else
		attach_refuse(attach, known, 0, -EBADMSG,
			      "not a name tally gives; remove it if nobody needs it");
	return 0;
}

static struct timespec time_of_change(const struct attach *attach)
{
	struct stat status = { 0 };

	fstat(dirfd(attach->dir), &status);
	return status.st_mtim;
}

bool attach_changed(struct attach *attach)
{
	struct timespec now;

	follow_read(&attach->follow, concerns, attach);
	if (attach->follow.fd >= 0)
		return attach->follow.urgent;
	now = time_of_change(attach);
	return now.tv_sec != attach->dir_time.tv_sec || now.tv_nsec != attach->dir_time.tv_nsec;
}

/* A file that the scan did not show may be there all the same, as others come and go meanwhile;
 * were it forgotten, its region would be followed twice. */
static void look_again(struct attach *attach)
{
	struct stat status;
	size_t n;

	for (n = 0; n < attach->known.count; n++) {
		struct known *known = attach->known.all[n];

		if (known->look != attach->look && known->region &&
		    fstatat(dirfd(attach->dir), known->name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			known->look = attach->look;
	}
}

static int scan(struct attach *attach)
{
	struct dirent *entry;
	int error = 0;

	attach->dir_time = time_of_change(attach);
	rewinddir(attach->dir);
	while (!error) {
		errno = 0;
		entry = readdir(attach->dir);
		if (!entry)
			break;
		if (entry->d_name[0] != '.')
			error = visit(attach, entry->d_name, entry->d_ino);
	}
	if (!error && errno)
		return -errno;
	if (error)
		return error;
	look_again(attach);
	known_forget(&attach->known, attach->look);
	chips_forget(&attach->chips, attach->look);
	return 0;
}

/* Nothing came or went, but these may have become what they were not. */
static int try_again(struct attach *attach)
{
	int error = 0;
	size_t n;

	for (n = 0; n < attach->known.count && !error; n++) {
		const struct known *known = attach->known.all[n];

		if (known->state == KNOWN_LATER || known->state == KNOWN_EMPTY)
			error = visit(attach, known->name, known->ino);
	}
	return error;
}

/* Whoever removed the directory and made it anew wants that followed. What was in the old one is
 * forgotten by the scan that comes next. */
static void follow_path(struct attach *attach)
{
	struct stat named, opened;
	size_t n;
	DIR *dir;

	if (attach->path[0] != '/' || stat(attach->path, &named) != 0 ||
	    fstat(dirfd(attach->dir), &opened) != 0 ||
	    (named.st_dev == opened.st_dev && named.st_ino == opened.st_ino))
		return;
	dir = opendir(attach->path); /* closed on exec */
	if (!dir)
		return;
	closedir(attach->dir);
	attach->dir = dir;
	follow_end(&attach->follow);
	for (n = 0; n < attach->known.count; n++)
		attach->known.all[n]->ino = 0; /* another file system may use the same */
}

int attach_scan(struct attach *attach)
{
	struct follow *follow = &attach->follow;
	int error;

	follow_path(attach);
	if (attach->look++ > 0) /* one look, and no more, is quicker without */
		follow_begin(follow, dirfd(attach->dir));
	follow_read(follow, concerns, attach);
	follow->urgent = false;
	if (follow->fd >= 0 && !follow->changed)
		return try_again(attach);
	/* What comes meanwhile is told again. */
	follow->changed = false;
	error = scan(attach);
	follow->changed = follow->changed || error;
	return error;
}
