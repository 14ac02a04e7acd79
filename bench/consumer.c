/* SPDX-License-Identifier: Apache-2.0 */
/* What the consumer costs with the table of live buffers on: records a second and core, its share
 * of a core when little happens, memory per live buffer.
 *
 * The process is its own producer: a thread on another processor fills a lane's ring, then the
 * consumer looks once. What it takes is processor time of the thread that looks; all that a look
 * does is in it.
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness/result.h"
#include "bench/push_pairs.h"

#define RING 65536u
#define ROUND (RING / 4) /* events a lane is filled with at a time */
#define SET_MIN 64u
#define SET_GOAL 100000u /* the goal is about so many */
#define MANY 1000000u
#define LOOKS 61
#define PACE_EVENTS 10 /* a millisecond */
#define PACE_S 3

static const struct question reading = { .id = "consumer_records",
					 .words = "How many records does a consumer take in, by "
						  "second and core?",
					 .unit = "M records/s",
					 .more = true };
static const struct question idling = { .id = "consumer_share",
					.words = "How much of a core does a consumer need when "
						 "10,000 records come in a second?",
					.unit = "%" };
static const struct question memory = { .id = "consumer_memory",
					.words = "How much memory does a live buffer take?",
					.unit = "bytes" };
static const struct question walking = { .id = "consumer_walk",
					 .words = "How long does a walk of the table of live "
						  "buffers take, by row?",
					 .unit = "ns" };

static struct figure bare = { .name = "records read, no table" };
static const uint32_t sets[] = { SET_MIN, 1000, 10000, SET_GOAL, MANY };
#define SETS (sizeof(sets) / sizeof(sets[0]))
static struct figure kept[SETS];

static struct tally_consumer *consumer;
static uint64_t *ids; /* what is live, in the order it is freed */
static uint32_t set, next_id;
static uint64_t random_state = 1;

static void fail(const char *what)
{
	fprintf(stderr, "bench/consumer: %s\n", what);
	exit(1);
}

static double cpu_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t new_id(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 20) << 8;
}

static void *fill(void *arg)
{
	uint32_t n;

	pin(1);
	for (n = 0; n < ROUND / 2; n++) {
		uint64_t *id = &ids[next_id++ % set];

		tally_free(0, TALLY_POOL_DRAM, *id, 64);
		*id = new_id();
		tally_alloc(0, TALLY_POOL_DRAM, *id, 64);
	}
	return arg;
}

static void *fill_up(void *arg)
{
	uint64_t *count = arg;
	uint64_t n;

	for (n = 0; n < *count; n++) {
		ids[next_id] = new_id();
		tally_alloc(0, TALLY_POOL_DRAM, ids[next_id++], 64);
	}
	return NULL;
}

/* One thread after the other continues the same lane. */
static void in_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, arg) != 0)
		fail("no thread");
	pthread_join(thread, NULL);
}

static uint64_t records_read(void)
{
	const struct tally_snapshot *now = tally_snapshot_get(consumer);
	uint64_t read = now->records_read;

	if (now->lost_records)
		fail("records were lost");
	tally_snapshot_put(now);
	return read;
}

static void open_consumer(bool with_table)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid(),
						  .read_records = true,
						  .read_buffers = with_table };
	struct tally_options producer = { .ring_records = RING };

	if (tally_init(&producer) != 0)
		fail("no region can be made in /dev/shm");
	if (tally_consumer_open(&options, &consumer) != 0)
		fail("the region cannot be opened");
}

static void close_consumer(void)
{
	tally_consumer_close(consumer);
	tally_shutdown();
}

static void make_set(uint32_t count)
{
	uint32_t made = 0;

	ids = calloc(count, sizeof(*ids));
	if (!ids)
		fail("no memory");
	set = count;
	next_id = 0;
	while (made < count) {
		uint64_t some = count - made < ROUND ? count - made : ROUND;

		in_thread(fill_up, &some);
		made += (uint32_t)some;
		tally_consumer_poll(consumer);
		tally_consumer_poll(consumer);
	}
}

/* ---- Records a second ------------------------------------------------------------------------ */

static double time_look(void)
{
	uint64_t before = records_read();
	double start;

	in_thread(fill, NULL);
	start = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	tally_consumer_poll(consumer);
	start = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	return (double)(records_read() - before) * 1e3 / start;
}

static void rounds_of(struct figure *figure, uint32_t count, bool with_table)
{
	size_t looks = bench_rounds(LOOKS), i;

	open_consumer(with_table);
	make_set(count);
	time_look();
	for (i = 0; i < looks; i++) {
		bench_progress(figure->name, i, looks);
		figure_time(figure, time_look);
	}
	close_consumer();
	free(ids);
	result_figure(&reading, figure);
}

/* ---- Little to do ---------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	stopped = number;
}

/* Until SIGTERM comes; it leaves no region behind. */
static _Noreturn void pace(void)
{
	struct timespec next;

	signal(SIGTERM, stop);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (tally_init(NULL) != 0)
		_exit(1);
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!stopped) {
		push_pairs(PACE_EVENTS);
		next.tv_nsec += 1000000;
		if (next.tv_nsec >= 1000000000) {
			next.tv_sec++;
			next.tv_nsec -= 1000000000;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	tally_shutdown();
	_exit(0);
}

static void measure_share(void)
{
	struct tally_consumer_options options = { .read_buffers = true };
	struct timespec length = { .tv_sec = bench_quick() ? 1 : PACE_S };
	double start_ns, start_cpu;
	uint64_t before, read;
	pid_t pid = fork();

	if (pid == 0)
		pace();
	options.pid = (uint32_t)pid;
	while (tally_consumer_open(&options, &consumer) != 0)
		usleep(10000);
	tally_consumer_start(consumer, 100);
	before = records_read();
	start_ns = now_ns();
	start_cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
	start_cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
	start_ns = now_ns() - start_ns;
	read = records_read() - before;
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	result_value(&idling, "share of a core", NULL, 100 * start_cpu / start_ns);
	result_note(&idling, "%.0f records came in a second", (double)read * 1e9 / start_ns);
	result_goal(&idling, &(struct goal){ .words = "share of a core",
					     .value = 100 * start_cpu / start_ns,
					     .unit = "%",
					     .limit = 1,
					     .sharp = true });
	tally_consumer_close(consumer);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static double anonymous_bytes(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];
	long kib = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return (double)kib * 1024;
}

static bool count(void *arg, const struct tally_buffer *buffer)
{
	(void)buffer;
	++*(size_t *)arg;
	return true;
}

static double memory_each; /* bytes, measured last */

static void measure_memory(uint32_t live)
{
	struct parameter parameters[PARAMETERS] = { { "live_buffers", live } };
	double before, start;
	size_t rows = 0;

	open_consumer(true);
	malloc_trim(0); /* what was freed before is no gain now */
	before = anonymous_bytes();
	make_set(live);
	free(ids);
	start = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	tally_buffers_each(consumer, count, &rows);
	start = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	if (rows != live)
		fail("not all rows are there");
	memory_each = (anonymous_bytes() - before) / live;
	result_value(&memory, "live buffer", parameters, memory_each);
	result_value(&walking, "row", parameters, start / live);
	close_consumer();
}

int main(int argc, char **argv)
{
	size_t i;

	bench_begin(argc, argv, "consumer");
	need_off("consumer", "it arms itself");
	pin(0);
	rounds_of(&bare, SET_MIN, false);
	for (i = 0; i < SETS; i++) {
		kept[i].name = "records, table of live buffers";
		kept[i].parameters[0] = (struct parameter){ "live_buffers", sets[i] };
		rounds_of(&kept[i], sets[i], true);
		if (sets[i] == SET_GOAL)
			result_goal(&reading, &(struct goal){ .words = "100,000 live buffers",
							      .value = figure_median(&kept[i]),
							      .unit = reading.unit,
							      .limit = 5,
							      .at_least = true });
	}
	measure_share();
	for (i = 2; i < SETS; i++)
		measure_memory(sets[i]);
	result_goal(&memory, &(struct goal){ .words = "live buffer, of a million",
					     .value = memory_each,
					     .unit = "bytes",
					     .limit = 128 });
	return bench_end();
}
