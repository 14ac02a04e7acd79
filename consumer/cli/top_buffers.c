/* SPDX-License-Identifier: Apache-2.0 */
/* The buffers view of `tally top`: of all that live the largest or oldest, so many as one may want
 * to scroll through. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
	[BUFFER_SIZE] = { "SIZE", 8, 0, false, 100 },
	[BUFFER_AGE] = { "AGE", 7, 0, false, 99 },
	[BUFFER_PID] = { "PID", 7, 0, false, 98 },
	[BUFFER_COMMAND] = { "COMMAND", 8, 15, true, 90 },
	[BUFFER_DEVICE] = { "DEV", 3, 5, false, 80 },
	[BUFFER_POOL] = { "POOL", 8, 12, true, 85 },
	[BUFFER_ID] = { "BUFFER", 14, 18, false, 60 },
	[BUFFER_STATE] = { "STATE", 6, 0, true, 95 },
	[BUFFER_TAG] = { "TAG", 8, 55, true, 70 },
};

/* ---- The few of many: a heap whose top is the first to go ------------------------------------ */

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* Below 0: `a` stands above `b` in the list. */
static int compare(const struct top_buffers *buffers, const struct top_buffer *a,
		   const struct top_buffer *b)
{
	int order = buffers->sort == BUFFER_AGE ? COMPARE(a->alloc_ns, b->alloc_ns)
						: COMPARE(b->size, a->size);

	if (order != 0)
		return buffers->reversed ? -order : order;
	order = COMPARE(a->pid, b->pid);
	return order != 0 ? order : COMPARE(a->id, b->id);
}

static void swap(struct top_buffer *a, struct top_buffer *b)
{
	struct top_buffer other = *a;

	*a = *b;
	*b = other;
}

static void sink(struct top_buffers *buffers, size_t at)
{
	struct top_buffer *kept = buffers->kept;

	for (;;) {
		size_t last = at, n;

		for (n = at * 2 + 1; n <= at * 2 + 2 && n < buffers->kept_count; n++)
			if (compare(buffers, &kept[n], &kept[last]) > 0)
				last = n;
		if (last == at)
			return;
		swap(&kept[at], &kept[last]);
		at = last;
	}
}

static void rise(struct top_buffers *buffers, size_t at)
{
	while (at > 0 && compare(buffers, &buffers->kept[at], &buffers->kept[(at - 1) / 2]) > 0) {
		swap(&buffers->kept[at], &buffers->kept[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

static void keep(struct top_buffers *buffers, const struct tally_buffer *buffer)
{
	struct top_buffer row = {
		.id = buffer->buffer_id,
		.size = buffer->size,
		.region_id = buffer->region_id,
		.alloc_ns = buffer->alloc_monotonic_ns,
		.pid = buffer->pid,
		.device = buffer->device,
		.pool = buffer->pool,
		.ended = buffer->ended,
		.unsure = buffer->unsure,
	};
	bool full = buffers->kept_count == TOP_BUFFERS_KEPT;

	if (full && compare(buffers, &row, &buffers->kept[0]) >= 0)
		return; /* the last of them stands above it */
	snprintf(row.comm, sizeof(row.comm), "%s", buffer->comm);
	snprintf(row.pool_name, sizeof(row.pool_name), "%s", buffer->pool_name);
	snprintf(row.tag, sizeof(row.tag), "%s", buffer->tag);
	if (full) {
		buffers->kept[0] = row;
		sink(buffers, 0);
		return;
	}
	buffers->kept[buffers->kept_count++] = row;
	rise(buffers, buffers->kept_count - 1);
}

static bool look_at(void *arg, const struct tally_buffer *buffer)
{
	struct top_buffers *buffers = arg;
	const struct top_filter *filter = buffers->filter;

	buffers->all++;
	if (!filter_takes_pid(buffers->asked, buffer->pid) ||
	    !filter_takes_pool(buffers->asked, buffer->pool, buffer->pool_name) ||
	    !filter_takes_device(buffers->asked, buffers->snapshot, buffer->device) ||
	    !top_filter_process(filter, buffer->pid, buffer->comm) ||
	    !top_filter_pool(filter, buffer->pool, buffer->pool_name) ||
	    !top_filter_device(filter, buffers->snapshot, buffer->device))
		return true;
	buffers->matching++;
	buffers->matching_bytes += buffer->size;
	keep(buffers, buffer);
	return true;
}

static int by_place(const void *a, const void *b, void *arg)
{
	return compare(arg, a, b);
}

/* Its place in the list afterwards is that of the buffer that was selected. */
static void scan(struct top *top)
{
	struct top_buffers *buffers = &top->buffers;
	struct top_buffer selected = { 0 };
	bool selects = top->kept.cursor > 0 && top->kept.cursor < buffers->kept_count;
	uint64_t start_ns = top_now_ns();
	size_t n;

	if (selects)
		selected = buffers->kept[top->kept.cursor];
	buffers->kept_count = 0;
	buffers->matching = buffers->matching_bytes = buffers->all = 0;
	tally_buffers_each(top->feed.consumer, look_at, buffers);
	qsort_r(buffers->kept, buffers->kept_count, sizeof(*buffers->kept), by_place, buffers);
	for (n = 0; n < buffers->kept_count && selects; n++) {
		const struct top_buffer *row = &buffers->kept[n];

		if (row->id == selected.id && row->region_id == selected.region_id &&
		    row->device == selected.device && row->pool == selected.pool) {
			top->kept.cursor = n;
			break;
		}
	}
	buffers->stale = false;
	buffers->scanned_ns = top_now_ns();
	buffers->scanned_realtime_ns = buffers->snapshot->realtime_ns;
	buffers->scan_ns = buffers->scanned_ns - start_ns;
	buffers->snapshot_ns = buffers->snapshot->monotonic_ns;
}

static void scan_if_due(struct top *top, const struct tally_snapshot *snapshot)
{
	struct top_buffers *buffers = &top->buffers;

	if (!buffers->kept)
		buffers->kept = calloc(TOP_BUFFERS_KEPT, sizeof(*buffers->kept));
	if (!buffers->kept)
		return;
	buffers->asked = &top->asked;
	buffers->filter = &top->model.filter;
	buffers->snapshot = snapshot;
	if (buffers->stale || (buffers->snapshot_ns != snapshot->monotonic_ns &&
			       top_now_ns() >= buffers->scanned_ns + buffers->scan_ns * SCAN_SHARE))
		scan(top);
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
	const struct top_buffers *buffers = &top->buffers;
	const char *most = buffers->sort == BUFFER_AGE
				   ? (buffers->reversed ? "youngest" : "oldest")
				   : (buffers->reversed ? "smallest" : "largest");
	char matching[TEXT_MAX], bytes[TEXT_MAX], since[TEXT_MAX], kept[TEXT_MAX];

	text_count(matching, buffers->matching);
	text_count(kept, buffers->kept_count);
	text_bytes(bytes, (int64_t)buffers->matching_bytes);
	render_time(since, top->feed.attach_realtime_ns);
	top_text(y, 0, top_columns(), LOOK_PLAIN, "%s live buffer%s, %s%s%s%s%s", matching,
		 buffers->matching == 1 ? "" : "s", bytes,
		 buffers->matching > buffers->kept_count ? "; listed: the " : "",
		 buffers->matching > buffers->kept_count ? kept : "",
		 buffers->matching > buffers->kept_count ? " " : "",
		 buffers->matching > buffers->kept_count ? most : "");
	top_text(y + 1, 0, top_columns(), LOOK_DIM,
		 "Listed since %s, with what the rings still held from before.", since);
}

void top_buffers_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height)
{
	struct top_buffers *buffers = &top->buffers;
	size_t n;
	int row;

	if (!top->feed.options.read_buffers)
		return;
	scan_if_due(top, snapshot);
	draw_summary(top, y);
	top_table_lay(&top->table, columns, BUFFER_COLUMNS, (1u << BUFFER_COLUMNS) - 1,
		      top_columns());
	top->table.y = y + 3;
	top_table_heads(&top->table, buffers->sort, buffers->reversed);
	top_list_place(&top->kept, buffers->kept_count, y + 4, height - 4);
	for (row = 0; row < top->kept.height; row++) {
		n = top->kept.first + (size_t)row;
		if (n >= buffers->kept_count)
			break;
		draw_row(&top->table, &buffers->kept[n], snapshot->monotonic_ns, top->kept.y + row);
		if (n == top->kept.cursor)
			top_mark_row(top->kept.y + row);
	}
	if (buffers->kept_count == 0)
		top_text(y + 4, 1, top_columns(), LOOK_PLAIN,
			 buffers->all ? "no buffer passes the filter (x clears it)"
				      : "no live buffer yet");
}
