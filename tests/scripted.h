/* SPDX-License-Identifier: Apache-2.0 */
/* Producers that do what a test tells them (prog/scripted.c), and what `tally` says of them. */
#ifndef TESTS_SCRIPTED_H
#define TESTS_SCRIPTED_H

#include "tests/cli.h"

/* setting: one more of the environment, or NULL. */
static inline struct job script_start(const char *setting)
{
	struct job job = job_start(&(struct command){ .argv = LIST(prog("scripted")),
						      .env = LIST("TALLY=1", setting) });

	assert_string_equal(job_line(&job), "ready");
	return job;
}

static inline char *pid_of(const struct job *job)
{
	return text("%d", job->pid);
}

/* Runs `tally` with these words and checks how it exits, and what it says on stdout and stderr
 * (NULL: anything; "": nothing; else something that contains it). */
static inline struct outcome check_tally(const char *const *words, int status, const char *out,
					 const char *err)
{
	struct outcome outcome = run_tally(words);

	if (outcome.status != status)
		fail_msg("status %d, not %d: %s%s", outcome.status, status, outcome.out,
			 outcome.err);
	if (out && !*out)
		assert_string_equal(outcome.out, "");
	else if (out)
		check_contains(outcome.out, out);
	if (err && !*err)
		assert_string_equal(outcome.err, "");
	else if (err)
		check_contains(outcome.err, err);
	return outcome;
}
#define CHECK_TALLY(status, out, err, ...) check_tally(LIST(__VA_ARGS__), status, out, err)

#endif
