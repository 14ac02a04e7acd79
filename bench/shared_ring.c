/* SPDX-License-Identifier: Apache-2.0 */
/* What a push into the shared ring costs, alone and with another process, beside other ways to do
 * it; and what it costs through the library, beside a push into a lane.
 *
 * Every contender takes a timestamp and writes the same record. In each round all are measured, one
 * after the other, so that ratios hold whatever the machine is doing.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <tally/tally.h>
#include <unistd.h>

#include "bench/harness/crew.h"
#include "bench/harness/result.h"
#include "bench/other_claims.h"
#include "bench/push_pairs.h"
#include "ring/clock.h"
#include "ring/join.h"
#include "ring/lane.h"

#define CALLS 20000
#define PAIR_CALLS 200000
#define PAIR_ROUNDS 41
#define RING_LOG2 11 /* as a default one */

enum way { GROUPS, POSITION, SINGLES, WAYS };

static const struct question cost = { .id = "shared_push_cost",
				      .words = "What does a push without a lane cost?",
				      .unit = "ns",
				      .base = "push into a lane" };
static const struct question rate = { .id = "shared_push_pair",
				      .words = "How many records do two processes push into one "
					       "shared ring?",
				      .unit = "M pushes/s",
				      .more = true };

static struct figure in_lane = { .name = "push into a lane" };
static struct figure shared_full = { .name = "push without a lane" };
static struct figure alone[WAYS] = {
	{ .name = "ring alone: tickets in groups" },
	{ .name = "ring alone: CAS on the position" },
	{ .name = "ring alone: tickets one by one" },
};

enum job { JOB_GROUPS, JOB_POSITION, JOB_SINGLES, JOB_LIBRARY, JOBS };

static struct figure together[JOBS] = {
	{ .name = "two processes: tickets in groups" },
	{ .name = "two processes: CAS on the position" },
	{ .name = "two processes: tickets one by one" },
	{ .name = "two processes: push without a lane" },
};

/* ---- Bare rings, one for each way, in memory that both processes share ----------------------- */

struct bare {
	unsigned char page[TALLY_PAGE] __attribute__((aligned(TALLY_PAGE)));
	struct tally_record slots[1u << RING_LOG2];
	struct {
		struct tally_process_header process;
		uint64_t lost;
	} of[2] __attribute__((aligned(128)));
};

static struct bare *bares;
static enum tally_clock bench_clock;

static struct shared_ring ring_of(enum way way, unsigned int me)
{
	struct bare *bare = &bares[way];
	struct shared_ring ring = {
		.head = region_shared(bare->page),
		.slots = bare->slots,
		.slot_mask = (1u << RING_LOG2) - 1,
		.lap_scale = 1ull << (TALLY_LAP_SHIFT - RING_LOG2),
		.process = &bare->of[me].process,
		.entry = me,
	};

	return ring;
}

static void make_bares(void)
{
	int way;

	bares = mmap(NULL, WAYS * sizeof(*bares), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (bares == MAP_FAILED) {
		perror("bench/shared_ring");
		exit(1);
	}
	for (way = 0; way < WAYS; way++)
		tally_store_release(&region_state(bares[way].page)->shared_ready, 1);
	bench_clock = clock_choose();
}

static __always_inline void push_bare(enum way way, unsigned int me, uint64_t calls)
{
	struct shared_ring ring = ring_of(way, me);
	uint64_t ticket = 0, lost = 0, i;

	for (i = 0; i < calls; i++) {
		struct shared_event event = {
			.time = clock_ticks(bench_clock),
			.kind = TALLY_KIND_ALLOC,
			.buffer_id = i,
			.size = 64,
			.where = lane_where(0, TALLY_POOL_DRAM) | me,
		};

		switch (way) {
		case GROUPS:
			lost += !shared_push(&ring, &event, &ticket);
			break;
		case POSITION:
			lost += !push_by_position(&ring, &event);
			break;
		default:
			lost += !push_one_by_one(&ring, &event);
		}
	}
	bares[way].of[me].lost += lost;
}

static __always_inline double time_bare(enum way way)
{
	double start = now_ns();

	push_bare(way, 0, CALLS);
	return (now_ns() - start) / CALLS;
}

static double time_groups(void)
{
	return time_bare(GROUPS);
}

static double time_position(void)
{
	return time_bare(POSITION);
}

static double time_singles(void)
{
	return time_bare(SINGLES);
}

/* ---- Through the library: one region for both processes, with a single lane ------------------ */

static char region[JOIN_NAME_MAX];

static double time_library(void)
{
	return time_push_pairs(CALLS);
}

static void join_bench(void)
{
	struct tally_options options = { .region = region, .lanes = 1 };
	int error = tally_init(&options);
	struct tally_status status;

	tally_status(&status);
	if (error || status.join_error) {
		fprintf(stderr, "bench/shared_ring: no region could be joined in /dev/shm\n");
		exit(1);
	}
	push_pairs(2);
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static void job_groups(void *arg, unsigned int me)
{
	(void)arg;
	push_bare(GROUPS, me, PAIR_CALLS);
}

static void job_position(void *arg, unsigned int me)
{
	(void)arg;
	push_bare(POSITION, me, PAIR_CALLS);
}

static void job_singles(void *arg, unsigned int me)
{
	(void)arg;
	push_bare(SINGLES, me, PAIR_CALLS);
}

static void job_library(void *arg, unsigned int me)
{
	(void)arg;
	(void)me;
	push_pairs(PAIR_CALLS);
}

static const crew_work jobs[JOBS] = { job_groups, job_position, job_singles, job_library };

static sem_t to_laneless, to_main;

/* The process's main thread has the region's only lane; this one has none. */
static void *laneless(void *unused)
{
	size_t rounds = bench_rounds(ROUNDS), i;

	pin(0);
	for (i = 0; i < rounds; i++) {
		sem_wait(&to_laneless);
		if (i == 0)
			time_library();
		figure_time(&shared_full, time_library);
		sem_post(&to_main);
	}
	return unused;
}

static void *laneless_pairs(void *arg)
{
	size_t rounds = bench_rounds(PAIR_ROUNDS), i;
	int job;

	pin(0);
	for (i = 0; i < rounds; i++) {
		bench_progress("two processes", i, rounds);
		for (job = 0; job < JOBS; job++) {
			struct crew_run run = crew_run(arg, jobs[job], NULL);

			crew_file(&together[job], (uint32_t)i, &run,
				  2 * PAIR_CALLS * 1e3 / run.took_ns);
		}
	}
	return NULL;
}

static void rounds_alone(void)
{
	size_t rounds = bench_rounds(ROUNDS), i;
	pthread_t thread;

	pthread_create(&thread, NULL, laneless, NULL);
	for (i = 0; i < rounds; i++) {
		bench_progress("one process", i, rounds);
		figure_time(&in_lane, time_library);
		figure_time(&alone[GROUPS], time_groups);
		figure_time(&alone[POSITION], time_position);
		figure_time(&alone[SINGLES], time_singles);
		sem_post(&to_laneless);
		sem_wait(&to_main);
	}
	pthread_join(thread, NULL);
}

static void rounds_together(struct crew *crew)
{
	pthread_t thread;

	pthread_create(&thread, NULL, laneless_pairs, crew);
	pthread_join(thread, NULL);
}

static void report_losses(void)
{
	unsigned long long lost[WAYS];
	int way;

	for (way = 0; way < WAYS; way++)
		lost[way] = bares[way].of[0].lost + bares[way].of[1].lost;
	result_note(
		&rate,
		"lost by the producers, tries exhausted: groups %llu, CAS %llu, one by one %llu",
		lost[GROUPS], lost[POSITION], lost[SINGLES]);
}

static void report(bool two)
{
	int way, job;

	result_figure(&cost, &in_lane);
	result_figure(&cost, &shared_full);
	for (way = 0; way < WAYS; way++)
		result_figure(&cost, &alone[way]);
	result_goal(&cost, &(struct goal){ .words = "without a lane / lane",
					   .value = figure_ratio(&shared_full, &in_lane),
					   .limit = 1.7 });
	for (job = 0; job < JOBS; job++)
		if (two)
			result_figure(&rate, &together[job]);
		else
			result_absent(&rate, together[job].name, NULL, "needs a second processor");
	report_losses();
	if (two)
		result_goal(&rate, &(struct goal){ .words = together[JOB_LIBRARY].name,
						   .value = figure_median(&together[JOB_LIBRARY]),
						   .unit = rate.unit,
						   .limit = 25,
						   .at_least = true });
}

static void join_other(unsigned int me)
{
	if (me)
		join_bench();
}

int main(int argc, char **argv)
{
	struct crew *crew = NULL;

	bench_begin(argc, argv, "shared_ring");
	need_off("shared_ring", "it makes its own region");
	snprintf(region, sizeof(region), "/bench-%d", (int)getpid());
	make_bares();
	sem_init(&to_laneless, 0, 0);
	sem_init(&to_main, 0, 0);
	join_bench(); /* takes the only lane */
	if (processors() > 1)
		crew = crew_open(2, true, join_other);
	pin(0);
	rounds_alone();
	if (crew) {
		rounds_together(crew);
		crew_close(crew);
	}
	report(crew != NULL);
	tally_shutdown();
	return bench_end();
}
