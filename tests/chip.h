/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a runtime's totals, as its field knows them: offsets are written out by hand here, from
 * the description of the format, and are not those of tally/chip_file.h. */
#ifndef TESTS_CHIP_H
#define TESTS_CHIP_H

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support.h"

#define CHIP_SIZE 8576
#define CHIP_NOBODY 0x3ffffeu /* a pid above the largest that kernels give by default */

struct chip_bytes {
	unsigned char at[CHIP_SIZE + 1024];
};

static inline void chip_put32(struct chip_bytes *chip, size_t at, uint32_t value)
{
	memcpy(&chip->at[at], &value, 4);
}

static inline void chip_put64(struct chip_bytes *chip, size_t at, uint64_t value)
{
	memcpy(&chip->at[at], &value, 8);
}

static inline uint32_t chip_get32(const void *bytes, size_t at)
{
	uint32_t value;

	memcpy(&value, (const char *)bytes + at, 4);
	return value;
}

static inline uint64_t chip_get64(const void *bytes, size_t at)
{
	uint64_t value;

	memcpy(&value, (const char *)bytes + at, 8);
	return value;
}

/* One as a runtime makes it: nobody in it, ready. */
static inline struct chip_bytes chip_new(uint32_t version, uint64_t chip_id, uint32_t device)
{
	struct chip_bytes chip;
	size_t n;

	memset(&chip, 0, sizeof(chip));
	chip_put32(&chip, 0, version);
	chip_put64(&chip, 8, 1700000000000000000u);
	chip_put64(&chip, 32, chip_id);
	chip_put32(&chip, 40, device);
	chip_put32(&chip, 88, device);
	for (n = 1; n < 16; n++)
		chip_put32(&chip, 88 + n * 48, 0xFFFFFFFFu);
	if (version == 4)
		chip_put32(&chip, 8536, 0x52454459u);
	return chip;
}

/* A process's slot, and its bytes in the totals: dram, l1, l1_small, trace, cb. */
static inline void chip_slot(struct chip_bytes *chip, size_t slot, uint32_t pid, const char *name,
			     const uint64_t bytes[5])
{
	size_t at = 856 + slot * 120, n;

	chip_put32(chip, at, pid);
	for (n = 0; n < 5; n++) {
		chip_put64(chip, at + 8 + n * 8, bytes[n]);
		chip_put64(chip, 48 + n * 8, chip_get64(chip->at, 48 + n * 8) + bytes[n]);
		chip_put64(chip, 96 + n * 8, chip_get64(chip->at, 96 + n * 8) + bytes[n]);
	}
	chip_put64(chip, at + 48, 1700000000000000001u);
	memset(&chip->at[at + 56], 0, 64);
	memcpy(&chip->at[at + 56], name, strlen(name) < 64 ? strlen(name) : 64);
	chip_put32(chip, 4, chip_get32(chip->at, 4) + 1);
	chip_put32(chip, 16, chip_get32(chip->at, 16) + 1);
}
#define BYTES(...) ((const uint64_t[5]){ __VA_ARGS__ })

static inline char *chip_path(uint64_t chip_id)
{
	return text("%s/tt_device_%llu_memory", test_dir, (unsigned long long)chip_id);
}

/* Writes the first `size` bytes of it as the file of that chip. */
static inline char *chip_write_size(const struct chip_bytes *chip, uint64_t chip_id, size_t size)
{
	char *path = chip_path(chip_id);

	write_file(path, chip->at, size);
	assert_int_equal(chmod(path, 0600), 0);
	return path;
}

static inline char *chip_write(const struct chip_bytes *chip, uint64_t chip_id)
{
	return chip_write_size(chip, chip_id, CHIP_SIZE);
}

/* That the file is what was written, byte for byte. */
static inline void chip_unchanged(const struct chip_bytes *chip, const char *path)
{
	size_t size;
	char *now = read_file(path, &size);

	assert_int_equal(size, CHIP_SIZE);
	assert_memory_equal(now, chip->at, CHIP_SIZE);
}

/* What is in the file now. */
static inline const char *chip_now(uint64_t chip_id)
{
	size_t size;
	const char *now = read_file(chip_path(chip_id), &size);

	assert_int_equal(size, CHIP_SIZE);
	return now;
}

/* The slot of that pid, or NULL. */
static inline const char *chip_slot_of(const char *bytes, uint32_t pid)
{
	size_t n;

	for (n = 0; n < 64; n++)
		if (chip_get32(bytes, 856 + n * 120) == pid)
			return bytes + 856 + n * 120;
	return NULL;
}

#endif
