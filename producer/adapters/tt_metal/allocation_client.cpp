/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's allocation client on libtally: ids to sizes by a table, each event to a push. */
#include "allocation_client.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <tally/ids.h>
#include <tally/tally.h>
#include <unistd.h>

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

/* What a process has that is on. */
struct Own {
	tally_ids *table; /* null: there was no memory for one */
	AllocationClient::Counts *counted;
};

Own own;
AllocationClient::Counts spare_counts; /* where no page can be had for them */
uint64_t begun;			       /* 1: the environment was asked */
uint64_t made;			       /* 1: `own` is complete */

/* One more of what a field of the counts tells. */
void count(uint64_t &event) noexcept
{
	tally_add_relaxed(&event, 1); /* relaxed: stands by itself */
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
	if (asked_for())
		tally_init(nullptr); /* should that fail, the process counts all the same */
	/* A1 -> A2: tally is armed if it was to be */
	tally_store_release(&begun, 1);
}

void forget_counts() noexcept
{
	spare_counts = {};
}

/* A fork child has counts of its own, as its table is empty. The kernel sees to it: a fork that is
 * under way runs no handler that was set meanwhile. */
AllocationClient::Counts *make_counts() noexcept
{
	size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
	void *page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);

	if (page != MAP_FAILED && madvise(page, size, MADV_WIPEONFORK) == 0)
		return static_cast<AllocationClient::Counts *>(page);
	if (page != MAP_FAILED)
		munmap(page, size);
	pthread_atfork(nullptr, nullptr, forget_counts);
	return &spare_counts;
}

void make() noexcept
{
	int saved_errno = errno;

	own.counted = make_counts();
	tally_ids_create(nullptr, &own.table);
	/* A1' -> A2': table and counts are there */
	tally_store_release(&made, 1);
	errno = saved_errno;
}

bool enabled() noexcept
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	/* A2 -> A1: the environment was asked, and tally armed */
	if (__builtin_expect(tally_load_acquire(&begun) == 0, 0))
		pthread_once(&once, begin);
	return tally_enabled() != 0;
}

/* Null: off. */
const Own *on() noexcept
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (!enabled())
		return nullptr;
	/* A2' -> A1': what is returned is complete */
	if (__builtin_expect(tally_load_acquire(&made) == 0, 0))
		pthread_once(&once, make);
	return &own;
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
	const Own *me = on();
	tally_id_entry entry = { id, size, pool, static_cast<uint16_t>(device),
				 static_cast<uint16_t>(kind) };
	tally_id_entry was;
	int known;

	if (!me)
		return;
	if (!is_device(device)) {
		count(me->counted->bad_devices);
		tally_alloc(static_cast<uint32_t>(device), NO_POOL, id, size);
		return;
	}
	known = me->table ? tally_ids_put(me->table, &entry, &was) : -ENOMEM;
	if (known < 0) {
		count(me->counted->untracked);
		pool = NO_POOL;
	} else if (known == 1) {
		count(me->counted->reallocations);
		release(was);
	}
	tally_alloc(entry.device, pool, id, size);
}

/* False: it is not live. */
bool freed(const Own *me, int device, tally_id_kind kind, uint64_t id) noexcept
{
	uint16_t number = static_cast<uint16_t>(device);
	tally_id_entry was;

	if (!me->table || tally_ids_take(me->table, number, kind, id, &was) != 1)
		return false;
	release(was);
	return true;
}

void deallocated(int device, tally_id_kind kind, uint64_t id) noexcept
{
	const Own *me = on();

	if (!me)
		return;
	if (!is_device(device)) {
		count(me->counted->bad_devices);
		tally_free(static_cast<uint32_t>(device), NO_POOL, id, 0);
	} else if (!freed(me, device, kind, id)) {
		count(me->counted->unknown_frees);
	}
}

/* The id names something of which we know no pool. What it named before is no more. */
void of_no_type(int device, tally_id_kind kind, uint64_t id, uint64_t size) noexcept
{
	const Own *me = on();

	if (!me)
		return;
	if (is_device(device)) {
		count(me->counted->bad_types);
		freed(me, device, kind, id);
	} else {
		count(me->counted->bad_devices);
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
	if (buffer_type > TALLY_POOL_TRACE)
		of_no_type(device_id, TALLY_ID_BUFFER, buffer_id, size);
	else
		allocated(device_id, TALLY_ID_BUFFER, buffer_type, buffer_id, size);
}

void AllocationClient::report_deallocation(int device_id, uint64_t buffer_id) noexcept
{
	deallocated(device_id, TALLY_ID_BUFFER, buffer_id);
}

void AllocationClient::report_cb_allocation(int device_id, uint64_t size, uint64_t cb_id) noexcept
{
	allocated(device_id, TALLY_ID_CB, TALLY_POOL_CB, cb_id, size);
}

void AllocationClient::report_cb_deallocation(int device_id, uint64_t, uint64_t cb_id) noexcept
{
	deallocated(device_id, TALLY_ID_CB, cb_id);
}

void AllocationClient::report_kernel_load(int device_id, uint64_t size, uint64_t kernel_id,
					  uint8_t kernel_type) noexcept
{
	if (kernel_type >= sizeof(kernel_kinds) / sizeof(kernel_kinds[0]))
		of_no_type(device_id, TALLY_ID_KERNEL, kernel_id, size);
	else
		allocated(device_id, TALLY_ID_KERNEL, TALLY_POOL_KERNEL | kernel_kinds[kernel_type],
			  kernel_id, size);
}

void AllocationClient::report_kernel_unload(int device_id, uint64_t, uint64_t kernel_id) noexcept
{
	deallocated(device_id, TALLY_ID_KERNEL, kernel_id);
}

AllocationClient::Counts AllocationClient::counts() noexcept
{
	const Counts *now;

	/* A2'' -> A1': `own` is complete */
	if (!tally_load_acquire(&made))
		return {};
	now = own.counted;
	/* relaxed, all: each stands by itself */
	return {
		tally_load_relaxed(&now->reallocations), tally_load_relaxed(&now->unknown_frees),
		tally_load_relaxed(&now->bad_devices),	 tally_load_relaxed(&now->bad_types),
		tally_load_relaxed(&now->untracked),
	};
}

int AllocationClient::describe_device(int device_id, const DeviceDescription &description) noexcept
{
	uint64_t cores = description.cores ? description.cores
					   : product(description.grid_x, description.grid_y);
	tally_device_info info = {};

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
