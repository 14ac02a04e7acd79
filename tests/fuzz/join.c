/* SPDX-License-Identifier: Apache-2.0 */
/* A producer in a region that lies: it joins, by all that joining is, and pushes by all ways. */
#include <string.h>
#include <sys/mman.h>

#include "ring/cells.h"
#include "ring/join.h"
#include "ring/lane.h"
#include "ring/shared.h"
#include "tests/fuzz/fuzz.h"

#define PUSHES 4

static struct lane_writer writers[1 << GEOMETRY_LANES_LOG2_MAX];

static void push_cells(struct region *region)
{
	struct cells cells = cells_of(region, region->entry);

	cells_push(&cells, TALLY_KIND_ALLOC, 1, 2, 3, 0);
	cells_push(&cells, TALLY_KIND_POOL_RESET, 65535, 255, 3, UINT64_MAX);
}

static void push_shared(struct region *region)
{
	struct shared_ring ring = shared_of(region, region->entry);
	struct shared_event event = { .kind = TALLY_KIND_ALLOC, .size = 5 };
	uint64_t ticket = 0;
	int n;

	for (n = 0; n < PUSHES && (shared_ready(&ring) || shared_reserve(&ring)); n++)
		shared_push(&ring, &event, &ticket);
}

static void push_lane(struct region *region)
{
	struct lane_event event = { .kind = TALLY_KIND_FREE, .size = 3 };
	struct lane_writer *writer = lane_claim(region, writers, region->entry, 1, 0);
	const struct lane_target *target;
	int n;

	if (!writer)
		return;
	target = lane_target(writer, 1, 2);
	for (n = 0; n < PUSHES && target; n++)
		lane_push(writer, target, &event);
	lane_leave(writer);
	memset(writer, 0, sizeof(*writer)); /* the process that comes next has none */
}

void hostile_join(struct hostile *hostile, bool stays)
{
	struct region_config config = { .dir = fuzz_dir, .name = hostile->name };
	struct region region;

	hostile_part(hostile);
	if (region_open_shared(fuzz_dir, hostile->name, 0, NULL, &region) == 0) {
		push_cells(&region);
		munmap(region.base, region.at.size);
	}
	if (join_region(&config, &hostile->joined) != 0) {
		hostile->joined.base = NULL;
		return;
	}
	push_cells(&hostile->joined);
	push_shared(&hostile->joined);
	push_lane(&hostile->joined);
	if (!stays)
		hostile_part(hostile);
}

void hostile_part(struct hostile *hostile)
{
	if (hostile->joined.base)
		munmap(hostile->joined.base, hostile->joined.at.size);
	hostile->joined.base = NULL;
}
