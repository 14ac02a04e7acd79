/* SPDX-License-Identifier: Apache-2.0 */
/* Where records go: from a region's rings, by way of its stage, to the event callback and the table
 * of live buffers. */
#ifndef CONSUMER_PIPELINE_H
#define CONSUMER_PIPELINE_H

#include <stdbool.h>
#include <tally/consumer.h>

#include "consumer/buffers.h"
#include "consumer/watch.h"

struct pipeline {
	struct buffers buffers; /* without a table when none is asked for */
	void (*event)(void *event_arg, const struct tally_event *event);
	void *event_arg;
	uint32_t pid; /* of a joined region only this process's; 0: of all */
};

/* 0, or what buffers_open() says. */
int pipeline_open(struct pipeline *pipeline, const struct tally_consumer_options *options);
void pipeline_close(struct pipeline *pipeline);

/* Whether records go anywhere. */
bool pipeline_is_on(const struct pipeline *pipeline);

/* Whether that process's do. */
bool pipeline_wants(const struct process *row);

/* The steps of one reading of a region, under its guard; nothing is done when its pipeline is NULL.
 * Before any ring is read; for each record of a ring, of a process that is wanted; then. */
void pipeline_begin(struct region_watch *region);
void pipeline_take(struct region_watch *region, struct process *row,
		   const struct tally_record *record, bool shared);
void pipeline_apply(struct region_watch *region);

/* Between the first and the last of these: not every ring could be read. */
void pipeline_unread(struct region_watch *region);

/* Once a look, too: what readers are to know of a region's processes. */
void pipeline_tell(struct region_watch *region);

/* Records of it were lost; it is said, and known in the table. */
void pipeline_lost(struct process *row);

/* The row is going to be freed. */
void pipeline_forget(struct process *row);

/* At the end of a look, before the snapshot is built. */
void pipeline_finish(struct pipeline *pipeline, struct process *const *rows, size_t count);

/* ---- events.c -------------------------------------------------------------------------------- */

void events_hand_over(struct pipeline *pipeline, struct region_watch *region,
		      const struct staged *item);

#endif
