/* SPDX-License-Identifier: Apache-2.0 */
/* tally run: the live line, on a terminal of which CMD has the foreground. */
#include <unistd.h>

#include "run.h"

static bool may_draw(void)
{
	return isatty(STDERR_FILENO) && tcgetpgrp(STDERR_FILENO) == getpgrp();
}

void run_clear_line(void)
{
	if (may_draw())
		fputs("\r\033[K", stderr);
}

void run_erase_line(struct run *run)
{
	if (run->line_shown) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	run->line_shown = false;
}

void run_draw_line(struct run *run)
{
	const struct tally_snapshot *snapshot;
	struct tally_totals sum;
	char held[TEXT_MAX], allocs[TEXT_MAX], rate[TEXT_MAX], line[256];
	size_t living = 0, width, n;

	if (!may_draw())
		return;
	snapshot = tally_snapshot_get(run->consumer);
	sum = render_sum(snapshot->pools, snapshot->pool_count);
	for (n = 0; n < snapshot->process_count; n++)
		living += snapshot->processes[n].end == TALLY_RUNNING;
	tally_snapshot_put(snapshot);
	text_bytes(held, sum.live_bytes);
	text_count(allocs, sum.allocations);
	text_short_count(rate, sum.allocations - run->line_allocs);
	run->line_allocs = sum.allocations;
	snprintf(line, sizeof(line), "tally: %zu process%s hold%s %s, %s allocations, %s/s", living,
		 living == 1 ? "" : "es", living == 1 ? "s" : "", held, allocs, rate);
	width = table_width(STDERR_FILENO) - 1;
	/* The cursor goes back, so that CMD's next line begins where it expects to. */
	fprintf(stderr, "\r%.*s\033[K\r", (int)width, line);
	fflush(stderr);
	run->line_shown = true;
}
