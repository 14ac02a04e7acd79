/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot, device by device: what each process holds in the pools that a chip's file has. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/abi.h>
#include <tally/tally.h>

#include "chip.h"

/* What one process holds in one pool. */
struct part {
	uint32_t device;
	int pool;
	const struct tally_process_view *process;
	int64_t bytes;
};

/* -1: it has no field. */
static int pool_of(uint32_t pool)
{
	switch (pool) {
	case TALLY_POOL_DRAM:
		return TALLY_CHIP_DRAM;
	case TALLY_POOL_L1:
		return TALLY_CHIP_L1;
	case TALLY_POOL_L1_SMALL:
		return TALLY_CHIP_L1_SMALL;
	case TALLY_POOL_TRACE:
		return TALLY_CHIP_TRACE;
	case TALLY_POOL_CB:
		return TALLY_CHIP_CB;
	default:
		return -1;
	}
}

/* Of all that lives and that a region tells of. */
static size_t collect(const struct tally_snapshot *snapshot, struct part *parts)
{
	size_t count = 0, n, i;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (process->totals_only || process->end != TALLY_RUNNING)
			continue;
		for (i = 0; i < process->pool_count; i++) {
			const struct tally_pool_view *pool =
				&snapshot->process_pools[process->first_pool + i];

			if (pool_of(pool->pool) >= 0)
				parts[count++] = (struct part){
					.device = pool->device,
					.pool = pool_of(pool->pool),
					.process = process,
					.bytes = pool->totals.live_bytes,
				};
		}
	}
	return count;
}

/* Those that are counted together without a process of their own come last. */
static int by_place(const void *a, const void *b)
{
	const struct part *one = a, *other = b;
	bool one_guests = one->process->guests, other_guests = other->process->guests;

	if (one->device != other->device)
		return one->device > other->device ? 1 : -1;
	if (one_guests != other_guests)
		return one_guests ? 1 : -1;
	if (one->process->pid != other->process->pid)
		return one->process->pid > other->process->pid ? 1 : -1;
	return (one->process > other->process) - (one->process < other->process);
}

/* What was armed late may have freed more than it was seen to allocate. */
static void raise_to_zero(uint64_t bytes[TALLY_CHIP_POOLS])
{
	size_t n;

	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		if ((int64_t)bytes[n] < 0)
			bytes[n] = 0;
}

static uint64_t weight(const struct digest_slot *slot)
{
	uint64_t sum = 0;
	size_t n;

	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		sum += slot->bytes[n];
	return sum;
}

/* The largest first, and of equals the lowest pid, so that slots do not change hands for nothing.
 */
static int by_weight(const void *a, const void *b)
{
	const struct digest_slot *one = a, *other = b;

	if (weight(one) != weight(other))
		return weight(one) < weight(other) ? 1 : -1;
	return (one->pid > other->pid) - (one->pid < other->pid);
}

/* Which file a device has is this user's to say: who may be seen, with --all-users, is no reason to
 * let him choose where we write, or keep us from it. False: nobody has said it. */
static bool is_named(const struct tally_device_view *device, uint64_t *ret_chip_id)
{
	const char *id = device->stable_id;
	char *end;
	uint64_t value;

	*ret_chip_id = device->device;
	if (!device->described_own || !*id || strspn(id, "0123456789") != strlen(id))
		return false;
	errno = 0;
	value = strtoull(id, &end, 10);
	if (errno)
		return false;
	*ret_chip_id = value;
	return true;
}

/* A slot whose pid is 0 is unused: what is in it is seen by nobody, and stays when the next one
 * takes it; and readers ask kill() about the pid, to which one below 0 is a group, or everybody.
 * So who says that of himself has no slot, as have guests, and those of whom there are too many. He
 * is in the totals: what is held there is held, and no reader expects slots to add up to them. */
static bool has_slot(const struct tally_process_view *process)
{
	return !process->guests && (int32_t)process->pid > 0;
}

/* One device: parts[0 .. count) are its. */
static void fill(struct digest *digest, const struct part *parts, size_t count)
{
	struct digest_slot *slot = NULL;
	size_t n;

	for (n = 0; n < count; n++) {
		const struct tally_process_view *process = parts[n].process;
		bool first = n == 0 || process != parts[n - 1].process;
		size_t pool = (size_t)parts[n].pool;

		digest->bytes[pool] += (uint64_t)parts[n].bytes;
		if (!has_slot(process)) {
			digest->processes += !first ? 0 : process->guests ? process->guests : 1;
			continue;
		}
		/* Two regions of one process are one slot. */
		if (!slot || slot->pid != process->pid) {
			slot = &digest->slots[digest->slot_count++];
			slot->pid = process->pid;
			snprintf(slot->name, sizeof(slot->name), "%s", process->comm);
			digest->processes++;
		}
		slot->bytes[pool] += (uint64_t)parts[n].bytes;
	}
	for (n = 0; n < digest->slot_count; n++)
		raise_to_zero(digest->slots[n].bytes);
	raise_to_zero(digest->bytes);
	if (digest->slot_count > TALLY_CHIP_SLOTS) {
		qsort(digest->slots, digest->slot_count, sizeof(*digest->slots), by_weight);
		digest->slot_count = TALLY_CHIP_SLOTS;
	}
}

int digest_make(const struct tally_snapshot *snapshot, struct digests *ret_digests)
{
	struct part *parts = calloc(snapshot->process_pool_count + 1, sizeof(*parts));
	struct digests digests = {
		.all = calloc(snapshot->device_count + 1, sizeof(*digests.all)),
		.slots = calloc(snapshot->process_pool_count + 1, sizeof(*digests.slots)),
	};
	size_t count, at = 0, first, n;

	if (!parts || !digests.all || !digests.slots) {
		free(parts);
		digest_free(&digests);
		return -ENOMEM;
	}
	count = collect(snapshot, parts);
	qsort(parts, count, sizeof(*parts), by_place);
	for (n = 0; n < snapshot->device_count; n++) {
		const struct tally_device_view *device = &snapshot->devices[n];
		struct digest *digest = &digests.all[digests.count];

		for (first = at; at < count && parts[at].device == device->device;)
			at++;
		if (at == first && !device->described_own)
			continue; /* nothing that a chip's file has a field for */
		*digest = (struct digest){
			.device = device->device,
			.remote = device->described_own && device->remote,
			.taken = device->totals_file_own,
			.slots = &digests.slots[first],
		};
		digest->named = is_named(device, &digest->chip_id);
		fill(digest, &parts[first], at - first);
		digests.count++;
	}
	free(parts);
	*ret_digests = digests;
	return 0;
}

void digest_free(struct digests *digests)
{
	free(digests->all);
	free(digests->slots);
	memset(digests, 0, sizeof(*digests));
}
