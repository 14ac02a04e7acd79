/* SPDX-License-Identifier: Apache-2.0 */
/* Looking ahead in the table of live buffers: what the next records will touch is on its way into
 * the cache while others are applied.
 *
 * A record waits for memory several times, one after the other: for its bucket, for what follows
 * it, for its row. Hints only: they are passed to the processor as addresses to fetch, which may be
 * anything, and never read through. So nothing depends on how liburcu keeps its buckets but the
 * speed (as it is: in one array, by number).
 */
#ifndef CONSUMER_AHEAD_H
#define CONSUMER_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/rows.h"

struct ahead {
	uintptr_t base;	   /* of the buckets, 0: not known */
	struct row **rows; /* by bucket: the row that came last; NULL: it is not worth while */
	size_t buckets;
};

/* The table has so many buckets from now on. Under the RCU read lock. */
void ahead_learn(struct ahead *ahead, struct cds_lfht *table, size_t buckets);
void ahead_free(struct ahead *ahead);

static inline void ahead_note(struct ahead *ahead, unsigned long hash, struct row *row)
{
	if (ahead->rows)
		ahead->rows[hash & (ahead->buckets - 1)] = row;
}

/* Keys with these hashes are looked for next. */
void ahead_fetch(const struct ahead *ahead, const unsigned long *hashes, size_t count);

#endif
