/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway has room for: bounds on what is there, not on what ever was.
 * sanitizers: address */
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
	check_contains(gateway_said(&gateway), "not all is counted, until it connects anew");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(devices_of_clients_that_have_gone_take_no_room),
		TEST(devices_of_clients_that_stay_take_room_and_what_finds_none_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
