/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger cell: exact sums in two halves, one of which is always whole.
 *
 * The protocol (G1, G2, K1, K2) is on the page in ring/slot.h.
 */
#ifndef RING_LEDGER_H
#define RING_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/abi.h>
#include <tally/atomic.h>

/* How often a reader looks again at a cell that keeps changing. */
#define LEDGER_TRIES 16

/* The half that `seq` names, and the other. */
static inline struct tally_cell_half *ledger_half(struct tally_cell *cell, uint64_t seq)
{
	return seq & 1 ? &cell->half1 : &cell->half0;
}

/* The owner's own view of the current half: nobody else writes it. */
static inline struct tally_cell_half ledger_current(struct tally_cell *cell, uint64_t seq)
{
	struct tally_cell_half *half = ledger_half(cell, seq);
	struct tally_cell_half sums;

	/* relaxed: the owner reads what it wrote itself */
	sums.event_no = tally_load_relaxed(&half->event_no);
	sums.allocated_bytes = tally_load_relaxed(&half->allocated_bytes);
	sums.freed_bytes = tally_load_relaxed(&half->freed_bytes);
	sums.allocs = tally_load_relaxed(&half->allocs);
	sums.frees = tally_load_relaxed(&half->frees);
	sums.failures = tally_load_relaxed(&half->failures);
	sums.peak_bytes = tally_load_relaxed(&half->peak_bytes);
	return sums;
}

/* Makes `sums` current. Wait-free; the lane's owner alone. */
static inline void ledger_update(struct tally_cell *cell, uint64_t seq,
				 const struct tally_cell_half *sums)
{
	struct tally_cell_half *idle = ledger_half(cell, seq + 1);

	/* G1 -> K2: the last seq is seen before any word of the half it gave up */
	tally_fence_release();
	/* relaxed: G2 publishes them together */
	tally_store_relaxed(&idle->event_no, sums->event_no);
	tally_store_relaxed(&idle->allocated_bytes, sums->allocated_bytes);
	tally_store_relaxed(&idle->freed_bytes, sums->freed_bytes);
	tally_store_relaxed(&idle->allocs, sums->allocs);
	tally_store_relaxed(&idle->frees, sums->frees);
	tally_store_relaxed(&idle->failures, sums->failures);
	tally_store_relaxed(&idle->peak_bytes, sums->peak_bytes);
	tally_store_release(&cell->seq, seq + 1); /* G2 -> K1: the half is whole */
}

/* Adds one event to the sums. pool_reset: `size` bytes in `count` allocations were freed. */
static inline void ledger_apply(struct tally_cell_half *sums, enum tally_kind kind, uint64_t size,
				uint64_t count, uint64_t event_no)
{
	int64_t balance;

	sums->event_no = event_no;
	switch (kind) {
	case TALLY_KIND_ALLOC:
		sums->allocated_bytes += size;
		sums->allocs++;
		balance = (int64_t)(sums->allocated_bytes - sums->freed_bytes);
		if (balance > (int64_t)sums->peak_bytes)
			sums->peak_bytes = (uint64_t)balance;
		break;
	case TALLY_KIND_FREE:
		sums->freed_bytes += size;
		sums->frees++;
		break;
	case TALLY_KIND_ALLOC_FAILED:
		sums->failures++;
		break;
	case TALLY_KIND_POOL_RESET:
		sums->freed_bytes += size;
		sums->frees += count;
		break;
	case TALLY_KIND_DEVICE:
	case TALLY_KIND_MARK:
		break;
	}
}

/* Reads a cell from any thread or process. True: *ret_sums is one whole half. False: it changed at
 * every one of LEDGER_TRIES looks, and *ret_sums is untouched. */
static inline bool ledger_read(const struct tally_cell *cell, struct tally_cell_half *ret_sums)
{
	int tries;

	for (tries = 0; tries < LEDGER_TRIES; tries++) {
		/* K1 -> G2: the half that seq names is whole */
		uint64_t seq = tally_load_acquire(&cell->seq);
		const struct tally_cell_half *half = seq & 1 ? &cell->half1 : &cell->half0;
		struct tally_cell_half sums;

		/* relaxed: K2 drops them if the owner has begun to overwrite this half */
		sums.event_no = tally_load_relaxed(&half->event_no);
		sums.allocated_bytes = tally_load_relaxed(&half->allocated_bytes);
		sums.freed_bytes = tally_load_relaxed(&half->freed_bytes);
		sums.allocs = tally_load_relaxed(&half->allocs);
		sums.frees = tally_load_relaxed(&half->frees);
		sums.failures = tally_load_relaxed(&half->failures);
		sums.peak_bytes = tally_load_relaxed(&half->peak_bytes);
		tally_fence_acquire(); /* K2 -> G1: the half before the second look at seq */
		/* relaxed: the fence orders it */
		if (tally_load_relaxed(&cell->seq) == seq) {
			*ret_sums = sums;
			return true;
		}
	}
	return false;
}

#endif
