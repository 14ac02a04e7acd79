/* SPDX-License-Identifier: Apache-2.0 */
/* What is held on each device: by the gateway's clients, and by all others that Tally sees.
 *
 * The clients' part is kept here, event by event, so that who has just reported and then asks is
 * told the truth. The others' part is what a consumer sees, less what it sees of our own region. It
 * looks when somebody asks and the last look is older than 16 times what a look takes: at most
 * 1/16 of the time goes into looks, however often somebody asks.
 */
#ifndef GATEWAY_AGGREGATE_H
#define GATEWAY_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/tally.h>

#include "wire.h"

#define AGGREGATE_DEVICES 65536
#define AGGREGATE_POOLS 7 /* dram to kernel */

struct tally_consumer;

struct aggregate_sums {
	int64_t bytes[AGGREGATE_POOLS];
};

/* Others' sums, and what is known of the device. */
struct aggregate_row {
	uint32_t device;
	struct aggregate_sums sums;
	struct wire_info info; /* but num_devices */
};

struct aggregate {
	struct tally_consumer *consumer;
	struct aggregate_sums *own[AGGREGATE_DEVICES]; /* NULL: never any */
	uint32_t own_devices;			       /* the highest number and one */
	struct aggregate_row *rows;		       /* by device */
	size_t row_count;
	uint32_t row_devices;
	uint64_t looked_ns, look_ns; /* when, and what it took */
	char region[64];	     /* our own region's name begins so */
};

/* Once our region is there. 0 or a negative errno. */
int aggregate_open(struct aggregate *aggregate, bool all_users);
void aggregate_close(struct aggregate *aggregate);

/* A client may hold something there. 0 or -ENOMEM. */
int aggregate_admit(struct aggregate *aggregate, uint32_t device);

/* It holds so many bytes more, or less. */
void aggregate_add(struct aggregate *aggregate, uint32_t device, uint32_t pool, int64_t bytes);

/* What all clients hold there. */
int64_t aggregate_own(const struct aggregate *aggregate, uint32_t device, uint32_t pool);

/* The answer to a QUERY or DEVICE_INFO_QUERY. */
void aggregate_answer(struct aggregate *aggregate, const struct wire_message *question,
		      struct wire_reply *ret_reply);

#endif
