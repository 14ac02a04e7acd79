/* SPDX-License-Identifier: Apache-2.0 */
/* Other ways to claim a slot of the shared ring, to be measured beside the one that is used.
 *
 *	by position   load the shared position, claim its slot, then move the position on; who finds
 *	              the slot taken helps to move it. No ticket is ever wasted.
 *	one by one    a ticket is taken for each push. The position that all share is written eight
 *	              times as often.
 */
#ifndef BENCH_OTHER_CLAIMS_H
#define BENCH_OTHER_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/atomic.h>

#include "ring/shared.h"
#include "ring/slot.h"

/* The rest of a push, the same for all. */
static __always_inline void other_write(const struct shared_ring *ring, struct tally_record *slot,
					uint64_t writing, const struct shared_event *event)
{
	uint64_t event_no = tally_add_release(&ring->process->shared_events, 1) + 1;

	tally_fence_release();
	tally_store_relaxed(&slot->time, event->time);
	tally_store_relaxed(&slot->buffer_id, event->buffer_id);
	tally_store_relaxed(&slot->size, event->size);
	tally_store_relaxed(&slot->lane_balance, 0);
	tally_store_relaxed(&slot->event_no, event_no);
	tally_store_relaxed(&slot->where, event->where);
	tally_store_relaxed(&slot->label, event->label);
	tally_store_release(&slot->commit, slot_valid(writing));
}

/* Claims the slot of one position. */
static __always_inline struct tally_record *other_try(const struct shared_ring *ring, uint64_t pos,
						      enum tally_kind kind, uint64_t *ret_writing)
{
	struct tally_record *slot = &ring->slots[pos & ring->slot_mask];
	uint64_t lap = (pos & ~ring->slot_mask) * ring->lap_scale;
	uint64_t found = tally_load_relaxed(&slot->commit);

	*ret_writing = slot_commit(lap, TALLY_SLOT_WRITING, kind) | ring->entry;
	if (!shared_claimable(found, lap) ||
	    !tally_cas_acquire(&slot->commit, &found, *ret_writing))
		return NULL;
	return slot;
}

static __always_inline bool push_by_position(const struct shared_ring *ring,
					     const struct shared_event *event)
{
	int tries;

	for (tries = 0; tries < SHARED_TRIES; tries++) {
		uint64_t pos = tally_load_acquire(&ring->head->reserve_pos), expected = pos;
		uint64_t writing;
		struct tally_record *slot = other_try(ring, pos, event->kind, &writing);

		tally_cas_both(&ring->head->reserve_pos, &expected, pos + 1);
		if (slot) {
			other_write(ring, slot, writing, event);
			return true;
		}
	}
	return false;
}

static __always_inline bool push_one_by_one(const struct shared_ring *ring,
					    const struct shared_event *event)
{
	int tries;

	for (tries = 0; tries < SHARED_TRIES; tries++) {
		uint64_t pos = tally_add_release(&ring->head->reserve_pos, 1);
		uint64_t writing;
		struct tally_record *slot = other_try(ring, pos, event->kind, &writing);

		if (slot) {
			other_write(ring, slot, writing, event);
			return true;
		}
	}
	return false;
}

#endif
