/* SPDX-License-Identifier: Apache-2.0 */
/* Being the consumer that a lossless region waits for. */
#ifndef CONSUMER_HOLD_H
#define CONSUMER_HOLD_H

#include <stdint.h>

#include "consumer/watch.h"

/* Takes the region's cursors if it has some that no other consumer holds; once more at each look,
 * as that one may have gone. dir_fd: of the directory that the region is in. */
void hold_try(struct region_watch *region, int dir_fd);

/* Lane `n`, whose ring can be touched, waits for this consumer if the region does. */
void hold_lane(struct region_watch *region, uint32_t n);

/* Before the region is let go: nobody waits any more. */
void hold_end(struct region_watch *region);

#endif
