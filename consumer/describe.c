/* SPDX-License-Identifier: Apache-2.0 */
/* Names of pools and descriptions of devices: copied out of a region as they appear. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/process.h"
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
 * has ended will finish none, so then the others behind it count. */
static int read_devices(struct process *process, bool ended)
{
	const struct geometry *at = &process->view.at;
	struct tally_device_entry entry;
	uint32_t n;

	for (n = process->devices_read; n < at->devices; n++) {
		if (!entries_read_device(process->view.base, at, n, &entry)) {
			if (!ended)
				break;
			continue;
		}
		if (entry.device < TALLY_DEVICES &&
		    describe_device(&process->devices, &process->device_count, &entry) != 0)
			return -ENOMEM;
		if (n == process->devices_read)
			process->devices_read = n + 1;
	}
	return 0;
}

const char *describe_pool(const struct process *process, uint32_t pool)
{
	size_t n;

	for (n = 0; n < process->pool_name_count; n++)
		if (process->pool_names[n].pool == pool)
			return process->pool_names[n].name;
	return NULL;
}

static int read_pool(struct process *process, uint32_t pool)
{
	struct tally_pool_entry entry;
	struct pool_name *names;

	if (pool < POOL_NAMED_MIN || describe_pool(process, pool) ||
	    !entries_read_pool(process->view.base, &process->view.at, pool, &entry))
		return 0;
	names = realloc(process->pool_names, (process->pool_name_count + 1) * sizeof(*names));
	if (!names)
		return -ENOMEM;
	process->pool_names = names;
	names += process->pool_name_count++;
	names->pool = pool;
	memcpy(names->name, entry.name, sizeof(names->name));
	return 0;
}

int describe_read(struct process *process)
{
	int error = read_devices(process, process->ended);
	size_t n;

	for (n = 0; n < process->sums.count && !error; n++)
		error = read_pool(process, TALLY_KEY_POOL(process->sums.all[n].key));
	return error;
}
