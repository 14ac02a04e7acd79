/* SPDX-License-Identifier: Apache-2.0 */
/* `tally run` is not noticed by the command, which behaves, is started and ends as without it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/transparent.h"

/* ---- Real programs --------------------------------------------------------------------------- */

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

static void every_exit_status_passes_through(void **state)
{
	int status;

	(void)state;
	for (status = 0; status <= 255; status++)
		assert_int_equal(
			TALLY("run", "--", "sh", "-c", "exit $0", text("%d", status)).status,
			status);
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
		TEST(stdin_passes_through),
		TEST(stderr_is_the_commands_alone_when_the_report_goes_to_a_file),
		TEST(preload_of_the_user_is_kept),
		TEST(every_exit_status_passes_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
