/* SPDX-License-Identifier: Apache-2.0 */
/* Records of one region on their way from its rings to who uses them: collected, then handed on in
 * order of time, so that an id which is freed on one thread and used again on another is seen so.
 *
 *	stage_begin()    with the time, before any ring is read
 *	stage_source()   before each ring; then stage_put() each of its records, in the ring's order
 *	stage_behind()   after a ring of which some were left
 *	stage_unread()   where a ring could not be read
 *	stage_apply()    in order of time, up to the time from which on records may be missing
 *
 * What was taken down before the begin and had been published by then has been read, so all up to
 * that time is there, but for a ring that was not read to its end: there all is there up to the
 * last that was read. Later ones wait for the next time. They wait twice at most, once more where a
 * ring could not be read: a ring in which the last that was read is older than the begin before is
 * to be read on, and one that cannot be read twice is not waited for. A record that waited and
 * still claims to be of the future lies, and is handed on.
 *
 * What is missing nevertheless is a record whose thread was stopped between taking the time and
 * publishing it; who uses records in order must live with few that come late.
 */
#ifndef CONSUMER_STAGE_H
#define CONSUMER_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct holder; /* consumer/books.h */

struct staged {
	uint64_t time; /* ticks */
	uint64_t buffer_id;
	uint64_t size;
	uint64_t where; /* as in struct tally_record */
	uint64_t event_no;
	struct holder *holder; /* whose it is */
	uint32_t tag;
	uint8_t kind;
	bool shared;
};

/* Items with ascending times, one after the other. */
struct run {
	size_t at, end;
};

struct stage {
	struct staged *items, *kept;
	size_t count, room, kept_room;
	size_t held;	  /* so many of the items, the first, waited since the last time */
	struct run *runs; /* room for one per item */
	uint64_t *heap;	  /* likewise: runs, the one with the earliest item first */
	size_t run_count, run_room;
	bool new_source;
	bool unread, unread_before; /* a ring could not be read this time, the time before */
	uint64_t before, now, cut;
};

/* All private to the thread that polls. Starts with zeros. */
void stage_free(struct stage *stage);

void stage_begin(struct stage *stage, uint64_t now);
void stage_source(struct stage *stage);

/* False: no memory; it is lost. */
bool stage_put(struct stage *stage, const struct staged *item);

/* Some of the source were not put. False, and nothing is noted: more of them are to be put before.
 */
bool stage_behind(struct stage *stage);

/* The same when no more can be put. */
void stage_cut_off(struct stage *stage);

/* Nothing of some ring could be put. */
void stage_unread(struct stage *stage);

/* So many are handed on at a time, at most. */
#define STAGE_BATCH 32

/* `all`: nobody pushes any more, or nobody will ask again. */
void stage_apply(struct stage *stage, bool all,
		 void (*apply)(void *arg, const struct staged *const *items, size_t count),
		 void *arg);

/* After stage_apply(): takes out what waits of one holder, in order of time. `apply` may be NULL.
 */
void stage_take_out(struct stage *stage, const struct holder *holder,
		    void (*apply)(void *arg, const struct staged *const *items, size_t count),
		    void *arg);

#endif
