/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger cell: exact sums in two halves, one of which is always whole.
 *
 * The protocol (G1, G2, K1, K2) is on the page in ring/slot.h.
 */
#ifndef RING_LEDGER_H
#define RING_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/cdefs.h>
#include <tally/abi.h>
#include <tally/atomic.h>

/* How often a reader looks again at a cell that keeps changing. */
#define LEDGER_TRIES 16

/* The sums of one cell, in private memory. */
struct ledger_sums {
	uint64_t event_no; /* the last one that is in them */
	uint64_t allocated_bytes, freed_bytes;
	uint64_t allocs, frees, failures;
	uint64_t peak_bytes; /* highest allocated - freed so far, at least 0 */
};

/* The half that `seq` names. */
static __always_inline struct tally_cell_half *ledger_half(struct tally_cell *cell, uint64_t seq)
{
	return seq & 1 ? &cell->half1 : &cell->half0;
}

static inline int64_t ledger_balance(const struct ledger_sums *sums)
{
	return (int64_t)(sums->allocated_bytes - sums->freed_bytes);
}

/* What one event adds. pool_reset: `size` bytes in `count` allocations were freed. */
static __always_inline struct ledger_sums ledger_change(enum tally_kind kind, uint64_t size,
							uint64_t count)
{
	struct ledger_sums change = { 0 };

	switch (kind) {
	case TALLY_KIND_ALLOC:
		change.allocated_bytes = size;
		change.allocs = 1;
		break;
	case TALLY_KIND_FREE:
		change.freed_bytes = size;
		change.frees = 1;
		break;
	case TALLY_KIND_ALLOC_FAILED:
		change.failures = 1;
		break;
	case TALLY_KIND_POOL_RESET:
		change.freed_bytes = size;
		change.frees = count;
		break;
	case TALLY_KIND_DEVICE:
	case TALLY_KIND_MARK:
		break;
	}
	return change;
}

/* Writes the sums with `change` into the idle half, where no reader looks until ledger_commit();
 * seq is the cell's. Returns the balance in bytes with it. Step G1. The lane's owner alone. */
static __always_inline uint64_t ledger_prepare(struct tally_cell *cell, uint64_t seq,
					       const struct ledger_sums *change, uint64_t event_no)
{
	struct tally_cell_half *now = ledger_half(cell, seq);
	struct tally_cell_half *idle = ledger_half(cell, seq + 1);
	/* relaxed, all loads: the owner reads what it wrote itself */
	uint64_t allocated = tally_load_relaxed(&now->allocated_bytes) + change->allocated_bytes;
	uint64_t freed = tally_load_relaxed(&now->freed_bytes) + change->freed_bytes;
	uint64_t allocs = tally_load_relaxed(&now->allocs) + change->allocs;
	uint64_t frees = tally_load_relaxed(&now->frees) + change->frees;
	uint64_t failures = tally_load_relaxed(&now->failures) + change->failures;

	/* G1 -> K2: the last seq is seen before any word of the half it gave up */
	tally_fence_release();
	/* relaxed: G2 publishes them together */
	tally_store_relaxed(&idle->event_no, event_no);
	tally_store_relaxed(&idle->allocated_bytes, allocated);
	tally_store_relaxed(&idle->freed_bytes, freed);
	tally_store_relaxed(&idle->allocs, allocs);
	tally_store_relaxed(&idle->frees, frees);
	tally_store_relaxed(&idle->failures, failures);
	return allocated - freed;
}

/* Makes the prepared half current, once the event's record is published. Step G2; the lane's owner
 * alone. */
static __always_inline void ledger_commit(struct tally_cell *cell, uint64_t seq,
					  const struct ledger_sums *change, uint64_t balance)
{
	/* relaxed, both: an own word that stands by itself */
	if (change->allocs && (int64_t)balance > (int64_t)tally_load_relaxed(&cell->peak_bytes))
		tally_store_relaxed(&cell->peak_bytes, balance);
	tally_store_release(&cell->seq, seq + 1); /* G2 -> K1: the half is whole */
}

/* Adds `change` to sums in private memory. */
static inline void ledger_sum(struct ledger_sums *sums, const struct ledger_sums *change)
{
	sums->allocated_bytes += change->allocated_bytes;
	sums->freed_bytes += change->freed_bytes;
	sums->allocs += change->allocs;
	sums->frees += change->frees;
	sums->failures += change->failures;
	if (change->allocs && ledger_balance(sums) > (int64_t)sums->peak_bytes)
		sums->peak_bytes = (uint64_t)ledger_balance(sums);
}

/* Reads a cell from any thread or process. True: *ret_sums is one whole half, and a peak no older.
 * False: it changed at every one of LEDGER_TRIES looks; *ret_sums is untouched. */
static inline bool ledger_read(const struct tally_cell *cell, struct ledger_sums *ret_sums)
{
	int tries;

	for (tries = 0; tries < LEDGER_TRIES; tries++) {
		/* K1 -> G2: the half that seq names is whole */
		uint64_t seq = tally_load_acquire(&cell->seq);
		const struct tally_cell_half *half = seq & 1 ? &cell->half1 : &cell->half0;
		struct ledger_sums sums;

		/* relaxed: K2 drops them if the owner has begun to overwrite this half */
		sums.event_no = tally_load_relaxed(&half->event_no);
		sums.allocated_bytes = tally_load_relaxed(&half->allocated_bytes);
		sums.freed_bytes = tally_load_relaxed(&half->freed_bytes);
		sums.allocs = tally_load_relaxed(&half->allocs);
		sums.frees = tally_load_relaxed(&half->frees);
		sums.failures = tally_load_relaxed(&half->failures);
		sums.peak_bytes = tally_load_relaxed(&cell->peak_bytes);
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
