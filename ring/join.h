/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a region by its name: several processes share one. */
#ifndef RING_JOIN_H
#define RING_JOIN_H

#include "ring/region.h"

/* Longest name that TALLY_REGION may give, without its slash. */
#define JOIN_NAME_MAX 32

/* The file name of the region that `given`, "/name" or "name", means for this user. False: not 1 to
 * 32 letters, digits, dots, dashes and underscores. */
bool join_name(char name[REGION_NAME_MAX], const char *given);

/* Whether `name` is such a file name, and whose. */
bool join_name_parse(const char *name, uint32_t *ret_uid);

/* Joins the region config->name, or makes it. Takes an entry of its own, after booking what a dead
 * owner left in it. 0; -EUSERS: every entry has a living owner; -EBUSY: it came and went too often;
 * -EPROTO, -EBADMSG, -EACCES as region_open(); or another negative errno. */
int join_region(const struct region_config *config, struct region *ret_region);

/* Lets go of a joined region at a clean exit, after its ended_ns was set: its name goes with the
 * last one that lives in it. */
void join_leave(const struct region *region);

#endif
