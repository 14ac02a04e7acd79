/* SPDX-License-Identifier: Apache-2.0 */
/* Finding regions: which files of the directory are ours to follow, and which are refused. */
#ifndef CONSUMER_ATTACH_H
#define CONSUMER_ATTACH_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <tally/consumer.h>
#include <time.h>

#include "consumer/chips.h"
#include "consumer/follow.h"
#include "consumer/known.h"
#include "consumer/watch.h"

struct attach {
	struct pipeline *pipeline;	       /* where records go; NULL: nowhere */
	struct tally_consumer_options options; /* with a copy of name */
	char *name;
	char path[REGION_PATH_MAX]; /* of the directory; "": too long to have regions */
	DIR *dir;
	struct follow follow;	  /* whether something changed in it */
	struct timespec dir_time; /* without inotify: its last change, before the last scan */
	uint64_t look;
	struct known_list known;
	struct chips chips; /* totals that runtimes publish by themselves */

	struct region_watch **regions;
	size_t region_count, region_room;

	struct process **processes; /* those that are shown, ordered by start, pid */
	size_t process_count, process_room;

	int first_error; /* of the first refusal, 0 if there was none */
};

/* Where regions are: `dir`, else TALLY_DIR, else /dev/shm. */
const char *attach_dir(const char *dir);

/* Opens the directory. 0, -EINVAL, -ENOENT, -EACCES, -ENOMEM, ... */
int attach_open(struct attach *attach, const struct tally_consumer_options *options);
void attach_close(struct attach *attach);

/* A file that may be ours, by its name of user `uid`: what is to become of it. */
void attach_try(struct attach *attach, struct known *known, uint32_t uid);

/* Tells that a file is not attached to, unless that has been told, and remembers it. */
void attach_refuse(struct attach *attach, struct known *known, uint32_t pid, int error,
		   const char *message);

/* How many files in the directory are refused. */
uint32_t attach_refused_count(const struct attach *attach);

/* Removes the file of a region whose processes are all dead, if it is still the file that was
 * opened, and nobody joins it meanwhile. */
void attach_unlink(const struct attach *attach, const struct region_watch *region);

/* A region turned out to be broken: it is refused from now on, and its processes forgotten. */
void attach_reject(struct attach *attach, struct region_watch *region, const char *message);

/* ---- scan.c ---------------------------------------------------------------------------------- */

/* Follows regions that are new in the directory, forgets names that have gone; where inotify tells
 * that nothing came or went since the last scan, it is not read. 0 or a negative errno; what was
 * found before the error is kept. */
int attach_scan(struct attach *attach);

/* Whether there is something in the directory that the next look should not keep waiting. Without
 * inotify: whether anything came or went, as far as the directory's clock can tell. */
bool attach_changed(struct attach *attach);

/* ---- list.c ---------------------------------------------------------------------------------- */

/* Adds a region that is followed from now on. 0 or -ENOMEM. */
int list_region(struct attach *attach, struct region_watch *region);

/* Shows the rows of a region that were read whole, if they are asked for. 0 or -ENOMEM. */
int list_rows(struct attach *attach, struct region_watch *region);

/* Forgets a region with all its rows. */
void list_drop(struct attach *attach, struct region_watch *region);

/* Forgets rows that were marked as leaving, and regions that nothing is left of. */
void list_drop_leaving(struct attach *attach);

void list_free(struct attach *attach);

#endif
