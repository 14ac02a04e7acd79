/* SPDX-License-Identifier: Apache-2.0 */
/* A command with and without `tally run`: whether both do the same. */
#ifndef TESTS_TRANSPARENT_H
#define TESTS_TRANSPARENT_H

#include <string.h>

#include "tests/cli.h"
#include "tests/support.h"

static inline void check_same_bytes(const char *what, const char *a, size_t a_size, const char *b,
				    size_t b_size)
{
	size_t at = 0;

	while (at < a_size && at < b_size && a[at] == b[at])
		at++;
	if (at < a_size || at < b_size)
		fail_msg(
			"%s differs from byte %zu on: without tally \"%.300s\", with it \"%.300s\"",
			what, at, a + at, b + at);
}

/* Runs `before CMD` and `before tally run -- CMD`: both must do the same. The second's report. */
static inline json_t *check_same_as(const char *const *before, const struct command *command)
{
	const char *const *tallied = LIST(built("tally"), "run", "--json", report_path(), "--");
	struct command each = *command;
	struct outcome without, with;
	json_t *report;

	each.argv = list_and(before, command->argv);
	without = run(&each);
	each.argv = list_and(before, list_and(tallied, command->argv));
	with = run(&each);
	check_same_bytes("stderr", without.err, without.err_size, with.err, with.err_size);
	check_same_bytes("stdout", without.out, without.out_size, with.out, with.out_size);
	/* the runner cannot die of the signal, so that a shell would say the same of both */
	assert_int_equal(with.status, without.status < 0 ? 128 - without.status : without.status);
	report = json_parse(read_file(report_path(), NULL));
	assert_true(json_flag(report, "run/followed"));
	return report;
}

static inline json_t *check_same(const struct command *command)
{
	return check_same_as(LIST(NULL), command);
}
#define SAME(...) check_same(&(struct command){ .argv = LIST(__VA_ARGS__) })

static inline void write_text(const char *path, const char *content)
{
	write_file(path, content, strlen(content));
}

#endif
