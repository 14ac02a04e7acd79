/* SPDX-License-Identifier: Apache-2.0 */
/* How many records of 64 bytes go from producers to a consumer, across processors, and whether all
 * of them arrive: numbers in order, check words, sums by device. A record that does not is an
 * error, not a figure.
 *
 * In each round all contenders run one after the other, in an order that changes, each for the same
 * few milliseconds. Their records go on from where the last run ended, so a record that is late is
 * seen, too.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/atomic.h>

#include "bench/harness/contenders.h"
#include "bench/harness/crew.h"
#include "bench/harness/result.h"

#define THROUGHPUT_ROUNDS 101
#define MANY_ROUNDS 31
#define SLICES 10   /* times as long where threads take turns on a processor */
#define TRIES 4	    /* of a run that is disturbed, or during which the processors move */
#define RUN_NS 2e6  /* of a run */
#define RUN_MIN 200 /* records of a producer in it */
#define RUN_MAX 200000
#define RING_FILLED 8192
#define FIELD_NS 8e9   /* of the rounds of a field; twice that for ROUNDS_MIN of them */
#define FILL_MARGIN 64 /* records of each producer less than half of a ring */

static const struct question one = { .id = "throughput",
				     .words = "How many records go from one producer to one "
					      "consumer on another processor?",
				     .unit = "M records/s",
				     .more = true,
				     .base = "floor" };
static const struct question many = { .id = "throughput_producers",
				      .words = "How many records go from several producers to one "
					       "consumer?",
				      .unit = "M records/s",
				      .more = true };
static const struct question fill = { .id = "throughput_fill",
				      .words = "How many records do several producers put into a "
					       "ring that has room for them?",
				      .unit = "M records/s",
				      .more = true };

/* One contender in one configuration. */
struct run {
	const struct candidate *candidate;
	struct figure figure;
	void *ring; /* NULL: it is out */
	const char *why;
	uint32_t producers;
	uint64_t sent;	/* by each producer so far */
	uint64_t count; /* that each is to send in a run */
	uint64_t sums[CONTENDER_DEVICES];
	struct checker checker;
	uint64_t producers_done __attribute__((aligned(128)));
	uint64_t producers_over, consumer_over;
};

/* All contenders in one configuration. */
struct field {
	const struct question *question;
	uint32_t records, producers;
	bool filling; /* the producers alone; the consumer comes afterwards */
	struct run *runs;
	size_t count;
};

static struct candidate candidates[CONTENDERS_MAX];
static size_t candidate_count;

/* ---- One run --------------------------------------------------------------------------------- */

static void produce(struct run *run, unsigned int producer)
{
	struct sender sender = { .producer = producer,
				 .first = run->sent,
				 .count = run->count,
				 .patience = { .over = &run->consumer_over } };

	run->candidate->contender->send(run->ring, &sender);
	if (tally_add_release(&run->producers_done, 1) + 1 == run->producers)
		tally_store_release(&run->producers_over, 1);
}

static void consume(struct run *run)
{
	run->checker.patience = (struct patience){ .over = &run->producers_over };
	run->candidate->contender->receive(run->ring, &run->checker,
					   (run->sent + run->count) * run->producers);
	tally_store_release(&run->consumer_over, 1);
}

static void stream_work(void *arg, unsigned int me)
{
	if (me == 0)
		consume(arg);
	else
		produce(arg, me - 1);
}

static void fill_work(void *arg, unsigned int me)
{
	produce(arg, me);
}

static const char *complaint(struct run *run)
{
	static char words[200];
	const struct checker *checker = &run->checker;
	const struct contender *contender = run->candidate->contender;
	uint64_t want = run->sent * run->producers;
	uint64_t lost = contender->lost ? contender->lost(run->ring) : 0;
	bool sums = memcmp(run->sums, checker->sums, sizeof(run->sums)) == 0;

	if (checker->taken == want && !checker->out_of_order && !checker->garbled && !lost && sums)
		return NULL;
	snprintf(words, sizeof(words),
		 "%llu of %llu records came, %llu not in order, %llu garbled, %llu said to be "
		 "lost; sums by device %s",
		 (unsigned long long)checker->taken, (unsigned long long)want,
		 (unsigned long long)checker->out_of_order, (unsigned long long)checker->garbled,
		 (unsigned long long)lost, sums ? "agree" : "differ");
	return words;
}

/* Books what has been sent, and checks that it has come. */
static void verify(struct run *run)
{
	const char *wrong;
	uint64_t i;

	for (i = run->sent; i < run->sent + run->count; i++)
		run->sums[payload_device(i)] += payload_size(i) * run->producers;
	run->sent += run->count;
	wrong = complaint(run);
	if (!wrong)
		return;
	bench_fail("%s, %u producers: %s", run->candidate->name, run->producers, wrong);
	run->why = "failed its verification";
	run->candidate->contender->destroy(run->ring);
	run->ring = NULL;
}

static struct crew_run run_once(const struct field *field, struct crew *crew, struct run *run)
{
	struct crew_run result;

	run->producers_done = run->producers_over = 0;
	run->consumer_over = field->filling; /* nobody is to be waited for */
	result = crew_run(crew, field->filling ? fill_work : stream_work, run);
	if (field->filling)
		consume(run);
	verify(run);
	return result;
}

/* ---- A field of contenders ------------------------------------------------------------------- */

static bool takes_part(const struct field *field, const struct candidate *candidate)
{
	return bench_wanted(candidate->name) && (field->producers == 1 || candidate->many);
}

static unsigned int members(const struct field *field)
{
	return field->producers + (field->filling ? 0 : 1);
}

/* Whether there are too few processors, so that the scheduler is measured as well. */
static bool take_turns(const struct field *field)
{
	return members(field) > processors();
}

static void line_up(struct field *field)
{
	size_t i;

	field->runs = calloc(candidate_count, sizeof(*field->runs));
	if (!field->runs) {
		fprintf(stderr, "bench/throughput: out of memory\n");
		exit(1);
	}
	for (i = 0; i < candidate_count; i++) {
		const struct candidate *candidate = &candidates[i];
		struct run *run = &field->runs[field->count];

		if (!takes_part(field, candidate))
			continue;
		field->count++;
		run->candidate = candidate;
		run->producers = field->producers;
		run->figure = (struct figure){
			.name = candidate->name,
			.parameters = { { "ring_records", field->records },
					{ "producers", field->producers } },
		};
		run->why = candidate->absent;
		if (!candidate->contender)
			continue;
		if (candidate->contender->can & CONTENDER_SPINS && field->producers > 1 &&
		    take_turns(field))
			run->why = "needs a processor for each thread: who loses his stops all";
		else
			run->ring = candidate->contender->make(field->records, field->producers,
							       &run->why);
	}
}

/* So many records as take RUN_NS, going by the last run. Threads that take turns on a processor may
 * be slower by far the next time, so it grows slowly and shrinks fast. */
static void choose_count(const struct field *field, struct run *run, double took_ns)
{
	double run_ns = take_turns(field) ? RUN_NS * SLICES : RUN_NS;
	double want = run_ns / took_ns * (double)run->count;

	if (field->filling)
		return;
	if (want > 2 * (double)run->count)
		want = 2 * (double)run->count;
	run->count = want < RUN_MIN ? RUN_MIN : want > RUN_MAX ? RUN_MAX : (uint64_t)want;
}

/* A run that nobody counts. */
static void warm_up(const struct field *field, struct crew *crew, struct run *run)
{
	run->count = field->records / field->producers / 2 - FILL_MARGIN;
	choose_count(field, run, run_once(field, crew, run).took_ns);
}

static void run_round(const struct field *field, struct crew *crew, size_t round)
{
	size_t i;

	for (i = 0; i < field->count; i++) {
		size_t turn = (i + round / 2) % field->count;
		struct run *run = &field->runs[round % 2 ? field->count - 1 - turn : turn];
		double records = 0;
		struct crew_run result = { .place = PLACES };
		int tries;

		for (tries = 0; run->ring && tries < (bench_quick() ? 1 : TRIES); tries++) {
			records = (double)(run->count * run->producers);
			result = run_once(field, crew, run);
			choose_count(field, run, result.took_ns);
			if (probe_quiet(result.probe_ns) && result.place != PLACES)
				break;
		}
		if (run->ring)
			crew_file(&run->figure, (uint32_t)round, &result,
				  records * 1e3 / result.took_ns);
	}
}

static struct figure *figure_of(const struct field *field, const char *name)
{
	size_t i;

	for (i = 0; i < field->count; i++)
		if (strcmp(field->runs[i].candidate->name, name) == 0 && field->runs[i].ring)
			return &field->runs[i].figure;
	return NULL;
}

static void report(struct field *field)
{
	size_t pass, i;

	/* the base first, as the others are divided by it */
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < field->count; i++) {
			struct run *run = &field->runs[i];
			const char *base = field->question->base;

			if ((base && strcmp(run->candidate->name, base) == 0) == (pass == 1))
				continue;
			if (run->ring)
				result_figure(field->question, &run->figure);
			else
				result_absent(field->question, run->candidate->name,
					      run->figure.parameters, run->why);
		}
}

static void goal(const struct field *field, const char *mine, const char *other)
{
	const struct figure *a = figure_of(field, mine), *b = figure_of(field, other);
	bool judged = a && b && !take_turns(field);
	char words[160];

	if (field->count == 0 || !bench_wanted(mine) || !bench_wanted(other))
		return;
	snprintf(words, sizeof(words), "%s / %s, ring %u, producers %u:", mine, other,
		 field->records, field->producers);
	result_goal(field->question, &(struct goal){ .words = words,
						     .value = judged ? figure_ratio(a, b) : NAN,
						     .limit = 1,
						     .at_least = true,
						     .sharp = true });
}

/* Measures and reports it. The rings go; what is reported stays. */
static void measure(struct field *field, size_t rounds)
{
	double limit_ns = FIELD_NS / (bench_quick() ? 10 : 1), start_ns = now_ns();
	struct crew *crew;
	size_t i;

	line_up(field);
	if (field->count == 0)
		return;
	crew = crew_open(members(field), false, NULL);
	if (!crew) {
		perror("bench/throughput");
		exit(1);
	}
	for (i = 0; i < field->count; i++)
		if (field->runs[i].ring)
			warm_up(field, crew, &field->runs[i]);
	for (i = 0; i < rounds && now_ns() - start_ns < limit_ns * (i < ROUNDS_MIN ? 2 : 1); i++) {
		bench_progress(field->question->id, i, rounds);
		run_round(field, crew, i);
	}
	crew_close(crew);
	report(field);
	if (take_turns(field))
		result_note(field->question,
			    "%u producers: %u threads on %u processors, which take turns",
			    field->producers, members(field), processors());
}

static void put_away(struct field *field)
{
	size_t i;

	for (i = 0; i < field->count; i++)
		if (field->runs[i].ring)
			field->runs[i].candidate->contender->destroy(field->runs[i].ring);
}

/* ---- The questions --------------------------------------------------------------------------- */

static void one_producer(void)
{
	static struct field fields[] = { { &one, 4096, 1, false, NULL, 0 },
					 { &one, 512, 1, false, NULL, 0 } };
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		measure(&fields[i], bench_rounds(THROUGHPUT_ROUNDS));
		goal(&fields[i], "tally_lane", "ck_ring");
		goal(&fields[i], "tally_lane", "rte_ring");
		goal(&fields[i], "tally_lane", "boost_spsc");
		put_away(&fields[i]);
	}
}

/* A fill is over before a producer that waits for a processor gets one. */
static void lack_processors(const struct field *field)
{
	const struct parameter parameters[] = { { "ring_records", field->records },
						{ "producers", field->producers },
						{ NULL, 0 } };

	result_absent(field->question, "all contenders", parameters,
		      "needs as many processors as producers");
}

static void many_producers(const struct question *question, bool filling)
{
	static const uint32_t producers[] = { 2, 4, 8, 16 };
	size_t some = bench_quick() ? 1 : sizeof(producers) / sizeof(*producers), i;

	for (i = 0; i < some; i++) {
		struct field *field = calloc(1, sizeof(*field));

		if (!field)
			exit(1);
		*field = (struct field){ question,     filling ? RING_FILLED : 4096,
					 producers[i], filling,
					 NULL,	       0 };
		if (filling && take_turns(field)) {
			lack_processors(field);
			continue;
		}
		measure(field, bench_rounds(filling ? THROUGHPUT_ROUNDS : MANY_ROUNDS));
		if (producers[i] == 2) {
			goal(field, "tally_shared", "rte_ring_mp");
			goal(field, "tally_shared", "rte_ring_hts");
		}
		put_away(field);
	}
}

int main(int argc, char **argv)
{
	bench_begin(argc, argv, "throughput");
	candidate_count = contenders_load(candidates);
	if (processors() < 2)
		result_note(&one, "there is one processor: the two sides take turns on it");
	one_producer();
	many_producers(&fill, true);
	many_producers(&many, false);
	return bench_end();
}
