/* SPDX-License-Identifier: Apache-2.0 */
/* The shared ring: many producers, overwriting; for threads without a lane and signal handlers.
 *
 * A pusher takes a ticket, claims its slot, writes, publishes; a slot that somebody is still
 * writing is passed over. Readers have a struct shared_reader each. The protocol is on the page in
 * ring/slot.h.
 */
#ifndef RING_SHARED_H
#define RING_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/abi.h>

#include "ring/region.h"

/* Tickets that one push takes at most. */
#define SHARED_TRIES 16

/* ---- Writing --------------------------------------------------------------------------------- */

/* Where a process pushes. Private; a copy is as good. */
struct shared_ring {
	struct tally_shared_ring *head;
	struct tally_record *slots; /* NULL: there is no such ring */
	uint64_t slot_mask;
	uint64_t lap_scale; /* from a lap's first position to slot_lap() */
	uint64_t *events;   /* where this process's event numbers are taken */
	uint32_t entry;	    /* the process's */
	struct region *region;
};

/* One event, as its record tells it. */
struct shared_event {
	uint64_t time;
	enum tally_kind kind;
	uint64_t buffer_id;
	uint64_t size;
	uint64_t where;
	uint64_t label;
};

/* The shared ring of a region as process entry `entry` sees it. */
struct shared_ring shared_of(struct region *region, uint32_t entry);

/* Records one event, and takes its number. False, with no number taken: there is no ring, no memory
 * for it, or SHARED_TRIES tickets in a row met a slot that was being written. Lock-free, at most
 * SHARED_TRIES rounds; any thread or signal handler; but for a process's first push, which may make
 * a system call. */
bool shared_push(const struct shared_ring *ring, const struct shared_event *event);

/* Frees the slots in which entry `entry` died writing. The caller holds its lock. */
void shared_abort(struct region *region, uint32_t entry);

/* ---- Reading --------------------------------------------------------------------------------- */

/* Where one reader stands. All private; shared words are loaded once and checked. */
struct shared_reader {
	const struct tally_shared_ring *head;
	const struct tally_record *slots;
	uint32_t ring_log2;
	bool started;
	uint64_t scan_pos; /* every position before it was looked at */
	uint64_t idle_pos; /* reserve_pos at the last drain */
	uint64_t died;	   /* slots whose writer died */
	/* Holes: slots with positions before scan_pos that may yet get their record. */
	uint32_t *holes;
	uint32_t hole_count;
	uint64_t *hole_pos;	/* by slot: the first such position, or SHARED_NO_HOLE */
	uint64_t *found;	/* room for sorting */
	const char *quarantine; /* why it is not read any more, or NULL */
};

#define SHARED_NO_HOLE UINT64_MAX

/* Prepares a reader. 0 or -ENOMEM. The ring's pages are reserved (shared_ready). */
int shared_reader_open(struct shared_reader *reader, unsigned char *base,
		       const struct geometry *at);
void shared_reader_close(struct shared_reader *reader);

/* Reads what has been published and not been read: first what was a hole, then what is new. At most
 * a ring a call; hands each record to `take`, which finds its owner in the commit word. Stays a few
 * records behind writers that are moving unless `to_end`. `writers_gone`: no process of the region
 * lives; holes are given up. Never waits. */
void shared_drain(struct shared_reader *reader, bool to_end, bool writers_gone,
		  void (*take)(void *arg, const struct tally_record *record), void *arg);

#endif
