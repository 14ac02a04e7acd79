/* SPDX-License-Identifier: Apache-2.0 */
/* The `tally` command as its tests use it: programs that push; its reports, lines and tables. */
#ifndef TESTS_CLI_H
#define TESTS_CLI_H

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* `tally` with these words. */
static inline struct outcome run_tally(const char *const *words)
{
	return run(&(struct command){ .argv = list_and(LIST(built("tally")), words) });
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

/* `tally` with these words, when what it writes to has no room. */
static inline void check_unwritten(const char *words)
{
	struct outcome outcome = RUN("sh", "-c", text("\"$0\" %s >/dev/full", words),
				     built("tally"));

	assert_int_equal(outcome.status, 1);
	check_one_line(outcome.err);
	check_contains(outcome.err, "No space left");
}

/* In front of a program: as another user, who is nobody; root alone may do that. */
#define AS_NOBODY "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"

static inline void need_nobody(void)
{
	if (geteuid() != 0)
		SKIP("only root can become another user");
	if (RUN(AS_NOBODY, "true").status != 0)
		SKIP("setpriv does not work here");
}

/* `tally` as nobody, from a place that everybody can reach. */
static inline struct outcome run_as_nobody(const char *const *words)
{
	char *tally = text("%s/tally", test_tmp);

	if (access(tally, F_OK) != 0)
		assert_int_equal(RUN("cp", built("tally"), tally).status, 0);
	assert_int_equal(chmod(test_tmp, 0755), 0);
	return run(&(struct command){ .argv = list_and(LIST(AS_NOBODY, tally), words) });
}

/* A producer of ours as nobody, likewise. */
static inline struct job start_as_nobody(const char *name, const char *argument)
{
	char *program = text("%s/%s", test_tmp, name);

	assert_int_equal(chmod(test_dir, 0777), 0);
	assert_int_equal(chmod(test_tmp, 0755), 0);
	assert_int_equal(RUN("cp", prog(name), program).status, 0);
	assert_int_equal(RUN("cp", "-L", built("libtally.so.0"), test_tmp).status, 0);
	return START(AS_NOBODY, "env", "TALLY=1", text("LD_LIBRARY_PATH=%s", test_tmp), program,
		     argument);
}

/* A program that has pushed `events` events, as push_many.c says; ends when its stdin does. */
static inline struct job start_pushing(const char *events)
{
	struct job job = job_start(&(struct command){ .argv = LIST(prog("push_many"), events),
						      .env = LIST("TALLY=1") });

	assert_string_equal(job_line(&job), "pushed");
	return job;
}

/* Processes that live together and are then killed, so that none could prune the others. */
static inline void leave_dead(int count)
{
	struct job jobs[32];
	int n;

	assert_true(count <= (int)COUNT(jobs));
	for (n = 0; n < count; n++)
		jobs[n] = start_pushing("11");
	for (n = 0; n < count; n++)
		job_kill(&jobs[n]);
	assert_true(regions_left() >= (size_t)count);
}

static inline char *report_path(void)
{
	return text("%s/report.json", test_tmp);
}

/* The report of `tally run -- COMMAND`, which exits with `status`. */
static inline json_t *run_json(const char *const *command, int status)
{
	assert_int_equal(
		run_tally(list_and(LIST("run", "--json", report_path(), "--"), command)).status,
		status);
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
