/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered events pushed into a small lane in one thread, and what a drain of it hands over. */
#ifndef TESTS_LANE_DRAIN_H
#define TESTS_LANE_DRAIN_H

#include <string.h>

#include "ring/lane.h"
#include "tests/rig.h"
#include "tests/support.h"

#define RING_LOG2 6
#define RING (1u << RING_LOG2)
#define TID 4711

/* The records that a drain hands over. */
static struct {
	struct tally_record records[4096];
	size_t count;
	uint64_t last_no, bad;
} taken;

static inline void take(void *arg, const struct tally_record *record)
{
	(void)arg;
	if (taken.count < COUNT(taken.records))
		taken.records[taken.count] = *record;
	taken.count++;
	taken.bad += !numbered_record(record, TID) || record->event_no <= taken.last_no;
	taken.last_no = record->event_no;
}

/* Drains to the end, as often as it takes. */
static inline void drain(struct lane_reader *reader)
{
	uint64_t before;

	memset(&taken, 0, sizeof(taken));
	do {
		before = reader->pos;
		lane_drain(reader, true, false, take, NULL);
	} while (reader->pos != before && !reader->quarantine);
}

static inline void push_numbered(struct lane_writer *writer, uint64_t count)
{
	while (count--) {
		struct rig_event event = numbered_event(rig_events(writer) + 1);

		rig_push(writer, &event);
	}
}

/* Every lane of these tests starts where positions and laps are about to wrap, too. */
static const uint64_t starts[] = {
	0,
	1,
	1000,
	UINT64_MAX - 10,		       /* positions wrap at 2^64 */
	0 - (uint64_t)RING * 2,		       /* likewise, on a lap's first slot */
	((1ull << TALLY_LAP_BITS) - 1) * RING, /* laps wrap at 2^40 */
	((1ull << TALLY_LAP_BITS) * RING) - 3,
	(1ull << (TALLY_LAP_BITS - 1)) * RING - 5, /* half of them */
};

#endif
