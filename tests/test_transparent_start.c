/* SPDX-License-Identifier: Apache-2.0 */
/* What `tally run` cannot follow, it runs all the same and says why; what cannot be started has an
 * exit status of its own. */
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/transparent.h"

/* It runs; table and JSON say that it was not followed, and why. */
static void check_not_followed(const char *program, const char *argument, const char *why)
{
	const struct outcome without = RUN(program, argument);
	struct outcome with = TALLY("run", "--", program, argument);
	json_t *report;

	assert_int_equal(with.status, without.status);
	assert_string_equal(with.out, without.out);
	assert_non_null(strstr(with.err, "could not be followed"));
	assert_non_null(strstr(with.err, why));
	assert_non_null(strstr(with.err, program));
	with = TALLY("run", "--json", report_path(), "--", program, argument);
	assert_int_equal(with.status, without.status);
	assert_string_equal(with.out, without.out);
	report = json_parse(read_file(report_path(), NULL));
	assert_false(json_flag(report, "run/followed"));
	assert_non_null(strstr(json_text(report, "run/reason"), why));
	assert_int_equal(json_array_size(json_get(report, "processes")), 0);
	assert_int_equal(json_number(report, "run/exit_status"), without.status);
}

static void static_program_runs_and_the_report_says_why_it_was_not_followed(void **state)
{
	struct outcome outcome;

	(void)state;
	outcome = TALLY("run", "--", prog("static_hello"));
	assert_int_equal(outcome.status, 7);
	assert_string_equal(outcome.out, "hello, static world\n");
	check_not_followed(prog("static_hello"), NULL, "statically linked");
}

/* One that anyone has who may run it; NULL: none. */
static const char *installed_setuid(void)
{
	static const char *const places[] = { "/bin/su", "/usr/bin/su", "/bin/mount",
					      "/usr/bin/mount" };
	struct stat status;
	size_t i;

	for (i = 0; i < COUNT(places); i++)
		if (stat(places[i], &status) == 0 && status.st_mode & S_ISUID &&
		    status.st_uid != geteuid() && access(places[i], X_OK | R_OK) == 0)
			return places[i];
	return NULL;
}

static void setuid_program_runs_and_the_report_says_why_it_was_not_followed(void **state)
{
	char *program = text("%s/id", test_tmp);
	const char *installed;
	struct statvfs mount;
	struct outcome outcome;

	(void)state;
	if (geteuid() != 0) {
		installed = installed_setuid();
		if (!installed)
			SKIP("not root, and no setuid program is installed");
		check_not_followed(installed, "--version", "set-user-id");
		return;
	}
	assert_int_equal(statvfs(test_tmp, &mount), 0);
	if (mount.f_flag & ST_NOSUID)
		SKIP("%s is mounted nosuid", test_tmp);
	assert_int_equal(RUN("sh", "-c", "cp \"$(command -v id)\" \"$0\"", program).status, 0);
	assert_int_equal(chown(program, 65534, 0), 0);
	assert_int_equal(chmod(program, 04755), 0);
	outcome = TALLY("run", "--", program, "-u");
	assert_string_equal(outcome.out, "65534\n"); /* it has its rights */
	check_not_followed(program, "-u", "set-user-id");
}

static void script_is_followed_and_judged_by_its_interpreter(void **state)
{
	char *script = text("%s/script", test_tmp);
	json_t *report;

	(void)state;
	write_text(script, "#!/bin/sh\necho from a script\nexit 6\n");
	assert_int_equal(chmod(script, 0755), 0);
	report = SAME(script, "argument");
	assert_int_equal(json_number(report, "run/exit_status"), 6);
	write_text(script, "echo no first line\n"); /* as execvp() does */
	SAME(script);
	write_text(script, text("#!%s\n", prog("static_hello")));
	check_not_followed(script, NULL, "statically linked");
	write_text(script, "#!/nonexistent/interpreter\n");
	assert_int_equal(TALLY("run", "--", script).status, 127);
}

/* One line on stderr with both of the words, nothing on stdout. */
static void check_says(const struct outcome *outcome, int status, const char *word,
		       const char *other)
{
	assert_int_equal(outcome->status, status);
	assert_string_equal(outcome->out, "");
	assert_int_equal(strncmp(outcome->err, "tally: ", 7), 0);
	assert_ptr_equal(strchr(outcome->err, '\n'), outcome->err + outcome->err_size - 1);
	if (!strstr(outcome->err, word) || !strstr(outcome->err, other))
		fail_msg("neither \"%s\" nor \"%s\" may be missing in: %s", word, other,
			 outcome->err);
}

static void what_is_not_found_exits_127_and_what_is_not_executable_126(void **state)
{
	char *file = text("%s/file", test_tmp);
	struct outcome outcome;

	(void)state;
	outcome = TALLY("run", "--", "no-such-command-anywhere");
	check_says(&outcome, 127, "no-such-command-anywhere", "not found");
	outcome = TALLY("run", "/nonexistent/command", "argument");
	check_says(&outcome, 127, "/nonexistent/command", "not found");
	outcome = TALLY("run", "--", "");
	check_says(&outcome, 127, "", "not found");
	write_text(file, "#!/bin/sh\nexit 0\n");
	outcome = TALLY("run", "--", file);
	check_says(&outcome, 126, file, "ermission denied");
	outcome = TALLY("run", "--", test_tmp);
	check_says(&outcome, 126, test_tmp, "ermission denied");
	outcome = TALLY("run", "--", text("%s/below", file));
	check_says(&outcome, 126, file, "ot a directory");
	assert_int_equal(regions_left(), 0);
}

static void report_that_cannot_be_written_exits_125_and_the_command_is_not_started(void **state)
{
	char *trace = text("%s/trace", test_tmp);
	const char *const places[] = { "/nonexistent/report", test_tmp, "" };
	struct outcome outcome;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(places); i++) {
		outcome = TALLY("run", "--json", places[i], "--", "touch", trace);
		check_says(&outcome, 125, places[i], "cannot be written");
		assert_int_equal(access(trace, F_OK), -1);
	}
	/* a disk that is full is found out at the end only */
	outcome = TALLY("run", "--json", "/dev/full", "--", "touch", trace);
	check_says(&outcome, 125, "/dev/full", "No space left");
	assert_int_equal(access(trace, F_OK), 0);
}

static void missing_regions_directory_exits_125_and_the_command_is_not_started(void **state)
{
	char *trace = text("%s/trace", test_tmp);
	struct outcome outcome;

	(void)state;
	outcome = run(&(struct command){ .argv = LIST(built("tally"), "run", "--", "touch", trace),
					 .env = LIST("TALLY_DIR=/nonexistent") });
	check_says(&outcome, 125, "/nonexistent", "No such file");
	assert_int_equal(access(trace, F_OK), -1);
}

static void copy_to(const char *from, const char *to)
{
	assert_int_equal(RUN("cp", "-L", from, to).status, 0);
}

static void missing_adapter_is_named_and_found_again(void **state)
{
	char *bin = text("%s/bin", test_tmp), *lib = text("%s/lib", test_tmp);
	char *alone = text("%s/tally", bin), *trace = text("%s/trace", test_tmp);
	struct command command = { .argv = LIST(alone, "run", "--", "touch", trace) };
	struct outcome outcome;

	(void)state;
	assert_int_equal(mkdir(bin, 0700), 0);
	copy_to(built("tally"), alone);
	outcome = run(&command);
	check_says(&outcome, 125, "libtally-malloc.so", "TALLY_PRELOAD");
	assert_int_equal(access(trace, F_OK), -1);
	command.env = LIST("TALLY_PRELOAD=/nonexistent.so");
	outcome = run(&command);
	check_says(&outcome, 125, "TALLY_PRELOAD", "No such file");
	assert_int_equal(access(trace, F_OK), -1);

	command.env = LIST(text("TALLY_PRELOAD=%s", built("libtally-malloc.so")));
	command.argv = LIST(alone, "run", "--json", report_path(), "--", "true");
	assert_int_equal(run(&command).status, 0);
	assert_true(json_flag(json_parse(read_file(report_path(), NULL)), "run/followed"));

	command.env = NULL; /* as `make install` lays it out */
	assert_int_equal(mkdir(lib, 0700), 0);
	copy_to(built("libtally-malloc.so"), lib);
	copy_to(built("libtally.so.0"), lib);
	assert_int_equal(run(&command).status, 0);
	assert_true(json_flag(json_parse(read_file(report_path(), NULL)), "run/followed"));

	alone = text("%s/a b", test_tmp); /* which LD_PRELOAD cannot say */
	assert_int_equal(mkdir(alone, 0700), 0);
	copy_to(built("tally"), alone);
	copy_to(built("libtally-malloc.so"), alone);
	outcome = TALLY("--version");
	outcome = RUN(text("%s/tally", alone), "run", "--", "touch", trace);
	check_says(&outcome, 125, "space or colon", alone);
	assert_int_equal(access(trace, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(static_program_runs_and_the_report_says_why_it_was_not_followed),
		TEST(setuid_program_runs_and_the_report_says_why_it_was_not_followed),
		TEST(script_is_followed_and_judged_by_its_interpreter),
		TEST(what_is_not_found_exits_127_and_what_is_not_executable_126),
		TEST(report_that_cannot_be_written_exits_125_and_the_command_is_not_started),
		TEST(missing_regions_directory_exits_125_and_the_command_is_not_started),
		TEST(missing_adapter_is_named_and_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
