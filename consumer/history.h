/* SPDX-License-Identifier: Apache-2.0 */
/* What earlier looks saw: counts about a second ago, for rates, and the highest of what was held.
 *
 * Counts only ever grow, but those who count come and go. So over all processes it is not their sum
 * that is compared with an earlier one, but what each has added from look to look, summed up; that
 * stays when it leaves. Who comes adds all it did, but for those that were there before the first
 * look, or had to be left aside: nobody knows when they did it.
 */
#ifndef CONSUMER_HISTORY_H
#define CONSUMER_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/process.h"
#include "consumer/sums.h"
#include "consumer/watch.h"

struct history {
	uint64_t now_ns;	   /* CLOCK_MONOTONIC of this look */
	uint64_t at_ns[SUM_MARKS]; /* of the looks whose counts are kept as marks of each sum */
	unsigned int marks;	   /* how many those are */
	unsigned int newest;
	bool marking;	    /* this one's counts are kept, as the newest */
	unsigned int since; /* the one that rates are taken from */
	struct sums peaks;  /* attach_peak of all pairs ever met, over all processes */
};

/* Everything was read: a look's adding up begins. */
void history_begin(struct history *history);

/* Before a row is added to the sums over all, and before the past of a region is, after its rows;
 * once in each look. */
void history_meet(const struct history *history, struct process *row);
void history_meet_past(struct region_watch *region);

/* Adds what `from`, of a row or of a past, has counted since the last look. */
void history_add(const struct history *history, struct sum *to, struct sum *from);

/* After all was added. 0 or -ENOMEM. */
int history_finish(struct history *history, struct sums *over_all);

void history_free(struct history *history);

/* Per second. */
struct rates {
	double allocations, frees, allocated_bytes;
};

/* Between this look and one about a second ago, but not before `since_ns`; all -1 when there was
 * none. */
struct rates history_rates(const struct history *history, const struct sum *sum, uint64_t since_ns);

#endif
