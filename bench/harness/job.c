/* SPDX-License-Identifier: Apache-2.0 */
/* One command after the other, with wall time and processor time. */
#include "bench/harness/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/harness/machine.h"

static volatile sig_atomic_t interrupted, running; /* a pid: the job may be interrupted */
static sigset_t ending;

static void interrupt(int number)
{
	(void)number;
	interrupted = 1;
	if (running > 0)
		kill(-(pid_t)running, SIGTERM);
}

void job_catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt };

	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool job_interrupted(void)
{
	return interrupted;
}

static void into(const char *path, int fd)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (file < 0 || dup2(file, fd) < 0)
		_exit(127);
}

static _Noreturn void become(const struct job *job)
{
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setpgid(0, 0);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &ending, NULL);
	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || chdir(job->folder) != 0)
		_exit(127);
	into(job->out, STDOUT_FILENO);
	into(job->err, STDERR_FILENO);
	execvp(job->words[0], job->words);
	_exit(127);
}

static double ns(const struct timeval *time)
{
	return (double)time->tv_sec * 1e9 + (double)time->tv_usec * 1e3;
}

struct job_end job_run(const struct job *job)
{
	struct job_end end = { .status = 127 };
	struct rusage usage;
	double start_ns;
	pid_t pid = -1;
	int status;

	sigprocmask(SIG_BLOCK, &ending, NULL); /* until it is known whom they are to end */
	start_ns = now_ns();
	if (job->tidies || !interrupted)
		pid = fork();
	if (pid == 0)
		become(job);
	if (pid > 0)
		setpgid(pid, pid);
	running = job->tidies ? 0 : pid;
	sigprocmask(SIG_UNBLOCK, &ending, NULL);
	if (pid < 0)
		return end;
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	running = 0;
	end.wall_ns = now_ns() - start_ns;
	end.cpu_ns = ns(&usage.ru_utime) + ns(&usage.ru_stime);
	end.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return end;
}
