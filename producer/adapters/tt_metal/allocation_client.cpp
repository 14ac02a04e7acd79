/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's allocation client on libtally: ids to sizes by a table, each event to a push. */
#include "allocation_client.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <tally/atomic.h>
#include <tally/ids.h>
#include <tally/tally.h>

namespace tt::tt_metal
{

namespace
{

constexpr int DEVICES = 1 << 16;
constexpr uint32_t NO_POOL = 1 << 8; /* out of range: libtally counts such an event as rejected */
constexpr uint32_t kernel_kinds[] = {
	TALLY_KERNEL_APPLICATION,
	TALLY_KERNEL_FABRIC,
	TALLY_KERNEL_DISPATCH,
};

AllocationClient::Counts counted;
tally_ids *table; /* null: there was no memory for one */
pthread_once_t once = PTHREAD_ONCE_INIT;

void count(uint64_t &event) noexcept
{
	tally_add_relaxed(&event, 1); /* relaxed: stands by itself */
}

/* The table is empty in a fork child, and the counts are the child's own. */
void begin_child() noexcept
{
	counted = {};
}

bool asked_for() noexcept
{
	const char *tally = secure_getenv("TALLY");
	const char *tracking = secure_getenv("TT_ALLOC_TRACKING_ENABLED");

	/* TALLY=1 arms libtally by itself, TALLY=0 says no. */
	return !(tally && *tally) && tracking && std::strcmp(tracking, "1") == 0;
}

void begin() noexcept
{
	int saved_errno = errno;

	if (asked_for())
		tally_init(nullptr); /* should that fail, the process counts all the same */
	pthread_atfork(nullptr, nullptr, begin_child);
	errno = saved_errno;
}

bool enabled() noexcept
{
	pthread_once(&once, begin);
	return tally_enabled() != 0;
}

void make_table() noexcept
{
	tally_ids_create(nullptr, &table);
}

/* Only who is enabled needs one. */
tally_ids *ids() noexcept
{
	static pthread_once_t made = PTHREAD_ONCE_INIT;

	pthread_once(&made, make_table);
	return table;
}

bool is_device(int device) noexcept
{
	return device >= 0 && device < DEVICES;
}

void release(const tally_id_entry &was) noexcept
{
	tally_free(was.device, was.pool, was.id, was.size);
}

/* Something is now in the place of whatever the id had. */
void allocated(int device, tally_id_kind kind, uint32_t pool, uint64_t id, uint64_t size) noexcept
{
	tally_id_entry entry = { id, size, pool, static_cast<uint16_t>(device),
				 static_cast<uint16_t>(kind) };
	tally_id_entry was;
	int known;

	if (!is_device(device)) {
		count(counted.bad_devices);
		tally_alloc(static_cast<uint32_t>(device), pool, id, size);
		return;
	}
	known = ids() ? tally_ids_put(table, &entry, &was) : -ENOMEM;
	if (known < 0) {
		count(counted.untracked);
		pool = NO_POOL;
	} else if (known == 1) {
		count(counted.reallocations);
		release(was);
	}
	tally_alloc(entry.device, pool, id, size);
}

/* True if it was live. */
bool freed(int device, tally_id_kind kind, uint64_t id) noexcept
{
	tally_id_entry was;

	if (!ids() || tally_ids_take(table, static_cast<uint16_t>(device), kind, id, &was) != 1)
		return false;
	release(was);
	return true;
}

void report_free(int device, tally_id_kind kind, uint64_t id) noexcept
{
	if (!enabled())
		return;
	if (!is_device(device)) {
		count(counted.bad_devices);
		tally_free(static_cast<uint32_t>(device), NO_POOL, id, 0);
	} else if (!freed(device, kind, id)) {
		count(counted.unknown_frees);
	}
}

/* The id names something of which we know no pool. What it named before is no more. */
void of_no_type(int device, tally_id_kind kind, uint64_t id, uint64_t size) noexcept
{
	if (is_device(device)) {
		count(counted.bad_types);
		freed(device, kind, id);
	} else {
		count(counted.bad_devices);
	}
	tally_alloc(static_cast<uint32_t>(device), NO_POOL, id, size);
}

const char *arch_name(uint32_t arch) noexcept
{
	static const char *const names[] = { nullptr, "Grayskull", "Wormhole_B0", "Blackhole",
					     "Quasar" };

	return arch < sizeof(names) / sizeof(names[0]) ? names[arch] : nullptr;
}

/* 0, unknown, where it is no number of bytes. */
uint64_t product(uint64_t count, uint64_t size) noexcept
{
	uint64_t bytes;

	return __builtin_mul_overflow(count, size, &bytes) ? 0 : bytes;
}

} // namespace

bool AllocationClient::is_enabled() noexcept
{
	return enabled();
}

void AllocationClient::report_allocation(int device_id, uint64_t size, uint8_t buffer_type,
					 uint64_t buffer_id) noexcept
{
	if (!enabled())
		return;
	if (buffer_type > TALLY_POOL_TRACE)
		of_no_type(device_id, TALLY_ID_BUFFER, buffer_id, size);
	else
		allocated(device_id, TALLY_ID_BUFFER, buffer_type, buffer_id, size);
}

void AllocationClient::report_deallocation(int device_id, uint64_t buffer_id) noexcept
{
	report_free(device_id, TALLY_ID_BUFFER, buffer_id);
}

void AllocationClient::report_cb_allocation(int device_id, uint64_t size, uint64_t cb_id) noexcept
{
	if (enabled())
		allocated(device_id, TALLY_ID_CB, TALLY_POOL_CB, cb_id, size);
}

void AllocationClient::report_cb_deallocation(int device_id, uint64_t, uint64_t cb_id) noexcept
{
	report_free(device_id, TALLY_ID_CB, cb_id);
}

void AllocationClient::report_kernel_load(int device_id, uint64_t size, uint64_t kernel_id,
					  uint8_t kernel_type) noexcept
{
	if (!enabled())
		return;
	if (kernel_type >= sizeof(kernel_kinds) / sizeof(kernel_kinds[0]))
		of_no_type(device_id, TALLY_ID_KERNEL, kernel_id, size);
	else
		allocated(device_id, TALLY_ID_KERNEL, TALLY_POOL_KERNEL | kernel_kinds[kernel_type],
			  kernel_id, size);
}

void AllocationClient::report_kernel_unload(int device_id, uint64_t, uint64_t kernel_id) noexcept
{
	report_free(device_id, TALLY_ID_KERNEL, kernel_id);
}

AllocationClient::Counts AllocationClient::counts() noexcept
{
	/* relaxed, all: each stands by itself */
	return {
		tally_load_relaxed(&counted.reallocations),
		tally_load_relaxed(&counted.unknown_frees),
		tally_load_relaxed(&counted.bad_devices),
		tally_load_relaxed(&counted.bad_types),
		tally_load_relaxed(&counted.untracked),
	};
}

int AllocationClient::describe_device(int device_id, const DeviceDescription &description) noexcept
{
	uint64_t cores = description.cores ? description.cores
					   : product(description.grid_x, description.grid_y);
	tally_device_info info = {};

	if (!is_device(device_id))
		return -EINVAL;
	if (!enabled())
		return -ENODEV;
	info.name = description.name;
	info.arch = arch_name(description.arch);
	info.stable_id = description.stable_id;
	info.capacity_bytes[TALLY_POOL_DRAM] = product(description.dram_channels,
						       description.dram_size_per_channel);
	info.capacity_bytes[TALLY_POOL_L1] = product(cores, description.l1_size_per_core);
	info.grid_x = description.grid_x;
	info.grid_y = description.grid_y;
	info.channels = description.dram_channels;
	info.remote = description.remote;
	return tally_device_describe(static_cast<uint32_t>(device_id), &info);
}

} // namespace tt::tt_metal
