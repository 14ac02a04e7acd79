/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway: accepts, waits for whatever comes next, ends.
 *
 * One thread does everything that clients cause, and waits for none of them: what one has sent is
 * read a piece at a time, in turn; what one does not read is kept for it up to a limit. What is
 * printed is written by threads of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server.h"

#define EVENTS 64
#define ACCEPTS 64 /* before the others have their turn */

uint64_t server_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Connections ----------------------------------------------------------------------------- */

static struct ucred peer_of(int fd)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		peer = (struct ucred){ .uid = (uid_t)-1 };
	return peer;
}

static void turn_away(struct gateway *gateway, int fd)
{
	struct client nobody = { .gateway = gateway, .comm = "?", .pid = peer_of(fd).pid };

	close(fd);
	log_about(&nobody, "is turned away: %zu are connected, which is the limit",
		  gateway->client_count);
}

/* No descriptor is left: one that is kept for this is given up, so that who waits is told. */
static void turn_away_without_descriptor(struct gateway *gateway)
{
	int fd;

	if (gateway->spare_fd >= 0)
		close(gateway->spare_fd);
	fd = accept4(gateway->place.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		turn_away(gateway, fd);
	gateway->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void take(struct gateway *gateway, int fd)
{
	struct ucred peer = peer_of(fd);

	if (gateway->client_count >= GATEWAY_CONNECTIONS) {
		turn_away(gateway, fd);
	} else if (!shares_connection(gateway, peer.uid)) {
		close(fd);
		shares_refuse(gateway, peer.uid);
	} else {
		client_open(gateway, fd, &peer);
	}
}

static void accept_some(struct gateway *gateway)
{
	int n, fd;

	for (n = 0; n < ACCEPTS; n++) {
		fd = accept4(gateway->place.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			turn_away_without_descriptor(gateway);
			return;
		}
		if (fd < 0)
			return;
		take(gateway, fd);
	}
}

static void serve(struct client *client, uint32_t events)
{
	bool stays = true;

	if (events & EPOLLOUT)
		stays = client_write(client);
	else if (client->ends && (events & (EPOLLHUP | EPOLLERR)))
		stays = false; /* nobody reads what is left */
	if (stays && !client->ends && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		stays = client_read(client);
	if (!stays)
		client_close(client);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void settle_due(struct gateway *gateway)
{
	while (gateway->waiting && gateway->waiting->settle_ns <= server_now_ns()) {
		struct client *client = gateway->waiting;

		if (!client_settle(client))
			client_close(client);
	}
}

static void dump_due(struct gateway *gateway)
{
	if (!(gateway->dump_buffers || gateway->dump_kernels) || server_now_ns() < gateway->dump_ns)
		return;
	if (gateway->dump_buffers)
		log_list(gateway, false);
	if (gateway->dump_kernels)
		log_list(gateway, true);
	gateway->dump_buffers = gateway->dump_kernels = false;
	gateway->dump_ns = server_now_ns() + GATEWAY_DUMP_PAUSE_MS * 1000000ull;
}

/* Milliseconds until the next thing is due, rounded up; -1: nothing is. */
static int next_due_ms(const struct gateway *gateway)
{
	uint64_t now_ns = server_now_ns(), due_ns = UINT64_MAX;

	if (gateway->waiting)
		due_ns = gateway->waiting->settle_ns;
	if ((gateway->dump_buffers || gateway->dump_kernels) && gateway->dump_ns < due_ns)
		due_ns = gateway->dump_ns;
	if (due_ns == UINT64_MAX)
		return -1;
	return due_ns > now_ns ? (int)((due_ns - now_ns + 999999u) / 1000000u) : 0;
}

/* ---- The loop -------------------------------------------------------------------------------- */

static int ending_signal(const struct gateway *gateway)
{
	struct signalfd_siginfo info;

	if (read(gateway->signal_fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

static int loop(struct gateway *gateway)
{
	struct epoll_event events[EVENTS];
	int count, n, number = 0;

	while (!number) {
		count = epoll_wait(gateway->epoll_fd, events, EVENTS, next_due_ms(gateway));
		for (n = 0; n < count; n++) {
			if (events[n].data.ptr == &gateway->place)
				accept_some(gateway);
			else if (events[n].data.ptr == &gateway->signal_fd)
				number = ending_signal(gateway);
			else
				serve(events[n].data.ptr, events[n].events);
		}
		settle_due(gateway);
		dump_due(gateway);
	}
	return number;
}

/* ---- Begin and end --------------------------------------------------------------------------- */

/* Blocked here and in every thread that is made from now on; what is ignored (nohup) stays so. */
static int take_signals(sigset_t *ret_before)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action;
	sigset_t ours;
	size_t n;

	sigemptyset(&ours);
	for (n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
		if (sigaction(numbers[n], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&ours, numbers[n]);
	pthread_sigmask(SIG_BLOCK, &ours, ret_before);
	return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int watch(struct gateway *gateway, int fd, void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

	return fd < 0 || epoll_ctl(gateway->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void say_begin(struct gateway *gateway)
{
	log_say(gateway,
		"listening at %s; totals of its clients start from zero now, those of ring "
		"producers go on",
		gateway->options->path);
}

static void say_refused(void *gateway, const char *line)
{
	log_say(gateway, "not published: %s", line);
}

/* What was opened is closed by the caller. */
static int begin(struct gateway *gateway)
{
	const struct gateway_options *options = gateway->options;
	char why[SOCKET_WHY_MAX];
	int error;

	gateway->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	error = gateway->epoll_fd < 0 ? -errno : 0;
	if (!error)
		error = spool_open(STDOUT_FILENO, &gateway->out);
	if (!error)
		error = watch(gateway, gateway->signal_fd, &gateway->signal_fd);
	if (error) {
		log_say(gateway, "the gateway cannot begin: %s", strerror(-error));
		return error;
	}
	error = volumes_open(&gateway->volumes);
	if (!error)
		error = aggregate_open(&gateway->aggregate, options->all_users);
	if (error) {
		log_say(gateway, "there can be no region for the clients: %s", strerror(-error));
		return error;
	}
	error = socket_make(&gateway->place, options->path, options->mode, options->group, why);
	if (error)
		log_say(gateway, "%s", why);
	else
		error = watch(gateway, gateway->place.fd, &gateway->place);
	if (error || !options->publish_version)
		return error;
	error = publishing_begin(options->publish_version, options->all_users, say_refused, gateway,
				 &gateway->publishing);
	if (error)
		log_say(gateway, "totals cannot be published: %s", strerror(-error));
	return error;
}

static void end(struct gateway *gateway)
{
	if (gateway->place.fd >= 0)
		socket_remove(&gateway->place);
	while (gateway->clients)
		client_close(gateway->clients);
	publishing_end(gateway->publishing);
	if (gateway->aggregate.consumer)
		aggregate_close(&gateway->aggregate);
	volumes_close(&gateway->volumes);
	if (gateway->epoll_fd >= 0)
		close(gateway->epoll_fd);
	if (gateway->signal_fd >= 0)
		close(gateway->signal_fd);
	if (gateway->spare_fd >= 0)
		close(gateway->spare_fd);
	spool_close(gateway->out);
	spool_close(gateway->err);
}

int gateway_run(const struct gateway_options *options)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));
	sigset_t before;
	int result;

	if (!gateway)
		return -ENOMEM;
	gateway->options = options;
	gateway->uid = geteuid();
	gateway->place.fd = gateway->epoll_fd = -1;
	gateway->signal_fd = take_signals(&before);
	gateway->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	result = spool_open(STDERR_FILENO, &gateway->err);
	if (!result)
		result = begin(gateway);
	if (!result) {
		say_begin(gateway);
		result = loop(gateway);
		log_say(gateway, "ending: %llu messages of %llu clients",
			(unsigned long long)gateway->messages, (unsigned long long)gateway->served);
	}
	end(gateway);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(gateway);
	return result;
}
