/* SPDX-License-Identifier: Apache-2.0 */
/* Shared cells: exact counters for events without a lane, by atomic adds.
 *
 * They serve threads that have no lane (too many threads, past their destructors, interrupted in
 * the middle of a push) and, as a block in private memory, the time before there is a region.
 */
#ifndef RING_CELLS_H
#define RING_CELLS_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#include "ring/ledger.h"
#include "ring/region.h"

/* Where the cells are. Private. */
struct cells {
	struct tally_process_header *process;
	struct tally_shared_cell *cells;
	uint32_t count;	       /* a power of two */
	struct region *region; /* whose pages are reserved on demand; NULL: plain memory */
};

/* Where the cell of a key is looked for first. */
static inline uint32_t cells_place(uint64_t key)
{
	return TALLY_KEY_DEVICE(key) << 3 | (TALLY_KEY_POOL(key) & 7);
}

/* The page of its process entry that cell `n` is in; a cell is within one page. */
static inline uint32_t cells_page(uint32_t n)
{
	return (uint32_t)((sizeof(struct tally_process_header) +
			   n * sizeof(struct tally_shared_cell)) /
			  TALLY_PAGE);
}

/* The first cell from `n` on in one of the entry's `pages`; `count`: none. */
static inline uint32_t cells_next(uint64_t pages, uint32_t n, uint32_t count)
{
	uint32_t page = cells_page(n);

	if (n >= count || page >= 64 || pages >> page == 0)
		return count;
	page += (uint32_t)__builtin_ctzll(pages >> page);
	if (page > cells_page(n))
		n = (uint32_t)((page * TALLY_PAGE - sizeof(struct tally_process_header)) /
			       sizeof(struct tally_shared_cell));
	return n < count ? n : count;
}

/* The shared cells of a region's process entry. */
struct cells cells_of(struct region *region, uint32_t entry);

/* Counts one event without a record. `count` is the number of allocations a pool_reset releases.
 * False, and counted as rejected: every cell is taken or memory is short. Wait-free, any thread or
 * signal handler, as are the five below. */
bool cells_push(const struct cells *to, enum tally_kind kind, uint32_t device, uint32_t pool,
		uint64_t size, uint64_t count);

/* The cell of TALLY_KEY() `key`, claimed on first use. NULL: every cell is taken, or memory is
 * short. */
struct tally_shared_cell *cells_find(const struct cells *to, uint64_t key);

/* The same, or NULL when it is not where it is looked for first; nothing is claimed. */
static inline struct tally_shared_cell *cells_found(const struct cells *to, uint64_t key)
{
	uint32_t n = cells_place(key) & (to->count - 1);
	struct tally_shared_cell *cell = &to->cells[n];

	/* relaxed, both: fields stand by themselves; the bit was set after the page was there, by
	 * this process or, seen by way of the lock, by the entry's last owner */
	if (!(tally_load_relaxed(&to->process->cell_pages) >> cells_page(n) & 1) ||
	    tally_load_relaxed(&cell->key) != key)
		return NULL;
	return cell;
}

/* Counts events that get no record. */
void cells_unrecorded(struct tally_process_header *process, uint64_t count);

/* Counts an event that fits nowhere, and takes no number. */
void cells_reject(const struct cells *to);

/* Raises the peak to `balance`; of an event of `size` bytes. */
void cells_raise_peak(struct tally_shared_cell *cell, int64_t balance, uint64_t size);

/* Adds one allocation, one free, or whatever one event changes. */
static inline void cells_alloc(struct tally_shared_cell *cell, uint64_t size)
{
	/* own order: freed bytes only grow, so the balance is never taken for less than it was */
	uint64_t freed = tally_load_first(&cell->freed_bytes);
	/* relaxed, all: each word stands by itself */
	uint64_t allocated = tally_add_relaxed(&cell->allocated_bytes, size) + size;
	int64_t balance = (int64_t)(allocated - freed);

	if (balance > (int64_t)tally_load_relaxed(&cell->peak_bytes))
		cells_raise_peak(cell, balance, size);
	tally_add_relaxed(&cell->allocs, 1);
}

static inline void cells_free(struct tally_shared_cell *cell, uint64_t size)
{
	/* relaxed, both: each word stands by itself */
	tally_add_relaxed(&cell->freed_bytes, size);
	tally_add_relaxed(&cell->frees, 1);
}

void cells_change(struct tally_shared_cell *cell, const struct ledger_sums *change);

/* Writes down what the cells of a dead process held. The caller holds its lock; its generation is
 * 0. May be done again. */
void cells_book(const struct cells *of);

/* Takes everything out of `from`, cell by cell, and gives each non-empty one to `give` as a half
 * (event_no is the number of its events); what `give` refuses is put back. Each count is taken
 * once, whoever else folds or pushes at the same time. */
void cells_fold(const struct cells *from,
		bool (*give)(void *arg, uint64_t key, const struct ledger_sums *sums), void *arg);

/* Adds sums taken by cells_fold(), as events without a record. False, and counted as rejected: no
 * room. */
bool cells_add(const struct cells *to, uint64_t key, const struct ledger_sums *sums);

/* Reads one cell, each field by itself; false when it is empty. Any thread or process. */
bool cells_read(const struct tally_shared_cell *cell, uint64_t *ret_key,
		struct ledger_sums *ret_sums);

#endif
