/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: what any recorder has to pay, reading a timestamp and storing 64 bytes. The words hold
 * the event's number instead of its fields, so that nothing but the stores is paid for.
 *
 *	flags: $CONTENDER_RING
 */
#include "bench/floor.h"

#include "bench/reporter.h"
#include "ring/flush.h"

static struct floor_ring ring;
static enum tally_clock clock_used;
static uint64_t stored; /* events so far */

static void *make(const char **note)
{
	(void)note;
	clock_used = clock_choose();
	return &ring;
}

static __always_inline void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	(void)freed;
	(void)id;
	(void)size;
	floor_store(self, clock_used, stored++);
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

/* As many as the newest slot says, if all slots hold what they should. */
static void end(void *self, struct taken *taken)
{
	uint64_t newest = 0, i, word;

	(void)self;
	for (i = 0; i < FLOOR_SLOTS; i++)
		if (ring.slots[i][1] > newest)
			newest = ring.slots[i][1];
	taken->events = newest + 1;
	for (i = 0; i < FLOOR_SLOTS && i <= newest; i++)
		for (word = 1; word < 8; word++)
			if (ring.slots[(newest - i) % FLOOR_SLOTS][word] != newest - i)
				taken->events = 0;
}

static void forget(void *self)
{
	const unsigned char *slots = self;
	size_t at;

	for (at = 0; at < sizeof(ring) && flush_wanted(); at += 64)
		flush_line(slots + at);
}

const struct reporter reporter = {
	.what = "a timestamp and a 64-byte store",
	.can = REPORTER_EVENTS,
	.make = make,
	.end = end,
	.report = report,
	.forget = forget,
};
