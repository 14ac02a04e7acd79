/* SPDX-License-Identifier: Apache-2.0 */
/* Starts producers and kills each, once it has pushed.
 *
 *	mortal COUNT AT_ONCE [MARK]
 *
 * COUNT children are forked, of which AT_ONCE live at a time; each makes 11 pushes, says so, and is
 * killed by SIGKILL as the oldest when there are as many. The last one is alone. After each MARK
 * children and at the end a line says how many were killed; after each it waits for a line, or
 * the end of its input.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#define AT_ONCE_MAX 64
#define PUSHES 11

static struct {
	pid_t pid;
	int ready; /* a byte comes when it has pushed */
} living[AT_ONCE_MAX];

static long started, killed;

static void live(int ready)
{
	int n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (n = 0; n < PUSHES; n++)
		tally_alloc(1, TALLY_POOL_L1, (uint64_t)n, 16);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static int start_one(long at_once)
{
	long slot = started % at_once;
	int ends[2];

	if (pipe(ends) != 0)
		return -1;
	living[slot].pid = fork();
	if (living[slot].pid == 0) {
		close(ends[0]);
		live(ends[1]);
	}
	close(ends[1]);
	living[slot].ready = ends[0];
	started++;
	return living[slot].pid < 0 ? -1 : 0;
}

/* The oldest. */
static int kill_one(long at_once)
{
	long slot = killed % at_once;
	int status;
	char byte;

	if (read(living[slot].ready, &byte, 1) != 1 || kill(living[slot].pid, SIGKILL) != 0 ||
	    waitpid(living[slot].pid, &status, 0) != living[slot].pid || !WIFSIGNALED(status) ||
	    WTERMSIG(status) != SIGKILL)
		return -1;
	close(living[slot].ready);
	killed++;
	return 0;
}

static int report(void)
{
	char line[16];

	printf("%ld\n", killed);
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) || feof(stdin) ? 0 : -1;
}

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[1]) : 0, at_once = argc > 2 ? atol(argv[2]) : 0;
	long mark = argc > 3 ? atol(argv[3]) : count;

	if (count < 1 || at_once < 1 || at_once > AT_ONCE_MAX || mark < 1)
		return 2;
	while (killed < count) {
		while (started - killed < at_once && started < count - 1)
			if (start_one(at_once) != 0)
				return 3;
		if (started == killed && start_one(at_once) != 0)
			return 3;
		if (kill_one(at_once) != 0)
			return 4;
		if ((killed % mark == 0 || killed == count) && report() != 0)
			return 5;
	}
	return 0;
}
