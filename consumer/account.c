/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts: every event of a process has a record that was read, or is lost by a known cause. */
#include <string.h>
#include <tally/atomic.h>

#include "consumer/census.h"
#include "consumer/cursor.h"
#include "consumer/pipeline.h"

static uint64_t above_zero(uint64_t difference)
{
	return (int64_t)difference > 0 ? difference : 0;
}

/* Records of the row between a cursor that goes no further and the end: nobody will read them. */
static uint64_t left_behind(const struct lane_watch *lane)
{
	const struct lane_reader *reader = &lane->reader;
	uint64_t start;

	if (!reader->quarantine && (lane->row->alive || !reader->stops))
		return 0;
	if (!reader->stops)
		return above_zero(reader->idle_pos - reader->pos);
	start = cursor_part_start(lane);
	if ((int64_t)(reader->pos - start) > 0)
		start = reader->pos;
	return above_zero(reader->stop_pos - start);
}

struct account account_lane(const struct lane_watch *lane, bool read_records)
{
	const struct lane_reader *reader = &lane->reader;
	bool gone = !lane->row->alive;
	struct account is = {
		.events = above_zero(lane->events - lane->base_events),
		.unrecorded = above_zero(lane->unrecorded - lane->base_unrecorded),
	};

	if (read_records && reader->slots) {
		uint64_t accounted;

		is.seen = lane->part.seen;
		is.missed = lane->part.missed;
		is.overwritten = lane->part.overwritten + left_behind(lane);
		accounted = is.seen + is.missed + is.overwritten + is.unrecorded;
		/* The cursor has been at every position; while the lane lives it may lag behind
		 * the count, or have come further since. */
		if (gone || is.events < accounted)
			is.events = accounted;
	} else if (gone && lane->has_last && lane->last.event_no == lane->events + 1) {
		is.events++; /* published, but its pusher died before it said so */
	}
	return is;
}

/* A number belongs to a record that was read, to an event without one, or to a record that is lost;
 * but as long as the process lives it may belong to one that is still to come. */
static struct account account_shared(const struct process *process, uint64_t events,
				     bool read_records)
{
	struct account is = {
		.unrecorded = process->shared_unrecorded,
		.events = above_zero(events - process->base_events),
	};
	uint64_t unread, later;

	if (!read_records)
		return is;
	is.seen = process->shared_seen;
	unread = above_zero(process->shared_events - process->base_events - is.unrecorded -
			    is.seen);
	is.missed = above_zero(process->shared_first - process->base_events -
			       process->shared_first_unrecorded - process->shared_old);
	if (is.missed > unread)
		is.missed = unread;
	unread -= is.missed;
	later = process->alive && process->region->shared.slots
			? shared_outstanding(&process->region->shared, process->entry)
			: 0;
	is.overwritten = unread > later ? unread - later : 0;
	/* What is still to come is never put too low, so what was once said to be lost is. */
	if (is.overwritten < process->shared_lost)
		is.overwritten = process->shared_lost < unread ? process->shared_lost : unread;
	/* What was counted last may be older than what was read since. */
	if (!process->alive && is.events < is.seen + is.missed + is.overwritten + is.unrecorded)
		is.events = is.seen + is.missed + is.overwritten + is.unrecorded;
	return is;
}

static void add(struct process *process, const struct account *is, bool from_start, uint64_t *gone)
{
	struct tally_process_view *said = &process->said;

	*gone += is->missed + is->overwritten + is->unrecorded;
	said->events += is->events;
	said->records_read += is->seen;
	said->lost_unrecorded += is->unrecorded;
	said->lost_overwritten += is->overwritten + (from_start ? is->missed : 0);
}

/* A ring whose records are not read any more, if there is a reason. */
static void quarantine(struct tally_process_view *said, const char *reason)
{
	said->quarantined_lanes += reason != NULL;
	if (!said->quarantine)
		said->quarantine = reason;
}

static void add_up(struct process *process, const struct account *shared, bool read_records,
		   bool from_start)
{
	const struct region_watch *region = process->region;
	struct tally_process_view *said = &process->said;
	uint64_t gone = 0;
	uint32_t n;

	said->events = said->records_read = said->lost_unrecorded = said->lost_overwritten = 0;
	said->skipped_records = 0;
	said->quarantined_lanes = 0;
	said->quarantine = NULL;
	quarantine(said, region->shared.quarantine);
	add(process, shared, from_start, &gone);
	add(process, &process->closed, from_start, &gone);
	for (n = 0; n < region->lane_count; n++) {
		const struct lane_watch *lane = &region->lanes[n];
		struct account is;

		if (!lane->row) /* nobody's: everybody is told */
			quarantine(said, lane->reader.quarantine);
		if (lane->row != process)
			continue;
		is = account_lane(lane, read_records);
		add(process, &is, from_start, &gone);
		said->skipped_records += lane->reader.skipped;
		quarantine(said, lane->reader.quarantine);
	}
	said->records_read -= process->dropped;
	said->lost_overwritten += process->dropped;
	gone += process->dropped;
	said->lost_records = said->lost_overwritten + said->lost_unrecorded;
	if (read_records && gone > process->gone)
		pipeline_lost(process);
	process->gone = gone > process->gone ? gone : process->gone;
}

bool account_read(struct process *process, bool read_records, bool from_start)
{
	const struct tally_process_header *header = watch_header(process->region, process->entry);
	/* relaxed, all: counts that stand by themselves */
	uint64_t unrecorded = tally_load_relaxed(&header->shared_unrecorded);
	uint64_t events = tally_load_relaxed(&header->shared_events);
	uint64_t rejected = tally_load_relaxed(&header->rejected_events);
	uint64_t guests = tally_load_relaxed(&header->guests);
	/* relaxed: likewise */
	uint64_t ended_ns = tally_load_relaxed(&header->ended_ns);
	struct account shared;

	if (!census_owns(process->region, process))
		return false;
	process->shared_unrecorded = above_zero(unrecorded - process->base_unrecorded);
	process->said.rejected_events = above_zero(rejected - process->base_rejected);
	process->said.guests = (uint32_t)guests;
	process->ended_ns = ended_ns;
	shared = account_shared(process, events, read_records);
	process->shared_lost = shared.overwritten;
	add_up(process, &shared, read_records, from_start);
	return true;
}

void account_close(struct process *process, bool read_records, bool from_start)
{
	struct account shared;

	if (!read_records) /* what was said last is all that is known */
		return;
	process->shared_events = process->shared_sure;
	shared = account_shared(process, process->shared_events, true);
	add_up(process, &shared, true, from_start);
}
