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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/harness/result.h"

#define LAYOUT 128
#define CONNECTIONS 1000
#define CLIENTS 4
#define MESSAGES 1000000u /* of all clients, a round; a fifth of it with --quick */
#define AT_ONCE 64	  /* in one send() */
#define BATCHES 5	  /* of questions */
#define BATCH 4000
#define LOOPS 5
#define LOOPS_QUICK 3

enum { ALLOC = 1, FREE = 2, QUERY = 3 };

static const struct question asking = { .id = "gateway_question",
					.words = "How long does a question to the gateway take?",
					.unit = "ns" };
static const struct question taking = { .id = "gateway_reports",
					.words = "How many reports of 4 clients does the gateway "
						 "take, 1,000 others being connected?",
					.unit = "M reports/s",
					.more = true };

static struct spread ask_alone = { .name = "nobody else connected" };
static struct spread ask_crowd = { .name = "1,000 clients connected" };
static struct figure reports = { .name = "reports" };

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
		prctl(PR_SET_PDEATHSIG, SIGTERM);
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

static double reports_per_us(void)
{
	uint32_t count = bench_quick() ? MESSAGES / 5 : MESSAGES;
	double start_ns = now_ns();
	int n, status;

	for (n = 0; n < CLIENTS; n++)
		if (fork() == 0) {
			report(count / CLIENTS);
			_exit(0);
		}
	for (n = 0; n < CLIENTS; n++)
		if (wait(&status) < 0 || status)
			fail("a client has failed");
	return count / (now_ns() - start_ns) * 1e3;
}

/* ---- Questions ------------------------------------------------------------------------------- */

static void time_questions(struct spread *spread)
{
	int fd = connect_to(), batch, n;

	ask(fd); /* its layout is known from here on */
	ask(fd);
	for (batch = 0; batch < (bench_quick() ? 1 : BATCHES); batch++) {
		spread_begin(spread);
		for (n = 0; n < BATCH; n++) {
			uint64_t start = stamp();

			ask(fd);
			spread_add(spread, stamp() - start);
		}
		spread_end(spread);
	}
	close(fd);
}

/* Each has said something, and been answered. */
static void connect_crowd(void)
{
	static int open_fds[CONNECTIONS];
	unsigned char bytes[LAYOUT];
	struct rlimit limit;
	int n;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (n = 0; n < CONNECTIONS; n++) {
		open_fds[n] = connect_to();
		put(bytes, ALLOC, 1, 4096);
		if (open_fds[n] < 0)
			fail("connect");
		send_all(open_fds[n], bytes, LAYOUT);
	}
	for (n = 0; n < CONNECTIONS; n++)
		ask(open_fds[n]);
}

static void report_all(void)
{
	struct spread_summary crowd;
	double best = 0;
	size_t i;

	result_spread(&asking, &ask_alone);
	result_spread(&asking, &ask_crowd);
	spread_summary(&ask_crowd, &crowd);
	result_goal(&asking, &(struct goal){ .words = "median with 1,000 clients connected",
					     .value = crowd.p50,
					     .unit = "ns",
					     .limit = 100000 });
	for (i = 0; i < reports.count; i++)
		if (reports.samples[i].value > best)
			best = reports.samples[i].value;
	result_figure(&taking, &reports);
	result_goal(&taking, &(struct goal){ .words = "best round",
					     .value = best,
					     .unit = taking.unit,
					     .limit = 1,
					     .at_least = true });
}

int main(int argc, char **argv)
{
	int loops, n, fd;

	bench_begin(argc, argv, "gateway");
	loops = bench_quick() ? LOOPS_QUICK : LOOPS;
	start();
	while ((fd = connect_to()) < 0)
		usleep(1000);
	close(fd);
	time_questions(&ask_alone);
	connect_crowd();
	time_questions(&ask_crowd);
	for (n = 0; n < loops; n++) {
		bench_progress("rounds of reports", (size_t)n, (size_t)loops);
		figure_time(&reports, reports_per_us);
	}
	end();
	report_all();
	return bench_end();
}
