/* SPDX-License-Identifier: Apache-2.0 */
/* The table of live buffers: a liburcu hash table, keyed by (process image, device, pool, buffer
 * id), changed by the thread that polls and walked by any other.
 *
 * Applied in order of time, records make the table by plain rules: an allocation puts a row there,
 * or replaces the one that is there and counts a double allocation; a free takes it away, or counts
 * an unmatched one; a pool reset takes away all of that (device, pool).
 *
 * LATE RECORDS. A thread may be stopped between taking the time and publishing, so a record can
 * come after later ones. And clocks of different processors, and a processor that reads its clock
 * ahead of what comes before, put events of several threads the wrong way round that follow each
 * other closely. A key whose history does not go by turns, alloc, free, alloc, gets a doubt
 * (consumer/doubts.h): what was counted of it, and the latest event by time. A doubt ends DOUBT_NS
 * after its last event, by when nothing late is expected any more.
 *
 * Where a record came late, or two of one kind on two threads are so close that clocks may have
 * put one of the other kind elsewhere, without loss the row is live if and only if it has more
 * allocations than frees: that needs no order at all. (Nothing else is left to the count, as it
 * does not know what was there before the first event, or given back without a word.) A key whose
 * row was taken away by its free is forgotten at once; who is forgotten had as many of the one as
 * of the other, so the row's count remains the key's. Of records that were lost nobody has the
 * count; then a row is live if and only if its latest event by time is an allocation, which is
 * what the remaining records make of it one after the other; so it is, too, where one thread alone
 * tells, as its clock does not err. Of two events within `skew`, one an allocation and one a free
 * of different threads, the first of which did not fit, the second is taken to have come first. A
 * late record of a forgotten key is left to the count until there is an event later than all that
 * was forgotten. (With loss, and late records or clocks that err on the same key, a row can stay
 * that should not; it is unsure.) A reset is no event of a key: it has to come after what is
 * before it and before what is after it, which its caller sees to.
 *
 * PUBLICATION. A row is filled before it enters the table, which liburcu orders; later changes are
 * to its word `state` and to words of its books, each of which stands by itself. Readers hold the
 * RCU read lock. Rows come back after a grace period to be used again (consumer/rows.h), books are
 * freed after one. Nothing of this is shared between processes.
 *
 * MEMORY. Rows are at most `max`; as many again, and some, may wait for readers that hold a
 * snapshot. What finds no room is counted in left_out, and not entered; a free without a row is
 * taken for that of a buffer left out as long as there are such in its pool. Where several
 * processes are in the table, none takes more than 8 times what it leaves to others. The hash
 * table grows, and never shrinks.
 */
#ifndef CONSUMER_BUFFERS_H
#define CONSUMER_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/ahead.h"
#include "consumer/books.h"
#include "consumer/doubts.h"
#include "consumer/rows.h"
#include "consumer/stage.h"

/* A free that fitted. */
struct freed {
	const struct pool_books *pool; /* to be compared only */
	uint64_t buffer_id, time;
	uint32_t tid;
};

#define FREED_LOG2 8

struct buffers {
	struct cds_lfht *table; /* NULL: there is none */
	size_t buckets;
	size_t count, max;
	uint64_t left_out;
	uint64_t left_out_since_ns; /* CLOCK_REALTIME, 0: none was */
	size_t holders;		    /* that have rows */
	bool sweep;		    /* there are rows that are to go */
	uint64_t next_sweep_ns;	    /* CLOCK_MONOTONIC: not earlier */
	bool sweeping;
	/* Called now and then in a long sweep, as rings fill meanwhile; may apply records. Or NULL.
	 */
	void (*meanwhile)(void *meanwhile_arg);
	void *meanwhile_arg;
	struct rows rows;
	struct ahead ahead;
	struct doubts doubts;
	struct freed freed[1 << FREED_LOG2]; /* some of the last, each in its place */

	struct book_counts books; /* of all holders */

	struct holder *leaving;		 /* to be swept */
	struct __cds_lfs_stack returned; /* lists of them, from liburcu's thread */
	sem_t given_back;
	size_t waiting;
};

/* 0, -ENOMEM, or -EINVAL: `max` is above what can be numbered. */
int buffers_open(struct buffers *buffers, size_t max);

/* No reader is left; every holder is leaving. */
void buffers_close(struct buffers *buffers);

/* Applies records, which come in order of time but for few that are late. Between the other two, on
 * the thread that polls, which holds no RCU read lock. */
void buffers_begin(struct buffers *buffers);
void buffers_apply(struct buffers *buffers, const struct staged *const *items, size_t count);
void buffers_end(struct buffers *buffers);

/* An allocation that got no row. */
void buffers_leave_out(struct buffers *buffers);

/* Whether its pool was reset since. */
bool buffers_is_gone(struct buffers *buffers, struct row *row);

/* The rows of a holder go with the next sweep; it is freed then. */
void buffers_leave(struct buffers *buffers, struct holder *holder);

/* Once a look: ends doubts, takes away rows that are to go. */
void buffers_settle(struct buffers *buffers);

/* Takes away rows that are to go: readers do not see them any more, but the sums have them until
 * then. With a million rows that may be a few seconds late. */
void buffers_sweep(struct buffers *buffers);

/* Ends all doubts that nothing was added to since `until_ns`. */
void buffers_end_doubts(struct buffers *buffers, uint64_t until_ns);

/* Any thread, without a lock. */
size_t buffers_each(const struct buffers *buffers,
		    bool (*each)(void *each_arg, const struct tally_buffer *buffer),
		    void *each_arg);

#endif
