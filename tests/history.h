/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up histories of a few buffers, the plain model of what they leave behind, and a comparison
 * of the table of live buffers with it. */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include <stdlib.h>
#include <string.h>

#include "consumer/buffers.h"
#include "consumer/stage.h"
#include "tests/support.h"

#define LANES 4 /* the last one is read like the shared ring */
#define IDS 4
#define POOLS 2
#define TAGS 3
#define EVENTS 24

struct history {
	uint64_t seed, random, skew;
	struct staged events[EVENTS]; /* in the order they happened */
	uint8_t lane[EVENTS];
	bool lost[EVENTS];
	size_t count;
	struct holder *holder;
};

static inline uint64_t draw(struct history *history, uint64_t below)
{
	history->random = mix(history->random + 0x9e3779b97f4a7c15ull);
	return history->random % below;
}

#define SKEW 20 /* ticks */

struct made_how {
	bool skew;   /* threads' clocks go wrong by up to SKEW */
	bool ties;   /* of times, between threads */
	bool resets; /* of pools */
	int lost;    /* of so many one, or 0: none */
};

/* Ids go up and down by turns, in any pool and on any thread; now and then both at once, as by
 * realloc(). */
static inline void make_history(struct history *history, uint64_t seed, struct made_how how)
{
	bool live[POOLS][IDS] = { 0 };
	uint64_t sizes[POOLS][IDS] = { 0 };
	uint64_t time = 1000, size = 1;
	size_t n;

	memset(history, 0, sizeof(*history));
	history->skew = how.skew ? SKEW : 0;
	history->seed = history->random = seed;
	history->count = 2 + draw(history, EVENTS - 2);
	for (n = 0; n < history->count; n++) {
		struct staged *event = &history->events[n];
		uint64_t pool = draw(history, POOLS), id = draw(history, IDS), i;
		bool again = n > 0 && event[-1].kind == TALLY_KIND_FREE && draw(history, 2);

		if (again) { /* the id that was given back last */
			pool = event[-1].where >> 40 & 0xff;
			id = event[-1].buffer_id - 1;
		}
		if (live[pool][id] || n == 0 || !again)
			time++; /* of one id not two allocations at once */
		time += how.ties && draw(history, 8) == 0 ? 0 : 1 + draw(history, 9);
		*event = (struct staged){
			.time = time,
			.buffer_id = id + 1,
			.size = size *= 2,
			.where = 7ull << 48 | pool << 40,
			.event_no = n + 1,
			.tag = (uint32_t)draw(history, TAGS),
			.kind = live[pool][id] ? TALLY_KIND_FREE : TALLY_KIND_ALLOC,
		};
		if (live[pool][id])
			event->size = sizes[pool][id];
		sizes[pool][id] = event->size;
		if (how.resets && draw(history, 8) == 0) {
			event->kind = TALLY_KIND_POOL_RESET;
			event->time = time += 2; /* nobody uses the pool meanwhile */
			time += 2;
			for (i = 0; i < IDS; i++)
				live[pool][i] = false;
		} else {
			live[pool][id] = !live[pool][id];
		}
		if (size > 1ull << 40)
			size = 1;
		history->lane[n] = (uint8_t)draw(history, LANES);
		event->where |= history->lane[n]; /* its thread */
		event->shared = history->lane[n] == LANES - 1;
		history->lost[n] = how.lost && draw(history, (uint64_t)how.lost) == 0;
	}
}

/* Two events of one buffer that follow each other, on different threads, change their times. What
 * is between them is other buffers'. */
static inline void swap_times(struct history *history)
{
	struct staged *events = history->events;
	size_t n, other;

	for (n = 0; n < history->count; n++) {
		uint64_t time = events[n].time;

		for (other = n + 1; other < history->count; other++)
			if (events[other].buffer_id == events[n].buffer_id &&
			    events[other].where >> 40 == events[n].where >> 40)
				break;
		if (other == history->count || events[other].time - time > SKEW ||
		    history->lane[n] == history->lane[other] || draw(history, 2))
			continue;
		events[n].time = events[other].time;
		events[other].time = time;
		n = other;
	}
}

/* The next event of the same buffer, or NULL at the end of what is there before a reset. */
static inline struct staged *next_of_buffer(struct history *history, const struct staged *event)
{
	struct staged *next = (struct staged *)event + 1;

	for (; next < history->events + history->count; next++) {
		if (next->kind == TALLY_KIND_POOL_RESET)
			return NULL;
		if (next->buffer_id == event->buffer_id && next->where >> 40 == event->where >> 40)
			return next;
	}
	return NULL;
}

/* Clocks are wrong by any amount: of three events of one buffer an allocation comes first on one
 * thread, the other two on another, whose clock is slow enough to put both before it. */
static inline void rotate_times(struct history *history)
{
	struct staged *first = history->events, *end = first + history->count;

	for (; first < end; first++) {
		struct staged *second = next_of_buffer(history, first);
		struct staged *third = second ? next_of_buffer(history, second) : NULL;
		uint64_t time = first->time;

		if (!third || first->kind != TALLY_KIND_ALLOC || draw(history, 3) != 0)
			continue;
		second->where = (second->where & ~7ull) | 1;
		third->where = (third->where & ~7ull) | 1;
		first->where = first->where & ~7ull;
		history->lane[first - history->events] = 0;
		history->lane[second - history->events] = 1;
		history->lane[third - history->events] = 1;
		first->time = third->time;
		third->time = second->time;
		second->time = time;
		if (third + 1 == end)
			break;
		first = third;
	}
}

/* ---- The model ------------------------------------------------------------------------------- */

struct model {
	const struct staged *live[POOLS][IDS]; /* its allocation */
	uint64_t unmatched[POOLS], doubles[POOLS];
};

static inline void model_add(struct model *model, const struct staged *event)
{
	size_t pool = event->where >> 40 & 0xff, i;
	const struct staged **at = &model->live[pool][event->buffer_id - 1];

	if (event->kind == TALLY_KIND_ALLOC) {
		model->doubles[pool] += *at != NULL;
		*at = event;
	} else if (event->kind == TALLY_KIND_FREE) {
		model->unmatched[pool] += *at == NULL;
		*at = NULL;
	} else {
		for (i = 0; i < IDS; i++)
			model->live[pool][i] = NULL;
	}
}

static inline void model_of(const struct history *history, struct model *ret_model)
{
	size_t n;

	memset(ret_model, 0, sizeof(*ret_model));
	for (n = 0; n < history->count; n++)
		if (!history->lost[n])
			model_add(ret_model, &history->events[n]);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

struct comparison {
	const struct history *history;
	struct model left; /* what was not met yet */
	const char *wrong;
};

static inline bool compare_row(void *arg, const struct tally_buffer *buffer)
{
	struct comparison *comparison = arg;
	const struct staged **at;

	if (buffer->region_id != comparison->history->seed)
		return true;
	at = &comparison->left.live[buffer->pool][buffer->buffer_id - 1];
	if (!*at)
		comparison->wrong = "a row that should not be there";
	else if ((*at)->size != buffer->size || buffer->tid != (uint32_t)(*at)->where ||
		 buffer->device != 7 || buffer->ended ||
		 buffer->unsure != (comparison->history->holder->lost_ns != 0))
		comparison->wrong = "a row that tells of another allocation";
	*at = NULL;
	return !comparison->wrong;
}

static inline const char *compare_sums(const struct holder *holder, const struct model *model)
{
	int64_t live[POOLS][TAGS] = { 0 };
	size_t pool, n;

	for (pool = 0; pool < POOLS; pool++) {
		const struct pool_books *books = books_find_pool(holder, 7, (uint32_t)pool);

		for (n = 0; n < IDS; n++)
			if (model->live[pool][n])
				live[pool][model->live[pool][n]->tag] +=
					(int64_t)model->live[pool][n]->size;
		if (books && books->unmatched_frees != model->unmatched[pool])
			return "unmatched frees";
		if (books && books->double_allocations != model->doubles[pool])
			return "double allocations";
		if (!books && (model->unmatched[pool] || model->doubles[pool]))
			return "no books";
	}
	for (n = 0; n < holder->tags.room; n++) {
		const struct tag_books *books = holder->tags.all[n].books;

		if (books && books->live_bytes != live[books->pool->pool][books->tag])
			return "live bytes of a tag";
	}
	return NULL;
}

/* What is wrong, or NULL. Rows only, or sums as well. */
static inline const char *compare(const struct buffers *buffers, const struct history *history,
				  bool sums)
{
	struct comparison comparison = { .history = history };
	const char *wrong = NULL;
	struct model model;
	size_t pool, n;

	model_of(history, &model);
	comparison.left = model;
	buffers_each(buffers, compare_row, &comparison);
	for (pool = 0; pool < POOLS && !comparison.wrong; pool++)
		for (n = 0; n < IDS; n++)
			if (comparison.left.live[pool][n])
				comparison.wrong = "a row is missing";
	if (!comparison.wrong && sums)
		wrong = compare_sums(history->holder, &model);
	return comparison.wrong ? comparison.wrong : wrong;
}

static inline void print_history(const struct history *history)
{
	size_t n;

	for (n = 0; n < history->count; n++) {
		const struct staged *event = &history->events[n];

		print_error("  %4u  lane %u  %s  pool %u  id %u%s\n", (unsigned)event->time,
			    history->lane[n],
			    event->kind == TALLY_KIND_ALLOC  ? "alloc"
			    : event->kind == TALLY_KIND_FREE ? "free "
							     : "reset",
			    (unsigned)(event->where >> 40 & 0xff), (unsigned)event->buffer_id,
			    history->lost[n] ? "  lost" : "");
	}
}

#endif
