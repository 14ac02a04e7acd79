/* SPDX-License-Identifier: Apache-2.0 */
/* Merging runs of records by time: a heap of runs, each of which ascends by itself. */
#include "consumer/stage.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 256

void stage_free(struct stage *stage)
{
	free(stage->items);
	free(stage->kept);
	free(stage->runs);
	free(stage->heap);
	memset(stage, 0, sizeof(*stage));
}

/* ---- Collecting ------------------------------------------------------------------------------ */

static bool grow(void *array, size_t size, size_t *room, size_t least)
{
	size_t more = *room ? *room : ROOM_MIN;
	void *old, *bigger;

	if (least <= *room)
		return true;
	while (more < least)
		more *= 2;
	memcpy(&old, array, sizeof(old));
	bigger = realloc(old, more * size);
	if (!bigger)
		return false;
	memcpy(array, &bigger, sizeof(bigger));
	*room = more;
	return true;
}

static bool new_run(struct stage *stage)
{
	size_t heap_room = stage->run_room;

	if (!grow(&stage->heap, sizeof(*stage->heap), &heap_room, stage->run_count + 1) ||
	    !grow(&stage->runs, sizeof(*stage->runs), &stage->run_room, stage->run_count + 1))
		return false;
	stage->runs[stage->run_count++] = (struct run){ stage->count, stage->count };
	stage->new_source = false;
	return true;
}

void stage_begin(struct stage *stage, uint64_t now)
{
	if (!stage->unread)
		stage->before = stage->now;
	stage->unread_before = stage->unread;
	stage->unread = false;
	stage->now = now;
	stage->cut = now;
	stage->held = stage->count;
	stage->new_source = true;
}

void stage_source(struct stage *stage)
{
	stage->new_source = true;
}

bool stage_put(struct stage *stage, const struct staged *item)
{
	if (stage->count == stage->room &&
	    !grow(&stage->items, sizeof(*stage->items), &stage->room, stage->count + 1))
		return false;
	if ((stage->new_source || item->time < stage->items[stage->count - 1].time) &&
	    !new_run(stage))
		return false;
	stage->items[stage->count++] = *item;
	stage->runs[stage->run_count - 1].end = stage->count;
	return true;
}

bool stage_behind(struct stage *stage)
{
	if (stage->new_source || stage->items[stage->count - 1].time <= stage->before)
		return false;
	if (stage->items[stage->count - 1].time < stage->cut)
		stage->cut = stage->items[stage->count - 1].time;
	return true;
}

void stage_cut_off(struct stage *stage)
{
	if (!stage_behind(stage) && stage->before < stage->cut)
		stage->cut = stage->before;
}

void stage_unread(struct stage *stage)
{
	if (stage->unread_before)
		return;
	stage->unread = true;
	if (stage->before < stage->cut)
		stage->cut = stage->before;
}

/* ---- Merging --------------------------------------------------------------------------------- */

/* Of equal times the run that was put first comes first. */
static bool is_earlier(const struct stage *stage, uint64_t a, uint64_t b)
{
	uint64_t x = stage->items[stage->runs[a].at].time;
	uint64_t y = stage->items[stage->runs[b].at].time;

	return x < y || (x == y && a < b);
}

static void sift_down(struct stage *stage, size_t n, size_t count)
{
	uint64_t *heap = stage->heap;
	uint64_t moving = heap[n];

	for (;;) {
		size_t child = 2 * n + 1;

		if (child >= count)
			break;
		if (child + 1 < count && is_earlier(stage, heap[child + 1], heap[child]))
			child++;
		if (!is_earlier(stage, heap[child], moving))
			break;
		heap[n] = heap[child];
		n = child;
	}
	heap[n] = moving;
}

static size_t make_heap(struct stage *stage)
{
	size_t count = stage->run_count, n;

	for (n = 0; n < count; n++)
		stage->heap[n] = n;
	for (n = count / 2; n-- > 0;)
		sift_down(stage, n, count);
	return count;
}

/* Whether an item has to wait; then it is put aside, if there is room. */
static bool keep(struct stage *stage, size_t n, bool all, size_t *kept)
{
	const struct staged *item = &stage->items[n];

	if (all || item->time <= stage->cut || (n < stage->held && item->time > stage->now) ||
	    !grow(&stage->kept, sizeof(*stage->kept), &stage->kept_room, *kept + 1))
		return false;
	stage->kept[(*kept)++] = *item;
	return true;
}

/* What waits are the items from now on, in one run. */
static void start_again(struct stage *stage, size_t kept)
{
	struct staged *items = stage->items;
	size_t room = stage->room;

	stage->items = stage->kept;
	stage->room = stage->kept_room;
	stage->kept = items;
	stage->kept_room = room;
	stage->count = kept;
	stage->held = kept;
	stage->run_count = kept > 0;
	if (kept > 0)
		stage->runs[0] = (struct run){ 0, kept };
	stage->new_source = true;
}

void stage_apply(struct stage *stage, bool all,
		 void (*apply)(void *arg, const struct staged *const *items, size_t count),
		 void *arg)
{
	const struct staged *batch[STAGE_BATCH];
	size_t count = make_heap(stage), kept = 0, filled = 0;

	while (count > 0) {
		struct run *run = &stage->runs[stage->heap[0]];
		size_t n = run->at++;

		if (!keep(stage, n, all, &kept))
			batch[filled++] = &stage->items[n];
		if (filled == STAGE_BATCH) {
			apply(arg, batch, filled);
			filled = 0;
		}
		if (run->at == run->end)
			stage->heap[0] = stage->heap[--count];
		if (count > 1)
			sift_down(stage, 0, count);
	}
	if (filled > 0)
		apply(arg, batch, filled);
	start_again(stage, kept);
}

void stage_take_out(struct stage *stage, const struct holder *holder,
		    void (*apply)(void *arg, const struct staged *const *items, size_t count),
		    void *arg)
{
	size_t kept = 0, n;

	for (n = 0; n < stage->count; n++) {
		const struct staged item = stage->items[n], *one = &item;

		if (item.holder != holder)
			stage->items[kept++] = item;
		else if (apply)
			apply(arg, &one, 1);
	}
	stage->count = stage->held = kept;
	stage->run_count = kept > 0;
	if (kept > 0)
		stage->runs[0] = (struct run){ 0, kept };
}
