/* SPDX-License-Identifier: Apache-2.0 */
/* A producer that does what it is told, a line on stdin at a time, each answered by a number on
 * stdout, 0 if there is nothing to say; D, P: device and pool.
 *
 *	alloc D P ID SIZE [COUNT]  COUNT allocs, else one, with ids from ID on
 *	free D P ID SIZE [COUNT]   as many frees
 *	ahead D P ID SIZE          a free whose time is hours from now
 *	failed D P SIZE            a failed alloc
 *	reset D P                  resets the pool
 *	thread LINE                does what LINE says on a thread of its own, which then ends
 *	handler LINE               the same in a signal handler that comes upon a push
 *	tag NAME, untag            sets the thread's tag, and the one before it
 *	mark NAME
 *	name P NAME                names a pool
 *	describe D NAME ARCH STABLE_ID POOL CAPACITY [POOL CAPACITY]    a remote device, with the
 *	                           capacity of one pool or two
 *	churn THREADS ROUNDS       threads that free each other's buffers; answers how many are
 *	                           left, then as many lines: id and size. Device 5, pool l1
 *	storm THREADS MS           the same for a time, and nobody is told what is left
 *	enabled                    whether it is armed; its region is made
 *	fork                       a child that keeps 7 bytes, id 1 of device 1, dram, and waits for
 *	                           its death; answers its pid
 *	exec                       becomes another program of the same kind
 *
 * It says "ready" first, and exits when its stdin ends, or at a line it cannot obey.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#define CHURN_DEVICE 5
#define CHURN_THREADS 64
#define AHEAD_TICKS (1ull << 44)
#define SLOTS 512 /* where buffers are handed over */

static int obey(char *line);

/* ---- Handing over ---------------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	uint64_t id, size;
} slots[SLOTS];

static long churn_rounds;
static uint64_t churn_until_ns;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Whoever comes by frees what is there, whoever put it there, and uses the id again, as an
 * allocator does: the next owner's push comes after ours. */
static void *churn(void *arg)
{
	uint64_t random = (uintptr_t)arg * 0x9e3779b97f4a7c15ull + 1;
	long n;

	for (n = 0; churn_until_ns ? now_ns() < churn_until_ns : n < churn_rounds; n++) {
		uint64_t at;

		random = random * 6364136223846793005u + 1442695040888963407u;
		at = random >> 40 & (SLOTS - 1);
		pthread_mutex_lock(&slots[at].lock);
		if (slots[at].id)
			tally_free(CHURN_DEVICE, TALLY_POOL_L1, slots[at].id, slots[at].size);
		slots[at].id = 0;
		if (random >> 33 & 3) {
			slots[at].id = at + 1;
			slots[at].size = random >> 50;
			tally_alloc(CHURN_DEVICE, TALLY_POOL_L1, slots[at].id, slots[at].size);
		}
		pthread_mutex_unlock(&slots[at].lock);
	}
	return NULL;
}

static int run_churn(int count)
{
	pthread_t threads[CHURN_THREADS];
	int left = 0;
	uintptr_t i;

	for (i = 0; i < SLOTS; i++)
		pthread_mutex_init(&slots[i].lock, NULL);
	for (i = 0; i < (uintptr_t)count; i++)
		if (pthread_create(&threads[i], NULL, churn, (void *)i) != 0)
			return -1;
	for (i = 0; i < (uintptr_t)count; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < SLOTS; i++)
		left += slots[i].id != 0;
	return left;
}

static void print_slots(void)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].id)
			printf("%llu %llu\n", (unsigned long long)slots[i].id,
			       (unsigned long long)slots[i].size);
}

/* ---- Elsewhere ------------------------------------------------------------------------------- */

static void *in_thread(void *arg)
{
	return obey(arg) < 0 ? arg : NULL;
}

static char *handler_line;

static void on_signal(int number)
{
	(void)number;
	obey(handler_line);
}

static int fork_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		tally_alloc(1, TALLY_POOL_DRAM, 1, 7);
		for (;;)
			pause();
	}
	return pid;
}

static int elsewhere(char *line)
{
	pthread_t thread;
	void *result;

	if (strncmp(line, "thread ", 7) == 0) {
		if (pthread_create(&thread, NULL, in_thread, line + 7) != 0)
			return -1;
		pthread_join(thread, &result);
		return result ? -1 : 0;
	}
	if (strncmp(line, "handler ", 8) == 0) {
		handler_line = line + 8;
		signal(SIGUSR1, on_signal);
		raise(SIGUSR1);
		return 0;
	}
	if (strcmp(line, "fork") == 0)
		return fork_child();
	if (strcmp(line, "exec") == 0) {
		execl("/proc/self/exe", "scripted", (char *)NULL);
		return -1;
	}
	return -1;
}

/* ---- Orders ---------------------------------------------------------------------------------- */

static int describe(const char *line)
{
	struct tally_device_info info = { .grid_x = 8, .grid_y = 9, .channels = 12, .remote = 1 };
	char name[40], arch[16], id[32];
	unsigned long long capacity, second = 0;
	unsigned int device, pool, other = 0;
	int read = sscanf(line, "describe %u %39s %15s %31s %u %llu %u %llu", &device, name, arch,
			  id, &pool, &capacity, &other, &second);

	if (read != 6 && read != 8)
		return -1;
	info.name = name;
	info.arch = arch;
	info.stable_id = id;
	if (second)
		info.capacity_bytes[other] = second;
	info.capacity_bytes[pool] = capacity;
	return tally_device_describe(device, &info);
}

static int buffers(const char *verb, const unsigned long long *n)
{
	unsigned long long i;
	int64_t bytes;

	if (strcmp(verb, "alloc") == 0) {
		for (i = 0; i < n[4]; i++)
			tally_alloc((uint32_t)n[0], (uint32_t)n[1], n[2] + i, n[3]);
	} else if (strcmp(verb, "free") == 0) {
		for (i = 0; i < n[4]; i++)
			tally_free((uint32_t)n[0], (uint32_t)n[1], n[2] + i, n[3]);
	} else if (strcmp(verb, "ahead") == 0) {
		tally_free_at(tally_now() + AHEAD_TICKS, (uint32_t)n[0], (uint32_t)n[1], n[2],
			      n[3]);
	} else if (strcmp(verb, "failed") == 0) {
		tally_alloc_failed((uint32_t)n[0], (uint32_t)n[1], n[2]);
	} else if (strcmp(verb, "reset") == 0) {
		return tally_pool_reset((uint32_t)n[0], (uint32_t)n[1], &bytes);
	} else if (strcmp(verb, "churn") == 0) {
		churn_until_ns = 0;
		churn_rounds = (long)n[1];
		return run_churn((int)n[0]);
	} else if (strcmp(verb, "storm") == 0) {
		churn_until_ns = now_ns() + n[1] * 1000000u;
		return run_churn((int)n[0]);
	} else {
		return -2;
	}
	return 0;
}

static int obey(char *line)
{
	unsigned long long n[5] = { 0, 0, 0, 0, 1 };
	char verb[20], name[100] = "";
	int done;

	if (sscanf(line, "%19s %llu %llu %llu %llu %llu", verb, &n[0], &n[1], &n[2], &n[3], &n[4]) <
	    1)
		return -1;
	done = buffers(verb, n);
	if (done != -2)
		return done;
	if (sscanf(line, "tag %99[^\n]", name) == 1)
		tally_tag_push(name);
	else if (strcmp(verb, "untag") == 0)
		tally_tag_pop();
	else if (sscanf(line, "mark %99[^\n]", name) == 1)
		tally_mark(name);
	else if (sscanf(line, "name %llu %99[^\n]", &n[0], name) == 2)
		return tally_pool_describe((uint32_t)n[0], name);
	else if (strcmp(verb, "enabled") == 0)
		return tally_enabled();
	else if (strcmp(verb, "describe") == 0)
		return describe(line);
	else
		return elsewhere(line);
	return 0;
}

int main(void)
{
	char line[200];
	int answer;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready"); /* it is armed, if at all, by its first call */
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		answer = obey(line);
		if (answer < 0)
			return 3;
		printf("%d\n", answer);
		if (strncmp(line, "churn", 5) == 0)
			print_slots();
	}
	return 0;
}
