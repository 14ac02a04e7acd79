/* SPDX-License-Identifier: Apache-2.0 */
/* Within publishing: what one device is to say, and the file that says it. */
#ifndef GATEWAY_CHIP_H
#define GATEWAY_CHIP_H

#include <stdbool.h>
#include <sys/types.h>
#include <tally/chip_file.h>
#include <tally/consumer.h>

/* ---- digest.c: a snapshot, device by device -------------------------------------------------- */

struct digest_slot {
	uint32_t pid;
	uint64_t bytes[TALLY_CHIP_POOLS];
	char name[64];
};

struct digest {
	uint32_t device;
	uint64_t chip_id;
	bool named; /* a region of this user's says so: else its id is the device's number */
	bool remote;
	bool taken; /* a living process is in a runtime's own totals of it, in a file of ours */
	uint64_t bytes[TALLY_CHIP_POOLS];
	uint32_t processes; /* with or without a slot */
	size_t slot_count;  /* at most TALLY_CHIP_SLOTS: the largest */
	struct digest_slot *slots;
};

struct digests {
	struct digest *all; /* by device */
	size_t count;
	struct digest_slot *slots; /* of all of them */
};

/* 0 or -ENOMEM. */
int digest_make(const struct tally_snapshot *snapshot, struct digests *ret_digests);
void digest_free(struct digests *digests);

/* ---- chip_hold.c: whose file it is ----------------------------------------------------------- */

#define CHIP_LINE_MAX 256

/* A file while it is ours to write. */
struct chip_hold {
	int fd; /* -1: not held */
	dev_t dev;
	ino_t ino;
	bool made;   /* by us: it was not there before */
	bool hidden; /* it has a name of its own until it has the chip's: no unnamed files there */
	struct tally_chip_file *file;
	uint64_t last[TALLY_CHIP_POOLS]; /* the totals as we wrote them */
	uint64_t references;		 /* likewise, the word */
	uint32_t slots_used;		 /* likewise */
};

/* Takes a file that nobody uses. 0, -ENOENT: there is none; -EBUSY, ...: it is not ours to take,
 * and why is a line for people. */
int chip_take(int dir_fd, const char *name, struct chip_hold *hold, char why[CHIP_LINE_MAX]);

enum chip_owner {
	CHIP_OURS,   /* alone; what somebody who has gone had left in it was cleared */
	CHIP_SHARED, /* somebody else uses it, and why says so */
	CHIP_GONE,   /* the name leads elsewhere or nowhere, or the file was cut */
};

enum chip_owner chip_ask(int dir_fd, const char *name, struct chip_hold *hold,
			 char why[CHIP_LINE_MAX]);

/* Ends holding it; the file stays as it is. */
void chip_let_go(struct chip_hold *hold);

/* Whether another descriptor than this one has the lock. */
bool chip_is_locked(int fd);

/* Locks and maps an open file of the right size; on success the descriptor is the hold's. */
int chip_hold_open(int fd, struct chip_hold *hold);

/* ---- chip_make.c ----------------------------------------------------------------------------- */

/* Makes one that is not there yet for who looks for `name`, then gives it that name once it is
 * filled in. 0; -EEXIST: there is one by now; or another negative errno, with why. The hold stays
 * as it is. In the end, whatever came of it, what it was hidden by is taken away. */
int chip_make(int dir_fd, const char *name, struct chip_hold *hold, char why[CHIP_LINE_MAX]);
int chip_name(int dir_fd, const char *name, struct chip_hold *hold, char why[CHIP_LINE_MAX]);
void chip_unhide(int dir_fd, const char *name, struct chip_hold *hold);

/* Removes a file that is ours, if we made it and nobody else has it open; it stays held. */
bool chip_remove(int dir_fd, const char *name, const struct chip_hold *hold);

/* ---- chip_write.c ---------------------------------------------------------------------------- */

/* Says what the file is about; before the first totals. */
void chip_describe(struct chip_hold *hold, uint32_t version, const struct digest *digest);
void chip_ready(struct chip_hold *hold, uint32_t version);

/* Makes the file say what the digest does. False: somebody else counts in it. */
bool chip_write(struct chip_hold *hold, const struct digest *digest, uint64_t now_ns);

/* Takes out of it what is ours and leaves what is not; does nothing to a file that was cut. */
void chip_withdraw(struct chip_hold *hold);

/* Whether a slot is one that we, or a gateway before us, have filled in. */
bool chip_slot_is_ours(const struct tally_chip_slot *slot, uint32_t *ret_pid);

/* Empties a slot that is nobody else's. */
void chip_slot_clear(struct tally_chip_slot *slot);

#endif
