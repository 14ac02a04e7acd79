/* SPDX-License-Identifier: Apache-2.0 */
/* What a snapshot has from records: tags, sizes, frees and allocations that do not match. */
#ifndef CONSUMER_DETAIL_H
#define CONSUMER_DETAIL_H

#include "consumer/snapshot.h"

/* How many of each there are, at most. */
struct detail_counts {
	size_t sizes; /* arrays */
	size_t tags, process_tags;
};

struct detail_counts detail_count(const struct picture *picture);

/* Where they go, and what is there by now. */
struct detail_room {
	uint64_t *sizes;
	struct tally_tag_view *tags, *process_tags;
	struct tally_pool_view *pools, *process_pools;
	struct tally_process_view *processes;
};

/* Adds it to views that are filled in otherwise. */
void detail_fill(const struct picture *picture, const struct detail_room *room,
		 struct tally_snapshot *snapshot);

#endif
