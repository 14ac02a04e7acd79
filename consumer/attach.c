/* SPDX-License-Identifier: Apache-2.0 */
/* Regions: each file is opened once, and followed, passed over or refused. */
#include "consumer/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "consumer/descriptor.h"
#include "consumer/guard.h"
#include "ring/alive.h"
#include "ring/join.h"

#define DEFAULT_DIR "/dev/shm"

const char *attach_dir(const char *dir)
{
	if (!dir || !*dir)
		dir = secure_getenv("TALLY_DIR");
	return dir && *dir ? dir : DEFAULT_DIR;
}

int attach_open(struct attach *attach, const struct tally_consumer_options *options)
{
	const char *dir = NULL;
	int fd;

	memset(attach, 0, sizeof(*attach));
	if (options) {
		attach->options = *options;
		dir = options->dir;
	}
	if ((attach->options.pid != 0) + (attach->options.name != NULL) +
		    (attach->options.run_id != 0) >
	    1)
		return -EINVAL;
	if (attach->options.name) {
		attach->name = strdup(attach->options.name);
		if (!attach->name)
			return -ENOMEM;
	}
	attach->options.name = attach->name;
	if (attach->options.read_buffers || attach->options.event || attach->options.hold)
		attach->options.read_records = true;
	dir = attach_dir(dir);
	if (strlen(dir) < sizeof(attach->path))
		snprintf(attach->path, sizeof(attach->path), "%s", dir);
	attach->chips.on = !attach->options.name && !attach->options.run_id;
	follow_open(&attach->follow);
	fd = descriptor_aside(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd >= 0)
		attach->dir = fdopendir(fd);
	if (!attach->dir) {
		int error = -errno;

		if (fd >= 0)
			close(fd);
		free(attach->name);
		return error;
	}
	attach->options.dir = NULL; /* the caller's string is not needed any more */
	return 0;
}

void attach_close(struct attach *attach)
{
	list_free(attach);
	chips_free(&attach->chips);
	follow_end(&attach->follow);
	known_free(&attach->known);
	free(attach->name);
	closedir(attach->dir);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static bool is_passing(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

void attach_refuse(struct attach *attach, struct known *known, uint32_t pid, int error,
		   const char *message)
{
	struct tally_refusal refusal = {
		.name = known->name,
		.pid = pid,
		.error = error,
		.message = message,
	};
	bool again = known->state == KNOWN_LATER;

	/* What lay around before a run began is not its business. */
	if (attach->options.run_id && attach->look == 1) {
		known->state = KNOWN_OTHER;
		return;
	}
	known->state = is_passing(error) ? KNOWN_LATER : KNOWN_REFUSED;
	if (again && known->state == KNOWN_LATER)
		return; /* said before */
	if (attach->first_error == 0)
		attach->first_error = error;
	if (attach->options.refused)
		attach->options.refused(attach->options.refused_arg, &refusal);
}

/* Follows an opened region, which it takes over. */
static int follow(struct attach *attach, struct known *known, struct region_view *view)
{
	struct region_watch *region = watch_new(known->name, view, attach->pipeline);

	if (!region)
		return -ENOMEM;
	region->seen_late = attach->look == 1 || known->state == KNOWN_LATER;
	if (list_region(attach, region) != 0) {
		region->view.base = NULL; /* stays the caller's */
		watch_free(region);
		return -ENOMEM;
	}
	known->state = KNOWN_FOLLOWED;
	known->region = region;
	return 0;
}

/* Whether an opened region is one that was asked for; the name said so as far as names can. `uid`
 * is whose the name says it is. */
static int check_wanted(const struct attach *attach, const struct region_view *view, uint32_t uid,
			bool *ret_wanted, char why[REGION_WHY_MAX])
{
	*ret_wanted = !attach->options.run_id || view->header.run_id == attach->options.run_id;
	if (!*ret_wanted || attach->options.pid || attach->name || view->uid == uid)
		return 0;
	/* To root only: of all others region_open() has refused it. */
	if (uid == geteuid())
		snprintf(why, REGION_WHY_MAX, "named as yours, but owned by user %u; remove it",
			 view->uid);
	else
		snprintf(why, REGION_WHY_MAX, "named as user %u's, but owned by user %u; remove it",
			 uid, view->uid);
	return -EACCES;
}

/* A lent region says nothing as long as nobody counts in it. */
static int check_empty(const struct region_view *view, bool *ret_empty, char why[REGION_WHY_MAX])
{
	if (!(view->header.flags & TALLY_REGION_RUNNER))
		return 0;
	guard_begin(view);
	/* relaxed: a count that stands by itself */
	*ret_empty = tally_load_relaxed(&region_process(view->base, &view->at, 0)->guests) == 0;
	if (!guard_end())
		return 0;
	snprintf(why, REGION_WHY_MAX, "was cut while it was read; it is broken");
	return -EBADMSG;
}

void attach_try(struct attach *attach, struct known *known, uint32_t uid)
{
	char why[REGION_WHY_MAX];
	struct region_view view = { .fd = -1 };
	int error = region_open(dirfd(attach->dir), known->name, &view, why);
	bool wanted = false, empty = false;

	if (error == -ENOENT) {
		known->look = 0; /* it has gone meanwhile */
		return;
	}
	if (error && attach->options.pid && known->joined &&
	    view.header.creator_pid != attach->options.pid) {
		known->state = KNOWN_OTHER; /* nothing says that it is about that process */
		return;
	}
	if (error) {
		if (error == -EACCES && uid != geteuid())
			snprintf(why, sizeof(why), "belongs to user %u; ask them, or be root",
				 (unsigned int)uid);
		attach_refuse(attach, known, view.header.creator_pid, error, why);
		return;
	}
	error = check_wanted(attach, &view, uid, &wanted, why);
	if (!error && wanted)
		error = check_empty(&view, &empty, why);
	if (!error && empty) {
		known->state = KNOWN_EMPTY;
		region_close(&view);
		return;
	}
	if (!error && wanted) {
		snprintf(why, sizeof(why), "no memory to follow it");
		error = follow(attach, known, &view);
		if (!error)
			return;
	}
	if (error)
		attach_refuse(attach, known, view.header.creator_pid, error, why);
	else
		known->state = KNOWN_OTHER;
	region_close(&view);
}

uint32_t attach_refused_count(const struct attach *attach)
{
	uint32_t refused = chips_refused_count(&attach->chips);
	size_t n;

	for (n = 0; n < attach->known.count; n++)
		refused += attach->known.all[n]->state == KNOWN_REFUSED ||
			   attach->known.all[n]->state == KNOWN_LATER;
	return refused;
}

static bool is_file_of(const struct attach *attach, const struct region_watch *region)
{
	struct stat status;

	return fstatat(dirfd(attach->dir), region->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       status.st_dev == region->view.dev && status.st_ino == region->view.ino;
}

void attach_unlink(const struct attach *attach, const struct region_watch *region)
{
	int fd = -1;

	/* Nobody joins while all entries are locked. */
	if (region->joined) {
		fd = openat(dirfd(attach->dir), region->name,
			    O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return;
	}
	if ((fd < 0 || alive_lock_all(fd) == 0) && is_file_of(attach, region))
		unlinkat(dirfd(attach->dir), region->name, 0);
	if (fd >= 0)
		close(fd);
}

void attach_reject(struct attach *attach, struct region_watch *region, const char *message)
{
	struct known *known = known_find(&attach->known, region->name);

	if (known && known->region == region) {
		attach_refuse(attach, known, region->view.header.creator_pid, -EBADMSG, message);
		known->region = NULL;
	}
	list_drop(attach, region);
}
