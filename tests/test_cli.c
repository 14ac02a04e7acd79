/* SPDX-License-Identifier: Apache-2.0 */
/* What the `tally` command says to whom, and how it exits, before there is anything to show: usage,
 * nothing to attach to, regions of others. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cli.h"
#include "tests/support.h"

/* ---- Usage ----------------------------------------------------------------------------------- */

static void check_usage_error(const char *const *words, const char *culprit, const char *hint)
{
	struct outcome outcome = run_tally(words);

	if (outcome.status != 2)
		fail_msg("status %d of the one about %s", outcome.status, culprit);
	assert_string_equal(outcome.out, "");
	check_one_line(outcome.err);
	check_contains(outcome.err, culprit);
	check_contains(outcome.err, hint);
}
#define USAGE_ERROR(culprit, hint, ...) check_usage_error(LIST(__VA_ARGS__), culprit, hint)

static void unknown_verbs_exit_2_with_a_hint(void **state)
{
	(void)state;
	USAGE_ERROR("\"frobnicate\"", "try `tally help`", "frobnicate");
	USAGE_ERROR("\"pss\"", "did you mean \"ps\"", "pss");
	USAGE_ERROR("\"rnu\"", "did you mean \"run\"", "rnu", "true");
	USAGE_ERROR("\"\"", "try `tally help`", "");
	USAGE_ERROR("\"PS\"", "try `tally help`", "PS", "--json");
	USAGE_ERROR("\"a?[31mb\"", "try `tally help`", "a\033[31mb"); /* colours nothing */
	USAGE_ERROR("\"frobnicate\"", "try `tally help`", "help", "frobnicate");
}

static void unknown_options_exit_2_with_a_hint(void **state)
{
	(void)state;
	USAGE_ERROR("--frob", "try `tally help`", "--frob");
	USAGE_ERROR("-x", "try `tally help`", "-x", "ps");
	USAGE_ERROR("--frob", "try `tally help ps`", "ps", "--frob");
	USAGE_ERROR("-x", "try `tally help ps`", "ps", "-x");
	USAGE_ERROR("-x", "try `tally help ps`", "ps", "-xyz"); /* one of several in a word */
	USAGE_ERROR("--json=yes", "try `tally help ps`", "ps", "--json=yes");
	USAGE_ERROR("--frob", "try `tally help run`", "run", "--frob", "--", "true");
	USAGE_ERROR("-x", "try `tally help run`", "run", "-x", "true");
}

static void bad_arguments_exit_2_with_a_hint(void **state)
{
	static const char *const pids[] = {
		"0", "-1", "+5", " 5", "5 ", "5x", "4294967297", "", "abc", "99999999999999999999"
	};
	static const char *const rings[] = { "63", "-1", "65", "2097152", "", "x", "64x" };
	char *trace = text("%s/trace", test_tmp);
	size_t i;

	(void)state;
	USAGE_ERROR("-p needs a value", "try `tally help ps`", "ps", "-p");
	USAGE_ERROR("--pid needs a value", "try `tally help ps`", "ps", "--json", "--pid");
	for (i = 0; i < COUNT(pids); i++)
		USAGE_ERROR(text("\"%s\"", pids[i]), "try `tally help ps`", "ps", "-p", pids[i]);
	USAGE_ERROR("\"more\"", "try `tally help ps`", "ps", "more");
	USAGE_ERROR("which command", "try `tally help run`", "run");
	USAGE_ERROR("which command", "try `tally help run`", "run", "--");
	USAGE_ERROR("--json needs a value", "try `tally help run`", "run", "--json");
	for (i = 0; i < COUNT(rings); i++)
		USAGE_ERROR(text("\"%s\"", rings[i]), "try `tally help run`", "run", "--ring",
			    rings[i], "--", "touch", trace);
	assert_int_equal(access(trace, F_OK), -1); /* nothing was started */
	USAGE_ERROR("one verb", "try `tally help help`", "help", "run", "ps");
}

static char *stdout_of(const char *const *words)
{
	struct outcome outcome = run_tally(words);

	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
	return outcome.out;
}

static void help_and_version_go_to_stdout(void **state)
{
	static const char *const verbs[] = { "run",   "ps", "devices", "buffers", "events",
					     "check", "gc", "doctor",  "help" };
	char *help = stdout_of(LIST("help"));
	size_t i;

	(void)state;
	assert_string_equal(stdout_of(LIST("--help")), help);
	assert_string_equal(stdout_of(LIST("-h")), help);
	for (i = 0; i < COUNT(verbs); i++) {
		char *own = stdout_of(LIST("help", verbs[i]));

		check_contains(help, text("\n  %s ", verbs[i]));
		check_contains(own, text("usage: tally %s", verbs[i]));
		assert_string_equal(stdout_of(LIST(verbs[i], "--help")), own);
		assert_string_equal(stdout_of(LIST(verbs[i], "-h")), own);
	}
	assert_string_equal(stdout_of(LIST("--version")), "tally " TALLY_VERSION "\n");
	assert_string_equal(stdout_of(LIST("-V")), "tally " TALLY_VERSION "\n");
	/* a command's own options are its own */
	assert_string_equal(RUN(built("tally"), "run", "echo", "--help", "-h").out, "--help -h\n");
}

static void output_that_cannot_be_written_exits_1(void **state)
{
	static const char *const words[] = { "ps", "ps --json", "help", "--version" };
	struct job job = start_pushing("11");
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(words); i++)
		check_unwritten(words[i]);
	job_end_well(&job);
}

/* ---- Nothing, and nobody's ------------------------------------------------------------------- */

static void ps_exits_3_when_there_is_nothing(void **state)
{
	static const char *const empty[] = { "TALLY_DIR=/nonexistent", "TALLY_DIR=/proc/self/task",
					     "NO_COLOR=1" };
	struct outcome outcome;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(empty); i++) {
		struct command command = { .argv = LIST(built("tally"), "ps"),
					   .env = LIST(empty[i]) };

		outcome = run(&command);
		assert_int_equal(outcome.status, 3);
		assert_string_equal(outcome.out, "");
		check_one_line(outcome.err);
		command.argv = LIST(built("tally"), "ps", "--json");
		outcome = run(&command);
		assert_int_equal(outcome.status, 3);
		assert_string_equal(outcome.out, "");
	}
	outcome = TALLY("ps", "-p", text("%d", getpid()));
	assert_int_equal(outcome.status, 3);
	check_contains(outcome.err, text("%d", getpid()));
	outcome = RUN(built("tally")); /* with no verb, off a terminal */
	assert_int_equal(outcome.status, 3);
}

static void region_of_another_user_exits_4_when_it_was_asked_for(void **state)
{
	struct job job;
	struct outcome outcome;

	(void)state;
	need_nobody();
	job = start_pushing("11");
	assert_int_equal(chmod(test_dir, 0755), 0);
	outcome = run_as_nobody(LIST("ps", "-p", text("%d", job.pid)));
	assert_int_equal(outcome.status, 4);
	assert_string_equal(outcome.out, "");
	check_one_line(outcome.err);
	check_contains(outcome.err, "user 0");
	check_contains(outcome.err, only_region());
	/* readable, but not its own: still */
	assert_int_equal(chmod(text("%s/%s", test_dir, only_region()), 0644), 0);
	outcome = run_as_nobody(LIST("ps", "--json", "-p", text("%d", job.pid)));
	assert_int_equal(outcome.status, 4);
	assert_string_equal(outcome.out, "");
	/* unasked it is nobody's business */
	outcome = run_as_nobody(LIST("ps"));
	assert_int_equal(outcome.status, 3);
	check_one_line(outcome.err);
	assert_null(strstr(outcome.err, only_region()));
	/* and a directory that may not be listed */
	assert_int_equal(chmod(test_dir, 0700), 0);
	outcome = run_as_nobody(LIST("ps"));
	assert_int_equal(outcome.status, 4);
	check_contains(outcome.err, test_dir);
	job_end_well(&job);
}

static void root_may_ask_for_anybodys_process(void **state)
{
	struct outcome outcome;
	struct job job;

	(void)state;
	need_nobody();
	job = start_as_nobody("push_many", "11");
	assert_string_equal(job_line(&job), "pushed");
	outcome = TALLY("ps", "-p", text("%d", job.pid));
	assert_int_equal(outcome.status, 0);
	check_contains(outcome.out, "74 B");
	assert_int_equal(TALLY("ps").status, 3);
	job_end_well(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unknown_verbs_exit_2_with_a_hint),
		TEST(unknown_options_exit_2_with_a_hint),
		TEST(bad_arguments_exit_2_with_a_hint),
		TEST(help_and_version_go_to_stdout),
		TEST(output_that_cannot_be_written_exits_1),
		TEST(ps_exits_3_when_there_is_nothing),
		TEST(region_of_another_user_exits_4_when_it_was_asked_for),
		TEST(root_may_ask_for_anybodys_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
