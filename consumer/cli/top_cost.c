/* SPDX-License-Identifier: Apache-2.0 */
/* The view of `tally top` on itself: what was read, what was lost and why, what was refused, and
 * what watching costs. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "top.h"

struct losses {
	uint64_t overwritten, unrecorded, rejected, skipped, quarantined;
};

static struct losses add_up(const struct tally_snapshot *snapshot)
{
	struct losses sum = { 0 };
	size_t n;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		sum.overwritten += process->lost_overwritten;
		sum.unrecorded += process->lost_unrecorded;
		sum.rejected += process->rejected_events;
		sum.skipped += process->skipped_records;
		sum.quarantined += process->quarantined_lanes;
	}
	return sum;
}

static void head(const struct top_list *list, size_t *line, const char *words)
{
	if (*line)
		top_line(list, line, LOOK_PLAIN, "%s", "");
	top_line(list, line, LOOK_HEAD, "%s", words);
}

static void count(const struct top_list *list, size_t *line, const char *words, uint64_t value)
{
	char text[TEXT_MAX];

	text_count(text, value);
	top_line(list, line, value ? LOOK_WARN : LOOK_PLAIN, "  %-44s %16s", words, text);
}

/* A message in as many lines as it needs. */
static void wrap(const struct top_list *list, size_t *line, const char *text)
{
	size_t width = (size_t)top_columns() - 4;
	size_t left = strlen(text);

	while (left > 0) {
		size_t take = left;

		if (take > width) {
			for (take = width; take > 0 && text[take] != ' '; take--)
				;
			take = take ? take : width;
		}
		top_line(list, line, LOOK_PLAIN, "    %.*s", (int)take, text);
		text += take;
		left -= take;
		while (*text == ' ') {
			text++;
			left--;
		}
	}
}

/* All of it, where it does not fit above. */
static void draw_exactness(const struct top_list *list, size_t *line,
			   const struct tally_snapshot *snapshot)
{
	char words[EXACTNESS_MAX];

	render_exactness(words, sizeof(words), snapshot);
	if (strlen(words) <= (size_t)top_columns())
		return;
	head(list, line, "Exactness");
	wrap(list, line, words);
}

static void draw_reading(const struct top *top, size_t *line, const struct tally_snapshot *snapshot)
{
	const struct top_list *list = &top->cost;
	const struct losses sum = add_up(snapshot);
	char text[TEXT_MAX], since[TEXT_MAX];

	head(list, line, "Records and events");
	if (top->feed.options.read_buffers) {
		text_count(text, snapshot->records_read);
		render_time(since, top->feed.attach_realtime_ns);
		top_line(list, line, LOOK_PLAIN, "  %-44s %16s", "read since", since);
		top_line(list, line, LOOK_PLAIN, "  %-44s %16s", "read", text);
	} else {
		top_line(list, line, LOOK_PLAIN,
			 "  not read: totals come from ledgers (the buffers view, 3, reads them)");
	}
	count(list, line, "lost: overwritten before they were read", sum.overwritten);
	count(list, line, "lost: counted by the producer alone", sum.unrecorded);
	count(list, line, "skipped: of a kind not known here", sum.skipped);
	count(list, line, "in no total: out of range, or no room", sum.rejected);
	count(list, line, "rings not to be trusted, quarantined", sum.quarantined);
	if (top->feed.options.read_buffers)
		count(list, line, "buffers without a row, the table being full",
		      snapshot->buffers_left_out);
}

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void draw_own(const struct top *top, size_t *line)
{
	const struct top_list *list = &top->cost;
	const struct top_feed *feed = &top->feed;
	uint64_t since_ns = top_now_ns() - feed->start_ns;
	uint64_t bytes = resident_bytes();
	char text[TEXT_MAX];

	head(list, line, "tally itself");
	top_line(list, line, LOOK_PLAIN, "  %-44s %14.1f %%", "processor, since the last look",
		 feed->cpu_share * 100);
	top_line(list, line, LOOK_PLAIN, "  %-44s %14.1f %%", "processor, since it was started",
		 since_ns ? (double)feed->cpu_ns * 100 / (double)since_ns : 0);
	if (bytes) {
		text_bytes(text, (int64_t)bytes);
		top_line(list, line, LOOK_PLAIN, "  %-44s %16s", "memory", text);
	}
	if (feed->options.read_buffers)
		top_line(list, line, LOOK_PLAIN, "  %-44s %16s", "the last look", "in its thread");
	else
		top_line(list, line, LOOK_PLAIN, "  %-44s %13.2f ms", "the last look",
			 (double)feed->look_ns / 1e6);
	top_line(list, line, LOOK_PLAIN, "  %-44s %13.2f ms", "the last redraw, of processor time",
		 (double)top->draw_ns / 1e6);
	if (top->buffers.shown.took_ns)
		top_line(list, line, LOOK_PLAIN, "  %-44s %13.2f ms", "the last scan of buffers",
			 (double)top->buffers.shown.took_ns / 1e6);
}

static void draw_refused(struct top *top, size_t *line)
{
	const struct top_list *list = &top->cost;
	struct top_feed *feed = &top->feed;
	size_t n;

	pthread_mutex_lock(&feed->lock);
	if (feed->refused_count)
		head(list, line, "Refused files");
	for (n = 0; n < feed->refused_count && n < TOP_REFUSED_KEPT; n++) {
		top_line(list, line, LOOK_WARN, "  %s", feed->refused[n].name);
		wrap(list, line, feed->refused[n].message);
	}
	if (feed->refused_count > TOP_REFUSED_KEPT)
		top_line(list, line, LOOK_PLAIN, "  and %zu more",
			 feed->refused_count - TOP_REFUSED_KEPT);
	pthread_mutex_unlock(&feed->lock);
}

static bool has_losses(const struct tally_process_view *process)
{
	return process->lost_records || process->rejected_events || process->skipped_records ||
	       process->quarantined_lanes;
}

static void draw_processes(const struct top_list *list, size_t *line,
			   const struct tally_snapshot *snapshot)
{
	bool any = false;
	size_t n;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];
		char overwritten[TEXT_MAX], unrecorded[TEXT_MAX], rejected[TEXT_MAX];
		char skipped[TEXT_MAX];

		if (!has_losses(process))
			continue;
		if (!any) {
			head(list, line, "By process");
			top_line(list, line, LOOK_DIM, "  %7s %-12.12s %11s %11s %9s %8s %11s",
				 "PID", "COMMAND", "OVERWRITTEN", "UNRECORDED", "IN NONE",
				 "SKIPPED", "QUARANTINED");
		}
		any = true;
		text_short_count(overwritten, process->lost_overwritten);
		text_short_count(unrecorded, process->lost_unrecorded);
		text_short_count(rejected, process->rejected_events);
		text_short_count(skipped, process->skipped_records);
		top_line(list, line, LOOK_PLAIN,
			 "  %7" PRIu32 " %-12.12s %11s %11s %9s %8s %11" PRIu32, process->pid,
			 process->comm, overwritten, unrecorded, rejected, skipped,
			 process->quarantined_lanes);
		if (process->quarantine)
			wrap(list, line, process->quarantine);
	}
}

void top_cost_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height)
{
	struct top_list *list = &top->cost;
	size_t line = 0;

	list->plain = true;
	list->y = y;
	list->height = height;
	draw_exactness(list, &line, snapshot);
	draw_reading(top, &line, snapshot);
	draw_own(top, &line);
	draw_refused(top, &line);
	draw_processes(list, &line, snapshot);
	top_list_place(list, line, y, height);
}
