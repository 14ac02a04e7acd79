/* SPDX-License-Identifier: Apache-2.0 */
/* Starting CMD and waiting for it, so that neither it nor the terminal notices who stands between.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* What is passed on to CMD, and ends nothing here. */
static const int forwarded[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };

#define FORWARDED (sizeof(forwarded) / sizeof(forwarded[0]))

/* How SIGBUS stood before this process guarded itself. */
static struct sigaction bus_at_start;

/* The C library keeps these for its threads, and lets nobody look: the kernel is asked. A handler
 * of the library's would become the default in CMD, though it was ignored before. */
#define LIBRARY_SIGNALS 2
static const int library_signals[LIBRARY_SIGNALS] = { 32, 33 };
static bool library_ignored[LIBRARY_SIGNALS];

/* As the kernel knows it; the C library's has another order. */
struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

void child_note_signals(void)
{
	struct kernel_action action;
	size_t n;

	sigaction(SIGBUS, NULL, &bus_at_start);
	for (n = 0; n < LIBRARY_SIGNALS; n++)
		library_ignored[n] = syscall(SYS_rt_sigaction, library_signals[n], NULL, &action,
					     sizeof(action.mask)) == 0 &&
				     action.handler == SIG_IGN;
}

static void restore_signals(void)
{
	struct kernel_action action = { .handler = SIG_IGN };
	size_t n;

	sigaction(SIGBUS, &bus_at_start, NULL);
	for (n = 0; n < LIBRARY_SIGNALS; n++)
		if (library_ignored[n])
			syscall(SYS_rt_sigaction, library_signals[n], &action, NULL,
				sizeof(action.mask));
}

static void awaited_signals(sigset_t *set)
{
	size_t n;

	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	for (n = 0; n < FORWARDED; n++)
		sigaddset(set, forwarded[n]);
}

static void ignore(int signal)
{
	struct sigaction action = { .sa_handler = SIG_IGN };

	sigaction(signal, &action, NULL);
}

/* Tells the parent why CMD could not be executed, through a pipe that an exec closes. */
_Noreturn static void execute(char **argv, int failure_fd)
{
	int error;
	ssize_t written;

	execvp(argv[0], argv);
	error = errno;
	written = write(failure_fd, &error, sizeof(error));
	_exit(written == sizeof(error) ? EXIT_NOT_FOUND : EXIT_RUN_FAILED);
}

/* Whether there is such a file at all: execvp() says EACCES also of a PATH with a directory that
 * may not be searched. */
static bool exists(const char *command)
{
	char path[PATH_SIZE];

	return *command && reach_find(path, command, F_OK) && access(path, F_OK) == 0;
}

static int say_failure(const char *command, int error)
{
	char name[128];

	text_clean(name, sizeof(name), command);
	if (error == EACCES && !strchr(command, '/') && !exists(command))
		error = ENOENT;
	if (error != ENOENT) {
		say("%s cannot be run: %s", name, strerror(error));
		return EXIT_NOT_RUNNABLE;
	}
	if (exists(command))
		say("%s cannot be run: the interpreter that it names is missing", name);
	else
		say("%s: command not found", name);
	return EXIT_NOT_FOUND;
}

/* The error of CMD's exec, or 0 once it has succeeded. */
static int read_failure(int fd)
{
	int error = 0;
	ssize_t got;

	do
		got = read(fd, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	return got == sizeof(error) ? error : 0;
}

int child_start(struct child *child, char **argv)
{
	struct sigaction fresh = { .sa_handler = SIG_DFL }, chld;
	sigset_t awaited, mask;
	int failure[2];
	int error;

	if (pipe2(failure, O_CLOEXEC) != 0) {
		say("no pipe to start CMD: %s", strerror(errno));
		return EXIT_RUN_FAILED;
	}
	/* From here on they stay blocked: child_wait() takes them. */
	awaited_signals(&awaited);
	sigprocmask(SIG_BLOCK, &awaited, &mask);
	sigaction(SIGCHLD, &fresh, &chld); /* ignored, it would take CMD's status with it */
	child->pid = fork();
	if (child->pid == 0) {
		sigaction(SIGCHLD, &chld, NULL);
		restore_signals();
		sigprocmask(SIG_SETMASK, &mask, NULL);
		execute(argv, failure[1]);
	}
	error = errno;
	ignore(SIGPIPE); /* a closed stderr must not cost CMD's status */
	ignore(SIGTTOU);
	close(failure[1]);
	if (child->pid < 0) {
		say("no process for CMD: %s", strerror(error));
		close(failure[0]);
		return EXIT_RUN_FAILED;
	}
	error = read_failure(failure[0]);
	close(failure[0]);
	if (error == 0)
		return 0;
	waitpid(child->pid, &child->status, 0);
	return say_failure(argv[0], error);
}

static bool has_ended(struct child *child)
{
	int status;

	/* The signal may have come for a daemon that was left to us. */
	if (waitpid(child->pid, &status, WNOHANG) != child->pid)
		return false;
	child->status = status;
	return true;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What the keyboard sends goes to all of the foreground, so CMD has it already. A hang-up goes to
 * the leader of the session alone. */
static bool has_already(const siginfo_t *info)
{
	return info->si_code == SI_KERNEL && (info->si_signo != SIGHUP || getsid(0) != getpid());
}

bool child_wait(struct child *child, unsigned int milliseconds)
{
	int64_t end_ms = now_ms() + milliseconds;
	sigset_t awaited;

	awaited_signals(&awaited);
	while (!has_ended(child)) {
		int64_t left_ms = end_ms - now_ms();
		struct timespec left;
		siginfo_t info;
		int signal;

		if (left_ms <= 0)
			return false;
		left.tv_sec = left_ms / 1000;
		left.tv_nsec = left_ms % 1000 * 1000000;
		signal = sigtimedwait(&awaited, &info, &left);
		if (signal > 0 && signal != SIGCHLD && !has_already(&info))
			kill(child->pid, signal);
	}
	return true;
}
