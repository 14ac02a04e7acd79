/* SPDX-License-Identifier: Apache-2.0 */
/* Says "ready", then a line "got N" for each signal N that comes; ends when its stdin does.
 *
 *	catch STATUS
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct signalfd_siginfo info;
	struct pollfd from[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigdelset(&all, SIGTTIN);
	sigprocmask(SIG_BLOCK, &all, NULL);
	from[1].fd = signalfd(-1, &all, SFD_CLOEXEC);
	if (argc != 2 || from[1].fd < 0)
		return 99;
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(from, 2, -1) <= 0)
			return 98;
		if (from[1].revents & POLLIN) {
			if (read(from[1].fd, &info, sizeof(info)) != sizeof(info))
				return 97;
			printf("got %u\n", info.ssi_signo);
			fflush(stdout);
		} else if (from[0].revents && read(STDIN_FILENO, &byte, 1) <= 0) {
			return atoi(argv[1]);
		}
	}
}
