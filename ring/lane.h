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
#include <tally/abi.h>
#include <tally/atomic.h>

#include "ring/clock.h"
#include "ring/geometry.h"
#include "ring/ledger.h"
#include "ring/slot.h"

/* ---- Writing --------------------------------------------------------------------------------- */

#define LANE_INDEX_LOG2 11 /* of the private index; twice the cells of a directory */

struct region; /* ring/region.h */

/* Private to the process; handed from a thread that leaves the lane to the one that claims it. */
struct lane_writer {
	struct tally_record *slots; /* NULL: totals only */
	struct tally_lane_header *header;
	struct tally_cell *cells;
	struct region *region;
	uint64_t pos;	   /* of the next record */
	uint64_t slot_mask;
	uint64_t event_no; /* of the last event */
	uint32_t ring_log2;
	uint32_t tid;
	enum tally_clock clock;
	uint32_t cell_count;
	struct {
		uint32_t key; /* device << 8 | pool, + 1; 0 is empty */
		uint32_t cell;
	} index[1u << LANE_INDEX_LOG2];
};

/* One event, as a push gets it. */
struct lane_event {
	uint64_t time;
	enum tally_kind kind;
	uint32_t device; /* 0 .. 65535 */
	uint32_t pool;	 /* 0 .. 255, flags in bits 24 .. 31 */
	uint64_t buffer_id;
	uint64_t size;
	uint64_t tag;
};

/* Claims a free lane, or one whose thread has gone, for thread `tid` of process entry `entry`;
 * writers is the process's array with one writer per lane. start_pos is the first position of a
 * lane that had no owner yet. NULL when all are taken or memory is short. Wait-free but for the
 * system calls that reserve pages of a lane used for the first time. */
struct lane_writer *lane_claim(struct region *region, struct lane_writer *writers, uint32_t entry,
			       uint32_t tid, uint64_t start_pos);

/* Leaves the lane to the next thread. The owner alone, outside a push. */
void lane_leave(struct lane_writer *writer);

/* Finishes what a push that never returned has left behind: applies the last valid record when
 * the ledger is behind it. The owner alone. */
void lane_settle(struct lane_writer *writer);

/* The cell of (device, pool), made on first use; NULL when the directory is full or memory is
 * short. The owner alone. */
struct tally_cell *lane_cell_slow(struct lane_writer *writer, uint32_t device, uint32_t pool);

static inline uint32_t lane_index_hash(uint32_t key)
{
	return (key ^ key >> 8) & ((1u << LANE_INDEX_LOG2) - 1);
}

/* The same, without a call when the cell was used before and nothing collides. */
static inline struct tally_cell *lane_cell(struct lane_writer *writer, uint32_t device,
					   uint32_t pool)
{
	uint32_t key = device << 8 | (pool & 0xff);
	uint32_t slot = lane_index_hash(key);

	if (__builtin_expect(writer->index[slot].key == key + 1, 1))
		return &writer->cells[writer->index[slot].cell];
	return lane_cell_slow(writer, device, pool);
}

/* Publishes the record at writer->pos and moves on. Steps L1 to L3. */
static inline void lane_publish(struct lane_writer *writer, const struct lane_event *event,
				uint64_t balance, uint64_t event_no)
{
	uint64_t pos = writer->pos;
	struct tally_record *slot = &writer->slots[pos & writer->slot_mask];
	uint64_t where = (uint64_t)event->device << 48 | (uint64_t)(event->pool & 0xff) << 40 |
			 (uint64_t)(event->pool >> 24) << 32 | writer->tid;

	/* relaxed: L1 orders the mark before the payload */
	tally_store_relaxed(&slot->commit, slot_commit(pos, writer->ring_log2, TALLY_SLOT_WRITING,
						       event->kind));
	tally_fence_release(); /* L1 -> R2: the mark before any payload word */
	/* relaxed: L2 publishes them together */
	tally_store_relaxed(&slot->time, event->time);
	tally_store_relaxed(&slot->buffer_id, event->buffer_id);
	tally_store_relaxed(&slot->size, event->size);
	tally_store_relaxed(&slot->lane_balance, balance);
	tally_store_relaxed(&slot->event_no, event_no);
	tally_store_relaxed(&slot->where, where);
	tally_store_relaxed(&slot->label, event->tag);
	/* L2 -> R1: payload before VALID */
	tally_store_release(&slot->commit,
			    slot_commit(pos, writer->ring_log2, TALLY_SLOT_VALID, event->kind));
	/* L3 -> R3: the record before the position that covers it */
	tally_store_release(&writer->header->publish_pos, pos + 1);
	writer->pos = pos + 1;
}

/* Counts and records one event on `cell` (NULL for an event that moves no sums). Wait-free; the
 * owner alone, which has marked itself busy. Inlined so that a constant kind folds away. */
__attribute__((always_inline)) static inline void
lane_push(struct lane_writer *writer, struct tally_cell *cell, const struct lane_event *event)
{
	uint64_t event_no = writer->event_no + 1;
	struct tally_cell_half sums = { 0 };
	uint64_t seq = 0;

	if (cell) {
		seq = tally_load_relaxed(&cell->seq); /* own: only this thread writes it */
		sums = ledger_current(cell, seq);
		ledger_apply(&sums, event->kind, event->size, event->buffer_id, event_no);
	}
	if (__builtin_expect(writer->slots != NULL, 1)) {
		lane_publish(writer, event, sums.allocated_bytes - sums.freed_bytes, event_no);
	} else {
		uint64_t *unrecorded = &writer->header->unrecorded;

		/* relaxed: own word, a count that stands by itself */
		tally_store_relaxed(unrecorded, tally_load_relaxed(unrecorded) + 1);
	}
	if (cell)
		ledger_update(cell, seq, &sums);
	/* relaxed: own word; a reader takes the higher of it and the records' numbers */
	tally_store_relaxed(&writer->header->event_no, event_no);
	writer->event_no = event_no;
}

/* Books sums that were counted before the lane existed, `events` of them, as its opening. */
void lane_open_cell(struct lane_writer *writer, struct tally_cell *cell,
		    const struct tally_cell_half *opening, uint64_t events);

/* ---- Reading --------------------------------------------------------------------------------- */

/* Where one reader stands in one lane. All private; shared words are loaded once and checked. */
struct lane_reader {
	struct tally_lane_header *header;
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
	const char *quarantine; /* why its records are not read any more, or NULL */
};

/* Reads what has been published, oldest first, at most a ring and a half a call, and hands each
 * record to `take` (may be NULL). Stays a few records behind a writer that is moving, so that the
 * line being written is left alone, unless `to_end`. `writer_gone`: nobody owns the lane's process
 * any more, so also a record that was published without publish_pos counts. Each line that was
 * read is flushed, so that the producer finds it free. Wait-free. */
void lane_drain(struct lane_reader *reader, bool to_end, bool writer_gone,
		void (*take)(void *arg, const struct tally_record *record), void *arg);

/* ledger_read(), and for the lane of a process that is gone the one record that the ledger may
 * lack. `last` is that lane's last valid record, from lane_last(), or NULL. */
bool ledger_settled(const struct tally_cell *cell, uint64_t key, const struct tally_record *last,
		    struct tally_cell_half *ret_sums);

/* The last valid record of a lane nobody writes any more. False: it has none. */
bool lane_last(const struct tally_lane_header *header, const struct tally_record *slots,
	       uint32_t ring_log2, struct tally_record *ret_record);

#endif
