/* SPDX-License-Identifier: Apache-2.0 */
/* Process entries: found without touching a page that is not there, read, watched for new owners.
 */
#include "consumer/census.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "ring/entries.h"

/* ---- Entries --------------------------------------------------------------------------------- */

static off_t offset_of(const struct geometry *at, uint32_t entry)
{
	return (off_t)(at->process_at + entry * at->process_stride);
}

/* Asked by a call, as looking at a page of the mapping that is not there would make it. */
static bool has_page(const struct region_watch *region, uint32_t entry)
{
	struct tally_process_header header;

	return pread(region->view.fd, &header, sizeof(header),
		     offset_of(&region->view.at, entry)) == sizeof(header) &&
	       (header.cell_pages & 1);
}

/* Where the next page is that is there; the offset itself where no file system tells. */
static off_t next_data(const struct region_watch *region, off_t offset)
{
	off_t data = lseek(region->view.fd, offset, SEEK_DATA);

	return data < 0 && errno != ENXIO ? offset : data;
}

/* Entries are taken from the first one on, but one may be passed over for a while. */
static void find_entries(struct region_watch *region)
{
	const struct geometry *at = &region->view.at;
	uint32_t entry = 0;

	while (entry < at->processes) {
		off_t data;
		uint32_t found;

		if (region->entries[entry].known) {
			entry++;
			continue;
		}
		data = next_data(region, offset_of(at, entry));
		if (data < 0 || data >= (off_t)at->pool_at)
			break;
		found = (uint32_t)(((size_t)data - at->process_at) / at->process_stride);
		if (found > entry) {
			entry = found;
			continue;
		}
		if (has_page(region, entry)) {
			region->entries[entry].known = true;
			if (entry >= region->entry_count)
				region->entry_count = entry + 1;
		}
		entry++;
	}
}

/* ---- Owners ---------------------------------------------------------------------------------- */

/* Whether the entry's generation is what it was; who reads after it what it wrote before. */
static bool is_still(const struct region_watch *region, uint32_t entry)
{
	tally_fence_acquire(); /* N2 -> N1: what was read, before the second look */
	/* relaxed: the fence orders it */
	return tally_load_relaxed(&watch_header(region, entry)->generation) ==
	       region->entries[entry].generation;
}

bool census_owns(const struct region_watch *region, const struct process *process)
{
	return !region->joined ||
	       (region->entries[process->entry].row == process && is_still(region, process->entry));
}

static void read_inherited(struct process *process, const struct tally_process_header *header)
{
	/* relaxed, all: written before the generation, or the file had a name */
	process->said.parent_id = tally_load_relaxed(&header->parent);
	process->inherited_bytes = (int64_t)tally_load_relaxed(&header->inherited_bytes);
	process->inherited_allocations = (int64_t)tally_load_relaxed(&header->inherited_allocs);
}

static void read_identity(struct process *process, const struct tally_process_header *header)
{
	uint64_t words[sizeof(header->comm) / sizeof(uint64_t)];
	size_t n;

	/* relaxed, all: written before the generation, which is looked at again */
	for (n = 0; n < sizeof(words) / sizeof(words[0]); n++)
		words[n] = tally_load_relaxed((const uint64_t *)header->comm + n);
	entries_printable(process->said.comm, sizeof(process->said.comm), (const char *)words,
			  sizeof(words));
	/* relaxed: as above */
	process->said.pid = (uint32_t)tally_load_relaxed(&header->pid);
	process->said.start_realtime_ns = tally_load_relaxed(&header->start_realtime_ns);
	process->base_events = tally_load_relaxed(&header->base_events);
	process->base_unrecorded = tally_load_relaxed(&header->base_unrecorded);
	process->base_rejected = tally_load_relaxed(&header->base_rejected);
	read_inherited(process, header);
}

/* A row for an owner not met before. It is left for the next census if it changes meanwhile. */
static int meet(struct region_watch *region, uint32_t entry)
{
	struct process *process = process_new(region, entry);

	if (!process)
		return -ENOMEM;
	read_identity(process, watch_header(region, entry));
	process->said.region_id = region->entries[entry].generation;
	if (is_still(region, entry)) {
		region->entries[entry].row = process;
		return 0;
	}
	process_free(process);
	return 0;
}

static void overtake(struct region_watch *region, struct process *process)
{
	struct sums sums = process->sums;

	region->entries[process->entry].row = NULL;
	process->sums = process->kept;
	process->kept = sums;
	process->alive = false;
	process->next_closing = region->closing;
	region->closing = process;
}

static int visit(struct region_watch *region, uint32_t entry)
{
	struct entry_watch *at = &region->entries[entry];
	struct process *process = at->row;
	int error = 0;

	/* N4 -> N3: the identity, and every base, that belong to it */
	at->generation = tally_load_acquire(&watch_header(region, entry)->generation);
	if (process && process->said.region_id != at->generation)
		overtake(region, process);
	if (at->generation != 0 && !at->row)
		error = meet(region, entry);
	process = at->row;
	if (process)
		process->alive = !process->ended && region_alive(&region->view, entry) != 0;
	return error;
}

static int take_one(struct region_watch *region)
{
	struct process *process = region->entries[0].row;

	read_inherited(process, watch_header(region, 0));
	process->alive = region_alive(&region->view, 0) != 0;
	region->alive = process->alive;
	return 0;
}

int census_take(struct region_watch *region)
{
	uint32_t entry;
	int error = 0;

	if (!region->joined)
		return take_one(region);
	find_entries(region);
	region->alive = false;
	for (entry = 0; entry < region->entry_count && !error; entry++) {
		if (!region->entries[entry].known)
			continue;
		error = visit(region, entry);
		if (region->entries[entry].row && region->entries[entry].row->alive)
			region->alive = true;
	}
	return error;
}

/* ---- Lanes, and the second look -------------------------------------------------------------- */

bool census_lane(const struct region_watch *region, uint64_t owner, struct process **ret_row)
{
	enum tally_lane_state state = (enum tally_lane_state)(owner >> 56);
	uint64_t entry = owner >> 32 & 0xffffff;

	*ret_row = NULL;
	if (!region->joined) {
		*ret_row = region->entries[0].row;
		return true;
	}
	if (state != TALLY_LANE_OWNED && state != TALLY_LANE_EXITED)
		return true;
	if (entry >= region->view.at.processes)
		return true; /* a lie */
	if (!region->entries[entry].known)
		return false;
	*ret_row = region->entries[entry].row;
	return *ret_row || region->entries[entry].generation == 0;
}

bool census_holds(const struct region_watch *region)
{
	struct process *row;
	uint32_t n;

	if (!region->joined)
		return true;
	for (n = 0; n < region->entry_count; n++)
		if (region->entries[n].known && !is_still(region, n))
			return false;
	for (n = 0; n < region->lane_count; n++)
		/* relaxed: after the fences above */
		if (!census_lane(region, tally_load_relaxed(&region->lanes[n].reader.header->owner),
				 &row) ||
		    row != region->lanes[n].row)
			return false;
	return true;
}
