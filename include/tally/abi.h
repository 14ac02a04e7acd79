/* SPDX-License-Identifier: Apache-2.0 */
/* Every byte that processes share: the region's header, process entries, lanes, ledgers, records.
 *
 * A region is one file, mapped whole. Geometry is kept as log2 sizes; ring/geometry.h turns them
 * into offsets, and readers recompute every offset themselves. In file order:
 *
 *	header            one page, written once before the file has a name
 *	process entries   2^processes_log2 x (header, shared cells, rounded up to a page)
 *	pool names        TALLY_POOLS x struct tally_pool_entry
 *	devices           2^devices_log2 x struct tally_device_entry
 *	tags              2^tags_log2 x struct tally_tag_entry
 *	lanes             2^lanes_log2 x (header, cells, rounded up to a page)
 *	rings             2^lanes_log2 x 2^ring_log2 x struct tally_record
 *	shared ring       2^shared_ring_log2 x struct tally_record
 *	cursors           of a lossless region: 2^lanes_log2 x struct tally_cursor
 *
 * The file is sparse: only what has been reserved takes memory. All words are little-endian on
 * every machine Tally runs on; byte_order lets a reader say so when that is not true.
 * Who writes a word, and when, stands beside it; orderings are on the protocol page, ring/slot.h.
 */
#ifndef TALLY_ABI_H
#define TALLY_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_ABI_VERSION 2u
#define TALLY_MAGIC 0x4e4759524c4c4154ull /* "TALLYRGN" in file order */
#define TALLY_BYTE_ORDER 0x01020304u
#define TALLY_PAGE 4096u

#define TALLY_DEVICES (1u << 16) /* device numbers are 0 .. 65535 */
#define TALLY_POOLS (1u << 8)	 /* pool numbers are 0 .. 255 */

/* ---- Record: one event, one cache line -------------------------------------------------------
 * commit, from the top: lap 40 | state 2 | record version 4 | kind 6 | owner 12.
 * owner: in the shared ring the process entry that took the slot, else 0.
 * where, from the top:  device 16 | pool 8 | flags 8 | thread id 32.
 * label, from the top:  spare 32 | tag 32. */
struct tally_record {
	uint64_t commit;       /* 0: state of the slot; valid for one position only */
	uint64_t time;	       /* 8: ticks of the region's clock, taken first */
	uint64_t buffer_id;    /* 16: address or handle; pool_reset: allocations released */
	uint64_t size;	       /* 24: bytes */
	uint64_t lane_balance; /* 32: signed bytes of this lane on that device and pool, after;
				  0 in the shared ring */
	uint64_t event_no;     /* 40: the lane's events up to and including this one; in the shared
				  ring the process entry's, which no other record of it has */
	uint64_t where;	       /* 48 */
	uint64_t label;	       /* 56 */
};

#define TALLY_LAP_BITS 40
#define TALLY_LAP_SHIFT 24
#define TALLY_STATE_SHIFT 22
#define TALLY_VERSION_SHIFT 18
#define TALLY_KIND_SHIFT 12
#define TALLY_OWNER_SHIFT 0
#define TALLY_STATE_MASK 3u
#define TALLY_VERSION_MASK 15u
#define TALLY_KIND_MASK 63u
#define TALLY_OWNER_MASK 4095u
#define TALLY_RECORD_VERSION 1u

enum tally_slot_state {
	TALLY_SLOT_FREE = 0, /* never used: older than every lap */
	TALLY_SLOT_WRITING = 1,
	TALLY_SLOT_VALID = 2,
	TALLY_SLOT_ABORTED = 3, /* shared ring: its owner died while writing */
};

enum tally_kind {
	TALLY_KIND_ALLOC = 1,
	TALLY_KIND_FREE = 2,
	TALLY_KIND_ALLOC_FAILED = 3,
	TALLY_KIND_POOL_RESET = 4,
	TALLY_KIND_DEVICE = 5, /* a device was described; buffer_id is its table index */
	TALLY_KIND_MARK = 6,   /* a phase, named by the tag */
};

/* ---- What a cell held when its last owner was found dead --------------------------------------
 * Sums only grow, whoever owns the cell; what the present owner did is their difference to this.
 * Written, by who takes the dead one's place, while no owner lives; else constant. */
struct tally_cell_base {
	uint64_t allocated_bytes; /* 0 */
	uint64_t freed_bytes;	  /* 8 */
	uint64_t allocs;	  /* 16 */
	uint64_t frees;		  /* 24 */
	uint64_t failures;	  /* 32 */
	uint64_t spare[3];	  /* 40 */
};

/* ---- Ledger cell: exact sums of one lane on one (device, pool), three cache lines -------------
 * Half `seq & 1` is current. The lane's owner writes the other half, then seq. The peak stands
 * beside the halves, as it seldom changes and can be told from the balance when in doubt. */
struct tally_cell_half {
	uint64_t event_no;	  /* 0: the lane's event that this half includes last */
	uint64_t allocated_bytes; /* 8 */
	uint64_t freed_bytes;	  /* 16 */
	uint64_t allocs;	  /* 24 */
	uint64_t frees;		  /* 32 */
	uint64_t failures;	  /* 40 */
};

struct tally_cell {
	struct tally_cell_half half0; /* 0 */
	uint64_t seq;		      /* 48 */
	uint64_t peak_bytes; /* 56: highest allocated - freed of this owner, at least the base's */
	struct tally_cell_half half1; /* 64 */
	uint64_t key;		      /* 112: written once, before cell_count names the cell */
	uint64_t spare;		      /* 120 */
	struct tally_cell_base base;  /* 128 */
};

/* key: 0 is empty, else bit 32 | device 16 | pool 8. */
#define TALLY_KEY(device, pool) (1ull << 32 | (uint64_t)(device) << 8 | (uint64_t)(pool))
#define TALLY_KEY_DEVICE(key) ((uint32_t)((key) >> 8 & 0xffff))
#define TALLY_KEY_POOL(key) ((uint32_t)((key)&0xff))

/* Shared cell: the same sums for events without a lane, changed by atomic adds from any thread of
 * the process. Each field is exact by itself; the fields are not a joint picture. */
struct tally_shared_cell {
	uint64_t key;		     /* 0: 0 until claimed by compare-and-swap, then constant */
	uint64_t allocated_bytes;    /* 8 */
	uint64_t freed_bytes;	     /* 16 */
	uint64_t allocs;	     /* 24 */
	uint64_t frees;		     /* 32 */
	uint64_t failures;	     /* 40 */
	uint64_t peak_bytes;	     /* 48: at least the highest allocated - freed of this owner */
	uint64_t spare;		     /* 56 */
	struct tally_cell_base base; /* 64 */
};

/* ---- Lane ------------------------------------------------------------------------------------
 * Written by the lane's owner alone, owner by compare-and-swap. The lane's events so far, of all
 * its owners, are publish_pos - start_pos + unrecorded: no word of its own counts them. */
struct tally_lane_header {
	uint64_t owner;		  /* 0: state 8 | process entry 24 | thread id 32 */
	uint64_t publish_pos;	  /* 8: records published up to here */
	uint64_t unrecorded;	  /* 16: events that got no record */
	uint64_t cell_count;	  /* 24: cells of the directory in use; only grows */
	uint64_t start_pos;	  /* 32: publish_pos before the first record */
	uint64_t ring_ready;	  /* 40: 1 once the ring's pages are reserved */
	uint64_t opened;	  /* 48: 1 once its first owner has set it up */
	uint64_t base_events;	  /* 56: events of dead owners; as struct tally_cell_base */
	uint64_t base_unrecorded; /* 64: likewise */
	uint64_t spare[7];	  /* 72 */
};

enum tally_lane_state {
	TALLY_LANE_FREE = 0, /* never had an owner */
	TALLY_LANE_OWNED = 1,
	TALLY_LANE_EXITED = 2,	/* its thread has gone; another of the process may continue it */
	TALLY_LANE_RETIRED = 3, /* its process was found dead and booked; any may continue it */
};

/* ---- Cursor: where the one consumer stands that a lossless lane waits for -----------------------
 * Written by who holds the lock of a byte behind those of the process entries (ring/alive.h). */
struct tally_cursor {
	uint64_t holder; /* 0: random, names who reads; 0: nobody does, nothing is waited for */
	uint64_t consume_pos; /* 8: records before it have been read */
	uint64_t spare[6];    /* 16 */
};

/* ---- Process entry ---------------------------------------------------------------------------
 * shared cells follow it. Liveness is the lock on the byte TALLY_LOCK_BYTE + entry of the file; who
 * holds it owns the entry. generation is 0 before the first owner and while a dead owner's things
 * are being booked; all else of the identity is written before it. */
struct tally_process_header {
	uint64_t shared_events;	    /* 0: events that went past the lanes, by atomic add */
	uint64_t shared_unrecorded; /* 8: of these, without a record */
	uint64_t rejected_events;   /* 16: out of range, or no cell left; counted nowhere else */
	uint64_t cell_pages;	    /* 24: bit n: page n of this entry is reserved */
	uint64_t guests;	    /* 32: processes without a region of their own, counted here */
	uint64_t spare[3];	    /* 40 */

	uint64_t generation;	    /* 64: random, names the process image; see above */
	uint64_t ended_ns;	    /* 72: CLOCK_MONOTONIC at a clean exit, else 0 */
	uint64_t pid;		    /* 80: shown, never believed */
	uint64_t start_realtime_ns; /* 88: when it took the entry */
	uint64_t parent;	    /* 96: generation of the process it was forked from, or 0 */
	uint64_t inherited_bytes;   /* 104: host heap at that fork, signed */
	uint64_t inherited_allocs;  /* 112: likewise */
	uint64_t spare2;	    /* 120 */

	char comm[24];		  /* 128: zero-terminated */
	uint64_t base_events;	  /* 152: of dead owners; as struct tally_cell_base */
	uint64_t base_unrecorded; /* 160: likewise */
	uint64_t base_rejected;	  /* 168: likewise */
	uint64_t spare3[10];	  /* 176 */
};

#define TALLY_LOCK_BYTE 64

/* ---- Names and descriptions: claimed free -> writing -> valid, then constant ---------------- */
enum tally_entry_state { TALLY_ENTRY_FREE = 0, TALLY_ENTRY_WRITING = 1, TALLY_ENTRY_VALID = 2 };

#define TALLY_DESCRIBED_POOLS 16 /* pools 0 .. 15 may have a capacity */

struct tally_device_entry {
	uint64_t state;	    /* 0 */
	uint32_t device;    /* 8 */
	uint32_t flags;	    /* 12: TALLY_DEVICE_REMOTE */
	char name[40];	    /* 16: zero-terminated, as are the two below */
	char arch[16];	    /* 56 */
	char stable_id[32]; /* 72 */
	uint32_t grid_x;    /* 104 */
	uint32_t grid_y;    /* 108 */
	uint32_t channels;  /* 112 */
	uint32_t spare;	    /* 116 */
	uint64_t capacity_bytes[TALLY_DESCRIBED_POOLS]; /* 120: 0 is unknown */
	uint64_t spare2;				/* 248 */
};

#define TALLY_DEVICE_REMOTE 1u

struct tally_tag_entry {
	uint64_t state; /* 0 */
	char name[56];	/* 8 */
};

struct tally_pool_entry {
	uint64_t state; /* 0 */
	char name[24];	/* 8 */
};

/* ---- Region header ---------------------------------------------------------------------------
 * Bytes 0 .. 63 keep their meaning in every version, so that any version can name the creator of
 * any other's region and remove it. Written once, before the file can be seen. */
struct tally_region_header {
	uint64_t magic;		     /* 0 */
	uint32_t abi_version;	     /* 8 */
	uint32_t byte_order;	     /* 12 */
	uint64_t size_bytes;	     /* 16: of the file */
	uint32_t creator_pid;	     /* 24: shown, never believed */
	uint32_t creator_uid;	     /* 28: likewise; the owner is what fstat says */
	uint64_t region_id;	     /* 32: random */
	char creator_comm[24];	     /* 40: zero-terminated */
	uint64_t signature;	     /* 64: tally_abi_signature() */
	uint8_t ring_log2;	     /* 72: records per lane */
	uint8_t lanes_log2;	     /* 73 */
	uint8_t lane_cells_log2;     /* 74 */
	uint8_t shared_cells_log2;   /* 75: per process entry */
	uint8_t processes_log2;	     /* 76 */
	uint8_t devices_log2;	     /* 77: descriptions */
	uint8_t tags_log2;	     /* 78 */
	uint8_t shared_ring_log2;    /* 79: records; 0: no shared ring */
	uint32_t clock;		     /* 80: enum tally_clock */
	uint32_t flags;		     /* 84: TALLY_REGION_... */
	uint64_t start_ticks;	     /* 88: the three clocks, read together */
	uint64_t start_monotonic_ns; /* 96 */
	uint64_t start_realtime_ns;  /* 104 */
	uint64_t run_id;	     /* 112: of the `tally run` that started it, else 0 */
};

/* What of the sparse file is reserved: a reader touches nothing else, as touching a hole would
 * take memory. At TALLY_REGION_STATE of the header page; words only grow. */
struct tally_region_state {
	uint64_t lanes_used;	/* 0: lanes 0 .. n-1 have their first page */
	uint64_t pools_ready;	/* 8: 1 once the pool names are reserved */
	uint64_t devices_ready; /* 16: likewise the device entries */
	uint64_t tags_ready;	/* 24: likewise the tags */
	uint64_t shared_ready;	/* 32: likewise the shared ring */
	uint64_t shared_start;	/* 40: reserve_pos before the first ticket; written once */
	uint64_t spare[2];	/* 48 */
};

#define TALLY_REGION_STATE 192

/* The shared ring's one word, on a line of its own, at TALLY_SHARED_RING of the header page. */
struct tally_shared_ring {
	uint64_t reserve_pos; /* 0: tickets taken so far */
	uint64_t spare[7];    /* 8 */
};

#define TALLY_SHARED_RING 320

/* Tickets are taken so many at a time, and belong to the thread that took them; so positions come
 * in groups, each of which starts at a multiple of it. */
#define TALLY_SHARED_GROUP 8

enum tally_clock { TALLY_CLOCK_TSC = 1, TALLY_CLOCK_MONOTONIC = 2, TALLY_CLOCK_CNTVCT = 3 };

#define TALLY_REGION_BAD_RING 1u       /* TALLY_RING was not usable: no records are kept */
#define TALLY_REGION_BAD_LANES 2u      /* TALLY_LANES was not usable: the default is in force */
#define TALLY_REGION_RUNNER 8u	       /* made by `tally run` for those that can make none */
#define TALLY_REGION_SMALL_FILES 4u    /* RLIMIT_FSIZE left room for fewer lanes than asked for */
#define TALLY_REGION_JOINED 16u	       /* by name: processes come and go */
#define TALLY_REGION_BAD_NAME 32u      /* TALLY_REGION was not usable: not joined */
#define TALLY_REGION_UNJOINED 64u      /* the region of that name could not be joined */
#define TALLY_REGION_BAD_LOSSLESS 256u /* TALLY_LOSSLESS was not usable: nothing waits */
#define TALLY_REGION_LOSSLESS 128u     /* lanes wait for a consumer that holds their cursors */

/* ---- Checks ----------------------------------------------------------------------------------
 * One line per shared field: its offset is checked here and folded into the layout signature. */
#define TALLY_ABI_FIELDS(F)                                                                        \
	F(tally_record, commit, 0)                                                                 \
	F(tally_record, time, 8)                                                                   \
	F(tally_record, buffer_id, 16)                                                             \
	F(tally_record, size, 24)                                                                  \
	F(tally_record, lane_balance, 32)                                                          \
	F(tally_record, event_no, 40)                                                              \
	F(tally_record, where, 48)                                                                 \
	F(tally_record, label, 56)                                                                 \
	F(tally_cell_base, allocated_bytes, 0)                                                     \
	F(tally_cell_base, freed_bytes, 8)                                                         \
	F(tally_cell_base, allocs, 16)                                                             \
	F(tally_cell_base, frees, 24)                                                              \
	F(tally_cell_base, failures, 32)                                                           \
	F(tally_cell_base, spare, 40)                                                              \
	F(tally_cell_half, event_no, 0)                                                            \
	F(tally_cell_half, allocated_bytes, 8)                                                     \
	F(tally_cell_half, freed_bytes, 16)                                                        \
	F(tally_cell_half, allocs, 24)                                                             \
	F(tally_cell_half, frees, 32)                                                              \
	F(tally_cell_half, failures, 40)                                                           \
	F(tally_cell, half0, 0)                                                                    \
	F(tally_cell, seq, 48)                                                                     \
	F(tally_cell, peak_bytes, 56)                                                              \
	F(tally_cell, half1, 64)                                                                   \
	F(tally_cell, key, 112)                                                                    \
	F(tally_cell, spare, 120)                                                                  \
	F(tally_cell, base, 128)                                                                   \
	F(tally_shared_cell, key, 0)                                                               \
	F(tally_shared_cell, allocated_bytes, 8)                                                   \
	F(tally_shared_cell, freed_bytes, 16)                                                      \
	F(tally_shared_cell, allocs, 24)                                                           \
	F(tally_shared_cell, frees, 32)                                                            \
	F(tally_shared_cell, failures, 40)                                                         \
	F(tally_shared_cell, peak_bytes, 48)                                                       \
	F(tally_shared_cell, spare, 56)                                                            \
	F(tally_shared_cell, base, 64)                                                             \
	F(tally_lane_header, owner, 0)                                                             \
	F(tally_lane_header, publish_pos, 8)                                                       \
	F(tally_lane_header, unrecorded, 16)                                                       \
	F(tally_lane_header, cell_count, 24)                                                       \
	F(tally_lane_header, start_pos, 32)                                                        \
	F(tally_lane_header, ring_ready, 40)                                                       \
	F(tally_lane_header, opened, 48)                                                           \
	F(tally_lane_header, base_events, 56)                                                      \
	F(tally_lane_header, base_unrecorded, 64)                                                  \
	F(tally_lane_header, spare, 72)                                                            \
	F(tally_process_header, shared_events, 0)                                                  \
	F(tally_process_header, shared_unrecorded, 8)                                              \
	F(tally_process_header, rejected_events, 16)                                               \
	F(tally_process_header, cell_pages, 24)                                                    \
	F(tally_process_header, guests, 32)                                                        \
	F(tally_process_header, spare, 40)                                                         \
	F(tally_process_header, generation, 64)                                                    \
	F(tally_process_header, ended_ns, 72)                                                      \
	F(tally_process_header, pid, 80)                                                           \
	F(tally_process_header, start_realtime_ns, 88)                                             \
	F(tally_process_header, parent, 96)                                                        \
	F(tally_process_header, inherited_bytes, 104)                                              \
	F(tally_process_header, inherited_allocs, 112)                                             \
	F(tally_process_header, spare2, 120)                                                       \
	F(tally_process_header, comm, 128)                                                         \
	F(tally_process_header, base_events, 152)                                                  \
	F(tally_process_header, base_unrecorded, 160)                                              \
	F(tally_process_header, base_rejected, 168)                                                \
	F(tally_process_header, spare3, 176)                                                       \
	F(tally_device_entry, state, 0)                                                            \
	F(tally_device_entry, device, 8)                                                           \
	F(tally_device_entry, flags, 12)                                                           \
	F(tally_device_entry, name, 16)                                                            \
	F(tally_device_entry, arch, 56)                                                            \
	F(tally_device_entry, stable_id, 72)                                                       \
	F(tally_device_entry, grid_x, 104)                                                         \
	F(tally_device_entry, grid_y, 108)                                                         \
	F(tally_device_entry, channels, 112)                                                       \
	F(tally_device_entry, spare, 116)                                                          \
	F(tally_device_entry, capacity_bytes, 120)                                                 \
	F(tally_device_entry, spare2, 248)                                                         \
	F(tally_tag_entry, state, 0)                                                               \
	F(tally_tag_entry, name, 8)                                                                \
	F(tally_pool_entry, state, 0)                                                              \
	F(tally_pool_entry, name, 8)                                                               \
	F(tally_region_header, magic, 0)                                                           \
	F(tally_region_header, abi_version, 8)                                                     \
	F(tally_region_header, byte_order, 12)                                                     \
	F(tally_region_header, size_bytes, 16)                                                     \
	F(tally_region_header, creator_pid, 24)                                                    \
	F(tally_region_header, creator_uid, 28)                                                    \
	F(tally_region_header, region_id, 32)                                                      \
	F(tally_region_header, creator_comm, 40)                                                   \
	F(tally_region_header, signature, 64)                                                      \
	F(tally_region_header, ring_log2, 72)                                                      \
	F(tally_region_header, lanes_log2, 73)                                                     \
	F(tally_region_header, lane_cells_log2, 74)                                                \
	F(tally_region_header, shared_cells_log2, 75)                                              \
	F(tally_region_header, processes_log2, 76)                                                 \
	F(tally_region_header, devices_log2, 77)                                                   \
	F(tally_region_header, tags_log2, 78)                                                      \
	F(tally_region_header, shared_ring_log2, 79)                                               \
	F(tally_region_header, clock, 80)                                                          \
	F(tally_region_header, flags, 84)                                                          \
	F(tally_region_header, start_ticks, 88)                                                    \
	F(tally_region_header, start_monotonic_ns, 96)                                             \
	F(tally_region_header, start_realtime_ns, 104)                                             \
	F(tally_region_header, run_id, 112)                                                        \
	F(tally_region_state, lanes_used, 0)                                                       \
	F(tally_region_state, pools_ready, 8)                                                      \
	F(tally_region_state, devices_ready, 16)                                                   \
	F(tally_region_state, tags_ready, 24)                                                      \
	F(tally_region_state, shared_ready, 32)                                                    \
	F(tally_region_state, shared_start, 40)                                                    \
	F(tally_region_state, spare, 48)                                                           \
	F(tally_shared_ring, reserve_pos, 0)                                                       \
	F(tally_shared_ring, spare, 8)                                                             \
	F(tally_cursor, holder, 0)                                                                 \
	F(tally_cursor, consume_pos, 8)                                                            \
	F(tally_cursor, spare, 16)

#define TALLY_ABI_SIZES(S)                                                                         \
	S(tally_record, 64)                                                                        \
	S(tally_cell_base, 64)                                                                     \
	S(tally_cell_half, 48)                                                                     \
	S(tally_cell, 192)                                                                         \
	S(tally_shared_cell, 128)                                                                  \
	S(tally_lane_header, 128)                                                                  \
	S(tally_process_header, 256)                                                               \
	S(tally_device_entry, 256)                                                                 \
	S(tally_tag_entry, 64)                                                                     \
	S(tally_pool_entry, 32)                                                                    \
	S(tally_region_header, 120)                                                                \
	S(tally_region_state, 64)                                                                  \
	S(tally_shared_ring, 64)                                                                   \
	S(tally_cursor, 64)

#define TALLY_CHECK_OFFSET(type, field, at)                                                        \
	static_assert(offsetof(struct type, field) == (at), #type "." #field " has moved");
#define TALLY_CHECK_SIZE(type, size)                                                               \
	static_assert(sizeof(struct type) == (size), #type " has changed size");
TALLY_ABI_FIELDS(TALLY_CHECK_OFFSET)
TALLY_ABI_SIZES(TALLY_CHECK_SIZE)
#undef TALLY_CHECK_OFFSET
#undef TALLY_CHECK_SIZE

#ifdef __cplusplus
extern "C" {
#endif

/* FNV-1a: `hash` with one more value, or with a text. */
static inline uint64_t tally_abi_fold(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * 0x100000001b3ull;
}

static inline uint64_t tally_abi_fold_name(uint64_t hash, const char *name)
{
	while (*name)
		hash = tally_abi_fold(hash, (unsigned char)*name++);
	return hash;
}

/* The layout's signature: two builds with the same value agree on the name, place and size of
 * every field and bit field above. */
static inline uint64_t tally_abi_signature(void)
{
	uint64_t hash = 0xcbf29ce484222325ull;

#define TALLY_FOLD_FIELD(type, field, at)                                                          \
	hash = tally_abi_fold_name(hash, #type "." #field);                                        \
	hash = tally_abi_fold(hash, offsetof(struct type, field));                                 \
	hash = tally_abi_fold(hash, sizeof(((struct type *)0)->field));
#define TALLY_FOLD_SIZE(type, size) hash = tally_abi_fold(hash, sizeof(struct type));
	TALLY_ABI_FIELDS(TALLY_FOLD_FIELD)
	TALLY_ABI_SIZES(TALLY_FOLD_SIZE)
#undef TALLY_FOLD_FIELD
#undef TALLY_FOLD_SIZE
	hash = tally_abi_fold(hash, TALLY_PAGE);
	hash = tally_abi_fold(hash, TALLY_LAP_BITS);
	hash = tally_abi_fold(hash, TALLY_LAP_SHIFT);
	hash = tally_abi_fold(hash, TALLY_STATE_SHIFT);
	hash = tally_abi_fold(hash, TALLY_VERSION_SHIFT);
	hash = tally_abi_fold(hash, TALLY_KIND_SHIFT);
	hash = tally_abi_fold(hash, TALLY_OWNER_SHIFT);
	hash = tally_abi_fold(hash, TALLY_LOCK_BYTE);
	hash = tally_abi_fold(hash, TALLY_REGION_STATE);
	hash = tally_abi_fold(hash, TALLY_SHARED_RING);
	hash = tally_abi_fold(hash, TALLY_SHARED_GROUP);
	hash = tally_abi_fold(hash, TALLY_RECORD_VERSION);
	hash = tally_abi_fold(hash, TALLY_STATE_MASK);
	hash = tally_abi_fold(hash, TALLY_VERSION_MASK);
	hash = tally_abi_fold(hash, TALLY_KIND_MASK);
	hash = tally_abi_fold(hash, TALLY_OWNER_MASK);
	return tally_abi_fold(hash, TALLY_KEY(1, 1));
}

#ifdef __cplusplus
}
#endif
#endif
