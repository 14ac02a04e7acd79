/* SPDX-License-Identifier: Apache-2.0 */
/* The shared ring under load for as long as one likes, and its figures; linked statically, so that
 * it can be carried to another machine.
 *
 *	campaign_shared [PUSHES [DIRECTORY]]
 *
 * PUSHES (10^8 by default) for each row. Exit status 1: something is wrong.
 */
#include <stdlib.h>

#include "tests/stress.h"

static bool is_well(const struct stress_result *is, uint64_t pushes)
{
	return !is->wrong && !is->quarantine && !is->torn && !is->out_of_order && !is->died &&
	       is->events == pushes && is->unrecorded == is->refused &&
	       is->overwritten <= pushes - is->refused && is->most_tries <= SHARED_TRIES;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint32_t processes, threads, ring_log2;
		bool read;
	} rows[] = {
		{ "1 thread, unread", 0, 1, 10, false },
		{ "1 thread", 0, 1, 10, true },
		{ "2 threads, unread", 0, 2, 10, false },
		{ "2 threads", 0, 2, 10, true },
		{ "2 processes, unread", 2, 1, 10, false },
		{ "2 processes", 2, 1, 10, true },
		{ "4 processes x 4 threads", 4, 4, 10, true },
		{ "64 threads", 0, 64, 10, true },
		{ "64 processes", 64, 1, 10, true },
		{ "64 processes, 64 slots", 64, 1, 6, true },
	};
	uint64_t pushes = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000000;
	int status = 0;
	size_t i;

	printf("%llu pushes a row; ring of 1024\n", (unsigned long long)pushes);
	printf("%-25s %8s %12s %12s %10s %12s %7s\n", "producers", "M/s", "read", "overwritten",
	       "unrecorded", "more tries", "at most");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stress stress = {
			.dir = argc > 2 ? argv[2] : "/dev/shm",
			.processes = rows[i].processes,
			.threads = rows[i].threads,
			.ring_log2 = rows[i].ring_log2,
			.read = rows[i].read,
			.pushes = pushes,
		};
		struct stress_result is = stress_run(&stress);

		printf("%-25s %8.1f %12llu %12llu %10llu %12llu %7u\n", rows[i].name,
		       (double)pushes / is.seconds / 1e6, (unsigned long long)is.read,
		       (unsigned long long)is.overwritten, (unsigned long long)is.unrecorded,
		       (unsigned long long)(is.tries - pushes), is.most_tries);
		if (!is_well(&is, pushes)) {
			printf("  WRONG: %s; torn %llu, out of order %llu, events %llu, refused "
			       "%llu, positions %llu, tries %llu\n",
			       is.wrong	       ? is.wrong
			       : is.quarantine ? is.quarantine
					       : "the account",
			       (unsigned long long)is.torn, (unsigned long long)is.out_of_order,
			       (unsigned long long)is.events, (unsigned long long)is.refused,
			       (unsigned long long)is.positions, (unsigned long long)is.tries);
			status = 1;
		}
		fflush(stdout);
	}
	return status;
}
