/* SPDX-License-Identifier: Apache-2.0 */
/* Building a snapshot out of the consumer's private tables: one block, five arrays. */
#include "consumer/build.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <tally/tally.h>

#include "consumer/chips.h"
#include "consumer/detail.h"
#include "ring/clock.h"

/* ---- Size ------------------------------------------------------------------------------------ */

/* The next device at or after the two positions, which move behind it. False: no more. */
static bool next_device(const struct picture *picture, size_t *sum, size_t *entry,
			uint32_t *ret_device, const struct tally_device_entry **ret_entry)
{
	const struct sums *sums = picture->over_all;
	bool has_sum = *sum < sums->count;
	bool has_entry = *entry < picture->device_count;
	uint32_t device;

	if (!has_sum && !has_entry)
		return false;
	device = has_sum ? TALLY_KEY_DEVICE(sums->all[*sum].key) : UINT32_MAX;
	if (has_entry && picture->devices[*entry].device < device)
		device = picture->devices[*entry].device;
	while (*sum < sums->count && TALLY_KEY_DEVICE(sums->all[*sum].key) == device)
		++*sum;
	*ret_device = device;
	*ret_entry = NULL;
	if (has_entry && picture->devices[*entry].device == device)
		*ret_entry = &picture->devices[(*entry)++];
	return true;
}

/* Makes room for an array; where it begins. */
static size_t reserve(struct layout *layout, size_t count, size_t size)
{
	size_t at = (layout->size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

	layout->size = at + count * size;
	return at;
}

void build_measure(const struct picture *picture, struct layout *ret_layout)
{
	const struct tally_device_entry *entry;
	struct detail_counts detail = detail_count(picture);
	struct chip_counts chips = chips_count(picture->chips);
	struct layout layout = { 0 };
	size_t sum = 0, described = 0, n;
	uint32_t device;

	for (n = 0; n < picture->process_count; n++)
		layout.process_pools += picture->processes[n]->sums.count;
	while (next_device(picture, &sum, &described, &device, &entry))
		layout.devices++;
	layout.chip_pools_at = layout.process_pools;
	layout.process_pools += chips.pools;
	layout.processes = picture->process_count + chips.processes;
	layout.pool_at = reserve(&layout, picture->over_all->count, sizeof(struct tally_pool_view));
	layout.process_at = reserve(&layout, layout.processes, sizeof(struct tally_process_view));
	layout.process_pool_at = reserve(&layout, layout.process_pools,
					 sizeof(struct tally_pool_view));
	layout.device_at = reserve(&layout, layout.devices, sizeof(struct tally_device_view));
	layout.sizes_at = reserve(&layout, detail.sizes, TALLY_SIZES * sizeof(uint64_t));
	layout.tag_at = reserve(&layout, detail.tags, sizeof(struct tally_tag_view));
	layout.process_tag_at = reserve(&layout, detail.process_tags,
					sizeof(struct tally_tag_view));
	*ret_layout = layout;
}

/* ---- Filling --------------------------------------------------------------------------------- */

static void fill_pool(struct tally_pool_view *view, const struct sum *sum, const char *name,
		      struct rates rates)
{
	memset(view, 0, sizeof(*view));
	view->device = TALLY_KEY_DEVICE(sum->key);
	view->pool = TALLY_KEY_POOL(sum->key);
	view->totals = sum->totals;
	view->totals_only = sum->totals_only;
	view->allocations_per_s = rates.allocations;
	view->frees_per_s = rates.frees;
	view->allocated_bytes_per_s = rates.allocated_bytes;
	if (describe_fixed_pool(view->pool))
		name = describe_fixed_pool(view->pool);
	if (name)
		memcpy(view->pool_name, name, strnlen(name, sizeof(view->pool_name) - 1));
	else
		snprintf(view->pool_name, sizeof(view->pool_name), "pool-%u", view->pool);
}

/* A name for a pool that any process gave; the oldest process is asked first. */
static const char *name_of_pool(const struct picture *picture, uint32_t pool)
{
	const char *name = describe_fixed_pool(pool);
	size_t n;

	for (n = 0; n < picture->process_count && !name; n++)
		name = describe_pool(picture->processes[n]->region, pool);
	return name;
}

static void fill_processes(const struct picture *picture, struct tally_snapshot *snapshot,
			   struct tally_process_view *views, struct tally_pool_view *pools)
{
	size_t filled = 0, n, i;

	for (n = 0; n < picture->process_count; n++) {
		const struct process *process = picture->processes[n];
		struct tally_process_view *view = &views[n];

		*view = process->said;
		view->first_pool = filled;
		view->pool_count = process->sums.count;
		for (i = 0; i < process->sums.count; i++) {
			const struct sum *sum = &process->sums.all[i];

			fill_pool(&pools[filled++], sum,
				  describe_pool(process->region, TALLY_KEY_POOL(sum->key)),
				  history_rates(picture->history, sum,
						process->past ? UINT64_MAX : process->met_ns));
		}
		snapshot->events += view->events;
		snapshot->records_read += view->records_read;
		snapshot->lost_records += view->lost_records;
		snapshot->rejected_events += view->rejected_events;
	}
}

/* Device 0 is the host where the malloc adapter reports; nobody else uses the heap pool. */
static bool is_host(const struct picture *picture, uint32_t device)
{
	return device == 0 && sums_find(picture->over_all, TALLY_KEY(0, TALLY_POOL_HEAP));
}

static void fill_device(struct tally_device_view *view, const struct tally_device_entry *entry,
			struct tally_pool_view *pools)
{
	size_t n;

	view->described = true;
	view->described_own = entry->state != 0; /* describe.c */
	view->remote = (entry->flags & TALLY_DEVICE_REMOTE) != 0;
	memcpy(view->name, entry->name, sizeof(view->name));
	memcpy(view->arch, entry->arch, sizeof(view->arch));
	memcpy(view->stable_id, entry->stable_id, sizeof(view->stable_id));
	view->grid_x = entry->grid_x;
	view->grid_y = entry->grid_y;
	view->channels = entry->channels;
	for (n = 0; n < view->pool_count; n++)
		if (pools[n].pool < TALLY_DESCRIBED_POOLS)
			pools[n].capacity_bytes = entry->capacity_bytes[pools[n].pool];
}

static void fill_devices(const struct picture *picture, struct tally_device_view *views,
			 struct tally_pool_view *pools)
{
	const struct tally_device_entry *entry;
	size_t sum = 0, described = 0, first = 0, n;
	uint32_t device;
	bool region;

	for (; next_device(picture, &sum, &described, &device, &entry); views++) {
		memset(views, 0, sizeof(*views));
		views->device = device;
		views->first_pool = first;
		views->pool_count = sum - first;
		region = entry != NULL;
		for (n = first; n < sum; n++)
			region = region || picture->over_all->all[n].writers > 0;
		if (entry)
			fill_device(views, entry, &pools[first]);
		else if (is_host(picture, device))
			snprintf(views->name, sizeof(views->name), "host");
		chips_describe(picture->chips, views, region);
		first = sum;
	}
}

void build_fill(const struct picture *picture, const struct layout *layout, unsigned char *memory,
		struct tally_snapshot *ret_snapshot)
{
	struct tally_pool_view *pools = (void *)(memory + layout->pool_at);
	struct tally_process_view *processes = (void *)(memory + layout->process_at);
	struct tally_pool_view *process_pools = (void *)(memory + layout->process_pool_at);
	struct tally_device_view *devices = (void *)(memory + layout->device_at);
	struct tally_snapshot snapshot = {
		.realtime_ns = clock_realtime_ns(),
		.monotonic_ns = clock_monotonic_ns(),
		.complete = picture->refused_files == 0 && !picture->partial,
		.refused_files = picture->refused_files,
		.device_count = layout->devices,
		.pool_count = picture->over_all->count,
		.process_count = layout->processes,
		.process_pool_count = layout->process_pools,
		.devices = devices,
		.pools = pools,
		.processes = processes,
		.process_pools = process_pools,
	};
	size_t n;

	for (n = 0; n < picture->over_all->count; n++) {
		const struct sum *sum = &picture->over_all->all[n];

		fill_pool(&pools[n], sum, name_of_pool(picture, TALLY_KEY_POOL(sum->key)),
			  history_rates(picture->history, sum, 0));
		snapshot.complete = snapshot.complete && sum->totals.current;
	}
	fill_processes(picture, &snapshot, processes, process_pools);
	chips_fill(picture->chips, &processes[picture->process_count],
		   &process_pools[layout->chip_pools_at], layout->chip_pools_at);
	fill_devices(picture, devices, pools);
	detail_fill(picture,
		    &(struct detail_room){
			    .sizes = (void *)(memory + layout->sizes_at),
			    .tags = (void *)(memory + layout->tag_at),
			    .process_tags = (void *)(memory + layout->process_tag_at),
			    .pools = pools,
			    .process_pools = process_pools,
			    .processes = processes,
		    },
		    &snapshot);
	snapshot.complete = snapshot.complete && snapshot.rejected_events == 0;
	*ret_snapshot = snapshot;
}
