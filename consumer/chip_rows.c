/* SPDX-License-Identifier: Apache-2.0 */
/* What files of a runtime's totals add to a snapshot: parts of processes, then sums and rows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>
#include <unistd.h>

#include "consumer/chips.h"
#include "consumer/watch.h"

static const uint32_t pools[TALLY_CHIP_POOLS] = {
	[TALLY_CHIP_DRAM] = TALLY_POOL_DRAM,
	[TALLY_CHIP_L1] = TALLY_POOL_L1,
	[TALLY_CHIP_L1_SMALL] = TALLY_POOL_L1_SMALL,
	[TALLY_CHIP_TRACE] = TALLY_POOL_TRACE,
	[TALLY_CHIP_CB] = TALLY_POOL_CB,
};

/* Their region ids, which nobody else has: those of regions are random. */
#define ROW_ID 0x746f74616c730000ull

/* ---- Parts ----------------------------------------------------------------------------------- */

static bool has_device(const struct process *process, uint32_t device)
{
	size_t n;

	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		if (sums_find(&process->sums, TALLY_KEY(device, pools[n])))
			return true;
	return false;
}

/* A runtime may report both ways: then its region says more, and is believed. */
static bool is_told(struct process *const *processes, size_t count, uint32_t pid, uint32_t device)
{
	size_t n;

	for (n = 0; n < count; n++)
		if (processes[n]->said.pid == pid && !processes[n]->ended &&
		    !processes[n]->said.guests && has_device(processes[n], device))
			return true;
	return false;
}

/* Pools that hold nothing are of no interest, a process is: that it is there. */
static int add_slot(struct chips *chips, const struct chip *chip, const struct chip_slot *slot)
{
	bool empty = true;
	size_t n;

	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		empty = empty && slot->bytes[n] == 0;
	for (n = 0; n < TALLY_CHIP_POOLS; n++) {
		if (slot->bytes[n] == 0 && !(empty && n == TALLY_CHIP_DRAM))
			continue;
		if (chips->part_count == chips->part_room) {
			size_t room = chips->part_room ? chips->part_room * 2 : 64;
			void *parts = realloc(chips->parts, room * sizeof(*chips->parts));

			if (!parts)
				return -ENOMEM;
			chips->parts = parts;
			chips->part_room = room;
		}
		chips->parts[chips->part_count++] = (struct chip_part){
			.pid = slot->pid,
			.key = TALLY_KEY(chip->said.device, pools[n]),
			.bytes = slot->bytes[n],
			.chip = chip,
			.slot = slot,
		};
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct chip_part *one = a, *other = b;

	if (one->pid != other->pid)
		return one->pid > other->pid ? 1 : -1;
	if (one->key != other->key)
		return one->key > other->key ? 1 : -1;
	return strcmp(one->chip->name, other->chip->name);
}

/* Two chips may be one device to two processes, and a process may have two slots: one part each. */
static void combine(struct chips *chips)
{
	struct chip_part *parts = chips->parts;
	size_t kept = 0, n;

	if (chips->part_count)
		qsort(parts, chips->part_count, sizeof(*parts), by_place);
	for (n = 0; n < chips->part_count; n++) {
		if (kept && parts[kept - 1].pid == parts[n].pid &&
		    parts[kept - 1].key == parts[n].key)
			parts[kept - 1].bytes = plus(parts[kept - 1].bytes, parts[n].bytes);
		else
			parts[kept++] = parts[n];
	}
	chips->part_count = kept;
}

int chips_join(struct chips *chips, struct process *const *processes, size_t process_count,
	       uint32_t pid)
{
	size_t n, i;

	chips->part_count = 0;
	for (n = 0; n < chips->count; n++) {
		const struct chip *chip = chips->all[n];

		for (i = 0; !chip->error && i < chip->said.slot_count; i++) {
			const struct chip_slot *slot = &chip->said.slots[i];

			if ((!pid || slot->pid == pid) &&
			    !is_told(processes, process_count, slot->pid, chip->said.device) &&
			    add_slot(chips, chip, slot) != 0)
				return -ENOMEM;
		}
	}
	combine(chips);
	return 0;
}

/* ---- Over all processes ---------------------------------------------------------------------- */

static int add(struct sums *over_all, uint64_t key, int64_t bytes, int64_t bytes_high)
{
	struct sum *sum = sums_get(over_all, key);

	if (!sum)
		return -ENOMEM;
	sum->totals_only = true;
	sum->totals.live_bytes = plus(sum->totals.live_bytes, bytes);
	sum->totals.live_bytes_high = plus(sum->totals.live_bytes_high, bytes_high);
	sum_order_bounds(&sum->totals);
	return 0;
}

/* A device that nobody uses now is there, too. */
static int add_rest(const struct chips *chips, struct sums *over_all)
{
	size_t n, i;
	int error = 0;

	for (n = 0; n < chips->count; n++) {
		const struct chip_said *said = &chips->all[n]->said;

		for (i = 0; i < TALLY_CHIP_POOLS && !chips->all[n]->error && !said->idle; i++)
			if (!error)
				error = add(over_all, TALLY_KEY(said->device, pools[i]), 0,
					    said->rest[i]);
	}
	return error;
}

int chips_add(const struct chips *chips, struct sums *over_all, uint32_t pid)
{
	int error = 0;
	size_t n;

	if (!pid)
		error = add_rest(chips, over_all);
	for (n = 0; n < chips->part_count && !error; n++)
		error = add(over_all, chips->parts[n].key, chips->parts[n].bytes,
			    chips->parts[n].bytes);
	return error;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool is_first(const struct chips *chips, size_t n)
{
	return n == 0 || chips->parts[n].pid != chips->parts[n - 1].pid;
}

struct chip_counts chips_count(const struct chips *chips)
{
	struct chip_counts counts = { .pools = chips->part_count };
	size_t n;

	for (n = 0; n < chips->part_count; n++)
		counts.processes += is_first(chips, n);
	return counts;
}

static void fill_process(struct tally_process_view *view, const struct chip_part *part)
{
	memset(view, 0, sizeof(*view));
	memcpy(view->region, part->chip->name, sizeof(part->chip->name));
	memcpy(view->comm, part->slot->comm, sizeof(view->comm));
	view->pid = part->pid;
	view->uid = part->chip->said.uid;
	view->region_id = ROW_ID ^ part->pid;
	view->totals_only = true;
}

static void fill_pool(struct tally_pool_view *view, const struct chip_part *part)
{
	memset(view, 0, sizeof(*view));
	view->device = TALLY_KEY_DEVICE(part->key);
	view->pool = TALLY_KEY_POOL(part->key);
	snprintf(view->pool_name, sizeof(view->pool_name), "%s", describe_fixed_pool(view->pool));
	view->totals.live_bytes = view->totals.live_bytes_high = part->bytes;
	view->totals.peak_bytes = view->totals.peak_bytes_high = part->bytes;
	view->totals.current = true;
	view->allocations_per_s = view->frees_per_s = view->allocated_bytes_per_s = -1;
	view->totals_only = true;
}

void chips_fill(const struct chips *chips, struct tally_process_view *processes,
		struct tally_pool_view *views, size_t first_pool)
{
	struct tally_process_view *process = NULL;
	size_t n;

	for (n = 0; n < chips->part_count; n++) {
		if (is_first(chips, n)) {
			process = process ? process + 1 : processes;
			fill_process(process, &chips->parts[n]);
			process->first_pool = first_pool + n;
		}
		process->pool_count++;
		fill_pool(&views[n], &chips->parts[n]);
	}
}

void chips_describe(const struct chips *chips, struct tally_device_view *view, bool region)
{
	uint64_t chip_id = UINT64_MAX;
	size_t count = 0, n;

	for (n = 0; n < chips->count; n++) {
		const struct chip_said *said = &chips->all[n]->said;

		if (chips->all[n]->error || said->device != view->device || said->idle)
			continue;
		count++;
		chip_id = said->chip_id < chip_id ? said->chip_id : chip_id;
		if (said->slot_count > 0) {
			view->totals_file = true;
			view->totals_file_own = view->totals_file_own || said->uid == geteuid();
		}
	}
	if (count == 0)
		return;
	view->totals_only = !region;
	if (!view->described)
		view->name[0] = '\0'; /* not the host, whatever heap is counted there */
	/* So that who has the board at hand finds it; several where processes number their devices
	 * each for itself. */
	if (!region)
		snprintf(view->stable_id, sizeof(view->stable_id), "chip-%llu%s",
			 (unsigned long long)chip_id, count > 1 ? "+" : "");
}
