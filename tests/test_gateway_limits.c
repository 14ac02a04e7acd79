/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway has room for: bounds on what is there, not on what ever was.
 * sanitizers: address */
#include <sys/resource.h>

#include "tests/child.h"
#include "tests/gateway.h"

/* ---- Pairs of device and pool ---------------------------------------------------------------- */

/* All that clients may have beyond device 63. */
#define PAIRS 576

/* A client that uses so many devices from `first` on, one byte each. */
static int client_of(int first, int count)
{
	int client = gateway_connect(), device;

	legacy_alloc(client, 72, 5, 1, 2, 1); /* is no such pair */
	for (device = first; device < first + count; device++)
		legacy_alloc(client, 72, device, 0, 1, 1);
	legacy_ask(client, 72, 0); /* all is taken */
	return client;
}

/* Devices from `first` on with one byte on them, as everybody is told. */
static int counted(json_t *ps, int first, int count)
{
	int device, found = 0;

	for (device = first; device < first + count; device++)
		found += live_of(ps, device, "dram") == 1;
	return found;
}

static int64_t rejected(json_t *ps)
{
	json_t *process;
	int64_t sum = 0;
	size_t n;

	json_array_foreach(json_get(ps, "processes"), n, process)
		sum += json_number(process, "rejected_events");
	return sum;
}

static void devices_of_clients_that_have_gone_take_no_room(void **state)
{
	struct job gateway = gateway_start(NULL);
	int round;

	(void)state;
	for (round = 0; round < 6; round++) {
		int first = 64 + round * PAIRS, client = client_of(first, PAIRS);
		json_t *ps = ps_now();

		assert_int_equal(counted(ps, first, PAIRS), PAIRS);
		assert_int_equal(rejected(ps), 0);
		assert_int_equal(legacy_ask(client, 72, first + 5).dram, 1); /* not twice */
		close(client);
	}
	assert_null(strstr(gateway_end(&gateway).err, "than there is room for"));
}

/* Who stays keeps a region, and there are four: then who comes shares the last one. */
static void devices_of_clients_that_stay_take_room_and_what_finds_none_is_said(void **state)
{
	struct job gateway = gateway_start(NULL);
	int clients[4], last, round;
	json_t *ps;

	(void)state;
	for (round = 0; round < 4; round++)
		clients[round] = client_of(64 + round * PAIRS, PAIRS);
	last = client_of(10000, 10);
	ps = ps_now();
	assert_int_equal(counted(ps, 64, 4 * PAIRS), 4 * PAIRS);
	assert_int_equal(counted(ps, 10000, 10), 0);
	assert_int_equal(live_of(ps, 5, "l1"), 5);
	assert_int_equal(rejected(ps), 10);
	check_contains(TALLY("ps").err, "10 events are in no total");
	WAIT_FOR(strstr(gateway_said(&gateway), "not all is counted, until it connects anew"));
	/* as one has gone there is room for another */
	close(clients[1]);
	WAIT_FOR(legacy_ask(last, 72, 64 + PAIRS).dram == 0);
	close(last);
	last = client_of(20000, PAIRS);
	ps = ps_now();
	assert_int_equal(counted(ps, 20000, PAIRS), PAIRS);
	assert_int_equal(counted(ps, 64, PAIRS), PAIRS);
	close(last);
	close(clients[0]);
	close(clients[2]);
	close(clients[3]);
	gateway_end(&gateway);
}

/* ---- Connections of users -------------------------------------------------------------------- */

#define CONNECTIONS 2048
#define COUNTED 1023
#define NOBODY 65534

/* Whether it is answered, or else closed. Of the largest layout, whose end is known at once. */
static bool is_answered(int fd)
{
	static const struct legacy_message question = { .type = LEGACY_QUERY, .pid = 1 };
	unsigned char bytes[LEGACY_MAX];

	legacy_put(bytes, &question, 144);
	return send(fd, bytes, 144, MSG_NOSIGNAL) == 144 && legacy_receive(fd, bytes, 144);
}

static void connect_as_many(void *arg)
{
	struct legacy_message alloc = { .type = LEGACY_ALLOC, .device = 1, .size = 10, .id = 1 };
	uid_t uid = *(const uid_t *)arg;
	unsigned char bytes[LEGACY_MAX];
	int answered = 0, fd, n;

	CHILD_CHECK(setresuid(uid, uid, uid) == 0);
	alloc.pid = getpid();
	legacy_put(bytes, &alloc, 144);
	for (n = 0; n < CONNECTIONS + 10; n++) {
		fd = gateway_try(gateway_path());
		CHILD_CHECK(fd >= 0);
		send(fd, bytes, 144, MSG_NOSIGNAL);
		if (!is_answered(fd))
			break;
		answered++;
	}
	close(fd);
	/* as many as are left free, and no more */
	CHILD_CHECK(answered == (uid == NOBODY ? CONNECTIONS / 2 : CONNECTIONS / 4));
}

static void rest(void *arg)
{
	(void)arg;
	pause();
}

static void may_reach_it(void)
{
	CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	_exit(access(test_tmp, X_OK) == 0 ? 0 : CANNOT);
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
}

static void no_user_takes_all_connections(void **state)
{
	struct rlimit limit = { CONNECTIONS + 200, CONNECTIONS + 200 };
	uid_t users[2] = { NOBODY, NOBODY - 1 };
	struct job gateway;
	pid_t children[2];
	int own, fds[600], n;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	assert_int_equal(chmod(test_tmp, 0711), 0);
	in_child(may_reach_it, "other users have no way to the socket");
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		SKIP("no room for so many descriptors");
	gateway = gateway_start(LIST("--mode", "0666"));
	children[0] = start_child(connect_as_many, rest, &users[0]);
	WAIT_FOR(strstr(gateway_said(&gateway),
			"user 65534 is turned away: it has 1024 connections"));
	own = gateway_connect();
	legacy_alloc(own, 144, 1, 0, 1, 3);
	/* of those whose totals are counted a user has no more than half, either */
	assert_int_equal(legacy_ask(own, 144, 1).dram, (COUNTED + 1) / 2 * 10 + 3);
	WAIT_FOR(
		strstr(gateway_said(&gateway), "is not counted: user 65534 has its share of 1023"));
	legacy_free(own, 144, 1, 1);
	children[1] = start_child(connect_as_many, rest, &users[1]);
	for (n = 0; n < 500; n++) { /* ours take what is left */
		fds[n] = gateway_connect();
		assert_true(is_answered(fds[n]));
	}
	close(own);
	while (n > 0)
		close(fds[--n]);
	end_child(children[0]);
	end_child(children[1]);
	gateway_end(&gateway);
}

/* ---- Pairs of users -------------------------------------------------------------------------- */

/* As many devices as a client of another user's may have, in each region that there is; and more in
 * the last. */
static void use_all_devices(void *arg)
{
	int fds[5], n;

	(void)arg;
	CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	for (n = 0; n < 5; n++) {
		struct legacy_message alloc = { .type = LEGACY_ALLOC, .size = 1, .id = 1 };
		unsigned char bytes[LEGACY_MAX];

		alloc.pid = getpid();
		fds[n] = gateway_try(gateway_path());
		CHILD_CHECK(fds[n] >= 0);
		for (alloc.device = 64 + n * PAIRS; alloc.device < 64 + (n + 1) * PAIRS;
		     alloc.device++) {
			legacy_put(bytes, &alloc, 144);
			CHILD_CHECK(send(fds[n], bytes, 144, MSG_NOSIGNAL) == 144);
		}
		CHILD_CHECK(is_answered(fds[n]));
	}
}

static void use_some_devices(void *arg)
{
	struct legacy_message alloc = { .type = LEGACY_ALLOC, .size = 1, .id = 1 };
	unsigned char bytes[LEGACY_MAX];
	int fd;

	(void)arg;
	CHILD_CHECK(setresuid(NOBODY - 1, NOBODY - 1, NOBODY - 1) == 0);
	alloc.pid = getpid();
	fd = gateway_try(gateway_path());
	CHILD_CHECK(fd >= 0);
	for (alloc.device = 10000; alloc.device < 10000 + PAIRS; alloc.device++) {
		legacy_put(bytes, &alloc, 144);
		CHILD_CHECK(send(fd, bytes, 144, MSG_NOSIGNAL) == 144);
	}
	alloc.device = 63; /* there is always room for these, */
	legacy_put(bytes, &alloc, 144);
	CHILD_CHECK(send(fd, bytes, 144, MSG_NOSIGNAL) == 144);
	alloc.device = 64 + 3 * PAIRS; /* and for what others have already */
	alloc.id = 2;
	legacy_put(bytes, &alloc, 144);
	CHILD_CHECK(send(fd, bytes, 144, MSG_NOSIGNAL) == 144);
	CHILD_CHECK(is_answered(fd));
}

static void no_user_takes_all_devices(void **state)
{
	struct job gateway;
	pid_t children[2];
	int n, own;
	json_t *ps;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	assert_int_equal(chmod(test_tmp, 0711), 0);
	in_child(may_reach_it, "other users have no way to the socket");
	gateway = gateway_start(LIST("--mode", "0666"));
	children[0] = start_child(use_all_devices, rest, NULL);
	children[1] = start_child(use_some_devices, rest, NULL);
	ps = ps_now();
	for (n = 0; n < 4; n++) /* half of each; on the last one's first there is more */
		assert_int_equal(counted(ps, 65 + n * PAIRS, PAIRS - 1), PAIRS / 2 - 1);
	assert_int_equal(counted(ps, 64 + 4 * PAIRS, PAIRS), 0);
	assert_int_equal(counted(ps, 10000, PAIRS), PAIRS / 4);
	assert_int_equal(live_of(ps, 63, "dram"), 1);
	assert_int_equal(live_of(ps, 64 + 3 * PAIRS, "dram"), 2);
	WAIT_FOR(strstr(gateway_said(&gateway),
			"reports devices beyond user 65534's share of the room that there is"));
	WAIT_FOR(strstr(gateway_said(&gateway), "user 65533's share"));
	own = client_of(20000, PAIRS); /* ours has all that is left */
	ps = ps_now();
	assert_int_equal(counted(ps, 20000, PAIRS), PAIRS / 4);
	close(own);
	end_child(children[0]);
	end_child(children[1]);
	gateway_end(&gateway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(devices_of_clients_that_have_gone_take_no_room),
		TEST(no_user_takes_all_connections),
		TEST(no_user_takes_all_devices),
		TEST(devices_of_clients_that_stay_take_room_and_what_finds_none_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
