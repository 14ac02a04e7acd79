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

/* Runs `act` in a child; its status, or skips the test. */
static inline void in_child(void (*act)(void), const char *cannot)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		act();
		_exit(0);
	}
	status = wait_status(pid);
	if (status == CANNOT)
		SKIP("%s", cannot);
	assert_int_equal(status, 0);
}

static inline int open_dir(void)
{
	int fd = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

#endif
