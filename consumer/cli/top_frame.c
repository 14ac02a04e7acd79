/* SPDX-License-Identifier: Apache-2.0 */
/* What is around the views of `tally top`: the head with its line about exactness, the foot, the
 * help. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "top.h"

#define ROWS_MIN 10
#define COLUMNS_MIN 40

void top_clock(char text[TEXT_MAX], uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000u);
	struct tm local;

	if (!localtime_r(&seconds, &local) || !strftime(text, TEXT_MAX, "%H:%M:%S", &local))
		snprintf(text, TEXT_MAX, "?");
}

/* ---- Head ------------------------------------------------------------------------------------ */

static int draw_tabs(const struct top *top)
{
	static const char *const names[VIEW_COUNT] = {
		[VIEW_MAIN] = "1 main",
		[VIEW_PROCESS] = "2 process",
		[VIEW_BUFFERS] = "3 buffers",
		[VIEW_COST] = "4 cost",
	};
	int x = top_text(0, 0, 10, LOOK_HEAD, "tally top") + 1, n;

	for (n = 0; n < VIEW_COUNT; n++)
		x += top_text(0, x, 16, (int)top->view == n ? LOOK_HEAD : LOOK_DIM,
			      (int)top->view == n ? "[%s]" : " %s ", names[n]);
	return x;
}

static void draw_title(const struct top *top, const struct tally_snapshot *snapshot)
{
	char now[TEXT_MAX];
	int x = draw_tabs(top);

	top_clock(now, snapshot->realtime_ns);
	top_text_right(0, x + 1, top_columns() - x - 1, LOOK_DIM, "every %g s  %s",
		       (double)top->feed.interval_ns / 1e9, now);
}

static void draw_summary(const struct tally_snapshot *snapshot)
{
	struct tally_totals all = render_sum(snapshot->pools, snapshot->pool_count);
	size_t ended = 0, n;
	char held[TEXT_MAX], text[TEXT_MAX], words[160];
	int used;

	for (n = 0; n < snapshot->process_count; n++)
		ended += snapshot->processes[n].end != TALLY_RUNNING;
	text_bytes(held, all.live_bytes);
	used = snprintf(words, sizeof(words), "%zu process%s", snapshot->process_count - ended,
			snapshot->process_count - ended == 1 ? "" : "es");
	if (ended)
		used += snprintf(words + used, sizeof(words) - (size_t)used, " and %zu ended",
				 ended);
	used += snprintf(words + used, sizeof(words) - (size_t)used, ", %zu device%s, %s%s held",
			 snapshot->device_count, snapshot->device_count == 1 ? "" : "s",
			 all.live_bytes != all.live_bytes_high ? ">=" : "", held);
	if (all.abandoned_bytes) {
		text_bytes(text, all.abandoned_bytes);
		snprintf(words + used, sizeof(words) - (size_t)used, ", %s abandoned", text);
	}
	top_text(1, 0, top_columns(), LOOK_PLAIN, "%s", words);
}

struct words {
	char text[320];
	size_t used;
	enum top_look look;
};

static void add(struct words *words, enum top_look look, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void add(struct words *words, enum top_look look, const char *format, ...)
{
	size_t room = sizeof(words->text) - words->used;
	va_list arguments;
	int length;

	if (words->used) {
		length = snprintf(words->text + words->used, room, "; ");
		words->used += (size_t)length < room ? (size_t)length : room - 1;
		room = sizeof(words->text) - words->used;
	}
	va_start(arguments, format);
	length = vsnprintf(words->text + words->used, room, format, arguments);
	va_end(arguments);
	words->used += (size_t)length < room ? (size_t)length : room - 1;
	words->look = look > words->look ? look : words->look;
}

static void add_losses(struct words *words, const struct top *top,
		       const struct tally_snapshot *snapshot)
{
	bool list = top->feed.options.read_buffers && snapshot->incomplete_since_realtime_ns;
	char lost[TEXT_MAX], since[TEXT_MAX];

	top_clock(since, snapshot->incomplete_since_realtime_ns);
	text_count(lost, snapshot->lost_records);
	if (snapshot->lost_records)
		add(words, LOOK_WARN, "exact totals, %s record%s lost", lost,
		    snapshot->lost_records == 1 ? "" : "s");
	else if (list || snapshot->buffers_left_out)
		add(words, LOOK_WARN, "exact totals");
	if (list)
		words->used += (size_t)snprintf(words->text + words->used,
						sizeof(words->text) - words->used,
						": buffer list incomplete since %s", since);
	if (snapshot->buffers_left_out) {
		text_count(lost, snapshot->buffers_left_out);
		add(words, LOOK_WARN, "%s buffers without a row, the table is full", lost);
	}
}

static void draw_exactness(const struct top *top, const struct tally_snapshot *snapshot)
{
	struct words words = { .look = LOOK_PLAIN };
	bool current = true, bounds = false;
	char text[TEXT_MAX];
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++) {
		const struct tally_totals *totals = &snapshot->pools[n].totals;

		current = current && totals->current;
		bounds = bounds || totals->live_bytes != totals->live_bytes_high;
	}
	if (top->feed.error)
		add(&words, LOOK_BAD, "as of the last look, the next one failed: %s",
		    strerror(-top->feed.error));
	if (snapshot->rejected_events) {
		text_count(text, snapshot->rejected_events);
		add(&words, LOOK_BAD, "not exact: %s event%s in no total (4 says whose)", text,
		    snapshot->rejected_events == 1 ? "" : "s");
	}
	if (!current)
		add(&words, LOOK_WARN, "not exact: some sums kept changing");
	if (snapshot->refused_files)
		add(&words, LOOK_WARN, "not complete: %" PRIu32 " file%s refused (4 says why)",
		    snapshot->refused_files, snapshot->refused_files == 1 ? "" : "s");
	if (bounds && current)
		add(&words, LOOK_PLAIN, "exact within bounds, >= is at least");
	add_losses(&words, top, snapshot);
	if (words.used == 0)
		add(&words, LOOK_PLAIN, snapshot->complete ? "exact" : "not complete");
	top_text(2, 0, top_columns(), words.look, "%s", words.text);
}

static bool draw_filter(const struct top *top, int y)
{
	const struct top_filter *filter = &top->model.filter;
	char text[256] = "";
	size_t used = 0;

	if (!top_filter_is_set(filter))
		return false;
	if (filter->pid)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "  pid %" PRIu32,
					 filter->pid);
	if (filter->text[0])
		used += (size_t)snprintf(text + used, sizeof(text) - used, "  \"%s\"",
					 filter->text);
	if (filter->device[0])
		used += (size_t)snprintf(text + used, sizeof(text) - used, "  device %s",
					 filter->device);
	if (filter->pool[0])
		snprintf(text + used, sizeof(text) - used, "  pool %s", filter->pool);
	top_text(y, 0, top_columns(), LOOK_HEAD, "only:%s  (x shows all)", text);
	return true;
}

/* ---- Foot ------------------------------------------------------------------------------------ */

char *top_prompt_text(struct top *top, size_t *ret_size)
{
	struct top_filter *filter = &top->model.filter;

	switch (top->prompt) {
	case PROMPT_DEVICE:
		*ret_size = sizeof(filter->device);
		return filter->device;
	case PROMPT_POOL:
		*ret_size = sizeof(filter->pool);
		return filter->pool;
	case PROMPT_TEXT:
	case PROMPT_NONE:
		break;
	}
	*ret_size = sizeof(filter->text);
	return filter->text;
}

static void draw_foot(struct top *top, int y)
{
	static const char *const prompts[] = {
		[PROMPT_TEXT] = "command or pid",
		[PROMPT_DEVICE] = "device, number or name",
		[PROMPT_POOL] = "pool, name or number",
	};
	static const char *const keys[VIEW_COUNT] = {
		[VIEW_MAIN] = "? help  q quit  Enter process  < > sort  r reverse  "
			      "/ filter  d device  p pool",
		[VIEW_PROCESS] = "? help  q quit  arrows scroll  1 or Esc back",
		[VIEW_BUFFERS] = "? help  q quit  < > sort  r reverse  / filter  d device  p pool",
		[VIEW_COST] = "? help  q quit  arrows scroll  1 or Esc back",
	};
	size_t size;

	if (top->prompt != PROMPT_NONE)
		top_text(y, 0, top_columns(), LOOK_HEAD, "show only %s: %s_  (Enter, Esc)",
			 prompts[top->prompt], top_prompt_text(top, &size));
	else if (top->message[0])
		top_text(y, 0, top_columns(), LOOK_WARN, "%s", top->message);
	else
		top_text(y, 0, top_columns(), LOOK_DIM, "%s",
			 top->help ? "q, Esc or ? leads back  arrows scroll" : keys[top->view]);
}

void top_help_draw(struct top *top, int y, int height)
{
	static const char *const lines[] = {
		"1 2 3 4      main, the selected process, live buffers, cost and losses",
		"m Enter b c  the same; Esc leads back to main",
		"Up Down j k PgUp PgDn Home End   select, or scroll",
		"Tab          scroll devices, where there are more than fit, or processes",
		"< >          sort by the column to the left, to the right;  r  the other way",
		"/            show only commands that contain a text, or pids that begin so",
		"d  p         show only a device (number or part of its name), only a pool",
		"x            show all again",
		"Ctrl-L       draw the screen anew;  q  quit",
		"mouse        click: select, again: its view; heads: sort; wheel: scroll",
		"",
		"HELD         bytes held now; >= is at least, as a writer was at work",
		"PEAK         most held since the start; >= where several had a part in it",
		"ABANDONED    what a process held when it ended without freeing it: in no HELD",
		"ALLOC/S      allocations per second, over about a second; - not known",
		"LOST         events without a record: they cost detail, totals have them",
		"bar          held, of the capacity that the program has described",
		"last 2 min   most held by that device, against the highest of those minutes",
	};
	struct top_list *list = &top->help_list;
	size_t line = 0, n;

	list->plain = true;
	list->y = y;
	list->height = height;
	for (n = 0; n < sizeof(lines) / sizeof(lines[0]); n++)
		top_line(list, &line, LOOK_PLAIN, "%s", lines[n]);
	top_list_place(list, line, y, height);
}

/* ---- All ------------------------------------------------------------------------------------- */

static void draw_view(struct top *top, const struct tally_snapshot *snapshot, int y, int height)
{
	if (top->help) {
		top_help_draw(top, y, height);
		return;
	}
	top->table.count = 0; /* no heads to click */
	switch (top->view) {
	case VIEW_PROCESS:
		top_process_draw(top, snapshot, y, height);
		break;
	case VIEW_BUFFERS:
		top_buffers_draw(top, snapshot, y, height);
		break;
	case VIEW_COST:
		top_cost_draw(top, snapshot, y, height);
		break;
	case VIEW_MAIN:
	case VIEW_COUNT:
		top_main_draw(top, snapshot, y, height);
		break;
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

void top_frame_draw(struct top *top)
{
	const struct tally_snapshot *snapshot = tally_snapshot_get(top->feed.consumer);
	uint64_t start_ns = cpu_ns();
	int rows = top_rows(), y = 4;

	top_model_take(&top->model, snapshot);
	top_histories_take(&top->histories, snapshot);
	top_begin();
	if (rows < ROWS_MIN || top_columns() < COLUMNS_MIN) {
		top_text(0, 0, top_columns(), LOOK_PLAIN, "terminal too small");
		top_text(1, 0, top_columns(), LOOK_PLAIN, "(%d x %d wanted)", COLUMNS_MIN,
			 ROWS_MIN);
	} else {
		draw_title(top, snapshot);
		draw_summary(snapshot);
		draw_exactness(top, snapshot);
		if (draw_filter(top, 3))
			y = 5;
		draw_view(top, snapshot, y, rows - y - 2);
		draw_foot(top, rows - 1);
	}
	top_end();
	top->model.snapshot = NULL;
	tally_snapshot_put(snapshot);
	top->draw_ns = cpu_ns() - start_ns;
}
