/* SPDX-License-Identifier: Apache-2.0 */
/* A child that is followed from one system call to the next. */
#ifndef TESTS_CALLS_H
#define TESTS_CALLS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/child.h"
#include "tests/support.h"

/* In the child: calls are followed from here, to there. */
static inline void calls_begin(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(77);
	raise(SIGSTOP);
}

static inline void calls_end(void)
{
	raise(SIGSTOP);
}

/* A child that does this; it is at calls_begin(). */
static inline pid_t calls_follow(void (*act)(void))
{
	pid_t pid = fork_child(act);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("ptrace() is not allowed here");
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	assert_int_equal(
		ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	return pid;
}

struct call {
	int signal; /* that it gets; it is kept from it. Else 0, and: */
	long number;
	uint64_t args[6];
	bool done; /* it has been made; else it is about to be */
	long result;
};

/* The next call, or the next half of one. False: it is at calls_end(). */
static inline bool calls_next(pid_t pid, struct call *call)
{
	struct __ptrace_syscall_info info;
	int status;

	assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	call->signal = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
	if (call->signal)
		return call->signal != SIGSTOP;
	assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
	call->done = info.op == PTRACE_SYSCALL_INFO_EXIT;
	if (call->done) {
		call->result = (long)info.exit.rval;
	} else {
		call->number = (long)info.entry.nr;
		memcpy(call->args, info.entry.args, sizeof(call->args));
	}
	return true;
}

static inline void calls_let_go(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

#endif
