/* SPDX-License-Identifier: Apache-2.0 */
/* The producer API: an allocator reports what it does, at nanoseconds an event.
 *
 *	#include <tally/tally.h>
 *	...
 *	tally_alloc(device, TALLY_POOL_DRAM, address, bytes);
 *	tally_free(device, TALLY_POOL_DRAM, address, bytes);
 *
 * Nothing else is needed: with TALLY=1 in the environment (or after tally_init()) the first push
 * makes this process's region in shared memory, where `tally` finds it; otherwise a push costs a
 * load and a branch. Pushes return nothing and cannot fail loudly: what cannot be recorded is
 * counted. No function prints, aborts or changes errno. Other calls return 0 or a negative errno;
 * outputs are named ret_x and are untouched on failure.
 *
 * Unless its line says otherwise a function may be called from any thread, also before main(),
 * after exit handlers have run and in a fork child, where the child gets a region of its own.
 *
 * Environment, read once when the library is loaded (ignored in setuid programs):
 *
 *	TALLY=1          arm; anything else, or nothing: off until tally_init()
 *	TALLY_RING=N     records per thread, a power of two from 64 to 1048576, default 2048;
 *	                 0 keeps totals only. An unusable value keeps totals only and is shown.
 *	TALLY_LANES=N    threads with a ring of their own at a time, a power of two from 1 to
 *	                 1024, default 64; more threads use a ring that they share
 *	TALLY_KEEP=1     leave the region in place after a clean exit, as a crash does; of a user's
 *	                 regions of the dead, who makes a region keeps the newest 16
 *	TALLY_LOSSLESS=MS
 *	                for recordings and benchmarks only: a push into a full ring waits, so many
 *	                milliseconds at most, 1 to 60000, for a consumer that has asked for it
 *	                (consumer.h, hold). Without one it overwrites as always, as it does once it
 *	                has waited in vain, until the consumer moves. The shared ring overwrites.
 *	TALLY_DIR=PATH   where regions are made, default /dev/shm
 *	TALLY_REGION=/NAME
 *	                 one region for all processes of this user that say the same name: 1 to 32
 *	                 letters, digits, ".", "_", "-". The first one makes it, with its TALLY_RING
 *	                 and TALLY_LANES; up to 256 live in it at a time. Ignored under `tally run`,
 *	                 which reports on each process. Who cannot join has a region of its own, and
 *	                 that is shown.
 *	TALLY_RUN=HEX, TALLY_RUN_REGION=NAME
 *	                 set by `tally run`: the run this process belongs to, and where its events
 *	                 are counted should it be unable to make a region
 */
#ifndef TALLY_TALLY_H
#define TALLY_TALLY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Memory pools. 0 .. 4 are the numbers accelerator runtimes send; 8 .. 255 are the caller's own
 * and may be named with tally_pool_describe(). */
enum tally_pool {
	TALLY_POOL_DRAM = 0,
	TALLY_POOL_L1 = 1,
	TALLY_POOL_SYSTEM = 2,
	TALLY_POOL_L1_SMALL = 3,
	TALLY_POOL_TRACE = 4,
	TALLY_POOL_CB = 5,
	TALLY_POOL_KERNEL = 6,
	TALLY_POOL_HEAP = 7,
};

/* Kernel kinds, or-ed to TALLY_POOL_KERNEL; they are kept in the record. */
#define TALLY_KERNEL_APPLICATION (0u << 24)
#define TALLY_KERNEL_FABRIC (1u << 24)
#define TALLY_KERNEL_DISPATCH (2u << 24)

/* ---- Pushes: wait-free, no system call after a thread's first on a (device, pool) -------------
 * device 0 .. 65535, pool 0 .. 255 (a kernel kind or-ed in); anything else is counted as rejected.
 * Signal handlers may call them: an event that interrupts another goes to the shared ring. */

/* `size` bytes were allocated under the name `buffer_id` (an address or handle). */
void tally_alloc(uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size);

/* They were freed. `size` is what tally_alloc() was told (who is not told it at a free keeps it in
 * a table: ids.h); any thread may free. */
void tally_free(uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size);

/* tally_free() with the time taken by tally_now() before the block was really given back, so that
 * whoever is given the same address next has the later time. */
void tally_free_at(uint64_t ticks, uint32_t device, uint32_t pool, uint64_t buffer_id,
		   uint64_t size);

/* An allocation of `size` bytes was refused. */
void tally_alloc_failed(uint32_t device, uint32_t pool, uint64_t size);

/* The region's clock, in ticks of its own rate; 0 while off. */
uint64_t tally_now(void);

/* ---- Tags and marks: at most a hash look-up ---------------------------------------------------
 * Names are copied, cut at 55 bytes, and interned: at most 1024 different ones a process; records
 * beyond carry no tag. Not for signal handlers. */

/* Records of this thread carry `name` until the matching pop. Nests; from the 13th level on
 * the 12th's tag stays. */
void tally_tag_push(const char *name);
void tally_tag_pop(void);

/* A record that says: here begins the phase `name`. */
void tally_mark(const char *name);

/* ---- Calls: may take system calls and memory; not for signal handlers ----------------------- */

/* Books everything the process holds on (device, pool) as freed, as when a pool is dropped whole.
 * The caller guarantees that no thread uses that pool meanwhile. ret_bytes (may be NULL) is the
 * balance that was released. -EINVAL: number out of range; -ENODEV: off. */
int tally_pool_reset(uint32_t device, uint32_t pool, int64_t *ret_bytes);

/* What a device is. Strings may be NULL and are cut to fit (39, 15 and 31 bytes); 0 is unknown. */
struct tally_device_info {
	const char *name;
	const char *arch;
	const char *stable_id;	     /* serial or UUID: the same on every run */
	uint64_t capacity_bytes[16]; /* per pool 0 .. 15 */
	uint32_t grid_x, grid_y;     /* cores */
	uint32_t channels;	     /* of memory */
	int remote;		     /* reached through another device */
};

/* Describes a device; a later call with other facts replaces the earlier. -EINVAL: number out of
 * range or info NULL; -ENOSPC: 256 descriptions exist, or no memory; -ENODEV: off. */
int tally_device_describe(uint32_t device, const struct tally_device_info *info);

/* Names one of the pools 8 .. 255, once. -EINVAL: out of range or no name; -EEXIST: it has another
 * name; -ENOSPC, -ENODEV as above. */
int tally_pool_describe(uint32_t pool, const char *name);

/* Zero is each field's default: what the environment says, then what the table above says. */
struct tally_options {
	uint32_t ring_records; /* as TALLY_RING */
	uint32_t lanes;	       /* as TALLY_LANES */
	int totals_only;       /* no records at all */
	int keep;	       /* as TALLY_KEEP=1 */
	const char *region;    /* as TALLY_REGION, also under `tally run` */
	uint32_t lossless_ms;  /* as TALLY_LOSSLESS */
};

/* Arms this process and makes its region; options may be NULL. Events pushed before are not
 * counted unless TALLY=1 was set. -EINVAL: a size or name that is not usable; -EALREADY: armed
 * before (nothing changed); -EBUSY: a fork is under way (likewise); else why the region could not
 * be made (-ENOSPC, -EACCES, -ENOENT, -EMFILE, -ENOMEM, ...): then the process is armed all the
 * same, and counts (see tally_status()). */
int tally_init(const struct tally_options *options);

/* 1 if a push would count, else 0. */
int tally_enabled(void);

/* Disarms and removes the region (TALLY_KEEP leaves it). The caller guarantees that no other
 * thread is inside a push, or between a table of ids (ids.h) and its push. tally_init() may arm
 * again: all totals then start from zero. -ENODEV: off; -EBUSY: a fork is under way. */
int tally_shutdown(void);

struct tally_status {
	int armed;
	int region_error; /* 0, or the negative errno that kept the region from being made */
	int join_error;	  /* 0, or the one that kept TALLY_REGION from being joined: -EUSERS: 256
			     processes live in it; -EPROTO: it has another version; ... */
	uint64_t unplaced_events; /* counted in this process alone, where nobody sees them */
	uint64_t rejected_events; /* out of range, or no room for another (device, pool) */
	char region[64];	  /* file name of the region, "" if none */
};

/* How it stands; what a program prints when asked why nothing shows. */
int tally_status(struct tally_status *ret_status);

/* The calling thread's events are not counted between the two (which nest): for observers. Not for
 * signal handlers. */
void tally_thread_exclude(void);
void tally_thread_include(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
