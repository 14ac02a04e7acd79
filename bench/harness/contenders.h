/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and loads the contenders: NAME.so in build/bench/contenders, and those that are absent; and
 * likewise the reporters of bench/reporter.h. */
#ifndef BENCH_HARNESS_CONTENDERS_H
#define BENCH_HARNESS_CONTENDERS_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/contender.h"

#define CONTENDERS_MAX 64

struct candidate {
	char name[48];			   /* of its file */
	const struct contender *contender; /* NULL: absent, or no contender */
	const void *defines;		   /* what its file defines; NULL: absent */
	bool many;			   /* it has, or would have, CONTENDER_MANY */
	char absent[160];		   /* why */
};

/* All of the folder that the environment's BENCH_CONTENDERS names, or the build's own, in the order
 * of names; their number. Ends the program if there is no such folder. They are never unloaded. */
size_t contenders_load(struct candidate ret_candidates[CONTENDERS_MAX]);

/* All reporters, by BENCH_REPORTERS: each defines a `struct reporter`. */
size_t reporters_load(struct candidate ret_candidates[CONTENDERS_MAX]);

#endif
