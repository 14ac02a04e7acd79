/* SPDX-License-Identifier: Apache-2.0 */
/* A region with lanes, as the tests of ring/ drive it: the library's own calls, no producer. */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/lane.h"
#include "ring/region.h"
#include "tests/support.h"

struct rig {
	struct region region;
	struct lane_writer *writers;
};

/* A region in test_dir; published, so that others can open it. For children, which must not
 * fail a test: those go by the answer. */
static inline bool rig_try(struct rig *ret_rig, uint32_t ring_log2, uint32_t lanes_log2)
{
	struct region_config config = { .dir = test_dir,
					.ring_log2 = ring_log2,
					.lanes_log2 = lanes_log2 };

	ret_rig->writers = calloc(1u << lanes_log2, sizeof(*ret_rig->writers));
	return ret_rig->writers && region_create(&config, &ret_rig->region) == 0 &&
	       region_publish(&ret_rig->region) == 0;
}

static inline struct rig rig_make(uint32_t ring_log2, uint32_t lanes_log2)
{
	struct rig rig = { 0 };

	assert_true(rig_try(&rig, ring_log2, lanes_log2));
	return rig;
}

static inline void rig_free(struct rig *rig)
{
	region_unlink(&rig->region);
	munmap(rig->region.base, rig->region.at.size);
	free(rig->writers);
}

/* What a stranger sees of the region with this name. */
static inline struct region_view rig_view(const char *name)
{
	struct region_view view;
	char why[REGION_WHY_MAX];
	int dir = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = region_open(dir, name, &view, why);

	close(dir);
	if (error)
		fail_msg("%s: %s", name, why);
	return view;
}

static inline struct lane_writer *rig_claim(struct rig *rig, uint32_t tid, uint64_t start_pos)
{
	return lane_claim(&rig->region, rig->writers, 0, tid, start_pos);
}

static inline uint32_t rig_lane(const struct rig *rig, const struct lane_writer *writer)
{
	return (uint32_t)(writer - rig->writers);
}

/* A reader of the writer's lane, through the writer's own mapping. */
static inline struct lane_reader rig_reader(const struct rig *rig, const struct lane_writer *writer)
{
	uint32_t lane = rig_lane(rig, writer);

	return (struct lane_reader){
		.header = region_lane(rig->region.base, &rig->region.at, lane),
		.slots = region_ring(rig->region.base, &rig->region.at, lane),
		.ring_log2 = rig->region.at.ring_log2,
	};
}

/* Events that the lane has had. */
static inline uint64_t rig_events(const struct lane_writer *writer)
{
	uint64_t events, unrecorded;

	lane_count(writer->header, &events, &unrecorded);
	return events;
}

/* One event as a producer pushes it; a mark moves no sums. */
struct rig_event {
	struct lane_event event;
	uint32_t device, pool;
	uint64_t tag;
};

static inline bool rig_push(struct lane_writer *writer, const struct rig_event *e)
{
	const struct lane_target *target;

	if (e->event.kind == TALLY_KIND_MARK || e->event.kind == TALLY_KIND_DEVICE) {
		lane_note(writer, e->device, e->tag, &e->event);
		return true;
	}
	target = lane_target(writer, e->device, e->pool);
	if (!target)
		return false;
	writer->tag = e->tag;
	lane_push(writer, target, &e->event);
	return true;
}

static inline void rig_alloc(struct lane_writer *writer, uint32_t device, uint32_t pool,
			     uint64_t buffer_id, uint64_t size)
{
	struct rig_event e = { { 0, TALLY_KIND_ALLOC, buffer_id, size }, device, pool, 0 };

	rig_push(writer, &e);
}

static inline void rig_release(struct lane_writer *writer, uint32_t device, uint32_t pool,
			       uint64_t buffer_id, uint64_t size)
{
	struct rig_event e = { { 0, TALLY_KIND_FREE, buffer_id, size }, device, pool, 0 };

	rig_push(writer, &e);
}

/* ---- Events whose every word follows from their number ------------------------------------------
 * Event n of a lane is wholly known: a reader can tell a torn record from a whole one, and what
 * the ledger must hold after it. All kinds come, on devices 0 .. 2 and pools 0 and 1. */

#define NUMBERED_DEVICES 3
#define NUMBERED_POOLS 2

static enum tally_kind numbered_only; /* if not 0: all of this kind */

static inline struct rig_event numbered_event(uint64_t n)
{
	static const enum tally_kind kinds[] = {
		TALLY_KIND_ALLOC, TALLY_KIND_FREE,  TALLY_KIND_ALLOC_FAILED, TALLY_KIND_ALLOC,
		TALLY_KIND_FREE,  TALLY_KIND_ALLOC, TALLY_KIND_POOL_RESET,   TALLY_KIND_MARK,
	};
	struct rig_event e = {
		.event = { .time = mix(n ^ 1),
			   .kind = kinds[mix(n ^ 5) % COUNT(kinds)],
			   .buffer_id = mix(n ^ 2) % 1000,
			   .size = mix(n ^ 3) % 1000 },
		.device = (uint32_t)(mix(n ^ 6) % NUMBERED_DEVICES),
		.pool = (uint32_t)(mix(n ^ 7) % NUMBERED_POOLS) | (uint32_t)(mix(n) % 3) << 24,
		.tag = mix(n ^ 4) % 1000,
	};

	if (numbered_only)
		e.event.kind = numbered_only;
	if (e.event.kind == TALLY_KIND_MARK)
		e.pool = 0;
	return e;
}

/* True if every word of the record is the one of numbered_event(record->event_no). */
static inline bool numbered_record(const struct tally_record *record, uint32_t tid)
{
	struct rig_event e = numbered_event(record->event_no);
	uint64_t pool = e.pool & 0xff, flags = e.pool >> 24;

	return record->time == e.event.time && record->buffer_id == e.event.buffer_id &&
	       record->size == e.event.size && record->label == e.tag &&
	       slot_kind(record->commit) == (uint32_t)e.event.kind &&
	       record->where == ((uint64_t)e.device << 48 | pool << 40 | flags << 32 | tid);
}

/* Adds event n to the sums of its cell, if it is (device, pool). */
static inline void numbered_add(struct ledger_sums *sums, uint32_t device, uint32_t pool,
				uint64_t n)
{
	struct rig_event e = numbered_event(n);
	struct ledger_sums change = ledger_change(e.event.kind, e.event.size, e.event.buffer_id);

	if (e.device != device || (e.pool & 0xff) != pool || e.event.kind == TALLY_KIND_MARK)
		return;
	ledger_sum(sums, &change);
	sums->event_no = n;
}

/* What cell (device, pool) holds after events 1 .. n. */
static inline struct ledger_sums numbered_sums(uint32_t device, uint32_t pool, uint64_t n)
{
	struct ledger_sums sums = { 0 };
	uint64_t i;

	for (i = 1; i <= n; i++)
		numbered_add(&sums, device, pool, i);
	return sums;
}

static inline bool same_sums(const struct ledger_sums *a, const struct ledger_sums *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

#endif
