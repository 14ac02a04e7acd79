/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's allocation client, on libtally: the class and the calls that the runtime has, with
 * rings in shared memory behind them in the place of the socket.
 *
 * TO SWITCH: let this header and allocation_client.cpp stand where the runtime has its own files of
 * these names, or build with this folder first among the include paths and link libtally-tt-metal.a
 * in the place of that source; and link libtally (`pkg-config --cflags --libs libtally`). C++17,
 * g++ or clang++; nothing is needed of the C++ library. Calls stay as they are. No server is
 * needed: `tally ps` shows what is held, and there is nobody to wait for, whoever else has died.
 *
 * TO SWITCH ON: TT_ALLOC_TRACKING_ENABLED=1, as before; or TALLY=1, as for any program with
 * libtally, also by `tally run`; or tally_init() by the program. Where TALLY has another value
 * (TALLY=0) that holds, and the runtime's variable is not asked. Read once, at the first call. Off,
 * a call costs some nanoseconds, and nothing is made in /dev/shm.
 *
 * WHAT IS COUNTED WHERE: buffer types 0 .. 4 (DRAM, L1, SYSTEM_MEMORY, L1_SMALL, TRACE) are Tally's
 * pools 0 .. 4, circular buffers pool 5, kernels pool 6 with their kind in the record's flags. A
 * free is worth what its id was allocated with, whatever size it carries: a table says so, of
 * TALLY_IDS_ENTRIES ids at most. Buffers, circular buffers and kernels number their ids each by
 * itself, on each device. What does not fit is counted, see struct Counts, and moves no total.
 *
 * No call throws, prints, changes errno, opens a socket or waits for another process. Any thread
 * may call, also in a fork child, which starts with nothing held, no counts and no descriptions.
 * After tally_shutdown() and tally_init() nothing is held either: what was before is unknown. No
 * report may be under way at a shutdown.
 * Not for signal handlers.
 */
#ifndef TALLY_TT_METAL_ALLOCATION_CLIENT_HPP
#define TALLY_TT_METAL_ALLOCATION_CLIENT_HPP

#include <cstdint>

namespace tt::tt_metal
{

class AllocationClient
{
public:
	/* Whether a report counts. */
	static bool is_enabled() noexcept;

	static void report_allocation(int device_id, uint64_t size, uint8_t buffer_type,
				      uint64_t buffer_id) noexcept;
	static void report_deallocation(int device_id, uint64_t buffer_id) noexcept;

	static void report_cb_allocation(int device_id, uint64_t size, uint64_t cb_id) noexcept;
	static void report_cb_deallocation(int device_id, uint64_t size, uint64_t cb_id) noexcept;

	/* kernel_type: 0 application, 1 fabric, 2 dispatch. */
	static void report_kernel_load(int device_id, uint64_t size, uint64_t kernel_id,
				       uint8_t kernel_type) noexcept;
	static void report_kernel_unload(int device_id, uint64_t size, uint64_t kernel_id) noexcept;

	/* ---- What the socket server's client did not have ------------------------------ */

	/* Of this process since it began, or was forked. */
	struct Counts {
		/* Allocations of an id that was live: it was freed with what it had, and allocated
		 * with what it has. */
		uint64_t reallocations;
		/* Frees of an id that is not live. They move nothing. */
		uint64_t unknown_frees;
		/* Events that are in no total, as consumers show too ("rejected_events"): their
		 * device is not 0 .. 65535; */
		uint64_t bad_devices;
		/* or the type of the buffer or kernel is none; the id, if live, was freed; */
		uint64_t bad_types;
		/* or the table has no room for one more id. Their frees will be unknown. */
		uint64_t untracked;
	};

	static Counts counts() noexcept;

	/* What a device is, as the runtime knows it. 0 and nullptr are unknown. */
	struct DeviceDescription {
		uint32_t arch; /* 1 Grayskull, 2 Wormhole_B0, 3 Blackhole, 4 Quasar */
		uint32_t dram_channels;
		uint64_t dram_size_per_channel; /* bytes, as the next */
		uint64_t l1_size_per_core;
		uint32_t grid_x, grid_y;
		uint32_t cores;	       /* that have L1; 0: grid_x times grid_y */
		bool remote;	       /* reached through another device */
		const char *name;      /* both are copied */
		const char *stable_id; /* the board's serial number, say */
	};

	/* 0; -EINVAL: no such device; -ENODEV: off; else as tally_device_describe(). */
	static int describe_device(int device_id, const DeviceDescription &description) noexcept;
};

} // namespace tt::tt_metal

#endif
