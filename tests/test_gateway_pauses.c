/* SPDX-License-Identifier: Apache-2.0 */
/* First questions in pieces, where the end of one layout is the middle of another.
 * sanitizers: address */
#include "tests/gateway.h"

/* Its first question cut where a smaller layout ends, for longer than the gateway waits. */
static void a_question_in_pieces_far_apart_gets_the_whole_answer(void **state)
{
	static const struct {
		unsigned int layout, cut;
	} cases[] = { { 112, 72 }, { 128, 72 }, { 144, 72 }, { 144, 128 }, { 144, 112 } };
	struct job gateway = gateway_start(NULL);
	unsigned char bytes[LEGACY_MAX], reply[LEGACY_MAX];
	int good = gateway_connect();
	size_t n;

	(void)state;
	legacy_alloc(good, 72, 1, 0, 1, 100);
	legacy_ask(good, 72, 1);
	for (n = 0; n < COUNT(cases); n++) {
		struct legacy_message message = { .type = LEGACY_QUERY,
						  .device = 1,
						  .pid = getpid() };
		unsigned int layout = cases[n].layout, cut = cases[n].cut;
		int fd = gateway_connect();

		legacy_put(bytes, &message, layout);
		legacy_send(fd, bytes, cut);
		assert_true(legacy_receive(fd, reply, cut)); /* it has been answered as it looked */
		legacy_alloc(good, 72, 1, 0, 2 + n, 1);
		legacy_ask(good, 72, 1);
		legacy_send(fd, bytes + cut, layout - cut);
		assert_true(legacy_receive(fd, reply + cut, layout - cut));
		assert_int_equal(reply[0], LEGACY_RESPONSE);
		assert_int_equal(legacy_u64(reply, 40), 100 + n);
		assert_int_equal(legacy_ask(fd, layout, 1).dram, 101 + n);
		close(fd);
	}
	close(good);
	gateway_end(&gateway);
}

/* What it has been told by then is of the smaller layout, and it goes on all the same. */
static void a_question_cut_at_112_bytes_costs_no_connection(void **state)
{
	static const int32_t devices[] = { 1, -1 };
	static const unsigned int layouts[] = { 128, 144 };
	struct job gateway = gateway_start(NULL);
	unsigned char bytes[LEGACY_MAX], reply[LEGACY_MAX];
	int good = gateway_connect();
	size_t n;

	(void)state;
	legacy_alloc(good, 144, 1, 0, 1, 100);
	legacy_say(good, 144, LEGACY_CB_ALLOC, 1, 0, 1, 30);
	assert_int_equal(legacy_ask(good, 144, 1).cb, 30);
	for (n = 0; n < 4; n++) {
		struct legacy_message message = { .device = devices[n / 2], .pid = getpid() };
		unsigned int layout = layouts[n % 2];
		int fd = gateway_connect();

		message.type = message.device < 0 ? LEGACY_INFO_QUERY : LEGACY_QUERY;
		legacy_put(bytes, &message, layout);
		legacy_send(fd, bytes, 112);
		assert_true(legacy_receive(fd, reply, 112));
		legacy_send(fd, bytes + 112, layout - 112);
		assert_true(legacy_receive(fd, reply + 112, layout - 112));
		if (message.device < 0) {
			assert_int_equal(legacy_u32(reply, 120), 1);
			assert_int_equal(legacy_u32(reply, 124), 2);
		} else {
			assert_int_equal(legacy_u64(reply, 40), 100);
			assert_int_equal(legacy_u64(reply, 72), 0); /* as it was told */
		}
		assert_int_equal(legacy_ask(fd, layout, 1).cb, 30);
		close(fd);
	}
	close(good);
	check_contains(gateway_end(&gateway).err,
		       "has one answer that begins as a smaller layout's");
}

/* What it would be told wrong is what it asks for: so it is waited for longer than others are. */
static void a_question_about_a_device_that_is_cut_at_112_bytes_is_waited_for(void **state)
{
	static const struct legacy_message question = { .type = LEGACY_INFO_QUERY,
							.device = 1,
							.pid = 1 };
	struct job gateway = gateway_start(NULL);
	unsigned char bytes[LEGACY_MAX], reply[LEGACY_MAX];
	bool in_time = false;

	(void)state;
	while (!in_time) { /* while this machine stands still it is answered, as it has to be */
		int fd = gateway_connect(), other = gateway_connect();
		uint64_t start_ns = now_ns();

		legacy_put(bytes, &question, 144);
		legacy_send(fd, bytes, 112);
		legacy_alloc(other, 72, 1, 0, 1, 100);
		legacy_ask(other, 72, 1);
		close(other);
		other = gateway_connect();
		legacy_ask(other, 72, 1); /* and has paused for a moment */
		legacy_send(fd, bytes + 112, 32);
		in_time = now_ns() - start_ns < 200000000u;
		if (in_time) {
			assert_true(legacy_receive(fd, reply, 144));
			assert_int_equal(legacy_u32(reply, 120), 1); /* is_available */
			assert_int_equal(legacy_u32(reply, 124), 2);
			assert_int_equal(legacy_u32(reply, 108), 0);
			legacy_ask(fd, 144, 1);
		}
		close(fd);
		close(other);
	}
	/* and who has that layout is answered */
	{
		int fd = gateway_connect();

		legacy_send(fd, bytes, 112);
		assert_true(legacy_receive(fd, reply, 112));
		assert_int_equal(legacy_u32(reply, 108), 2);
		close(fd);
	}
	gateway_end(&gateway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_question_in_pieces_far_apart_gets_the_whole_answer),
		TEST(a_question_cut_at_112_bytes_costs_no_connection),
		TEST(a_question_about_a_device_that_is_cut_at_112_bytes_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
