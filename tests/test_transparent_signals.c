/* SPDX-License-Identifier: Apache-2.0 */
/* `tally run` is not noticed by who sends it signals, from a terminal too, or waits for it; nor by
 * the command, which gets and dies of the same ones as without it. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/transparent.h"

/* ---- What a command is given ----------------------------------------------------------------- */

static void command_gets_the_original_signal_mask_and_dispositions(void **state)
{
	static const char *const blocks[] = { "TERM,HUP,USR1,USR2", "CHLD,INT,QUIT,PIPE",
					      "INT,TTOU,WINCH,34,64" };
	static const char *const ignores[] = { "INT,QUIT,PIPE,BUS", "CHLD,TERM,HUP,USR1,USR2",
					       "TTOU,TTIN,TSTP,ALRM,40" };
	struct command command = { .argv = LIST(prog("inherited")) };
	size_t i, j;

	(void)state;
	if (RUN("env", "--block-signal=TERM", "--ignore-signal=INT", "true").status != 0)
		SKIP("env cannot block signals here");
	for (i = 0; i < COUNT(blocks); i++)
		for (j = 0; j < COUNT(ignores); j++)
			check_same_as(LIST("env", text("--block-signal=%s", blocks[i]),
					   text("--ignore-signal=%s", ignores[j])),
				      &command);
}

static void status_arrives_though_SIGCHLD_is_ignored(void **state)
{
	(void)state;
	check_same_as(LIST("env", "--ignore-signal=CHLD", "--block-signal=CHLD"),
		      &(struct command){ .argv = LIST("sh", "-c", "exit 23") });
}

/* ---- How it ends ----------------------------------------------------------------------------- */

static bool ends_a_process(int number)
{
	return number != SIGCHLD && number != SIGCONT && number != SIGURG && number != SIGWINCH &&
	       number != SIGSTOP && number != SIGTSTP && number != SIGTTIN && number != SIGTTOU &&
	       (number < 32 || number >= SIGRTMIN);
}

static void every_deadly_signal_becomes_128_and_its_number(void **state)
{
	struct outcome outcome;
	int number;

	(void)state;
	for (number = 1; number <= SIGRTMAX; number++) {
		json_t *report;

		if (!ends_a_process(number))
			continue;
		report = SAME("sh", "-c", "ulimit -c 0; kill -$0 $$", text("%d", number));
		assert_int_equal(json_number(report, "run/signal"), number);
		assert_true(json_is_null(json_get(report, "run/exit_status")));
	}
	outcome = TALLY("run", "--", "sh", "-c", "ulimit -c 0; kill -SEGV $$");
	assert_int_equal(outcome.status, 128 + SIGSEGV);
	assert_non_null(strstr(outcome.err, "ended with SIGSEGV"));
	outcome = TALLY("run", "--", "sh", "-c", "exit 139"); /* another thing, told apart */
	assert_int_equal(outcome.status, 139);
	assert_non_null(strstr(outcome.err, "ended with status 139"));
}

static struct job start_catch(void)
{
	struct job job = START(built("tally"), "run", "--json", report_path(), "--", prog("catch"),
			       "33");

	assert_string_equal(job_line(&job), "ready");
	return job;
}

static void signals_to_the_runner_are_forwarded_once_each(void **state)
{
	static const int numbers[] = {
		SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT, SIGTERM
	};
	struct job job = start_catch();
	struct outcome outcome;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(numbers); i++) {
		job_signal(&job, numbers[i]);
		assert_string_equal(job_line(&job), text("got %d", numbers[i]));
	}
	outcome = job_end(&job);
	assert_int_equal(outcome.status, 33);
	assert_string_equal(outcome.out, ""); /* none came twice */
	assert_string_equal(outcome.err, "");
	assert_int_equal(json_number(json_parse(read_file(report_path(), NULL)), "run/exit_status"),
			 33);
}

static void command_that_dies_of_a_forwarded_signal_is_reported(void **state)
{
	static const int numbers[] = { SIGTERM, SIGHUP, SIGINT };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(numbers); i++) {
		struct job job = START(built("tally"), "run", "--", prog("push_many"), "11");
		struct outcome outcome;

		assert_string_equal(job_line(&job), "pushed");
		job_signal(&job, numbers[i]);
		outcome.status = wait_status(job.pid);
		assert_int_equal(outcome.status, 128 + numbers[i]);
		outcome.err = read_file(job.err_path, NULL);
		assert_non_null(
			strstr(outcome.err, text("ended with SIG%s", sigabbrev_np(numbers[i]))));
		assert_non_null(strstr(outcome.err, "74 B")); /* what it held */
		close(job.to);
		close(job.from);
	}
}

static void command_lives_on_when_the_runner_is_killed(void **state)
{
	struct job job = START(built("tally"), "run", "--", "sh", "-c", "echo $$; exec \"$0\" 33",
			       prog("catch"));
	pid_t command = (pid_t)atoi(job_line(&job));
	struct outcome outcome;

	(void)state;
	assert_string_equal(job_line(&job), "ready");
	job_signal(&job, SIGKILL);
	assert_int_equal(wait_status(job.pid), -SIGKILL);
	assert_int_equal(kill(command, SIGUSR1), 0);
	assert_string_equal(job_line(&job), "got 10");
	close(job.to);
	assert_int_equal(wait_status(command), 33); /* it is ours now */
	outcome.err = read_file(job.err_path, NULL);
	assert_string_equal(outcome.err, "");
	close(job.from);
	remove_regions(); /* nobody was left to read them */
}

static void survivors_do_not_keep_the_runner_and_are_listed(void **state)
{
	const char *script = "exec 3<&0; mkfifo line; \"$0\" 11 <&3 >line & read pushed <line; "
			     "echo $!; exit 4";
	struct job job = job_start(&(struct command){
		.argv = LIST(built("tally"), "run", "--", "sh", "-c", script, prog("push_many")),
		.cwd = test_tmp });
	pid_t survivor = (pid_t)atoi(job_line(&job));
	char *err;

	(void)state;
	assert_int_equal(wait_status(job.pid), 4);
	err = read_file(job.err_path, NULL);
	assert_non_null(strstr(err, text("still running, with what they hold now: %d (push_many)",
					 survivor)));
	close(job.to);
	assert_int_equal(wait_status(survivor), 0);
	close(job.from);
	remove_regions();
}

/* ---- In a terminal --------------------------------------------------------------------------- */

#define IN_TERMINAL(...)                                                                           \
	(need_terminal(), START(prog("in_terminal"), "80", built("tally"), "run", "--json",        \
				report_path(), "--", __VA_ARGS__))

static void type(const struct job *job, char key)
{
	assert_int_equal(write(job->to, &key, 1), 1);
}

/* The next line that is not a live line of the runner's, which ends with a return. */
static char *line_shown(const struct job *job)
{
	char *line = job_line(job);
	char *after = strrchr(line, '\r');

	return after ? after + 1 : line;
}

/* All that is shown until CMD has ended; its status. */
static int end_shown(struct job *job, char **ret_rest)
{
	char *rest = text("%s", "");
	char bytes[512];
	ssize_t got;

	for (;;) {
		struct pollfd ready = { .fd = job->from, .events = POLLIN };

		assert_int_equal(poll(&ready, 1, DEADLINE_S * 1000), 1);
		got = read(job->from, bytes, sizeof(bytes));
		if (got <= 0)
			break;
		rest = text("%s%.*s", rest, (int)got, bytes);
	}
	close(job->from);
	close(job->to);
	*ret_rest = rest;
	return wait_status(job->pid);
}

static void keys_of_the_terminal_reach_the_command_once_and_the_runner_reports(void **state)
{
	struct job job = IN_TERMINAL(prog("catch"), "34");
	char *rest;

	(void)state;
	assert_string_equal(line_shown(&job), "ready");
	type(&job, 3);
	assert_string_equal(line_shown(&job), "got 2");
	type(&job, 28);
	assert_string_equal(line_shown(&job), "got 3");
	type(&job, 3);
	assert_string_equal(line_shown(&job), "got 2");
	type(&job, 4); /* the end of its input */
	assert_int_equal(end_shown(&job, &rest), 34);
	assert_null(strstr(rest, "got"));
	assert_int_equal(json_number(json_parse(read_file(report_path(), NULL)), "run/exit_status"),
			 34);
}

static void check_reported(int number)
{
	json_t *report = json_parse(read_file(report_path(), NULL));

	assert_int_equal(json_number(report, "run/signal"), number);
	assert_int_equal(json_sums(json_pool(report, 1, "l1")).allocs, 6);
}

static void command_that_dies_of_control_C_is_reported(void **state)
{
	struct job job = IN_TERMINAL(prog("push_many"), "11");
	char *rest;

	(void)state;
	assert_string_equal(line_shown(&job), "pushed");
	type(&job, 3);
	assert_int_equal(end_shown(&job, &rest), 128 + SIGINT);
	check_reported(SIGINT);
}

/* The runner leads the session here, so the kernel tells it alone. */
static void hang_up_of_the_terminal_reaches_the_command(void **state)
{
	struct job job = IN_TERMINAL("sh", "-c", "mkfifo \"$1\"; exec \"$0\" 11 <>\"$1\"",
				     prog("push_many"), text("%s/never", test_tmp));

	(void)state;
	assert_string_equal(line_shown(&job), "pushed");
	close(job.to);
	assert_int_equal(wait_status(job.pid), 128 + SIGHUP);
	close(job.from);
	check_reported(SIGHUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(command_gets_the_original_signal_mask_and_dispositions),
		TEST(status_arrives_though_SIGCHLD_is_ignored),
		TEST(every_deadly_signal_becomes_128_and_its_number),
		TEST(signals_to_the_runner_are_forwarded_once_each),
		TEST(command_that_dies_of_a_forwarded_signal_is_reported),
		TEST(command_lives_on_when_the_runner_is_killed),
		TEST(survivors_do_not_keep_the_runner_and_are_listed),
		TEST(keys_of_the_terminal_reach_the_command_once_and_the_runner_reports),
		TEST(command_that_dies_of_control_C_is_reported),
		TEST(hang_up_of_the_terminal_reaches_the_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
