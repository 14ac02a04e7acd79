/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share: a region that lies, its sound neighbours, what must hold for both.
 *
 * An input is FUZZ_CONFIG bytes of configuration, then operations of 8 bytes each, whatever is left
 * over ignored. So every input says something, and a mutated byte changes one thing:
 *
 *	byte 0     what: an area of the region (list_areas() in hostile.c) or an enum fuzz_verb;
 *	           bit 7: for the hostile thread, else for the thread that looks
 *	byte 1     word within the item, modulo the item's words
 *	byte 2, 3  item, modulo the area's items
 *	byte 4     enum fuzz_how: how the word's new value is made, modulo FUZZ_HOWS
 *	byte 5..7  a, b and c for that
 *
 * They apply to a copy of a region that real producers made (producers.c). The environment's
 * FUZZ_EXPLAIN=1 has each operation said in words.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <tally/consumer.h>

#include "ring/region.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CONFIG 4
#define FUZZ_WHAT 31 /* of byte 0 */
#define FUZZ_OF_THREAD 0x80

/* Counted from 31 down, as areas are from 0 up: a new one of either leaves the corpus its sense. */
enum fuzz_verb {
	FUZZ_LOOK = 31,	    /* the consumer polls */
	FUZZ_CUT = 30,	    /* the file is cut to `item` pages */
	FUZZ_GROW = 29,	    /* it has its size again, and a * b pages more */
	FUZZ_DIE = 28,	    /* the lock of process entry `word` is given back */
	FUZZ_GEOMETRY = 27, /* log2 size `word` becomes a, all else as it was. Before a look only */
	FUZZ_DRAIN = 26,    /* the consumer drains, between two polls */
	FUZZ_JOIN = 25,	    /* a process joins it, and pushes; a: it stays until the next one */
	FUZZ_VERB_MIN = 25,
};

enum fuzz_how {
	FUZZ_SMALL,  /* a, b, c as a signed number */
	FUZZ_BORDER, /* number `a` of those at which arithmetic turns */
	FUZZ_ADD,    /* what is there, and b, c */
	FUZZ_FLIP,   /* what is there, with bit `a` turned */
	FUZZ_SIZE,   /* size `a` of the geometry, and b as a signed number */
	FUZZ_KEY,    /* of a cell: device a << 8 | b, pool c */
	FUZZ_COPY,   /* the same word of item b << 8 | c */
	FUZZ_SERIES, /* 2^a items: b says of what */
	FUZZ_NOISE,  /* a, b, c seed it; another each round of the thread */
	FUZZ_BYTE,   /* byte `a` of the word becomes b */
	FUZZ_COMMIT, /* a commit word: state a, version b (0: as it is), laps further c */
	FUZZ_HOWS,
};

struct fuzz_op {
	bool of_thread;
	uint8_t what, word;
	uint16_t item;
	uint8_t how, a, b, c;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A number that is as random as its seed (splitmix64). */
static inline uint64_t fuzz_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Ends the input as a finding. */
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fuzz_fail(__FILE__, __LINE__, #condition);                                 \
	} while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* ---- producers.c ----------------------------------------------------------------------------- */

extern char fuzz_dir[64]; /* of all regions here; goes with this process, however it ends */

/* Regions as real producers left them. */
enum fuzz_kind { FUZZ_OWN, FUZZ_JOINED, FUZZ_TEMPLATES };

struct fuzz_template {
	unsigned char *bytes;
	struct geometry at;
};
extern struct fuzz_template fuzz_templates[FUZZ_TEMPLATES];

/* Makes all that: the directory, a sound process that lives as long as this one, the templates.
 * Once, before any thread is made. */
void fuzz_begin(void);

/* The sound process is in the snapshot, and every number of it is right. `settled`: two looks have
 * passed since it was found, so its records were read as well. */
void fuzz_check_sound(const struct tally_snapshot *now, bool settled);

/* ---- hostile.c ------------------------------------------------------------------------------- */

/* Items of `size` bytes: inner_count of them, inner_stride apart, in each of `count` parts. */
struct fuzz_area {
	const char *name;
	size_t at, stride, count;
	size_t inner_at, inner_stride, inner_count;
	size_t size;
};

#define FUZZ_AREAS_MAX 16

static inline size_t item_at(const struct fuzz_area *area, size_t part, size_t inner)
{
	return area->at + part * area->stride + area->inner_at + inner * area->inner_stride;
}

struct hostile {
	char path[128];
	char name[REGION_NAME_MAX]; /* of the file, in fuzz_dir */
	enum fuzz_kind kind;
	bool may_be_joined; /* by what its header says, or may come to say */
	int fd, lock_fd;    /* lock_fd holds the locks of the processes that live */
	unsigned char *map; /* of all that `at` tells of; past the file's end it is not touched */
	struct geometry at;
	struct fuzz_area areas[FUZZ_AREAS_MAX]; /* what an operation may aim at */
	size_t area_count;
	struct region joined; /* as the process that joined it last; base NULL: it has gone */
	bool may_be_cut;      /* so the file is written by pwrite() */
};

/* A template under the name of a region, of one process or `named` as one to be joined. Bit n of
 * `living`: process entry n lives. */
void hostile_make(struct hostile *hostile, enum fuzz_kind kind, bool named, unsigned int living);

/* Log2 size number `which` of the header becomes `log2`, if that is possible; all else is the
 * template's again, as far as there is room. Nobody else uses the region. */
void hostile_set_geometry(struct hostile *hostile, unsigned int which, unsigned int log2);

/* Process entry `entry` is dead. */
void hostile_unlock(const struct hostile *hostile, unsigned int entry);

/* Takes the locks back: its processes are dead. */
void hostile_die(struct hostile *hostile);

/* Removes the file and all that was held. */
void hostile_free(struct hostile *hostile);

/* How many areas there are. */
size_t hostile_areas(void);

/* ---- join.c ---------------------------------------------------------------------------------- */

/* What a process does that was lent the region, and then what one does that joins it, and lives on
 * if it `stays`. The file is never cut. */
void hostile_join(struct hostile *hostile, bool stays);

/* The one that stayed dies. */
void hostile_part(struct hostile *hostile);

/* ---- ops.c ----------------------------------------------------------------------------------- */

/* Operation number n of an input. False: there are no more. */
bool fuzz_op(const uint8_t *data, size_t size, size_t n, struct fuzz_op *ret_op);

/* Changes it: an area's word, or what all verbs but those of the consumer do. Any thread; `round`
 * tells one time from another. */
void hostile_apply(struct hostile *hostile, const struct fuzz_op *op, uint64_t round);

/* ---- check.c --------------------------------------------------------------------------------- */

/* What holds for every snapshot, whatever it was made from; `joined`: also from a region that is to
 * be joined, some of whose processes are counted but not shown, and some the other way round. */
void fuzz_check_snapshot(const struct tally_snapshot *now, bool joined);

/* For a consumer's options: a refusal is one printable line. */
void fuzz_refused(void *arg, const struct tally_refusal *refusal);

/* No more descriptors are open than at any call before. */
void fuzz_check_descriptors(void);

#endif
