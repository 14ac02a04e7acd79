/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in a region: its entries, their owners, and whether those live.
 *
 * In a region of one process that is settled for good. In a joined one entries change hands at any
 * time, so what is read counts only if every owner was the same before and after.
 */
#ifndef CONSUMER_CENSUS_H
#define CONSUMER_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/watch.h"

/* Finds new entries and owners, asks for each owner's lock. A row whose entry has another owner
 * goes to region->closing, with its sums as they were before this look. 0 or -ENOMEM. */
int census_take(struct region_watch *region);

/* Whether the row's process still owns its entry. What was loaded before is then of the time when
 * it did. */
bool census_owns(const struct region_watch *region, const struct process *process);

/* Whose a lane is, by its owner word. False: of an owner that the census has not met. *ret_row is
 * NULL when it is nobody's, or of one who is being booked. */
bool census_lane(const struct region_watch *region, uint64_t owner, struct process **ret_row);

/* Whether nothing has changed hands since the census: what was read meanwhile is whole. */
bool census_holds(const struct region_watch *region);

#endif
