/* SPDX-License-Identifier: Apache-2.0 */
/* The main view of `tally top`: the devices, then the process table. */
#include <inttypes.h>
#include <string.h>

#include "top.h"

static const struct top_column columns[COLUMN_COUNT] = {
	[COLUMN_PID] = { "PID", 7, 0, false, 100 },
	[COLUMN_COMMAND] = { "COMMAND", 12, 23, true, 99 },
	[COLUMN_USER] = { "USER", 6, 10, false, 65 },
	[COLUMN_HELD] = { "HELD", 10, 0, false, 98 },
	[COLUMN_DRAM] = { "DRAM", 10, 0, false, 94 },
	[COLUMN_L1] = { "L1", 10, 0, false, 93 },
	[COLUMN_SYSTEM] = { "SYSTEM", 10, 0, false, 78 },
	[COLUMN_PEAK] = { "PEAK", 10, 0, false, 80 },
	[COLUMN_ABANDONED] = { "ABANDONED", 10, 0, false, 90 },
	[COLUMN_RATE] = { "ALLOC/S", 8, 0, false, 70 },
	[COLUMN_ALLOCS] = { "ALLOCS", 7, 0, false, 60 },
	[COLUMN_FREES] = { "FREES", 7, 0, false, 50 },
	[COLUMN_FAILED] = { "FAILED", 7, 0, false, 45 },
	[COLUMN_LOST] = { "LOST", 7, 0, false, 40 },
	[COLUMN_STATE] = { "STATE", 8, 11, true, 95 },
	[COLUMN_DEVICES] = { "DEVICES", 8, 16, true, 55 },
};

static void name_devices(char *text, size_t size, const struct tally_snapshot *snapshot,
			 const struct tally_process_view *process)
{
	const struct tally_pool_view *pools =
		process->pool_count ? &snapshot->process_pools[process->first_pool] : NULL;
	size_t used = 0, n;

	text[0] = '\0';
	for (n = 0; n < process->pool_count && used + 1 < size; n++)
		if (n == 0 || pools[n].device != pools[n - 1].device)
			used += (size_t)snprintf(text + used, size - used, "%s%" PRIu32,
						 used ? " " : "", pools[n].device);
}

/* Of a process whose runtime's totals are all that is known there are none. */
static void draw_counts(const struct top_table *table, const struct top_row *row,
			const struct tally_process_view *process, int y)
{
	static const enum top_column_id unknown[] = { COLUMN_PEAK, COLUMN_ALLOCS, COLUMN_FREES,
						      COLUMN_FAILED, COLUMN_LOST };
	size_t n;

	if (process->totals_only) {
		for (n = 0; n < sizeof(unknown) / sizeof(unknown[0]); n++)
			top_cell(table, (int)unknown[n], y, LOOK_PLAIN, "-");
		return;
	}
	top_cell_count(table, COLUMN_ALLOCS, y, row->sum.allocations);
	top_cell_count(table, COLUMN_FREES, y, row->sum.frees);
	top_cell_count(table, COLUMN_FAILED, y, row->sum.failures);
	top_cell_count(table, COLUMN_LOST, y, process->lost_records);
}

static const struct {
	enum top_group_kind kind;
	enum top_column_id column;
} groups[] = {
	{ TOP_GROUP_DRAM, COLUMN_DRAM },
	{ TOP_GROUP_L1, COLUMN_L1 },
	{ TOP_GROUP_SYSTEM, COLUMN_SYSTEM },
};

#define GROUPS (sizeof(groups) / sizeof(groups[0]))

/* The parts of HELD, unless there is one alone: then nothing would be told apart. */
static uint32_t group_columns(const struct top *top, const struct tally_snapshot *snapshot)
{
	bool chosen = top->asked.pool_count > 0 || top->model.filter.pool[0];
	uint32_t bits = 0, others = 0;
	size_t n, i;

	for (n = 0; n < snapshot->pool_count && !chosen; n++) {
		const struct tally_pool_view *pool = &snapshot->pools[n];
		uint32_t bit = 0;

		if (render_is_silent(&pool->totals))
			continue;
		for (i = 0; i < GROUPS; i++)
			if (top_group_held(groups[i].kind, pool, 1).used)
				bit = 1u << groups[i].column;
		bits |= bit;
		others += bit == 0;
	}
	return others || bits & (bits - 1) ? bits : 0;
}

/* A runtime's own totals have no system memory. */
static void draw_groups(const struct top_table *table, const struct top_row *row,
			const struct tally_process_view *process, int y)
{
	size_t n;

	for (n = 0; n < GROUPS; n++) {
		const struct top_held *held = &row->groups[groups[n].kind];

		if (process->end != TALLY_RUNNING ||
		    (process->totals_only && groups[n].kind == TOP_GROUP_SYSTEM))
			top_cell(table, (int)groups[n].column, y, LOOK_PLAIN, "-");
		else
			top_cell_bytes(table, (int)groups[n].column, y, held->bytes,
				       held->at_least);
	}
}

static void draw_process(const struct top *top, const struct tally_snapshot *snapshot, size_t n,
			 int y)
{
	const struct view view = { .report = false };
	const struct top_row *row = &top->model.rows[n];
	const struct tally_process_view *process = &snapshot->processes[row->process];
	const struct top_table *table = &top->table;
	bool running = process->end == TALLY_RUNNING;
	char text[TEXT_MAX];

	if (process->guests) {
		top_cell(table, COLUMN_PID, y, LOOK_PLAIN, "-");
		top_cell(table, COLUMN_COMMAND, y, LOOK_PLAIN, "%u without region",
			 process->guests);
	} else {
		top_cell(table, COLUMN_PID, y, LOOK_PLAIN, "%" PRIu32, process->pid);
		top_cell(table, COLUMN_COMMAND, y, LOOK_PLAIN, "%s", process->comm);
	}
	top_cell(table, COLUMN_USER, y, LOOK_PLAIN, "%" PRIu32, process->uid);
	if (running)
		top_cell_bytes(table, COLUMN_HELD, y, row->sum.live_bytes,
			       row->sum.live_bytes != row->sum.live_bytes_high);
	else
		top_cell(table, COLUMN_HELD, y, LOOK_PLAIN, "-");
	draw_groups(table, row, process, y);
	if (!process->totals_only)
		top_cell_bytes(table, COLUMN_PEAK, y, row->sum.peak_bytes,
			       !row->peak_known || row->sum.peak_bytes != row->sum.peak_bytes_high);
	if (row->sum.abandoned_bytes)
		top_cell_bytes(table, COLUMN_ABANDONED, y, row->sum.abandoned_bytes, false);
	if (row->rate < 0) {
		top_cell(table, COLUMN_RATE, y, LOOK_PLAIN, "-");
	} else {
		text_short_count(text, (uint64_t)(row->rate + 0.5));
		top_cell(table, COLUMN_RATE, y, LOOK_PLAIN, "%s", text);
	}
	draw_counts(table, row, process, y);
	top_cell(table, COLUMN_STATE, y, LOOK_PLAIN, "%.*s",
		 process->totals_only && table->width[COLUMN_STATE] < 11 ? 6 : 40,
		 render_end(snapshot, row->process, &view));
	name_devices(text, sizeof(text), snapshot, process);
	top_cell(table, COLUMN_DEVICES, y, LOOK_PLAIN, "%s", text);
}

static void draw_processes(struct top *top, const struct tally_snapshot *snapshot)
{
	struct top_model *model = &top->model;
	const uint32_t split = 1u << COLUMN_DRAM | 1u << COLUMN_L1 | 1u << COLUMN_SYSTEM;
	uint32_t wanted = ((1u << COLUMN_COUNT) - 1) & ~split;
	size_t n;
	int row;

	wanted |= group_columns(top, snapshot);
	if (!render_sum(snapshot->pools, snapshot->pool_count).abandoned_bytes)
		wanted &= ~(1u << COLUMN_ABANDONED);
	if (!top->feed.options.all_users)
		wanted &= ~(1u << COLUMN_USER);
	top_table_lay(&top->table, columns, COLUMN_COUNT, wanted, top_columns());
	top->table.y = top->processes.y - 1;
	top_table_heads(&top->table, (int)model->sort, model->reversed);
	for (row = 0; row < top->processes.height; row++) {
		n = top->processes.first + (size_t)row;
		if (n >= model->row_count)
			break;
		draw_process(top, snapshot, n, top->processes.y + row);
		if (n == model->selected && !top->devices_focused)
			top_mark_row(top->processes.y + row);
	}
}

/* ---- Both ------------------------------------------------------------------------------------ */

static void say_nothing(const struct top *top, const struct tally_snapshot *snapshot, int y)
{
	if (snapshot->process_count)
		top_text(y, 1, top_columns(), LOOK_PLAIN,
			 "no process passes the filter (x clears it)");
	else if (top_filter_is_set(&top->model.filter))
		top_text(y, 1, top_columns(), LOOK_PLAIN,
			 "nothing yet; a filter is set too (x clears it)");
	else
		top_text(y, 1, top_columns(), LOOK_PLAIN,
			 "nothing yet; start a program with `tally run -- CMD`, or with TALLY=1");
}

void top_main_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height)
{
	/* Processes get half, or less when they need less. */
	int rows = (int)(top->model.row_count < 10000 ? top->model.row_count : 10000) + 2;
	int used = top_devices_draw(top, snapshot, y,
				    rows < height / 2 ? height - rows : height - height / 2);

	top->processes.cursor = top->model.selected;
	top_list_place(&top->processes, top->model.row_count, y + used + 1, height - used - 1);
	draw_processes(top, snapshot);
	if (top->model.row_count == 0)
		say_nothing(top, snapshot, y + used + 1);
}
