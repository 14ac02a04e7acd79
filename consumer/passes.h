/* SPDX-License-Identifier: Apache-2.0 */
/* Passes over the cells of a region; three make its totals. */
#ifndef CONSUMER_PASSES_H
#define CONSUMER_PASSES_H

#include <stdbool.h>

#include "consumer/watch.h"

enum pass { PASS_FREED_FIRST, PASS_ALLOCATED, PASS_FREED_LAST };

/* Adds what the pass is about to the sums of the region's rows, and of its past. The first pass
 * notes (device, pool) pairs that have no sum yet. 0 or -ENOMEM. */
int pass_over(struct region_watch *region, enum pass pass);

/* Whether nothing has happened since the last three. */
bool pass_is_needless(const struct region_watch *region);

#endif
