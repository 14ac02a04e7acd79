/* SPDX-License-Identifier: Apache-2.0 */
/* The way of records through the consumer, and the holders that are made on it. */
#include "consumer/pipeline.h"

#include <string.h>
#include <tally/atomic.h>

#include "ring/clock.h"
#include "ring/slot.h"

/* The time that one thread has read from its processor's clock may be put wrong by as much, beside
 * that of another. A processor reads on while it waits for memory, or for a lock. */
#define SKEW_NS 1000

int pipeline_open(struct pipeline *pipeline, const struct tally_consumer_options *options)
{
	memset(pipeline, 0, sizeof(*pipeline));
	pipeline->event = options->event;
	pipeline->event_arg = options->event_arg;
	pipeline->pid = options->pid;
	if (!options->read_buffers)
		return 0;
	return buffers_open(&pipeline->buffers,
			    options->buffers_max ? options->buffers_max : TALLY_BUFFERS_MAX);
}

void pipeline_close(struct pipeline *pipeline)
{
	buffers_close(&pipeline->buffers);
}

bool pipeline_is_on(const struct pipeline *pipeline)
{
	return pipeline->event || pipeline->buffers.table;
}

bool pipeline_wants(const struct process *row)
{
	const struct pipeline *pipeline = row->region->pipeline;

	return pipeline &&
	       (!pipeline->pid || !row->region->joined || row->said.pid == pipeline->pid);
}

/* ---- Holders --------------------------------------------------------------------------------- */

static struct holder *make_holder(struct region_watch *region, struct process *row)
{
	struct holder *holder = holder_new(row->said.region_id, row->said.pid, row->said.comm);

	if (!holder)
		return NULL;
	holder->region = region;
	holder->all = &region->pipeline->buffers.books;
	holder->ticks = region->ticks;
	holder->skew = ticks_in(&region->ticks, SKEW_NS);
	holder->lost_ns = row->lost_ns;
	row->holder = holder;
	return holder;
}

void pipeline_lost(struct process *row)
{
	row->lost_ns = clock_monotonic_ns();
	row->said.incomplete_until_realtime_ns = clock_realtime_ns();
	if (!row->incomplete_since_realtime_ns)
		row->incomplete_since_realtime_ns = row->said.incomplete_until_realtime_ns;
	if (row->holder)
		/* relaxed: a number that stands by itself */
		tally_store_relaxed(&row->holder->lost_ns, row->lost_ns);
}

void pipeline_forget(struct process *row)
{
	struct region_watch *region = row->region;

	if (!row->holder)
		return;
	stage_take_out(&region->stage, row->holder, NULL, NULL);
	buffers_leave(&region->pipeline->buffers, row->holder);
	row->holder = NULL;
}

/* ---- One region ------------------------------------------------------------------------------ */

void pipeline_begin(struct region_watch *region)
{
	if (region->pipeline)
		stage_begin(&region->stage, ticks_measure(&region->ticks));
}

void pipeline_take(struct region_watch *region, struct process *row,
		   const struct tally_record *record, bool shared)
{
	struct holder *holder = row->holder;
	struct staged item = {
		.time = record->time,
		.buffer_id = record->buffer_id,
		.size = record->size,
		.where = record->where,
		.event_no = record->event_no,
		.tag = (uint32_t)record->label,
		.kind = (uint8_t)slot_kind(record->commit),
		.shared = shared,
	};

	if (!holder)
		holder = make_holder(region, row);
	item.holder = holder;
	if (!holder || !stage_put(&region->stage, &item))
		row->dropped++;
}

void pipeline_unread(struct region_watch *region)
{
	if (region->pipeline)
		stage_unread(&region->stage);
}

static void apply(void *arg, const struct staged *const *items, size_t count)
{
	struct region_watch *region = arg;
	struct pipeline *pipeline = region->pipeline;
	size_t n;

	if (pipeline->buffers.table) {
		buffers_begin(&pipeline->buffers);
		buffers_apply(&pipeline->buffers, items, count);
		buffers_end(&pipeline->buffers);
	}
	for (n = 0; n < count && pipeline->event; n++)
		events_hand_over(pipeline, region, items[n]);
}

void pipeline_apply(struct region_watch *region)
{
	const struct process *row;

	if (!region->pipeline || region->stage.count == 0)
		return;
	stage_apply(&region->stage, !region->alive || region->last, apply, region);
	for (row = region->closing; row; row = row->next_closing)
		if (row->holder)
			stage_take_out(&region->stage, row->holder, apply, region);
}

void pipeline_tell(struct region_watch *region)
{
	uint32_t n;

	for (n = 0; region->pipeline && n < region->entry_count; n++) {
		struct holder *holder = region->entries[n].row ? region->entries[n].row->holder
							       : NULL;

		if (!holder)
			continue;
		ticks_follow(&holder->ticks, &region->ticks);
		holder->skew = ticks_in(&region->ticks, SKEW_NS);
		books_read_names(holder);
	}
}

/* ---- The end of a look ----------------------------------------------------------------------- */

static size_t live_buffers(const struct holder *holder)
{
	size_t live = 0, n;

	for (n = 0; n < holder->tags.room; n++)
		if (holder->tags.all[n].books)
			live += (size_t)((struct tag_books *)holder->tags.all[n].books)
					->live_allocations;
	return live;
}

void pipeline_finish(struct pipeline *pipeline, struct process *const *rows, size_t count)
{
	size_t n;

	buffers_settle(&pipeline->buffers);
	for (n = 0; n < count; n++) {
		struct holder *holder = rows[n]->holder;

		if (!holder)
			continue;
		/* relaxed: a number that stands by itself */
		tally_store_relaxed(&holder->ended, rows[n]->ended);
		rows[n]->said.buffers = live_buffers(holder);
	}
}
