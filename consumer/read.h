/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one region, and what its rows come to. */
#ifndef CONSUMER_READ_H
#define CONSUMER_READ_H

#include <stdbool.h>
#include <tally/consumer.h>

#include "consumer/watch.h"

/* Ended processes stay in view for whoever follows a run; else as long as their file does. */
bool read_keeps_ended(const struct tally_consumer_options *options);

/* Nobody lives in it and nobody can join it any more. */
bool read_is_over(const struct region_watch *region);

/* Reads all there is, under the guard. Rows that have ended are final. 0 or -ENOMEM: once more,
 * next time. */
int read_region(const struct tally_consumer_options *options, struct region_watch *region);

#endif
