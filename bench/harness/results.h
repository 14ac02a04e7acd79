/* SPDX-License-Identifier: Apache-2.0 */
/* The results of a program as they are kept until its end, for those that print them.
 */
#ifndef BENCH_HARNESS_RESULTS_H
#define BENCH_HARNESS_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/harness/machine.h"
#include "bench/harness/result.h"

enum row_kind { ROW_FIGURE, ROW_SPREAD, ROW_VALUE, ROW_ABSENT };

/* One figure at one place. Numbers that a kind does not have are NAN. */
struct row {
	enum row_kind kind;
	const char *name;
	struct parameter parameters[PARAMETERS];
	enum place place;
	const struct figure *figure; /* that the ratio is worked out from */
	double median, lower, upper, from, to, confidence, p90, p99, p999, max, ratio;
	double median_disturbed;
	size_t count, disturbed, dropped;
	bool quiet; /* the numbers are of quiet samples alone */
	struct spread_summary *spread;
	char *absent;
};

struct answer {
	const struct question *question;
	struct row *rows;
	size_t row_count;
	struct goal *goals;
	size_t goal_count;
	char **notes;
	size_t note_count;
};

struct results {
	const char *program;
	bool quick;
	const char *only; /* NULL: everything */
	uint64_t time_realtime_ns;
	struct machine begin, end;
	struct answer *answers;
	size_t answer_count;
};

/* Whether the goal is met. It has a value. */
bool goal_met(const struct goal *goal);

/* "at most 4 ns" */
void goal_limit(const struct goal *goal, char *words, size_t size);

/* What compiled the harness. */
const char *results_compiler(void);

void print_table(const struct results *results);

/* To a file, "-" for stdout. 0 or a negative errno. */
int write_json(const struct results *results, const char *path);

#endif
