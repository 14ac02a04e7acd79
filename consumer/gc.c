/* SPDX-License-Identifier: Apache-2.0 */
/* Removing regions of the dead, of one user or of every user that has a file there. */
#include <tally/consumer.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "consumer/attach.h"
#include "consumer/exclude.h"
#include "ring/join.h"
#include "ring/prune.h"

_Static_assert(TALLY_GC_KEEP == PRUNE_KEEP, "what producers keep has changed");
_Static_assert((int)TALLY_GC_LIVES == (int)PRUNE_LIVES && (int)TALLY_GC_OF_RUN == PRUNE_OF_RUN &&
		       (int)TALLY_GC_KEPT == (int)PRUNE_KEPT &&
		       (int)TALLY_GC_REMOVED == (int)PRUNE_REMOVED &&
		       (int)TALLY_GC_STRANGE == (int)PRUNE_STRANGE &&
		       (int)TALLY_GC_FAILED == (int)PRUNE_FAILED,
	       "a verdict has changed");

/* One call: who is told, of whose files. */
struct gc {
	const struct tally_gc_options *options;
	const char *dir;
	struct prune_room room;
	struct prune_found *kept;
	uint32_t uid; /* the one at work */
	uint32_t *uids;
	size_t uid_count;
};

static void tell(void *arg, const struct prune_found *found, enum prune_verdict verdict, int error)
{
	const struct gc *gc = arg;
	const struct tally_gc_file file = {
		.name = found->name,
		.uid = gc->uid,
		.pid = found->pid,
		.comm = found->comm,
		.modified_realtime_ns = found->modified_ns > 0 ? (uint64_t)found->modified_ns : 0,
		.bytes = found->bytes,
		.verdict = (enum tally_gc_verdict)verdict,
		.error = error,
	};

	if (gc->options->file)
		gc->options->file(gc->options->file_arg, &file);
}

static int add_uid(struct gc *gc, uint32_t uid)
{
	uint32_t *uids;
	size_t n;

	for (n = 0; n < gc->uid_count; n++)
		if (gc->uids[n] == uid)
			return 0;
	uids = reallocarray(gc->uids, gc->uid_count + 1, sizeof(*uids));
	if (!uids)
		return -ENOMEM;
	gc->uids = uids;
	gc->uids[gc->uid_count++] = uid;
	return 0;
}

/* Whoever has a file there by its name; whose it is, is found out for each. */
static int add_all_uids(struct gc *gc)
{
	DIR *dir = opendir(gc->dir);
	struct dirent *entry;
	int error = 0;

	if (!dir)
		return -errno;
	while (!error && (entry = readdir(dir))) {
		const char *name = entry->d_name + (entry->d_name[0] == '.');
		uint32_t uid, pid;

		if (region_name_parse(name, &uid, &pid) || join_name_parse(name, &uid))
			error = add_uid(gc, uid);
	}
	closedir(dir);
	return error;
}

static int prune_all(struct gc *gc)
{
	struct prune_job job = {
		.dir = gc->dir,
		.kept = gc->kept,
		.keep = gc->options->keep,
		.dry_run = gc->options->dry_run,
		.tell = tell,
		.tell_arg = gc,
	};
	int error = add_uid(gc, (uint32_t)geteuid());
	size_t n;

	if (!error && gc->options->all_users)
		error = add_all_uids(gc);
	for (n = 0; n < gc->uid_count && !error; n++) {
		job.uid = gc->uid = gc->uids[n];
		error = prune(&gc->room, &job);
	}
	return error;
}

int tally_gc(const struct tally_gc_options *options)
{
	int error = -ENOMEM;
	struct gc *gc;

	exclude_begin();
	gc = calloc(1, sizeof(*gc));
	if (gc) {
		gc->options = options;
		gc->dir = attach_dir(options->dir);
		gc->room.dir_fd = gc->room.file_fd = -1;
		gc->kept = calloc(options->keep ? options->keep : 1, sizeof(*gc->kept));
		if (gc->kept)
			error = prune_all(gc);
		free(gc->kept);
		free(gc->uids);
	}
	free(gc);
	exclude_end();
	return error;
}
