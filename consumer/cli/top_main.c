/* SPDX-License-Identifier: Apache-2.0 */
/* The main view of `tally top`: a bar for each pool of each device, then the process table. */
#include <inttypes.h>
#include <string.h>

#include "top.h"

/* ---- Devices: a line each, and one per pool -------------------------------------------------- */

#define HELD_WIDTH 10
#define CAPACITY_WIDTH 11 /* " of 12.3 GiB" */
#define PERCENT_WIDTH 6
#define ABANDONED_WIDTH 20
#define PEAK_WIDTH 17
#define POOL_WIDTH 10

static bool is_pool_shown(const struct top *top, const struct tally_pool_view *pool)
{
	return !render_is_silent(&pool->totals) &&
	       top_filter_pool(&top->model.filter, pool->pool, pool->pool_name);
}

/* Lines of a device, with its own; 0: it is not shown. */
static size_t device_lines(const struct top *top, const struct tally_snapshot *snapshot,
			   const struct tally_device_view *device)
{
	size_t lines = 1, n;

	if (!top_filter_device(&top->model.filter, snapshot, device->device))
		return 0;
	for (n = 0; n < device->pool_count; n++)
		lines += is_pool_shown(top, &snapshot->pools[device->first_pool + n]);
	return lines == 1 && top->model.filter.pool[0] ? 0 : lines;
}

static void draw_device(const struct top *top, const struct tally_snapshot *snapshot,
			const struct tally_device_view *device, int y)
{
	const struct top_history *history = top_history_of(&top->histories, device->device);
	int64_t values[TOP_HISTORY_S];
	int columns = top_columns();
	/* A second each, or a few of them. */
	size_t count = columns >= 180 ? 60 : columns >= 120 ? 40 : columns >= 72 ? 24 : 12;
	int x = columns - (int)count;
	char held[TEXT_MAX], number[TEXT_MAX];
	bool wide = x > 60;
	int64_t bytes = 0;
	size_t n;

	for (n = 0; n < device->pool_count; n++)
		bytes += snapshot->pools[device->first_pool + n].totals.live_bytes;
	text_bytes(held, bytes);
	snprintf(number, sizeof(number), "%" PRIu32, device->device);
	top_text(y, 0, x - (wide ? 33 : 12), LOOK_HEAD, "%s %s%s%s%s", number,
		 device->name[0]       ? device->name
		 : device->totals_only ? "(totals only)"
				       : "(not described)",
		 device->arch[0] ? ", " : "", device->arch, device->remote ? ", remote" : "");
	if (wide)
		top_text_right(y, x - 32, 31, LOOK_DIM, "%s in all  last 2 min", held);
	else
		top_text_right(y, x - 12, 11, LOOK_DIM, "last 2 min");
	if (!history)
		return;
	top_history_read(history, values, count);
	top_spark(y, x, values, count);
}

/* The used part of the capacity, in words as in the bar. */
static void draw_used(const struct tally_pool_view *pool, int y, int x, int bar)
{
	double part = (double)pool->totals.live_bytes / (double)pool->capacity_bytes;
	char capacity[TEXT_MAX];

	top_bar(y, x, bar, part);
	x += bar + 1 + HELD_WIDTH;
	text_bytes(capacity,
		   pool->capacity_bytes > INT64_MAX ? INT64_MAX : (int64_t)pool->capacity_bytes);
	top_text(y, x, CAPACITY_WIDTH + 1, LOOK_PLAIN, " of %s", capacity);
	x += CAPACITY_WIDTH + 1;
	if (part > 0 && part < 0.01)
		top_text_right(y, x, PERCENT_WIDTH, LOOK_PLAIN, "<1 %%");
	else
		top_text_right(y, x, PERCENT_WIDTH, LOOK_PLAIN, "%.0f %%",
			       part > 9.99 ? 999 : part * 100);
}

static void draw_pool(const struct tally_pool_view *pool, int y, bool abandoned)
{
	const struct tally_totals *totals = &pool->totals;
	bool peak = top_columns() >= 110;
	int after = HELD_WIDTH + CAPACITY_WIDTH + 1 + PERCENT_WIDTH +
		    (abandoned ? ABANDONED_WIDTH : 0) + (peak ? PEAK_WIDTH : 0);
	int x = 2 + POOL_WIDTH + 1;
	int bar = top_columns() - x - 1 - after;
	char bytes[TEXT_MAX];

	top_text(y, 2, POOL_WIDTH, LOOK_PLAIN, "%s", pool->pool_name);
	bar = bar < 4 ? 4 : bar;
	if (pool->capacity_bytes)
		draw_used(pool, y, x, bar);
	else
		top_text_right(y, x + bar + 1 + HELD_WIDTH + 1, CAPACITY_WIDTH + PERCENT_WIDTH,
			       LOOK_DIM, "capacity unknown");
	text_bytes(bytes, totals->live_bytes);
	x += bar + 1;
	top_text_right(y, x, HELD_WIDTH, LOOK_PLAIN, "%s%s",
		       totals->live_bytes != totals->live_bytes_high ? ">=" : "", bytes);
	x += HELD_WIDTH + CAPACITY_WIDTH + 1 + PERCENT_WIDTH;
	if (peak && pool->totals_only) {
		top_text_right(y, x, PEAK_WIDTH, LOOK_DIM, "%s", render_known(pool));
		x += PEAK_WIDTH;
	} else if (peak) {
		text_bytes(bytes, totals->peak_bytes);
		top_text_right(y, x, PEAK_WIDTH, LOOK_PLAIN, "peak %s%s",
			       totals->peak_bytes != totals->peak_bytes_high ? ">=" : "", bytes);
		x += PEAK_WIDTH;
	}
	if (totals->abandoned_bytes) {
		text_bytes(bytes, totals->abandoned_bytes);
		top_text_right(y, x, ABANDONED_WIDTH, LOOK_WARN, "%s abandoned", bytes);
	}
}

static void draw_devices(struct top *top, const struct tally_snapshot *snapshot)
{
	const struct top_list *list = &top->devices;
	size_t end = list->first + (size_t)list->height;
	size_t line = 0, n, pool;
	bool abandoned = false;

	for (n = 0; n < snapshot->pool_count; n++)
		abandoned = abandoned || snapshot->pools[n].totals.abandoned_bytes;
	for (n = 0; n < snapshot->device_count && line < end; n++) {
		const struct tally_device_view *device = &snapshot->devices[n];
		size_t lines = device_lines(top, snapshot, device);

		if (line + lines <= list->first) {
			line += lines;
			continue;
		}
		if (lines && line++ >= list->first)
			draw_device(top, snapshot, device, list->y + (int)(line - 1 - list->first));
		for (pool = 0; pool < device->pool_count && lines && line < end; pool++) {
			const struct tally_pool_view *view =
				&snapshot->pools[device->first_pool + pool];

			if (is_pool_shown(top, view) && line++ >= list->first)
				draw_pool(view, list->y + (int)(line - 1 - list->first), abandoned);
		}
	}
}

/* ---- Processes ------------------------------------------------------------------------------- */

static const struct top_column columns[COLUMN_COUNT] = {
	[COLUMN_PID] = { "PID", 7, 0, false, 100 },
	[COLUMN_COMMAND] = { "COMMAND", 12, 23, true, 99 },
	[COLUMN_USER] = { "USER", 6, 10, false, 65 },
	[COLUMN_HELD] = { "HELD", 10, 0, false, 98 },
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
	uint32_t wanted = (1u << COLUMN_COUNT) - 1;
	size_t n;
	int row;

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

/* A line that says how many are above and below, where not all are shown. */
static void say_more(const struct top *top, int y)
{
	const struct top_list *list = &top->devices;
	size_t below = list->count - list->first - (size_t)list->height;

	top_text(y, 2, top_columns() - 2, top->devices_focused ? LOOK_HEAD : LOOK_DIM,
		 "%zu more line%s above, %zu below: %s", list->first, list->first == 1 ? "" : "s",
		 below,
		 top->devices_focused ? "arrows scroll, Tab back to the processes"
				      : "Tab to scroll them");
}

void top_main_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height)
{
	size_t lines = 0, n;
	int most, rows;

	for (n = 0; n < snapshot->device_count; n++)
		lines += device_lines(top, snapshot, &snapshot->devices[n]);
	/* Processes get half, or less when they need less. */
	rows = (int)(top->model.row_count < 10000 ? top->model.row_count : 10000) + 2;
	most = rows < height / 2 ? height - rows : height - height / 2;
	top->devices.plain = true;
	if (lines > (size_t)most) {
		top_list_place(&top->devices, lines, y, most - 2);
		say_more(top, y + most - 2);
	} else {
		most = (int)lines + 1;
		top_list_place(&top->devices, lines, y, (int)lines);
		top->devices_focused = false;
	}
	draw_devices(top, snapshot);
	if (lines == 0)
		most = 0;
	top->processes.cursor = top->model.selected;
	top_list_place(&top->processes, top->model.row_count, y + most + 1, height - most - 1);
	draw_processes(top, snapshot);
	if (top->model.row_count == 0)
		say_nothing(top, snapshot, y + most + 1);
}
