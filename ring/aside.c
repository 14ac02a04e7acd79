/* SPDX-License-Identifier: Apache-2.0 */
/* One event past the lanes. */
#include "ring/aside.h"

void aside_count(const struct cells *to, const struct shared_ring *ring,
		 const struct shared_event *event, bool sums, uint64_t *ticket)
{
	struct ledger_sums change = ledger_change(event->kind, event->size, event->buffer_id);
	struct tally_shared_cell *cell = NULL;

	if (sums) {
		cell = cells_find(to, TALLY_KEY(event->where >> 48, event->where >> 40 & 0xff));
		if (!cell) {
			cells_reject(to);
			return;
		}
	}
	if (!(shared_ready(ring) || shared_reserve(ring)) || !shared_push(ring, event, ticket))
		cells_unrecorded(to->process, 1);
	if (cell)
		cells_change(cell, &change);
}
