/* SPDX-License-Identifier: Apache-2.0 */
/* What -d, -p and -P choose, of a snapshot or of records: the same options for every verb. */
#ifndef CLI_FILTER_H
#define CLI_FILTER_H

#include <getopt.h>

#include "cli.h"

#define FILTER_MAX 64 /* of each kind */

/* Those of one kind add up: any of them. A process, device or pool must be chosen by each kind that
 * was given. The words of -d and -P are those of argv, and are not copied. */
struct filter {
	uint32_t pids[FILTER_MAX];
	const char *devices[FILTER_MAX]; /* a number, else a name or stable id as described */
	const char *pools[FILTER_MAX];	 /* a number, else a name */
	size_t pid_count, device_count, pool_count;
	bool all_users;			    /* what other users run, too: for root */
	char device_numbers[FILTER_MAX][8]; /* filter_resolve() */
};

/* For getopt_long(): letters, long options, and what help says of them. */
#define FILTER_LETTERS "ad:p:P:"
/* clang-format off */
#define FILTER_OPTIONS \
	{ "all-users", no_argument, NULL, 'a' }, \
	{ "device", required_argument, NULL, 'd' }, \
	{ "pid", required_argument, NULL, 'p' }, \
	{ "pool", required_argument, NULL, 'P' }
#define FILTER_USAGE "[-a] [-d DEV]... [-p PID]... [-P POOL]..."
#define FILTER_HELP \
	"  -a, --all-users    what other users run, too (for root)\n" \
	"  -d, --device DEV   that device: its number, or its name or stable id as described\n" \
	"  -p, --pid PID      that process\n" \
	"  -P, --pool POOL    that memory pool: its name or its number\n" \
	"                     Each may be given several times, and means any of them.\n"
/* clang-format on */

/* Takes one of these options. 0, or EXIT_USAGE after saying what is wrong. */
int filter_option(struct filter *filter, const char *verb, int option, const char *value);

/* getopt_long() for a verb that has these options among its own (letters begin with ":"), and no
 * arguments: the next option of its own, with optarg; or -1 at the end, and when something was
 * wrong and has been said, with *ret_status EXIT_USAGE then, else 0. */
int filter_getopt(struct filter *filter, int argc, char **argv, const char *letters,
		  const struct option *options, int *ret_status);

/* Whether anything was chosen; whether devices or pools were. */
bool filter_is_set(const struct filter *filter);
bool filter_has_places(const struct filter *filter);

/* That what was named is there, and is one: 0, or an exit code after saying what is not. */
int filter_check(const struct filter *filter, const struct tally_snapshot *snapshot);

/* Puts numbers in the place of names of devices, which were checked: for records, which come with
 * numbers alone, and before it is known what was described. They lie in the filter itself, which is
 * not to be copied from then on. */
void filter_resolve(struct filter *filter, const struct tally_snapshot *snapshot);
bool filter_is_name(const char *word);

bool filter_takes_pid(const struct filter *filter, uint32_t pid);
/* snapshot: NULL when only numbers are asked for. */
bool filter_takes_device(const struct filter *filter, const struct tally_snapshot *snapshot,
			 uint32_t device);
bool filter_takes_pool(const struct filter *filter, uint32_t pool, const char *pool_name);

/* A copy of a snapshot that holds what is chosen alone; what is not there chooses nothing. Over-all
 * sums are those of the chosen processes: added up again where that is not all of them, with peaks
 * as bounds then. The copy points into the snapshot, which must be kept until filter_free().
 * NULL: no memory. */
struct tally_snapshot *filter_snapshot(const struct filter *filter,
				       const struct tally_snapshot *snapshot);
void filter_free(struct tally_snapshot *copy);

#endif
