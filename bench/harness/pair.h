/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes on two processors that do the same at the same time, and how near the two are.
 *
 * What a shared line costs depends on where the two processors are, and on a virtual machine that
 * changes within minutes. So each sample stands between two ping-pongs and is filed under the
 * round trip they show; it is dropped when they disagree.
 */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include <stdbool.h>
#include <stddef.h>

/* Calls of a job that both processes make; `me` is 0 or 1. */
typedef void (*pair_job)(unsigned int me);

/* One figure: throughput, of both together or of this side, filed by placement. */
#define PAIR_SAMPLES 201
#define PAIR_PLACES 3 /* round trips below 150 ns, below 300 ns, above */

struct pair_figure {
	const char *name;
	bool one_sided; /* what this side did and the time it took, not both */
	double samples[PAIR_PLACES][PAIR_SAMPLES]; /* M calls/s */
	size_t counts[PAIR_PLACES];
	size_t dropped;
};

/* Forks the partner, bound to the second processor; it begins with `prepare` (1), then waits for
 * jobs. The caller binds itself to the first and prepares itself. 0 or a negative errno. */
int pair_open(void (*prepare)(void), const pair_job *jobs);

/* Runs jobs[job] on both, each of whose `calls` count, and files what it took. In a one-sided
 * figure the partner ends when it sees that this side has. */
void pair_time(struct pair_figure *figure, size_t job, double calls);

/* Ends the partner. */
void pair_close(void);

/* A line per placement that was seen. */
void pair_print(struct pair_figure *figure);

/* The median where the two were nearest; 0: no sample. */
double pair_median(struct pair_figure *figure);

/* The ratio a / b of medians where the two were nearest in both figures; 0: nowhere. */
double pair_ratio(struct pair_figure *a, struct pair_figure *b);

#endif
