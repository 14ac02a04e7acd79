/* SPDX-License-Identifier: Apache-2.0 */
/* The memory-order vocabulary: the only file of Tally that names a memory order.
 *
 * Every shared word is 8 bytes, naturally aligned, and is read and written whole through these
 * functions. All of them are lock-free instructions on x86-64 and arm64 and may be called from any
 * thread or signal handler. A caller labels each use and names its partner; the pairs are listed on
 * the protocol page, ring/slot.h.
 */
#ifndef TALLY_ATOMIC_H
#define TALLY_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the word; orders nothing. */
static inline uint64_t tally_load_relaxed(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Reads the word; later accesses stay after it. Pairs with a release store or release fence. */
static inline uint64_t tally_load_acquire(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Reads the word; later accesses stay after it. For an order among this
 * thread's own accesses, which no release of another answers. */
static inline uint64_t tally_load_first(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Writes the word; orders nothing. */
static inline void tally_store_relaxed(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* Writes the word; earlier accesses stay before it. Pairs with an acquire load. */
static inline void tally_store_release(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Earlier loads stay before later accesses. */
static inline void tally_fence_acquire(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Earlier accesses stay before later stores. */
static inline void tally_fence_release(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Keeps the compiler from moving accesses across it: for a signal handler on the same thread. */
static inline void tally_fence_signal(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Adds to the word and returns its value before; orders nothing. One locked instruction. */
static inline uint64_t tally_add_relaxed(uint64_t *word, uint64_t value)
{
	return __atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}

/* The same; earlier accesses stay before it. Pairs with an acquire load. */
static inline uint64_t tally_add_release(uint64_t *word, uint64_t value)
{
	return __atomic_fetch_add(word, value, __ATOMIC_RELEASE);
}

/* Sets bits of the word; earlier accesses stay before it. Pairs with an acquire load. */
static inline void tally_or_release(uint64_t *word, uint64_t bits)
{
	__atomic_fetch_or(word, bits, __ATOMIC_RELEASE);
}

/* Replaces the word and returns its value before; orders nothing. One locked instruction. */
static inline uint64_t tally_swap_relaxed(uint64_t *word, uint64_t value)
{
	return __atomic_exchange_n(word, value, __ATOMIC_RELAXED);
}

/* All earlier accesses stay before all later ones: for store-then-load handshakes (Dekker's). */
static inline void tally_fence_total(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Replaces *expected by value if the word holds it; acquire when it did, relaxed when not.
 * On failure *expected is the value found. Never fails spuriously. */
static inline bool tally_cas_acquire(uint64_t *word, uint64_t *expected, uint64_t value)
{
	return __atomic_compare_exchange_n(word, expected, value, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* The same; earlier accesses stay before it as well. */
static inline bool tally_cas_both(uint64_t *word, uint64_t *expected, uint64_t value)
{
	return __atomic_compare_exchange_n(word, expected, value, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* The same without ordering. */
static inline bool tally_cas_relaxed(uint64_t *word, uint64_t *expected, uint64_t value)
{
	return __atomic_compare_exchange_n(word, expected, value, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif
#endif
