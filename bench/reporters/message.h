/* SPDX-License-Identifier: Apache-2.0 */
/* A message of the allocation server, in the layout of 112 bytes: filled as its clients do, which
 * read the system's clock for an allocation and send no size with a free. */
#ifndef BENCH_REPORTERS_MESSAGE_H
#define BENCH_REPORTERS_MESSAGE_H

#include "bench/reporter.h"

enum { MESSAGE_ALLOC = 1, MESSAGE_FREE = 2 };

struct message {
	uint8_t type, padding[3];
	int32_t device_id;
	uint64_t size;
	uint8_t buffer_type, padding2[3];
	int32_t process_id;
	uint64_t buffer_id, timestamp, tail[9];
};
_Static_assert(sizeof(struct message) == 112, "as the server wants it");

static int32_t message_me; /* the process's number, asked once */

static __always_inline struct message message_of(bool freed, uint64_t id, uint64_t size)
{
	struct message message = { .type = freed ? MESSAGE_FREE : MESSAGE_ALLOC,
				   .device_id = EVENT_DEVICE,
				   .size = freed ? 0 : size,
				   .buffer_type = EVENT_POOL,
				   .process_id = message_me,
				   .buffer_id = id };
	struct timespec now;

	if (!freed) {
		clock_gettime(CLOCK_REALTIME, &now);
		message.timestamp = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	}
	return message;
}

#endif
