/* SPDX-License-Identifier: Apache-2.0 */
/* Collects what a program finds out until its end; its options. */
#include "bench/harness/result.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness/results.h"

static struct results results;
static const char *json_path;
static bool failed, progress_shown;

/* ---- The program ----------------------------------------------------------------------------- */

static _Noreturn void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: bench/%s [--quick] [--only SUBSTRING] [--json FILE]\n"
		"  --quick            few rounds: less certain figures, in seconds\n"
		"  --only SUBSTRING   of what can be left out, measure what has this in its name\n"
		"  --json FILE        write the results as JSON, too; -: instead, on stdout\n",
		results.program);
	exit(status);
}

void bench_begin(int argc, char **argv, const char *program)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "only", required_argument, NULL, 'o' },
		{ "json", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct timespec now;
	int option;

	results.program = program;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (option) {
		case 'q':
			results.quick = true;
			break;
		case 'o':
			results.only = optarg;
			break;
		case 'j':
			json_path = optarg;
			break;
		case 'h':
			usage(0);
		default:
			usage(2);
		}
	if (optind < argc)
		usage(2);
	clock_gettime(CLOCK_REALTIME, &now);
	results.time_realtime_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	machine_look(&results.begin);
	stamp_tick_ns();
}

bool bench_quick(void)
{
	return results.quick;
}

size_t bench_rounds(size_t full)
{
	size_t few = full / 10 | 1;

	if (few < ROUNDS_MIN + 2)
		few = ROUNDS_MIN + 2;
	return results.quick && few < full ? few : full;
}

bool bench_wanted(const char *name)
{
	return !results.only || strstr(name, results.only);
}

void bench_progress(const char *what, size_t done, size_t of)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%s: %s %zu of %zu", results.program, what, done, of);
	fflush(stderr);
	progress_shown = true;
}

static void progress_over(void)
{
	if (progress_shown)
		fprintf(stderr, "\r\033[K");
	progress_shown = false;
}

void bench_fail(const char *format, ...)
{
	va_list values;

	progress_over();
	fprintf(stderr, "bench/%s: ", results.program);
	va_start(values, format);
	vfprintf(stderr, format, values);
	va_end(values);
	fprintf(stderr, "\n");
	failed = true;
}

int bench_end(void)
{
	int error = 0;

	progress_over();
	machine_look(&results.end);
	if (!json_path || strcmp(json_path, "-") != 0)
		print_table(&results);
	if (json_path)
		error = write_json(&results, json_path);
	if (error)
		bench_fail("%s: %s", json_path, strerror(-error));
	if (fflush(stdout) != 0)
		failed = true;
	return failed ? 1 : 0;
}

/* ---- Collecting ------------------------------------------------------------------------------ */

/* Room for one more, zeroed. */
static void *grow(void *items, size_t *count, size_t size)
{
	char *more = realloc(items, (*count + 1) * size);

	if (!more) {
		fprintf(stderr, "bench: out of memory\n");
		exit(1);
	}
	memset(more + *count * size, 0, size);
	(*count)++;
	return more;
}

static struct answer *answer_to(const struct question *question)
{
	size_t i;

	for (i = 0; i < results.answer_count; i++)
		if (results.answers[i].question == question)
			return &results.answers[i];
	results.answers = grow(results.answers, &results.answer_count, sizeof(struct answer));
	results.answers[i].question = question;
	return &results.answers[i];
}

static struct row *add_row(const struct question *question, enum row_kind kind, const char *name,
			   const struct parameter *parameters)
{
	struct answer *answer = answer_to(question);
	struct row *row;
	int i;

	answer->rows = grow(answer->rows, &answer->row_count, sizeof(struct row));
	row = &answer->rows[answer->row_count - 1];
	row->kind = kind;
	row->name = name;
	for (i = 0; parameters && i < PARAMETERS && parameters[i].name; i++)
		row->parameters[i] = parameters[i];
	row->median = row->lower = row->upper = row->from = row->to = row->confidence = row->p90 =
		row->p99 = row->p999 = row->max = row->ratio = row->median_disturbed = NAN;
	return row;
}

static bool same_parameters(const struct parameter *a, const struct parameter *b)
{
	int i;

	for (i = 0; i < PARAMETERS; i++) {
		if (!a[i].name || !b[i].name)
			return a[i].name == b[i].name;
		if (strcmp(a[i].name, b[i].name) != 0 || a[i].value != b[i].value)
			return false;
	}
	return true;
}

/* The figure that this one is divided by, which was reported before it, or NULL. */
static const struct figure *base_of(const struct question *question, const struct figure *figure)
{
	const struct answer *answer = answer_to(question);
	size_t i;

	for (i = 0; i < answer->row_count && question->base; i++) {
		const struct row *row = &answer->rows[i];

		if (row->figure && strcmp(row->name, question->base) == 0 &&
		    (!row->parameters[0].name ||
		     same_parameters(row->parameters, figure->parameters)))
			return row->figure;
	}
	return NULL;
}

static void add_at(const struct question *question, const struct figure *figure, enum place place)
{
	struct summary summary = figure_summary(figure, place);
	const struct figure *base = base_of(question, figure);
	struct row *row;

	if (summary.count == 0)
		return;
	row = add_row(question, ROW_FIGURE, figure->name, figure->parameters);
	row->place = place;
	row->figure = figure;
	row->median = summary.median;
	row->lower = summary.lower;
	row->upper = summary.upper;
	row->from = summary.from;
	row->to = summary.to;
	row->confidence = summary.confidence;
	row->max = summary.largest;
	row->count = summary.count;
	row->quiet = summary.quiet;
	row->disturbed = summary.disturbed;
	if (summary.disturbed)
		row->median_disturbed = summary.median_disturbed;
	row->dropped = figure->dropped;
	if (base && base != figure)
		row->ratio = figure_ratio_at(figure, base, place);
}

void result_figure(const struct question *question, const struct figure *figure)
{
	int place;

	for (place = 0; place < PLACES; place++)
		add_at(question, figure, (enum place)place);
	if (figure->count == 0)
		result_absent(question, figure->name, figure->parameters,
			      figure->dropped ? "the processors moved in every round"
					      : "not measured");
}

void result_spread(const struct question *question, const struct spread *spread)
{
	struct row *row = add_row(question, ROW_SPREAD, spread->name, spread->parameters);

	row->spread = malloc(sizeof(*row->spread));
	if (!row->spread) {
		fprintf(stderr, "bench: out of memory\n");
		exit(1);
	}
	spread_summary(spread, row->spread);
	row->median = row->spread->p50;
	row->p90 = row->spread->p90;
	row->p99 = row->spread->p99;
	row->p999 = row->spread->p999;
	row->max = row->spread->max;
	row->count = row->spread->count;
	row->quiet = row->spread->quiet;
	row->disturbed = row->spread->disturbed;
}

void result_value(const struct question *question, const char *name,
		  const struct parameter *parameters, double value)
{
	struct row *row = add_row(question, ROW_VALUE, name, parameters);

	row->median = value;
	row->count = 1;
	row->quiet = true;
}

static char *copied(char *words)
{
	if (!words) {
		fprintf(stderr, "bench: out of memory\n");
		exit(1);
	}
	return words;
}

void result_absent(const struct question *question, const char *name,
		   const struct parameter *parameters, const char *why)
{
	add_row(question, ROW_ABSENT, name, parameters)->absent = copied(strdup(why));
}

void result_goal(const struct question *question, const struct goal *goal)
{
	struct answer *answer = answer_to(question);

	answer->goals = grow(answer->goals, &answer->goal_count, sizeof(struct goal));
	answer->goals[answer->goal_count - 1] = *goal;
	answer->goals[answer->goal_count - 1].words = copied(strdup(goal->words));
}

void result_note(const struct question *question, const char *format, ...)
{
	struct answer *answer = answer_to(question);
	va_list values;
	char *words = NULL;

	va_start(values, format);
	if (vasprintf(&words, format, values) < 0)
		words = NULL;
	va_end(values);
	answer->notes = grow(answer->notes, &answer->note_count, sizeof(char *));
	answer->notes[answer->note_count - 1] = copied(words);
}
