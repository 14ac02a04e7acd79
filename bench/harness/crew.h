/* SPDX-License-Identifier: Apache-2.0 */
/* Threads or processes that do the same job at the same time, each bound to a processor, and how
 * near the first two are to each other meanwhile.
 *
 * Member n runs on the n-th processor, modulo their number; member 0 is the thread that opens the
 * crew and calls all functions.
 */
#ifndef BENCH_HARNESS_CREW_H
#define BENCH_HARNESS_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/harness/figure.h"
#include "bench/harness/place.h"

#define CREW_MAX 17

struct crew;

/* What each member does; 0 is the caller. Pointers that processes are given must have been there
 * before they were forked, and what they write is seen only in shared memory. */
typedef void (*crew_work)(void *arg, unsigned int me);

/* Starts the others, as threads or as processes, each of which begins with `prepare` (may be NULL)
 * and then waits; the caller binds itself and prepares itself. NULL and errno. Ends the program
 * if a process of the crew dies. */
struct crew *crew_open(unsigned int members, bool processes, void (*prepare)(unsigned int me));
void crew_close(struct crew *crew);

struct crew_run {
	double took_ns;	  /* from the first's start to the last's end */
	double probe_ns;  /* the caller's, around it; or PROBE_INTERRUPTED, any member was */
	enum place place; /* PLACES: the processors moved meanwhile, the run is worth nothing */
};

/* All members do it, between two ping-pongs of the first two. */
struct crew_run crew_run(struct crew *crew, crew_work work, void *arg);

/* How long member n took in the last run. */
double crew_took_ns(const struct crew *crew, unsigned int member);

/* Files `value` of that run as the sample of a round, or as dropped. */
void crew_file(struct figure *figure, uint32_t round, const struct crew_run *run, double value);

#endif
