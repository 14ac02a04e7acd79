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
#include <sys/cdefs.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#include "ring/region.h"
#include "ring/slot.h"

#define SHARED_GROUP TALLY_SHARED_GROUP

/* Slots that one push tries at most. */
#define SHARED_TRIES 16

/* Places where a test may come between: nothing elsewhere. */
#ifndef TALLY_TESTPOINT
#define TALLY_TESTPOINT(place) ((void)0)
#endif

/* ---- Writing --------------------------------------------------------------------------------- */

/* Where a process pushes. Private; a copy is as good. */
struct shared_ring {
	struct tally_shared_ring *head;
	struct tally_record *slots; /* NULL: there is no such ring */
	uint64_t slot_mask;
	uint64_t lap_scale;		      /* from a lap's first position to slot_lap() */
	struct tally_process_header *process; /* this one's entry, where its numbers are taken */
	uint32_t entry;			      /* its number */
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

/* Reserves the ring's pages, on its first use. False: there is no ring, or no memory for it. Any
 * thread or process may do it, at the same time, too. */
bool shared_reserve(const struct shared_ring *ring);

/* Whether the ring can be used without shared_reserve(). */
static __always_inline bool shared_ready(const struct shared_ring *ring)
{
	/* by the ring's own pointers, as its region may have been wiped by a fork */
	unsigned char *page;

	if (!ring->slots)
		return false;
	page = (unsigned char *)ring->head - TALLY_SHARED_RING;

	/* U2'''''''' -> U1: who sees the flag finds the pages */
	return tally_load_acquire(&region_state(page)->shared_ready) == 1;
}

/* Whether a pusher at slot_lap() `lap` may take a slot that has this commit word. */
static __always_inline bool shared_claimable(uint64_t commit, uint64_t lap)
{
	switch (slot_state(commit)) {
	case TALLY_SLOT_FREE:
		return true;
	case TALLY_SLOT_WRITING:
		return false;
	default:
		return slot_is_older(slot_ahead(commit, lap));
	}
}

/* Goes through tickets until a slot is claimed; its commit word meanwhile is *ret_writing. NULL:
 * none. */
static __always_inline struct tally_record *shared_claim(const struct shared_ring *ring,
							 enum tally_kind kind, uint64_t *ticket,
							 uint64_t *ret_writing)
{
	int tries;

	for (tries = 0; tries < SHARED_TRIES; tries++) {
		uint64_t pos = *ticket;
		struct tally_record *slot;
		uint64_t lap, found, writing;

		if (pos % SHARED_GROUP == 0)
			/* T1 -> T2: this thread's records so far, before its next group */
			pos = tally_add_release(&ring->head->reserve_pos, SHARED_GROUP);
		*ticket = pos + 1;
		TALLY_TESTPOINT(ticket);
		slot = &ring->slots[pos & ring->slot_mask];
		lap = (pos & ~ring->slot_mask) * ring->lap_scale;
		writing = slot_commit(lap, TALLY_SLOT_WRITING, kind) | ring->entry;
		/* relaxed: the exchange decides */
		found = tally_load_relaxed(&slot->commit);
		/* C2 -> C1: what the slot's last owner wrote is before what is written now */
		if (shared_claimable(found, lap) &&
		    tally_cas_acquire(&slot->commit, &found, writing)) {
			*ret_writing = writing;
			return slot;
		}
		if (slot_state(found) != TALLY_SLOT_WRITING) /* too late: so is the group */
			*ticket = 0;
	}
	return NULL;
}

/* Records one event, and takes its number; the ring is ready. *ticket is the thread's next one, 0
 * at first, and for a handler that interrupts a push another than that push's. False, with no
 * number taken: SHARED_TRIES slots in a row could not be claimed. Lock-free, at most SHARED_TRIES
 * rounds; any thread or signal handler. Inlined: a locked instruction waits for every store before
 * it, also for those of arguments. */
static __always_inline bool shared_push(const struct shared_ring *ring,
					const struct shared_event *event, uint64_t *ticket)
{
	struct tally_record *slot;
	uint64_t writing, event_no;

	slot = shared_claim(ring, event->kind, ticket, &writing);
	if (!slot)
		return false;
	TALLY_TESTPOINT(claimed);
	/* Y1 -> Y2: who counts the number finds the slot claimed */
	event_no = tally_add_release(&ring->process->shared_events, 1) + 1;
	tally_fence_release(); /* L1' -> R2: the mark before any payload word */
	/* relaxed: C1 publishes them together */
	tally_store_relaxed(&slot->time, event->time);
	tally_store_relaxed(&slot->buffer_id, event->buffer_id);
	tally_store_relaxed(&slot->size, event->size);
	tally_store_relaxed(&slot->lane_balance, 0);
	tally_store_relaxed(&slot->event_no, event_no);
	tally_store_relaxed(&slot->where, event->where);
	tally_store_relaxed(&slot->label, event->label);
	TALLY_TESTPOINT(written);
	/* C1 -> R1, C2: payload before VALID */
	tally_store_release(&slot->commit, slot_valid(writing));
	return true;
}

/* Frees the slots in which entry `entry` died writing. The caller holds its lock. */
void shared_abort(struct region *region, uint32_t entry);

/* ---- Reading --------------------------------------------------------------------------------- */

/* Where one reader stands. All private; shared words are loaded once and checked. */
struct shared_reader {
	const struct tally_shared_ring *head;
	const struct tally_record *slots;
	uint32_t ring_log2;
	uint64_t scan_pos; /* every position before it was looked at; a group's first */
	uint64_t idle_pos; /* reserve_pos at the last drain */
	uint32_t *writing; /* by entry: slots it was writing then, whose numbers may count */
	uint32_t entries;
	uint64_t died; /* slots whose writer died */
	/* Holes: slots with positions before scan_pos that may yet get their record. */
	uint64_t *holes;	/* a bit a slot */
	uint64_t *hole_pos;	/* by slot: the first such position */
	uint64_t *found;	/* room for sorting */
	const char *quarantine; /* why it is not read any more, or NULL */
};

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

/* Of the numbers of `entry` that were counted before the last drain, so many at most may belong to
 * records that are still to come. */
uint64_t shared_outstanding(const struct shared_reader *reader, uint32_t entry);

#endif
