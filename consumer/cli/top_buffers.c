/* SPDX-License-Identifier: Apache-2.0 */
/* The buffers view of `tally top`: of all that live the largest or oldest, so many as one may want
 * to scroll through. */
#include <inttypes.h>
#include <stdlib.h>

#include "top.h"

/* A scan of a large table takes a while: no more than this part of one processor's time. */
#define SCAN_SHARE 20

enum {
	BUFFER_SIZE,
	BUFFER_AGE,
	BUFFER_PID,
	BUFFER_COMMAND,
	BUFFER_DEVICE,
	BUFFER_POOL,
	BUFFER_ID,
	BUFFER_STATE,
	BUFFER_TAG,
	BUFFER_COLUMNS
};

static const struct top_column columns[BUFFER_COLUMNS] = {
	[BUFFER_SIZE] = { "SIZE", 9, 0, false, 100 },
	[BUFFER_AGE] = { "AGE", 7, 0, false, 99 },
	[BUFFER_PID] = { "PID", 7, 0, false, 98 },
	[BUFFER_COMMAND] = { "COMMAND", 8, 12, true, 90 },
	[BUFFER_DEVICE] = { "DEV", 4, 5, false, 80 },
	[BUFFER_POOL] = { "POOL", 8, 0, true, 85 },
	[BUFFER_ID] = { "BUFFER", 14, 18, false, 60 },
	[BUFFER_STATE] = { "STATE", 6, 0, true, 95 },
	[BUFFER_TAG] = { "TAG", 8, 55, true, 70 },
};

/* ---- The few of many: a heap whose top is the first to go ------------------------------------ */

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* Below 0: `a` stands above `b` in the list. */
static int compare(const struct top_scan *scan, const struct top_buffer *a,
		   const struct top_buffer *b)
{
	int order = scan->sort == BUFFER_AGE ? COMPARE(a->alloc_ns, b->alloc_ns)
					     : COMPARE(b->size, a->size);

	if (order != 0)
		return scan->reversed ? -order : order;
	order = COMPARE(a->pid, b->pid);
	return order != 0 ? order : COMPARE(a->id, b->id);
}

static void swap(struct top_buffer *a, struct top_buffer *b)
{
	struct top_buffer other = *a;

	*a = *b;
	*b = other;
}

static void sink(struct top_scan *scan, size_t at)
{
	struct top_buffer *kept = scan->kept;

	for (;;) {
		size_t last = at, n;

		for (n = at * 2 + 1; n <= at * 2 + 2 && n < scan->kept_count; n++)
			if (compare(scan, &kept[n], &kept[last]) > 0)
				last = n;
		if (last == at)
			return;
		swap(&kept[at], &kept[last]);
		at = last;
	}
}

static void rise(struct top_scan *scan, size_t at)
{
	while (at > 0 && compare(scan, &scan->kept[at], &scan->kept[(at - 1) / 2]) > 0) {
		swap(&scan->kept[at], &scan->kept[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

static void keep(struct top_scan *scan, const struct tally_buffer *buffer)
{
	bool full = scan->kept_count == TOP_BUFFERS_KEPT;
	struct top_buffer row;

	row.id = buffer->buffer_id;
	row.size = buffer->size;
	row.region_id = buffer->region_id;
	row.alloc_ns = buffer->alloc_monotonic_ns;
	row.pid = buffer->pid;
	row.device = buffer->device;
	row.pool = buffer->pool;
	row.ended = buffer->ended;
	row.unsure = buffer->unsure;
	if (full && compare(scan, &row, &scan->kept[0]) >= 0)
		return; /* the last of them stands above it */
	snprintf(row.comm, sizeof(row.comm), "%s", buffer->comm);
	snprintf(row.pool_name, sizeof(row.pool_name), "%s", buffer->pool_name);
	snprintf(row.tag, sizeof(row.tag), "%s", buffer->tag);
	if (full) {
		scan->kept[0] = row;
		sink(scan, 0);
		return;
	}
	scan->kept[scan->kept_count++] = row;
	rise(scan, scan->kept_count - 1);
}

static bool look_at(void *arg, const struct tally_buffer *buffer)
{
	struct top_scan *scan = arg;

	scan->all++;
	if (!filter_takes_pid(scan->asked, buffer->pid) ||
	    !filter_takes_pool(scan->asked, buffer->pool, buffer->pool_name) ||
	    !filter_takes_device(scan->asked, scan->snapshot, buffer->device) ||
	    !top_filter_process(&scan->filter, buffer->pid, buffer->comm) ||
	    !top_filter_pool(&scan->filter, buffer->pool, buffer->pool_name) ||
	    !top_filter_device(&scan->filter, scan->snapshot, buffer->device))
		return true;
	scan->matching++;
	scan->matching_bytes += buffer->size;
	keep(scan, buffer);
	return true;
}

static int by_place(const void *a, const void *b, void *arg)
{
	return compare(arg, a, b);
}

static void scan_all(void *arg)
{
	struct top_scan *scan = arg;
	uint64_t start_ns = top_now_ns();

	scan->kept_count = 0;
	scan->matching = scan->matching_bytes = scan->all = 0;
	scan->snapshot = tally_snapshot_get(scan->consumer);
	scan->realtime_ns = scan->snapshot->realtime_ns;
	tally_buffers_each(scan->consumer, look_at, scan);
	tally_snapshot_put(scan->snapshot);
	scan->snapshot = NULL;
	qsort_r(scan->kept, scan->kept_count, sizeof(*scan->kept), by_place, scan);
	scan->took_ns = top_now_ns() - start_ns;
}

/* ---- One scan after the other ---------------------------------------------------------------- */

void top_buffers_free(struct top_buffers *buffers)
{
	if (buffers->scanning.started)
		return; /* it is not waited for: this process ends */
	free(buffers->shown.kept);
	free(buffers->next.kept);
}

/* The cursor goes to where its buffer is by now. */
static void follow(struct top_list *list, const struct top_scan *before, const struct top_scan *now)
{
	const struct top_buffer *selected;
	size_t n;

	if (list->cursor == 0 || list->cursor >= before->kept_count)
		return;
	selected = &before->kept[list->cursor];
	for (n = 0; n < now->kept_count; n++) {
		const struct top_buffer *row = &now->kept[n];

		if (row->id == selected->id && row->region_id == selected->region_id &&
		    row->device == selected->device && row->pool == selected->pool) {
			list->cursor = n;
			return;
		}
	}
}

static void take_scan(struct top *top)
{
	struct top_buffers *buffers = &top->buffers;
	struct top_scan before = buffers->shown;

	if (!top_job_take(&buffers->scanning))
		return;
	buffers->shown = buffers->next;
	buffers->next = before;
	buffers->scanned_ns = top_now_ns();
	follow(&top->kept, &before, &buffers->shown);
}

static void scan_if_due(struct top *top, const struct tally_snapshot *snapshot)
{
	struct top_buffers *buffers = &top->buffers;
	struct top_scan *next = &buffers->next;
	uint64_t pause_ns = buffers->shown.took_ns * SCAN_SHARE;

	take_scan(top);
	if (buffers->scanning.started ||
	    (!buffers->stale && (buffers->snapshot_ns == snapshot->monotonic_ns ||
				 top_now_ns() < buffers->scanned_ns + pause_ns)))
		return;
	if (!next->kept)
		next->kept = calloc(TOP_BUFFERS_KEPT, sizeof(*next->kept));
	if (!next->kept)
		return;
	next->consumer = top->feed.consumer;
	next->asked = &top->asked;
	next->filter = top->model.filter;
	next->sort = buffers->sort;
	next->reversed = buffers->reversed;
	if (!top_job_start(&buffers->scanning, scan_all, next))
		return;
	buffers->stale = false;
	buffers->snapshot_ns = snapshot->monotonic_ns;
}

/* ---- Drawing --------------------------------------------------------------------------------- */

static void age(char text[TEXT_MAX], uint64_t ns)
{
	uint64_t s = ns / 1000000000u;

	if (s < 1)
		snprintf(text, TEXT_MAX, "%" PRIu64 " ms", ns / 1000000u);
	else if (s < 60)
		snprintf(text, TEXT_MAX, "%" PRIu64 ".%" PRIu64 " s", s, ns / 100000000u % 10);
	else if (s < 3600)
		snprintf(text, TEXT_MAX, "%" PRIu64 "m %02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, TEXT_MAX, "%" PRIu64 "h %02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(text, TEXT_MAX, "%" PRIu64 "d %02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

static void draw_row(const struct top_table *table, const struct top_buffer *row, uint64_t now_ns,
		     int y)
{
	char text[TEXT_MAX];

	top_cell_bytes(table, BUFFER_SIZE, y,
		       row->size > INT64_MAX ? INT64_MAX : (int64_t)row->size, false);
	age(text, now_ns > row->alloc_ns ? now_ns - row->alloc_ns : 0);
	top_cell(table, BUFFER_AGE, y, LOOK_PLAIN, "%s", text);
	top_cell(table, BUFFER_PID, y, LOOK_PLAIN, "%" PRIu32, row->pid);
	top_cell(table, BUFFER_COMMAND, y, LOOK_PLAIN, "%s", row->comm);
	top_cell(table, BUFFER_DEVICE, y, LOOK_PLAIN, "%" PRIu32, row->device);
	top_cell(table, BUFFER_POOL, y, LOOK_PLAIN, "%s", row->pool_name);
	top_cell(table, BUFFER_ID, y, LOOK_PLAIN, "0x%" PRIx64, row->id);
	top_cell(table, BUFFER_STATE, y, LOOK_WARN, "%s",
		 row->ended    ? "ended"
		 : row->unsure ? "unsure"
			       : "");
	top_cell(table, BUFFER_TAG, y, LOOK_PLAIN, "%s", row->tag);
}

static void draw_summary(const struct top *top, int y)
{
	const struct top_scan *scan = &top->buffers.shown;
	const char *most = scan->sort == BUFFER_AGE ? (scan->reversed ? "youngest" : "oldest")
						    : (scan->reversed ? "smallest" : "largest");
	char matching[TEXT_MAX], bytes[TEXT_MAX], since[TEXT_MAX], kept[TEXT_MAX];

	text_count(matching, scan->matching);
	text_count(kept, scan->kept_count);
	text_bytes(bytes, (int64_t)scan->matching_bytes);
	if (scan->matching > scan->kept_count)
		top_text(y, 0, top_columns(), LOOK_PLAIN, "%s live buffers, %s; listed: the %s %s",
			 matching, bytes, kept, most);
	else
		top_text(y, 0, top_columns(), LOOK_PLAIN, "%s live buffer%s, %s", matching,
			 scan->matching == 1 ? "" : "s", bytes);
	render_time(since, top->feed.attach_realtime_ns);
	render_time(kept, scan->realtime_ns);
	if (scan->took_ns * SCAN_SHARE > 2 * top->feed.interval_ns)
		top_text(y + 1, 0, top_columns(), LOOK_DIM,
			 "Kept since %s, with what the rings still held from before; as of %s.",
			 since, kept);
	else
		top_text(y + 1, 0, top_columns(), LOOK_DIM,
			 "Kept since %s, with what the rings still held from before.", since);
}

static void draw_rows(struct top *top, uint64_t now_ns)
{
	const struct top_scan *scan = &top->buffers.shown;
	struct top_list *list = &top->kept;
	size_t n;
	int row;

	for (row = 0; row < list->height; row++) {
		n = list->first + (size_t)row;
		if (n >= scan->kept_count)
			break;
		draw_row(&top->table, &scan->kept[n], now_ns, list->y + row);
		if (n == list->cursor)
			top_mark_row(list->y + row);
	}
}

void top_buffers_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height)
{
	const struct top_buffers *buffers = &top->buffers;

	if (top->feed.options.read_buffers)
		scan_if_due(top, snapshot);
	if (buffers->scanned_ns == 0) {
		top_text(y, 0, top_columns(), LOOK_PLAIN,
			 "Reading what the rings hold; the list begins with that.");
		return;
	}
	draw_summary(top, y);
	top_table_lay(&top->table, columns, BUFFER_COLUMNS, (1u << BUFFER_COLUMNS) - 1,
		      top_columns());
	top->table.y = y + 3;
	top_table_heads(&top->table, buffers->sort, buffers->reversed);
	top_list_place(&top->kept, buffers->shown.kept_count, y + 4, height - 4);
	draw_rows(top, snapshot->monotonic_ns);
	if (buffers->shown.kept_count == 0)
		top_text(y + 4, 1, top_columns(), LOOK_PLAIN,
			 buffers->shown.all ? "no buffer passes the filter (x clears it)"
					    : "no live buffer yet");
}
