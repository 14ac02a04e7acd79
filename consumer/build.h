/* SPDX-License-Identifier: Apache-2.0 */
/* Building a snapshot: how large it is, and filling it in. */
#ifndef CONSUMER_BUILD_H
#define CONSUMER_BUILD_H

#include "consumer/snapshot.h"

/* Where the arrays are within a snapshot's memory. */
struct layout {
	size_t size;
	size_t pool_at, process_at, process_pool_at, device_at;
	size_t sizes_at, tag_at, process_tag_at;
	size_t process_pools, devices, processes;
	size_t chip_pools_at; /* in the pools of processes: those of chips' files */
};

void build_measure(const struct picture *picture, struct layout *ret_layout);

/* `memory` has the layout's size and is aligned for anything. */
void build_fill(const struct picture *picture, const struct layout *layout, unsigned char *memory,
		struct tally_snapshot *ret_snapshot);

#endif
