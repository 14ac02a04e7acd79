/* SPDX-License-Identifier: Apache-2.0 */
/* A followed region's private side: made, let go when its process has ended, freed. */
#include "consumer/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>

#include "ring/entries.h"

struct process *process_new(const char *name, const struct region_view *view)
{
	const struct tally_region_header *header = &view->header;
	struct process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->view = *view;
	snprintf(process->name, sizeof(process->name), "%s", name);
	memcpy(process->said.region, process->name, sizeof(process->said.region));
	entries_printable(process->said.comm, sizeof(process->said.comm), header->creator_comm,
			  sizeof(header->creator_comm));
	process->said.pid = header->creator_pid;
	process->said.region_id = header->region_id;
	process->said.start_realtime_ns = header->start_realtime_ns;
	process->said.region_flags = header->flags;
	return process;
}

void process_identify(struct process *process)
{
	const struct tally_process_header *entry = region_process(process->view.base,
								  &process->view.at, 0);

	/* relaxed, all: written before the file had a name */
	process->said.parent_id = tally_load_relaxed(&entry->parent);
	process->inherited_bytes = (int64_t)tally_load_relaxed(&entry->inherited_bytes);
	process->inherited_allocations = (int64_t)tally_load_relaxed(&entry->inherited_allocs);
}

void process_let_go(struct process *process)
{
	uint32_t n;

	for (n = 0; n < process->lane_count; n++)
		free(process->lanes[n].good);
	free(process->lanes);
	process->lanes = NULL;
	process->lane_count = 0;
	process->lane_room = 0;
	shared_reader_close(&process->shared);
	if (process->view.base)
		region_close(&process->view);
	process->view.base = NULL;
}

void process_free(struct process *process)
{
	process_let_go(process);
	sums_free(&process->sums);
	free(process->pool_names);
	free(process->devices);
	free(process);
}
