/* SPDX-License-Identifier: Apache-2.0 */
/* The `tally` command as its tests use it: programs that push; its reports, lines and tables. */
#ifndef TESTS_CLI_H
#define TESTS_CLI_H

#include <signal.h>
#include <string.h>

#include "tests/support.h"

static inline size_t count_of(const char *within, const char *what)
{
	size_t count = 0;

	while ((within = strstr(within, what))) {
		within += strlen(what);
		count++;
	}
	return count;
}

/* The only line of stderr, which begins with "tally". */
static inline void check_one_line(const char *err)
{
	assert_int_equal(count_of(err, "\n"), 1);
	assert_int_equal(err[strlen(err) - 1], '\n');
	assert_int_equal(strncmp(err, "tally", 5), 0);
}

static inline void check_contains(const char *within, const char *what)
{
	if (!strstr(within, what))
		fail_msg("no \"%s\" in: %s", what, within);
}

/* A program that has pushed `events` events, as push_many.c says; ends when its stdin does. */
static inline struct job start_pushing(const char *events)
{
	struct job job = job_start(&(struct command){ .argv = LIST(prog("push_many"), events),
						      .env = LIST("TALLY=1") });

	assert_string_equal(job_line(&job), "pushed");
	return job;
}

static inline void end_pushing(struct job *job)
{
	assert_int_equal(job_end(job).status, 0);
}

/* Processes that live together and are then killed, so that none could prune the others. */
static inline void leave_dead(int count)
{
	struct job jobs[32];
	int n;

	assert_true(count <= (int)COUNT(jobs));
	for (n = 0; n < count; n++)
		jobs[n] = start_pushing("11");
	for (n = 0; n < count; n++) {
		job_signal(&jobs[n], SIGKILL);
		assert_int_equal(job_end(&jobs[n]).status, -SIGKILL);
	}
	assert_true(regions_left() >= (size_t)count);
}

static inline char *report_path(void)
{
	return text("%s/report.json", test_tmp);
}

/* The report of `tally run -- COMMAND`, which exits with `status`. */
static inline json_t *run_json(const char *const *command, int status)
{
	const char *argv[16] = { built("tally"), "run", "--json", report_path(), "--" };
	size_t i;

	for (i = 0; command[i]; i++)
		argv[5 + i] = command[i];
	assert_int_equal(run(&(struct command){ .argv = argv }).status, status);
	return json_parse(read_file(report_path(), NULL));
}

/* The line of a table that begins with these words, blanks as one; fails when there is none. */
static inline char *row(const char *table, const char *first)
{
	char *rest = text("%s", table), *line;

	while ((line = strsep(&rest, "\n"))) {
		char *squeezed = text("%s", line), *to = squeezed;
		const char *from;

		for (from = line; *from; from++)
			if (*from != ' ' || (to > squeezed && to[-1] != ' '))
				*to++ = *from;
		*to = '\0';
		if (strncmp(squeezed, first, strlen(first)) == 0)
			return squeezed;
	}
	fail_msg("no row \"%s\" in: %s", first, table);
	return NULL;
}

#endif
