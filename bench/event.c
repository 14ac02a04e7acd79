/* SPDX-License-Identifier: Apache-2.0 */
/* What reporting one allocation costs the thread that makes it: by Tally, by what it replaces, and
 * by every other way to tell another process.
 *
 * In each round all reporters (bench/reporter.h) have a turn, one after the other, in an order that
 * changes: a burst of events as fast as they go, one whose events are timed singly, and with some a
 * few with cold caches. Where there is a far side it is a process on another processor, which is
 * there from the start and takes all before the turn ends. All that was reported has to arrive.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "bench/harness/contenders.h"
#include "bench/harness/crew.h"
#include "bench/harness/result.h"
#include "bench/reporter.h"

#define EVENT_ROUNDS 101
#define BURST_NS 2e5 /* of a burst */
#define PAIRS_MIN 250
#define PAIRS_MAX 5000
#define WARM_PAIRS 250
#define SINGLE_PAIRS 500 /* timed singly */
#define COLD_PAIRS 10
#define TRIES 6 /* of a burst that is disturbed, or during which the processors move */
#define OTHER_WORK ((size_t)4 << 20)

#define FLOOR "floor"

static const struct question cost = { .id = "event_cost",
				      .words = "What does reporting one allocation cost the "
					       "thread that makes it?",
				      .unit = "ns",
				      .base = FLOOR };
static const struct question singly = { .id = "event_latency",
					.words = "How long do single reports take, one after the "
						 "other?",
					.unit = "ns" };
static const struct question cold = { .id = "event_latency_cold",
				      .words = "How long does a report take when the caches are "
					       "cold?",
				      .unit = "ns" };

struct run {
	const struct candidate *candidate;
	const struct reporter *reporter;
	void *self; /* NULL: it is out */
	const char *note;
	struct far *far;
	uint64_t next; /* buffer */
	uint64_t pairs;
	struct taken reported;
	struct figure figure;
	struct spread warm, cold;
	/* of the burst at hand */
	struct burst burst;
	double took_ns;
};

static struct candidate candidates[CONTENDERS_MAX];
static struct run runs[CONTENDERS_MAX];
static size_t run_count;
static int doze[2]; /* what the second process waits for when it is no far side */
static unsigned char *other_work;

/* ---- One burst ------------------------------------------------------------------------------- */

static void book(struct run *run, uint64_t pairs)
{
	uint64_t n;

	for (n = run->next; n < run->next + pairs; n++) {
		taken_add(&run->reported, false, event_id(n), event_size(n));
		taken_add(&run->reported, true, event_id(n), event_size(n));
	}
	taken_add(&run->reported, false, event_id(n), event_size(n));
	run->next = n + 1;
}

static void near_side(struct run *run)
{
	struct burst warm = { .first = run->burst.first - WARM_PAIRS - 1, .pairs = WARM_PAIRS };
	double start;

	while (run->reporter->serve && !tally_load_acquire(&run->far->ready))
		sched_yield();
	run->reporter->report(run->self, &warm);
	start = now_ns();
	run->reporter->report(run->self, &run->burst);
	run->took_ns = now_ns() - start;
	tally_store_release(&run->far->over, 1);
	if (!run->reporter->serve && write(doze[1], "", 1) != 1)
		exit(1);
}

static void burst_work(void *arg, unsigned int me)
{
	struct run *run = arg;
	char byte;

	if (me == 0)
		near_side(run);
	else if (run->reporter->serve)
		run->reporter->serve(run->self, run->far);
	else if (read(doze[0], &byte, 1) != 1)
		exit(1);
}

/* A burst behind one that warms up. The far side has taken all of it, or given up, at the end. */
static struct crew_run burst(struct crew *crew, struct run *run, uint64_t pairs)
{
	book(run, WARM_PAIRS);
	run->burst.first = run->next;
	run->burst.pairs = pairs;
	book(run, pairs);
	run->far->ready = run->far->over = 0;
	run->far->until = run->reported.events;
	return crew_run(crew, burst_work, run);
}

/* The far side has given up waiting, and would again. */
static bool lost(const struct run *run)
{
	return run->reporter->serve && run->reporter->can & REPORTER_EVENTS &&
	       run->far->taken.events != run->reported.events;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static struct crew_run burst_of_many(struct crew *crew, struct run *run)
{
	struct crew_run result = { .place = PLACES };
	int tries;

	run->burst.ticks = NULL;
	for (tries = 0; tries < (bench_quick() ? 1 : TRIES) && !lost(run); tries++) {
		result = burst(crew, run, run->pairs);
		if (!(run->reporter->can & REPORTER_NEAR))
			result.place = PLACE_NONE;
		if (probe_quiet(result.probe_ns) && result.place != PLACES)
			break;
	}
	return result;
}

static void burst_of_singles(struct crew *crew, struct run *run, struct spread *spread,
			     uint64_t pairs)
{
	static uint32_t ticks[2 * SINGLE_PAIRS + 1];
	uint64_t i;

	run->burst.ticks = ticks;
	spread_begin(spread);
	burst(crew, run, pairs);
	for (i = 0; i < 2 * pairs + 1; i++)
		spread_add(spread, ticks[i]);
	spread_end(spread);
}

/* Other work takes what is nearest; the reporter gives up the rest. */
static void get_cold(void *arg)
{
	const struct run *run = arg;
	uint64_t sum = 0;
	size_t at;

	run->reporter->forget(run->self);
	for (at = 0; at < OTHER_WORK; at += 64)
		sum += other_work[at];
	__asm__ volatile("" : : "r"(sum) : "memory");
}

static bool begin(struct run *run)
{
	if (!run->reporter->begin || run->reporter->begin(run->self))
		return true;
	fprintf(stderr, "bench/event: %s cannot begin: no region in /dev/shm?\n",
		run->candidate->name);
	exit(1);
}

static void end(struct run *run)
{
	if (run->reporter->end)
		run->reporter->end(run->self, &run->far->taken);
}

static void turn(struct crew *crew, struct run *run, size_t round)
{
	struct crew_run result;

	begin(run);
	result = burst_of_many(crew, run);
	crew_file(&run->figure, (uint32_t)round, &result,
		  run->took_ns / (double)(2 * run->pairs + 1));
	if (!lost(run))
		burst_of_singles(crew, run, &run->warm, SINGLE_PAIRS);
	if (run->reporter->forget && !lost(run)) {
		run->burst.before = get_cold;
		run->burst.reporter = run;
		burst_of_singles(crew, run, &run->cold, COLD_PAIRS);
		run->burst.before = NULL;
	}
	end(run);
}

/* So many as take BURST_NS, by a first turn, which nobody files. */
static void choose_pairs(struct crew *crew, struct run *run)
{
	double want;

	run->pairs = PAIRS_MIN;
	begin(run);
	burst(crew, run, run->pairs);
	end(run);
	want = BURST_NS / run->took_ns * PAIRS_MIN;
	run->pairs = want < PAIRS_MIN ? PAIRS_MIN : want > PAIRS_MAX ? PAIRS_MAX : (uint64_t)want;
}

/* ---- What has arrived ------------------------------------------------------------------------ */

static bool arrived(const struct run *run)
{
	const struct taken *taken = &run->far->taken, *want = &run->reported;
	uint32_t can = run->reporter->can;

	if (can & REPORTER_OFF)
		return taken->events == 0 && taken->bytes == 0 && taken->ids == 0;
	return can & (REPORTER_EVENTS | REPORTER_BYTES | REPORTER_IDS) &&
	       (!(can & REPORTER_EVENTS) || taken->events == want->events) &&
	       (!(can & REPORTER_BYTES) || taken->bytes == want->bytes) &&
	       (!(can & REPORTER_IDS) || taken->ids == want->ids);
}

static void verify(struct run *run)
{
	const struct taken *taken = &run->far->taken, *want = &run->reported;

	if (arrived(run))
		return;
	bench_fail("%s: reported %llu events, %lld bytes held, ids %llu; arrived %llu, %lld, %llu",
		   run->candidate->name, (unsigned long long)want->events, (long long)want->bytes,
		   (unsigned long long)want->ids, (unsigned long long)taken->events,
		   (long long)taken->bytes, (unsigned long long)taken->ids);
	run->self = NULL;
	run->note = "failed its verification";
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void line_up(void)
{
	size_t count = reporters_load(candidates), i;
	struct far *far = contender_memory(sizeof(*far) * CONTENDERS_MAX);

	other_work = malloc(OTHER_WORK);
	if (!far || !other_work || pipe(doze) != 0) {
		perror("bench/event");
		exit(1);
	}
	memset(other_work, 1, OTHER_WORK);
	for (i = 0; i < count; i++) {
		struct run *run = &runs[run_count];

		if (!bench_wanted(candidates[i].name))
			continue;
		run->candidate = &candidates[i];
		run->reporter = candidates[i].defines;
		run->figure.name = run->warm.name = run->cold.name = candidates[i].name;
		run->far = &far[run_count++];
		run->note = candidates[i].absent;
		if (!run->reporter)
			continue;
		run->note = NULL;
		run->self = run->reporter->make(&run->note);
	}
}

static struct run *find(const char *name)
{
	size_t i;

	for (i = 0; i < run_count; i++)
		if (strcmp(runs[i].candidate->name, name) == 0)
			return &runs[i];
	return NULL;
}

static void report(const struct run *run)
{
	const char *name = run->candidate->name;

	if (!run->self) {
		result_absent(&cost, name, NULL, run->note);
		result_absent(&singly, name, NULL, run->note);
		return;
	}
	result_figure(&cost, &run->figure);
	result_note(&cost, "%s: %s%s%s", name, run->reporter->what, run->note ? "; " : "",
		    run->note ? run->note : "");
	result_spread(&singly, &run->warm);
	if (run->reporter->forget)
		result_spread(&cold, &run->cold);
}

static const struct figure *figure_of(const char *name)
{
	const struct run *run = find(name);

	return run && run->self ? &run->figure : NULL;
}

/* How many times cheaper Tally is; not judged where the two sides take turns. */
static void goal(const char *other, double limit)
{
	const struct figure *mine = figure_of("tally"), *theirs = figure_of(other);
	bool judged = mine && theirs && processors() > 1;
	char words[80];

	if (!find("tally") || !find(other))
		return;
	snprintf(words, sizeof(words), "%s / tally:", other);
	result_goal(&cost, &(struct goal){ .words = words,
					   .value = judged ? figure_ratio(theirs, mine) : NAN,
					   .limit = limit,
					   .at_least = true });
}

static void report_all(void)
{
	const struct figure *mine = figure_of("tally"), *store = figure_of(FLOOR);
	size_t i;

	if (find(FLOOR)) /* first, as the others are divided by it */
		report(find(FLOOR));
	for (i = 0; i < run_count; i++)
		if (&runs[i] != find(FLOOR))
			report(&runs[i]);
	if (find("tally") && find(FLOOR))
		result_goal(&cost,
			    &(struct goal){ .words = "tally - floor",
					    .value = mine && store ? figure_difference(mine, store)
								   : NAN,
					    .unit = "ns",
					    .limit = 4 });
	goal("socket", 60);
	goal("lttng", 10);
	goal("totals", 4);
	if (processors() < 2)
		result_note(&cost, "there is one processor: the two sides take turns on it");
}

int main(int argc, char **argv)
{
	size_t rounds, round, i;
	struct crew *crew;

	bench_begin(argc, argv, "event");
	pin(1); /* what reporters start is to be on the far side */
	line_up();
	crew = crew_open(2, true, NULL);
	if (!crew) {
		perror("bench/event");
		return 1;
	}
	rounds = bench_rounds(EVENT_ROUNDS);
	for (i = 0; i < run_count; i++)
		if (runs[i].self)
			choose_pairs(crew, &runs[i]);
	for (round = 0; round < rounds; round++) {
		bench_progress("rounds", round, rounds);
		for (i = 0; i < run_count; i++) {
			size_t at = (i + round / 2) % run_count;
			struct run *run = &runs[round % 2 ? run_count - 1 - at : at];

			if (run->self && !lost(run))
				turn(crew, run, round);
		}
	}
	crew_close(crew);
	for (i = 0; i < run_count; i++) {
		if (runs[i].self && runs[i].reporter->destroy)
			runs[i].reporter->destroy(runs[i].self, &runs[i].far->taken);
		if (runs[i].self)
			verify(&runs[i]);
	}
	report_all();
	return bench_end();
}
