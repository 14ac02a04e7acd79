/* SPDX-License-Identifier: Apache-2.0 */
/* Process entries: an owner's identity, and the booking of a dead one's things. */
#include "ring/owner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "ring/cells.h"
#include "ring/clock.h"
#include "ring/lane.h"
#include "ring/shared.h"

int owner_generation(uint64_t *ret_generation)
{
	uint64_t generation = 0;

	while (generation < 16)
		if (getrandom(&generation, sizeof(generation), 0) != (ssize_t)sizeof(generation))
			return -errno;
		else
			generation >>= 1;
	*ret_generation = generation;
	return 0;
}

/* The name is read word by word by others while the next owner writes it. */
static void write_comm(struct tally_process_header *process, const char *name)
{
	uint64_t words[sizeof(process->comm) / sizeof(uint64_t)] = { 0 };
	size_t n;

	if (name)
		memcpy(words, name, strnlen(name, sizeof(words) - 1));
	for (n = 0; n < sizeof(words) / sizeof(words[0]); n++)
		/* relaxed: N3 publishes it */
		tally_store_relaxed((uint64_t *)process->comm + n, words[n]);
}

void owner_begin(struct region *region, const struct region_config *config, uint64_t generation)
{
	struct tally_process_header *process = region_process(region->base, &region->at,
							      region->entry);

	/* relaxed, all: N3 publishes them */
	tally_store_relaxed(&process->ended_ns, 0);
	tally_store_relaxed(&process->pid, config->pid ? config->pid : (uint64_t)getpid());
	tally_store_relaxed(&process->start_realtime_ns, clock_realtime_ns());
	tally_store_relaxed(&process->parent, config->parent);
	/* relaxed: as above */
	tally_store_relaxed(&process->inherited_bytes, (uint64_t)config->inherited_bytes);
	tally_store_relaxed(&process->inherited_allocs, (uint64_t)config->inherited_allocs);
	write_comm(process, config->comm ? config->comm : program_invocation_short_name);
	/* U1''''' -> U2: the page was reserved by who took the entry */
	tally_or_release(&process->cell_pages, 1);
	region->generation = generation;
	/* N3 -> N4: the identity, and every base, before the generation they belong to */
	tally_store_release(&process->generation, generation);
}

int owner_book(struct region *region)
{
	struct tally_process_header *process = region_process(region->base, &region->at,
							      region->entry);
	struct cells cells = cells_of(region, region->entry);
	int error;

	/* relaxed: after it N1 */
	tally_store_relaxed(&process->generation, 0);
	tally_fence_release(); /* N1 -> N2: no generation before any word of a base */
	error = lanes_book(region, region->entry);
	if (error)
		return error;
	shared_abort(region, region->entry);
	cells_book(&cells);
	/* relaxed, all: as the bases */
	tally_store_relaxed(&process->base_events, tally_load_relaxed(&process->shared_events));
	tally_store_relaxed(&process->base_unrecorded,
			    tally_load_relaxed(&process->shared_unrecorded));
	tally_store_relaxed(&process->base_rejected, tally_load_relaxed(&process->rejected_events));
	return 0;
}
