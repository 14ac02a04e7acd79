/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of any length on stdout, for as long as somebody reads them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

void output_long(void)
{
	static char buffer[65536];

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
}

/* What is still waiting goes nowhere, and main() finds nothing wrong with that. */
static void drop(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDOUT_FILENO);
	close(null);
	clearerr(stdout);
	fflush(stdout);
}

int output_flush(void)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	if (errno == EPIPE) {
		drop();
		return EXIT_GONE;
	}
	say("the output was not written: %s", strerror(errno ? errno : EIO));
	return EXIT_ERROR;
}
