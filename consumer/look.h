/* SPDX-License-Identifier: Apache-2.0 */
/* One look at everything: find regions, drain records, read ledgers, add up, publish. */
#ifndef CONSUMER_LOOK_H
#define CONSUMER_LOOK_H

#include <stdbool.h>
#include <tally/consumer.h>

#include "consumer/attach.h"
#include "consumer/history.h"
#include "consumer/lend.h"
#include "consumer/pipeline.h"
#include "consumer/snapshot.h"
#include "consumer/sums.h"

/* What one look leaves for the next. Used by one thread at a time; `publisher` has readers. */
struct look {
	struct attach attach;
	struct pipeline pipeline;
	struct sums over_all;
	struct history history;
	struct process **index; /* rows by their id, while they are added up; or NULL */
	struct publisher publisher;
	struct region lent; /* base NULL: none */
	bool last;	    /* nobody looks again: nothing that is there waits */
	bool due;	    /* the next look should not wait for the interval to pass */
};

/* 0, or what attach_open() and publisher_open() say. */
int look_open(struct look *look, const struct tally_consumer_options *options);

/* No reader holds a snapshot. */
void look_close(struct look *look);

/* 0 with a new snapshot published; -ENOMEM with the one before still there; another negative errno
 * when the directory could not be read, with a new snapshot of what was known. */
int look_once(struct look *look);

/* Drains records only. True: so many had come since the last time that the next drain should come
 * soon. */
bool look_drain(struct look *look);

/* 0, or why the region or process that was asked for is not among those found. */
int look_found(const struct look *look);

#endif
