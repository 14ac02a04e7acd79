/* SPDX-License-Identifier: Apache-2.0 */
/* --publish: a thread that publishes what Tally sees, time after time (publish.h). */
#ifndef GATEWAY_PUBLISHING_H
#define GATEWAY_PUBLISHING_H

#include <stdbool.h>
#include <stdint.h>

#include "publish.h"

#define PUBLISHING_MS 250 /* from one update to the next */

struct publishing;

/* Where the regions are, TALLY_DIR or /dev/shm, the files are, too. `say` is called on the thread.
 * What publish_open() or tally_consumer_open() say. */
int publishing_begin(uint32_t version, bool all_users, publish_say say, void *say_arg,
		     struct publishing **ret_publishing);

/* The last update, of nothing. NULL does nothing. */
void publishing_end(struct publishing *publishing);

#endif
