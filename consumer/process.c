/* SPDX-License-Identifier: Apache-2.0 */
/* A process image's row: made, freed. */
#include "consumer/process.h"

#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline.h"
#include "consumer/watch.h"

struct process *process_new(struct region_watch *region, uint32_t entry)
{
	struct process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->region = region;
	process->entry = entry;
	memcpy(process->said.region, region->name, sizeof(process->said.region));
	process->said.uid = region->view.uid;
	process->said.region_flags = region->view.header.flags;
	return process;
}

void process_free(struct process *process)
{
	pipeline_forget(process);
	sums_free(&process->sums);
	sums_free(&process->kept);
	free(process);
}
