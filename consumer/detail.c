/* SPDX-License-Identifier: Apache-2.0 */
/* Tags, sizes and what does not match: out of each process's books, and added up over all. */
#include "consumer/detail.h"

#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline.h"

static bool is_kept(const struct picture *picture)
{
	return picture->pipeline && picture->pipeline->buffers.table;
}

struct detail_counts detail_count(const struct picture *picture)
{
	struct detail_counts counts = { 0 };
	size_t n;

	if (!is_kept(picture))
		return counts;
	counts.sizes = picture->over_all->count;
	for (n = 0; n < picture->process_count; n++) {
		const struct holder *holder = picture->processes[n]->holder;

		if (!holder)
			continue;
		counts.sizes += picture->processes[n]->sums.count;
		counts.process_tags += holder->tags.count;
	}
	counts.tags = counts.process_tags;
	return counts;
}

/* ---- Pools ----------------------------------------------------------------------------------- */

static void add_pool(struct tally_pool_view *view, uint64_t *sizes, const struct pool_books *pool)
{
	size_t n;

	view->unmatched_frees += pool->unmatched_frees;
	view->double_allocations += pool->double_allocations;
	for (n = 0; n < TALLY_SIZES; n++)
		sizes[n] += pool->sizes[n];
}

static void fill_pools(const struct picture *picture, const struct detail_room *room)
{
	const struct sums *over_all = picture->over_all;
	uint64_t *next = room->sizes + over_all->count * TALLY_SIZES;
	size_t filled = 0, n, i;

	for (n = 0; n < over_all->count; n++)
		room->pools[n].sizes = &room->sizes[n * TALLY_SIZES];
	for (n = 0; n < picture->process_count; filled += picture->processes[n++]->sums.count) {
		const struct process *process = picture->processes[n];

		for (i = 0; i < process->sums.count && process->holder; i++) {
			uint64_t key = process->sums.all[i].key;
			const struct pool_books *pool = books_find_pool(
				process->holder, TALLY_KEY_DEVICE(key), TALLY_KEY_POOL(key));
			const struct sum *sum = pool ? sums_find(over_all, key) : NULL;

			if (!pool)
				continue;
			room->process_pools[filled + i].sizes = next;
			add_pool(&room->process_pools[filled + i], next, pool);
			next += TALLY_SIZES;
			if (sum)
				add_pool(&room->pools[sum - over_all->all],
					 &room->sizes[(size_t)(sum - over_all->all) * TALLY_SIZES],
					 pool);
		}
	}
}

/* ---- Tags ------------------------------------------------------------------------------------ */

static int by_tag(const void *a, const void *b)
{
	const struct tally_tag_view *one = a, *other = b;
	int order = strcmp(one->tag, other->tag);

	if (order != 0)
		return order;
	if (one->device != other->device)
		return one->device > other->device ? 1 : -1;
	return (one->pool > other->pool) - (one->pool < other->pool);
}

/* Puts them in order, and makes one of those that are the same; how many are left. */
static size_t combine(struct tally_tag_view *views, size_t count)
{
	size_t kept = 0, n;

	qsort(views, count, sizeof(*views), by_tag);
	for (n = 0; n < count; n++) {
		struct tally_tag_view *to = &views[kept - (kept > 0)];

		if (kept == 0 || by_tag(to, &views[n]) != 0) {
			views[kept++] = views[n];
			continue;
		}
		to->live_bytes = plus(to->live_bytes, views[n].live_bytes);
		to->live_allocations = plus(to->live_allocations, views[n].live_allocations);
		to->allocations += views[n].allocations;
		to->frees += views[n].frees;
		to->allocated_bytes += views[n].allocated_bytes;
		to->freed_bytes += views[n].freed_bytes;
	}
	return kept;
}

static size_t copy_tags(const struct holder *holder, struct tally_tag_view *views)
{
	size_t count = 0, n;

	for (n = 0; n < holder->tags.room; n++) {
		const struct tag_books *books = holder->tags.all[n].books;

		if (!books || books->allocations == 0)
			continue;
		views[count] = (struct tally_tag_view){
			.device = books->pool->device,
			.pool = books->pool->pool,
			.live_bytes = books->live_bytes,
			.live_allocations = books->live_allocations,
			.allocations = books->allocations,
			.frees = books->frees,
			.allocated_bytes = books->allocated_bytes,
			.freed_bytes = books->freed_bytes,
		};
		memcpy(views[count++].tag, books->name, sizeof(books->name));
	}
	return combine(views, count);
}

static void fill_tags(const struct picture *picture, const struct detail_room *room,
		      struct tally_snapshot *snapshot)
{
	size_t filled = 0, n, i;

	for (n = 0; n < picture->process_count; n++) {
		const struct process *process = picture->processes[n];
		struct tally_process_view *view = &room->processes[n];

		view->first_tag = filled;
		view->tag_count = process->holder
					  ? copy_tags(process->holder, &room->process_tags[filled])
					  : 0;
		for (i = filled; i < filled + view->tag_count; i++) {
			room->tags[i] = room->process_tags[i];
			if (process->ended)
				room->tags[i].live_bytes = room->tags[i].live_allocations = 0;
		}
		filled += view->tag_count;
	}
	snapshot->process_tag_count = filled;
	snapshot->tag_count = combine(room->tags, filled);
	snapshot->tags = room->tags;
	snapshot->process_tags = room->process_tags;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void note_since(struct tally_snapshot *snapshot, uint64_t since_ns)
{
	if (since_ns && (!snapshot->incomplete_since_realtime_ns ||
			 since_ns < snapshot->incomplete_since_realtime_ns))
		snapshot->incomplete_since_realtime_ns = since_ns;
}

void detail_fill(const struct picture *picture, const struct detail_room *room,
		 struct tally_snapshot *snapshot)
{
	const struct buffers *buffers;
	size_t n;

	for (n = 0; n < picture->process_count; n++)
		note_since(snapshot, picture->processes[n]->incomplete_since_realtime_ns);
	if (!is_kept(picture))
		return;
	buffers = &picture->pipeline->buffers;
	memset(room->sizes, 0, detail_count(picture).sizes * TALLY_SIZES * sizeof(*room->sizes));
	fill_pools(picture, room);
	fill_tags(picture, room, snapshot);
	for (n = 0; n < picture->process_count; n++)
		snapshot->buffers += room->processes[n].buffers;
	snapshot->buffers_max = buffers->max;
	snapshot->buffers_left_out = buffers->left_out;
	note_since(snapshot, buffers->left_out_since_ns);
}
