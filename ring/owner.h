/* SPDX-License-Identifier: Apache-2.0 */
/* Process entries: whose a region, or a part of a joined one, is; and booking what a dead owner
 * has left before the next one takes its place. */
#ifndef RING_OWNER_H
#define RING_OWNER_H

#include <stdint.h>

#include "ring/region.h"

/* A random number that names one process image: from 16 to 2^63, as others have a meaning of
 * their own where generations are kept. 0 or a negative errno. */
int owner_generation(uint64_t *ret_generation);

/* Writes who owns region->entry from now on. The caller holds its lock; an earlier owner has been
 * booked. */
void owner_begin(struct region *region, const struct region_config *config, uint64_t generation);

/* Books what the dead owner of region->entry has left: its lanes are retired, its slots of the
 * shared ring freed, what it held is written down as abandoned. The caller holds the entry's lock.
 * Should it die on the way, the next one begins again, with the same result. Negative errno: what
 * its words say it has left cannot be touched. */
int owner_book(struct region *region);

#endif
