/* SPDX-License-Identifier: Apache-2.0 */
/* One followed region: what this consumer knows of one process image. All private to the consumer;
 * used by the one thread that polls.
 *
 *	following   mapped, its lock held by its process
 *	ended       the lock was seen gone, then everything was read once more; totals are frozen,
 *	            the mapping and the descriptor are given back
 */
#ifndef CONSUMER_PROCESS_H
#define CONSUMER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/abi.h>
#include <tally/consumer.h>

#include "consumer/sums.h"
#include "ring/lane.h"
#include "ring/region.h"
#include "ring/shared.h"

/* One lane, as followed. */
struct lane_watch {
	struct lane_reader reader; /* header is always set */
	struct ledger_sums *good;  /* the last whole value of each cell */
	uint32_t good_room;
	uint64_t events;     /* counted so far, or in all once its process is gone */
	uint64_t unrecorded; /* of these, without a record */
	bool has_last;
	struct tally_record last; /* of a process that is gone: the lane's last valid record */
};

/* A pool's name, as the process gave it. */
struct pool_name {
	uint32_t pool;
	char name[24];
};

struct process {
	struct region_view view; /* base NULL once ended */
	char name[REGION_NAME_MAX];

	bool ended;
	bool cut;	   /* its file was, while it was read */
	bool ended_before; /* in an earlier look than this one */
	bool file_gone;	   /* its name is no longer in the directory */
	bool leaving;	   /* shown for the last time */
	uint64_t ended_ns; /* its own word: CLOCK_MONOTONIC at a clean exit, or 0 */

	struct lane_watch *lanes;
	uint32_t lane_count, lane_room;

	struct shared_reader shared; /* slots NULL until the ring is seen ready */
	uint64_t shared_seen;	     /* records read of it */
	uint64_t shared_events;	     /* numbers taken before the last drain */
	uint64_t shared_first;	     /* before the first one */
	bool shared_known;	     /* that number is */
	uint64_t shared_old;	     /* records read of those */

	struct sums sums;
	int64_t inherited_bytes, inherited_allocations; /* from the process it was forked from */
	bool inherited_counted; /* in the sums over all processes: its parent has gone */

	struct pool_name *pool_names;
	size_t pool_name_count;
	struct tally_device_entry *devices; /* ordered by device, the latest of each */
	size_t device_count;
	uint32_t devices_read; /* entries of the region looked at */

	struct tally_process_view said; /* all but first_pool and pool_count */
};

/* A process for a region just opened; takes the view over. NULL: no memory. */
struct process *process_new(const char *name, const struct region_view *view);

/* Reads who it is, from its entry. */
void process_identify(struct process *process);

/* Gives back the mapping, the descriptor and the lanes; the rest stays. Once is enough. */
void process_let_go(struct process *process);

void process_free(struct process *process);

/* ---- describe.c ------------------------------------------------------------------------------ */

/* Reads new descriptions, and names of the pools in its sums. 0 or -ENOMEM. */
int describe_read(struct process *process);

/* The name the process gave to a pool, or NULL. */
const char *describe_pool(const struct process *process, uint32_t pool);

/* Adds an entry to an array ordered by device, or replaces the one that is there. 0 or -ENOMEM. */
int describe_device(struct tally_device_entry **devices, size_t *count,
		    const struct tally_device_entry *entry);

#endif
