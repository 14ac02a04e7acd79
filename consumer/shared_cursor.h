/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a region's shared ring, and telling whose record each is. */
#ifndef CONSUMER_SHARED_CURSOR_H
#define CONSUMER_SHARED_CURSOR_H

#include "consumer/watch.h"

/* After census_take(). Drains it; to the end if one that is gone is read for the last time. */
void shared_cursor_look(struct region_watch *region);

/* Between two looks. */
void shared_cursor_drain(struct region_watch *region);

#endif
