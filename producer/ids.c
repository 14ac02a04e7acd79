/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sizes by id: open addressing in shards, each with a lock of its own.
 *
 * WHY A LOCK: a key is 82 bits and what stands under it 96, changed together, and an entry that is
 * taken must leave nothing behind, or ids that are never used again would fill the table. A lock
 * is held for a look-up, one store or a few moves: some tens of nanoseconds; while a shard doubles,
 * for the system calls and for moving its entries (a million in 32 shards: some 100 us). So who
 * waits spins a little, then gives the processor away, then sleeps, as the holder may be one of
 * lower priority that was preempted.
 * The lock's word says who holds it, so that a handler that interrupts its own thread's call is
 * refused rather than left hanging.
 */
#include "producer/ids.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "producer/state.h"
#include "ring/pause.h"

#ifndef TALLY_TESTPOINT
#define TALLY_TESTPOINT(place)
#endif

#define ARRAY_LOG2_MAX 34 /* of 2^32 entries */

#define SPINS 64  /* looks at a lock before the processor is given away */
#define YIELDS 32 /* times that it is, before the thread sleeps */
#define NAP_NS 20000

/* ---- The lock -------------------------------------------------------------------------------- */

static uint64_t self(void)
{
	return (uintptr_t)&tally_thread;
}

static void lock_pause(unsigned int tries)
{
	static const struct timespec nap = { .tv_nsec = NAP_NS };
	int saved_errno = errno, cancel_state;

	if (tries >= SPINS + YIELDS) {
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
		nanosleep(&nap, NULL);
		pthread_setcancelstate(cancel_state, &cancel_state);
	} else if (tries >= SPINS) {
		sched_yield();
	} else {
		cpu_pause();
	}
	errno = saved_errno;
}

/* What was held when the process shut down is in no total of the next region, which opens with
 * nothing; a free of it would take that below zero. It is forgotten by whoever comes first, as a
 * shutdown knows of no tables, and may have none to look for. */
static void follow_shutdown(struct tally_ids *ids, size_t n)
{
	/* relaxed: nobody shuts down while another thread is between its table and its push */
	uint64_t now = tally_load_relaxed(&tally_private.in.process.shutdowns);

	if (__builtin_expect(ids->shards[n].shutdowns == now || ids->kept, 1))
		return;
	ids_empty(ids, n);
	ids->shards[n].shutdowns = now;
}

/* False: this thread has it already, below the handler that calls. */
static bool lock(struct tally_ids *ids, size_t n)
{
	struct ids_shard *shard = &ids->shards[n];
	uint64_t me = self();
	unsigned int tries;

	for (tries = 0;; tries += tries < SPINS + YIELDS) {
		uint64_t holder = 0;

		/* I2 -> I1: the shard is as the last holder left it */
		if (__builtin_expect(tally_cas_acquire(&shard->lock, &holder, me), 1)) {
			follow_shutdown(ids, n);
			return true;
		}
		if (holder == me)
			return false;
		lock_pause(tries);
	}
}

/* False: this is a child that a handler forked meanwhile, and what was done is not whole. */
static bool unlock(struct ids_shard *shard)
{
	TALLY_TESTPOINT(locked);
	/* relaxed: nobody else changes it while it is ours, but the fork that wipes it */
	if (__builtin_expect(tally_load_relaxed(&shard->lock) != self(), 0))
		return false;
	/* I1 -> I2: the next holder finds what was done */
	tally_store_release(&shard->lock, 0);
	return true;
}

/* ---- Arrays ---------------------------------------------------------------------------------- */

static uint64_t key_of(uint32_t device, uint32_t kind)
{
	return IDS_SLOT_USED | (uint64_t)kind << 16 | device;
}

/* Seeded, so that nobody who chooses ids can make them fall on each other. */
static uint64_t hash_of(const struct tally_ids *ids, uint64_t id, uint64_t key)
{
	unsigned __int128 product = (unsigned __int128)(id ^ ids->seed[0]) * (key ^ ids->seed[1]);
	uint64_t folded = (uint64_t)(product >> 64) ^ (uint64_t)product;

	product = (unsigned __int128)(folded ^ ids->seed[1]) * 0x9e3779b97f4a7c15ull;
	return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* The bits of a hash that name the shard are not those that name the slot. */
static size_t shard_no(const struct tally_ids *ids, uint64_t hash)
{
	return hash >> 56 & (ids->shard_count - 1);
}

/* The slot with that key, or the empty one where it belongs. */
static struct ids_slot *probe(const struct ids_array *array, uint64_t hash, uint64_t id,
			      uint64_t key)
{
	uint64_t at = hash & array->mask;

	while (array->slots[at].key && (array->slots[at].key != key || array->slots[at].id != id))
		at = (at + 1) & array->mask;
	return &array->slots[at];
}

/* Empties the slot, and moves up what would not be found behind it. */
static void slot_remove(const struct tally_ids *ids, const struct ids_array *array,
			struct ids_slot *slot)
{
	uint64_t hole = (uint64_t)(slot - array->slots);
	uint64_t at = hole;

	for (;;) {
		const struct ids_slot *next;
		uint64_t home;

		at = (at + 1) & array->mask;
		next = &array->slots[at];
		if (!next->key)
			break;
		home = hash_of(ids, next->id, next->key) & array->mask;
		if (((at - home) & array->mask) < ((at - hole) & array->mask))
			continue; /* its way does not lead across the hole */
		array->slots[hole] = *next;
		hole = at;
	}
	memset(&array->slots[hole], 0, sizeof(struct ids_slot));
}

/* The shard's array at twice its size, or its first one. */
static int grow(struct tally_ids *ids, size_t n)
{
	struct ids_array old = ids_array_now(ids, n), new;
	int saved_errno = errno;
	uint64_t word, at, log2 = IDS_ARRAY_LOG2_MIN;

	if (old.slots)
		log2 = (uint64_t)__builtin_ctzll(old.mask + 1) + 1;
	if (log2 > ARRAY_LOG2_MAX)
		return -ENOSPC;
	word = (uintptr_t)ids_map(ids, sizeof(struct ids_slot) << log2);
	errno = saved_errno;
	if (!word)
		return -ENOMEM;
	new = ids_array_of(word | log2);
	for (at = 0; old.slots && at <= old.mask; at++) {
		const struct ids_slot *slot = &old.slots[at];

		if (slot->key)
			*probe(&new, hash_of(ids, slot->id, slot->key), slot->id,
			       slot->key) = *slot;
	}
	TALLY_TESTPOINT(grown);
	/* relaxed: read under the lock; whole, for a fork that comes just now. The new array is
	 * mapped before the word names it, and the old one until after. */
	tally_store_relaxed(&ids->arrays[n], word | log2);
	if (old.slots)
		munmap(old.slots, ids_array_size(&old));
	errno = saved_errno;
	return 0;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void slot_tell(const struct ids_slot *slot, struct tally_id_entry *ret_entry)
{
	ret_entry->id = slot->id;
	ret_entry->size = slot->size;
	ret_entry->pool = slot->pool;
	ret_entry->device = (uint16_t)slot->key;
	ret_entry->kind = (uint16_t)(slot->key >> 16);
}

static int refuse(struct ids_shard *shard, int error)
{
	shard->refused++;
	return error;
}

/* With the lock. */
static int put(struct tally_ids *ids, size_t n, uint64_t hash, const struct ids_slot *as,
	       struct tally_id_entry *ret_before)
{
	struct ids_shard *shard = &ids->shards[n];
	struct ids_array array = ids_array_now(ids, n);
	struct ids_slot *slot = array.slots ? probe(&array, hash, as->id, as->key) : NULL;
	int error;

	if (slot && slot->key) {
		slot_tell(slot, ret_before);
		*slot = *as;
		return 1;
	}
	if (shard->live >= ids->share)
		return refuse(shard, -ENOSPC);
	if (!slot || shard->live >= (array.mask + 1) / 4 * 3) {
		error = grow(ids, n);
		if (error)
			return refuse(shard, error);
		array = ids_array_now(ids, n);
		slot = probe(&array, hash, as->id, as->key);
	}
	*slot = *as;
	shard->live++;
	return 0;
}

int tally_ids_put(struct tally_ids *ids, const struct tally_id_entry *entry,
		  struct tally_id_entry *ret_before)
{
	struct ids_slot as = { .id = entry->id, .size = entry->size, .pool = entry->pool };
	struct tally_id_entry before;
	uint64_t hash;
	int result;
	size_t n;

	if (entry->kind > TALLY_ID_KERNEL)
		return -EINVAL;
	as.key = key_of(entry->device, entry->kind);
	hash = hash_of(ids, as.id, as.key);
	n = shard_no(ids, hash);
	for (;;) {
		if (!lock(ids, n))
			return -EBUSY;
		result = put(ids, n, hash, &as, &before);
		if (unlock(&ids->shards[n]))
			break;
		ids_empty(ids, n);
	}
	if (result == 1)
		*ret_before = before;
	return result;
}

/* With the lock. */
static int take(struct tally_ids *ids, size_t n, uint64_t hash, uint64_t id, uint64_t key,
		struct tally_id_entry *ret_was)
{
	struct ids_array array = ids_array_now(ids, n);
	struct ids_slot *slot = array.slots ? probe(&array, hash, id, key) : NULL;

	if (!slot || !slot->key)
		return 0;
	slot_tell(slot, ret_was);
	slot_remove(ids, &array, slot);
	ids->shards[n].live--;
	return 1;
}

int tally_ids_take(struct tally_ids *ids, uint16_t device, enum tally_id_kind kind, uint64_t id,
		   struct tally_id_entry *ret_was)
{
	uint64_t key = key_of(device, (uint32_t)kind);
	uint64_t hash = hash_of(ids, id, key);
	size_t n = shard_no(ids, hash);
	struct tally_id_entry was;
	int result;

	if ((uint32_t)kind > TALLY_ID_KERNEL)
		return -EINVAL;
	for (;;) {
		if (!lock(ids, n))
			return -EBUSY;
		result = take(ids, n, hash, id, key, &was);
		if (unlock(&ids->shards[n]))
			break;
		ids_empty(ids, n);
	}
	if (result == 1)
		*ret_was = was;
	return result;
}

size_t tally_ids_each(struct tally_ids *ids,
		      int (*each)(void *each_arg, const struct tally_id_entry *entry),
		      void *each_arg)
{
	size_t n, count = 0;
	bool more = true;

	for (n = 0; n < ids->shard_count && more && lock(ids, n); n++) {
		struct ids_array array = ids_array_now(ids, n);
		uint64_t at;

		for (at = 0; array.slots && at <= array.mask && more; at++) {
			struct tally_id_entry entry;

			if (!array.slots[at].key)
				continue;
			slot_tell(&array.slots[at], &entry);
			count++;
			more = each(each_arg, &entry) != 0;
		}
		more = unlock(&ids->shards[n]) && more; /* a forked child has no more */
	}
	return count;
}

int tally_ids_look(struct tally_ids *ids, struct tally_ids_view *ret_view)
{
	struct tally_ids_view view = { .entries_max = ids->entries_max };
	size_t n;

	for (n = 0; n < ids->shard_count; n++) {
		const struct ids_shard *shard = &ids->shards[n];
		struct ids_array array;

		if (!lock(ids, n))
			return -EBUSY;
		array = ids_array_now(ids, n);
		view.entries += shard->live;
		view.refused += shard->refused;
		view.bytes += ids_array_size(&array);
		unlock(&ids->shards[n]);
	}
	*ret_view = view;
	return 0;
}
