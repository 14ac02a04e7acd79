/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ledgers: exact sums of one process per (device, pool), and bounds of what it holds. */
#ifndef CONSUMER_TOTALS_H
#define CONSUMER_TOTALS_H

#include <stdbool.h>

#include "consumer/process.h"

/* Reads every cell of the process into process->sums. `gone`: its lock was seen gone before, and
 * cursor_look() has found each lane's last record. 0 or -ENOMEM. */
int totals_read(struct process *process, bool gone);

/* Adds one process after the other into `over_all`, between sums_restart() and totals_finish();
 * notes in its own sums what an ended one has abandoned. 0 or -ENOMEM. */
int totals_add(struct sums *over_all, struct process *process);

/* Peaks over all processes, and out with pools that no process has any more. */
void totals_finish(struct sums *over_all);

#endif
