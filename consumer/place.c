/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table of live buffers: found, filled, put in place of each other, taken away, and the
 * sums with them. */
#include "consumer/place.h"

#include <tally/atomic.h>

#include "ring/clock.h"

#define HOG_SHARE 8 /* a process may have so many times what is free, if it is not alone */

unsigned long place_hash(const struct pool_books *pool, uint64_t buffer_id)
{
	uint64_t hash = (buffer_id ^ pool->seed) * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ hash >> 32) * (pool->seed | 1);
	return hash ^ hash >> 32;
}

int place_is_key(struct cds_lfht_node *node, const void *arg)
{
	const struct row *row = row_of(node);
	const struct place_key *key = arg;

	/* relaxed: own words */
	return tally_load_relaxed(&row->buffer_id) == key->buffer_id &&
	       row->books->pool == key->pool;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

bool place_is_live(const struct row *row)
{
	return tally_load_relaxed(&row->state) & ROW_LIVE; /* relaxed: own word */
}

void place_set_live(struct row *row, bool live, bool freed)
{
	/* relaxed: own word, and readers find either */
	uint64_t state = tally_load_relaxed(&row->state);
	struct tag_books *books = row->books;

	if ((state & ROW_LIVE) == live)
		return;
	tally_store_relaxed(&row->state, state ^ ROW_LIVE); /* relaxed: as above */
	if (live) {
		books->live_allocations++;
		books->live_bytes = (int64_t)((uint64_t)books->live_bytes + row->size);
		return;
	}
	books->live_allocations--;
	books->live_bytes = (int64_t)((uint64_t)books->live_bytes - row->size);
	books->frees += freed;
	books->freed_bytes += freed ? row->size : 0;
}

/* Readers may look at a row that is used again, for which they have a grace period's time: stores
 * are whole. */
void place_fill(struct row *row, struct tag_books *books, const struct staged *item)
{
	/* relaxed, all: the table publishes them */
	tally_store_relaxed(&row->buffer_id, item->buffer_id);
	tally_store_relaxed(&row->size, item->size);
	tally_store_relaxed(&row->time, item->time);
	tally_store_relaxed(&row->where, item->where);
	row->books = books;
	tally_store_relaxed(&row->state, 0); /* relaxed: as above */
}

void place_entered(struct buffers *buffers, const struct row *row)
{
	struct pool_books *pool = row->books->pool;

	buffers->count++;
	pool->rows++;
	buffers->holders += pool->holder->rows++ == 0;
}

void place_take_away(struct buffers *buffers, struct row *row, bool freed)
{
	struct pool_books *pool = row->books->pool;

	doubt_drop(&buffers->doubts, row);
	place_set_live(row, false, freed);
	cds_lfht_del(buffers->table, &row->node);
	buffers->count--;
	pool->rows--;
	buffers->holders -= --pool->holder->rows == 0;
	rows_retire(&buffers->rows, row);
}

bool place_has_room(const struct buffers *buffers, const struct holder *holder)
{
	size_t room = buffers->max - buffers->count;

	if (buffers->count >= buffers->max)
		return false;
	return buffers->holders <= (holder->rows > 0) || holder->rows <= room * HOG_SHARE;
}

void buffers_leave_out(struct buffers *buffers)
{
	buffers->left_out++;
	if (!buffers->left_out_since_ns)
		buffers->left_out_since_ns = clock_realtime_ns();
}

struct row *place_find(struct buffers *buffers, const struct pool_books *pool, uint64_t buffer_id)
{
	struct place_key key = { buffer_id, pool };
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(buffers->table, place_hash(pool, buffer_id), place_is_key, &key, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? row_of(node) : NULL;
}

struct row *place_replace(struct buffers *buffers, struct row *row, struct tag_books *books,
			  const struct staged *item)
{
	struct row *fresh = rows_take(&buffers->rows);
	struct place_key key = { row->buffer_id, row->books->pool };
	unsigned long hash = place_hash(key.pool, key.buffer_id);
	struct cds_lfht_iter iter;

	if (!fresh) {
		row->books->pool->left_out++;
		place_take_away(buffers, row, false);
		buffers_leave_out(buffers);
		return NULL;
	}
	place_fill(fresh, books, item);
	doubt_move(&buffers->doubts, row, fresh);
	place_set_live(fresh, place_is_live(row), false);
	place_set_live(row, false, false);
	cds_lfht_lookup(buffers->table, hash, place_is_key, &key, &iter);
	cds_lfht_replace(buffers->table, &iter, hash, place_is_key, &key, &fresh->node);
	rows_retire(&buffers->rows, row);
	return fresh;
}
