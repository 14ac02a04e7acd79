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

#include "bench/harness/result.h"

#define LAYOUT 128
#define CONNECTIONS 1000
#define CLIENTS 4
#define MESSAGES 1000000u
#define AT_ONCE 64 /* in one send() */
#define ASKED 1000 /* in a batch */
#define BATCHES 21
#define LOOPS 5

enum { ALLOC = 1, FREE = 2, QUERY = 3 };

static const struct question reporting = { .id = "gateway_reports",
					   .words = "How many reports does the gateway take from "
						    "4 clients, 1,000 others being connected?",
					   .unit = "M messages/s",
					   .more = true };
static const struct question asking = { .id = "gateway_question",
					.words = "How long does a question to the gateway take?",
					.unit = "ns" };

static struct figure reports = { .name = "reports" };
static struct spread alone = { .name = "a question, alone" };
static struct spread crowded = { .name = "a question, 1,000 clients connected" };
static uint32_t messages; /* of all clients, a round */

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
			report(messages / CLIENTS);
			_exit(0);
		}
	for (n = 0; n < CLIENTS; n++)
		if (wait(&status) < 0 || status)
			fail("a client has failed");
	return messages / (now_ns() - start_ns) * 1e3;
}

/* ---- Questions ------------------------------------------------------------------------------- */

static void time_questions(struct spread *spread)
{
	size_t batches = bench_rounds(BATCHES), i;
	int fd = connect_to(), n;

	ask(fd); /* its layout is known from here on */
	ask(fd);
	for (i = 0; i < batches; i++) {
		bench_progress(spread->name, i, batches);
		spread_begin(spread);
		for (n = 0; n < ASKED; n++) {
			uint64_t start = stamp();

			ask(fd);
			spread_add(spread, stamp() - start);
		}
		spread_end(spread);
	}
	close(fd);
}

static void connect_others(void)
{
	static int fds[CONNECTIONS];
	int n;

	for (n = 0; n < CONNECTIONS; n++) {
		unsigned char bytes[LAYOUT];

		fds[n] = connect_to();
		put(bytes, ALLOC, 1, 4096);
		if (fds[n] < 0)
			fail("connect");
		send_all(fds[n], bytes, LAYOUT);
	}
	for (n = 0; n < CONNECTIONS; n++)
		ask(fds[n]);
}

static void report_all(void)
{
	struct spread_summary summary;

	result_figure(&reporting, &reports);
	result_goal(&reporting, &(struct goal){ .words = "reports",
						.value = figure_median(&reports),
						.unit = reporting.unit,
						.limit = 1,
						.at_least = true });
	result_spread(&asking, &alone);
	result_spread(&asking, &crowded);
	spread_summary(&crowded, &summary);
	result_goal(&asking, &(struct goal){ .words = "half of the questions",
					     .value = summary.p50,
					     .unit = "ns",
					     .limit = 100000 });
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	int n, fd;

	bench_begin(argc, argv, "gateway");
	messages = bench_quick() ? MESSAGES / 10 : MESSAGES;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	start();
	while ((fd = connect_to()) < 0)
		usleep(1000);
	close(fd);
	time_questions(&alone);
	connect_others();
	time_questions(&crowded);
	for (n = 0; n < LOOPS; n++) {
		bench_progress(reports.name, (size_t)n, LOOPS);
		figure_time(&reports, reports_per_s);
	}
	end();
	report_all();
	return bench_end();
}
