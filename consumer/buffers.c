/* SPDX-License-Identifier: Apache-2.0 */
/* What each record does to the table of live buffers. */
#include "consumer/buffers.h"

#include <tally/abi.h>
#include <tally/atomic.h>

#include "consumer/place.h"

/* ---- Doubts ---------------------------------------------------------------------------------- */

static struct doubt *doubt_row(struct buffers *buffers, struct row *row, uint64_t time, bool late)
{
	struct doubt *doubt = doubt_start(&buffers->doubts, row);

	if (!doubt)
		return NULL;
	doubt->net = place_is_live(row) ? 1 : 0;
	doubt->bytes = place_is_live(row) ? row->size : 0;
	doubt->latest_allocs = place_is_live(row);
	doubt->latest = time;
	doubt->latest_tid = (uint32_t)row->where;
	doubt->forgotten = late ? row->books->pool->holder->applied : 0;
	doubt->late = late;
	return doubt;
}

/* The allocation that a row tells of. */
static struct staged told_by(const struct row *row)
{
	struct staged told = {
		.time = row->time,
		.buffer_id = row->buffer_id,
		.size = row->size,
		.where = row->where,
		.holder = row->books->pool->holder,
		.tag = row->books->tag,
		.kind = row->time ? TALLY_KIND_ALLOC : 0, /* of a free alone it tells nothing */
	};

	return told;
}

/* The row tells of `item` from now on; what it told of before may yet prove to be right. NULL: it
 * has gone for want of memory. */
static struct row *tell(struct buffers *buffers, struct row *row, struct doubt *doubt,
			struct tag_books *books, const struct staged *item)
{
	struct staged told = told_by(row);

	row = place_replace(buffers, row, books, item);
	if (row)
		doubt->other = told;
	return row;
}

/* Adds an event to a key that has a row and a doubt. */
static void add(struct buffers *buffers, struct row *row, struct doubt *doubt,
		struct tag_books *books, const struct staged *item)
{
	bool allocs = item->kind == TALLY_KIND_ALLOC;
	bool latest = doubt_add(&buffers->doubts, doubt, books->pool, item);
	bool live = doubt_is_live(doubt);

	if (allocs && (latest || item->time > row->time))
		row = tell(buffers, row, doubt, books, item);
	else if (allocs)
		doubt->other = *item;
	if (row && doubt_is_other(doubt)) {
		const struct staged other = doubt->other;

		books = books_of(other.holder, other.where, other.tag);
		if (books)
			row = tell(buffers, row, doubt, books, &other);
	}
	if (!row)
		return;
	place_set_live(row, live, !allocs);
	if (doubt_is_over(doubt))
		doubt_drop(&buffers->doubts, row);
}

/* Without memory for a doubt: what comes counts as if it came in time. */
static void add_plainly(struct buffers *buffers, struct row *row, struct tag_books *books,
			const struct staged *item)
{
	if (item->time < row->time)
		return;
	if (item->kind == TALLY_KIND_FREE)
		place_take_away(buffers, row, true);
	else
		place_replace(buffers, row, books, item);
}

static void change(struct buffers *buffers, struct row *row, struct tag_books *books,
		   const struct staged *item)
{
	struct doubt *doubt = doubt_of(&buffers->doubts, row);

	if (!doubt)
		doubt = doubt_row(buffers, row, row->time, false);
	if (doubt)
		add(buffers, row, doubt, books, item);
	else
		add_plainly(buffers, row, books, item);
}

/* ---- Events ---------------------------------------------------------------------------------- */

bool buffers_is_gone(struct buffers *buffers, struct row *row)
{
	uint64_t reset = row->books->pool->reset;
	const struct doubt *doubt;

	if (row->time >= reset)
		return false;
	doubt = doubt_of(&buffers->doubts, row);
	return !doubt || doubt->latest < reset;
}

static bool is_late(const struct pool_books *pool, const struct staged *item)
{
	return item->time < pool->holder->applied;
}

/* An allocation whose key has a row. */
static void allocate_again(struct buffers *buffers, struct tag_books *books,
			   const struct staged *item)
{
	struct row *row = place_find(buffers, books->pool, item->buffer_id);
	struct row *fresh;

	if (!buffers_is_gone(buffers, row)) {
		change(buffers, row, books, item);
		return;
	}
	doubt_drop(&buffers->doubts, row);
	place_set_live(row, false, true);
	fresh = place_replace(buffers, row, books, item);
	if (fresh)
		place_set_live(fresh, true, false);
}

static void count_size(struct pool_books *pool, uint64_t size)
{
	pool->sizes[size ? 64 - __builtin_clzll(size) : 0]++;
	pool->allocations++;
}

static void allocate(struct buffers *buffers, struct tag_books *books, const struct staged *item)
{
	struct pool_books *pool = books->pool;
	struct place_key key = { item->buffer_id, pool };
	unsigned long hash = place_hash(pool, item->buffer_id);
	struct cds_lfht_node *node;
	struct row *row;

	count_size(pool, item->size);
	books->allocations++;
	books->allocated_bytes += item->size;
	if (item->time < pool->reset)
		return;
	row = place_has_room(buffers, pool->holder) ? rows_take(&buffers->rows) : NULL;
	if (!row) {
		if (place_find(buffers, pool, item->buffer_id)) {
			allocate_again(buffers, books, item);
			return;
		}
		pool->left_out++;
		buffers_leave_out(buffers);
		return;
	}
	place_fill(row, books, item);
	place_set_live(row, true, false);
	node = cds_lfht_add_unique(buffers->table, hash, place_is_key, &key, &row->node);
	if (node != &row->node) {
		place_set_live(row, false, false);
		rows_put(&buffers->rows, row);
		allocate_again(buffers, books, item);
		return;
	}
	place_entered(buffers, row);
	ahead_note(&buffers->ahead, hash, row);
	if (is_late(pool, item))
		doubt_row(buffers, row, item->time, true);
}

static struct freed *freed_of(struct buffers *buffers, uint64_t buffer_id)
{
	return &buffers->freed[buffer_id * 0x9e3779b97f4a7c15ull >> (64 - FREED_LOG2)];
}

/* Whether another thread's free of the same key came so shortly before that the allocation between
 * the two may have got a later time. */
static bool follows_free(struct buffers *buffers, const struct pool_books *pool,
			 const struct staged *item)
{
	const struct freed *freed = freed_of(buffers, item->buffer_id);

	return freed->pool == pool && freed->buffer_id == item->buffer_id &&
	       doubt_is_tangled(pool->holder, true, freed->time, freed->tid, item);
}

/* A free whose key has no row: it gets one that readers do not see, until it is clear that its
 * allocation is not to come. */
static void free_unmatched(struct buffers *buffers, struct pool_books *pool,
			   const struct staged *item)
{
	struct tag_books *books = books_of(pool->holder, item->where, 0);
	struct row *row = NULL;
	struct doubt *doubt;

	if (pool->left_out > 0) {
		pool->left_out--;
		return;
	}
	if (books && place_has_room(buffers, pool->holder))
		row = rows_take(&buffers->rows);
	if (!row) {
		pool->unmatched_frees++;
		return;
	}
	place_fill(row, books, item);
	tally_store_relaxed(&row->time, 0); /* relaxed: as in place_fill() */
	doubt = doubt_row(buffers, row, item->time, is_late(pool, item));
	if (!doubt) {
		pool->unmatched_frees++;
		rows_put(&buffers->rows, row);
		return;
	}
	doubt->late = doubt->late || follows_free(buffers, pool, item);
	doubt_add(&buffers->doubts, doubt, pool, item);
	cds_lfht_add(buffers->table, place_hash(pool, item->buffer_id), &row->node);
	place_entered(buffers, row);
}

static void release(struct buffers *buffers, struct pool_books *pool, const struct staged *item)
{
	struct row *row = place_find(buffers, pool, item->buffer_id);

	if (item->time < pool->reset)
		return;
	if (row && buffers_is_gone(buffers, row)) {
		place_take_away(buffers, row, true);
		row = NULL;
	}
	if (!row) {
		free_unmatched(buffers, pool, item);
	} else if (item->time > row->time && !doubt_of(&buffers->doubts, row)) {
		place_take_away(buffers, row, true);
		*freed_of(buffers, item->buffer_id) = (struct freed){ pool, item->buffer_id,
								      item->time,
								      (uint32_t)item->where };
	} else {
		change(buffers, row, row->books, item);
	}
}

/* Rows stay in the table until the next sweep, but are no longer seen. */
static void reset(struct buffers *buffers, struct pool_books *pool, uint64_t time)
{
	if (time > pool->reset)
		tally_store_relaxed(&pool->reset, time); /* relaxed: stands by itself */
	pool->left_out = 0;
	buffers->sweep = buffers->sweep || pool->rows > 0;
}

static void apply_to_pool(struct buffers *buffers, const struct staged *item)
{
	struct pool_books *pool = books_pool_of(item->holder, item->where);

	if (!pool)
		return; /* nor is there anything of it */
	if (item->kind == TALLY_KIND_FREE)
		release(buffers, pool, item);
	else
		reset(buffers, pool, item->time);
}

static void apply(struct buffers *buffers, const struct staged *item)
{
	struct holder *holder = item->holder;
	struct tag_books *books;

	if (holder->applied == 0)
		holder->tid = (uint32_t)item->where;
	holder->several = holder->several || holder->tid != (uint32_t)item->where;
	switch (item->kind) {
	case TALLY_KIND_ALLOC:
		books = books_of(holder, item->where, item->tag);
		if (books)
			allocate(buffers, books, item);
		else
			buffers_leave_out(buffers);
		break;
	case TALLY_KIND_FREE:
	case TALLY_KIND_POOL_RESET:
		apply_to_pool(buffers, item);
		break;
	default:
		return;
	}
	if (item->time > holder->applied)
		holder->applied = item->time;
}

/* What the keys of some items come to, as far as there are books for them. */
static size_t hash_all(const struct staged *const *items, size_t count, unsigned long *ret_hashes)
{
	size_t hashed = 0, n;

	for (n = 0; n < count; n++) {
		const struct pool_books *pool = NULL;

		if (items[n]->kind == TALLY_KIND_ALLOC || items[n]->kind == TALLY_KIND_FREE)
			pool = books_pool_of(items[n]->holder, items[n]->where);
		if (pool)
			ret_hashes[hashed++] = place_hash(pool, items[n]->buffer_id);
	}
	return hashed;
}

void buffers_apply(struct buffers *buffers, const struct staged *const *items, size_t count)
{
	unsigned long hashes[STAGE_BATCH];
	size_t hashed, n;

	if (buffers->ahead.rows && count <= STAGE_BATCH) {
		hashed = hash_all(items, count, hashes);
		if (hashed > 0)
			ahead_fetch(&buffers->ahead, hashes, hashed);
	}
	for (n = 0; n < count; n++)
		apply(buffers, items[n]);
}
