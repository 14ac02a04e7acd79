/* SPDX-License-Identifier: Apache-2.0 */
/* A region that is cut while it is read: the fault costs the region, if the host wants it so.
 *
 * Reading a mapping beyond its file's new end is a SIGBUS. The handler, installed only by
 * tally_consumer_guard(), puts zero pages where the file has ended; whoever was reading is told
 * afterwards and drops the region.
 */
#ifndef CONSUMER_GUARD_H
#define CONSUMER_GUARD_H

#include <stdbool.h>

#include "ring/region.h"

/* What the calling thread reads from here on, until guard_end(). Does not nest. */
void guard_begin(const struct region_view *view);

/* True: it was cut, and what was read is worth nothing. */
bool guard_end(void);

#endif
