/* SPDX-License-Identifier: Apache-2.0 */
/* The totals that the tt-metal runtime publishes by itself, one file per chip:
 * /dev/shm/tt_device_<chip id, decimal>_memory. Tally reads what others write there, and
 * `tally gateway --publish` writes the same. This is the one definition of its bytes.
 *
 * Versions 2, 3 and 4 have one layout; 4 has init_state. Version 1 has another (9,280 bytes), which
 * Tally does not read. Little-endian. Every number is given here as the aligned 8-byte word that it
 * is in, so that it can be written whole: of two 32-bit fields in one word the first is the low
 * half. All bytes are held now, and wrap below zero when a writer has freed too much.
 *
 * Known of Tally's own and not of the runtime's are `mark` and the upper half of a slot's first
 * word, which are padding in all versions.
 */
#ifndef TALLY_CHIP_FILE_H
#define TALLY_CHIP_FILE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_CHIP_FILE_FORMAT "tt_device_%llu_memory" /* of the chip id, unsigned long long */
#define TALLY_CHIP_FILE_NAME_MAX 48

#define TALLY_CHIP_FILE_SIZE 8576
#define TALLY_CHIP_VERSION_MIN 2
#define TALLY_CHIP_VERSION_MAX 4
#define TALLY_CHIP_VERSION_READY 4 /* the first that has init_state */
#define TALLY_CHIP_VERSION_1_SIZE 9280

#define TALLY_CHIP_READY 0x52454459u	      /* init_state; before that 0 or 1 */
#define TALLY_CHIP_UNUSED 0xFFFFFFFFu	      /* chip_id of an entry of chips[] without one */
#define TALLY_CHIP_MARK 0x656772656d6c6154ull /* in `mark`: Tally's gateway keeps the totals */
#define TALLY_CHIP_SLOT_MARK 0x796c6c74u      /* xor the pid, in a slot that is the gateway's */

#define TALLY_CHIP_CHIPS 16
#define TALLY_CHIP_SLOTS 64
#define TALLY_CHIP_POOLS 5
#define TALLY_CHIP_NAME_WORDS 8

/* Order of the bytes[] below. System memory and kernels have no field. */
enum tally_chip_pool {
	TALLY_CHIP_DRAM = 0,
	TALLY_CHIP_L1 = 1,
	TALLY_CHIP_L1_SMALL = 2,
	TALLY_CHIP_TRACE = 3,
	TALLY_CHIP_CB = 4,
};

/* Parts of the totals: what is on this chip, and on others that are reached through it. */
struct tally_chip_part {
	uint64_t chip; /* chip_id, is_remote */
	uint64_t bytes[TALLY_CHIP_POOLS];
};

struct tally_chip_slot {
	uint64_t pid; /* 0: unused */
	uint64_t bytes[TALLY_CHIP_POOLS];
	uint64_t last_update_ns;	      /* since the epoch */
	uint64_t name[TALLY_CHIP_NAME_WORDS]; /* 64 characters */
};

struct tally_chip_file {
	uint64_t version; /* version, num_active_processes: slots in use */
	uint64_t last_update_ns;
	uint64_t reference_count; /* of processes that are attached */
	uint64_t board_serial;
	uint64_t asic_id;
	uint64_t device_id; /* logical */
	uint64_t bytes[TALLY_CHIP_POOLS];
	struct tally_chip_part chips[TALLY_CHIP_CHIPS];
	struct tally_chip_slot slots[TALLY_CHIP_SLOTS];
	uint64_t init_state; /* version 4: TALLY_CHIP_READY, stored last with release */
	uint64_t mark;
	uint64_t spare[3];
};

#define TALLY_CHECK_AT(type, field, at)                                                            \
	static_assert(offsetof(struct type, field) == (at), #type "." #field " has moved")
TALLY_CHECK_AT(tally_chip_part, chip, 0);
TALLY_CHECK_AT(tally_chip_part, bytes, 8);
static_assert(sizeof(struct tally_chip_part) == 48, "16 of them");
TALLY_CHECK_AT(tally_chip_slot, pid, 0);
TALLY_CHECK_AT(tally_chip_slot, bytes, 8);
TALLY_CHECK_AT(tally_chip_slot, last_update_ns, 48);
TALLY_CHECK_AT(tally_chip_slot, name, 56);
static_assert(sizeof(struct tally_chip_slot) == 120, "64 of them");
TALLY_CHECK_AT(tally_chip_file, version, 0);
TALLY_CHECK_AT(tally_chip_file, last_update_ns, 8);
TALLY_CHECK_AT(tally_chip_file, reference_count, 16);
TALLY_CHECK_AT(tally_chip_file, board_serial, 24);
TALLY_CHECK_AT(tally_chip_file, asic_id, 32);
TALLY_CHECK_AT(tally_chip_file, device_id, 40);
TALLY_CHECK_AT(tally_chip_file, bytes, 48);
TALLY_CHECK_AT(tally_chip_file, chips, 88);
TALLY_CHECK_AT(tally_chip_file, slots, 856);
TALLY_CHECK_AT(tally_chip_file, init_state, 8536);
TALLY_CHECK_AT(tally_chip_file, mark, 8544);
TALLY_CHECK_AT(tally_chip_file, spare, 8552);
static_assert(sizeof(struct tally_chip_file) == TALLY_CHIP_FILE_SIZE, "all versions from 2 on");
#undef TALLY_CHECK_AT

/* The halves of a word, and a word of two. */
static inline uint32_t tally_chip_low(uint64_t word)
{
	return (uint32_t)word;
}

static inline uint32_t tally_chip_high(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline uint64_t tally_chip_word(uint32_t low, uint32_t high)
{
	return low | (uint64_t)high << 32;
}

/* The first word of a slot that the gateway has filled in for a process: what another writer puts
 * into it later, or has left there, does not pass for it. */
static inline uint64_t tally_chip_slot_word(uint32_t pid)
{
	return tally_chip_word(pid, pid ^ TALLY_CHIP_SLOT_MARK);
}

#endif
