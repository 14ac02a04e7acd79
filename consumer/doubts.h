/* SPDX-License-Identifier: Apache-2.0 */
/* Doubts: keys of the table of live buffers whose events did not come by turns. What they are for
 * is told in consumer/buffers.h. The thread that polls. */
#ifndef CONSUMER_DOUBTS_H
#define CONSUMER_DOUBTS_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/books.h"
#include "consumer/rows.h"
#include "consumer/stage.h"

#define DOUBT_NS 1000000000ull

/* What is known of a key. From its start to its end, row->state names it. */
struct doubt {
	struct row *row;     /* NULL: it has ended already */
	uint64_t latest;     /* ticks of the latest event */
	uint64_t forgotten;  /* ticks: none that was forgotten is later; 0: none was forgotten */
	uint64_t touched_ns; /* CLOCK_MONOTONIC: when something was added */
	uint64_t queued_ns;  /* and when it was put last on the list */
	uint32_t next;	     /* in the order they are ended, or among those not used */
	int32_t net;	     /* allocations - frees */
	uint64_t bytes;	     /* allocated - freed */
	struct staged other; /* an allocation that the row might tell of instead; kind 0: none */
	uint32_t unmatched, doubles; /* counted in the books because of it */
	uint32_t latest_tid;
	bool latest_allocs;
	bool latest_noted; /* it was counted above, as it did not fit */
	bool swapped;	   /* one that seems later was taken for earlier */
	bool tied;	   /* at that time there was both an allocation and a free */
	bool late;	   /* a record came late, or the clocks do not tell what was first */
};

struct doubts {
	struct doubt *all; /* number n is at n - 1 */
	uint32_t count, room, max;
	uint32_t first, last, unused;
	uint64_t now_ns; /* CLOCK_MONOTONIC, about: set by who uses them */
};

/* The doubt of a row, or NULL. */
struct doubt *doubt_of(struct doubts *doubts, const struct row *row);

/* A new one, for the caller to fill in. NULL: no memory. */
struct doubt *doubt_start(struct doubts *doubts, struct row *row);

/* Another row has taken the place of its. */
void doubt_move(struct doubts *doubts, const struct row *from, struct row *to);

/* The row has no doubt any more, if it had one. */
void doubt_drop(struct doubts *doubts, struct row *row);

/* Adds an allocation or a free, and counts in the books what does not fit; the row stays as it is.
 * True: it is the latest allocation. */
bool doubt_add(struct doubts *doubts, struct doubt *doubt, struct pool_books *pool,
	       const struct staged *item);

/* Whether an event and one of the same key at `time` are of the same kind, on two threads, and so
 * close to each other that clocks may have put elsewhere what is missing between them. */
bool doubt_is_tangled(const struct holder *holder, bool same_kind, uint64_t time, uint32_t tid,
		      const struct staged *item);

bool doubt_is_live(const struct doubt *doubt);

/* By what was freed, a live row tells of the wrong one of two allocations whose order the clocks
 * mistook: it is the other. */
bool doubt_is_other(const struct doubt *doubt);

/* Nothing is left of it: the row is live, by its allocation. */
bool doubt_is_over(const struct doubt *doubt);

/* Ends the next doubt that nothing was added to since `until_ns`: its row, and whether that is
 * live. NULL: there is none. */
struct row *doubts_next(struct doubts *doubts, uint64_t until_ns, bool *ret_live);

void doubts_free(struct doubts *doubts);

#endif
