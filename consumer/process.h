/* SPDX-License-Identifier: Apache-2.0 */
/* One process image, as this consumer knows it: a row of what it shows. All private to the
 * consumer; used by the one thread that polls.
 *
 *	alive    its lock was held at the last census
 *	ended    the lock was seen gone, then everything was read once more; its numbers are final
 *	past     (joined regions) its entry has another owner, or none, by now: what it left is
 *	         part of the region's past, and no longer told apart there
 */
#ifndef CONSUMER_PROCESS_H
#define CONSUMER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/consumer.h>

#include "consumer/sums.h"

struct holder;	     /* consumer/books.h */
struct region_watch; /* consumer/watch.h */

/* What became of events. */
struct account {
	uint64_t events, seen, missed, overwritten, unrecorded;
};

struct process {
	struct region_watch *region;
	uint32_t entry;

	bool alive;
	bool ended;
	bool ended_before; /* in an earlier look than this one */
	bool past;
	bool settled;	   /* was read whole at least once */
	bool listed;	   /* among those that are shown */
	bool leaving;	   /* shown for the last time */
	bool met;	   /* a look has added it up before, */
	uint64_t met_ns;   /* the first, if what it did earlier is of no known time; or 0 */
	bool handed_over;  /* what it counted is in its region's past */
	uint64_t ended_ns; /* its own word: CLOCK_MONOTONIC at a clean exit, or 0 */

	/* In the shared ring: numbers of its entry. Those up to base_events are of earlier owners.
	 */
	uint64_t base_events, base_unrecorded, base_rejected;
	uint64_t shared_events;		  /* taken before the last drain */
	uint64_t shared_sure;		  /* numbers up to here are its own, or earlier ones */
	uint64_t shared_unrecorded;	  /* of its own, without a record */
	uint64_t shared_seen;		  /* its records that were read */
	uint64_t shared_first;		  /* the number taken last before the first drain */
	uint64_t shared_first_unrecorded; /* of those up to there, without a record */
	uint64_t shared_lost;		  /* the last account said so */
	bool shared_known;		  /* that number is */
	uint64_t shared_old;		  /* records read of those up to there */

	/* For readers of the table of live buffers; NULL as long as no record of it was taken. */
	struct holder *holder;
	uint64_t gone;	  /* records that were lost, or gone before the consumer came */
	uint64_t dropped; /* that were read, and then there was no memory for them */
	uint64_t lost_ns; /* CLOCK_MONOTONIC when more of them were found, 0: never */
	uint64_t incomplete_since_realtime_ns;

	struct account closed; /* in lanes that have another owner by now */

	struct sums sums;
	struct sums kept;				/* as they were before this look */
	int64_t inherited_bytes, inherited_allocations; /* from the process it was forked from */
	bool inherited_counted; /* in the sums over all processes: its parent has gone */

	struct process *next_closing; /* in its region's list */

	struct tally_process_view said; /* all but first_pool and pool_count */
};

/* A row for what lives, or has lived, in an entry of `region`; said and the numbers are for the
 * caller to fill in. NULL: no memory. */
struct process *process_new(struct region_watch *region, uint32_t entry);

void process_free(struct process *process);

#endif
