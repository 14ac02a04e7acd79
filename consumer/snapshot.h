/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: built in one block, published by RCU, given back to the thread that built them. */
#ifndef CONSUMER_SNAPSHOT_H
#define CONSUMER_SNAPSHOT_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/consumer.h>
#include <urcu/lfstack.h>

#include "consumer/history.h"
#include "consumer/watch.h"

struct block;

/* Readers dereference `current` under the RCU read lock. A block that was replaced waits for a
 * grace period on liburcu's thread, which pushes it on `retired` and posts `given_back`; it is
 * freed or used again by the polling thread alone, whose allocations are not counted. */
struct publisher {
	struct block *current;
	struct __cds_lfs_stack retired;
	sem_t given_back;
	size_t waiting; /* blocks that were handed to RCU and not posted yet */
	struct block *spare;
	bool orphan; /* publishes once, and never again: nothing would come back */
};

/* 0, or -EAGAIN when no thread can be made for RCU. */
int publisher_open(struct publisher *publisher);

/* Waits for all blocks to come back. No reader holds one. */
void publisher_close(struct publisher *publisher);

struct pipeline; /* consumer/pipeline.h */
struct chips;	 /* consumer/chips.h */

/* What a snapshot is made of. */
struct picture {
	const struct pipeline *pipeline;  /* what is known from records; NULL: nothing */
	struct process *const *processes; /* in order */
	size_t process_count;
	const struct sums *over_all;
	const struct history *history;
	const struct tally_device_entry *devices; /* described ones, in order */
	size_t device_count;
	const struct chips *chips; /* totals that runtimes publish, in over_all too */
	uint32_t refused_files;
	bool partial; /* something could not be read whole, or is in no total */
};

/* Builds and publishes a snapshot. 0; or, with the one before still in place, -ENOMEM, or -EDEADLK:
 * in a fork child of a process that had a consumer there is only one. */
int publisher_publish(struct publisher *publisher, const struct picture *picture);

/* For readers: begins and ends an RCU read-side critical section. */
const struct tally_snapshot *publisher_get(const struct publisher *publisher);
void publisher_put(void);

#endif
