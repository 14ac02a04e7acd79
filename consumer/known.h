/* SPDX-License-Identifier: Apache-2.0 */
/* File names of the directory that were looked at before, and what became of them. */
#ifndef CONSUMER_KNOWN_H
#define CONSUMER_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region_watch;

enum known_state {
	KNOWN_FOLLOWED, /* region is what follows it */
	KNOWN_OTHER,	/* a region, but not asked for */
	KNOWN_REFUSED,
	KNOWN_LATER, /* refused for want of descriptors or memory: tried again */
	KNOWN_EMPTY, /* lent, and nobody has come yet: tried again */
};

struct known {
	uint64_t look; /* the last one that saw it */
	enum known_state state;
	bool joined;		     /* a name that processes join a region by */
	uint64_t ino;		     /* of the file, as the directory has it */
	struct region_watch *region; /* NULL: none, or it is no longer shown */
	char name[];
};

/* Ordered by name. */
struct known_list {
	struct known **all;
	size_t count, room;
};

struct known *known_find(const struct known_list *list, const char *name);

/* Adds a name that is not there. NULL: no memory. */
struct known *known_add(struct known_list *list, const char *name);

/* Forgets the names that `look` did not see; regions that had one learn that it is gone. */
void known_forget(struct known_list *list, uint64_t look);

void known_free(struct known_list *list);

/* An array of pointers with room for one more; NULL: no memory, the old one stays. */
void *known_room(void *all, size_t count, size_t *room);

#endif
