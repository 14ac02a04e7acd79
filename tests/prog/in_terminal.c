/* SPDX-License-Identifier: Apache-2.0 */
/* Runs CMD in a terminal of its own, as the leader of its session, without echo.
 *
 *	in_terminal COLUMNS CMD [ARGUMENT...]
 *
 * What comes on stdin is typed, what CMD shows goes to stdout byte by byte. At the end of stdin the
 * terminal hangs up. The exit status is CMD's, 128+n for a signal.
 */
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Copies what is there; false at the end. */
static bool copy(int from, int to)
{
	char bytes[4096];
	ssize_t got = read(from, bytes, sizeof(bytes)), put = 0;

	while (got > 0 && put < got) {
		ssize_t done = write(to, bytes + put, (size_t)(got - put));

		if (done <= 0)
			return false;
		put += done;
	}
	return got > 0;
}

static void relay(int master)
{
	struct pollfd from[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				  { .fd = master, .events = POLLIN } };

	while (poll(from, 2, -1) > 0) {
		/* first what is shown: CMD may have ended, and the rest is still to be read */
		if (from[1].revents) {
			if (!copy(master, STDOUT_FILENO))
				return;
		} else if (from[0].revents && !copy(STDIN_FILENO, master)) {
			return;
		}
	}
}

int main(int argc, char **argv)
{
	struct winsize size = { .ws_row = 24 };
	struct termios settings = { 0 };
	int master, status;
	pid_t pid;

	if (argc < 3)
		return 99;
	size.ws_col = (unsigned short)atoi(argv[1]);
	cfmakeraw(&settings);
	cfsetspeed(&settings, B38400);
	settings.c_cflag |= CREAD;
	settings.c_lflag |= ISIG | ICANON;
	settings.c_cc[VINTR] = 3;
	settings.c_cc[VQUIT] = 28;
	settings.c_cc[VEOF] = 4;
	pid = forkpty(&master, NULL, &settings, &size);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[2], argv + 2);
		_exit(99);
	}
	if (pid < 0)
		return 98;
	relay(master);
	close(master);
	if (waitpid(pid, &status, 0) != pid)
		return 97;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
