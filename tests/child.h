/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of regions share: children that do what may fail, and the directory of regions. */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/support.h"

/* Children answer by an exit status, as they must not fail a test themselves: 0, or the line of the
 * check that failed. */

#define CHILD_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "child: %s:%d: %s\n", __FILE__, __LINE__, #condition);     \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

enum { CANNOT = 77 }; /* this machine does not allow it */

/* A child that does `act`, and then ends well. */
static inline pid_t fork_child(void (*act)(void))
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		act();
		_exit(0);
	}
	return pid;
}

/* Runs `act` in a child; its status, or skips the test. */
static inline void in_child(void (*act)(void), const char *cannot)
{
	int status = wait_status(fork_child(act));

	if (status == CANNOT)
		SKIP("%s", cannot);
	assert_int_equal(status, 0);
}

/* A child that does `prepare`, says so, then `act`, again and again, until it is killed. */
static inline pid_t start_child(void (*prepare)(void *arg), void (*act)(void *arg), void *arg)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prepare(arg);
		CHILD_CHECK(write(ready[1], "r", 1) == 1);
		for (;;)
			act(arg);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static inline int open_dir(void)
{
	int fd = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

#endif
