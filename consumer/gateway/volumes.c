/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of clients, begun and left; volumes.h says when and why. */
#include "volumes.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(AGGREGATE_POOLS <= 8, "a byte of bits");
_Static_assert(VOLUME_DEVICES *AGGREGATE_POOLS + VOLUME_PAIRS <= 1024, "cells of an entry");

static int add(struct volumes *volumes)
{
	struct volume **free_one = volumes->all, *volume;
	int error;

	while (*free_one)
		if (++free_one == volumes->all + VOLUMES_MAX)
			return -ENOSPC;
	volume = calloc(1, sizeof(*volume));
	if (!volume)
		return -ENOMEM;
	error = tally_proxy_open(NULL, &volume->proxy);
	if (error) {
		free(volume);
		return error;
	}
	*free_one = volumes->current = volume;
	return 0;
}

static void drop(struct volumes *volumes, struct volume *volume)
{
	size_t n;

	for (n = 0; n < VOLUMES_MAX; n++)
		if (volumes->all[n] == volume)
			volumes->all[n] = NULL;
	tally_proxy_close(volume->proxy);
	free(volume);
}

int volumes_open(struct volumes *volumes)
{
	return add(volumes);
}

void volumes_close(struct volumes *volumes)
{
	size_t n;

	for (n = 0; n < VOLUMES_MAX; n++)
		if (volumes->all[n])
			drop(volumes, volumes->all[n]);
}

/* Where there can be no other the one there is goes on. */
struct volume *volumes_here(struct volumes *volumes)
{
	struct volume *old = volumes->current;

	if (old->pairs >= VOLUME_PAIRS / 2 && add(volumes) == 0 && old->clients == 0)
		drop(volumes, old);
	return volumes->current;
}

int volume_begin(struct volume *volume, uint32_t pid, const char *comm,
		 struct tally_proxy_client **ret_client)
{
	int error = tally_proxy_begin(volume->proxy, pid, comm, ret_client);

	volume->clients += !error;
	return error;
}

void volumes_end(struct volumes *volumes, struct volume *volume, struct tally_proxy_client *client)
{
	tally_proxy_end(client);
	if (--volume->clients == 0 && volume != volumes->current)
		drop(volumes, volume);
}

bool volume_is_more(const struct volume *volume, uint32_t device, uint32_t pool)
{
	return !(volume->pools[device] >> pool & 1) && device >= VOLUME_DEVICES;
}

/* Where that user is, or would be. */
static uint32_t find_user(const struct volume *volume, uid_t uid)
{
	uint32_t n = 0;

	while (n < volume->user_count && volume->users[n].uid != uid)
		n++;
	return n;
}

uint32_t volume_pairs_of(const struct volume *volume, uid_t uid)
{
	uint32_t at = find_user(volume, uid);

	return at < volume->user_count ? volume->users[at].pairs : 0;
}

int volume_admit(struct volume *volume, uid_t uid, uint32_t device, uint32_t pool)
{
	if (volume_is_more(volume, device, pool)) {
		uint32_t at = find_user(volume, uid);

		if (volume->pairs == VOLUME_PAIRS)
			return -ENOSPC;
		volume->pairs++;
		if (at == volume->user_count)
			volume->users[volume->user_count++] = (struct volume_user){ .uid = uid };
		volume->users[at].pairs++;
	}
	volume->pools[device] |= (unsigned char)(1u << pool);
	return 0;
}
