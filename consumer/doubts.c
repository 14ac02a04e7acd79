/* SPDX-License-Identifier: Apache-2.0 */
/* Doubts: keys of the table of live buffers whose events did not come by turns. */
#include <stdlib.h>
#include <string.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#include "consumer/doubts.h"

#define ROOM_MIN 64

/* ---- Which row has which --------------------------------------------------------------------- */

static uint32_t number_of(const struct row *row)
{
	/* relaxed: own word; other threads read its lowest bit alone */
	return (uint32_t)(tally_load_relaxed(&row->state) >> 1);
}

static void set_number(struct row *row, uint32_t number)
{
	/* relaxed, both: as above */
	uint64_t live = tally_load_relaxed(&row->state) & ROW_LIVE;

	tally_store_relaxed(&row->state, live | (uint64_t)number << 1);
}

struct doubt *doubt_of(struct doubts *doubts, const struct row *row)
{
	uint32_t number = number_of(row);

	return number ? &doubts->all[number - 1] : NULL;
}

void doubt_move(struct doubts *doubts, const struct row *from, struct row *to)
{
	uint32_t number = number_of(from);

	set_number(to, number);
	if (number)
		doubts->all[number - 1].row = to;
}

/* It leaves the list when its time has come. */
void doubt_drop(struct doubts *doubts, struct row *row)
{
	struct doubt *doubt = doubt_of(doubts, row);

	if (doubt)
		doubt->row = NULL;
	set_number(row, 0);
}

/* ---- The list -------------------------------------------------------------------------------- */

static bool make_room(struct doubts *doubts)
{
	uint32_t room = doubts->room ? doubts->room * 2 : ROOM_MIN;
	struct doubt *all;

	if (doubts->unused || doubts->count < doubts->room)
		return true;
	if (doubts->count >= doubts->max)
		return false;
	all = realloc(doubts->all, room * sizeof(*all));
	if (!all)
		return false;
	doubts->all = all;
	doubts->room = room;
	return true;
}

static void append(struct doubts *doubts, uint32_t number)
{
	doubts->all[number - 1].next = 0;
	if (doubts->last)
		doubts->all[doubts->last - 1].next = number;
	else
		doubts->first = number;
	doubts->last = number;
}

static uint32_t take_first(struct doubts *doubts)
{
	uint32_t number = doubts->first;

	doubts->first = doubts->all[number - 1].next;
	if (!doubts->first)
		doubts->last = 0;
	return number;
}

static uint32_t take_unused(struct doubts *doubts)
{
	uint32_t number = doubts->unused;

	if (!number)
		return ++doubts->count;
	doubts->unused = doubts->all[number - 1].next;
	return number;
}

struct doubt *doubt_start(struct doubts *doubts, struct row *row)
{
	struct doubt *doubt;
	uint32_t number;

	if (!make_room(doubts))
		return NULL;
	number = take_unused(doubts);
	doubt = &doubts->all[number - 1];
	memset(doubt, 0, sizeof(*doubt));
	doubt->row = row;
	doubt->touched_ns = doubt->queued_ns = doubts->now_ns;
	append(doubts, number);
	set_number(row, number);
	return doubt;
}

/* ---- What an event changes ------------------------------------------------------------------- */

/* Whether what happened to a key is left to the count: later events than the latest may have been
 * forgotten, there are two at once, or times may be wrong, while several threads told of it and
 * nothing is lost. */
static bool by_count(const struct doubt *doubt)
{
	const struct holder *holder = doubt->row->books->pool->holder;

	/* relaxed: own word */
	return doubt->latest < doubt->forgotten || doubt->tied ||
	       (doubt->late && holder->several && tally_load_relaxed(&holder->lost_ns) == 0);
}

bool doubt_is_live(const struct doubt *doubt)
{
	return by_count(doubt) ? doubt->net > 0 : doubt->latest_allocs;
}

bool doubt_is_other(const struct doubt *doubt)
{
	return by_count(doubt) && doubt->net == 1 && doubt->other.kind &&
	       doubt->row->size != doubt->bytes && doubt->other.size == doubt->bytes;
}

bool doubt_is_over(const struct doubt *doubt)
{
	return doubt->net == 1 && doubt->latest_allocs && !doubt->swapped && !by_count(doubt) &&
	       !doubt->unmatched && !doubt->doubles;
}

/* Whoever has more of either than that does not give them back any more. */
static void count(int32_t *net, bool allocs)
{
	if (*net != (allocs ? INT32_MAX : INT32_MIN))
		*net += allocs ? 1 : -1;
}

/* Counts a double allocation, or an unmatched free. */
static void note(struct doubt *doubt, struct pool_books *pool, bool allocs)
{
	if (allocs) {
		doubt->doubles++;
		pool->double_allocations++;
	} else {
		doubt->unmatched++;
		pool->unmatched_frees++;
	}
}

/* It answers for one of the other kind that had been counted before it came. */
static bool cancel(struct doubt *doubt, struct pool_books *pool, bool allocs)
{
	if (allocs && doubt->unmatched > 0) {
		doubt->unmatched--;
		pool->unmatched_frees--;
		return true;
	}
	if (!allocs && doubt->doubles > 0) {
		doubt->doubles--;
		pool->double_allocations--;
		return true;
	}
	return false;
}

/* What is left to counting has no more of either than it takes. */
static void recount(struct doubt *doubt, struct pool_books *pool)
{
	int64_t excess = (int64_t)doubt->net - doubt_is_live(doubt);
	uint32_t unmatched = excess < 0 ? (uint32_t)-excess : 0;
	uint32_t doubles = excess > 0 ? (uint32_t)excess : 0;

	pool->unmatched_frees += (uint64_t)unmatched - doubt->unmatched;
	pool->double_allocations += (uint64_t)doubles - doubt->doubles;
	doubt->unmatched = unmatched;
	doubt->doubles = doubles;
}

/* Whether the clocks do not tell which of an event and the latest one came first. */
static bool is_near(const struct doubt *doubt, const struct pool_books *pool,
		    const struct staged *item)
{
	uint64_t distance = item->time > doubt->latest ? item->time - doubt->latest
						       : doubt->latest - item->time;

	return distance <= pool->holder->skew && distance > 0 &&
	       doubt->latest_allocs != (item->kind == TALLY_KIND_ALLOC) &&
	       doubt->latest_tid != (uint32_t)item->where;
}

bool doubt_is_tangled(const struct holder *holder, bool same_kind, uint64_t time, uint32_t tid,
		      const struct staged *item)
{
	uint64_t distance = item->time > time ? item->time - time : time - item->time;

	return same_kind && distance <= holder->skew && tid != (uint32_t)item->where;
}

/* It came before the latest event, and answers for what did not fit; else it does not fit either.
 * But if the clocks do not tell, it may as well have come after; and if the latest was swapped with
 * one of this kind, that was this one's part. */
static void add_before(struct doubt *doubt, struct pool_books *pool, bool allocs, bool near)
{
	bool undo = doubt->swapped && allocs != doubt->latest_allocs;

	doubt->late = true;
	if (cancel(doubt, pool, allocs)) {
		doubt->swapped = doubt->swapped || near;
		return;
	}
	if (!undo && !near) {
		note(doubt, pool, allocs);
		return;
	}
	doubt->swapped = false;
	doubt->latest_allocs = allocs;
}

/* It is the latest. */
static void add_after(struct doubt *doubt, struct pool_books *pool, const struct staged *item)
{
	bool allocs = item->kind == TALLY_KIND_ALLOC;
	bool fits = allocs != doubt_is_live(doubt);

	if (!fits)
		note(doubt, pool, allocs);
	doubt->latest_noted = !fits;
	doubt->latest_tid = (uint32_t)item->where;
	doubt->latest = item->time;
	doubt->latest_allocs = allocs;
	doubt->tied = doubt->swapped = false;
}

bool doubt_add(struct doubts *doubts, struct doubt *doubt, struct pool_books *pool,
	       const struct staged *item)
{
	bool allocs = item->kind == TALLY_KIND_ALLOC;
	bool near = is_near(doubt, pool, item);
	bool swapped = near && doubt->latest_noted && !doubt->swapped;
	bool before = item->time < doubt->latest || swapped;
	bool tangled = doubt_is_tangled(pool->holder, allocs == doubt->latest_allocs, doubt->latest,
					doubt->latest_tid, item);
	bool at_once = item->time == doubt->latest &&
		       (doubt->tied || allocs != doubt->latest_allocs);

	if (before)
		add_before(doubt, pool, allocs, near);
	else if (!at_once)
		add_after(doubt, pool, item);
	doubt->tied = doubt->tied || at_once;
	doubt->late = doubt->late || at_once || tangled;
	count(&doubt->net, allocs);
	doubt->bytes += allocs ? item->size : 0 - item->size;
	doubt->touched_ns = doubts->now_ns;
	if (by_count(doubt))
		recount(doubt, pool);
	return !before && allocs;
}

/* ---- Ending ---------------------------------------------------------------------------------- */

/* Of records that came late it is known by now that one was the other's. */
static void balance(struct doubt *doubt, struct pool_books *pool)
{
	uint32_t both = doubt->unmatched < doubt->doubles ? doubt->unmatched : doubt->doubles;

	if (!doubt->late)
		return;
	pool->unmatched_frees -= both;
	pool->double_allocations -= both;
}

/* Takes the first doubt off the list, or puts it last if something was added to it since. */
static struct row *take_row(struct doubts *doubts, uint64_t until_ns, bool *ret_live)
{
	uint32_t number = take_first(doubts);
	struct doubt *doubt = &doubts->all[number - 1];
	struct row *row = doubt->row;

	if (row && doubt->touched_ns > until_ns) {
		doubt->queued_ns = doubts->now_ns;
		append(doubts, number);
		return NULL;
	}
	doubt->next = doubts->unused;
	doubts->unused = number;
	if (!row)
		return NULL;
	balance(doubt, row->books->pool);
	*ret_live = doubt_is_live(doubt);
	set_number(row, 0);
	return row;
}

struct row *doubts_next(struct doubts *doubts, uint64_t until_ns, bool *ret_live)
{
	struct row *row = NULL;
	uint32_t tries = doubts->count;

	while (!row && doubts->first && tries-- > 0) {
		if (doubts->all[doubts->first - 1].queued_ns > until_ns)
			break;
		row = take_row(doubts, until_ns, ret_live);
	}
	return row;
}

void doubts_free(struct doubts *doubts)
{
	free(doubts->all);
	memset(doubts, 0, sizeof(*doubts));
}
