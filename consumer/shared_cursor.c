/* SPDX-License-Identifier: Apache-2.0 */
/* Draining a region's shared ring.
 *
 * A record names its process entry, and its number tells which of that entry's owners pushed it: a
 * number is surely of a row's owner if it had been counted before the generation was looked at.
 * Others wait in region->late until a census has met their owner.
 */
#include "consumer/shared_cursor.h"

#include <stdlib.h>
#include <tally/atomic.h>

#include "consumer/census.h"
#include "consumer/pipeline.h"

/* Records that wait; a look is due at once, so there are few. */
#define LATE_MAX 4096

static bool is_open(struct region_watch *region)
{
	const struct region_view *view = &region->view;

	if (region->shared.slots)
		return true;
	/* U2''''''' -> U1: the ring's pages are reserved */
	if (!view->at.shared_size ||
	    tally_load_acquire(&region_state(view->base)->shared_ready) != 1)
		return false;
	return shared_reader_open(&region->shared, view->base, &view->at) == 0;
}

/* Notes the numbers taken so far, if they are the row's. */
static bool note_numbers(const struct region_watch *region, struct process *row)
{
	/* Y2 -> Y1: every number counted here belongs to a slot that the drain will find claimed,
	 * or to an event that was counted as unrecorded before */
	uint64_t events = tally_load_acquire(&watch_header(region, row->entry)->shared_events);
	/* relaxed: counted before its events are, so no less than theirs */
	uint64_t unrecorded = tally_load_relaxed(
		&watch_header(region, row->entry)->shared_unrecorded);

	if (!census_owns(region, row))
		return false;
	row->shared_sure = events;
	/* Of a process that came later no record was missed. */
	if (!row->shared_known) {
		row->shared_first = region->fresh ? events : row->base_events;
		row->shared_first_unrecorded = region->fresh ? unrecorded - row->base_unrecorded
							     : 0;
	}
	row->shared_known = true;
	return true;
}

static struct process *find_closing(const struct region_watch *region, uint32_t entry)
{
	struct process *row = region->closing;

	while (row && row->entry != entry)
		row = row->next_closing;
	return row;
}

static bool is_up_to(uint64_t event_no, uint64_t limit)
{
	return (int64_t)(event_no - limit) <= 0;
}

/* Others are of a kind that this version does not know. */
static bool is_known(const struct tally_record *record)
{
	uint32_t kind = slot_kind(record->commit);

	return kind >= TALLY_KIND_ALLOC && kind <= TALLY_KIND_MARK;
}

static bool give(struct region_watch *region, struct process *row,
		 const struct tally_record *record)
{
	uint64_t event_no = record->event_no;

	if (!row || is_up_to(event_no, row->base_events) || !is_up_to(event_no, row->shared_sure))
		return false;
	row->shared_seen++;
	row->shared_old += is_up_to(event_no, row->shared_first);
	if (pipeline_wants(row) && is_known(record))
		pipeline_take(region, row, record, true);
	return true;
}

/* Whether nothing more is to be found out about a record: it was counted as its owner's, or is of
 * one who is not told apart. */
static bool assign(struct region_watch *region, uint32_t entry, const struct tally_record *record)
{
	struct process *row = region->entries[entry].row;

	if (give(region, find_closing(region, entry), record) || give(region, row, record))
		return true;
	if (!row)
		return false;
	if (is_up_to(record->event_no, row->base_events))
		return true;
	return note_numbers(region, row) && give(region, row, record);
}

static void keep_late(struct region_watch *region, uint32_t entry,
		      const struct tally_record *record)
{
	uint32_t room = region->late_room ? region->late_room * 2 : 16;
	struct late_record *late;

	region->stale = true;
	if (region->late_count == LATE_MAX)
		return; /* lost, as its owner's numbers will tell */
	if (region->late_count == region->late_room) {
		late = realloc(region->late, room * sizeof(*late));
		if (!late)
			return;
		region->late = late;
		region->late_room = room;
	}
	region->late[region->late_count++] = (struct late_record){ entry, *record };
}

static void take(void *arg, const struct tally_record *record)
{
	struct region_watch *region = arg;
	uint32_t entry = slot_owner(record->commit);

	if (entry >= region->view.at.processes)
		region->shared.quarantine = "a record of a process that cannot be";
	else if (!assign(region, entry, record))
		keep_late(region, entry, record);
}

/* Every process is known now, or its record was there before it was. */
static void assign_late(struct region_watch *region)
{
	uint32_t n;

	for (n = 0; n < region->late_count; n++) {
		uint32_t entry = region->late[n].entry;

		if (!region->entries[entry].known)
			region->shared.quarantine = "a record of a process that never was";
		else
			assign(region, entry, &region->late[n].record);
	}
	region->late_count = 0;
}

/* Notes all numbers. True: someone who is gone is read for the last time. */
static bool note_all(struct region_watch *region)
{
	bool last = region->closing != NULL;
	uint32_t n;

	for (n = 0; n < region->entry_count; n++) {
		struct process *row = region->entries[n].row;

		if (!row || row->ended)
			continue;
		if (note_numbers(region, row))
			row->shared_events = row->shared_sure;
		else
			region->stale = true;
		last = last || !row->alive;
	}
	return last;
}

static bool is_behind(const struct shared_reader *reader)
{
	return !reader->quarantine && (int64_t)(reader->idle_pos - reader->scan_pos) > 0;
}

/* As of a lane: of a ring that is written to slowly nothing is left. */
static void drain(struct region_watch *region, bool to_end, bool writers_gone)
{
	if (!is_open(region))
		return;
	stage_source(&region->stage);
	shared_drain(&region->shared, to_end, writers_gone, take, region);
	if (!region->pipeline || !is_behind(&region->shared) || stage_behind(&region->stage))
		return;
	shared_drain(&region->shared, true, writers_gone, take, region);
	if (is_behind(&region->shared))
		stage_cut_off(&region->stage);
}

void shared_cursor_look(struct region_watch *region)
{
	bool to_end = note_all(region) || region->last;

	stage_source(&region->stage);
	assign_late(region);
	drain(region, to_end, !region->alive);
}

void shared_cursor_drain(struct region_watch *region)
{
	note_all(region);
	drain(region, false, false);
}
