/* SPDX-License-Identifier: Apache-2.0 */
/* `tally gateway` at a socket of the test's own, and clients as the field has them. */
#ifndef TESTS_GATEWAY_H
#define TESTS_GATEWAY_H

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli.h"
#include "tests/legacy.h"
#include "tests/support.h"

static inline char *gateway_path(void)
{
	return text("%s/socket", test_tmp);
}

/* A connection, or -1 with errno. */
static inline int gateway_try(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static inline int gateway_connect(void)
{
	int fd = gateway_try(gateway_path());

	assert_true(fd >= 0);
	return fd;
}

static inline char *gateway_said(const struct job *gateway)
{
	return read_file(gateway->err_path, NULL);
}

/* Runs from when it says that it listens. more: options, or NULL. */
static inline struct job gateway_start(const char *const *more)
{
	const char *argv[16] = { built("tally"), "gateway", "--socket", gateway_path() };
	struct job gateway;
	size_t n;

	for (n = 0; more && more[n]; n++)
		argv[4 + n] = more[n];
	gateway = job_start(&(struct command){ .argv = argv });
	WAIT_FOR(strstr(gateway_said(&gateway), "listening at "));
	return gateway;
}

static inline struct outcome gateway_end(struct job *gateway)
{
	struct outcome outcome;

	job_signal(gateway, SIGTERM);
	outcome = job_end(gateway);
	if (outcome.status != 0)
		fail_msg("the gateway ended with %d: %s", outcome.status, outcome.err);
	assert_int_equal(access(gateway_path(), F_OK), -1);
	return outcome;
}

/* ---- A client -------------------------------------------------------------------------------- */

static inline void legacy_send(int fd, const void *bytes, size_t size)
{
	assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

static inline void legacy_say(int fd, unsigned int layout, uint8_t type, int32_t device,
			      uint8_t buffer_type, uint64_t id, uint64_t size)
{
	struct legacy_message message = {
		.type = type,
		.device = device,
		.size = size,
		.buffer_type = buffer_type,
		.pid = getpid(),
		.id = id,
		.timestamp = type == LEGACY_ALLOC ? 1700000000000000000u : 0,
	};
	unsigned char bytes[LEGACY_MAX];

	legacy_put(bytes, &message, layout);
	legacy_send(fd, bytes, layout);
}

static inline void legacy_alloc(int fd, unsigned int layout, int32_t device, uint8_t buffer_type,
				uint64_t id, uint64_t size)
{
	legacy_say(fd, layout, LEGACY_ALLOC, device, buffer_type, id, size);
}

static inline void legacy_free(int fd, unsigned int layout, int32_t device, uint64_t id)
{
	legacy_say(fd, layout, LEGACY_FREE, device, 0, id, 0);
}

/* So many bytes; false: the other end has closed. */
static inline bool legacy_receive(int fd, unsigned char *bytes, size_t size)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t have = 0;

	while (have < size) {
		ssize_t got;

		if (poll(&ready, 1, DEADLINE_S * 1000) != 1)
			fail_msg("no answer: %zu of %zu bytes", have, size);
		got = recv(fd, bytes + have, size - have, 0);
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

struct legacy_totals {
	uint64_t dram, l1, l1_small, trace, cb, kernel; /* the last two 0 below 128 bytes */
};

/* All that was sent before has been taken when it is answered. */
static inline struct legacy_totals legacy_ask(int fd, unsigned int layout, int32_t device)
{
	unsigned char reply[LEGACY_MAX];
	struct legacy_totals totals = { 0 };

	legacy_say(fd, layout, LEGACY_QUERY, device, 0, 0, 0);
	if (!legacy_receive(fd, reply, layout))
		fail_msg("the connection was closed");
	assert_int_equal(reply[0], LEGACY_RESPONSE);
	assert_int_equal((int32_t)legacy_u32(reply, 4), device);
	totals.dram = legacy_u64(reply, 40);
	totals.l1 = legacy_u64(reply, 48);
	totals.l1_small = legacy_u64(reply, 56);
	totals.trace = legacy_u64(reply, 64);
	if (legacy_cb_at(layout)) {
		totals.cb = legacy_u64(reply, 72);
		totals.kernel = legacy_u64(reply, 80);
	}
	return totals;
}

/* ---- What `tally ps` says -------------------------------------------------------------------- */

static inline json_t *ps_now(void)
{
	return json_parse(TALLY("ps", "--json").out);
}

/* Of all processes, or of a process; 0 where there is no such pool. */
static inline int64_t live_of(json_t *json, int64_t device, const char *pool)
{
	json_t *found = json_pool(json, device, pool);

	if (!found)
		return 0;
	assert_int_equal(json_number(found, "live_bytes"), json_number(found, "live_bytes_high"));
	return json_number(found, "live_bytes");
}

static inline json_t *process_of(json_t *ps, int64_t pid)
{
	json_t *process;

	assert_int_equal(json_processes(ps, pid, &process), 1);
	return process;
}

#endif
