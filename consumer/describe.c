/* SPDX-License-Identifier: Apache-2.0 */
/* Names of pools and descriptions of devices: copied out of a region as they appear. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/watch.h"
#include "ring/entries.h"

/* The first of the pools that have no fixed name. */
#define POOL_NAMED_MIN 8

int describe_device(struct tally_device_entry **devices, size_t *count,
		    const struct tally_device_entry *entry)
{
	struct tally_device_entry *all = *devices;
	size_t n = 0;

	while (n < *count && all[n].device < entry->device)
		n++;
	if (n < *count && all[n].device == entry->device) {
		all[n] = *entry;
		return 0;
	}
	all = realloc(all, (*count + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	memmove(&all[n + 1], &all[n], (*count - n) * sizeof(*all));
	all[n] = *entry;
	*devices = all;
	++*count;
	return 0;
}

/* Entries are claimed in order, so the first that is not valid yet ends the search; a process that
 * has ended will finish none, so then, or where others live on, those behind it count. */
static int read_devices(struct region_watch *region)
{
	bool beyond = region->joined || !region->alive;
	const struct geometry *at = &region->view.at;
	struct tally_device_entry entry;
	uint32_t n;

	for (n = region->devices_read; n < at->devices; n++) {
		if (!entries_read_device(region->view.base, at, n, &entry)) {
			if (!beyond)
				break;
			continue;
		}
		if (entry.device < TALLY_DEVICES &&
		    describe_device(&region->devices, &region->device_count, &entry) != 0)
			return -ENOMEM;
		if (n == region->devices_read)
			region->devices_read = n + 1;
	}
	return 0;
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

	for (n = 0; n < sums->count && !error; n++)
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
