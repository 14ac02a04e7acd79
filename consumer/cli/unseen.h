/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that have a device open, as the kernel driver says, and of which there is no record. */
#ifndef CLI_UNSEEN_H
#define CLI_UNSEEN_H

#include "cli.h"

struct unseen_holder {
	uint32_t pid;
	uint32_t device; /* the driver's number of it */
	char comm[24];	 /* printable; "" when it is not known */
};

struct unseen {
	bool known;		   /* else there is no driver here, or it does not tell */
	bool more;		   /* than were looked at */
	uint32_t unreadable;	   /* devices */
	int error;		   /* of the last of them, a negative errno */
	struct unseen_holder *all; /* by pid, then device; no two are the same */
	size_t count;
};

/* Looks for those of this user, or of everybody, that are in no row of the snapshot, which is of as
 * many users. What the driver's files say is not trusted: pids of nothing that lives here, and what
 * is no pid, are left out. Found or not, unseen_free() frees it. */
void unseen_find(struct unseen *unseen, const struct tally_snapshot *snapshot, bool all_users);
void unseen_free(struct unseen *unseen);

/* The entries from `n` on that are of the same process: its devices. */
size_t unseen_devices(const struct unseen *unseen, size_t n);

/* How many processes there are, by say(), if any. */
void unseen_note(const struct unseen *unseen);

/* A new array, or null where nothing is known. */
struct json_t *unseen_json(const struct unseen *unseen);

#endif
