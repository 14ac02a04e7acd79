/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sizes by id inside: shards, their arrays, where they lie and what a fork leaves.
 *
 * FORK: the kernel wipes the locks and the entries in the child (MADV_WIPEONFORK), also after a raw
 * clone(). A lock that another thread of the parent held is free there, and every array is empty;
 * where the arrays are stays known, in the page before, one word a shard. A thread that a handler
 * has forked within its own call comes back to find that the lock is no longer its own: it empties
 * the shard and does its call again. Where no such advice is heeded (emulators, kernels before
 * 4.14) a handler of pthread_atfork() wipes.
 *
 *	one page of the system's  struct tally_ids: constants, and the words of the arrays
 *	wiped                     struct ids_shard x shards
 *	elsewhere, wiped          a shard's array: 2^n struct ids_slot, three quarters used at most
 */
#ifndef PRODUCER_IDS_H
#define PRODUCER_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/abi.h>
#include <tally/atomic.h>
#include <tally/ids.h>

#define IDS_ARRAY_LOG2_MIN 7 /* 128 slots: one page */

struct ids_slot {
	uint64_t id;
	uint64_t size;
	uint64_t key; /* IDS_SLOT_USED, kind and device; 0: empty */
	uint32_t pool;
	uint32_t spare;
};

#define IDS_SLOT_USED (1ull << 63)

/* Everything but the lock is its holder's. */
struct ids_shard {
	uint64_t lock; /* 0, or whose: the address of the thread's state */
	uint64_t live;
	uint64_t refused;
	uint64_t shutdowns; /* of the process, as far as it has followed them */
	uint64_t spare[4];
};

struct tally_ids {
	uint64_t entries_max;
	uint64_t share; /* of a shard */
	uint64_t seed[2];
	struct ids_shard *shards;
	uint32_t shard_count;
	bool wiped; /* by the kernel, in a fork child */
	bool kept;  /* whatever is shut down */
	size_t map_size;
	size_t shards_size;
	struct tally_ids *next;		       /* of those that are not */
	uint64_t arrays[TALLY_IDS_SHARDS_MAX]; /* address | log2 of slots; 0: none yet */
};

_Static_assert(sizeof(struct ids_slot) << IDS_ARRAY_LOG2_MIN == TALLY_PAGE,
	       "an array is whole pages");
_Static_assert(sizeof(struct tally_ids) <= TALLY_PAGE, "what a fork leaves is one page");

struct ids_array {
	struct ids_slot *slots; /* NULL: none yet */
	uint64_t mask;
};

static inline struct ids_array ids_array_of(uint64_t word)
{
	struct ids_array array = { .slots = NULL };

	if (word) {
		array.slots = (struct ids_slot *)(uintptr_t)(word & ~(uint64_t)(TALLY_PAGE - 1));
		array.mask = (1ull << (word & (TALLY_PAGE - 1))) - 1;
	}
	return array;
}

static inline struct ids_array ids_array_now(const struct tally_ids *ids, size_t n)
{
	/* relaxed: changed by the holder of the shard's lock alone */
	return ids_array_of(tally_load_relaxed(&ids->arrays[n]));
}

static inline size_t ids_array_size(const struct ids_array *array)
{
	return array->slots ? (array->mask + 1) * sizeof(struct ids_slot) : 0;
}

/* ---- ids_memory.c ---------------------------------------------------------------------------- */

/* Memory for an array, empty in a fork child; NULL: there is none. */
void *ids_map(const struct tally_ids *ids, size_t size);

/* After a fork within a call: nothing in this shard is to be believed. */
void ids_empty(struct tally_ids *ids, size_t n);

#endif
