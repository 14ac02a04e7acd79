/* SPDX-License-Identifier: Apache-2.0 */
/* Names and descriptions: claiming an entry, filling it, and reading it from outside. */
#include "ring/entries.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tally/atomic.h>

/* Reserves one of the tables and says so. */
static bool table_ready(struct region *region, uint64_t *ready, size_t offset, size_t size)
{
	if (tally_load_relaxed(ready)) /* relaxed: this process reserved it */
		return true;
	if (region_reserve(region, offset, size) != 0)
		return false;
	/* U1''' -> U2: the table is reserved before its flag says so */
	tally_store_release(ready, 1);
	return true;
}

/* Moves an entry from FREE to WRITING; only one caller succeeds. */
static bool claim(uint64_t *state)
{
	uint64_t free = TALLY_ENTRY_FREE;

	/* relaxed: E1 publishes what is written next */
	return tally_cas_relaxed(state, &free, TALLY_ENTRY_WRITING);
}

static void publish(uint64_t *state)
{
	tally_store_release(state, TALLY_ENTRY_VALID); /* E1 -> E2: words before VALID */
}

static bool is_valid(const uint64_t *state)
{
	return tally_load_acquire(state) == TALLY_ENTRY_VALID; /* E2 -> E1 */
}

uint32_t entries_tag(struct region *region, const char *name)
{
	struct tally_tag_entry *tags = region_tags(region->base, &region->at);
	uint32_t mask = region->at.tags - 1;
	char cut[sizeof(tags->name)];
	uint32_t hash = 2166136261u;
	uint32_t tries;
	size_t i;

	for (i = 0; i < sizeof(cut) - 1 && name[i]; i++) {
		cut[i] = name[i];
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	}
	memset(cut + i, 0, sizeof(cut) - i);
	if (!table_ready(region, &region_state(region->base)->tags_ready, region->at.tag_at,
			 region->at.tags * sizeof(*tags)))
		return 0;
	for (tries = 0; tries <= mask; tries++) {
		uint32_t n = (hash + tries) & mask;

		if (claim(&tags[n].state)) {
			memcpy(tags[n].name, cut, sizeof(cut));
			publish(&tags[n].state);
			return n + 1;
		}
		if (is_valid(&tags[n].state) && memcmp(tags[n].name, cut, sizeof(cut)) == 0)
			return n + 1;
	}
	return 0;
}

int entries_pool(struct region *region, uint32_t pool, const char *name)
{
	struct tally_pool_entry *entry = &region_pools(region->base, &region->at)[pool];
	char cut[sizeof(entry->name)] = { 0 };

	memcpy(cut, name, strnlen(name, sizeof(cut) - 1));
	if (!table_ready(region, &region_state(region->base)->pools_ready, region->at.pool_at,
			 TALLY_POOLS * sizeof(*entry)))
		return -ENOSPC;
	if (claim(&entry->state)) {
		memcpy(entry->name, cut, sizeof(cut));
		publish(&entry->state);
		return 0;
	}
	return is_valid(&entry->state) && memcmp(entry->name, cut, sizeof(cut)) == 0 ? 0 : -EEXIST;
}

static bool same_device(const struct tally_device_entry *a, const struct tally_device_entry *b)
{
	return memcmp(&a->device, &b->device,
		      sizeof(*a) - offsetof(struct tally_device_entry, device)) == 0;
}

int entries_device(struct region *region, const struct tally_device_entry *entry)
{
	struct tally_device_entry *devices = region_devices(region->base, &region->at);
	int same = -1;
	uint32_t n;

	if (!table_ready(region, &region_state(region->base)->devices_ready, region->at.device_at,
			 region->at.devices * sizeof(*devices)))
		return -ENOSPC;
	for (n = 0; n < region->at.devices; n++) {
		if (is_valid(&devices[n].state)) {
			if (devices[n].device == entry->device)
				same = same_device(&devices[n], entry) ? (int)n : -1;
			continue;
		}
		if (same >= 0)
			return same;
		if (!claim(&devices[n].state))
			continue;
		memcpy(&devices[n].device, &entry->device,
		       sizeof(*entry) - offsetof(struct tally_device_entry, device));
		publish(&devices[n].state);
		return (int)n;
	}
	return same >= 0 ? same : -ENOSPC;
}

/* ---- Reading --------------------------------------------------------------------------------- */

void entries_printable(char *to, size_t size, const char *from, size_t from_size)
{
	size_t i;

	for (i = 0; i < size - 1 && i < from_size && from[i]; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[i] = '\0';
}

bool entries_read_pool(unsigned char *base, const struct geometry *at, uint32_t pool,
		       struct tally_pool_entry *ret_entry)
{
	const struct tally_pool_entry *entry = &region_pools(base, at)[pool];
	struct tally_pool_entry copy;

	if (!tally_load_acquire(&region_state(base)->pools_ready)) /* U2 -> U1 */
		return false;
	if (!is_valid(&entry->state))
		return false;
	memcpy(&copy, entry, sizeof(copy));
	*ret_entry = copy;
	entries_printable(ret_entry->name, sizeof(copy.name), copy.name, sizeof(copy.name));
	return true;
}

bool entries_read_tag(unsigned char *base, const struct geometry *at, uint32_t index,
		      struct tally_tag_entry *ret_entry)
{
	const struct tally_tag_entry *entry = &region_tags(base, at)[index];
	struct tally_tag_entry copy;

	if (!tally_load_acquire(&region_state(base)->tags_ready)) /* U2''''''''' -> U1 */
		return false;
	if (!is_valid(&entry->state))
		return false;
	memcpy(&copy, entry, sizeof(copy));
	*ret_entry = copy;
	entries_printable(ret_entry->name, sizeof(copy.name), copy.name, sizeof(copy.name));
	return true;
}

bool entries_read_device(unsigned char *base, const struct geometry *at, uint32_t index,
			 struct tally_device_entry *ret_entry)
{
	const struct tally_device_entry *entry = &region_devices(base, at)[index];
	struct tally_device_entry copy;

	if (!tally_load_acquire(&region_state(base)->devices_ready)) /* U2' -> U1 */
		return false;
	if (!is_valid(&entry->state))
		return false;
	memcpy(&copy, entry, sizeof(copy));
	*ret_entry = copy;
	entries_printable(ret_entry->name, sizeof(copy.name), copy.name, sizeof(copy.name));
	entries_printable(ret_entry->arch, sizeof(copy.arch), copy.arch, sizeof(copy.arch));
	entries_printable(ret_entry->stable_id, sizeof(copy.stable_id), copy.stable_id,
			  sizeof(copy.stable_id));
	return true;
}
