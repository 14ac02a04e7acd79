/* SPDX-License-Identifier: Apache-2.0 */
/* Messages out of a stream, and replies into one; wire.h says how and why. */
#include "wire.h"

#include <assert.h>
#include <string.h>

#define AT(layout, field, offset)                                                                  \
	static_assert(offsetof(struct wire_##layout, field) == (offset), #layout " " #field)

AT(72, head.type, 0);
AT(72, head.device_id, 4);
AT(72, head.size, 8);
AT(72, head.buffer_type, 16);
AT(72, head.process_id, 20);
AT(72, head.buffer_id, 24);
AT(72, head.timestamp, 32);
AT(72, head.dram, WIRE_REQUEST);
AT(72, head.l1, 48);
AT(72, head.l1_small, 56);
AT(72, head.trace, 64);
static_assert(sizeof(struct wire_72) == WIRE_SHARED, "72");

AT(112, info.total_dram, 72);
AT(112, info.total_l1, 80);
AT(112, info.arch, 88);
AT(112, info.dram_channels, 92);
AT(112, info.dram_size_per_channel, 96);
AT(112, info.l1_size_per_core, 100);
AT(112, info.is_available, 104);
AT(112, info.num_devices, 108);
static_assert(sizeof(struct wire_112) == 112, "112");

AT(128, programs.cb, 72);
AT(128, programs.kernel, 80);
AT(128, info.total_dram, 88);
AT(128, info.num_devices, 124);
static_assert(sizeof(struct wire_128) == 128, "128");

AT(144, programs, offsetof(struct wire_128, programs));
AT(144, info, offsetof(struct wire_128, info));
AT(144, ring.total_size, 128);
AT(144, ring.used_bytes, 132);
AT(144, ring.num_programs, 136);
AT(144, ring.zero, 140);
static_assert(sizeof(struct wire_144) == WIRE_MAX, "144");

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "messages are little-endian");

/* ---- One message ----------------------------------------------------------------------------- */

static bool is_request(uint8_t type)
{
	return type >= WIRE_ALLOC && type <= WIRE_DUMP_KERNELS && type != WIRE_RESPONSE &&
	       type != WIRE_DEVICE_INFO_RESPONSE;
}

/* What such a message cannot be right with, or NULL. */
static const char *fault(const struct wire_head *head)
{
	bool asks = wire_is_question(head->type);

	if (!is_request(head->type))
		return "an unknown type";
	if (head->type == WIRE_DUMP_REMAINING || head->type == WIRE_DUMP_KERNELS)
		return NULL;
	if (head->device_id > 65535 || head->device_id < (asks ? -1 : 0))
		return "a device that is not 0 to 65535";
	if (asks)
		return NULL;
	if (head->process_id <= 0)
		return "no process id";
	if (head->type == WIRE_ALLOC && head->buffer_type > 4)
		return "an unknown buffer type";
	if (head->type == WIRE_KERNEL_LOAD && head->buffer_type > 2)
		return "an unknown kernel type";
	if (head->size > WIRE_SIZE_MAX)
		return "a size above 1 TiB";
	return NULL;
}

static bool is_zero(const unsigned char *bytes, size_t size)
{
	size_t n;

	for (n = 0; n < size; n++)
		if (bytes[n])
			return false;
	return true;
}

static bool names_process(const struct wire *wire, const struct wire_head *head)
{
	if (head->process_id <= 0)
		return false;
	return head->process_id == wire->peer_pid || head->process_id == wire->named_pid;
}

static enum wire_what lose(struct wire *wire, const unsigned char *bytes, size_t size,
			   const char *why)
{
	wire->lost = true;
	wire->why = why;
	wire->shown = (uint8_t)(size < WIRE_REQUEST ? size : WIRE_REQUEST);
	memmove(wire->part, bytes, wire->shown);
	return WIRE_LOST;
}

/* What is to be said of the message that begins with these bytes. */
static enum wire_what judge(struct wire *wire, const unsigned char *bytes,
			    struct wire_message *ret_message)
{
	struct wire_head head;
	const char *why;

	memcpy(&head, bytes, sizeof(head));
	if (!head.type || !is_zero(head.zero_1, 3) || !is_zero(head.zero_17, 3))
		return lose(wire, bytes, WIRE_REQUEST, "no message begins so");
	why = fault(&head);
	if (why && !names_process(wire, &head))
		return lose(wire, bytes, WIRE_REQUEST, why);
	*ret_message = (struct wire_message){
		.type = head.type,
		.buffer_type = head.buffer_type,
		.device_id = head.device_id,
		.process_id = head.process_id,
		.size = head.size,
		.buffer_id = head.buffer_id,
		.timestamp = head.timestamp,
	};
	if (!why) {
		if (wire->messages++ == 0)
			wire->named_pid = head.process_id;
		return WIRE_MESSAGE;
	}
	if (++wire->bad >= WIRE_BAD_MAX)
		return lose(wire, bytes, WIRE_REQUEST, "too many bad messages");
	wire->why = why;
	return WIRE_BAD;
}

/* ---- The first message ----------------------------------------------------------------------- */

static bool is_layout(unsigned int size)
{
	return size == sizeof(struct wire_72) || size == sizeof(struct wire_112) ||
	       size == sizeof(struct wire_128) || size == sizeof(struct wire_144);
}

/* A byte that must be zero in every message, whatever comes after it. */
static bool is_unused(unsigned int at)
{
	return (at >= 1 && at < 4) || (at >= 17 && at < 20) || at >= WIRE_REQUEST;
}

/* The layout is known: all of the first message has been taken, or only zeros are left of it. */
static enum wire_what recognised(struct wire *wire, unsigned int layout,
				 struct wire_message *ret_message)
{
	wire->layout = (uint16_t)layout;
	wire->have = 0;
	if (!wire->asks || wire->answered == layout)
		return WIRE_MORE;
	wire->asks = false;
	*ret_message = wire->asked;
	wire->answered_before = wire->answered;
	return wire->answered ? WIRE_REST : WIRE_MESSAGE;
}

/* The bytes that all layouts share are there. */
static enum wire_what begin(struct wire *wire, struct wire_message *ret_message)
{
	enum wire_what what = judge(wire, wire->part, ret_message);

	wire->asks = (what == WIRE_MESSAGE || what == WIRE_BAD) &&
		     wire_is_question(ret_message->type);
	if (!wire->asks)
		return what;
	wire->asked = *ret_message;
	return WIRE_MORE;
}

/* What came with those bytes tells people more. */
static enum wire_what no_layout(struct wire *wire, const unsigned char *more, size_t size)
{
	size_t room = wire->have < WIRE_REQUEST ? (size_t)(WIRE_REQUEST - wire->have) : 0;
	size_t extra = size < room ? size : room;

	memcpy(wire->part + wire->have, more, extra);
	return lose(wire, wire->part, wire->have + extra, "no message begins so");
}

static enum wire_what recognise(struct wire *wire, const unsigned char **bytes, size_t *size,
				struct wire_message *ret_message)
{
	while (*size) {
		unsigned char byte = **bytes;
		enum wire_what what;

		if (byte && is_layout(wire->have))
			return recognised(wire, wire->have, ret_message);
		wire->part[wire->have++] = byte;
		++*bytes;
		--*size;
		if (wire->have == 1 ? !byte : byte && is_unused(wire->have - 1u))
			return no_layout(wire, *bytes, *size);
		if (wire->have == WIRE_SHARED) {
			what = begin(wire, ret_message);
			if (what != WIRE_MORE)
				return what;
		}
		if (wire->have == WIRE_MAX)
			return recognised(wire, WIRE_MAX, ret_message);
	}
	return WIRE_MORE;
}

bool wire_waits(const struct wire *wire)
{
	return !wire->lost && !wire->layout && wire->asks && wire->have != wire->answered &&
	       is_layout(wire->have);
}

bool wire_can_go_on(const struct wire *wire)
{
	return wire->asked.type == WIRE_QUERY || wire->asked.device_id < 0;
}

unsigned int wire_grace_ms(const struct wire *wire)
{
	return wire->have == sizeof(struct wire_112) && !wire_can_go_on(wire) ? WIRE_GRACE_LONG_MS
									      : WIRE_GRACE_MS;
}

enum wire_what wire_settle(struct wire *wire, struct wire_message *ret_message)
{
	*ret_message = wire->asked;
	wire->answered_before = wire->answered;
	wire->answered = wire->have;
	return wire->answered_before ? WIRE_REST : WIRE_MESSAGE;
}

/* ---- The others ------------------------------------------------------------------------------ */

enum wire_what wire_next(struct wire *wire, const unsigned char **bytes, size_t *size,
			 struct wire_message *ret_message)
{
	const unsigned char *message;
	enum wire_what what;
	size_t missing;

	if (wire->lost)
		return WIRE_LOST;
	if (!wire->layout) {
		what = recognise(wire, bytes, size, ret_message);
		if (what != WIRE_MORE || !wire->layout)
			return what;
	}
	missing = (size_t)(wire->layout - wire->have);
	if (*size < missing) {
		memcpy(wire->part + wire->have, *bytes, *size);
		wire->have = (uint16_t)(wire->have + *size);
		*bytes += *size;
		*size = 0;
		return WIRE_MORE;
	}
	message = *bytes;
	if (wire->have) {
		memcpy(wire->part + wire->have, *bytes, missing);
		message = wire->part;
	}
	*bytes += missing;
	*size -= missing;
	wire->have = 0;
	return judge(wire, message, ret_message);
}

/* ---- Replies --------------------------------------------------------------------------------- */

void wire_encode(const struct wire_reply *reply, unsigned int layout, unsigned char *to)
{
	struct wire_head head = {
		.type = reply->type,
		.device_id = reply->device_id,
		.dram = reply->dram,
		.l1 = reply->l1,
		.l1_small = reply->l1_small,
		.trace = reply->trace,
	};
	struct wire_144 full = { .programs = reply->programs, .info = reply->info };

	full.head = head;
	if (layout == sizeof(struct wire_112)) {
		struct wire_112 middle = { .head = head, .info = reply->info };

		memcpy(to, &middle, sizeof(middle));
		return;
	}
	memcpy(to, &full, layout); /* 72 and 128 are beginnings of it */
}
