/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the gateway that stall, lie, flood or go away, and those beside them who are served.
 * sanitizers: address */
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/gateway.h"

#define COUNTED 1023 /* clients at a time */
#define CONNECTED 2048

static void check_served_in(int fd, unsigned int layout)
{
	static uint64_t id = 1000000;

	id++;
	legacy_alloc(fd, layout, 60, 0, id, 5);
	assert_int_equal(legacy_ask(fd, layout, 60).dram, 5);
	legacy_free(fd, layout, 60, id);
}

static void check_served(int fd)
{
	check_served_in(fd, 112);
}

/* What it sends is the last it says; everything before was taken. */
static void check_closed(int fd)
{
	unsigned char bytes[4096];

	while (legacy_receive(fd, bytes, 1))
		;
	close(fd);
}

static void what_speaks_no_layout_is_closed_with_one_line_saying_what_came(void **state)
{
	struct job gateway = gateway_start(NULL);
	int good = gateway_connect(), fd = gateway_connect();
	struct outcome outcome;

	(void)state;
	legacy_send(fd, "GET / HTTP/1.0\r\n\r\n", 18);
	check_closed(fd);
	check_served(good);
	close(good);
	outcome = gateway_end(&gateway);
	check_contains(outcome.err,
		       text("client %d (test_gateway_ho) is closed after 0 messages: no "
			    "message begins so, and its layout is none of the four; "
			    "there came 47 45 54 20 2f",
			    getpid()));
	assert_int_equal(count_of(outcome.err, "\n"), 3);
}

static void the_tenth_bad_message_ends_a_connection(void **state)
{
	struct job gateway = gateway_start(NULL);
	int good = gateway_connect(), fd = gateway_connect(), n;
	char *said;

	(void)state;
	legacy_alloc(good, 112, 1, 0, 1, 5);
	legacy_alloc(fd, 72, 1, 0, 1, 100);
	for (n = 0; n < 9; n++) {
		legacy_say(fd, 72, 99, 1, 0, 0, 0);
		assert_int_equal(legacy_ask(fd, 72, 1).dram - legacy_ask(good, 112, 2).dram, 105);
	}
	legacy_say(fd, 72, 99, 1, 0, 0, 0);
	check_closed(fd);
	WAIT_FOR(legacy_ask(good, 112, 1).dram == 5); /* the others' alone */
	close(good);
	said = gateway_end(&gateway).err;
	check_contains(said, "sent a message with an unknown type: type 99");
	check_contains(said, "is closed after 10 messages: too many bad messages; there came 63");
}

static void a_stream_that_slips_is_closed_and_what_it_held_goes(void **state)
{
	struct job gateway = gateway_start(NULL);
	int good = gateway_connect(), fd = gateway_connect();

	(void)state;
	legacy_alloc(fd, 128, 1, 0, 1, 100);
	legacy_alloc(fd, 128, 1, 0, 2, 100);
	assert_int_equal(legacy_ask(fd, 128, 1).dram, 200);
	legacy_send(fd, "\1\0\0", 3);
	legacy_alloc(fd, 128, 1, 0, 3, 100);
	check_closed(fd);
	WAIT_FOR(legacy_ask(good, 72, 1).dram == 0);
	close(good);
	check_contains(gateway_end(&gateway).err, "is closed after 3 messages");
}

static void who_dies_in_the_middle_of_a_message_is_counted_up_to_it(void **state)
{
	struct job gateway = gateway_start(NULL);
	int good = gateway_connect(), fd = gateway_connect();

	(void)state;
	legacy_alloc(fd, 144, 1, 0, 1, 100);
	assert_int_equal(legacy_ask(fd, 144, 1).dram, 100);
	legacy_send(fd, "\1\0\0\0\1\0\0", 7);
	check_served(good);
	close(fd);
	WAIT_FOR(legacy_ask(good, 112, 1).dram == 0);
	close(good);
	assert_null(strstr(gateway_end(&gateway).err, "closed"));
}

static void who_has_said_all_and_reads_on_is_answered(void **state)
{
	struct job gateway = gateway_start(NULL);
	unsigned char reply[LEGACY_MAX + 1];
	size_t n;

	(void)state;
	for (n = 0; n < COUNT(legacy_layouts); n++) {
		int fd = gateway_connect();

		legacy_say(fd, legacy_layouts[n], LEGACY_QUERY, 1, 0, 0, 0);
		shutdown(fd, SHUT_WR);
		assert_true(legacy_receive(fd, reply, legacy_layouts[n]));
		assert_false(legacy_receive(fd, reply, 1));
		close(fd);
	}
	gateway_end(&gateway);
}

/* Sends as long as it can; whether the other end has closed. */
static bool flood(int fd, const unsigned char *bytes, size_t size, size_t times)
{
	size_t n;

	for (n = 0; n < times; n++)
		if (send(fd, bytes, size, MSG_NOSIGNAL) < 0)
			return true;
	return false;
}

static void who_does_not_read_its_answers_is_closed_and_the_others_are_served(void **state)
{
	static const struct legacy_message question = { .type = LEGACY_QUERY, .pid = 1 };
	struct job gateway = gateway_start(NULL);
	unsigned char bytes[64 * 144];
	int good = gateway_connect(), fd = gateway_connect();
	size_t n;

	(void)state;
	check_served(good);
	for (n = 0; n < 64; n++)
		legacy_put(bytes + n * 144, &question, 144);
	assert_true(flood(fd, bytes, sizeof(bytes), 100000));
	check_served(good);
	close(fd);
	close(good);
	check_contains(gateway_end(&gateway).err, "is closed: it does not read its answers");
}

/* Whether it sleeps each time when one looks. */
static bool is_idle(pid_t pid)
{
	char *path = text("/proc/%d/stat", (int)pid);
	int n;

	for (n = 0; n < 50; n++) {
		if (!strstr(read_file(path, NULL), ") S "))
			return false;
		pause_a_moment();
	}
	return true;
}

static void who_has_said_all_and_reads_nothing_keeps_nobody_busy(void **state)
{
	static const struct legacy_message question = { .type = LEGACY_QUERY, .pid = 1 };
	struct job gateway = gateway_start(NULL);
	unsigned char bytes[64 * 144];
	int fd = gateway_connect(), n;

	(void)state;
	for (n = 0; n < 64; n++)
		legacy_put(bytes + n * 144, &question, 144);
	for (n = 0; n < 26; n++) /* more answers than the socket takes, fewer than are too many */
		legacy_send(fd, bytes, sizeof(bytes));
	shutdown(fd, SHUT_WR);
	WAIT_FOR(is_idle(gateway.pid));
	for (n = 0; n < 26 * 64; n++)
		assert_true(legacy_receive(fd, bytes, 144));
	assert_false(legacy_receive(fd, bytes, 1));
	close(fd);
	gateway_end(&gateway);
}

static void a_log_that_nobody_reads_stalls_no_client(void **state)
{
	struct job gateway = gateway_start(LIST("--log"));
	int good = gateway_connect(), n;

	(void)state;
	for (n = 0; n < 20000; n++) /* a pipe holds a thousand lines */
		check_served(good);
	close(good);
	gateway_end(&gateway);
}

static void raise_limit(rlim_t files)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < files)
		SKIP("no more than %ld files may be open here", (long)limit.rlim_max);
	limit.rlim_cur = files;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void the_limits_on_clients_are_said_and_harm_nobody(void **state)
{
	struct job gateway;
	int *fds = (int *)(void *)text("%*s", CONNECTED * 4 + 64, "");
	int n;

	(void)state;
	raise_limit(CONNECTED + 200);
	gateway = gateway_start(NULL);
	for (n = 0; n < COUNTED + 1; n++) {
		fds[n] = gateway_connect();
		legacy_alloc(fds[n], 144, 1, 0, 1, 10);
	}
	for (n = 0; n < COUNTED + 1; n++) /* the last is answered, too */
		legacy_ask(fds[n], 144, 1);
	assert_int_equal(legacy_ask(fds[0], 144, 1).dram, COUNTED * 10);
	assert_int_equal(live_of(ps_now(), 1, "dram"), COUNTED * 10);
	check_contains(gateway_said(&gateway), "is not counted: 1023 clients are");

	close(fds[0]); /* there is room for another */
	WAIT_FOR(legacy_ask(fds[1], 144, 1).dram == (COUNTED - 1) * 10);
	fds[0] = gateway_connect();
	legacy_alloc(fds[0], 144, 1, 0, 1, 3);
	assert_int_equal(legacy_ask(fds[0], 144, 1).dram, (COUNTED - 1) * 10 + 3);

	for (; n < CONNECTED; n++)
		fds[n] = gateway_connect();
	check_closed(gateway_connect()); /* one too many */
	check_served_in(fds[0], 144);
	for (n = 0; n < CONNECTED; n++)
		close(fds[n]);
	check_contains(gateway_end(&gateway).err, "2048 are connected, which is the limit");
}

/* Who comes now is answered. */
static bool is_served(void)
{
	static const struct legacy_message question = { .type = LEGACY_QUERY, .pid = 1 };
	unsigned char bytes[LEGACY_MAX];
	int fd = gateway_connect();
	bool served;

	legacy_put(bytes, &question, 144);
	served = send(fd, bytes, 144, MSG_NOSIGNAL) == 144 && legacy_receive(fd, bytes, 144);
	close(fd);
	return served;
}

/* It leaves its process entry to the next one, which finds in it all that it has used. */
static void a_client_of_all_devices_takes_none_from_the_next(void **state)
{
	struct job gateway = gateway_start(NULL);
	int good = gateway_connect(), fd = gateway_connect(), device, type;
	json_t *ps, *process;
	size_t n;

	(void)state;
	for (device = 65535; device > 60000; device--)
		legacy_alloc(fd, 72, device, 0, 1, 1);
	assert_int_equal(legacy_ask(fd, 72, 65535).dram, 1);
	assert_int_equal(legacy_ask(fd, 72, 60001).dram, 0); /* there was no room any more */
	close(fd);
	WAIT_FOR(legacy_ask(good, 72, 65535).dram == 0);
	fd = gateway_connect();
	for (device = 0; device < 64; device++) {
		for (type = 0; type < 5; type++)
			legacy_alloc(fd, 72, device, (uint8_t)type, (uint64_t)type, 7);
		legacy_say(fd, 72, LEGACY_CB_ALLOC, device, 0, 1, 7);
		legacy_say(fd, 72, LEGACY_KERNEL_LOAD, device, 0, 1, 7);
	}
	legacy_ask(fd, 72, 0);
	ps = ps_now();
	for (device = 0; device < 64; device++) {
		assert_int_equal(live_of(ps, device, "dram"), 7);
		assert_int_equal(live_of(ps, device, "kernel"), 7);
	}
	json_array_foreach(json_get(ps, "processes"), n, process)
		assert_int_equal(json_number(process, "rejected_events"), 0);
	close(fd);
	close(good);
	check_contains(gateway_end(&gateway).err, "than there is room for: not all is counted");
}

/* Clients may open so many connections only that the gateway has no descriptor left. */
static void without_descriptors_who_comes_is_turned_away_and_who_is_there_is_served(void **state)
{
	const char *const *argv = LIST("sh", "-c", "ulimit -n 40; exec \"$0\" \"$@\"",
				       built("tally"), "gateway", "--socket", gateway_path());
	struct job gateway = job_start(&(struct command){ .argv = argv });
	int good, fds[60];
	size_t n;

	(void)state;
	WAIT_FOR(strstr(gateway_said(&gateway), "listening at "));
	good = gateway_connect();
	check_served(good);
	for (n = 0; n < COUNT(fds); n++) {
		unsigned char byte = LEGACY_FREE;

		fds[n] = gateway_connect();
		send(fds[n], &byte, 1, MSG_NOSIGNAL);
	}
	WAIT_FOR(strstr(gateway_said(&gateway), "is turned away"));
	check_served(good);
	close(good);
	for (n = 0; n < COUNT(fds); n++)
		close(fds[n]);
	WAIT_FOR(is_served());
	gateway_end(&gateway);
}

/* There is no room for what it becomes; what it was is gone all the same. */
static void id_that_becomes_what_is_not_counted_is_no_longer_what_it_was(void **state)
{
	struct job gateway = gateway_start(NULL);
	int client = gateway_connect(), device;

	(void)state;
	for (device = 64; device < 64 + 576; device++)
		legacy_alloc(client, 72, device, 0, 5, 10);
	assert_int_equal(legacy_ask(client, 72, 70).dram, 10);
	legacy_alloc(client, 72, 70, 1, 5, 10);
	assert_int_equal(legacy_ask(client, 72, 70).dram, 0);
	assert_int_equal(legacy_ask(client, 72, 70).l1, 0);
	assert_int_equal(legacy_ask(client, 72, 71).dram, 10);
	close(client);
	gateway_end(&gateway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_speaks_no_layout_is_closed_with_one_line_saying_what_came),
		TEST(the_tenth_bad_message_ends_a_connection),
		TEST(a_stream_that_slips_is_closed_and_what_it_held_goes),
		TEST(who_dies_in_the_middle_of_a_message_is_counted_up_to_it),
		TEST(who_has_said_all_and_reads_on_is_answered),
		TEST(who_does_not_read_its_answers_is_closed_and_the_others_are_served),
		TEST(who_has_said_all_and_reads_nothing_keeps_nobody_busy),
		TEST(a_log_that_nobody_reads_stalls_no_client),
		TEST(the_limits_on_clients_are_said_and_harm_nobody),
		TEST(a_client_of_all_devices_takes_none_from_the_next),
		TEST(without_descriptors_who_comes_is_turned_away_and_who_is_there_is_served),
		TEST(id_that_becomes_what_is_not_counted_is_no_longer_what_it_was),
	};

	return cmocka_run_group_tests_name("gateway hostile", tests, NULL, NULL);
}
