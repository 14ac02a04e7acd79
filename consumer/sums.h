/* SPDX-License-Identifier: Apache-2.0 */
/* A growable table of sums, ordered by (device, pool): of one process, or of all. */
#ifndef CONSUMER_SUMS_H
#define CONSUMER_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/consumer.h>

/* Signed sums of numbers that nobody vouches for: what overflows wraps. */
static inline int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t minus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* Counts that only grow. */
struct counts {
	uint64_t allocations, frees, allocated_bytes;
};

#define SUM_MARKS 3

/* The first of the pools that have no fixed name. */
#define POOL_NAMED_MIN 8

struct sum {
	uint64_t key; /* TALLY_KEY() */
	struct tally_totals totals;

	/* Of one look: what goes into the totals. */
	uint64_t freed_first;	/* bytes freed, read before the allocated ones */
	uint64_t freed_between; /* read together with the allocated ones */
	uint64_t frees_between;
	int64_t peaks;	     /* sum of the contributors' peaks */
	int64_t peak_single; /* highest peak of one contributor */
	uint32_t writers;    /* lanes, or processes, that did something here */
	bool shared;	     /* shared cells did, too */
	bool totals_only;    /* over all processes: some of it a runtime tells by itself */

	/* Kept from look to look. */
	int64_t observed_bytes; /* the peak is known to be at least this */
	uint64_t sole;		/* the only contributor so far, if there was only one */
	bool several;
	bool has_peak;	       /* totals.attach_peak_bytes is one */
	struct counts counted; /* at the last look; over all processes: since the first look */
	struct counts marks[SUM_MARKS]; /* that at some earlier looks, see history.h */
};

struct sums {
	struct sum *all;
	size_t count, room;
	uint64_t *noted; /* keys to be added, in any order and number */
	size_t noted_count, noted_room;
	bool names_asked; /* there are pools that have no fixed name */
};

/* The sum of `key`, or NULL when it is not there. Valid until the next call of those below. */
struct sum *sums_find(const struct sums *sums, uint64_t key);

/* The same; *place is where it was the last time, if at all, or is zero. */
struct sum *sums_find_near(const struct sums *sums, uint64_t key, size_t *place);

/* Many keys are added in one go, as a region may have a great many, in the worst of orders: each is
 * noted, then sums_settle() adds those that are new, with zeros. 0 or -ENOMEM. */
int sums_note(struct sums *sums, uint64_t key);
int sums_settle(struct sums *sums);

/* The sum of `key`, added with zeros when it is new. NULL: no memory. */
struct sum *sums_get(struct sums *sums, uint64_t key);

/* Sets to zero what belongs to one look. */
void sum_restart(struct sum *sum);
void sums_restart(struct sums *sums);

/* Makes `to` what `from` is. 0 or -ENOMEM. */
int sums_copy(struct sums *to, const struct sums *from);

void sums_free(struct sums *sums);

/* Puts bounds in order, whatever a writer did meanwhile or a sum that overflowed came to: upper
 * ones are raised to the lower, and peaks to what is held, as no peak was ever below. */
void sum_order_bounds(struct tally_totals *totals);

#endif
