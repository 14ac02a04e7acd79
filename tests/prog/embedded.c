/* SPDX-License-Identifier: Apache-2.0 */
/* A program that embeds the producer, as an accelerator runtime does: 64 devices, nine pools.
 *
 *	embedded THREADS ROUNDS TRUTH_FILE
 *
 * Commands come on stdin, one a line, each answered by a line on stdout when it is done:
 * `work` does ROUNDS more on every thread; `odd` pushes what is out of range; `reset` drops pool 1
 * of device 3; `overflow` uses more (device, pool) pairs than a process has cells; `end` exits.
 * After each the file holds the truth: a line per device and pool with allocated and freed bytes,
 * allocs, frees and failures, then the lines "rejected N" and "events N": every event that counts,
 * those without sums, too.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>

#define DEVICES 64
#define POOLS 9
#define THREADS_MAX 128

struct sums {
	uint64_t allocated, freed, allocs, frees, failures;
};

struct worker {
	pthread_t thread;
	uint64_t random;
	struct sums sums[DEVICES][POOLS];
	uint64_t rejected, events;
};

static struct worker workers[THREADS_MAX + 1]; /* the last one is main() */
static struct worker *const myself = &workers[THREADS_MAX];
static int thread_count;
static long rounds;
static pthread_barrier_t begin, done;

/* ---- Pushes and their truth ------------------------------------------------------------------ */

static uint64_t next(struct worker *me)
{
	me->random = me->random * 6364136223846793005u + 1442695040888963407u;
	return me->random >> 33;
}

static void allocate(struct worker *me, uint32_t device, uint32_t pool, uint64_t id, uint64_t size)
{
	struct sums *sums = &me->sums[device][pool];

	me->events++;
	sums->allocs++;
	sums->allocated += size;
	tally_alloc(device, pool == TALLY_POOL_KERNEL ? pool | TALLY_KERNEL_DISPATCH : pool, id,
		    size);
}

static void release(struct worker *me, uint32_t device, uint32_t pool, uint64_t id, uint64_t size)
{
	struct sums *sums = &me->sums[device][pool];

	me->events++;
	sums->frees++;
	sums->freed += size;
	tally_free(device, pool, id, size);
}

static void one_round(struct worker *me, uint32_t device)
{
	uint32_t pool = (uint32_t)(next(me) % POOLS);
	uint64_t id = next(me) << 8;
	uint64_t size = next(me) % 100000 + (next(me) % 50 ? 0 : 100ull << 30);

	allocate(me, device, pool, id, size);
	if (next(me) % 4) /* also what another thread has allocated: balances go below zero */
		release(me, (uint32_t)(next(me) % DEVICES), pool, id, size / 2);
	if (next(me) % 16 == 0) {
		me->events++;
		me->sums[device][pool].failures++;
		tally_alloc_failed(device, pool, 1ull << 50);
	}
}

static void *work(void *arg)
{
	struct worker *me = arg;

	for (;;) {
		long round;

		pthread_barrier_wait(&begin);
		tally_tag_push("step");
		for (round = 0; round < rounds; round++) {
			uint32_t device;

			if (round % 64 == 0) {
				me->events++;
				tally_mark("phase");
			}
			for (device = 0; device < DEVICES; device++)
				one_round(me, device);
		}
		tally_tag_pop();
		pthread_barrier_wait(&done);
	}
	return NULL;
}

static void odd(void)
{
	static const uint32_t devices[] = { 65536, 65537, 1u << 31, UINT32_MAX };
	static const uint32_t pools[] = { 256, 0x0100, 0xff00, 0x00ff0007, 0x00010000 };
	size_t i;

	for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		tally_alloc(devices[i], 0, 1, 1000);
		tally_free(devices[i], 0, 1, 1000);
		tally_alloc_failed(devices[i], 0, 1000);
		myself->rejected += 3;
	}
	for (i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		tally_alloc(0, pools[i], 1, 1000);
		tally_free(0, pools[i], 1, 1000);
		tally_alloc_failed(UINT32_MAX, pools[i], 1000);
		myself->rejected += 3;
	}
}

static int reset(void)
{
	int64_t balance = 0, released = -1;
	uint64_t blocks = 0;
	int i;

	for (i = 0; i <= THREADS_MAX; i++) {
		struct sums *sums = &workers[i].sums[3][1];

		balance += (int64_t)(sums->allocated - sums->freed);
		blocks += sums->allocs - sums->frees;
	}
	if (tally_pool_reset(3, 1, &released) != 0 || released != balance)
		return 4;
	myself->events++;
	myself->sums[3][1].freed += (uint64_t)balance;
	myself->sums[3][1].frees += blocks;
	return 0;
}

/* 3000 pairs beyond the 576 that are in use; 1 byte each. */
static void overflow(void)
{
	uint32_t n;

	for (n = 0; n < 3000; n++)
		tally_alloc(1000 + n, 9, n, 1);
}

static void describe(void)
{
	uint32_t device;

	for (device = 0; device < DEVICES; device++) {
		char name[40], id[32];
		struct tally_device_info info = {
			.name = name,
			.arch = device % 2 ? "blackhole" : "wormhole_b0",
			.stable_id = id,
			.capacity_bytes = { 12ull << 30, 1464u * 1024, [8] = 4096 },
			.grid_x = 8 + device,
			.grid_y = 9,
			.channels = 12,
			.remote = device % 4 == 3,
		};

		snprintf(name, sizeof(name), "chip %u", device);
		snprintf(id, sizeof(id), "serial-%04u", device);
		if (tally_device_describe(device, &info) != 0)
			exit(5);
		myself->events++;
	}
	if (tally_pool_describe(8, "scratch") != 0 || tally_pool_describe(8, "scratch") != 0)
		exit(6);
}

static int tell(const char *path)
{
	FILE *file = fopen(path, "w");
	uint64_t rejected = 0, events = 0;
	int device, pool, i;

	if (!file)
		return -1;
	for (device = 0; device < DEVICES; device++) {
		for (pool = 0; pool < POOLS; pool++) {
			struct sums sum = { 0 };

			for (i = 0; i <= THREADS_MAX; i++) {
				const struct sums *one = &workers[i].sums[device][pool];

				sum.allocated += one->allocated;
				sum.freed += one->freed;
				sum.allocs += one->allocs;
				sum.frees += one->frees;
				sum.failures += one->failures;
			}
			fprintf(file, "%d %d %llu %llu %llu %llu %llu\n", device, pool,
				(unsigned long long)sum.allocated, (unsigned long long)sum.freed,
				(unsigned long long)sum.allocs, (unsigned long long)sum.frees,
				(unsigned long long)sum.failures);
		}
	}
	for (i = 0; i <= THREADS_MAX; i++) {
		rejected += workers[i].rejected;
		events += workers[i].events;
	}
	fprintf(file, "rejected %llu\nevents %llu\n", (unsigned long long)rejected,
		(unsigned long long)events);
	return fclose(file);
}

static int obey(const char *command)
{
	if (strcmp(command, "work\n") == 0) {
		pthread_barrier_wait(&begin);
		pthread_barrier_wait(&done);
	} else if (strcmp(command, "odd\n") == 0) {
		odd();
	} else if (strcmp(command, "reset\n") == 0) {
		return reset();
	} else if (strcmp(command, "overflow\n") == 0) {
		overflow();
	} else {
		return 7;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char line[100];
	int i, error;

	if (argc != 4)
		return 2;
	thread_count = atoi(argv[1]);
	rounds = atol(argv[2]);
	if (thread_count < 1 || thread_count > THREADS_MAX)
		return 2;
	describe();
	pthread_barrier_init(&begin, NULL, (unsigned int)thread_count + 1);
	pthread_barrier_init(&done, NULL, (unsigned int)thread_count + 1);
	for (i = 0; i < thread_count; i++) {
		workers[i].random = (uint64_t)i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			return 3;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "end\n") == 0)
			break;
		error = obey(line);
		if (error || tell(argv[3]) != 0)
			return error ? error : 8;
		printf("done %s", line);
		fflush(stdout);
	}
	return 0;
}
