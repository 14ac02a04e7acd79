/* SPDX-License-Identifier: Apache-2.0 */
/* The process view of `tally top`: one process, all its pools, its tags when they are known. */
#include <inttypes.h>

#include "top.h"

enum {
	POOL_DEVICE,
	POOL_NAME,
	POOL_HELD,
	POOL_SHARE,
	POOL_START,
	POOL_ATTACH,
	POOL_ALLOCS,
	POOL_FREES,
	POOL_FAILED,
	POOL_RATE,
	POOL_COLUMNS
};

static const struct top_column pool_columns[POOL_COLUMNS] = {
	[POOL_DEVICE] = { "DEVICE", 6, 0, false, 100 },
	[POOL_NAME] = { "POOL", 10, 23, true, 100 },
	[POOL_HELD] = { "HELD", 10, 0, false, 99 },
	[POOL_SHARE] = { "OF DEVICE'S", 14, 0, false, 95 },
	[POOL_START] = { "START", 10, 0, false, 90 },
	[POOL_ATTACH] = { "ATTACH", 10, 0, false, 85 },
	[POOL_ALLOCS] = { "ALLOCS", 7, 0, false, 80 },
	[POOL_FREES] = { "FREES", 7, 0, false, 70 },
	[POOL_FAILED] = { "FAILED", 7, 0, false, 75 },
	[POOL_RATE] = { "ALLOC/S", 8, 0, false, 60 },
};

enum { TAG_NAME, TAG_DEVICE, TAG_POOL, TAG_HELD, TAG_LIVE, TAG_ALLOCS, TAG_FREES, TAG_COLUMNS };

static const struct top_column tag_columns[TAG_COLUMNS] = {
	[TAG_NAME] = { "TAG", 16, 55, true, 100 },  [TAG_DEVICE] = { "DEVICE", 6, 0, false, 80 },
	[TAG_POOL] = { "POOL", 10, 0, true, 85 },   [TAG_HELD] = { "HELD", 10, 0, false, 99 },
	[TAG_LIVE] = { "LIVE", 7, 0, false, 70 },   [TAG_ALLOCS] = { "ALLOCS", 7, 0, false, 65 },
	[TAG_FREES] = { "FREES", 7, 0, false, 60 },
};

static const struct tally_process_view *find(const struct tally_snapshot *snapshot, uint64_t id,
					     size_t *ret_n)
{
	for (*ret_n = 0; *ret_n < snapshot->process_count; ++*ret_n)
		if (snapshot->processes[*ret_n].region_id == id)
			return &snapshot->processes[*ret_n];
	return NULL;
}

/* The screen row of the next line; -1 when it is not in view. */
static int next_row(const struct top_list *list, size_t *line)
{
	size_t at = (*line)++;

	if (at < list->first || at >= list->first + (size_t)list->height)
		return -1;
	return list->y + (int)(at - list->first);
}

/* Of what the device has, by its description. */
static void draw_share(const struct top_table *table, const struct tally_pool_view *pool,
		       bool ended, int y)
{
	double part = (double)pool->totals.live_bytes / (double)pool->capacity_bytes;
	char capacity[TEXT_MAX];

	if (!pool->capacity_bytes) {
		top_cell(table, POOL_SHARE, y, LOOK_PLAIN, "-");
		return;
	}
	text_bytes(capacity,
		   pool->capacity_bytes > INT64_MAX ? INT64_MAX : (int64_t)pool->capacity_bytes);
	if (ended)
		top_cell(table, POOL_SHARE, y, LOOK_PLAIN, "%s", capacity);
	else if (part > 0 && part < 0.01)
		top_cell(table, POOL_SHARE, y, LOOK_PLAIN, "%s <1 %%", capacity);
	else
		top_cell(table, POOL_SHARE, y, LOOK_PLAIN, "%s %3.0f %%", capacity,
			 part > 9.99 ? 999 : part * 100);
}

static void draw_counts(const struct top_table *table, const struct tally_pool_view *pool,
			bool ended, int y)
{
	const struct tally_totals *totals = &pool->totals;
	/* It holds what it holds now: the peak since then is that at least. */
	int64_t attach_peak = totals->attach_peak_bytes > totals->live_bytes
				      ? totals->attach_peak_bytes
				      : totals->live_bytes;
	char text[TEXT_MAX];
	int n;

	if (pool->totals_only) {
		for (n = POOL_START; n <= POOL_RATE; n++)
			top_cell(table, n, y, LOOK_PLAIN, "-");
		return;
	}
	top_cell_bytes(table, POOL_START, y, totals->peak_bytes,
		       totals->peak_bytes != totals->peak_bytes_high);
	top_cell_bytes(table, POOL_ATTACH, y, attach_peak, true);
	top_cell_count(table, POOL_ALLOCS, y, totals->allocations);
	top_cell_count(table, POOL_FREES, y, totals->frees);
	top_cell_count(table, POOL_FAILED, y, totals->failures);
	if (pool->allocations_per_s < 0 || ended) {
		top_cell(table, POOL_RATE, y, LOOK_PLAIN, "-");
	} else {
		text_short_count(text, (uint64_t)(pool->allocations_per_s + 0.5));
		top_cell(table, POOL_RATE, y, LOOK_PLAIN, "%s", text);
	}
}

static void draw_pool(const struct top_table *table, const struct tally_pool_view *pool, bool ended,
		      int y)
{
	if (ended)
		top_cell(table, POOL_HELD, y, LOOK_PLAIN, "-");
	else
		top_cell_bytes(table, POOL_HELD, y, pool->totals.live_bytes,
			       pool->totals.live_bytes != pool->totals.live_bytes_high);
	draw_counts(table, pool, ended, y);
}

static void draw_part(const struct top_table *table, const struct top_part *part, bool ended, int y)
{
	top_cell(table, POOL_NAME, y, LOOK_PLAIN, "  %s", part->name);
	if (part->pool)
		draw_pool(table, part->pool, ended, y);
	else
		top_cell(table, POOL_HELD, y, LOOK_PLAIN, "%s",
			 part->unknown || ended ? "-" : "0 B");
}

static void draw_group(const struct top_table *table, const struct top_list *list, size_t *line,
		       const struct top_group *group, bool ended)
{
	int y = next_row(list, line);
	size_t n;

	if (y >= 0) {
		top_cell(table, POOL_DEVICE, y, LOOK_PLAIN, "%" PRIu32, group->whole.device);
		top_cell(table, POOL_NAME, y, LOOK_PLAIN, "%s", group->whole.pool_name);
		draw_share(table, &group->whole, ended, y);
		draw_pool(table, &group->whole, ended, y);
	}
	for (n = 0; n < group->part_count; n++) {
		y = next_row(list, line);
		if (y >= 0)
			draw_part(table, &group->parts[n], ended, y);
	}
}

/* Its own description of the device, or any process's. */
static void find_capacity(const struct top *top, const struct tally_snapshot *snapshot,
			  struct top_group *group)
{
	const struct tally_device_view *device = render_device(snapshot, group->whole.device);
	struct top_groups groups;
	struct top_group all;

	if (group->whole.capacity_bytes || !device)
		return;
	groups = top_groups_of(top, top_device_pools(snapshot, device), device->pool_count);
	while (top_group_next(&groups, &all))
		if (all.series == group->series)
			group->whole.capacity_bytes = all.whole.capacity_bytes;
}

static void draw_device(const struct top *top, size_t *line, const struct top_table *table,
			const struct tally_snapshot *snapshot, const struct tally_pool_view *pools,
			size_t count, bool ended)
{
	struct top_groups groups = top_groups_of(top, pools, count);
	struct top_group group;

	while (top_group_next(&groups, &group)) {
		find_capacity(top, snapshot, &group);
		draw_group(table, &top->process, line, &group, ended);
	}
}

static void draw_pools(const struct top *top, size_t *line, const struct tally_snapshot *snapshot,
		       const struct tally_process_view *process)
{
	const struct top_list *list = &top->process;
	bool ended = process->end != TALLY_RUNNING;
	struct top_table table;
	size_t n, end = process->first_pool + process->pool_count, next;
	int y;

	top_table_lay(&table, pool_columns, POOL_COLUMNS, (1u << POOL_COLUMNS) - 1, top_columns());
	y = next_row(list, line);
	if (y >= 0 && table.width[POOL_ATTACH])
		top_text_right(y, table.x[POOL_START], 21, LOOK_DIM, "----- PEAK SINCE ----");
	table.y = next_row(list, line);
	if (table.y >= 0)
		top_table_heads(&table, -1, false);
	for (n = process->first_pool; n < end; n = next) {
		const struct tally_pool_view *pools = &snapshot->process_pools[n];

		for (next = n + 1; next < end; next++)
			if (snapshot->process_pools[next].device != pools[0].device)
				break;
		draw_device(top, line, &table, snapshot, pools, next - n, ended);
	}
}

static void draw_tag(const struct top_table *table, const struct tally_tag_view *tag,
		     const struct tally_snapshot *snapshot,
		     const struct tally_process_view *process, int y)
{
	const char *pool = "";
	size_t n;

	for (n = process->first_pool; n < process->first_pool + process->pool_count; n++)
		if (snapshot->process_pools[n].pool == tag->pool)
			pool = snapshot->process_pools[n].pool_name;
	top_cell(table, TAG_NAME, y, tag->tag[0] ? LOOK_PLAIN : LOOK_DIM, "%s",
		 tag->tag[0] ? tag->tag : "(without a tag)");
	top_cell(table, TAG_DEVICE, y, LOOK_PLAIN, "%" PRIu32, tag->device);
	top_cell(table, TAG_POOL, y, LOOK_PLAIN, "%s", pool);
	top_cell_bytes(table, TAG_HELD, y, tag->live_bytes, false);
	top_cell_count(table, TAG_LIVE, y,
		       tag->live_allocations > 0 ? (uint64_t)tag->live_allocations : 0);
	top_cell_count(table, TAG_ALLOCS, y, tag->allocations);
	top_cell_count(table, TAG_FREES, y, tag->frees);
}

static void draw_tags(const struct top *top, size_t *line, const struct tally_snapshot *snapshot,
		      const struct tally_process_view *process)
{
	const struct top_list *list = &top->process;
	struct top_table table;
	char since[TEXT_MAX];
	size_t n;
	int y;

	if (process->totals_only)
		return;
	if (!top->feed.options.read_buffers) {
		top_line(list, line, LOOK_DIM,
			 "Tags: not known; records are read once the buffers were shown (3)");
		return;
	}
	render_time(since, top->feed.attach_realtime_ns);
	top_line(list, line, LOOK_DIM, "Tags, of the records read since %s%s", since,
		 process->tag_count ? "" : ": none");
	if (process->tag_count == 0)
		return;
	top_table_lay(&table, tag_columns, TAG_COLUMNS, (1u << TAG_COLUMNS) - 1, top_columns());
	table.y = next_row(list, line);
	if (table.y >= 0)
		top_table_heads(&table, -1, false);
	for (n = 0; n < process->tag_count; n++) {
		y = next_row(list, line);
		if (y >= 0)
			draw_tag(&table, &snapshot->process_tags[process->first_tag + n], snapshot,
				 process, y);
	}
}

static void draw_head(const struct top *top, size_t *line, const struct tally_snapshot *snapshot,
		      const struct tally_process_view *process, size_t n)
{
	const struct view view = { .report = false };
	const struct top_list *list = &top->process;
	struct tally_totals sum = render_sum(
		process->pool_count ? &snapshot->process_pools[process->first_pool] : NULL,
		process->pool_count);
	char bytes[TEXT_MAX], start[TEXT_MAX], attach[TEXT_MAX], events[TEXT_MAX], lost[TEXT_MAX];

	text_bytes(bytes, process->end == TALLY_RUNNING ? sum.live_bytes : sum.abandoned_bytes);
	render_time(start, process->start_realtime_ns);
	render_time(attach, top->feed.attach_realtime_ns);
	text_count(events, process->events);
	text_count(lost, process->lost_records);
	top_line(list, line, LOOK_HEAD, "%" PRIu32 " %s: %s, %s %s", process->pid, process->comm,
		 render_end(snapshot, n, &view), bytes,
		 process->end == TALLY_RUNNING ? "held" : "abandoned");
	if (process->totals_only) {
		top_line(list, line, LOOK_PLAIN,
			 "user %" PRIu32
			 ", by what its runtime says in %s: no counts, peaks, tags, "
			 "buffers",
			 process->uid, process->region);
		top_line(list, line, LOOK_PLAIN, "%s", "");
		return;
	}
	top_line(list, line, LOOK_PLAIN, "user %" PRIu32 ", %s events, %s records lost",
		 process->uid, events, lost);
	top_line(list, line, LOOK_PLAIN,
		 "started %s (peak since START), seen since %s (since ATTACH)", start, attach);
	top_line(list, line, LOOK_DIM, "region %s", process->region);
	if (sum.inherited_bytes) {
		text_bytes(bytes, sum.inherited_bytes);
		top_line(list, line, LOOK_PLAIN, "%s of it is the fork's copy of its parent's",
			 bytes);
	}
	if (process->quarantine)
		top_line(list, line, LOOK_WARN, "%" PRIu32 " quarantined: %s",
			 process->quarantined_lanes, process->quarantine);
	top_line(list, line, LOOK_PLAIN, "%s", "");
}

void top_process_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height)
{
	struct top_list *list = &top->process;
	const struct tally_process_view *process;
	size_t line = 0, n;

	list->plain = true;
	list->y = y;
	list->height = height;
	process = find(snapshot, top->shown_id, &n);
	if (process) {
		draw_head(top, &line, snapshot, process, n);
		draw_pools(top, &line, snapshot, process);
		top_line(list, &line, LOOK_PLAIN, "%s", "");
		draw_tags(top, &line, snapshot, process);
	} else {
		top_line(list, &line, LOOK_PLAIN, "%s",
			 top->shown_id ? "this process is not there any more; 1 leads back"
				       : "no process is selected; 1 leads back");
	}
	top_list_place(list, line, y, height);
}
