/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table of live buffers, and the sums that stand for them. The thread that polls. */
#ifndef CONSUMER_PLACE_H
#define CONSUMER_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/buffers.h"

struct place_key {
	uint64_t buffer_id;
	const struct pool_books *pool;
};

/* The low bits choose the bucket; they have a secret part. */
unsigned long place_hash(const struct pool_books *pool, uint64_t buffer_id);

/* For liburcu: whether the row has this key. */
int place_is_key(struct cds_lfht_node *node, const void *key);

/* NULL: there is none. */
struct row *place_find(struct buffers *buffers, const struct pool_books *pool, uint64_t buffer_id);

/* Whether there may be one row more of this holder. */
bool place_has_room(const struct buffers *buffers, const struct holder *holder);

/* Writes what an allocation tells into a row that is not in the table; it is not live. */
void place_fill(struct row *row, struct tag_books *books, const struct staged *item);

/* Counts a row that was put into the table. */
void place_entered(struct buffers *buffers, const struct row *row);

/* Whether readers see the row, and its tag's sums have it; one that is no longer live was freed, or
 * not. */
bool place_is_live(const struct row *row);
void place_set_live(struct row *row, bool live, bool freed);

/* A row that tells of another allocation takes the place of `row`, live if that was. NULL: no room,
 * and the old one has gone. */
struct row *place_replace(struct buffers *buffers, struct row *row, struct tag_books *books,
			  const struct staged *item);

/* Takes a row out of the table and ends its doubt. */
void place_take_away(struct buffers *buffers, struct row *row, bool freed);

#endif
