/* SPDX-License-Identifier: Apache-2.0 */
/* Reading records: one cursor per lane of a region, one in its shared ring, and whose each is. */
#ifndef CONSUMER_CURSOR_H
#define CONSUMER_CURSOR_H

#include <stdbool.h>

#include "consumer/watch.h"

/* After census_take(): notices new lanes and owners of lanes, loads each lane's counts, then, with
 * `read_records`, drains them; those of processes that are gone to their end. 0, -ENOMEM, or
 * -EAGAIN: a lane has an owner that the census has not met, so nothing can be told. */
int cursor_look(struct region_watch *region, bool read_records);

/* Drains only. True: so much had been published since the last time that the next one should come
 * soon. */
bool cursor_drain(struct region_watch *region);

/* The position where the part of a lane begins that is its row's. */
uint64_t cursor_part_start(const struct lane_watch *lane);

/* ---- account.c ------------------------------------------------------------------------------- */

/* Writes events, records and losses of the row into process->said. Of a process that is gone it is
 * called after the ledgers were read: then, with from_start, events = read + lost holds exactly.
 * False: its entry has another owner by now, what was said before stays. */
bool account_read(struct process *process, bool read_records, bool from_start);

/* The same for a row that was overtaken, from what is known of it; its end is not. */
void account_close(struct process *process, bool read_records, bool from_start);

/* What a lane's row did there. */
struct account account_lane(const struct lane_watch *lane, bool read_records);

#endif
