/* SPDX-License-Identifier: Apache-2.0 */
/* The socket server's messages as its clients make and read them: by offsets of their own, so that
 * nothing of the gateway's is tested with itself. */
#ifndef TESTS_LEGACY_H
#define TESTS_LEGACY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	LEGACY_ALLOC = 1,
	LEGACY_FREE = 2,
	LEGACY_QUERY = 3,
	LEGACY_RESPONSE = 4,
	LEGACY_DUMP = 5,
	LEGACY_INFO_QUERY = 6,
	LEGACY_INFO = 7,
	LEGACY_CB_ALLOC = 8,
	LEGACY_CB_FREE = 9,
	LEGACY_KERNEL_LOAD = 10,
	LEGACY_KERNEL_UNLOAD = 11,
	LEGACY_DUMP_KERNELS = 12,
};

#define LEGACY_MAX 144

static const unsigned int legacy_layouts[] = { 72, 112, 128, 144 };

struct legacy_message {
	uint8_t type;
	int32_t device;
	uint64_t size;
	uint8_t buffer_type;
	int32_t pid;
	uint64_t id;
	uint64_t timestamp;
};

static inline void legacy_put(unsigned char *bytes, const struct legacy_message *message,
			      unsigned int layout)
{
	memset(bytes, 0, layout);
	bytes[0] = message->type;
	memcpy(bytes + 4, &message->device, 4);
	memcpy(bytes + 8, &message->size, 8);
	bytes[16] = message->buffer_type;
	memcpy(bytes + 20, &message->pid, 4);
	memcpy(bytes + 24, &message->id, 8);
	memcpy(bytes + 32, &message->timestamp, 8);
}

static inline uint64_t legacy_u64(const unsigned char *bytes, unsigned int at)
{
	uint64_t value;

	memcpy(&value, bytes + at, 8);
	return value;
}

static inline uint32_t legacy_u32(const unsigned char *bytes, unsigned int at)
{
	uint32_t value;

	memcpy(&value, bytes + at, 4);
	return value;
}

/* Where a layout has what it adds; 0: nowhere. */
static inline unsigned int legacy_cb_at(unsigned int layout)
{
	return layout >= 128 ? 72 : 0;
}

static inline unsigned int legacy_info_at(unsigned int layout)
{
	return layout >= 128 ? 88 : layout == 112 ? 72 : 0;
}

#endif
