/* SPDX-License-Identifier: Apache-2.0 */
/* Draining a region's lanes, and accounting for every event that had no record to be read. */
#include "consumer/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>

/* A drain reads at most a ring and a half; nobody writes any more, so a few get to the end. */
#define FINAL_DRAINS 4

static struct tally_process_header *header_of(const struct process *process)
{
	return region_process(process->view.base, &process->view.at, 0);
}

static int make_room(struct process *process, uint32_t lanes)
{
	struct lane_watch *all;
	uint32_t room = process->lane_room ? process->lane_room : 1;

	if (lanes <= process->lane_room)
		return 0;
	while (room < lanes)
		room *= 2;
	all = realloc(process->lanes, room * sizeof(*all));
	if (!all)
		return -ENOMEM;
	memset(all + process->lane_room, 0, (room - process->lane_room) * sizeof(*all));
	process->lanes = all;
	process->lane_room = room;
	return 0;
}

static int notice_lanes(struct process *process)
{
	const struct region_view *view = &process->view;
	/* U2'''' -> U1: the first page of every lane counted here is reserved */
	uint64_t used = tally_load_acquire(&region_state(view->base)->lanes_used);
	uint32_t n;

	if (used > view->at.lanes)
		used = view->at.lanes;
	if (make_room(process, (uint32_t)used) != 0)
		return -ENOMEM;
	for (n = process->lane_count; n < used; n++) {
		process->lanes[n].reader.header = region_lane(view->base, &view->at, n);
		process->lanes[n].reader.ring_log2 = view->at.ring_log2;
	}
	if (used > process->lane_count)
		process->lane_count = (uint32_t)used;
	return 0;
}

/* Whether the lane's ring can be touched. */
static bool ring_ready(const struct process *process, uint32_t n)
{
	struct lane_reader *reader = &process->lanes[n].reader;

	if (reader->slots)
		return true;
	/* U2''''' -> U1: the ring's pages are reserved */
	if (!process->view.at.ring_stride || tally_load_acquire(&reader->header->ring_ready) != 1)
		return false;
	reader->slots = region_ring(process->view.base, &process->view.at, n);
	return true;
}

static void drain_to_end(struct lane_reader *reader)
{
	uint64_t before;
	int drains = 0;

	do {
		before = reader->pos;
		lane_drain(reader, true, true, NULL, NULL);
	} while (reader->pos != before && ++drains < FINAL_DRAINS);
}

/* ---- The shared ring ------------------------------------------------------------------------- */

static bool see_shared(struct process *process)
{
	const struct region_view *view = &process->view;

	if (process->shared.slots)
		return true;
	/* U2''''''' -> U1: the ring's pages are reserved */
	if (!view->at.shared_size ||
	    tally_load_acquire(&region_state(view->base)->shared_ready) != 1)
		return false;
	return shared_reader_open(&process->shared, view->base, &view->at) == 0;
}

static void take_shared(void *arg, const struct tally_record *record)
{
	struct process *process = arg;

	process->shared_seen++;
	process->shared_old += record->event_no <= process->shared_first;
}

static void drain_shared(struct process *process, bool to_end, bool gone)
{
	/* Y2 -> Y1: every number counted here belongs to a slot that the drain will find claimed,
	 * or to an event that was counted as unrecorded before */
	process->shared_events = tally_load_acquire(&header_of(process)->shared_events);
	if (!process->shared_known)
		process->shared_first = process->shared_events;
	process->shared_known = true;
	if (see_shared(process))
		shared_drain(&process->shared, to_end, gone, take_shared, process);
}

/* ---- Looking --------------------------------------------------------------------------------- */

int cursor_look(struct process *process, bool read_records, bool gone)
{
	uint32_t n;

	if (notice_lanes(process) != 0)
		return -ENOMEM;
	for (n = 0; n < process->lane_count; n++) {
		struct lane_watch *lane = &process->lanes[n];
		struct lane_reader *reader = &lane->reader;

		lane_count(reader->header, &lane->events, &lane->unrecorded);
		if (!ring_ready(process, n))
			continue;
		if (read_records && gone)
			drain_to_end(reader);
		else if (read_records)
			lane_drain(reader, false, false, NULL, NULL);
		if (gone)
			lane->has_last = lane_last(reader->header, reader->slots, reader->ring_log2,
						   &lane->last);
	}
	if (read_records)
		drain_shared(process, gone, gone);
	return 0;
}

bool cursor_drain(struct process *process)
{
	uint64_t shared_before = process->shared.idle_pos;
	bool moved = false;
	uint32_t n;

	if (notice_lanes(process) != 0)
		return false;
	for (n = 0; n < process->lane_count; n++) {
		struct lane_reader *reader = &process->lanes[n].reader;
		uint64_t before = reader->idle_pos;

		if (!ring_ready(process, n))
			continue;
		lane_drain(reader, false, false, NULL, NULL);
		moved = moved || reader->idle_pos != before;
	}
	drain_shared(process, false, false);
	return moved || process->shared.idle_pos != shared_before;
}

/* Records between a cursor that was stopped and the end: nobody will read them. */
static uint64_t left_behind(const struct lane_reader *reader)
{
	if (!reader->quarantine || (int64_t)(reader->idle_pos - reader->pos) <= 0)
		return 0;
	return reader->idle_pos - reader->pos;
}

struct account {
	uint64_t events, seen, missed, overwritten, unrecorded;
};

static struct account account_lane(const struct lane_watch *lane, bool read_records, bool gone)
{
	const struct lane_reader *reader = &lane->reader;
	struct account is = { .events = lane->events, .unrecorded = lane->unrecorded };

	if (read_records && reader->slots) {
		uint64_t accounted;

		is.seen = reader->seen;
		is.missed = reader->missed;
		is.overwritten = reader->lost + left_behind(reader);
		accounted = is.seen + is.missed + is.overwritten + is.unrecorded;
		/* The cursor has been at every position; while the lane lives it may lag behind
		 * the count, or have come further since. */
		if (gone || is.events < accounted)
			is.events = accounted;
	} else if (gone && lane->has_last && lane->last.event_no == is.events + 1) {
		is.events++; /* published, but its pusher died before it said so */
	}
	return is;
}

/* A number belongs to a record that was read, to an event without one, or to a record that is lost;
 * but as long as the process lives it may belong to one that is still to come. */
static struct account account_shared(const struct process *process, bool read_records, bool gone)
{
	const struct tally_process_header *header = header_of(process);
	/* relaxed, both: counts that stand by themselves */
	struct account is = {
		.unrecorded = tally_load_relaxed(&header->shared_unrecorded),
		.events = tally_load_relaxed(&header->shared_events),
	};
	uint64_t unread, later;

	if (!read_records)
		return is;
	is.seen = process->shared_seen;
	unread = process->shared_events - is.unrecorded;
	unread = (int64_t)(unread - is.seen) > 0 ? unread - is.seen : 0;
	is.missed = process->shared_first - process->shared_old;
	if (is.missed > unread)
		is.missed = unread;
	unread -= is.missed;
	later = gone ? 0 : shared_outstanding(&process->shared);
	is.overwritten = unread > later ? unread - later : 0;
	return is;
}

void cursor_account(struct process *process, bool read_records, bool from_start, bool gone)
{
	const struct tally_process_header *header = header_of(process);
	struct tally_process_view *said = &process->said;
	/* relaxed, all: counts that stand by themselves */
	struct account shared = account_shared(process, read_records, gone);
	uint32_t n;

	said->rejected_events = tally_load_relaxed(&header->rejected_events);
	said->guests = (uint32_t)tally_load_relaxed(&header->guests);
	process->ended_ns = tally_load_relaxed(&header->ended_ns);
	said->events = shared.events;
	said->lost_unrecorded = shared.unrecorded;
	said->lost_overwritten = shared.overwritten + (from_start ? shared.missed : 0);
	said->records_read = shared.seen;
	said->skipped_records = 0;
	said->quarantined_lanes = process->shared.quarantine != NULL;
	for (n = 0; n < process->lane_count; n++) {
		const struct lane_watch *lane = &process->lanes[n];
		struct account is = account_lane(lane, read_records, gone);

		said->events += is.events;
		said->records_read += is.seen;
		said->lost_unrecorded += is.unrecorded;
		said->lost_overwritten += is.overwritten + (from_start ? is.missed : 0);
		said->skipped_records += lane->reader.skipped;
		said->quarantined_lanes += lane->reader.quarantine != NULL;
	}
	said->lost_records = said->lost_overwritten + said->lost_unrecorded;
}
