/* SPDX-License-Identifier: Apache-2.0 */
/* Names of pools and descriptions of devices: copied out of a region as they appear. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>
#include <unistd.h>

#include "consumer/watch.h"
#include "ring/entries.h"

static const char *const fixed_names[] = {
	[TALLY_POOL_DRAM] = "dram",	[TALLY_POOL_L1] = "l1",
	[TALLY_POOL_SYSTEM] = "system", [TALLY_POOL_L1_SMALL] = "l1_small",
	[TALLY_POOL_TRACE] = "trace",	[TALLY_POOL_CB] = "cb",
	[TALLY_POOL_KERNEL] = "kernel", [TALLY_POOL_HEAP] = "heap",
};

_Static_assert(sizeof(fixed_names) / sizeof(fixed_names[0]) == POOL_NAMED_MIN, "all have one");

const char *describe_fixed_pool(uint32_t pool)
{
	return pool < POOL_NAMED_MIN ? fixed_names[pool] : NULL;
}

int describe_merge(struct tally_device_entry **devices, size_t *count,
		   const struct tally_device_entry *more, size_t more_count)
{
	const struct tally_device_entry *old = *devices;
	struct tally_device_entry *all;
	size_t merged = 0, i = 0, j = 0;

	if (more_count == 0)
		return 0;
	all = malloc((*count + more_count) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	while (i < *count || j < more_count) {
		if (j == more_count || (i < *count && old[i].device < more[j].device)) {
			all[merged++] = old[i++];
			continue;
		}
		if (i < *count && old[i].device == more[j].device)
			i++;
		all[merged++] = more[j++];
	}
	free(*devices);
	*devices = all;
	*count = merged;
	return 0;
}

/* In a copy, `state` tells which entry it was of; once they are in order, whether the region is
 * this user's. */
static int by_device(const void *a, const void *b)
{
	const struct tally_device_entry *one = a, *other = b;

	if (one->device != other->device)
		return one->device > other->device ? 1 : -1;
	return (one->state > other->state) - (one->state < other->state);
}

/* Orders copies by device; of several for one the last entry stays. */
static size_t put_in_order(struct tally_device_entry *entries, size_t count)
{
	size_t kept = 0, n;

	qsort(entries, count, sizeof(*entries), by_device);
	for (n = 0; n < count; n++) {
		if (kept > 0 && entries[kept - 1].device == entries[n].device)
			kept--;
		entries[kept++] = entries[n];
	}
	return kept;
}

/* Copies what can be read of the entries not read before, in any order and number. Entries are
 * claimed in order, so the first that is not valid yet ends the search; a process that has gone
 * will finish none, so then, or where others live on, those behind it count. */
static int copy_new(struct region_watch *region, struct tally_device_entry **ret_entries,
		    size_t *ret_count)
{
	bool beyond = region->joined || !region->alive;
	const struct geometry *at = &region->view.at;
	size_t room = 0, count = 0;
	struct tally_device_entry *all, entry;
	uint32_t n;

	for (n = region->devices_read; n < at->devices; n++) {
		if (!entries_read_device(region->view.base, at, n, &entry)) {
			if (!beyond)
				break;
			continue;
		}
		if (n == region->devices_read)
			region->devices_read = n + 1;
		if (entry.device >= TALLY_DEVICES)
			continue;
		if (count == room) {
			room = room ? room * 2 : 16;
			all = realloc(*ret_entries, room * sizeof(*all));
			if (!all)
				return -ENOMEM;
			*ret_entries = all;
		}
		entry.state = n;
		(*ret_entries)[count++] = entry;
	}
	*ret_count = count;
	return 0;
}

static int read_devices(struct region_watch *region)
{
	uint32_t read_before = region->devices_read;
	struct tally_device_entry *entries = NULL;
	size_t count = 0, n;
	int error = copy_new(region, &entries, &count);

	if (!error && count > 0) {
		count = put_in_order(entries, count);
		for (n = 0; n < count; n++)
			entries[n].state = region->view.uid == geteuid();
		error = describe_merge(&region->devices, &region->device_count, entries, count);
	}
	if (error)
		region->devices_read = read_before; /* once more, next time */
	free(entries);
	return error;
}

const char *describe_pool(const struct region_watch *region, uint32_t pool)
{
	size_t n;

	for (n = 0; n < region->pool_name_count; n++)
		if (region->pool_names[n].pool == pool)
			return region->pool_names[n].name;
	return NULL;
}

static int read_pool(struct region_watch *region, uint32_t pool)
{
	struct tally_pool_entry entry;
	struct pool_name *names;

	if (pool < POOL_NAMED_MIN || describe_pool(region, pool) ||
	    !entries_read_pool(region->view.base, &region->view.at, pool, &entry))
		return 0;
	names = realloc(region->pool_names, (region->pool_name_count + 1) * sizeof(*names));
	if (!names)
		return -ENOMEM;
	region->pool_names = names;
	names += region->pool_name_count++;
	names->pool = pool;
	memcpy(names->name, entry.name, sizeof(names->name));
	return 0;
}

static int read_pools(struct region_watch *region, const struct sums *sums)
{
	int error = 0;
	size_t n;

	for (n = 0; n < sums->count && sums->names_asked && !error; n++)
		error = read_pool(region, TALLY_KEY_POOL(sums->all[n].key));
	return error;
}

int describe_read(struct region_watch *region)
{
	int error = read_devices(region);
	uint32_t n;

	if (!error)
		error = read_pools(region, &region->past);
	for (n = 0; n < region->entry_count && !error; n++)
		if (region->entries[n].row)
			error = read_pools(region, &region->entries[n].row->sums);
	return error;
}
