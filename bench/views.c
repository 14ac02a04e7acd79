/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs a producer to be watched: by twenty views of totals, by one that reads records.
 *
 * The producer has one processor for itself, its watchers share the other. As a processor may be
 * slower only because its neighbour is busy, there is a third kind of round, in which that runs
 * something that knows nothing of the region. Ten views look every 100 ms, ten are opened, look
 * once and are closed, again and again, as `ps` in a loop; every few milliseconds one of the twenty
 * is killed and another started.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tally/atomic.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness/crew.h"
#include "bench/harness/result.h"
#include "bench/push_pairs.h"
#include "ring/lane.h"
#include "ring/region.h"

#define VIEWS 20
#define VIEW_ROUNDS 61
#define SAMPLES_EACH 4
#define CALLS 20000
#define KILL_EVERY_NS 5000000l

static const struct question viewing = { .id = "push_viewed",
					 .words = "What does a push cost while twenty views look "
						  "at totals?",
					 .unit = "ns",
					 .base = "push, nobody watches" };
static const struct question watching = { .id = "push_watched",
					  .words = "How many pushes does a producer make while its "
						   "records are read?",
					  .unit = "M pushes/s",
					  .more = true,
					  .base = "push, nobody reads" };

static struct figure alone = { .name = "push, nobody watches" };
static struct figure viewed = { .name = "push, twenty views of totals" };
static struct figure beside = { .name = "push, the other processor busy" };

enum mode { MODE_ALONE, MODE_VIEWS, MODE_BUSY, MODE_END };

/* Between the producer and the keeper of its views. */
static struct {
	uint64_t mode;	  /* wanted */
	uint64_t reached; /* the keeper's */
	uint64_t looks, killed;
	uint64_t pushed; /* rounds in which all was pushed: readers may end */
	uint64_t read, lost;
	char region[REGION_NAME_MAX]; /* the producer's */
} * between;

static pid_t producer;

/* ---- Views ----------------------------------------------------------------------------------- */

static struct tally_consumer_options of_producer(bool read_records)
{
	return (struct tally_consumer_options){ .pid = (uint32_t)producer,
						.read_records = read_records };
}

static void refresh(bool again_and_again)
{
	struct tally_consumer_options options = of_producer(false);
	const struct timespec pause = { .tv_nsec = 100000000 };
	struct tally_consumer *consumer;

	while (tally_consumer_open(&options, &consumer) == 0) {
		do {
			tally_add_relaxed(&between->looks, 1); /* relaxed: a count for people */
			if (!again_and_again)
				break;
			nanosleep(&pause, NULL);
		} while (tally_consumer_poll(consumer) == 0);
		tally_consumer_close(consumer);
	}
}

static _Noreturn void burn(void)
{
	volatile uint64_t count = 0;

	for (;;)
		count = count + 1;
}

static pid_t start_one(int n, uint64_t mode)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mode == MODE_BUSY)
		burn();
	refresh(n % 2 == 0);
	_exit(1);
}

/* All of them stay, and stand still when it is not their turn: that costs nothing. */
static void signal_all(const pid_t *pids, int count, bool run)
{
	int n;

	for (n = 0; n < count; n++)
		kill(pids[n], run ? SIGCONT : SIGSTOP);
}

/* Lets those run whose turn it is; now and then starts another view in place of one. */
static _Noreturn void keep(void)
{
	const struct timespec pause = { .tv_nsec = KILL_EVERY_NS };
	uint64_t mode = MODE_END, random = 1;
	pid_t pids[VIEWS + 1];
	int n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	for (n = 0; n <= VIEWS; n++)
		pids[n] = start_one(n, n < VIEWS ? MODE_VIEWS : MODE_BUSY);
	for (;;) {
		uint64_t wanted = tally_load_acquire(&between->mode);

		if (wanted == MODE_END)
			break;
		if (wanted != mode) {
			signal_all(pids, VIEWS, wanted == MODE_VIEWS);
			signal_all(&pids[VIEWS], 1, wanted == MODE_BUSY);
			mode = wanted;
			tally_store_release(&between->reached, mode);
		}
		nanosleep(&pause, NULL);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (mode != MODE_VIEWS)
			continue;
		random = random * 6364136223846793005u + 1442695040888963407u;
		n = (int)(random >> 33) % VIEWS;
		kill(pids[n], SIGKILL);
		pids[n] = start_one(n, mode);
		between->killed++;
	}
	for (n = 0; n <= VIEWS; n++)
		kill(pids[n], SIGKILL);
	while (wait(NULL) > 0)
		;
	tally_store_release(&between->reached, MODE_END);
	_exit(0);
}

static void reach(enum mode mode)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	tally_store_release(&between->mode, (uint64_t)mode);
	while (tally_load_acquire(&between->reached) != (uint64_t)mode)
		nanosleep(&pause, NULL);
}

/* ---- The producer ---------------------------------------------------------------------------- */

static double time_push(void)
{
	return time_push_pairs(CALLS);
}

static void sample(struct figure *figure, enum mode mode)
{
	int i;

	reach(mode);
	time_push();
	for (i = 0; i < SAMPLES_EACH; i++)
		figure_time(figure, time_push);
}

static void rounds_of_views(void)
{
	size_t rounds = bench_rounds(VIEW_ROUNDS), i;
	pid_t keeper;

	fflush(NULL);
	keeper = fork();
	if (keeper == 0)
		keep();
	pin(0);
	for (i = 0; i < rounds; i++) {
		bench_progress("views", i, rounds);
		sample(&alone, MODE_ALONE);
		sample(&viewed, MODE_VIEWS);
		sample(&beside, MODE_BUSY);
	}
	reach(MODE_END);
	waitpid(keeper, NULL, 0);
}

static void report_views(void)
{
	result_figure(&viewing, &alone);
	result_figure(&viewing, &viewed);
	result_figure(&viewing, &beside);
	result_note(&viewing, "%llu looks, %llu of the twenty killed and started again",
		    (unsigned long long)between->looks, (unsigned long long)between->killed);
	result_note(&viewing,
		    "beside / alone %.3f: of that is due to the other processor being busy",
		    figure_median(&beside) / figure_median(&alone));
	result_goal(&viewing,
		    &(struct goal){ .words = "viewed / alone",
				    .value = figure_median(&viewed) / figure_median(&alone),
				    .limit = 1.05 });
}

/* ---- Records --------------------------------------------------------------------------------- */

#define READER_ROUNDS 151

static const unsigned int readers[] = { 1, 4, 20 };
#define KINDS (sizeof(readers) / sizeof(readers[0]))

static struct figure unread = { .name = "push, nobody reads" };
static struct figure drained[KINDS], chased[KINDS];

static uint64_t round_no;

static void push_for_readers(void)
{
	push_pairs(CALLS);
	tally_store_release(&between->pushed, ++round_no);
}

static void job_unread(void *arg, unsigned int me)
{
	(void)arg;
	if (me == 0)
		push_for_readers();
	else
		round_no++;
}

static void look_at_records(struct tally_consumer *consumer, uint64_t *ret_read, uint64_t *ret_lost)
{
	const struct tally_snapshot *now;

	tally_consumer_poll(consumer);
	now = tally_snapshot_get(consumer);
	*ret_read = now->records_read;
	*ret_lost = now->lost_records;
	tally_snapshot_put(now);
}

/* One of several consumers, each with cursors of its own; they take turns. */
static void drain_one(unsigned int n, bool counts)
{
	static struct tally_consumer *consumers[VIEWS];
	static uint64_t read_before[VIEWS], lost_before[VIEWS];
	struct tally_consumer_options options = of_producer(true);
	uint64_t read, lost;

	if (!consumers[n] && tally_consumer_open(&options, &consumers[n]) != 0)
		_exit(1);
	look_at_records(consumers[n], &read, &lost);
	if (counts) {
		between->read += read - read_before[n];
		between->lost += lost - lost_before[n];
	}
	read_before[n] = read;
	lost_before[n] = lost;
}

static void job_drained(void *arg, unsigned int me)
{
	unsigned int count = *(const unsigned int *)arg, n;

	if (me == 0) {
		push_for_readers();
		return;
	}
	for (n = 0; n < count; n++)
		drain_one(n, false); /* what came in other rounds */
	round_no++;
	do
		for (n = 0; n < count; n++)
			drain_one(n, true);
	while (tally_load_acquire(&between->pushed) != round_no);
}

static struct lane_reader reader_of_lane(void)
{
	static struct region_view view;
	char why[REGION_WHY_MAX];

	if (!view.base && region_open(open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				      between->region, &view, why) != 0)
		_exit(1);
	return (struct lane_reader){ .header = region_lane(view.base, &view.at, 0),
				     .slots = region_ring(view.base, &view.at, 0),
				     .ring_log2 = view.at.ring_log2 };
}

static void job_chased(void *arg, unsigned int me)
{
	static struct lane_reader chasers[VIEWS];
	unsigned int count = *(const unsigned int *)arg, n;

	if (me == 0) {
		push_for_readers();
		return;
	}
	for (n = 0; n < count; n++)
		if (!chasers[n].header)
			chasers[n] = reader_of_lane();
	round_no++;
	do
		for (n = 0; n < count; n++)
			lane_drain(&chasers[n], true, false, NULL, NULL);
	while (tally_load_acquire(&between->pushed) != round_no);
}

/* The producer's own time: the reader ends when it sees that this has. `arg`: how many read. */
static void time_job(struct crew *crew, struct figure *figure, size_t round, crew_work job,
		     const unsigned int *arg)
{
	struct crew_run run = crew_run(crew, job, (void *)(uintptr_t)arg);

	crew_file(figure, (uint32_t)round, &run, CALLS * 1e3 / crew_took_ns(crew, 0));
}

static void rounds_of_readers(struct crew *crew)
{
	size_t rounds = bench_rounds(READER_ROUNDS), round, i;

	for (i = 0; i < KINDS; i++) {
		struct parameter count = { "consumers", readers[i] };

		drained[i].name = "push, all records drained in batches";
		chased[i].name = "push, the slot being written is chased";
		drained[i].parameters[0] = chased[i].parameters[0] = count;
	}
	for (round = 0; round < rounds; round++) {
		bench_progress("readers", round, rounds);
		time_job(crew, &unread, round, job_unread, NULL);
		for (i = 0; i < KINDS; i++) {
			time_job(crew, &drained[i], round, job_drained, &readers[i]);
			time_job(crew, &chased[i], round, job_chased, &readers[i]);
		}
	}
}

static void report_readers(void)
{
	size_t i;

	result_figure(&watching, &unread);
	for (i = 0; i < KINDS; i++)
		result_figure(&watching, &drained[i]);
	for (i = 0; i < KINDS; i++)
		result_figure(&watching, &chased[i]);
	result_note(&watching,
		    "all consumers take turns on one processor; drained: %llu records "
		    "read, %llu lost",
		    (unsigned long long)between->read, (unsigned long long)between->lost);
	result_goal(&watching,
		    &(struct goal){
			    .words = "nobody / one drains in batches, where the two are nearest",
			    .value = figure_ratio(&unread, &drained[0]),
			    .limit = 1.5 });
}

static int absent(void)
{
	static const char why[] = "needs a second processor";

	result_absent(&viewing, viewed.name, NULL, why);
	result_absent(&watching, unread.name, NULL, why);
	return bench_end();
}

int main(int argc, char **argv)
{
	struct tally_options options = { .ring_records = 65536 };
	struct tally_status status;
	struct crew *crew;

	bench_begin(argc, argv, "views");
	need_off("views", "it makes its own region");
	if (processors() < 2)
		return absent();
	producer = getpid();
	between = mmap(NULL, sizeof(*between), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	crew = between == MAP_FAILED ? NULL : crew_open(2, true, NULL);
	if (!crew || tally_init(&options) != 0 || tally_status(&status) != 0) {
		fprintf(stderr, "bench/views: no second process, or no region in /dev/shm\n");
		return 1;
	}
	snprintf(between->region, sizeof(between->region), "%s", status.region);
	time_push();
	rounds_of_readers(crew);
	crew_close(crew);
	rounds_of_views();
	report_views();
	report_readers();
	tally_shutdown();
	return bench_end();
}
