/* SPDX-License-Identifier: Apache-2.0 */
/* The regions that clients are counted in: one for those who come, others while theirs last.
 *
 * A process entry has 1,024 cells, one for each pair of device and pool, and keeps those of clients
 * that had it before: the sums of a region's past are in them, and readers take a cell's key for as
 * constant as its place. To give a cell to another pair its past would have to go elsewhere, where
 * there is no more room either, or be forgotten under the eyes of who adds it up. So a region is
 * never cleaned: it is left. Once its clients have used half of the pairs beyond those that all
 * have, who comes is counted in a new one, and the old one is removed when its last client has
 * gone, with what its clients have abandoned, as when the gateway ends.
 *
 * So the bound is on pairs of clients that are there, not on those that ever were. A pair is that
 * of the user whose client used it first, as long as the region lasts; others use it, too.
 */
#ifndef GATEWAY_VOLUMES_H
#define GATEWAY_VOLUMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <tally/proxy.h>

#include "aggregate.h"

#define VOLUMES_MAX 4 /* at a time */
/* All pools of devices below the first number, and so many pairs more, of which a user
 * has a share (shares.c); 1,024 together. */
#define VOLUME_DEVICES 64
#define VOLUME_PAIRS 576

/* Pairs of one user's clients, beyond VOLUME_DEVICES. */
struct volume_user {
	uid_t uid;
	uint32_t pairs;
};

struct volume {
	struct tally_proxy *proxy; /* NULL: none */
	uint32_t clients;	   /* in it now */
	uint32_t pairs;		   /* beyond VOLUME_DEVICES, of all users */
	uint32_t user_count;	   /* of those who have any */
	struct volume_user users[VOLUME_PAIRS];
	unsigned char pools[AGGREGATE_DEVICES]; /* in use, by bit */
};

struct volumes {
	struct volume *all[VOLUMES_MAX]; /* NULL: none */
	struct volume *current;		 /* for who comes */
};

/* What tally_proxy_open() says, or -ENOMEM. */
int volumes_open(struct volumes *volumes);
void volumes_close(struct volumes *volumes);

/* Where the next client is to be: constant until one ends. */
struct volume *volumes_here(struct volumes *volumes);

/* What tally_proxy_begin() says. */
int volume_begin(struct volume *volume, uint32_t pid, const char *comm,
		 struct tally_proxy_client **ret_client);
void volumes_end(struct volumes *volumes, struct volume *volume, struct tally_proxy_client *client);

/* Whether it would be a pair more of those that are bounded; how many of them are a user's. */
bool volume_is_more(const struct volume *volume, uint32_t device, uint32_t pool);
uint32_t volume_pairs_of(const struct volume *volume, uid_t uid);

/* A client of that user's may count there. -ENOSPC: there are VOLUME_PAIRS. */
int volume_admit(struct volume *volume, uid_t uid, uint32_t device, uint32_t pool);

#endif
