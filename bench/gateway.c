/* SPDX-License-Identifier: Apache-2.0 */
/* What `tally gateway` takes: messages a second of several clients, how long a question takes, with
 * 1,000 connections open. Goals: 1 M messages/s on 2 processors, p50 of a question below 100 us.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/harness/figure.h"
#include "bench/harness/print.h"

#define LAYOUT 128
#define CONNECTIONS 1000
#define CLIENTS 4
#define MESSAGES 1000000u /* of all clients, a round */
#define AT_ONCE 64	  /* in one send() */
#define ASKED 20000
#define LOOPS 5

enum { ALLOC = 1, FREE = 2, QUERY = 3 };

static char dir[] = "/tmp/bench-gateway-XXXXXX", path[64];
static pid_t gateway;

static void fail(const char *what)
{
	fprintf(stderr, "bench/gateway: %s: %s\n", what, strerror(errno));
	if (gateway > 0)
		kill(gateway, SIGTERM);
	exit(1);
}

static void put(unsigned char *to, uint8_t type, uint64_t id, uint64_t size)
{
	int32_t device = 1, pid = getpid();

	memset(to, 0, LAYOUT);
	to[0] = type;
	memcpy(to + 4, &device, 4);
	memcpy(to + 8, &size, 8);
	memcpy(to + 20, &pid, 4);
	memcpy(to + 24, &id, 8);
}

static int connect_to(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, sizeof(path));
	if (fd < 0)
		fail("socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void send_all(int fd, const unsigned char *bytes, size_t size)
{
	if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		fail("send");
}

static void ask(int fd)
{
	unsigned char bytes[LAYOUT];

	put(bytes, QUERY, 0, 0);
	send_all(fd, bytes, LAYOUT);
	if (recv(fd, bytes, LAYOUT, MSG_WAITALL) != LAYOUT)
		fail("no answer");
}

static void start(void)
{
	if (!mkdtemp(dir))
		fail("mkdtemp");
	snprintf(path, sizeof(path), "%s/socket", dir);
	setenv("TALLY_DIR", access("/dev/shm", W_OK) ? dir : "/dev/shm", 1);
	gateway = fork();
	if (gateway == 0) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		execl(BUILD_DIR "/tally", "tally", "gateway", "--socket", path, (char *)NULL);
		_exit(127);
	}
}

static void end(void)
{
	kill(gateway, SIGTERM);
	waitpid(gateway, NULL, 0);
	rmdir(dir);
}

/* ---- Reports --------------------------------------------------------------------------------- */

static void report(uint32_t count)
{
	unsigned char bytes[AT_ONCE * LAYOUT];
	int fd = connect_to();
	uint32_t n, i;

	for (n = 0; n < count; n += AT_ONCE) {
		for (i = 0; i < AT_ONCE; i++)
			put(bytes + i * LAYOUT, i % 2 ? FREE : ALLOC, (n + i) / 2, 4096);
		send_all(fd, bytes, sizeof(bytes));
	}
	ask(fd); /* all of it has been taken when it is answered */
	close(fd);
}

static double reports_per_s(void)
{
	double start_ns = now_ns();
	int n, status;

	for (n = 0; n < CLIENTS; n++)
		if (fork() == 0) {
			report(MESSAGES / CLIENTS);
			_exit(0);
		}
	for (n = 0; n < CLIENTS; n++)
		if (wait(&status) < 0 || status)
			fail("a client has failed");
	return MESSAGES / (now_ns() - start_ns) * 1e3;
}

/* ---- Questions ------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void time_questions(const char *when)
{
	static double took_us[ASKED];
	int fd = connect_to(), n;

	ask(fd); /* its layout is known from here on */
	ask(fd);
	for (n = 0; n < ASKED; n++) {
		double start_ns = now_ns();

		ask(fd);
		took_us[n] = (now_ns() - start_ns) / 1e3;
	}
	close(fd);
	qsort(took_us, ASKED, sizeof(took_us[0]), compare);
	printf("a question, %-28s p50 %6.1f us, p99 %7.1f us, longest %7.1f us\n", when,
	       took_us[ASKED / 2], took_us[ASKED / 100 * 99], took_us[ASKED - 1]);
}

int main(void)
{
	static int open_fds[CONNECTIONS];
	struct rlimit limit;
	double best = 0;
	int n, fd;

	machine_print();
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	start();
	while ((fd = connect_to()) < 0)
		usleep(1000);
	close(fd);
	time_questions("alone");
	for (n = 0; n < CONNECTIONS; n++) {
		unsigned char bytes[LAYOUT];

		open_fds[n] = connect_to();
		put(bytes, ALLOC, 1, 4096);
		if (open_fds[n] < 0)
			fail("connect");
		send_all(open_fds[n], bytes, LAYOUT);
	}
	for (n = 0; n < CONNECTIONS; n++)
		ask(open_fds[n]);
	time_questions("1,000 clients connected");
	for (n = 0; n < LOOPS; n++) {
		double rate = reports_per_s();

		if (rate > best)
			best = rate;
		printf("reports of %d clients, 1,000 others connected: %.2f M/s\n", CLIENTS, rate);
	}
	printf("goals: p50 below 100 us, 1 M/s (best of %d: %.2f)\n", LOOPS, best);
	end();
	return 0;
}
