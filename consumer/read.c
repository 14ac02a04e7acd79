/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one region: until nothing changes hands meanwhile, and what its rows come to. */
#include "consumer/read.h"

#include <errno.h>

#include "consumer/census.h"
#include "consumer/cursor.h"
#include "consumer/pipeline.h"
#include "consumer/totals.h"

/* How often a joined region is read in which entries keep changing hands. */
#define CENSUS_TRIES 8

bool read_keeps_ended(const struct tally_consumer_options *options)
{
	return options->remove_ended || options->run_id != 0;
}

/* Sums as they are before a look, for when it comes to nothing. */
static int keep_sums(struct region_watch *region)
{
	int error = sums_copy(&region->past_kept, &region->past);
	uint32_t n;

	for (n = 0; n < region->entry_count && !error; n++) {
		struct process *row = region->entries[n].row;

		if (row)
			error = sums_copy(&row->kept, &row->sums);
	}
	return error;
}

static void take_back(struct sums *sums, struct sums *kept)
{
	struct sums before = *kept;
	size_t n;

	*kept = *sums;
	*sums = before;
	for (n = 0; n < sums->count; n++)
		sums->all[n].totals.current = false;
}

static void take_back_sums(struct region_watch *region)
{
	uint32_t n;

	take_back(&region->past, &region->past_kept);
	for (n = 0; n < region->entry_count; n++)
		if (region->entries[n].row)
			take_back(&region->entries[n].row->sums, &region->entries[n].row->kept);
}

static int read_once(struct region_watch *region, bool read_records)
{
	int error = census_take(region);

	if (!error)
		error = cursor_look(region, read_records);
	if (!error)
		error = totals_read(region);
	return error;
}

/* Reads until nothing changes hands meanwhile; else the last good values stay. */
static int read_whole(struct region_watch *region, bool read_records)
{
	int error = region->joined ? keep_sums(region) : 0;
	int tries;

	if (error)
		return error;
	pipeline_begin(region);
	for (tries = 0; tries < CENSUS_TRIES; tries++) {
		error = read_once(region, read_records);
		region->unsettled = error || !census_holds(region);
		if (error == -ENOMEM || !region->unsettled)
			break;
	}
	if (error)
		pipeline_unread(region);
	if (region->joined && region->unsettled)
		take_back_sums(region);
	return error == -EAGAIN ? 0 : error;
}

/* Counts and ends of the rows, all of which were read whole. */
static void account_rows(const struct tally_consumer_options *options, struct region_watch *region)
{
	uint32_t n;

	region->past_rejected = 0;
	for (n = 0; n < region->entry_count; n++) {
		struct process *row = region->entries[n].row;

		if (row)
			region->past_rejected += row->base_rejected;
		if (!row || row->ended ||
		    !account_read(row, options->read_records, options->from_start))
			continue;
		row->settled = true;
		row->said.held = region->holds != 0;
		if (row->alive)
			continue;
		row->ended = true;
		row->said.end = row->ended_ns ? TALLY_EXITED : TALLY_GONE;
	}
}

/* Rows that were overtaken: what they had done by the last look is all that is known of them. */
static void close_rows(const struct tally_consumer_options *options, struct region_watch *region)
{
	struct process *row;
	size_t n;

	while ((row = region->closing)) {
		region->closing = row->next_closing;
		row->past = true;
		if (!row->ended) {
			account_close(row, options->read_records, options->from_start);
			row->said.end = row->ended_ns ? TALLY_EXITED : TALLY_GONE;
			for (n = 0; n < row->sums.count; n++)
				row->sums.all[n].totals.current = false;
		}
		row->ended = true;
		row->leaving = row->ended_before && !read_keeps_ended(options);
		if (!row->listed)
			process_free(row);
	}
}

/* Rows that came and went while nothing held still were shown to nobody, and never will be: of a
 * region that never holds still they would pile up. */
static void forget_unseen(struct region_watch *region)
{
	struct process **at = &region->closing;
	struct process *row;
	uint32_t n;

	while ((row = *at)) {
		if (row->listed) {
			at = &row->next_closing;
			continue;
		}
		*at = row->next_closing;
		for (n = 0; n < region->lane_count; n++)
			if (region->lanes[n].row == row)
				region->lanes[n].row = NULL;
		process_free(row);
	}
}

bool read_is_over(const struct region_watch *region)
{
	return !region->alive && (!region->joined || region->file_gone);
}

/* It contradicts itself, and there is nobody who could still put that right: what was known of its
 * rows before is all. */
static void give_up(const struct tally_consumer_options *options, struct region_watch *region)
{
	uint32_t n;
	size_t i;

	close_rows(options, region);
	for (n = 0; n < region->entry_count; n++) {
		struct process *row = region->entries[n].row;

		if (!row || row->ended)
			continue;
		row->ended = true;
		row->said.end = row->ended_ns ? TALLY_EXITED : TALLY_GONE;
		for (i = 0; i < row->sums.count; i++)
			row->sums.all[i].totals.current = false;
	}
}

int read_region(const struct tally_consumer_options *options, struct region_watch *region)
{
	int error = read_whole(region, options->read_records);

	pipeline_apply(region);
	if (error)
		return error;
	pipeline_tell(region);
	if (!region->unsettled) {
		account_rows(options, region);
		close_rows(options, region);
		region->fresh = false;
	} else {
		forget_unseen(region);
		if (read_is_over(region))
			give_up(options, region);
	}
	return describe_read(region);
}
