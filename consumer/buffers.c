/* SPDX-License-Identifier: Apache-2.0 */
/* What each record does to the table of live buffers. */
#include "consumer/buffers.h"

#include <tally/abi.h>
#include <tally/atomic.h>

#include "ring/clock.h"

#define HOG_SHARE 8 /* a process may have so many times what is free, if it is not alone */

struct key {
	uint64_t buffer_id;
	const struct pool_books *pool;
};

/* The low bits choose the bucket; the seed is secret. */
static unsigned long hash_of(const struct pool_books *pool, uint64_t buffer_id)
{
	uint64_t hash = (buffer_id ^ pool->seed) * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ hash >> 32) * (pool->seed | 1);
	return hash ^ hash >> 32;
}

static int is_key(struct cds_lfht_node *node, const void *arg)
{
	const struct row *row = row_of(node);
	const struct key *key = arg;

	/* relaxed: own words */
	return tally_load_relaxed(&row->buffer_id) == key->buffer_id &&
	       row->books->pool == key->pool;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool is_live(const struct row *row)
{
	return tally_load_relaxed(&row->state) & ROW_LIVE; /* relaxed: own word */
}

/* Whether rows show what is held; and the sums with them. */
static void set_live(struct row *row, bool live, bool freed)
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
static void fill(struct row *row, struct tag_books *books, const struct staged *item)
{
	/* relaxed, all: the table publishes them */
	tally_store_relaxed(&row->buffer_id, item->buffer_id);
	tally_store_relaxed(&row->size, item->size);
	tally_store_relaxed(&row->time, item->time);
	tally_store_relaxed(&row->where, item->where);
	row->books = books;
	tally_store_relaxed(&row->state, 0); /* relaxed: as above */
}

static void entered(struct buffers *buffers, const struct row *row)
{
	struct pool_books *pool = row->books->pool;

	buffers->count++;
	pool->rows++;
	buffers->holders += pool->holder->rows++ == 0;
}

void buffers_take_away(struct buffers *buffers, struct row *row, bool freed)
{
	struct pool_books *pool = row->books->pool;

	doubt_drop(buffers, row);
	set_live(row, false, freed);
	cds_lfht_del(buffers->table, &row->node);
	buffers->count--;
	pool->rows--;
	buffers->holders -= --pool->holder->rows == 0;
	rows_retire(&buffers->rows, row);
}

static bool has_room(const struct buffers *buffers, const struct holder *holder)
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

static struct row *find(struct buffers *buffers, const struct pool_books *pool, uint64_t buffer_id)
{
	struct key key = { buffer_id, pool };
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(buffers->table, hash_of(pool, buffer_id), is_key, &key, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? row_of(node) : NULL;
}

/* ---- Doubts ---------------------------------------------------------------------------------- */

static struct doubt *doubt_row(struct buffers *buffers, struct row *row, uint64_t time, bool late)
{
	struct doubt *doubt = doubt_start(buffers, row);

	if (!doubt)
		return NULL;
	doubt->net = is_live(row) ? 1 : 0;
	doubt->latest_allocs = is_live(row);
	doubt->latest = time;
	doubt->latest_tid = (uint32_t)row->where;
	doubt->forgotten = late ? row->books->pool->holder->applied : 0;
	doubt->late = late;
	return doubt;
}

/* A row that tells of another allocation takes the place of `row`. NULL: no room, the old one has
 * gone. */
static struct row *replace(struct buffers *buffers, struct row *row, struct tag_books *books,
			   const struct staged *item)
{
	struct row *fresh = rows_take(&buffers->rows);
	struct key key = { row->buffer_id, row->books->pool };
	unsigned long hash = hash_of(key.pool, key.buffer_id);
	struct cds_lfht_iter iter;

	if (!fresh) {
		buffers_take_away(buffers, row, false);
		buffers_leave_out(buffers);
		return NULL;
	}
	fill(fresh, books, item);
	doubt_move(buffers, row, fresh);
	set_live(fresh, is_live(row), false);
	set_live(row, false, false);
	cds_lfht_lookup(buffers->table, hash, is_key, &key, &iter);
	cds_lfht_replace(buffers->table, &iter, hash, is_key, &key, &fresh->node);
	rows_retire(&buffers->rows, row);
	return fresh;
}

/* Adds an event to a key that has a row and a doubt. */
static void add(struct buffers *buffers, struct row *row, struct doubt *doubt,
		struct tag_books *books, const struct staged *item)
{
	bool allocs = item->kind == TALLY_KIND_ALLOC;
	bool latest = doubt_add(doubt, books->pool, item);
	bool live = doubt_is_live(doubt);

	doubt->touched_ns = buffers->now_ns;
	if (allocs && (latest || item->time > row->time)) {
		row = replace(buffers, row, books, item);
		if (!row)
			return;
	}
	set_live(row, live, !allocs);
	if (doubt_is_over(doubt))
		doubt_drop(buffers, row);
}

/* Without memory for a doubt: what comes counts as if it came in time. */
static void add_plainly(struct buffers *buffers, struct row *row, struct tag_books *books,
			const struct staged *item)
{
	if (item->time < row->time)
		return;
	if (item->kind == TALLY_KIND_FREE)
		buffers_take_away(buffers, row, true);
	else
		replace(buffers, row, books, item);
}

static void change(struct buffers *buffers, struct row *row, struct tag_books *books,
		   const struct staged *item)
{
	struct doubt *doubt = doubt_of(buffers, row);

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
	doubt = doubt_of(buffers, row);
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
	struct row *row = find(buffers, books->pool, item->buffer_id);
	struct row *fresh;

	if (!buffers_is_gone(buffers, row)) {
		change(buffers, row, books, item);
		return;
	}
	doubt_drop(buffers, row);
	set_live(row, false, true);
	fresh = replace(buffers, row, books, item);
	if (fresh)
		set_live(fresh, true, false);
}

static void count_size(struct pool_books *pool, uint64_t size)
{
	pool->sizes[size ? 64 - __builtin_clzll(size) : 0]++;
	pool->allocations++;
}

static void allocate(struct buffers *buffers, struct tag_books *books, const struct staged *item)
{
	struct pool_books *pool = books->pool;
	struct key key = { item->buffer_id, pool };
	unsigned long hash = hash_of(pool, item->buffer_id);
	struct cds_lfht_node *node;
	struct row *row;

	count_size(pool, item->size);
	books->allocations++;
	books->allocated_bytes += item->size;
	if (item->time < pool->reset)
		return;
	row = has_room(buffers, pool->holder) ? rows_take(&buffers->rows) : NULL;
	if (!row) {
		if (find(buffers, pool, item->buffer_id)) {
			allocate_again(buffers, books, item);
			return;
		}
		pool->left_out++;
		buffers_leave_out(buffers);
		return;
	}
	fill(row, books, item);
	set_live(row, true, false);
	node = cds_lfht_add_unique(buffers->table, hash, is_key, &key, &row->node);
	if (node != &row->node) {
		set_live(row, false, false);
		rows_put(&buffers->rows, row);
		allocate_again(buffers, books, item);
		return;
	}
	entered(buffers, row);
	ahead_note(&buffers->ahead, hash, row);
	if (is_late(pool, item))
		doubt_row(buffers, row, item->time, true);
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
	if (books && has_room(buffers, pool->holder))
		row = rows_take(&buffers->rows);
	if (!row) {
		pool->unmatched_frees++;
		return;
	}
	fill(row, books, item);
	tally_store_relaxed(&row->time, 0); /* relaxed: as in fill() */
	doubt = doubt_row(buffers, row, item->time, is_late(pool, item));
	if (!doubt) {
		pool->unmatched_frees++;
		rows_put(&buffers->rows, row);
		return;
	}
	doubt_add(doubt, pool, item);
	cds_lfht_add(buffers->table, hash_of(pool, item->buffer_id), &row->node);
	entered(buffers, row);
}

static void release(struct buffers *buffers, struct pool_books *pool, const struct staged *item)
{
	struct row *row = find(buffers, pool, item->buffer_id);

	if (item->time < pool->reset)
		return;
	if (row && buffers_is_gone(buffers, row)) {
		buffers_take_away(buffers, row, true);
		row = NULL;
	}
	if (!row)
		free_unmatched(buffers, pool, item);
	else if (item->time > row->time && !doubt_of(buffers, row))
		buffers_take_away(buffers, row, true);
	else
		change(buffers, row, row->books, item);
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
	struct tag_books *books;

	switch (item->kind) {
	case TALLY_KIND_ALLOC:
		books = books_of(item->holder, item->where, item->tag);
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
	if (item->time > item->holder->applied)
		item->holder->applied = item->time;
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
			ret_hashes[hashed++] = hash_of(pool, items[n]->buffer_id);
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
