/* SPDX-License-Identifier: Apache-2.0 */
/* One followed region: its mapping, its lanes, its entries and who is in them, its shared ring. All
 * private to the consumer; used by the one thread that polls.
 *
 * A region of one process is let go once that has ended and was read. One that processes join by
 * its name may be joined again as long as it has the name, so it is kept mapped until then.
 */
#ifndef CONSUMER_WATCH_H
#define CONSUMER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/abi.h>

#include "consumer/process.h"
#include "consumer/stage.h"
#include "consumer/sums.h"
#include "consumer/ticks.h"
#include "ring/lane.h"
#include "ring/region.h"
#include "ring/shared.h"

/* One cell of a lane. */
struct cell_watch {
	struct ledger_sums good; /* its last whole value */
	size_t place;		 /* where its sum was found last, or nothing of it */
};

struct pipeline; /* consumer/pipeline.h */

/* One lane, as followed. */
struct lane_watch {
	struct lane_reader reader; /* header is always set */
	struct cell_watch *cells;  /* in the order of its directory */
	uint32_t cell_room;
	uint64_t settled_cells;	   /* so many there were in the first pass over them, and */
	uint64_t settled_event_no; /* this was the last event in them; or UINT64_MAX */

	struct process *row;		       /* whose it is; NULL: of nobody who is told apart */
	uint64_t base_events, base_unrecorded; /* of its earlier owners */
	uint64_t events, unrecorded;	       /* of all owners; of these, without a record */
	struct account part;		       /* seen, missed and overwritten of its row's */

	bool has_last;
	struct tally_record last; /* of an owner that is gone: the lane's last valid record */
};

/* One process entry. */
struct entry_watch {
	bool known;	     /* its first page is there: it can be looked at */
	uint64_t generation; /* at the census; 0: nobody's */
	struct process *row; /* whose generation that is */
};

/* A record of the shared ring whose process was not known yet. */
struct late_record {
	uint32_t entry;
	struct tally_record record;
};

/* A pool's name, as a process gave it. */
struct pool_name {
	uint32_t pool;
	char name[24];
};

struct region_watch {
	struct pipeline *pipeline; /* where records go; NULL: they are counted only */
	struct stage stage;	   /* those on their way there */
	struct ticks ticks;
	struct region_view view; /* base NULL once let go */
	char name[REGION_NAME_MAX];
	uint64_t holds;	  /* what this consumer says in its cursors; 0: they are not its own */
	bool joined;	  /* has entries for several processes */
	bool fresh;	  /* no look has been through it yet */
	bool alive;	  /* a process of it was, at the last census */
	bool unsettled;	  /* it changed all the time: what was known before is shown */
	bool last;	  /* nobody looks again: nothing is left for the next drain */
	bool stale;	  /* something was met that only a look can tell the owner of */
	bool cut;	  /* its file was, while it was read */
	bool seen_late;	  /* it may have been there before the last look; until it is added up */
	bool file_gone;	  /* its name is no longer in the directory, or is another file's */
	uint32_t hurries; /* looks that were brought forward to see it end */
	size_t listed;	  /* rows of it that are shown */

	struct entry_watch *entries;
	uint32_t entry_count;	 /* up to the last one that is known */
	struct process *closing; /* rows that were overtaken, to be closed */

	struct lane_watch *lanes;
	uint32_t lane_count, lane_room;

	uint64_t settled_print;	     /* of one process: of its shared cells in the first pass */
	struct shared_reader shared; /* slots NULL until the ring is seen ready */
	struct late_record *late;
	uint32_t late_count, late_room;

	/* Joined: what owners did that are not told apart any more, all of it abandoned. */
	struct sums past, past_kept;
	uint64_t past_rejected;

	struct pool_name *pool_names;
	size_t pool_name_count;
	struct tally_device_entry *devices; /* ordered by device, the latest of each */
	size_t device_count;
	uint32_t devices_read; /* entries of the region looked at */
};

/* Follows a region just opened; takes the view over. Its records go to `pipeline`, if there is one.
 * NULL: no memory. */
struct region_watch *watch_new(const char *name, const struct region_view *view,
			       struct pipeline *pipeline);

/* Whether its file was cut, or its descriptor closed: it sends SIGBUS then to whoever reads it,
 * unless there is a guard. */
bool watch_is_cut(struct region_watch *region);

/* Gives back the mapping, the descriptor and the lanes; the rest stays. Once is enough. */
void watch_let_go(struct region_watch *region);

/* With all its rows; none is listed any more. */
void watch_free(struct region_watch *region);

static inline struct tally_process_header *watch_header(const struct region_watch *region,
							uint32_t entry)
{
	return region_process(region->view.base, &region->view.at, entry);
}

/* ---- describe.c ------------------------------------------------------------------------------ */

/* Reads new descriptions, and names of the pools in its sums. 0 or -ENOMEM. */
int describe_read(struct region_watch *region);

/* The name of a pool that has the same everywhere, or NULL. */
const char *describe_fixed_pool(uint32_t pool);

/* The name a process of the region gave to a pool, or NULL. */
const char *describe_pool(const struct region_watch *region, uint32_t pool);

/* Puts `more` entries into an array, both ordered by device; of the same device they replace the
 * one that is there. 0 or -ENOMEM. */
int describe_merge(struct tally_device_entry **devices, size_t *count,
		   const struct tally_device_entry *more, size_t more_count);

#endif
