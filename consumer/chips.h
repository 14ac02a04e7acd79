/* SPDX-License-Identifier: Apache-2.0 */
/* Totals that a runtime publishes by itself (tally/chip_file.h): files found, read, added up.
 *
 * Each look opens and reads every file anew, by pread() into private memory: nothing is mapped, so
 * nothing that happens to the file meanwhile is a fault, and a file that was replaced is the new
 * one. A file is never written. What a slot says counts as long as its process lives, as far as
 * tally_chip_slot_lives() can tell; where none of them does, and the file is open for writing, they
 * live in another PID namespace, and the totals are an upper bound. A process of which a region
 * tells is left out, device by device.
 */
#ifndef CONSUMER_CHIPS_H
#define CONSUMER_CHIPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/chip_file.h>
#include <tally/consumer.h>

#include "consumer/process.h"
#include "consumer/sums.h"

#define CHIP_WHY_MAX 256

/* A living process's slot, that another than Tally's gateway has filled in. */
struct chip_slot {
	uint32_t pid;
	char comm[24]; /* printable */
	int64_t bytes[TALLY_CHIP_POOLS];
};

/* What one file says. */
struct chip_said {
	uint64_t chip_id; /* of its name */
	uint32_t device, uid;
	bool idle;			/* nobody lives in it, and the gateway keeps it */
	int64_t rest[TALLY_CHIP_POOLS]; /* of the totals that no living one's slot accounts for */
	size_t slot_count;
	struct chip_slot slots[TALLY_CHIP_SLOTS];
};

struct chip {
	char name[TALLY_CHIP_FILE_NAME_MAX];
	uint64_t id;   /* of its name */
	uint64_t look; /* the last one that saw it in the directory */
	int error;     /* of the last look; 0: `said` is of it */
	int told;      /* the error that the host was told of */
	struct chip_said said;
};

/* What one process holds in one pool, of all files. Ordered by pid and key. */
struct chip_part {
	uint32_t pid;
	uint64_t key; /* TALLY_KEY() */
	int64_t bytes;
	const struct chip *chip; /* the first that says so */
	const struct chip_slot *slot;
};

/* What was found of processes in one look: many are in the file of each chip, and to ask /proc
 * takes some 20 us. By pid, the last one of each place. Who writes a file chooses its pids, and so
 * places that are taken: no more than so many are asked after in one look, some 80 ms, in files of
 * this user's, and as many in those of all others, so that they use up nothing of his. */
#define CHIP_LIVES 256
#define CHIP_LOOKUPS 4096

struct chip_life {
	uint32_t pid; /* 0: nobody */
	bool lives;
	uint64_t start_ns; /* since the machine was started; 0: not known */
};

struct chip_lives {
	struct chip_life found[CHIP_LIVES];
	uint32_t lookups[2]; /* in others' files, in this user's */
};

struct chips {
	bool on;	   /* they are asked for */
	struct chip **all; /* in order of their ids */
	size_t count, room;
	bool full; /* the host was told */
	struct chip_part *parts;
	size_t part_count, part_room;
	struct chip_lives lives;
};

struct attach; /* consumer/attach.h */

/* Whether a name is that of such a file; which chip's. */
bool chips_parse(const char *name, uint64_t *ret_chip_id);

/* So many files are read, and of those of other users who were not asked for no note is taken:
 * anybody may make files of such names. */
#define CHIPS_MAX 1024

/* The directory has a file of that name, at this look. 0 or -ENOMEM. */
int chips_note(struct attach *attach, const char *name, uint64_t id);
void chips_forget(struct chips *chips, uint64_t look);

/* Reads all of them. Those that are refused are told of once. */
void chips_look(struct attach *attach);

/* How many are refused. */
uint32_t chips_refused_count(const struct chips *chips);

void chips_free(struct chips *chips);

/* ---- chip_read.c ----------------------------------------------------------------------------- */

/* Opens and reads one file as `uid`'s or, if all_users, anybody's. 0; -ENOENT: it has gone, or is
 * another user's who was not asked for; or as in struct tally_refusal with *why filled in, and
 * -EAGAIN for one that is not ready yet. */
int chip_read(int dir_fd, const char *name, bool all_users, struct chip_lives *lives,
	      struct chip_said *ret_said, char why[CHIP_WHY_MAX]);

/* ---- chip_lives.c ---------------------------------------------------------------------------- */

/* tally_chip_slot_lives(), asked once for each process, as far as there are places, while `lives`,
 * zero at first, is kept. own: in a file of this user's. Beyond CHIP_LOOKUPS everybody lives. */
bool chip_lives(struct chip_lives *lives, bool own, uint32_t pid, uint64_t last_update_ns);

/* ---- chip_rows.c ----------------------------------------------------------------------------- */

/* Finds what living processes hold that no region tells of; of `pid` alone, if that is not 0. 0 or
 * -ENOMEM. */
int chips_join(struct chips *chips, struct process *const *processes, size_t process_count,
	       uint32_t pid);

/* Adds it to the sums over all processes, after those are finished. 0 or -ENOMEM. */
int chips_add(const struct chips *chips, struct sums *over_all, uint32_t pid);

/* Rows of processes, and of their pools. */
struct chip_counts {
	size_t processes, pools;
};

struct chip_counts chips_count(const struct chips *chips);

/* Fills in as many; `first_pool` is where `pools` begins in the snapshot's. */
void chips_fill(const struct chips *chips, struct tally_process_view *processes,
		struct tally_pool_view *pools, size_t first_pool);

/* Marks what is known of a device from files, and names the chips. region: a region tells of it. */
void chips_describe(const struct chips *chips, struct tally_device_view *view, bool region);

#endif
