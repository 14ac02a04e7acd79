/* SPDX-License-Identifier: Apache-2.0 */
/* Hints where buckets and rows are. */
#include "consumer/ahead.h"

#include <stdlib.h>
#include <string.h>

#define WORTH_BUCKETS 8192 /* with fewer all is in the cache anyway */
#define LEARN_ROWS 64

#define FLAGS 7ul
#define IS_BUCKET 2ul /* in a bucket's pointer to the next node */

static unsigned long reverse(unsigned long bits)
{
	bits = (bits >> 1 & 0x5555555555555555ul) | (bits & 0x5555555555555555ul) << 1;
	bits = (bits >> 2 & 0x3333333333333333ul) | (bits & 0x3333333333333333ul) << 2;
	bits = (bits >> 4 & 0x0f0f0f0f0f0f0f0ful) | (bits & 0x0f0f0f0f0f0f0f0ful) << 4;
	return __builtin_bswap64(bits);
}

/* The chain of a row's bucket ends at another bucket. In the chain they are ordered by their
 * reversed hashes; a bucket's hash is its number. */
static uintptr_t base_seen_from(const struct row *row)
{
	uintptr_t next = (uintptr_t)rcu_dereference(row->node.next);
	const struct cds_lfht_node *bucket = (void *)next;

	if ((next & FLAGS) || !bucket ||
	    ((uintptr_t)rcu_dereference(bucket->next) & FLAGS) != IS_BUCKET)
		return 0;
	return (uintptr_t)bucket - reverse(bucket->reverse_hash) * sizeof(*bucket);
}

static uintptr_t find_base(struct cds_lfht *table)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;
	uintptr_t base = 0;
	int tries = LEARN_ROWS;

	cds_lfht_for_each(table, &iter, node)
	{
		base = base_seen_from(row_of(node));
		if (base || tries-- == 0)
			break;
	}
	return base;
}

void ahead_learn(struct ahead *ahead, struct cds_lfht *table, size_t buckets)
{
	free(ahead->rows);
	ahead->rows = NULL;
	if (buckets < WORTH_BUCKETS)
		return;
	ahead->rows = calloc(buckets, sizeof(struct row *));
	ahead->buckets = buckets;
	ahead->base = find_base(table);
}

void ahead_free(struct ahead *ahead)
{
	free(ahead->rows);
	memset(ahead, 0, sizeof(*ahead));
}

static void fetch_bucket(const struct ahead *ahead, size_t n)
{
	__builtin_prefetch((void *)(ahead->base + n * sizeof(struct cds_lfht_node)), 1);
}

/* The next bucket in the chain has the next number, reversed. */
static size_t after(const struct ahead *ahead, size_t n)
{
	unsigned int shift = 64 - (unsigned int)__builtin_ctzll(ahead->buckets);

	return (reverse(((reverse(n) >> shift) + 1) << shift)) & (ahead->buckets - 1);
}

void ahead_fetch(const struct ahead *ahead, const unsigned long *hashes, size_t count)
{
	size_t mask = ahead->buckets - 1, n;

	if (!ahead->rows)
		return;
	for (n = 0; n < count; n++) {
		__builtin_prefetch(&ahead->rows[hashes[n] & mask], 1);
		if (!ahead->base)
			continue;
		fetch_bucket(ahead, hashes[n] & mask);
		fetch_bucket(ahead, after(ahead, hashes[n] & mask));
	}
	for (n = 0; n < count; n++)
		__builtin_prefetch(ahead->rows[hashes[n] & mask], 1);
}
