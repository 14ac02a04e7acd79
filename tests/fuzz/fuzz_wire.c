/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a stream of the socket server's clients, whatever bytes it is made of.
 *
 * Byte 0: how the stream is cut, the seed of it; byte 1: odd: the peer's process id is that of the
 * first message; the others are the stream. Whole, byte by byte, and in pieces it must say the same
 * in the same order, and lose it at the same place; no message is of more bytes than have come.
 */
#include <stdio.h>
#include <string.h>

#include "consumer/gateway/wire.h"
#include "tests/fuzz/fuzz.h"

struct said {
	size_t count; /* may be more than are kept */
	uint64_t sum; /* over all of them */
	bool lost;
	const char *why;
	uint16_t layout;
	uint8_t bad;
};

static void note(struct said *said, enum wire_what what, const struct wire_message *message)
{
	uint64_t words[] = {
		what,
		message->type,
		message->buffer_type,
		(uint64_t)message->device_id,
		(uint64_t)message->process_id,
		message->size,
		message->buffer_id,
		message->timestamp,
	};
	size_t n;

	for (n = 0; n < sizeof(words) / sizeof(words[0]); n++)
		said->sum = (said->sum ^ words[n]) * 0x100000001b3u + 1;
	said->count++;
}

static void check_message(enum wire_what what, const struct wire_message *message)
{
	bool counts = what == WIRE_MESSAGE && !wire_is_question(message->type);

	FUZZ_CHECK(what != WIRE_REST); /* nothing was answered */
	if (!counts || message->type == WIRE_DUMP_REMAINING || message->type == WIRE_DUMP_KERNELS)
		return;
	FUZZ_CHECK(message->device_id >= 0 && message->device_id <= 65535);
	FUZZ_CHECK(message->size <= WIRE_SIZE_MAX && message->process_id > 0);
	FUZZ_CHECK(message->type != WIRE_ALLOC || message->buffer_type <= 4);
	FUZZ_CHECK(message->type != WIRE_KERNEL_LOAD || message->buffer_type <= 2);
}

/* A copy of its own, so that a byte too many that is read is found. */
static void feed(struct wire *wire, struct said *said, const uint8_t *data, size_t size)
{
	unsigned char *copy = malloc(size ? size : 1);
	const unsigned char *at = copy;
	struct wire_message message;
	enum wire_what what;

	FUZZ_CHECK(copy);
	memcpy(copy, data, size);
	for (;;) {
		size_t before = size;

		memset(&message, 0, sizeof(message));
		what = wire_next(wire, &at, &size, &message);
		FUZZ_CHECK(size <= before);
		if (what == WIRE_MORE || what == WIRE_LOST)
			break;
		check_message(what, &message);
		note(said, what, &message);
	}
	FUZZ_CHECK(what == WIRE_LOST || size == 0);
	FUZZ_CHECK(wire->lost == (what == WIRE_LOST));
	FUZZ_CHECK(!wire_waits(wire) || (wire->layout == 0 && !wire->lost));
	free(copy);
}

static void finish(const struct wire *wire, struct said *said, size_t size)
{
	said->lost = wire->lost;
	said->why = wire->lost ? wire->why : NULL;
	said->layout = wire->layout;
	said->bad = wire->bad;
	FUZZ_CHECK(said->count <= size / WIRE_SHARED);
	FUZZ_CHECK(said->bad <= WIRE_BAD_MAX && (said->bad < WIRE_BAD_MAX || said->lost));
	FUZZ_CHECK(wire->have < WIRE_MAX || wire->lost);
}

static void check_same(const struct said *a, const struct said *b)
{
	FUZZ_CHECK(a->count == b->count && a->sum == b->sum);
	FUZZ_CHECK(a->lost == b->lost && a->why == b->why);
	FUZZ_CHECK(a->layout == b->layout && a->bad == b->bad);
}

/* Pieces of 1 to 255 bytes, settled now and then: nothing of it may be told otherwise then but for
 * answers that go on. */
static void feed_settled(struct wire *wire, const uint8_t *data, size_t size, uint32_t seed)
{
	struct wire_message message;
	enum wire_what what;

	while (size) {
		size_t part = (seed = seed * 1664525u + 1013904223u) >> 24;
		const unsigned char *at = data;
		size_t left;

		part = part == 0 ? 1 : part > size ? size : part;
		left = part;
		do {
			what = wire_next(wire, &at, &left, &message);
			if (what == WIRE_REST) {
				FUZZ_CHECK(wire->answered_before >= WIRE_SHARED);
				FUZZ_CHECK(wire_layout(wire) > wire->answered_before);
			}
		} while (what != WIRE_MORE && what != WIRE_LOST);
		if (what == WIRE_LOST)
			return;
		if (wire_waits(wire)) {
			what = wire_settle(wire, &message);
			FUZZ_CHECK(what == WIRE_MESSAGE || what == WIRE_REST);
			FUZZ_CHECK(wire_is_question(message.type) && !wire_waits(wire));
			FUZZ_CHECK(wire_layout(wire) == wire->have);
		}
		data += part;
		size -= part;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire whole = { 0 }, bytes, pieces, settled;
	struct said said = { 0 }, again = { 0 }, cut = { 0 };
	uint32_t seed;
	size_t n, part;

	if (size < 2)
		return 0;
	seed = data[0];
	if ((data[1] & 1) && size >= 2 + 24)
		memcpy(&whole.peer_pid, data + 2 + 20, 4);
	if (whole.peer_pid < 0)
		whole.peer_pid = 0;
	data += 2;
	size -= 2;
	bytes = pieces = settled = whole;
	feed(&whole, &said, data, size);
	finish(&whole, &said, size);
	for (n = 0; n < size; n++)
		feed(&bytes, &again, data + n, 1);
	finish(&bytes, &again, size);
	check_same(&said, &again);
	for (n = 0; n < size; n += part) {
		part = (seed = seed * 1664525u + 1013904223u) >> 24;
		if (part > size - n)
			part = size - n;
		feed(&pieces, &cut, data + n, part);
	}
	finish(&pieces, &cut, size);
	check_same(&said, &cut);
	feed_settled(&settled, data, size, seed);
	FUZZ_CHECK(settled.layout == whole.layout && settled.lost == whole.lost);
	FUZZ_CHECK(settled.messages == whole.messages);
	return 0;
}
