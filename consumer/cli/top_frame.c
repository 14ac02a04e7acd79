/* SPDX-License-Identifier: Apache-2.0 */
/* What is around the views of `tally top`: the head with its line about exactness, the foot, the
 * help. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "top.h"

#define ROWS_MIN 10
#define COLUMNS_MIN 40

#define LIST_KEYS "< > sort  r reverse  / filter  d device  p pool"
#define MAIN_KEYS "? help  q quit  Enter process  " LIST_KEYS
#define BUFFERS_KEYS "? help  q quit  " LIST_KEYS

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

	render_time(now, snapshot->realtime_ns);
	if (top_columns() - x > 22)
		top_text_right(0, x + 1, top_columns() - x - 1, LOOK_DIM, "every %g s  %s",
			       (double)top->feed.interval_ns / 1e9, now);
	else
		top_text_right(0, x + 1, top_columns() - x - 1, LOOK_DIM, "%s", now);
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

static void draw_exactness(const struct top *top, const struct tally_snapshot *snapshot)
{
	char words[EXACTNESS_MAX];

	render_exactness(words, sizeof(words), snapshot);
	if (top->feed.error)
		top_text(2, 0, top_columns(), LOOK_BAD, "as of then; looking again failed: %s",
			 strerror(-top->feed.error));
	else
		top_text(2, 0, top_columns(), strcmp(words, "exact") == 0 ? LOOK_PLAIN : LOOK_WARN,
			 "%s", words);
}

static bool draw_filter(const struct top *top, int y)
{
	const struct top_filter *filter = &top->model.filter;
	char text[256] = "";
	size_t used = 0;

	if (!top_filter_is_set(filter))
		return false;
	if (filter->text[0])
		used += (size_t)snprintf(text + used, sizeof(text) - used, "  \"%s\"",
					 filter->text);
	if (filter->device[0])
		used += (size_t)snprintf(text + used, sizeof(text) - used, "  device %s",
					 filter->device);
	if (filter->pool[0])
		snprintf(text + used, sizeof(text) - used, "  pool %s", filter->pool);
	top_text(y, 0, top_columns(), LOOK_HEAD, "only%s  (x shows all)", text);
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
		[VIEW_MAIN] = MAIN_KEYS,
		[VIEW_PROCESS] = "? help  q quit  arrows scroll  1 or Esc back",
		[VIEW_BUFFERS] = BUFFERS_KEYS,
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
		"1 2 3 4      main, selected process, live buffers, cost; or m Enter b c; Esc: 1",
		"Up Down j k PgUp PgDn Home End   select, or scroll",
		"Tab          scroll devices, where there are more than fit, or processes",
		"< >          sort by the column to the left, to the right;  r  the other way",
		"/            show only commands that contain a text, or pids that begin so",
		"d  p  x      show only a device (number, part of its name); a pool; all again",
		"Ctrl-L       draw the screen anew;  q  quit",
		"mouse        click: select, again: its view; heads: sort; wheel: scroll",
		"",
		"HELD         bytes held now; >= is at least, as a writer was at work",
		"PEAK         most held since the start; >= where several had a part in it",
		"DRAM, L1     sums of parts: trace is in DRAM; cb, kernel, l1_small are in L1",
		"ABANDONED    what a process held when it ended without freeing it: in no HELD",
		"ALLOC/S      allocations per second, over about a second; - not known",
		"LOST         events without a record: they cost detail, totals have them",
		"STATE        of a buffer: ended, with its process; unsure, as records were lost",
		"bar          held, of the capacity that the program has described",
		"last 2 min   most held there, against the highest of those minutes",
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

/* That there is more than fits, where nothing else tells. */
static void draw_rest(const struct top *top, int y)
{
	const struct top_list *list = top->help		       ? &top->help_list
				      : top->view == VIEW_COST ? &top->cost
							       : &top->process;
	size_t end = list->first + (size_t)list->height;

	if ((top->help || top->view == VIEW_COST || top->view == VIEW_PROCESS) && list->count > end)
		top_text_right(y, 0, top_columns(), LOOK_DIM, "%zu more line%s below",
			       list->count - end, list->count - end == 1 ? "" : "s");
}

static void draw(struct top *top, const struct tally_snapshot *snapshot)
{
	int rows = top_rows(), y = 4;

	top_model_take(&top->model, snapshot);
	top_histories_take(top, snapshot);
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
		draw_rest(top, rows - 2);
		draw_foot(top, rows - 1);
	}
	top_end();
	top->model.snapshot = NULL;
}

void top_frame_draw(struct top *top)
{
	const struct tally_snapshot *all = tally_snapshot_get(top->feed.consumer);
	uint64_t start_ns = cpu_ns();
	struct tally_snapshot *chosen = NULL;

	if (filter_is_set(&top->asked))
		chosen = filter_snapshot(&top->asked, all);
	draw(top, chosen ? chosen : all); /* rather all than nothing, without memory */
	filter_free(chosen);
	tally_snapshot_put(all);
	top->draw_ns = cpu_ns() - start_ns;
}
