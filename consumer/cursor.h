/* SPDX-License-Identifier: Apache-2.0 */
/* Reading records: one cursor per lane of a region, and the account of what was lost. */
#ifndef CONSUMER_CURSOR_H
#define CONSUMER_CURSOR_H

#include <stdbool.h>

#include "consumer/process.h"

/* Notices new lanes, loads each lane's counts, then, with `read_records`, drains them. `gone`: the
 * lock was seen gone before this call, so what is read now is final. 0 or -ENOMEM. */
int cursor_look(struct process *process, bool read_records, bool gone);

/* Drains only. True: something had been published since the last time. */
bool cursor_drain(struct process *process);

/* Writes events, records and losses into process->said. Of a process that is gone it is called
 * after the ledgers were read: then, with from_start, events = read + lost holds exactly. */
void cursor_account(struct process *process, bool read_records, bool from_start, bool gone);

#endif
