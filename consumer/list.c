/* SPDX-License-Identifier: Apache-2.0 */
/* What is followed and what is shown: regions, and the rows of their processes in order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/attach.h"

int list_region(struct attach *attach, struct region_watch *region)
{
	struct region_watch **all = known_room(attach->regions, attach->region_count,
					       &attach->region_room);

	if (!all)
		return -ENOMEM;
	attach->regions = all;
	all[attach->region_count++] = region;
	return 0;
}

static bool starts_after(const struct process *a, const struct process *b)
{
	if (a->said.start_realtime_ns != b->said.start_realtime_ns)
		return a->said.start_realtime_ns > b->said.start_realtime_ns;
	if (a->said.pid != b->said.pid)
		return a->said.pid > b->said.pid;
	return a->said.region_id > b->said.region_id;
}

static int list_row(struct attach *attach, struct process *row)
{
	size_t n = attach->process_count;
	struct process **all = known_room(attach->processes, n, &attach->process_room);

	if (!all)
		return -ENOMEM;
	attach->processes = all;
	while (n > 0 && starts_after(all[n - 1], row)) {
		all[n] = all[n - 1];
		n--;
	}
	all[n] = row;
	attach->process_count++;
	row->listed = true;
	row->region->listed++;
	return 0;
}

/* A region of one process was chosen by its name; in a joined one each row is looked at. */
static bool is_asked_for(const struct attach *attach, const struct process *row)
{
	return !attach->options.pid || !row->region->joined || row->said.pid == attach->options.pid;
}

int list_rows(struct attach *attach, struct region_watch *region)
{
	uint32_t n;

	for (n = 0; n < region->entry_count; n++) {
		struct process *row = region->entries[n].row;

		if (row && row->settled && !row->listed && is_asked_for(attach, row) &&
		    list_row(attach, row) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* Takes a row out of the list, and frees it. */
static void drop_row(struct attach *attach, size_t n)
{
	struct process *row = attach->processes[n];
	struct region_watch *region = row->region;

	attach->process_count--;
	memmove(&attach->processes[n], &attach->processes[n + 1],
		(attach->process_count - n) * sizeof(struct process *));
	region->listed--;
	if (region->entries[row->entry].row == row)
		region->entries[row->entry].row = NULL;
	process_free(row);
}

static void drop_region(struct attach *attach, size_t n)
{
	watch_free(attach->regions[n]);
	attach->region_count--;
	memmove(&attach->regions[n], &attach->regions[n + 1],
		(attach->region_count - n) * sizeof(struct region_watch *));
}

/* A row on the region's list of those to be closed is listed as well. */
static void forget_closing(struct region_watch *region)
{
	struct process *row;

	while ((row = region->closing)) {
		region->closing = row->next_closing;
		if (!row->listed)
			process_free(row);
	}
}

void list_drop(struct attach *attach, struct region_watch *region)
{
	size_t n = attach->process_count;

	forget_closing(region);
	while (n-- > 0)
		if (attach->processes[n]->region == region)
			drop_row(attach, n);
	for (n = 0; n < attach->region_count; n++)
		if (attach->regions[n] == region) {
			drop_region(attach, n);
			return;
		}
}

void list_drop_leaving(struct attach *attach)
{
	size_t n = attach->process_count;

	while (n-- > 0)
		if (attach->processes[n]->leaving)
			drop_row(attach, n);
	n = attach->region_count;
	while (n-- > 0) {
		const struct region_watch *region = attach->regions[n];

		if (!region->view.base && region->file_gone && region->listed == 0)
			drop_region(attach, n);
	}
}

void list_free(struct attach *attach)
{
	while (attach->region_count > 0)
		list_drop(attach, attach->regions[attach->region_count - 1]);
	free(attach->regions);
	free(attach->processes);
}
