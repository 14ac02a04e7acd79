/* SPDX-License-Identifier: Apache-2.0 */
/* What a program of bench/ answers: questions, figures under them, goals.
 *
 *	static const struct question cost = { .id = "push_cost", .words = "What does a push cost?",
 *					      .unit = "ns", .base = "floor" };
 *	static struct figure push = { .name = "push" };
 *
 *	bench_begin(argc, argv, "push");
 *	for (round = 0; round < bench_rounds(ROUNDS); round++) {
 *		bench_progress("push", round, bench_rounds(ROUNDS));
 *		figure_time(&push, time_push);
 *	}
 *	result_figure(&cost, &push);
 *	result_goal(&cost, &(struct goal){ .words = "push - floor", ... });
 *	return bench_end();
 *
 * bench_end() prints a table on stdout, with progress on stderr before it when that is a terminal,
 * and with --json FILE writes the same as JSON (tests/schemas/bench.json; `-` is stdout, then
 * without the table). One thread calls these functions. Words are copied; questions, figures,
 * spreads and the names in parameters are not, and live until bench_end().
 */
#ifndef BENCH_HARNESS_RESULT_H
#define BENCH_HARNESS_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/harness/figure.h"
#include "bench/harness/spread.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The program ----------------------------------------------------------------------------- */

/* Reads the options: --quick, --only SUBSTRING, --json FILE, --help. Ends the program, 2, on any
 * other. `program` is its name in bench/. */
void bench_begin(int argc, char **argv, const char *program);

/* Whether few rounds are wanted: for a test or a gate, at most some 10 s for the whole program. */
bool bench_quick(void);

/* `full`, or with --quick about a tenth of it, but no less than ROUNDS_MIN + 2 of them. */
size_t bench_rounds(size_t full);

/* Whether what has this name is to be measured (--only). */
bool bench_wanted(const char *name);

/* Says how far `what` has come. */
void bench_progress(const char *what, size_t done, size_t of);

/* Something went wrong that makes all figures worthless, as a record that did not arrive: says so
 * on stderr; the exit status of bench_end() will be 1. printf's format. */
__attribute__((format(printf, 1, 2))) void bench_fail(const char *format, ...);

/* Prints, writes JSON, and returns the exit status: 0, or 1 after bench_fail() or when the JSON
 * cannot be written. A goal that is missed is no error. */
int bench_end(void);

/* ---- Questions ------------------------------------------------------------------------------- */

struct question {
	const char *id;	   /* lower case, `_`; no other question of bench/ has it */
	const char *words; /* that a user would ask */
	const char *unit;  /* of all figures: "ns", "M records/s", "bytes" */
	bool more;	   /* is better */
	const char *base;  /* name of a figure that others are divided by, or NULL. They need the
			      same parameters, or the base has none. */
	bool interval;	   /* the table has the median's interval, not the middle half */
};

/* A figure's median and quartiles, a line for each place that was seen. No samples: as absent. */
void result_figure(const struct question *question, const struct figure *figure);

/* A distribution of times. The question's unit is "ns". */
void result_spread(const struct question *question, const struct spread *spread);

/* One number that needs no median: bytes, instructions, a slope. parameters: NULL, or PARAMETERS
 * of them at most, the last with no name. */
void result_value(const struct question *question, const char *name,
		  const struct parameter *parameters, double value);

/* What could not be measured, and why: "not installed (make bench-deps)". */
void result_absent(const struct question *question, const char *name,
		   const struct parameter *parameters, const char *why);

/* What must hold. */
struct goal {
	const char *words; /* of the value: "push - floor" */
	double value;	   /* NAN: could not be judged */
	const char *unit;  /* NULL: a ratio */
	double limit;
	bool at_least; /* else at most */
	bool sharp;    /* the limit itself is not enough */
};

void result_goal(const struct question *question, const struct goal *goal);

/* A line of explanation under the question. printf's format. */
__attribute__((format(printf, 2, 3))) void result_note(const struct question *question,
						       const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
