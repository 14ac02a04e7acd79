/* SPDX-License-Identifier: Apache-2.0 */
/* A lane: one thread's overwriting single-producer ring, and the ledger that goes with it.
 *
 * The owner works from a private struct lane_writer and only writes to shared memory; readers have
 * a struct lane_reader each. The protocol is on the page in ring/slot.h.
 */
#ifndef RING_LANE_H
#define RING_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/cdefs.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#include "ring/clock.h"
#include "ring/geometry.h"
#include "ring/ledger.h"
#include "ring/lossless.h"
#include "ring/slot.h"

/* ---- Writing --------------------------------------------------------------------------------- */

#define LANE_INDEX_LOG2 11 /* of the private index; twice the cells of a directory */

struct region; /* ring/region.h */

/* Where the events of one (device, pool, flags) go. */
struct lane_target {
	uint64_t key; /* device << 32 | pool and flags as given, + 1; 0 is empty */
	struct tally_cell *cell;
	uint64_t where; /* the record's word, but for the thread id */
	uint64_t spare; /* a power of two is quicker to index */
};

/* Private to the process; handed from a thread that leaves the lane to the one that claims it.
 * All zero before the lane's first owner. */
struct lane_writer {
	struct tally_record *slots;
	struct tally_lane_header *header;
	uint64_t slot_mask;
	uint64_t lap_scale;    /* from a lap's first position to slot_lap() */
	uint64_t event_offset; /* event number of a record - its position */
	uint64_t tag;	       /* that its records carry */
	uint32_t ring_log2;
	uint32_t tid;
	enum tally_clock clock;
	uint32_t cell_count;
	struct tally_cell *cells;
	struct region *region;
	struct lossless_writer lossless;
	struct tally_record no_ring; /* the slots of a lane without a ring: nobody reads it */
	struct lane_target index[1u << LANE_INDEX_LOG2];
};

/* One event, as a push gets it. */
struct lane_event {
	uint64_t time;
	enum tally_kind kind;
	uint64_t buffer_id;
	uint64_t size;
};

/* Device and pool numbers, flags in bits 24 .. 31 of the pool, that have a cell. */
static inline bool lane_in_range(uint32_t device, uint32_t pool)
{
	return device < TALLY_DEVICES && (pool & 0x00ffffff) < TALLY_POOLS;
}

/* A record's word `where`, but for the thread id. */
static inline uint64_t lane_where(uint32_t device, uint32_t pool)
{
	return (uint64_t)device << 48 | (uint64_t)(pool & 0xff) << 40 |
	       (uint64_t)(pool >> 24) << 32;
}

/* Claims a lane for thread `tid` of process entry `entry`: a free one, one whose thread has gone,
 * or one that lanes_book() has retired; writers is the process's array with one writer per lane.
 * start_pos is the first position of a lane that had no owner yet. NULL when all are taken or
 * memory is short. Wait-free but for the system calls that reserve pages of a new lane. */
struct lane_writer *lane_claim(struct region *region, struct lane_writer *writers, uint32_t entry,
			       uint32_t tid, uint64_t start_pos);

/* Whether lane_claim() may find one. Wait-free, no system call. */
bool lane_claimable(const struct region *region, uint32_t entry);

/* Leaves the lane to the next thread. The owner alone, outside a push. */
void lane_leave(struct lane_writer *writer);

/* Finishes the lanes of a dead process, writes down what they held, and retires them. The caller
 * holds the lock of `entry`, whose generation is 0. May be done again, from the start. Negative
 * errno: a lane's words say that there is what cannot be touched. */
int lanes_book(struct region *region, uint32_t entry);

/* Where events of (device, pool) go, made on first use. NULL: out of range, or the directory is
 * full, or memory is short. The owner alone. */
const struct lane_target *lane_target_slow(struct lane_writer *writer, uint32_t device,
					   uint32_t pool);

/* A (device, pool, flags) as the index knows it. 0, which marks an empty entry, is the key of a
 * pair too, as it must be; that one is out of range, and the entry where it would be looked for,
 * the first, is taken for good by another such pair, which would be looked for elsewhere. */
#define LANE_INDEX_TAKEN UINT64_MAX
static __always_inline uint64_t lane_index_key(uint32_t device, uint32_t pool)
{
	return ((uint64_t)device << 32 | pool) + 1;
}

/* Its place: the top bits of a product with an odd constant, 2^64 / golden ratio. */
#define LANE_INDEX_PLACE(key) ((key)*0x9e3779b97f4a7c15ull >> (64 - LANE_INDEX_LOG2))
_Static_assert(LANE_INDEX_PLACE(LANE_INDEX_TAKEN) != 0, "it would be found where it was put");

static __always_inline uint32_t lane_index_hash(uint64_t key)
{
	return (uint32_t)LANE_INDEX_PLACE(key);
}

/* The same, without a call when it was used before and nothing collides. */
static __always_inline const struct lane_target *lane_target(struct lane_writer *writer,
							     uint32_t device, uint32_t pool)
{
	uint64_t key = lane_index_key(device, pool);
	const struct lane_target *target = &writer->index[lane_index_hash(key)];

	if (__builtin_expect(target->key == key, 1))
		return target;
	return lane_target_slow(writer, device, pool);
}

/* A record that is being written. */
struct lane_slot {
	struct tally_record *slot;
	uint64_t pos;
	uint64_t writing; /* its commit word meanwhile */
};

/* Marks the slot for position `pos` and fills it, but for the balance. Step L1. */
static __always_inline struct lane_slot lane_begin(struct lane_writer *writer, uint64_t pos,
						   uint64_t where, const struct lane_event *event)
{
	struct tally_record *slot = &writer->slots[pos & writer->slot_mask];
	uint64_t lap = (pos & ~writer->slot_mask) * writer->lap_scale;
	uint64_t writing = slot_commit(lap, TALLY_SLOT_WRITING, event->kind);
	struct lane_slot begun = { .slot = slot, .pos = pos, .writing = writing };

	/* relaxed: L1 orders the mark before the payload */
	tally_store_relaxed(&slot->commit, writing);
	tally_fence_release(); /* L1 -> R2: the mark before any payload word */
	/* relaxed: L2 publishes them together */
	tally_store_relaxed(&slot->time, event->time);
	tally_store_relaxed(&slot->buffer_id, event->buffer_id);
	tally_store_relaxed(&slot->size, event->size);
	tally_store_relaxed(&slot->event_no, pos + writer->event_offset);
	tally_store_relaxed(&slot->where, where | writer->tid);
	tally_store_relaxed(&slot->label, writer->tag);
	return begun;
}

/* Completes and publishes it. Steps L2 and L3. */
static __always_inline void lane_publish(struct lane_writer *writer, const struct lane_slot *begun,
					 uint64_t balance)
{
	/* relaxed: L2 publishes it */
	tally_store_relaxed(&begun->slot->lane_balance, balance);
	/* L2 -> R1: payload before VALID */
	tally_store_release(&begun->slot->commit, slot_valid(begun->writing));
	/* L3 -> R3: the record before the position that covers it */
	tally_store_release(&writer->header->publish_pos, begun->pos + 1);
}

/* Before a push into a lossless lane: waits, bounded, until there is room. The owner alone. */
static __always_inline void lane_wait(struct lane_writer *writer)
{
	/* own: only this thread writes it */
	lossless_wait(&writer->lossless, tally_load_relaxed(&writer->header->publish_pos),
		      writer->slot_mask + 1);
}

/* Counts and records one event on `target`. Wait-free; the owner alone, which has marked itself
 * busy. Inlined so that a constant kind folds away. */
static __always_inline void lane_push(struct lane_writer *writer, const struct lane_target *target,
				      const struct lane_event *event)
{
	struct ledger_sums change = ledger_change(event->kind, event->size, event->buffer_id);
	struct tally_cell *cell = target->cell;
	/* own: only this thread writes it */
	uint64_t pos = tally_load_relaxed(&writer->header->publish_pos);
	struct lane_slot begun = lane_begin(writer, pos, target->where, event);
	uint64_t seq = tally_load_relaxed(&cell->seq); /* own: likewise */
	uint64_t balance = ledger_prepare(cell, seq, &change, pos + writer->event_offset);

	lane_publish(writer, &begun, balance);
	ledger_commit(cell, seq, &change, balance);
}

/* Records an event that moves no sums: a mark, a description. The owner alone, busy. */
void lane_note(struct lane_writer *writer, uint32_t device, uint64_t tag,
	       const struct lane_event *event);

/* Books sums that were counted before the lane existed, `events` of them, as its opening. False:
 * there is no room for the cell. */
bool lane_open_cell(struct lane_writer *writer, uint64_t key, const struct ledger_sums *opening,
		    uint64_t events);

/* ---- Reading --------------------------------------------------------------------------------- */

/* Loads a lane's counters: its events so far, and how many of them have no record. Exact when the
 * owner rests; any thread. */
void lane_count(const struct tally_lane_header *header, uint64_t *ret_events,
		uint64_t *ret_unrecorded);

/* Where one reader stands in one lane. All private; shared words are loaded once and checked. */
struct lane_reader {
	struct tally_lane_header *header;
	struct tally_cursor *cursor;	  /* NULL: nobody waits for this reader */
	uint64_t holder;		  /* that it says there */
	const struct tally_record *slots; /* NULL until the ring is seen ready */
	uint64_t pos;			  /* of the next record to read */
	uint64_t event_no;		  /* of the last record read */
	uint64_t seen;			  /* records read */
	uint64_t missed;		  /* overwritten before the first drain */
	uint64_t lost;			  /* overwritten since, before they were read */
	uint64_t skipped;		  /* of an unknown kind */
	uint64_t idle_pos;		  /* publish_pos at the last drain */
	uint32_t ring_log2;
	bool started;
	bool stops;		/* before stop_pos, whatever is there */
	uint64_t stop_pos;	/* where the records of another owner begin, or may */
	const char *quarantine; /* why its records are not read any more, or NULL */
};

/* Reads what has been published, oldest first, at most a ring and a half a call, and hands each
 * record to `take` (may be NULL). Stays a few records behind a writer that is moving, so that the
 * line being written is left alone, unless `to_end`. `writer_gone`: nobody owns the lane's process
 * any more, so also a record that was published without publish_pos counts. Each line that was
 * read is flushed, so that the producer finds it free. A cursor follows on the way. Wait-free. */
void lane_drain(struct lane_reader *reader, bool to_end, bool writer_gone,
		void (*take)(void *arg, const struct tally_record *record), void *arg);

/* ledger_read(), and for the lane of a process that is gone the one record that the ledger may
 * lack. `last` is that lane's last valid record, from lane_last(), or NULL. */
bool ledger_settled(const struct tally_cell *cell, uint64_t key, const struct tally_record *last,
		    struct ledger_sums *ret_sums);

/* The last valid record of a lane nobody writes any more. False: it has none. */
bool lane_last(const struct tally_lane_header *header, const struct tally_record *slots,
	       uint32_t ring_log2, struct tally_record *ret_record);

#endif
