/* SPDX-License-Identifier: Apache-2.0 */
/* What is held on each device, over all processes; see aggregate.h. */
#include "aggregate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tally/consumer.h>
#include <time.h>
#include <unistd.h>

#define LOOK_SHARE 16

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Clients --------------------------------------------------------------------------------- */

int aggregate_admit(struct aggregate *aggregate, uint32_t device)
{
	struct aggregate_sums **own = &aggregate->own[device];

	if (*own)
		return 0;
	*own = calloc(1, sizeof(**own));
	if (!*own)
		return -ENOMEM;
	if (device >= aggregate->own_devices)
		aggregate->own_devices = device + 1;
	return 0;
}

void aggregate_add(struct aggregate *aggregate, uint32_t device, uint32_t pool, int64_t bytes)
{
	aggregate->own[device]->bytes[pool] += bytes;
}

int64_t aggregate_own(const struct aggregate *aggregate, uint32_t device, uint32_t pool)
{
	return aggregate->own[device] ? aggregate->own[device]->bytes[pool] : 0;
}

/* ---- The others ------------------------------------------------------------------------------ */

static uint32_t arch_number(const char *arch)
{
	static const char *const names[] = { "grayskull", "wormhole", "blackhole", "quasar" };
	uint32_t n;

	for (n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		if (strncasecmp(arch, names[n], strlen(names[n])) == 0)
			return n + 1;
	return 0;
}

/* 0, unknown, where it is no whole number, or does not fit. */
static uint32_t share(uint64_t bytes, uint64_t parts)
{
	if (!parts || bytes % parts || bytes / parts > UINT32_MAX)
		return 0;
	return (uint32_t)(bytes / parts);
}

static void describe(const struct tally_snapshot *snapshot, const struct tally_device_view *device,
		     struct wire_info *ret_info)
{
	const struct tally_pool_view *pools = &snapshot->pools[device->first_pool];
	size_t n;

	*ret_info = (struct wire_info){
		.arch = arch_number(device->arch),
		.dram_channels = device->channels,
		.is_available = 1,
	};
	for (n = 0; n < device->pool_count; n++) {
		if (pools[n].pool == TALLY_POOL_DRAM)
			ret_info->total_dram = pools[n].capacity_bytes;
		if (pools[n].pool == TALLY_POOL_L1)
			ret_info->total_l1 = pools[n].capacity_bytes;
	}
	ret_info->dram_size_per_channel = share(ret_info->total_dram, device->channels);
	ret_info->l1_size_per_core = share(ret_info->total_l1,
					   (uint64_t)device->grid_x * device->grid_y);
}

static struct aggregate_row *find_row(const struct aggregate *aggregate, uint32_t device)
{
	size_t low = 0, high = aggregate->row_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (aggregate->rows[middle].device < device)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < aggregate->row_count && aggregate->rows[low].device == device)
		return &aggregate->rows[low];
	return NULL;
}

/* Adds a pool's sum to its device's row, or takes it away. */
static void book(struct aggregate *aggregate, const struct tally_pool_view *pool, int sign)
{
	struct aggregate_row *row;

	if (pool->pool >= AGGREGATE_POOLS)
		return;
	row = find_row(aggregate, pool->device);
	if (row)
		row->sums.bytes[pool->pool] += sign * pool->totals.live_bytes;
}

static bool is_own(const struct aggregate *aggregate, const struct tally_process_view *process)
{
	return strncmp(process->region, aggregate->region, strlen(aggregate->region)) == 0;
}

/* The host's memory alone makes no device of the kind that is asked for. */
static bool is_device(const struct tally_snapshot *snapshot, const struct tally_device_view *device)
{
	return device->described || device->pool_count != 1 ||
	       snapshot->pools[device->first_pool].pool < AGGREGATE_POOLS;
}

static int take(struct aggregate *aggregate, const struct tally_snapshot *snapshot)
{
	size_t n, i, count = snapshot->device_count;
	struct aggregate_row *rows = calloc(count + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	free(aggregate->rows);
	aggregate->rows = rows;
	aggregate->row_count = 0;
	aggregate->row_devices = 0;
	for (n = 0; n < count; n++) {
		const struct tally_device_view *device = &snapshot->devices[n];

		if (!is_device(snapshot, device))
			continue;
		rows[aggregate->row_count].device = device->device;
		describe(snapshot, device, &rows[aggregate->row_count++].info);
		aggregate->row_devices = device->device + 1;
	}
	for (n = 0; n < snapshot->pool_count; n++)
		book(aggregate, &snapshot->pools[n], 1);
	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (process->end != TALLY_RUNNING || !is_own(aggregate, process))
			continue;
		for (i = 0; i < process->pool_count; i++)
			book(aggregate, &snapshot->process_pools[process->first_pool + i], -1);
	}
	return 0;
}

/* After an error the look before it stays. */
static void look(struct aggregate *aggregate)
{
	const struct tally_snapshot *snapshot;
	uint64_t start_ns = now_ns();

	if (tally_consumer_poll(aggregate->consumer) == 0) {
		snapshot = tally_snapshot_get(aggregate->consumer);
		take(aggregate, snapshot);
		tally_snapshot_put(snapshot);
	}
	aggregate->looked_ns = now_ns();
	aggregate->look_ns = aggregate->looked_ns - start_ns;
}

static void freshen(struct aggregate *aggregate)
{
	if (now_ns() - aggregate->looked_ns > aggregate->look_ns * LOOK_SHARE)
		look(aggregate);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static uint64_t held(const struct aggregate *aggregate, const struct aggregate_row *row,
		     uint32_t device, uint32_t pool)
{
	int64_t bytes = aggregate_own(aggregate, device, pool) + (row ? row->sums.bytes[pool] : 0);

	return bytes > 0 ? (uint64_t)bytes : 0;
}

static void answer_totals(const struct aggregate *aggregate, struct wire_reply *reply)
{
	uint32_t device = (uint32_t)reply->device_id;
	const struct aggregate_row *row;

	reply->type = WIRE_RESPONSE;
	if (device >= AGGREGATE_DEVICES)
		return;
	row = find_row(aggregate, device);
	reply->dram = held(aggregate, row, device, TALLY_POOL_DRAM);
	reply->l1 = held(aggregate, row, device, TALLY_POOL_L1);
	reply->l1_small = held(aggregate, row, device, TALLY_POOL_L1_SMALL);
	reply->trace = held(aggregate, row, device, TALLY_POOL_TRACE);
	reply->programs.cb = held(aggregate, row, device, TALLY_POOL_CB);
	reply->programs.kernel = held(aggregate, row, device, TALLY_POOL_KERNEL);
}

static void answer_info(const struct aggregate *aggregate, struct wire_reply *reply)
{
	uint32_t device = (uint32_t)reply->device_id;
	uint32_t devices = aggregate->row_devices > aggregate->own_devices ? aggregate->row_devices
									   : aggregate->own_devices;
	const struct aggregate_row *row;

	reply->type = WIRE_DEVICE_INFO_RESPONSE;
	if (reply->device_id == -1) {
		reply->info.is_available = devices > 0;
	} else if (device < AGGREGATE_DEVICES) {
		row = find_row(aggregate, device);
		if (row)
			reply->info = row->info;
		else
			reply->info.is_available = aggregate->own[device] != NULL;
	}
	reply->info.num_devices = devices;
}

void aggregate_answer(struct aggregate *aggregate, const struct wire_message *question,
		      struct wire_reply *ret_reply)
{
	freshen(aggregate);
	*ret_reply = (struct wire_reply){ .device_id = question->device_id };
	if (question->type == WIRE_QUERY)
		answer_totals(aggregate, ret_reply);
	else
		answer_info(aggregate, ret_reply);
}

/* ---- Begin and end --------------------------------------------------------------------------- */

int aggregate_open(struct aggregate *aggregate, bool all_users)
{
	struct tally_consumer_options options = { .all_users = all_users };
	int error = tally_consumer_open(&options, &aggregate->consumer);

	if (error)
		return error;
	snprintf(aggregate->region, sizeof(aggregate->region), "tally-%u-join-proxy-%d-",
		 (unsigned int)geteuid(), (int)getpid());
	look(aggregate);
	return 0;
}

void aggregate_close(struct aggregate *aggregate)
{
	uint32_t device;

	for (device = 0; device < AGGREGATE_DEVICES; device++)
		free(aggregate->own[device]);
	free(aggregate->rows);
	tally_consumer_close(aggregate->consumer);
}
