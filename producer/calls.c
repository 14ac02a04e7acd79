/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that are not pushes: descriptions, pool reset, status. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#include "producer/state.h"
#include "ring/entries.h"

/* 0 with the region there, -ENODEV when off, else why there is no region. */
static int need_region(void)
{
	if (process_armed_wait() < GENERATION_MIN)
		return -ENODEV;
	if (!tally_private.in.process.region.base)
		return tally_private.in.process.region_error;
	return 0;
}

static void copy_text(char *to, size_t size, const char *from)
{
	if (from)
		memcpy(to, from, strnlen(from, size - 1));
}

void describe_device(uint32_t device, const struct tally_device_info *info,
		     struct tally_device_entry *ret_entry)
{
	struct tally_device_entry entry = {
		.device = device,
		.flags = info->remote ? TALLY_DEVICE_REMOTE : 0,
		.grid_x = info->grid_x,
		.grid_y = info->grid_y,
		.channels = info->channels,
	};

	copy_text(entry.name, sizeof(entry.name), info->name);
	copy_text(entry.arch, sizeof(entry.arch), info->arch);
	copy_text(entry.stable_id, sizeof(entry.stable_id), info->stable_id);
	memcpy(entry.capacity_bytes, info->capacity_bytes, sizeof(entry.capacity_bytes));
	*ret_entry = entry;
}

int tally_device_describe(uint32_t device, const struct tally_device_info *info)
{
	struct tally_device_entry entry;
	struct lane_event event = { .kind = TALLY_KIND_DEVICE };
	int saved_errno = errno;
	int result;

	if (device >= TALLY_DEVICES || !info)
		return -EINVAL;
	result = need_region();
	if (!result) {
		describe_device(device, info, &entry);
		result = entries_device(&tally_private.in.process.region, &entry);
	}
	if (result >= 0) {
		event.buffer_id = (uint64_t)result;
		push_note(device, 0, &event);
		result = 0;
	}
	errno = saved_errno;
	return result;
}

int tally_pool_describe(uint32_t pool, const char *name)
{
	int saved_errno = errno;
	int result;

	if (pool <= TALLY_POOL_HEAP || pool >= TALLY_POOLS || !name || !*name)
		return -EINVAL;
	result = need_region();
	if (!result)
		result = entries_pool(&tally_private.in.process.region, pool, name);
	errno = saved_errno;
	return result;
}

int tally_pool_reset(uint32_t device, uint32_t pool, int64_t *ret_bytes)
{
	struct lane_event event = { .kind = TALLY_KIND_POOL_RESET };
	int saved_errno = errno;
	int64_t bytes, allocs;
	int result;

	if (device >= TALLY_DEVICES || pool >= TALLY_POOLS)
		return -EINVAL;
	result = need_region();
	if (!result) {
		build_balance(device, pool, &bytes, &allocs);
		event.size = (uint64_t)bytes;
		event.buffer_id = (uint64_t)allocs;
		push_event(device, pool, &event);
		if (ret_bytes)
			*ret_bytes = bytes;
	}
	errno = saved_errno;
	return result;
}

int tally_status(struct tally_status *ret_status)
{
	struct process_state *process = &tally_private.in.process;
	const struct tally_process_header *early = &tally_private.in.early.process;
	struct tally_status status = { 0 };

	if (!ret_status)
		return -EINVAL;
	status.armed = process_armed_wait() >= GENERATION_MIN;
	/* relaxed, all: counts that stand by themselves */
	status.rejected_events = tally_load_relaxed(&early->rejected_events);
	if (status.armed && process->region.base) {
		status.rejected_events += tally_load_relaxed(
			&process->cells.process->rejected_events);
		status.join_error = process->join_error;
		memcpy(status.region, process->region.name, sizeof(status.region));
	} else if (status.armed) {
		status.region_error = process->region_error;
		/* relaxed: as above */
		status.unplaced_events = tally_load_relaxed(&early->shared_events) +
					 tally_load_relaxed(&tally_private.in.early.notes);
	}
	*ret_status = status;
	return 0;
}
