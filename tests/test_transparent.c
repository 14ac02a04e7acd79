/* SPDX-License-Identifier: Apache-2.0 */
/* `tally run` is not noticed: not by the command, which behaves and is started as without it, and
 * not by who waits for it or sends it signals. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support.h"

/* ---- With and without ------------------------------------------------------------------------ */

#define WORDS_MAX 64

static char *report_path(void)
{
	return text("%s/report.json", test_tmp);
}

/* `before`, then `tally run --json ... --` if `tallied`, then `command`; good until the next. */
static const char *const *joined(const char *const *before, bool tallied,
				 const char *const *command)
{
	static const char *words[WORDS_MAX + 1];
	const char *const *parts[] = {
		before,
		tallied ? LIST(built("tally"), "run", "--json", report_path(), "--") : LIST(NULL),
		command,
	};
	size_t count = 0, i;

	for (i = 0; i < COUNT(parts); i++) {
		const char *const *word;

		for (word = parts[i]; *word; word++) {
			assert_true(count < WORDS_MAX);
			words[count++] = *word;
		}
	}
	words[count] = NULL;
	return words;
}

static void check_same_bytes(const char *what, const char *a, size_t a_size, const char *b,
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
static json_t *check_same_as(const char *const *before, const struct command *command)
{
	struct command each = *command;
	struct outcome without, with;
	json_t *report;

	each.argv = joined(before, false, command->argv);
	without = run(&each);
	each.argv = joined(before, true, command->argv);
	with = run(&each);
	check_same_bytes("stderr", without.err, without.err_size, with.err, with.err_size);
	check_same_bytes("stdout", without.out, without.out_size, with.out, with.out_size);
	/* the runner cannot die of the signal, so that a shell would say the same of both */
	assert_int_equal(with.status, without.status < 0 ? 128 - without.status : without.status);
	report = json_parse(read_file(report_path(), NULL));
	assert_true(json_flag(report, "run/followed"));
	return report;
}

static json_t *check_same(const struct command *command)
{
	return check_same_as(LIST(NULL), command);
}
#define SAME(...) check_same(&(struct command){ .argv = LIST(__VA_ARGS__) })

static bool has_program(const char *name)
{
	return RUN("sh", "-c", "command -v \"$0\" >/dev/null", name).status == 0;
}

/* That it was followed is what makes sameness worth something. */
static void check_allocations(json_t *report, int64_t at_least)
{
	assert_true(json_sums(json_pool(report, 0, "heap")).allocs >= at_least);
}

/* `count` lines in no order, the same on each run. */
static char *write_lines(const char *name, unsigned int count)
{
	char *path = text("%s/%s", test_tmp, name);
	FILE *file = fopen(path, "we");
	unsigned int i;

	assert_non_null(file);
	for (i = 0; i < count; i++)
		fprintf(file, "%016llx line %u\n", (unsigned long long)mix(i), i % 1000);
	assert_int_equal(fclose(file), 0);
	return path;
}

static void write_text(const char *path, const char *content)
{
	write_file(path, content, strlen(content));
}

/* ---- Real programs --------------------------------------------------------------------------- */

static void git_behaves_the_same(void **state)
{
	const char *script =
		"git init -q . && for i in 1 2 3; do seq $i 2000 >numbers; mkdir -p d$i; "
		"echo $i >d$i/file; git add -A; git commit -q -m \"number $i\"; done";
	struct command prepare = { .argv = LIST("sh", "-c", script), .cwd = test_tmp };
	char *repository = text("%s/repository", test_tmp);

	(void)state;
	if (!has_program("git"))
		SKIP("no git");
	assert_int_equal(mkdir(repository, 0700), 0);
	prepare.cwd = repository;
	prepare.env = LIST(text("HOME=%s", test_tmp), "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a",
			   "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=c",
			   "GIT_COMMITTER_EMAIL=c@d", "GIT_AUTHOR_DATE=1700000000 +0000",
			   "GIT_COMMITTER_DATE=1700000000 +0000");
	assert_int_equal(run(&prepare).status, 0);
	prepare.argv = LIST("git", "log", "--stat", "-p");
	check_allocations(check_same(&prepare), 100);
	prepare.argv = LIST("git", "fsck", "--full");
	check_same(&prepare);
	prepare.argv = LIST("git", "pack-objects", "--all", "--threads=4", "--stdout", "-q");
	prepare.input = "";
	check_same(&prepare);
	prepare.argv = LIST("git", "log", "no-such-branch");
	check_same(&prepare);
}

static void python3_behaves_the_same(void **state)
{
	static const char script[] =
		"import subprocess, sys, threading\n"
		"results = [None] * 8\n"
		"def work(n):\n"
		"    results[n] = sum(len(s) for s in {str(i): 'x' * i for i in range(n * 100)})\n"
		"threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
		"[t.start() for t in threads]\n"
		"[t.join() for t in threads]\n"
		"print(results, sys.stdin.read())\n"
		"print(subprocess.run(['sh', '-c', 'echo child; exit 3'], capture_output=True))\n"
		"print('to stderr', file=sys.stderr)\n"
		"sys.exit(42)\n";

	(void)state;
	if (!has_program("python3"))
		SKIP("no python3");
	check_allocations(check_same(&(struct command){ .argv = LIST("python3", "-c", script),
							.input = "some input" }),
			  500);
	SAME("python3", "-c", "import os; os.abort()");
	SAME("python3", "-c", "raise SystemExit('words')");
	SAME("python3", "-c", "[0] * (1 << 60)");
}

static void perl_behaves_the_same(void **state)
{
	static const char script[] =
		"my %h; $h{$_ % 997} .= \"$_,\" for 1 .. 50000;\n"
		"print length(join '', map { $h{$_} } sort keys %h), \"\\n\"; $| = 1;\n"
		"for my $n (1 .. 5) { my $p = fork // die; if (!$p) { my @a = 1 .. 999; exit $n }\n"
		"waitpid $p, 0; print $? >> 8, \"\\n\" } print while <STDIN>; exit 42;\n";

	(void)state;
	if (!has_program("perl"))
		SKIP("no perl");
	check_allocations(check_same(&(struct command){ .argv = LIST("perl", "-e", script),
							.input = "two\nlines\n" }),
			  1000);
	SAME("perl", "-e", "die \"a last word\\n\""); /* its status is errno */
	SAME("perl", "-e", "kill 'TERM', $$; sleep 60");
}

static void gcc_behaves_the_same(void **state)
{
	char *source = text("%s/program.c", test_tmp), *program = text("%s/program", test_tmp);
	char *first, *second;
	size_t first_size, second_size;
	json_t *report;

	(void)state;
	if (!has_program("gcc"))
		SKIP("no gcc");
	write_text(source, "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
			   "int main(void) { puts(\"compiled\"); return 5; }\n");
	assert_int_equal(RUN("gcc", "-O2", "-g", "-o", program, source).status, 0);
	first = read_file(program, &first_size);
	report = SAME("gcc", "-O2", "-g", "-o", program, source);
	check_allocations(report, 1000);
	assert_true(json_array_size(json_get(report, "processes")) >= 4); /* cc1, as, collect2... */
	second = read_file(program, &second_size);
	check_same_bytes("the program", first, first_size, second, second_size);
	assert_int_equal(RUN(program).status, 5);
	SAME("gcc", "-O2", "-S", "-o", "-", source);
	write_text(source, "int main(void) { return undeclared; }\n");
	SAME("gcc", "-c", "-o", program, source);
}

static void sort_behaves_the_same(void **state)
{
	char *lines = write_lines("lines", 100000);
	struct command command = { .argv = LIST("sort", "-S", "1M", "--parallel=4", lines),
				   .env = LIST("LC_ALL=C") };

	(void)state;
	check_allocations(check_same(&command), 1);
	command.argv = LIST("sort", "-u", "-k3n");
	command.input = read_file(lines, NULL);
	check_same(&command);
	command.argv = LIST("sort", "-c", lines);
	check_same(&command);
}

static void tar_behaves_the_same(void **state)
{
	char *tree = text("%s/tree", test_tmp), *archive = text("%s/tree.tar.gz", test_tmp);
	int i;

	(void)state;
	assert_int_equal(mkdir(tree, 0700), 0);
	for (i = 0; i < 50; i++)
		write_lines(text("tree/file-%d", i), 100);
	assert_int_equal(symlink("file-1", text("%s/link", tree)), 0);
	check_allocations(SAME("tar", "-C", test_tmp, "-cf", "-", "tree"), 10);
	SAME("tar", "-C", test_tmp, "-czf", "-", "tree"); /* with gzip */
	assert_int_equal(RUN("tar", "-C", test_tmp, "-czf", archive, "tree").status, 0);
	SAME("tar", "-tvzf", archive);
	SAME("tar", "-xvOf", archive);
	SAME("tar", "-tf", tree);
}

/* ---- What a command is given ----------------------------------------------------------------- */

static void command_is_started_as_without_tally(void **state)
{
	struct command command = { .argv = LIST(prog("inherited"), "", "two words", "--json", "--",
						"-x", "\xff\n"),
				   .env = LIST("ODD=a=b", "EMPTY="),
				   .cwd = test_tmp };

	(void)state;
	check_same(&command);
	command.argv = LIST(prog("inherited"));
	check_same_as(LIST("sh", "-c", "umask 027; ulimit -Sn 123; ulimit -c 0; exec \"$@\"", "sh"),
		      &command);
	check_same_as(LIST("nice", "-n", "3"), &command);
}

/* ls -l /proc/self/fd, in effect. */
static void no_descriptor_of_tally_leaks_into_the_command(void **state)
{
	const char *with_more = "exec 3</dev/zero 7>>\"$0.log\" 9<.; exec \"$@\"";
	struct command command = { .argv = LIST(prog("inherited")), .cwd = test_tmp };

	(void)state;
	check_same(&command);
	check_same_as(LIST("sh", "-c", with_more, text("%s/file", test_tmp)), &command);
	check_same_as(LIST("sh", "-c", "exec \"$@\" <&-", "sh"), &command);
	check_same_as(LIST("sh", "-c", "exec \"$@\" 2>&-", "sh"), &command);
	check_same_as(LIST("sh", "-c", "exec \"$@\" <&- 2>&-", "sh"), &command);
}

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

static void stdin_passes_through(void **state)
{
	struct command command = { .argv = LIST("cat"),
				   .input = read_file(write_lines("lines", 50000), NULL) };
	struct job job = START(built("tally"), "run", "--", "cat");
	struct outcome outcome;

	(void)state;
	check_same(&command);
	/* what the first program leaves is there for the next */
	command.argv = LIST("sh", "-c", "read a; read b; echo \"$b $a\"; cat | tail -n 1");
	check_same(&command);
	check_same_as(LIST("sh", "-c", "\"$@\"; echo left:; head -n 1", "sh"),
		      &(struct command){ .argv = LIST("true"), .input = "untouched\n" });
	/* a pipe: answered line by line, ended by its end */
	job_say(&job, "one");
	assert_string_equal(job_line(&job), "one");
	job_say(&job, "two");
	assert_string_equal(job_line(&job), "two");
	outcome = job_end(&job);
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.out, "");
}

static void stderr_is_the_commands_alone_when_the_report_goes_to_a_file(void **state)
{
	char *script = text("%s 1001 </dev/null >&2 & wait; echo words >&2; kill -9 $$",
			    prog("push_many"));
	struct outcome outcome;

	(void)state;
	/* forked, killed, records lost: everything that there would be to say */
	outcome = run(
		&(struct command){ .argv = LIST(built("tally"), "run", "--ring", "64", "--json",
						report_path(), "--", "sh", "-c", script) });
	assert_int_equal(outcome.status, 128 + SIGKILL);
	assert_string_equal(outcome.out, "");
	assert_string_equal(outcome.err, "pushed\nwords\n");
}

static void preload_of_the_user_is_kept(void **state)
{
	char *mark = text("LD_PRELOAD=%s", prog("libmark.so"));
	struct outcome outcome;

	(void)state;
	outcome = run(&(struct command){ .argv = LIST(built("tally"), "run", "--", "env"),
					 .env = LIST(mark) });
	assert_int_equal(outcome.status, 0);
	assert_non_null(strstr(outcome.out, "marked env\n"));
	assert_non_null(strstr(outcome.out, text("\nLD_PRELOAD=%s:%s\n",
						 built("libtally-malloc.so"), prog("libmark.so"))));
	assert_null(strstr(outcome.err, "could not be followed"));
	/* an empty one is none */
	outcome = run(&(struct command){ .argv = LIST(built("tally"), "run", "--", "env"),
					 .env = LIST("LD_PRELOAD=") });
	assert_non_null(
		strstr(outcome.out, text("\nLD_PRELOAD=%s\n", built("libtally-malloc.so"))));
}

/* ---- How it ends ----------------------------------------------------------------------------- */

static void every_exit_status_passes_through(void **state)
{
	int status;

	(void)state;
	for (status = 0; status <= 255; status++)
		assert_int_equal(
			TALLY("run", "--", "sh", "-c", "exit $0", text("%d", status)).status,
			status);
}

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
	START(prog("in_terminal"), "80", built("tally"), "run", "--json", report_path(), "--",     \
	      __VA_ARGS__)

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

/* ---- What cannot be followed or started ------------------------------------------------------ */

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
		TEST(git_behaves_the_same),
		TEST(python3_behaves_the_same),
		TEST(perl_behaves_the_same),
		TEST(gcc_behaves_the_same),
		TEST(sort_behaves_the_same),
		TEST(tar_behaves_the_same),
		TEST(command_is_started_as_without_tally),
		TEST(no_descriptor_of_tally_leaks_into_the_command),
		TEST(command_gets_the_original_signal_mask_and_dispositions),
		TEST(status_arrives_though_SIGCHLD_is_ignored),
		TEST(stdin_passes_through),
		TEST(stderr_is_the_commands_alone_when_the_report_goes_to_a_file),
		TEST(preload_of_the_user_is_kept),
		TEST(every_exit_status_passes_through),
		TEST(every_deadly_signal_becomes_128_and_its_number),
		TEST(signals_to_the_runner_are_forwarded_once_each),
		TEST(command_that_dies_of_a_forwarded_signal_is_reported),
		TEST(command_lives_on_when_the_runner_is_killed),
		TEST(survivors_do_not_keep_the_runner_and_are_listed),
		TEST(keys_of_the_terminal_reach_the_command_once_and_the_runner_reports),
		TEST(command_that_dies_of_control_C_is_reported),
		TEST(hang_up_of_the_terminal_reaches_the_command),
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
