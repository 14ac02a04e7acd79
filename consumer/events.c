/* SPDX-License-Identifier: Apache-2.0 */
/* Records as the event callback gets them. */
#include <stdio.h>
#include <string.h>

#include "consumer/pipeline.h"
#include "ring/entries.h"

/* `to` has room for a name. */
static const char *name_pool(const struct region_watch *region, uint32_t pool, char *to)
{
	const char *fixed = describe_fixed_pool(pool);
	struct tally_pool_entry entry;

	if (fixed)
		return fixed;
	if (entries_read_pool(region->view.base, &region->view.at, pool, &entry))
		memcpy(to, entry.name, sizeof(entry.name));
	else
		snprintf(to, sizeof(entry.name), "pool-%u", pool);
	return to;
}

void events_hand_over(struct pipeline *pipeline, struct region_watch *region,
		      const struct staged *item)
{
	const struct holder *holder = item->holder;
	struct when when = ticks_when(&region->ticks, item->time);
	char pool_name[sizeof(((struct tally_pool_entry *)0)->name)];
	char tag[sizeof(((struct tally_tag_entry *)0)->name)];
	struct tally_event event = {
		.realtime_ns = when.realtime_ns,
		.monotonic_ns = when.monotonic_ns,
		.region_id = holder->region_id,
		.pid = holder->pid,
		.tid = (uint32_t)item->where,
		.comm = holder->comm,
		.kind = item->kind,
		.device = (uint32_t)(item->where >> 48),
		.pool = (uint32_t)(item->where >> 40 & 0xff),
		.flags = (uint32_t)(item->where >> 32 & 0xff),
		.buffer_id = item->buffer_id,
		.size = item->size,
		.event_no = item->event_no,
		.tag = tag,
		.shared = item->shared,
	};

	event.pool_name = name_pool(region, event.pool, pool_name);
	books_tag_name(region, item->tag, tag);
	pipeline->event(pipeline->event_arg, &event);
}
