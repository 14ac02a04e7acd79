/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes in step: a page between them, ping-pongs around each sample. */
#include "bench/harness/pair.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "bench/harness/figure.h"
#include "ring/pause.h"

#define PINGS 2000
#define AGREE 1.5 /* ping-pongs before and after differ by less than this factor */

/* What a job word says besides a job's number. */
#define JOB_PING UINT64_C(1000)
#define JOB_END UINT64_C(1001)

static struct {
	uint64_t turn __attribute__((aligned(128)));  /* counts commands: the partner follows */
	uint64_t job;				      /* of this turn */
	uint64_t done __attribute__((aligned(128)));  /* turns the partner has finished */
	double took_ns;				      /* its last job */
	uint64_t ball __attribute__((aligned(128)));  /* of the ping-pong */
	uint64_t start __attribute__((aligned(128))); /* both have arrived here: 2 */
} * between;

static const pair_job *all_jobs;
static pid_t partner;
static uint64_t turns;

/* relaxed would do for a benchmark's own hand-overs; these are plain to read */
static void wait_for(const uint64_t *word, uint64_t value)
{
	while (tally_load_acquire(word) != value)
		cpu_pause();
}

/* ---- Both sides ------------------------------------------------------------------------------ */

static double ping(unsigned int me)
{
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < PINGS; i++) {
		wait_for(&between->ball, 2 * i + me);
		tally_store_release(&between->ball, 2 * i + me + 1);
	}
	return (now_ns() - start) / PINGS;
}

static double run(uint64_t job, unsigned int me)
{
	double start;

	tally_add_release(&between->start, 1);
	wait_for(&between->start, 2);
	start = now_ns();
	all_jobs[job](me);
	return now_ns() - start;
}

static _Noreturn void follow(void (*prepare)(void))
{
	pin(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prepare();
	tally_store_release(&between->done, 1);
	for (turns = 1;; turns++) {
		uint64_t job;

		wait_for(&between->turn, turns);
		job = between->job;
		if (job == JOB_END)
			exit(0);
		between->took_ns = job == JOB_PING ? ping(1) : run(job, 1);
		tally_store_release(&between->done, turns + 1);
	}
}

/* ---- This side ------------------------------------------------------------------------------- */

/* Both do it; the longer time of the two, or this side's. */
static double both(uint64_t job, bool one_sided)
{
	double took;

	between->ball = 0;
	between->start = 0;
	between->job = job;
	tally_store_release(&between->turn, ++turns);
	took = job == JOB_PING ? ping(0) : run(job, 0);
	wait_for(&between->done, turns + 1);
	return one_sided || took > between->took_ns ? took : between->took_ns;
}

int pair_open(void (*prepare)(void), const pair_job *jobs)
{
	between = mmap(NULL, sizeof(*between), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (between == MAP_FAILED)
		return -errno;
	all_jobs = jobs;
	fflush(stdout);
	partner = fork();
	if (partner < 0)
		return -errno;
	if (partner == 0)
		follow(prepare);
	wait_for(&between->done, 1);
	return 0;
}

void pair_time(struct pair_figure *figure, size_t job, double calls)
{
	double before = both(JOB_PING, false);
	double took = both(job, figure->one_sided);
	double after = both(JOB_PING, false);
	double high = before > after ? before : after;
	double low = before > after ? after : before;
	size_t place = high < 150 ? 0 : high < 300 ? 1 : 2;

	if (high > low * AGREE || figure->counts[place] == PAIR_SAMPLES)
		figure->dropped++;
	else
		figure->samples[place][figure->counts[place]++] = (figure->one_sided ? 1 : 2) *
								  calls * 1e3 / took;
}

void pair_close(void)
{
	between->job = JOB_END;
	tally_store_release(&between->turn, ++turns);
	waitpid(partner, NULL, 0);
}

/* ---- Figures --------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double pair_quantile(struct pair_figure *figure, size_t place, double part)
{
	size_t count = figure->counts[place];

	if (count == 0)
		return 0;
	qsort(figure->samples[place], count, sizeof(double), ascending);
	return figure->samples[place][(size_t)(part * (double)(count - 1) + 0.5)];
}

void pair_print(struct pair_figure *figure)
{
	static const char *const places[PAIR_PLACES] = { "below 150 ns", "150 to 300 ns",
							 "over 300 ns" };
	size_t place;

	for (place = 0; place < PAIR_PLACES; place++)
		if (figure->counts[place])
			printf("%-38s %7.2f M/s         %7.2f to %.2f in %zu rounds, round trip "
			       "%s\n",
			       figure->name, pair_quantile(figure, place, 0.5),
			       pair_quantile(figure, place, 0.25),
			       pair_quantile(figure, place, 0.75), figure->counts[place],
			       places[place]);
	if (figure->dropped)
		printf("%-38s         %zu rounds dropped: the processors moved meanwhile\n", "",
		       figure->dropped);
}

double pair_median(struct pair_figure *figure)
{
	size_t place;

	for (place = 0; place < PAIR_PLACES; place++)
		if (figure->counts[place] >= ROUNDS_MIN)
			return pair_quantile(figure, place, 0.5);
	return 0;
}

double pair_ratio(struct pair_figure *a, struct pair_figure *b)
{
	size_t place;

	for (place = 0; place < PAIR_PLACES; place++)
		if (a->counts[place] >= ROUNDS_MIN && b->counts[place] >= ROUNDS_MIN)
			return pair_quantile(a, place, 0.5) / pair_quantile(b, place, 0.5);
	return 0;
}
