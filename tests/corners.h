/* SPDX-License-Identifier: Apache-2.0 */
/* Scenarios of tests/prog: most judge themselves, others have a region to be looked at. */
#ifndef TESTS_CORNERS_H
#define TESTS_CORNERS_H

#include "tests/support.h"

static inline void check_outcome(const struct outcome *outcome)
{
	if (outcome->status != 0 || outcome->err_size > 0)
		fail_msg("status %d: %s", outcome->status, outcome->err);
}

/* A scenario that judges itself. */
static inline void corner_with(const char *program, const char *scenario, const char *argument,
			       const char *const *env)
{
	struct command command = { .argv = LIST(prog(program), scenario, argument), .env = env };
	struct outcome outcome = run(&command);

	check_outcome(&outcome);
	assert_int_equal(regions_left(), 0);
}

static inline void corner(const char *program, const char *scenario)
{
	corner_with(program, scenario, NULL, LIST("TALLY=1", "TALLY_RING=64"));
}

/* One that has a region to be read after its first line. */
static inline struct job start(const char *program, const char *scenario, const char *argument,
			       const char *lanes, char **ret_line)
{
	struct command command = {
		.argv = LIST(prog(program), scenario, argument),
		.env = LIST("TALLY=1", "TALLY_RING=64", lanes),
	};
	struct job job = job_start(&command);

	*ret_line = job_line(&job);
	return job;
}

static inline void finish(struct job *job)
{
	struct outcome outcome = job_end(job);

	check_outcome(&outcome);
}

#endif
