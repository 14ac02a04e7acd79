/* SPDX-License-Identifier: Apache-2.0 */
/* A process that does as it is told, a line on stdin at a time, each answered by a line on stdout.
 *
 *	alloc N SIZE    N allocs of SIZE bytes on device 3, pool dram
 *	free N SIZE     as many frees
 *	thread N SIZE   as alloc, in a thread of its own, which then ends
 *	heap N SIZE     N allocs on device 0, pool heap
 *	fork            a child that has one alloc of 7 bytes on device 3, dram; answers its pid
 *
 * joiner [N SIZE [kill]] does an alloc first; with `kill` it ends by SIGKILL then. It exits at the
 * end of stdin.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>
#include <unistd.h>

#define DEVICE 3

struct task {
	long count;
	unsigned long long size;
};

static void allocate(const struct task *task)
{
	long i;

	for (i = 0; i < task->count; i++)
		tally_alloc(DEVICE, TALLY_POOL_DRAM, (uint64_t)i + 1, task->size);
}

static void *in_thread(void *arg)
{
	allocate(arg);
	return NULL;
}

static int fork_child(void)
{
	int ends[2];
	char byte;
	pid_t pid;

	if (pipe(ends) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		tally_alloc(DEVICE, TALLY_POOL_DRAM, 1, 7);
		if (write(ends[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (pid < 0 || read(ends[0], &byte, 1) != 1)
		return -1;
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static int obey(const char *verb, struct task *task)
{
	pthread_t thread;
	long i;

	if (strcmp(verb, "alloc") == 0) {
		allocate(task);
	} else if (strcmp(verb, "free") == 0) {
		for (i = 0; i < task->count; i++)
			tally_free(DEVICE, TALLY_POOL_DRAM, (uint64_t)i + 1, task->size);
	} else if (strcmp(verb, "thread") == 0) {
		if (pthread_create(&thread, NULL, in_thread, task) != 0)
			return -1;
		pthread_join(thread, NULL);
	} else if (strcmp(verb, "heap") == 0) {
		for (i = 0; i < task->count; i++)
			tally_alloc(0, TALLY_POOL_HEAP, (uint64_t)i + 1, task->size);
	} else if (strcmp(verb, "fork") == 0) {
		return fork_child();
	} else {
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char line[200], verb[20];
	struct task task = { 0 };
	int answer;

	if (argc >= 3) {
		task.count = atol(argv[1]);
		task.size = strtoull(argv[2], NULL, 10);
		allocate(&task);
	}
	if (argc == 4)
		kill(getpid(), SIGKILL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts(tally_enabled() ? "armed" : "off");
	while (fgets(line, sizeof(line), stdin)) {
		task = (struct task){ 0 };
		if (sscanf(line, "%19s %ld %llu", verb, &task.count, &task.size) < 1)
			return 2;
		answer = obey(verb, &task);
		if (answer < 0)
			return 3;
		printf("%d\n", answer);
	}
	return 0;
}
