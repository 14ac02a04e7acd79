/* SPDX-License-Identifier: Apache-2.0 */
/* A filtered copy of a snapshot while it is made: its arrays, and the sums over what is chosen. */
#ifndef CLI_FILTER_COPY_H
#define CLI_FILTER_COPY_H

#include "filter.h"

/* The copy, its arrays, and what belongs to making it. */
struct copy {
	struct tally_snapshot snapshot; /* first: filter_free() gets its address */
	struct tally_device_view *devices;
	struct tally_pool_view *pools;
	struct tally_process_view *processes;
	struct tally_pool_view *process_pools;
	struct tally_tag_view *tags, *process_tags;
	uint64_t (*sizes)[TALLY_SIZES]; /* of pools that were added up again */
	struct contribution *contributions;
};

/* To one pool over all processes: how many have a part in it, and how many of them are chosen. */
struct contribution {
	size_t all, chosen;
};

/* ---- filter_sums.c --------------------------------------------------------------------------- */

/* In pools ordered by device and pool; `count` when it is not there. */
size_t copy_find_pool(const struct tally_pool_view *pools, size_t count, uint32_t device,
		      uint32_t pool);

/* Makes a pool of copy->pools the sum of what the copy's processes have of it. */
void copy_add_up(struct copy *copy, struct tally_pool_view *to);

/* Makes the tags over all processes of those of the copy's processes. */
void copy_add_tags(struct copy *copy);

#endif
