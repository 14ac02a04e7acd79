/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ledgers: exact sums per process and (device, pool), and bounds of what is held. */
#ifndef CONSUMER_TOTALS_H
#define CONSUMER_TOTALS_H

#include <stdbool.h>

#include "consumer/history.h"
#include "consumer/watch.h"

/* After cursor_look(), which has found whose each lane is. Reads every cell of the region into its
 * rows' sums, and what nobody's is, or was an earlier owner's, into its past. 0 or -ENOMEM. */
int totals_read(struct region_watch *region);

/* Adds one process after the other into `over_all`, between sums_restart() and totals_finish();
 * notes in its own sums what an ended one has abandoned. 0 or -ENOMEM. */
int totals_add(struct sums *over_all, struct process *process, const struct history *history);

/* The same for what a joined region's past owners have left. */
int totals_add_past(struct sums *over_all, struct region_watch *region,
		    const struct history *history);

/* Peaks over all processes, and out with pools that no process has any more. */
void totals_finish(struct sums *over_all);

#endif
