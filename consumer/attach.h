/* SPDX-License-Identifier: Apache-2.0 */
/* Finding regions: which files of the directory are ours to follow, and which are refused. */
#ifndef CONSUMER_ATTACH_H
#define CONSUMER_ATTACH_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <tally/consumer.h>
#include <time.h>

#include "consumer/known.h"
#include "consumer/watch.h"

struct attach {
	struct pipeline *pipeline;	       /* where records go; NULL: nowhere */
	struct tally_consumer_options options; /* with a copy of name */
	char *name;
	char path[REGION_PATH_MAX]; /* of the directory */
	DIR *dir;
	struct timespec dir_time; /* last change of the directory, before the last scan */
	uint64_t look;
	struct known_list known;

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

/* Goes through the directory: follows new regions, forgets names that have gone. 0 or a negative
 * errno; what was found before the error is kept. */
int attach_scan(struct attach *attach);

/* Whether files came or went since then, as far as the directory's clock can tell. */
bool attach_changed(const struct attach *attach);

/* How many files in the directory are refused. */
uint32_t attach_refused(const struct attach *attach);

/* Removes the file of a region whose processes are all dead, if it is still the file that was
 * opened, and nobody joins it meanwhile. */
void attach_unlink(const struct attach *attach, const struct region_watch *region);

/* A region turned out to be broken: it is refused from now on, and its processes forgotten. */
void attach_reject(struct attach *attach, struct region_watch *region, const char *message);

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
