/* SPDX-License-Identifier: Apache-2.0 */
/* Real programs, run to their end or beside the test; see support.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support_kept.h"

void need_terminal(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	if (fd < 0)
		SKIP("no pseudo-terminal can be had here");
	close(fd);
}

/* Whether it is one of the programs that we have built. */
static bool is_ours(const char *word)
{
	const char *dir = built("");
	struct stat status;

	return strncmp(word, dir, strlen(dir)) == 0 && !strstr(word, ".so") &&
	       stat(word, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IXUSR);
}

void execute(const char *const *argv)
{
	static const char *const emulator[] = { EMULATOR_FIRST NULL };
	const char *all[100], *const *word;
	size_t count = 0;

	for (; *argv && count < COUNT(all) - COUNT(emulator) - 1; argv++) {
		for (word = emulator; *word && is_ours(*argv); word++)
			all[count++] = *word;
		all[count++] = *argv;
	}
	all[count] = NULL;
	execvp(all[0], (char *const *)all);
}

static size_t list_size(const char *const *list)
{
	size_t size = 0;

	while (list && list[size])
		size++;
	return size;
}

const char *const *list_and(const char *const *first, const char *const *rest)
{
	size_t before = list_size(first), after = list_size(rest);
	const char **both = support_keep(calloc(before + after + 1, sizeof(*both)));

	if (before)
		memcpy(both, first, before * sizeof(*both));
	if (after)
		memcpy(both + before, rest, after * sizeof(*both));
	return both;
}

/* In the child: becomes the program. */
static void become(const struct command *command, int in, int out, int err)
{
	const char *const *env;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(99);
	signal(SIGPIPE, SIG_DFL);
	for (env = command->env; env && *env; env++)
		putenv((char *)*env); /* without a '=' it removes */
	if (command->cwd && chdir(command->cwd) != 0)
		_exit(99);
	execute(command->argv);
	dprintf(2, "test: cannot run %s: %s\n", command->argv[0], strerror(errno));
	_exit(99);
}

static pid_t spawn(const struct command *command, int in, int out, int err)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(command, in, out, err);
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));
	return pid;
}

int wait_status(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ready = { .fd = pidfd, .events = POLLIN };
	int status, ended;

	if (pidfd < 0)
		fail_msg("pidfd_open: %s", strerror(errno));
	do {
		ended = poll(&ready, 1, DEADLINE_S * 1000);
	} while (ended < 0 && errno == EINTR);
	if (ended != 1) {
		close(pidfd);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		fail_msg("process %d did not end in %d s", pid, DEADLINE_S);
	}
	close(pidfd);
	if (waitpid(pid, &status, 0) != pid)
		fail_msg("waitpid: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int open_scratch(const char *what, char **ret_path)
{
	char *path = text("%s/%s-XXXXXX", test_tmp, what);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	*ret_path = path;
	return fd;
}

struct outcome run(const struct command *command)
{
	char *in_path, *out_path, *err_path;
	int in = open_scratch("in", &in_path);
	int out = open_scratch("out", &out_path);
	int err = open_scratch("err", &err_path);
	struct outcome outcome;
	pid_t pid;

	if (command->input) {
		write_file(in_path, command->input, strlen(command->input));
	} else {
		close(in);
		in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	pid = spawn(command, in, out, err);
	close(in);
	close(out);
	close(err);
	outcome.status = wait_status(pid);
	outcome.out = read_file(out_path, &outcome.out_size);
	outcome.err = read_file(err_path, &outcome.err_size);
	unlink(in_path);
	unlink(out_path);
	unlink(err_path);
	return outcome;
}

uint64_t strace_total(const struct outcome *outcome, const char *path)
{
	char *rest, *line;

	if (outcome->status != 0 && strstr(outcome->err, "ptrace"))
		SKIP("strace may not trace here");
	if (outcome->status != 0)
		fail_msg("status %d: %s", outcome->status, outcome->err);
	rest = read_file(path, NULL);
	while ((line = strsep(&rest, "\n"))) {
		uint64_t calls;

		if (strstr(line, " total") && sscanf(line, "%*s %*s %*s %" SCNu64, &calls) == 1)
			return calls;
	}
	fail_msg("strace gave no total");
	return 0;
}

struct job job_start(const struct command *command)
{
	int in[2], out[2], err;
	struct job job;

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		fail_msg("pipe: %s", strerror(errno));
	err = open_scratch("err", &job.err_path);
	job.pid = spawn(command, in[0], out[1], err);
	close(in[0]);
	close(out[1]);
	close(err);
	job.to = in[1];
	job.from = out[0];
	return job;
}

char *job_line(const struct job *job)
{
	char line[4096];
	size_t used = 0;

	for (;;) {
		struct pollfd ready = { .fd = job->from, .events = POLLIN };

		if (poll(&ready, 1, DEADLINE_S * 1000) != 1)
			fail_msg("no line came from process %d", job->pid);
		if (read(job->from, line + used, 1) != 1)
			fail_msg("process %d ended without a line; it said: %s", job->pid,
				 read_file(job->err_path, NULL));
		if (line[used] == '\n' || used == sizeof(line) - 1)
			break;
		used++;
	}
	line[used] = '\0';
	return text("%s", line);
}

void job_say(const struct job *job, const char *line)
{
	if (dprintf(job->to, "%s\n", line) < 0)
		fail_msg("process %d does not listen: %s", job->pid, strerror(errno));
}

void job_signal(const struct job *job, int number)
{
	if (kill(job->pid, number) != 0)
		fail_msg("kill: %s", strerror(errno));
}

struct outcome job_end(struct job *job)
{
	struct outcome outcome;

	close(job->to);
	outcome.status = wait_status(job->pid);
	/* what it started may hold the pipe: take what is there */
	fcntl(job->from, F_SETFL, O_NONBLOCK);
	outcome.out = support_read_all(job->from, &outcome.out_size);
	close(job->from);
	outcome.err = read_file(job->err_path, &outcome.err_size);
	return outcome;
}

int job_do(const struct job *job, const char *order)
{
	char *answer, *end;
	long number;

	job_say(job, order);
	answer = job_line(job);
	number = strtol(answer, &end, 10);
	if (end == answer || *end)
		fail_msg("process %d answers \"%s\" to: %s", job->pid, answer, order);
	return (int)number;
}

void job_end_well(struct job *job)
{
	assert_int_equal(job_end(job).status, 0);
}

void job_kill(struct job *job)
{
	job_signal(job, SIGKILL);
	assert_int_equal(job_end(job).status, -SIGKILL);
}
