/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning: of one user's regions of the dead the newest few are kept, the others removed.
 *
 * A region is dead if and only if none of its liveness locks is held. Whoever removes one holds all
 * of them meanwhile, so that nobody can move in. The newest is the one whose file was modified
 * last: that holds for regions of every version, is what `ls -lt` shows, and `touch` keeps one
 * longer. Regions of a run are left to their runner as long as it lives, which the region it lends
 * tells. What has a region's name and is none, or is somebody else's, is left alone.
 *
 * Needs no memory but what it is given, so that a producer can do it inside its first push.
 */
#ifndef RING_PRUNE_H
#define RING_PRUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/region.h"

#define PRUNE_KEEP 16 /* regions of the dead per user */
#define PRUNE_RUNS 32 /* with more runs at a time, all regions of runs are left alone */

enum prune_verdict {
	PRUNE_LIVES,   /* somebody lives in it */
	PRUNE_OF_RUN,  /* dead, and its runner will read it */
	PRUNE_KEPT,    /* dead, among the newest */
	PRUNE_REMOVED, /* or would have been */
	PRUNE_STRANGE, /* no region, or another user's */
	PRUNE_FAILED,  /* dead, but could not be removed */
};

struct prune_found {
	char name[REGION_NAME_MAX];
	uint64_t dev, ino;
	int64_t modified_ns; /* since the epoch */
	uint64_t bytes;	     /* of memory that it takes */
	uint32_t pid;	     /* as the file says; 0: it says nothing yet */
	char comm[24];	     /* likewise; printable */
};

struct prune_job {
	const char *dir;
	uint32_t uid;
	struct prune_found *kept; /* room for so many: */
	size_t keep;
	bool dry_run;
	/* NULL, or called once for each file with a region's name of that user; error is 0 unless
	 * PRUNE_FAILED. */
	void (*tell)(void *arg, const struct prune_found *found, enum prune_verdict verdict,
		     int error);
	void *tell_arg;
};

/* What a pass needs while it lasts. */
struct prune_room {
	int dir_fd, file_fd; /* -1, or open: a fork child closes them */
	bool some_of_runs;   /* a run's region was seen */
	bool runs_unknown;   /* there are more runs than PRUNE_RUNS */
	size_t run_count, kept_count;
	uint64_t runs[PRUNE_RUNS]; /* whose runners live */
	int64_t start_ns;
	struct prune_found kept[PRUNE_KEEP];
	_Alignas(8) char entries[4096];
};

/* One pass over the directory. 0, or a negative errno when it cannot be read. */
int prune(struct prune_room *room, const struct prune_job *job);

/* For who has just made a region: leaves room for it among the kept, should it die as well. Does
 * nothing while there are few, and with many files only the more seldom; random says when. Fails
 * silently, preserves errno. */
void prune_now_and_then(struct prune_room *room, const char *dir, uint64_t random);

#endif
