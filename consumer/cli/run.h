/* SPDX-License-Identifier: Apache-2.0 */
/* tally run: what is known of a run, and what is said of it meanwhile and at its end. */
#ifndef RUN_H
#define RUN_H

#include "cli.h"

struct run {
	char **command;
	const char *json_name; /* NULL: none */
	FILE *json;
	uint64_t run_id;
	struct tally_consumer *consumer;
	struct child child;
	uint64_t start_ns, elapsed_ns;
	bool line_shown;
	uint64_t line_allocs;
};

/* ---- run_line.c: a line on the terminal, over and over, while CMD runs in the foreground ----- */

void run_draw_line(struct run *run);
void run_erase_line(struct run *run);

/* The same for a thread beside, before it says something. */
void run_clear_line(void);

/* ---- run_report.c ---------------------------------------------------------------------------- */

/* True if the report was written whole. With --json stderr is CMD's alone. */
bool run_report(const struct run *run);

#endif
