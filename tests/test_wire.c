/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of the socket server's clients: what layout they have, and what they say.
 * sanitizers: address */
#include <string.h>

#include "consumer/gateway/wire.h"
#include "tests/legacy.h"
#include "tests/support.h"

#define PEER 4242
#define MESSAGES_MAX 64

/* What came out of a stream. */
struct heard {
	struct wire wire;
	size_t count; /* of good ones */
	size_t bad;
	struct wire_message messages[MESSAGES_MAX];
};

static void listen_to(struct heard *heard, const unsigned char *bytes, size_t size)
{
	struct wire_message message;

	for (;;) {
		switch (wire_next(&heard->wire, &bytes, &size, &message)) {
		case WIRE_MESSAGE:
			assert_true(heard->count < MESSAGES_MAX);
			heard->messages[heard->count++] = message;
			break;
		case WIRE_BAD:
			heard->bad++;
			break;
		case WIRE_REST:
			fail_msg("nothing was answered before");
			break;
		case WIRE_MORE:
			assert_int_equal(size, 0);
			return;
		case WIRE_LOST:
			return;
		}
	}
}

static struct heard heard_of(int32_t peer)
{
	struct heard heard = { .wire = { .peer_pid = peer } };

	return heard;
}

static struct legacy_message message_of(uint8_t type, size_t n)
{
	struct legacy_message message = {
		.type = type,
		.device = (int32_t)(n % 64),
		.size = (type == LEGACY_ALLOC ? 100ull << 30 : 0) + n,
		.buffer_type = type == LEGACY_ALLOC ? (uint8_t)(n % 5) : 0,
		.pid = PEER,
		.id = 0xdeadbeef00000000u + n,
		.timestamp = type == LEGACY_ALLOC ? 1700000000000000000u + n : 0,
	};

	return message;
}

static void check_said(const struct wire_message *said, const struct legacy_message *meant)
{
	assert_int_equal(said->type, meant->type);
	assert_int_equal(said->device_id, meant->device);
	assert_int_equal(said->size, meant->size);
	assert_int_equal(said->buffer_type, meant->buffer_type);
	assert_int_equal(said->process_id, meant->pid);
	assert_int_equal(said->buffer_id, meant->id);
	assert_int_equal(said->timestamp, meant->timestamp);
}

/* Every type, the first one as given. */
static size_t make_stream(unsigned char *bytes, struct legacy_message *meant, unsigned int layout,
			  uint8_t first)
{
	static const uint8_t types[] = { 1, 2, 3, 5, 6, 8, 9, 10, 11, 12 };
	size_t n;

	for (n = 0; n < COUNT(types) + 1; n++) {
		meant[n] = message_of(n ? types[n - 1] : first, n);
		legacy_put(bytes + n * layout, &meant[n], layout);
	}
	return n;
}

static void every_layout_is_read_whatever_the_first_message_and_wherever_it_is_cut(void **state)
{
	static const uint8_t firsts[] = { 1, 2, 3, 5, 6, 8, 9, 10, 11, 12 };
	unsigned char bytes[MESSAGES_MAX * LEGACY_MAX];
	struct legacy_message meant[MESSAGES_MAX];
	size_t i, f, cut, n, count, size;

	(void)state;
	for (i = 0; i < COUNT(legacy_layouts); i++)
		for (f = 0; f < COUNT(firsts); f++) {
			count = make_stream(bytes, meant, legacy_layouts[i], firsts[f]);
			size = count * legacy_layouts[i];
			for (cut = 0; cut <= size; cut++) {
				struct heard heard = heard_of(PEER);

				listen_to(&heard, bytes, cut);
				listen_to(&heard, bytes + cut, size - cut);
				assert_false(heard.wire.lost);
				assert_int_equal(heard.wire.layout, legacy_layouts[i]);
				assert_int_equal(heard.count, count);
				assert_int_equal(heard.bad, 0);
				for (n = 0; n < count; n++)
					check_said(&heard.messages[n], &meant[n]);
			}
		}
}

static void one_byte_at_a_time_is_read_the_same(void **state)
{
	unsigned char bytes[MESSAGES_MAX * LEGACY_MAX];
	struct legacy_message meant[MESSAGES_MAX];
	size_t i, n, count;

	(void)state;
	for (i = 0; i < COUNT(legacy_layouts); i++) {
		struct heard heard = heard_of(0);

		count = make_stream(bytes, meant, legacy_layouts[i], LEGACY_QUERY);
		for (n = 0; n < count * legacy_layouts[i]; n++)
			listen_to(&heard, bytes + n, 1);
		assert_int_equal(heard.count, count);
		assert_int_equal(heard.wire.layout, legacy_layouts[i]);
	}
}

/* A free has no timestamp, and may be of buffer 0 on device 0: few bytes of it are not zero. */
static void what_is_mostly_zeros_is_told_apart_by_the_byte_after_it(void **state)
{
	struct legacy_message message = { .type = LEGACY_FREE, .pid = 1 };
	unsigned char bytes[3 * LEGACY_MAX];
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(legacy_layouts); i++) {
		unsigned int layout = legacy_layouts[i];
		struct heard heard = heard_of(1);

		for (n = 0; n < 3; n++)
			legacy_put(bytes + n * layout, &message, layout);
		listen_to(&heard, bytes, layout);
		assert_int_equal(heard.count, 1);
		assert_int_equal(heard.wire.layout, layout == 144 ? 144 : 0);
		listen_to(&heard, bytes + layout, 1);
		assert_int_equal(heard.wire.layout, layout);
		listen_to(&heard, bytes + layout + 1, 2 * layout - 1);
		assert_int_equal(heard.count, 3);
	}
}

/* Totals are not to wait for a client's second message. */
static void a_first_report_counts_before_its_layout_is_known(void **state)
{
	struct legacy_message message = message_of(LEGACY_ALLOC, 7);
	struct heard heard = heard_of(PEER);
	unsigned char bytes[LEGACY_MAX];

	(void)state;
	legacy_put(bytes, &message, 144);
	listen_to(&heard, bytes, 71);
	assert_int_equal(heard.count, 0);
	listen_to(&heard, bytes + 71, 1);
	assert_int_equal(heard.count, 1);
	check_said(&heard.messages[0], &message);
	assert_false(wire_waits(&heard.wire));
	listen_to(&heard, bytes + 72, 72);
	assert_int_equal(heard.count, 1);
}

static void a_first_question_waits_until_its_layout_is_known_or_assumed(void **state)
{
	struct legacy_message message = message_of(LEGACY_QUERY, 3);
	unsigned char bytes[2 * LEGACY_MAX];
	struct wire_message said;
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(legacy_layouts); i++) {
		unsigned int layout = legacy_layouts[i];
		struct heard heard = heard_of(PEER);

		legacy_put(bytes, &message, layout);
		legacy_put(bytes + layout, &message, layout);
		for (n = 0; n < layout; n++) {
			assert_int_equal(wire_waits(&heard.wire), n == 72 || n == 112 || n == 128);
			listen_to(&heard, bytes + n, 1);
		}
		assert_int_equal(wire_waits(&heard.wire), layout != 144);
		if (layout != 144) {
			assert_int_equal(heard.count, 0);
			assert_int_equal(wire_settle(&heard.wire, &said), WIRE_MESSAGE);
			check_said(&said, &message);
			assert_false(wire_waits(&heard.wire));
		} else {
			assert_int_equal(heard.count, 1);
		}
		assert_int_equal(wire_layout(&heard.wire), layout);
		heard.count = 0;
		listen_to(&heard, bytes + layout, layout);
		assert_int_equal(heard.count, 1); /* answered once; the next at once */
		assert_int_equal(heard.wire.layout, layout);
		assert_int_equal(wire_layout(&heard.wire), layout);
	}
}

/* Its sender was stopped in the middle: zeros follow. */
static void a_layout_that_was_assumed_too_small_is_mended(void **state)
{
	struct legacy_message message = message_of(LEGACY_QUERY, 3);
	unsigned char bytes[2 * LEGACY_MAX];
	struct heard heard = heard_of(PEER);
	const unsigned char *rest;
	struct wire_message said;
	size_t size;

	(void)state;
	legacy_put(bytes, &message, 128);
	legacy_put(bytes + 128, &message, 128);
	listen_to(&heard, bytes, 72);
	assert_int_equal(wire_settle(&heard.wire, &said), WIRE_MESSAGE);
	assert_int_equal(wire_layout(&heard.wire), 72);
	listen_to(&heard, bytes + 72, 30);
	assert_false(wire_waits(&heard.wire));
	listen_to(&heard, bytes + 102, 26);
	assert_true(wire_waits(&heard.wire));
	rest = bytes + 128;
	size = 128;
	assert_int_equal(wire_next(&heard.wire, &rest, &size, &said), WIRE_REST);
	check_said(&said, &message);
	assert_int_equal(heard.wire.answered_before, 72);
	assert_int_equal(wire_layout(&heard.wire), 128);
	listen_to(&heard, rest, size);
	assert_int_equal(heard.count, 1);

	/* Assumed twice. */
	heard = heard_of(PEER);
	legacy_put(bytes, &message, 144);
	listen_to(&heard, bytes, 72);
	wire_settle(&heard.wire, &said);
	listen_to(&heard, bytes + 72, 40);
	assert_int_equal(wire_settle(&heard.wire, &said), WIRE_REST);
	assert_int_equal(heard.wire.answered_before, 72);
	rest = bytes + 112;
	size = 32;
	assert_int_equal(wire_next(&heard.wire, &rest, &size, &said), WIRE_REST);
	assert_int_equal(heard.wire.answered_before, 112);
	assert_int_equal(heard.wire.layout, 144);
	assert_int_equal(size, 0);
}

static void check_lost(const unsigned char *bytes, size_t size, size_t needed)
{
	struct heard heard = heard_of(PEER);

	listen_to(&heard, bytes, needed - 1);
	assert_false(heard.wire.lost);
	listen_to(&heard, bytes + needed - 1, size - needed + 1);
	assert_true(heard.wire.lost);
	assert_non_null(heard.wire.why);
	assert_int_equal(heard.wire.shown, size < 40 ? size : 40);
	assert_memory_equal(heard.wire.part, bytes, heard.wire.shown);
	assert_int_equal(heard.count, 0);
}

static void what_is_no_message_is_told_at_the_first_byte_that_cannot_be(void **state)
{
	struct legacy_message message = message_of(LEGACY_ALLOC, 1);
	unsigned char bytes[LEGACY_MAX];

	(void)state;
	check_lost((const unsigned char *)"GET / HTTP/1.0\r\n\r\n", 18, 2);
	memset(bytes, 0, sizeof(bytes));
	check_lost(bytes, sizeof(bytes), 1);
	memset(bytes, 0xff, sizeof(bytes));
	check_lost(bytes, sizeof(bytes), 2);
	legacy_put(bytes, &message, 144);
	bytes[18] = 1;
	check_lost(bytes, 144, 19);
	legacy_put(bytes, &message, 144);
	bytes[64] = 1; /* a reply's */
	check_lost(bytes, 144, 65);
	message.pid = PEER + 1;
	message.type = 13;
	legacy_put(bytes, &message, 144);
	check_lost(bytes, 144, 72);
	message.type = LEGACY_RESPONSE;
	legacy_put(bytes, &message, 144);
	check_lost(bytes, 144, 72);
	message = message_of(LEGACY_ALLOC, 1);
	message.pid = 0;
	legacy_put(bytes, &message, 144);
	check_lost(bytes, 144, 72);
}

static void a_first_message_of_another_length_fits_no_layout(void **state)
{
	struct legacy_message message = message_of(LEGACY_ALLOC, 1);
	unsigned char bytes[2 * LEGACY_MAX];
	unsigned int length;

	(void)state;
	for (length = WIRE_REQUEST; length < 140; length++) {
		struct heard heard = heard_of(PEER);

		if (length == 72 || length == 112 || length == 128)
			continue;
		memset(bytes, 0, sizeof(bytes));
		legacy_put(bytes, &message, length);
		legacy_put(bytes + length, &message, 100);
		listen_to(&heard, bytes, length);
		assert_false(heard.wire.lost);
		listen_to(&heard, bytes + length, 1);
		assert_true(heard.wire.lost);
	}
}

/* The failure that sites had: "Invalid device_id 2657333". */
static void a_pid_where_a_device_is_expected_is_one_bad_message_and_no_misalignment(void **state)
{
	unsigned char bytes[MESSAGES_MAX * LEGACY_MAX];
	struct legacy_message meant[MESSAGES_MAX];
	size_t i, count;

	(void)state;
	for (i = 0; i < COUNT(legacy_layouts); i++) {
		unsigned int layout = legacy_layouts[i];
		struct heard heard = heard_of(PEER);

		count = make_stream(bytes, meant, layout, LEGACY_ALLOC);
		memcpy(bytes + layout + 4, &(int32_t){ 2657333 }, 4);
		listen_to(&heard, bytes, count * layout);
		assert_false(heard.wire.lost);
		assert_int_equal(heard.bad, 1);
		assert_int_equal(heard.count, count - 1);
		check_said(&heard.messages[count - 2], &meant[count - 1]);
	}
}

static void bad_messages_that_are_aligned_are_passed_over_nine_times(void **state)
{
	struct legacy_message good = message_of(LEGACY_ALLOC, 1);
	unsigned char bytes[LEGACY_MAX];
	size_t n;
	int kind;

	(void)state;
	for (kind = 0; kind < 6; kind++) {
		struct legacy_message bad = good;
		struct heard heard = heard_of(PEER);

		bad.type = kind == 0 ? 13 : kind == 1 ? LEGACY_RESPONSE : LEGACY_ALLOC;
		bad.device = kind == 2 ? 65536 : kind == 3 ? -2 : 1;
		bad.buffer_type = kind == 4 ? 5 : 0;
		bad.size = kind == 5 ? (1ull << 40) + 1 : 1ull << 40;
		for (n = 0; n < 9; n++) {
			legacy_put(bytes, &bad, 112);
			listen_to(&heard, bytes, 112);
			assert_int_equal(heard.bad, n + 1);
			legacy_put(bytes, &good, 112);
			listen_to(&heard, bytes, 112);
			assert_int_equal(heard.count, n + 1);
		}
		assert_false(heard.wire.lost);
		legacy_put(bytes, &bad, 112);
		listen_to(&heard, bytes, 112);
		assert_true(heard.wire.lost);
	}
}

static void a_stream_that_slips_is_lost_before_anything_is_misread(void **state)
{
	unsigned char bytes[MESSAGES_MAX * LEGACY_MAX];
	struct legacy_message meant[MESSAGES_MAX];
	size_t i, n, count, slip;

	(void)state;
	for (i = 0; i < COUNT(legacy_layouts); i++)
		for (slip = 1; slip < legacy_layouts[i]; slip++) {
			unsigned int layout = legacy_layouts[i];
			struct heard heard = heard_of(PEER);

			count = make_stream(bytes, meant, layout, LEGACY_ALLOC);
			listen_to(&heard, bytes, 2 * layout);
			listen_to(&heard, bytes + 2 * layout + slip, (count - 2) * layout - slip);
			assert_true(heard.wire.lost);
			for (n = 0; n < heard.count; n++)
				check_said(&heard.messages[n], &meant[n]);
			assert_int_equal(heard.count, 2);
		}
}

/* In a container a client names a PID that is not ours; a fork child that of another process. */
static void a_process_id_of_another_namespace_is_taken_as_it_is(void **state)
{
	unsigned char bytes[MESSAGES_MAX * LEGACY_MAX];
	struct legacy_message meant[MESSAGES_MAX];
	struct heard heard = heard_of(77);
	size_t count = make_stream(bytes, meant, 128, LEGACY_ALLOC);

	(void)state;
	bytes[3 * 128] = 99; /* bad: the first message's process id tells that it is aligned */
	memcpy(bytes + 5 * 128 + 20, &(int32_t){ 11 }, 4);
	listen_to(&heard, bytes, count * 128);
	assert_false(heard.wire.lost);
	assert_int_equal(heard.count, count - 1);
	assert_int_equal(heard.bad, 1);
	assert_int_equal(heard.messages[4].process_id, 11);
}

static void replies_have_each_field_where_the_asker_looks_for_it(void **state)
{
	struct wire_reply reply = {
		.type = WIRE_RESPONSE,
		.device_id = -1,
		.dram = 0x1111111111111111,
		.l1 = 0x2222222222222222,
		.l1_small = 0x3333333333333333,
		.trace = 0x4444444444444444,
		.programs = { 0x5555555555555555, 0x6666666666666666 },
		.info = { 0x7777777777777777, 0x8888888888888888, 0x99999999, 0xaaaaaaaa,
			  0xbbbbbbbb, 0xcccccccc, 0xdddddddd, 0xeeeeeeee },
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(legacy_layouts); i++) {
		unsigned int layout = legacy_layouts[i], info = legacy_info_at(layout);
		unsigned char bytes[WIRE_MAX + 1], expected[WIRE_MAX + 1];

		memset(bytes, 0xfe, sizeof(bytes));
		memset(expected, 0, sizeof(expected));
		expected[layout] = 0xfe;
		expected[0] = 4;
		memset(expected + 4, 0xff, 4);
		for (n = 0; n < 4; n++)
			memset(expected + 40 + 8 * n, (int)(0x11 * (n + 1)), 8);
		if (legacy_cb_at(layout)) {
			memset(expected + 72, 0x55, 8);
			memset(expected + 80, 0x66, 8);
		}
		if (info) {
			memset(expected + info, 0x77, 8);
			memset(expected + info + 8, 0x88, 8);
			for (n = 0; n < 6; n++)
				memset(expected + info + 16 + 4 * n, (int)(0x99 + 0x11 * n), 4);
		}
		wire_encode(&reply, layout, bytes);
		assert_memory_equal(bytes, expected, layout + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_layout_is_read_whatever_the_first_message_and_wherever_it_is_cut),
		TEST(one_byte_at_a_time_is_read_the_same),
		TEST(what_is_mostly_zeros_is_told_apart_by_the_byte_after_it),
		TEST(a_first_report_counts_before_its_layout_is_known),
		TEST(a_first_question_waits_until_its_layout_is_known_or_assumed),
		TEST(a_layout_that_was_assumed_too_small_is_mended),
		TEST(what_is_no_message_is_told_at_the_first_byte_that_cannot_be),
		TEST(a_first_message_of_another_length_fits_no_layout),
		TEST(a_pid_where_a_device_is_expected_is_one_bad_message_and_no_misalignment),
		TEST(bad_messages_that_are_aligned_are_passed_over_nine_times),
		TEST(a_stream_that_slips_is_lost_before_anything_is_misread),
		TEST(a_process_id_of_another_namespace_is_taken_as_it_is),
		TEST(replies_have_each_field_where_the_asker_looks_for_it),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
