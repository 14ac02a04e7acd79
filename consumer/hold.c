/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a lossless region's cursors, and giving them back. */
#include "consumer/hold.h"

#include "consumer/guard.h"
#include "ring/lossless.h"
#include "ring/owner.h"

void hold_lane(struct region_watch *region, uint32_t n)
{
	struct lane_reader *reader = &region->lanes[n].reader;

	if (!region->holds || !reader->slots)
		return;
	reader->cursor = region_cursor(region->view.base, &region->view.at, n);
	reader->holder = region->holds;
	if (reader->started)
		lossless_begin(reader->cursor, reader->holder, reader->pos);
}

void hold_try(struct region_watch *region, int dir_fd)
{
	uint64_t holder;
	uint32_t n;

	if (region->holds || !region->view.at.cursor_size || owner_generation(&holder) != 0 ||
	    lossless_hold(&region->view, dir_fd, region->name) != 0)
		return;
	region->holds = holder;
	for (n = 0; n < region->lane_count; n++)
		hold_lane(region, n);
}

void hold_end(struct region_watch *region)
{
	uint32_t n;

	if (!region->holds || !region->view.base || region->cut || watch_is_cut(region))
		return;
	guard_begin(&region->view);
	for (n = 0; n < region->lane_count; n++)
		if (region->lanes[n].reader.cursor)
			lossless_end(region->lanes[n].reader.cursor);
	guard_end();
	region->holds = 0;
}
