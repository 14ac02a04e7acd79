/* SPDX-License-Identifier: Apache-2.0 */
/* What the socket server's clients speak: messages of four sizes, taken out of a stream of bytes.
 *
 * No message says its size. A connection's is found out from its first message, and kept:
 *
 *	A request uses its first 40 bytes; the rest is for replies, and zero. The byte after a
 *	message is the type of the next one, and no type is zero. So the number of zeros between
 *	byte 40 and the next type is the layout's, and no other's:
 *
 *	- The right layout L is never refuted: up to L all is zero, at L is a type.
 *	- A smaller layout W is refuted by byte W: it would be a type, and is a zero of the rest.
 *	- A larger one is refuted by byte L: it would be a zero of the rest, and is a type.
 *
 * One byte beyond the first message is enough therefore, and of the largest layout not even that.
 * Until then these hold:
 *
 *	- What the message says is in the bytes that all layouts share. Where nobody waits for an
 *	  answer it counts once 72 bytes are there.
 *	- A question's answer has the asker's size. When a smaller layout's bytes are complete, and
 *	  nothing has come for a moment (wire_grace_ms()), that layout is assumed (wire_settle()).
 *	  Should zeros follow after all, it was a larger one, and the asker gets what its answer is
 *	  longer by (WIRE_REST).
 *
 *	That an asker of a smaller layout waits for its answer, and one of a larger pauses, is the
 *	same bytes and the same silence: no more than time can tell them apart, and who is never
 *	answered waits for ever. So for each place where a first question may be cut:
 *
 *	- 72: all layouts' answers begin alike. Nothing is wrong, whatever the pause.
 *	- 128: that of 144 begins alike, and goes on with zeros. Likewise.
 *	- 112: where its answer has capacities (72 to 111) the larger ones have circular buffers,
 *	  kernels, and capacities 16 bytes later. An answer to QUERY has no capacities: who was told
 *	  zeros gets no circular buffers and no kernels in this one answer. That to
 *	  DEVICE_INFO_QUERY{-1} has the two numbers that were asked for at its end: the larger one,
 *	  which goes on from there, has them right. Both go on therefore (wire_can_go_on()). An
 *	  answer about one device would be wrong in what was asked for, which is worse than none: it
 *	  is waited for longer (WIRE_GRACE_LONG_MS), once for each client of that layout that
 *	  begins so, and a longer pause than that costs the connection.
 *
 * A first message of nonsense is told by what all layouts share: padding and the unused rest are
 * zero, the type is one of a request, numbers are in range. Later a message may
 *
 *	- be bad, and say by its process id that it is where a message is expected: it is passed
 *	  over, WIRE_BAD_MAX - 1 times (a type unknown, a device or size out of range);
 *	- be no message at all (padding not zero, or as bad and with a process id that is neither
 *	  the peer's nor the first message's): bytes are missing or too many, and nothing that
 *	  follows could be read right: the connection is lost.
 *
 * The parser is pure: no I/O, no memory, no time, and the same bytes in any pieces give the same
 * messages.
 */
#ifndef GATEWAY_WIRE_H
#define GATEWAY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_GRACE_MS 5
#define WIRE_GRACE_LONG_MS 250
#define WIRE_BAD_MAX 10
#define WIRE_SIZE_MAX (1ull << 40) /* bytes of one allocation */

enum wire_type {
	WIRE_ALLOC = 1,
	WIRE_FREE = 2,
	WIRE_QUERY = 3,
	WIRE_RESPONSE = 4,
	WIRE_DUMP_REMAINING = 5,
	WIRE_DEVICE_INFO_QUERY = 6,
	WIRE_DEVICE_INFO_RESPONSE = 7,
	WIRE_CB_ALLOC = 8,
	WIRE_CB_FREE = 9,
	WIRE_KERNEL_LOAD = 10,
	WIRE_KERNEL_UNLOAD = 11,
	WIRE_DUMP_KERNELS = 12,
};

/* ---- The bytes, little-endian ---------------------------------------------------------------- */

struct wire_head {
	uint8_t type;
	uint8_t zero_1[3];
	int32_t device_id;
	uint64_t size;
	uint8_t buffer_type; /* KERNEL_LOAD: the kernel's kind */
	uint8_t zero_17[3];
	int32_t process_id;
	uint64_t buffer_id;
	uint64_t timestamp;
	uint64_t dram, l1, l1_small, trace; /* from here on replies alone */
};

struct wire_programs {
	uint64_t cb, kernel;
};

struct wire_info {
	uint64_t total_dram, total_l1;
	uint32_t arch;
	uint32_t dram_channels, dram_size_per_channel, l1_size_per_core;
	uint32_t is_available, num_devices;
};

struct wire_ring {
	uint32_t total_size, used_bytes, num_programs, zero;
};

struct wire_72 {
	struct wire_head head;
};

struct wire_112 {
	struct wire_head head;
	struct wire_info info;
};

struct wire_128 {
	struct wire_head head;
	struct wire_programs programs;
	struct wire_info info;
};

struct wire_144 {
	struct wire_head head;
	struct wire_programs programs;
	struct wire_info info;
	struct wire_ring ring;
};

#define WIRE_SHARED 72	/* bytes that all layouts begin with */
#define WIRE_REQUEST 40 /* bytes of it that requests use */
#define WIRE_MAX 144

/* ---- Messages -------------------------------------------------------------------------------- */

struct wire_message {
	uint8_t type;
	uint8_t buffer_type;
	int32_t device_id;
	int32_t process_id;
	uint64_t size, buffer_id, timestamp;
};

enum wire_what {
	WIRE_MORE,    /* all bytes are taken, and there is no message */
	WIRE_MESSAGE, /* one is in ret_message */
	WIRE_REST,    /* the question answered before is of a larger layout than was assumed: its
		       * answer goes on from byte `answered_before` */
	WIRE_BAD,     /* one that cannot count is in ret_message; why says what is wrong with it */
	WIRE_LOST,    /* no message can be read any more, see why */
};

/* A connection. Zero but for peer_pid before the first bytes. */
struct wire {
	int32_t peer_pid;  /* who is at the other end; 0: not known */
	int32_t named_pid; /* as the first message said */
	uint16_t layout;   /* bytes of a message; 0: not known yet */
	uint16_t have;	   /* bytes of a message that is not complete */
	uint16_t answered; /* the layout that is assumed; 0: none */
	uint16_t answered_before;
	uint8_t bad;	 /* messages so far */
	bool asks, lost; /* asks: the first message is a question */
	const char *why;
	uint64_t messages; /* good ones */
	struct wire_message asked;
	unsigned char part[WIRE_MAX]; /* of that message; once lost what could not be read, */
	uint8_t shown;		      /* so many bytes of it */
};

/* Takes bytes until something is to be said; *bytes and *size are moved on. To be called again
 * until it says WIRE_MORE or WIRE_LOST. */
enum wire_what wire_next(struct wire *wire, const unsigned char **bytes, size_t *size,
			 struct wire_message *ret_message);

/* A question is complete in a layout that is not sure yet: when nothing more comes, settle. */
bool wire_waits(const struct wire *wire);

/* How long nothing more may have come for that. */
unsigned int wire_grace_ms(const struct wire *wire);

/* Whether an answer that was begun in a layout that does not begin alike can go on: what it has
 * been told wrong was not asked for. */
bool wire_can_go_on(const struct wire *wire);

/* Assumes it: WIRE_MESSAGE, or WIRE_REST. Only when it waits. */
enum wire_what wire_settle(struct wire *wire, struct wire_message *ret_message);

/* The layout that an answer is to have now. */
static inline unsigned int wire_layout(const struct wire *wire)
{
	return wire->layout ? wire->layout : wire->answered;
}

static inline bool wire_is_question(uint8_t type)
{
	return type == WIRE_QUERY || type == WIRE_DEVICE_INFO_QUERY;
}

/* ---- Replies --------------------------------------------------------------------------------- */

/* All that any layout has. */
struct wire_reply {
	uint8_t type;
	int32_t device_id;
	uint64_t dram, l1, l1_small, trace;
	struct wire_programs programs;
	struct wire_info info;
};

/* Writes `layout` bytes. */
void wire_encode(const struct wire_reply *reply, unsigned int layout, unsigned char *to);

#endif
