/* SPDX-License-Identifier: Apache-2.0 */
/* A followed region's private side: made, let go when all its processes have ended, freed. */
#include "consumer/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "consumer/hold.h"
#include "ring/entries.h"

/* Who owns a region of one process stands in the region's header, for good. */
static struct process *only_process(struct region_watch *region)
{
	const struct tally_region_header *header = &region->view.header;
	struct process *process = process_new(region, 0);

	if (!process)
		return NULL;
	entries_printable(process->said.comm, sizeof(process->said.comm), header->creator_comm,
			  sizeof(header->creator_comm));
	process->said.pid = header->creator_pid;
	process->said.region_id = header->region_id;
	process->said.start_realtime_ns = header->start_realtime_ns;
	return process;
}

bool watch_is_cut(struct region_watch *region)
{
	struct region_view *view = &region->view;
	struct stat status;

	if (fstat(view->fd, &status) == 0 && status.st_dev == view->dev &&
	    status.st_ino == view->ino)
		return (uint64_t)status.st_size < view->at.size;
	/* The host has closed it, as daemons do; the number may be a file's of its own by now. */
	view->fd = -1;
	return true;
}

struct region_watch *watch_new(const char *name, const struct region_view *view,
			       struct pipeline *pipeline)
{
	struct region_watch *region = calloc(1, sizeof(*region));

	if (!region)
		return NULL;
	region->view = *view;
	region->pipeline = pipeline;
	ticks_open(&region->ticks, &view->header);
	snprintf(region->name, sizeof(region->name), "%s", name);
	region->joined = view->at.processes > 1;
	region->fresh = true;
	region->alive = true;
	region->entries = calloc(view->at.processes, sizeof(*region->entries));
	if (region->entries && !region->joined) {
		region->entry_count = 1;
		region->entries[0].known = true;
		region->entries[0].row = only_process(region);
	}
	if (!region->entries || (!region->joined && !region->entries[0].row)) {
		region->view.base = NULL; /* stays the caller's */
		watch_free(region);
		return NULL;
	}
	return region;
}

void watch_let_go(struct region_watch *region)
{
	uint32_t n;

	hold_end(region);
	for (n = 0; n < region->lane_count; n++)
		free(region->lanes[n].cells);
	free(region->lanes);
	region->lanes = NULL;
	region->lane_count = 0;
	region->lane_room = 0;
	shared_reader_close(&region->shared);
	if (region->view.base)
		region_close(&region->view);
	region->view.base = NULL;
}

void watch_free(struct region_watch *region)
{
	struct process *process;
	uint32_t n;

	watch_let_go(region);
	while ((process = region->closing)) {
		region->closing = process->next_closing;
		process_free(process);
	}
	for (n = 0; region->entries && n < region->view.at.processes; n++)
		if (region->entries[n].row)
			process_free(region->entries[n].row);
	free(region->entries);
	free(region->late);
	stage_free(&region->stage);
	sums_free(&region->past);
	sums_free(&region->past_kept);
	free(region->pool_names);
	free(region->devices);
	free(region);
}
