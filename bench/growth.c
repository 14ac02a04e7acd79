/* SPDX-License-Identifier: Apache-2.0 */
/* How things grow: a push with devices, threads and live buffers; a region with lanes and devices;
 * attaching to it, and looking at it, with its size. Each curve ends with its slope.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness/curve.h"
#include "bench/harness/result.h"
#include "bench/push_pairs.h"

#define CALLS 20000
#define THREADS_MAX 64

static const struct question by_devices = { .id = "push_by_devices",
					    .words = "What does a push cost with so many devices "
						     "in turn?",
					    .unit = "ns" };
static const struct question by_threads = { .id = "push_by_threads",
					    .words = "What does a push cost when so many threads "
						     "push, in processor time?",
					    .unit = "ns" };
static const struct question by_live = {
	.id = "push_by_live_buffers",
	.words = "What does a push cost with so many buffers live?",
	.unit = "ns"
};
static const struct question memory = { .id = "region_memory",
					.words = "How much shared memory does a region take?",
					.unit = "bytes" };
static const struct question attaching = { .id = "attach",
					   .words = "How long does it take to attach to a region "
						    "and take the first look?",
					   .unit = "us" };
static const struct question looking = { .id = "look",
					 .words = "How long does each look after it take?",
					 .unit = "us" };

static void need(bool is_there, const char *what)
{
	if (is_there)
		return;
	fprintf(stderr, "bench/growth: %s\n", what);
	exit(1);
}

/* ---- Threads that have a lane ---------------------------------------------------------------- */

/* Threads that push once, so that they have a lane, then so often as they are told. */
static struct team {
	pthread_t threads[THREADS_MAX];
	size_t count;
	pthread_barrier_t begin, end;
	uint64_t calls; /* 0: no more */
	double cpu_ns[THREADS_MAX];
} team;

static double thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void *work(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg;

	push_pairs(2);
	for (;;) {
		double start;

		pthread_barrier_wait(&team.end);
		pthread_barrier_wait(&team.begin);
		if (team.calls == 0)
			return NULL;
		push_pairs(team.calls / 10); /* what others have evicted is fetched again */
		start = thread_cpu_ns();
		push_pairs(team.calls);
		team.cpu_ns[me] = (thread_cpu_ns() - start) / (double)team.calls;
	}
}

static void team_start(size_t count)
{
	size_t i;

	team.count = count;
	pthread_barrier_init(&team.begin, NULL, (unsigned int)count + 1);
	pthread_barrier_init(&team.end, NULL, (unsigned int)count + 1);
	for (i = 0; i < count; i++)
		need(pthread_create(&team.threads[i], NULL, work, (void *)(uintptr_t)i) == 0,
		     "no thread can be made");
	pthread_barrier_wait(&team.end);
}

/* The mean of what they took. */
static double team_push(void)
{
	double sum = 0;
	size_t i;

	team.calls = CALLS;
	pthread_barrier_wait(&team.begin);
	pthread_barrier_wait(&team.end);
	for (i = 0; i < team.count; i++)
		sum += team.cpu_ns[i];
	return sum / (double)team.count;
}

static void team_stop(void)
{
	size_t i;

	team.calls = 0;
	pthread_barrier_wait(&team.begin);
	for (i = 0; i < team.count; i++)
		pthread_join(team.threads[i], NULL);
	pthread_barrier_destroy(&team.begin);
	pthread_barrier_destroy(&team.end);
}

/* ---- A region -------------------------------------------------------------------------------- */

static void make_region(uint32_t ring_records, uint32_t lanes)
{
	struct tally_options options = { .ring_records = ring_records, .lanes = lanes };

	need(tally_init(&options) == 0, "no region can be made in /dev/shm");
	tally_alloc(0, TALLY_POOL_DRAM, 1, 64);
}

static double region_bytes(void)
{
	struct tally_status status;
	struct stat file;
	char path[128];

	need(tally_status(&status) == 0, "no status");
	snprintf(path, sizeof(path), "/dev/shm/%s", status.region);
	need(stat(path, &file) == 0, "the region is not in /dev/shm: unset TALLY_DIR");
	return (double)file.st_blocks * 512;
}

static void use_devices(uint32_t devices)
{
	uint32_t device;

	for (device = 0; device < devices; device++)
		tally_alloc(device, TALLY_POOL_DRAM, device, 64);
}

/* ---- A push ---------------------------------------------------------------------------------- */

static uint32_t device_mask;

static double time_devices(void)
{
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < CALLS; i++)
		tally_alloc((uint32_t)i & device_mask, TALLY_POOL_DRAM, i, 64);
	return (now_ns() - start) / CALLS;
}

static void push_by_devices(void)
{
	static const double devices[] = { 1, 4, 16, 64, 256, 1024 };
	static struct curve curve = { &by_devices, "push", "devices", { 0 }, { { 0 } }, 0 };
	size_t rounds = bench_rounds(151), round, i;

	curve_begin(&curve, devices, sizeof(devices) / sizeof(devices[0]));
	make_region(2048, 1);
	for (round = 0; round < rounds; round++) {
		bench_progress("devices", round, rounds);
		for (i = 0; i < curve.count; i++) {
			device_mask = (uint32_t)curve.xs[i] - 1;
			time_devices();
			figure_time(&curve.figures[i], time_devices);
		}
	}
	tally_shutdown();
	curve_end(&curve, "device");
}

static uint64_t live_buffers;

/* Frees what was allocated so many calls ago: as many are live all the time. */
static double time_live(void)
{
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < CALLS / 2; i++) {
		uint64_t id = i * 0x9e3779b97f4a7c15ull % live_buffers;

		tally_free(0, TALLY_POOL_DRAM, id, 64);
		tally_alloc(0, TALLY_POOL_DRAM, id, 64);
	}
	return (now_ns() - start) / CALLS;
}

static void push_by_live(void)
{
	static const double live[] = { 100, 10000, 1000000 };
	static struct curve curve = { &by_live, "push", "live_buffers", { 0 }, { { 0 } }, 0 };
	size_t rounds = bench_rounds(151), round, i;
	uint64_t id;

	curve_begin(&curve, live, sizeof(live) / sizeof(live[0]));
	make_region(2048, 1);
	for (id = 0; id < 1000000; id++)
		tally_alloc(0, TALLY_POOL_DRAM, id, 64);
	for (round = 0; round < rounds; round++) {
		bench_progress("live buffers", round, rounds);
		for (i = 0; i < curve.count; i++) {
			live_buffers = (uint64_t)curve.xs[i];
			time_live();
			figure_time(&curve.figures[i], time_live);
		}
	}
	tally_shutdown();
	curve_end(&curve, "live buffer");
}

static void push_by_threads(void)
{
	static const double threads[] = { 1, 2, 4, 8, 16, 64 };
	static struct curve curve = { &by_threads, "push", "threads", { 0 }, { { 0 } }, 0 };
	size_t rounds = bench_rounds(41), round, i;

	curve_begin(&curve, threads, sizeof(threads) / sizeof(threads[0]));
	for (i = 0; i < curve.count; i++) {
		make_region(2048, 64);
		team_start((size_t)curve.xs[i]);
		for (round = 0; round < rounds; round++) {
			bench_progress("threads", i * rounds + round, curve.count * rounds);
			figure_time(&curve.figures[i], team_push);
		}
		team_stop();
		tally_shutdown();
	}
	curve_end(&curve, "thread");
	result_note(&by_threads, "more threads than the %u processors take turns", processors());
}

/* ---- What a region takes --------------------------------------------------------------------- */

static void memory_curve(const char *name, const char *x_name, const double *xs, size_t count,
			 double (*measure)(double x), const char *one)
{
	double ys[CURVE_POINTS];
	size_t i;

	for (i = 0; i < count; i++) {
		struct parameter parameters[PARAMETERS] = { { x_name, xs[i] } };

		ys[i] = measure(xs[i]);
		result_value(&memory, name, parameters, ys[i]);
	}
	result_note(&memory, "%s: %.0f bytes for each further %s", name, curve_slope(xs, ys, count),
		    one);
}

static double bytes_with_lanes(double lanes)
{
	double bytes;

	make_region(2048, 64);
	team_start((size_t)lanes);
	bytes = region_bytes();
	team_stop();
	tally_shutdown();
	return bytes;
}

static double bytes_with_devices(double devices)
{
	double bytes;

	make_region(2048, 1);
	use_devices((uint32_t)devices);
	bytes = region_bytes();
	tally_shutdown();
	return bytes;
}

static double bytes_without_records(double devices)
{
	struct tally_options options = { .totals_only = 1, .lanes = 1 };
	double bytes;

	need(tally_init(&options) == 0, "no region can be made in /dev/shm");
	use_devices((uint32_t)devices);
	bytes = region_bytes();
	tally_shutdown();
	return bytes;
}

static void region_memory(void)
{
	static const double lanes[] = { 1, 4, 16, 63 }, devices[] = { 1, 64, 256, 1024 };

	memory_curve("rings of 2,048 records", "threads", lanes, 4, bytes_with_lanes,
		     "thread, its ring included");
	memory_curve("one thread", "devices", devices, 4, bytes_with_devices, "device and pool");
	memory_curve("one thread, totals only", "devices", devices, 4, bytes_without_records,
		     "device and pool");
}

/* ---- Attaching, looking ---------------------------------------------------------------------- */

static struct tally_consumer *consumer;
static bool read_records;

static void attach(void)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid(),
						  .read_records = read_records };

	need(tally_consumer_open(&options, &consumer) == 0, "no consumer can be opened");
}

static double time_attach(void)
{
	double start = now_ns(), took;

	attach();
	took = (now_ns() - start) / 1e3;
	tally_consumer_close(consumer);
	return took;
}

static double time_look(void)
{
	double start = now_ns();

	tally_consumer_poll(consumer);
	return (now_ns() - start) / 1e3;
}

/* A region of this shape, attached to again and again, and looked at. */
static void attach_point(struct figure *attached, struct figure *looked, size_t rounds)
{
	size_t round;

	for (round = 0; round < rounds; round++) {
		bench_progress("attaching", round, rounds);
		figure_time(attached, time_attach);
	}
	attach();
	for (round = 0; round < rounds; round++) {
		push_pairs(2); /* else it would be a look at what has not changed */
		figure_time(looked, time_look);
	}
	tally_consumer_close(consumer);
}

static void attach_by_devices(void)
{
	static const double devices[] = { 1, 64, 256, 1024 };
	static struct curve attached = { &attaching, "totals", "devices", { 0 }, { { 0 } }, 0 };
	static struct curve looked = { &looking, "totals", "devices", { 0 }, { { 0 } }, 0 };
	size_t i;

	curve_begin(&attached, devices, 4);
	curve_begin(&looked, devices, 4);
	for (i = 0; i < 4; i++) {
		make_region(2048, 64);
		use_devices((uint32_t)devices[i]);
		attach_point(&attached.figures[i], &looked.figures[i], bench_rounds(61));
		tally_shutdown();
	}
	curve_end(&attached, "device and pool");
	curve_end(&looked, "device and pool");
}

static void attach_by_threads(void)
{
	static const double threads[] = { 1, 4, 16, 63 };
	static struct curve attached = { &attaching, "totals, one device",
					 "threads",  { 0 },
					 { { 0 } },  0 };
	static struct curve looked = { &looking, "totals, one device", "threads", { 0 }, { { 0 } },
				       0 };
	size_t i;

	curve_begin(&attached, threads, 4);
	curve_begin(&looked, threads, 4);
	for (i = 0; i < 4; i++) {
		make_region(64, 64);
		team_start((size_t)threads[i]);
		attach_point(&attached.figures[i], &looked.figures[i], bench_rounds(61));
		team_stop();
		tally_shutdown();
	}
	curve_end(&attached, "thread");
	curve_end(&looked, "thread");
}

/* Rings that are full, read whole at the first look. */
static void attach_by_records(void)
{
	static const double records[] = { 64, 2048, 16384, 65536 };
	static struct curve attached = { &attaching,	 "totals and records",
					 "ring_records", { 0 },
					 { { 0 } },	 0 };
	static struct curve looked = { &looking,       "totals and records",
				       "ring_records", { 0 },
				       { { 0 } },      0 };
	size_t i;

	read_records = true;
	curve_begin(&attached, records, 4);
	curve_begin(&looked, records, 4);
	for (i = 0; i < 4; i++) {
		make_region((uint32_t)records[i], 1);
		push_pairs((uint64_t)records[i]);
		attach_point(&attached.figures[i], &looked.figures[i], bench_rounds(61));
		tally_shutdown();
	}
	read_records = false;
	curve_end(&attached, "record");
	curve_end(&looked, "record");
}

int main(int argc, char **argv)
{
	bench_begin(argc, argv, "growth");
	need_off("growth", "it makes regions of its own");
	pin(0);
	if (bench_wanted("push")) {
		push_by_devices();
		push_by_live();
		push_by_threads();
	}
	if (bench_wanted("memory"))
		region_memory();
	if (bench_wanted("attach")) {
		attach_by_devices();
		attach_by_threads();
		attach_by_records();
	}
	return bench_end();
}
