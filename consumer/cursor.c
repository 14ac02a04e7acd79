/* SPDX-License-Identifier: Apache-2.0 */
/* Draining a region's lanes, each process's part of a lane by itself.
 *
 * A lane's events are numbered through over all its owners. In a joined region a drain stops at the
 * position up to which they are surely the row's: it was loaded before the owner was looked at
 * once more.
 */
#include "consumer/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>

#include "consumer/census.h"
#include "consumer/hold.h"
#include "consumer/pipeline.h"
#include "consumer/shared_cursor.h"

/* A drain reads at most a ring and a half; nobody writes any more, so a few get to the end. */
#define FINAL_DRAINS 4

static int make_room(struct region_watch *region, uint32_t lanes)
{
	struct lane_watch *all;
	uint32_t room = region->lane_room ? region->lane_room : 1;

	if (lanes <= region->lane_room)
		return 0;
	while (room < lanes)
		room *= 2;
	all = realloc(region->lanes, room * sizeof(*all));
	if (!all)
		return -ENOMEM;
	memset(all + region->lane_room, 0, (room - region->lane_room) * sizeof(*all));
	region->lanes = all;
	region->lane_room = room;
	return 0;
}

static int notice_lanes(struct region_watch *region)
{
	const struct region_view *view = &region->view;
	/* U2'''' -> U1: the first page of every lane counted here is reserved */
	uint64_t used = tally_load_acquire(&region_state(view->base)->lanes_used);
	uint32_t n;

	if (used > view->at.lanes)
		used = view->at.lanes;
	if (make_room(region, (uint32_t)used) != 0)
		return -ENOMEM;
	for (n = region->lane_count; n < used; n++) {
		region->lanes[n].reader.header = region_lane(view->base, &view->at, n);
		region->lanes[n].reader.ring_log2 = view->at.ring_log2;
	}
	if (used > region->lane_count)
		region->lane_count = (uint32_t)used;
	return 0;
}

/* Whether the lane's ring can be touched. */
static bool ring_ready(struct region_watch *region, uint32_t n)
{
	struct lane_reader *reader = &region->lanes[n].reader;

	if (reader->slots)
		return true;
	/* U2''''' -> U1: the ring's pages are reserved */
	if (!region->view.at.ring_stride || tally_load_acquire(&reader->header->ring_ready) != 1)
		return false;
	reader->slots = region_ring(region->view.base, &region->view.at, n);
	hold_lane(region, n);
	return true;
}

/* ---- Parts of a lane ------------------------------------------------------------------------- */

/* The position after so many of the lane's events. */
static uint64_t position(const struct lane_reader *reader, uint64_t events, uint64_t unrecorded)
{
	/* relaxed: written before ring_ready */
	return tally_load_relaxed(&reader->header->start_pos) + events - unrecorded;
}

uint64_t cursor_part_start(const struct lane_watch *lane)
{
	return position(&lane->reader, lane->base_events, lane->base_unrecorded);
}

/* Whose records are read. */
struct taking {
	struct region_watch *region;
	struct process *row;
};

static void take(void *arg, const struct tally_record *record)
{
	const struct taking *taking = arg;

	pipeline_take(taking->region, taking->row, record, false);
}

/* Drains once, and adds what came of it to the row's part; with `skip` the records are nobody's
 * that is told apart. */
static void drain_once(struct region_watch *region, struct lane_watch *lane, bool to_end, bool gone,
		       bool skip)
{
	struct lane_reader *reader = &lane->reader;
	uint64_t seen = reader->seen, lost = reader->lost;
	struct taking taking = { region, lane->row };

	lane_drain(reader, to_end, gone, skip || !pipeline_wants(lane->row) ? NULL : take, &taking);
	if (skip)
		return;
	lane->part.seen += reader->seen - seen;
	lane->part.overwritten += reader->lost - lost;
	if (reader->lost != lost) {
		lane->row->gone += reader->lost - lost;
		pipeline_lost(lane->row);
	}
}

static void drain_to_end(struct region_watch *region, struct lane_watch *lane, bool skip)
{
	uint64_t before;
	int drains = 0;

	stage_source(&region->stage);
	do {
		before = lane->reader.pos;
		drain_once(region, lane, true, true, skip);
	} while (lane->reader.pos != before && ++drains < FINAL_DRAINS);
}

/* Whether records of the row that had been published before the drain are still to be read. */
static bool is_behind(const struct lane_reader *reader)
{
	uint64_t end = reader->idle_pos;

	if (reader->stops && (int64_t)(end - reader->stop_pos) > 0)
		end = reader->stop_pos;
	return !reader->quarantine && (int64_t)(end - reader->pos) > 0;
}

/* A lane that is written to slowly is read to its end, as all the region's records would wait for
 * its last ones. */
static void drain_some(struct region_watch *region, struct lane_watch *lane)
{
	stage_source(&region->stage);
	drain_once(region, lane, region->last, false, false);
	if (!pipeline_wants(lane->row) || !is_behind(&lane->reader) || stage_behind(&region->stage))
		return;
	drain_once(region, lane, true, false, false);
	if (is_behind(&lane->reader))
		stage_cut_off(&region->stage);
}

/* The first drain: passes over what earlier owners left. Of what was gone before, that is missed
 * which lies in the row's part. */
static void begin(struct region_watch *region, struct lane_watch *lane)
{
	struct lane_reader *reader = &lane->reader;
	uint64_t start = cursor_part_start(lane), idle_pos = reader->idle_pos;
	int64_t missed;

	reader->stops = true;
	reader->stop_pos = start;
	drain_to_end(region, lane, true);
	reader->idle_pos = idle_pos;
	missed = (int64_t)(position(reader, 0, 0) + reader->missed - start);
	lane->part.missed = missed > 0 ? (uint64_t)missed : 0;
}

/* The row's part ends where it was seen last: what was left of it is read, and its account closed.
 */
static void end_part(struct region_watch *region, struct lane_watch *lane, bool read_records)
{
	struct lane_reader *reader = &lane->reader;
	struct account *closed = &lane->row->closed;
	struct account is;
	uint64_t most;

	if (read_records && reader->slots && !lane->row->ended) {
		reader->stops = true;
		reader->stop_pos = position(reader, lane->events, lane->unrecorded);
		drain_to_end(region, lane, false);
		/* The first drain may have begun in the next owner's part. */
		most = reader->stop_pos - cursor_part_start(lane);
		if (lane->part.missed > most)
			lane->part.missed = most;
	}
	is = account_lane(lane, read_records);
	closed->events += is.events;
	closed->seen += is.seen;
	closed->missed += is.missed;
	closed->overwritten += is.overwritten;
	closed->unrecorded += is.unrecorded;
}

/* The lane has another owner than when it was looked at last. What lies between is of processes
 * that were not told apart. */
static void change_part(struct region_watch *region, struct lane_watch *lane, struct process *row,
			uint64_t base_events, uint64_t base_unrecorded, bool read_records)
{
	struct lane_reader *reader = &lane->reader;

	if (lane->row)
		end_part(region, lane, read_records);
	memset(&lane->part, 0, sizeof(lane->part));
	lane->row = row;
	lane->base_events = base_events;
	lane->base_unrecorded = base_unrecorded;
	lane->has_last = false;
	if (!row || !read_records || !reader->started)
		return;
	reader->stops = true;
	reader->stop_pos = cursor_part_start(lane);
	drain_to_end(region, lane, true);
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* What a look at a lane has found out. */
struct sight {
	struct process *row;
	uint64_t base_events, base_unrecorded, events, unrecorded;
	bool has_last;
	struct tally_record last;
};

/* Loads what a lane says, and then makes sure whose it was all the time. */
static bool sight_lane(struct region_watch *region, uint32_t n, struct sight *ret_sight)
{
	struct lane_watch *lane = &region->lanes[n];
	struct tally_lane_header *header = lane->reader.header;
	struct sight sight = { 0 };
	struct process *again;
	/* O2''' -> O1: what earlier owners left was booked before */
	uint64_t owner = tally_load_acquire(&header->owner);

	if (!census_lane(region, owner, &sight.row))
		return false;
	if (!sight.row && owner >> 56 != TALLY_LANE_RETIRED &&
	    (owner >> 32 & 0xffffff) >= region->view.at.processes)
		lane->reader.quarantine = "an owner that cannot be";
	lane_count(header, &sight.events, &sight.unrecorded);
	if (ring_ready(region, n) && !(sight.row && sight.row->alive))
		sight.has_last = lane_last(header, lane->reader.slots, lane->reader.ring_log2,
					   &sight.last);
	if (region->joined) {
		/* relaxed, all: the second look at the generation, or at a lane that is nobody's
		 * the one of census_holds(), tells whether they are the row's */
		sight.base_events = tally_load_relaxed(&header->base_events);
		sight.base_unrecorded = tally_load_relaxed(&header->base_unrecorded);
		if (sight.row && !census_owns(region, sight.row))
			return false;
		/* relaxed: as above */
		if (!census_lane(region, tally_load_relaxed(&header->owner), &again) ||
		    again != sight.row)
			return false;
	}
	*ret_sight = sight;
	return true;
}

static void drain_lane(struct region_watch *region, struct lane_watch *lane)
{
	struct lane_reader *reader = &lane->reader;
	bool gone = !lane->row->alive;

	if (!reader->started)
		begin(region, lane);
	reader->stops = region->joined;
	if (region->joined) {
		reader->stop_pos = position(reader, lane->events, lane->unrecorded);
		if (gone && lane->has_last && lane->last.event_no == lane->events + 1)
			reader->stop_pos++; /* published, but its pusher died before it said so */
		if ((int64_t)(cursor_part_start(lane) - reader->pos) > 0)
			return; /* in the part before it still */
	}
	if (gone)
		drain_to_end(region, lane, false);
	else
		drain_some(region, lane);
}

/* False: whose it is cannot be told. */
static bool watch_lane(struct region_watch *region, uint32_t n, bool read_records)
{
	struct lane_watch *lane = &region->lanes[n];
	struct sight sight;

	if (!sight_lane(region, n, &sight))
		return false;
	if (sight.row != lane->row || sight.base_events != lane->base_events ||
	    sight.base_unrecorded != lane->base_unrecorded)
		change_part(region, lane, sight.row, sight.base_events, sight.base_unrecorded,
			    read_records);
	lane->has_last = sight.has_last;
	lane->last = sight.last;
	if (lane->row && lane->row->ended)
		return true;
	lane->events = sight.events;
	lane->unrecorded = sight.unrecorded;
	if (lane->row && read_records && lane->reader.slots)
		drain_lane(region, lane);
	return true;
}

int cursor_look(struct region_watch *region, bool read_records)
{
	uint32_t n;

	region->stale = false;
	if (notice_lanes(region) != 0)
		return -ENOMEM;
	for (n = 0; n < region->lane_count; n++)
		if (!watch_lane(region, n, read_records))
			return -EAGAIN;
	if (read_records)
		shared_cursor_look(region);
	return 0;
}

/* So much of a ring filled between two drains is little: the next may come later. */
static uint64_t share_of(uint32_t ring_log2)
{
	return (1ull << ring_log2) / 16;
}

bool cursor_drain(struct region_watch *region)
{
	uint64_t shared_before = region->shared.idle_pos;
	bool fast = false;
	uint32_t n;

	pipeline_begin(region);
	if (notice_lanes(region) != 0) {
		pipeline_unread(region);
		return false;
	}
	for (n = 0; n < region->lane_count; n++) {
		struct lane_reader *reader = &region->lanes[n].reader;
		uint64_t before = reader->idle_pos;

		if (!watch_lane(region, n, true)) {
			region->stale = true;
			pipeline_unread(region);
		}
		fast = fast || reader->idle_pos - before > share_of(reader->ring_log2);
	}
	shared_cursor_drain(region);
	pipeline_apply(region);
	return fast || region->shared.idle_pos - shared_before > share_of(region->shared.ring_log2);
}
