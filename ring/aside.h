/* SPDX-License-Identifier: Apache-2.0 */
/* Events that go past the lanes: a record in the shared ring, sums in shared cells. */
#ifndef RING_ASIDE_H
#define RING_ASIDE_H

#include "ring/cells.h"
#include "ring/shared.h"

/* Counts one event: its record first, the sums second. `sums`: it moves those of its device and
 * pool, and is rejected where they have no cell; false: it is a note. `ring` may have no slots;
 * *ticket as in shared_push(). Lock-free, any thread or signal handler. */
void aside_count(const struct cells *to, const struct shared_ring *ring,
		 const struct shared_event *event, bool sums, uint64_t *ticket);

#endif
