/* SPDX-License-Identifier: Apache-2.0 */
/* Forks amid pushes, from several threads at once, of who holds memory and of who had a plugin. One
 * scenario a run, which judges itself, or has its region to be read until its stdin ends.
 *
 *	forks SCENARIO [ARGUMENT]
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

#include "tests/scenario.h"
#include "tests/trap_flag.h"

/* ---- Amid pushes ----------------------------------------------------------------------------- */

/* Flat out, each handler forks; ARGUMENT "laneless": another thread has the only lane. What is
 * counted is for the test to see, which is told the number of pushes and of children. */
#define FORKS_WANTED 400

static volatile sig_atomic_t forks, died;

static void fork_and_come_again(int number)
{
	pid_t pid;

	(void)number;
	if (in_child)
		return;
	pid = fork();
	if (pid == 0) {
		in_child = 1;
		take(CHILDS_DEVICE, 1);
		return;
	}
	case_no = forks++;
	died += !ended_well(pid);
	if (forks < FORKS_WANTED)
		alarm_in_us(60 + forks * 7 % 40); /* from now on, however long a fork takes */
}

static sem_t lane_taken;

static void *hold_lane(void *arg)
{
	take(DEVICE, 1);
	sem_post(&lane_taken);
	while (pause())
		;
	return arg;
}

/* Makes the region, and attaches this thread. Returns the number of pushes. */
static uint64_t attach(bool laneless)
{
	pthread_t holder;
	sigset_t alarms;

	if (laneless) {
		sigemptyset(&alarms);
		sigaddset(&alarms, SIGALRM);
		sem_init(&lane_taken, 0, 0);
		pthread_sigmask(SIG_BLOCK, &alarms, NULL);
		CHECK(pthread_create(&holder, NULL, hold_lane, NULL) == 0);
		pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
		sem_wait(&lane_taken);
	}
	take(DEVICE, 1);
	return laneless ? 2 : 1;
}

static int corner_fork_storm(const char *argument)
{
	uint64_t count = attach(argument != NULL);

	signal(SIGALRM, fork_and_come_again);
	alarm_in_us(100);
	for (; forks < FORKS_WANTED && !in_child; count++)
		take(DEVICE, 1);
	if (in_child) {
		take(CHILDS_DEVICE, PUSHES - 1);
		_exit(0);
	}
	CHECK(died == 0);
	printf("%llu %d\n", (unsigned long long)count, (int)forks);
	fflush(stdout);
	getchar();
	return 0;
}

#ifdef __x86_64__
static volatile sig_atomic_t steps;

static void step(int number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)info;
	if (++steps != case_no)
		return;
	trap_flag_end(interrupted);
	fork_in_handler(number);
}

/* A handler forks at each instruction of a push; ARGUMENT as above. */
static int corner_fork_at_instruction(const char *argument)
{
	struct sigaction action = { .sa_sigaction = step, .sa_flags = SA_SIGINFO };
	uint64_t count = attach(argument != NULL);

	sigaction(SIGTRAP, &action, NULL);
	for (case_no = 1, steps = 1; steps >= case_no - 1; case_no++, count++) {
		steps = 0;
		trap_flag_set();
		tally_alloc(DEVICE, TALLY_POOL_DRAM, SIZE, SIZE);
		trap_flag_clear();
		if (in_child)
			check_child();
	}
	CHECK(case_no > 30);
	look();
	CHECK(seen.allocs == count);
	CHECK(seen.events == count);
	return 0;
}
#endif

/* ---- Balances -------------------------------------------------------------------------------- */

/* Several threads fork at the same time. The heap is what a child takes over. */
#define FORKING_THREADS 4
#define FORKS_EACH 40

static void *fork_often(void *arg)
{
	int i;

	for (i = 0; i < FORKS_EACH; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			tally_alloc(0, TALLY_POOL_HEAP, 2, 5);
			_exit(0);
		}
		CHECK(ended_well(pid));
	}
	return arg;
}

/* The first push of all comes when a fork is under way, on another thread. */
static void *push_first(void *arg)
{
	tally_alloc(0, TALLY_POOL_HEAP, 1, 1000000);
	return arg;
}

static void push_beside(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, push_first, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

static int corner_first_push_beside_a_fork(const char *argument)
{
	pid_t pid;

	(void)argument;
	CHECK(pthread_atfork(push_beside, NULL, NULL) == 0);
	pid = fork();
	if (pid == 0) {
		tally_alloc(0, TALLY_POOL_HEAP, 2, 5);
		_exit(0);
	}
	CHECK(ended_well(pid));
	printf("1\n");
	fflush(stdout);
	getchar();
	return 0;
}

static int corner_forks_at_once(const char *argument)
{
	pthread_t threads[FORKING_THREADS];
	int i;

	(void)argument;
	tally_alloc(0, TALLY_POOL_HEAP, 1, 1000000);
	for (i = 0; i < FORKING_THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, fork_often, NULL) == 0);
	for (i = 0; i < FORKING_THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	printf("%d\n", FORKING_THREADS * FORKS_EACH);
	fflush(stdout);
	getchar();
	return 0;
}

static int64_t reset_heap(void)
{
	int64_t bytes = -1;

	CHECK(tally_pool_reset(0, TALLY_POOL_HEAP, &bytes) == 0);
	return bytes;
}

/* What the parent held is released with the rest, once; its child then opens with nothing. */
static int corner_pool_reset(const char *argument)
{
	pid_t pid;

	(void)argument;
	tally_alloc(0, TALLY_POOL_HEAP, 1, 1000);
	pid = fork();
	if (pid == 0) {
		tally_alloc(0, TALLY_POOL_HEAP, 2, 5);
		CHECK(reset_heap() == 1005);
		CHECK(reset_heap() == 0);
		pid = fork();
		if (pid == 0) {
			tally_alloc(0, TALLY_POOL_HEAP, 3, 7);
			CHECK(reset_heap() == 7);
			_exit(0);
		}
		CHECK(ended_well(pid));
		_exit(0);
	}
	CHECK(ended_well(pid));
	puts("done");
	fflush(stdout);
	getchar();
	return 0;
}

/* ---- A plugin with a libtally of its own ----------------------------------------------------- */

static void (*plug_push)(void);
static sem_t pushed, closed;

static void *push_and_outlive(void *arg)
{
	plug_push();
	sem_post(&pushed);
	sem_wait(&closed);
	return arg;
}

/* It goes while its threads live; they end after it. Then a fork, which it would have handled. */
static int corner_plugin(const char *library)
{
	pthread_t threads[4];
	void *plug, *found;
	int i;

	sem_init(&pushed, 0, 0);
	for (case_no = 0; case_no < 3; case_no++) {
		pid_t pid;

		sem_init(&closed, 0, 0);
		plug = dlopen(library, RTLD_NOW | RTLD_LOCAL);
		if (!plug)
			dprintf(2, "%s\n", dlerror());
		CHECK(plug != NULL);
		found = dlsym(plug, "plug_push");
		memcpy(&plug_push, &found, sizeof(found));
		for (i = 0; i < 4; i++) {
			CHECK(pthread_create(&threads[i], NULL, push_and_outlive, NULL) == 0);
			sem_wait(&pushed);
		}
		CHECK(dlclose(plug) == 0);
		CHECK(dlopen(library, RTLD_NOW | RTLD_NOLOAD) == NULL);
		for (i = 0; i < 4; i++)
			sem_post(&closed);
		for (i = 0; i < 4; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		pid = fork();
		if (pid == 0)
			_exit(0);
		CHECK(ended_well(pid));
	}
	return 0;
}

/* ---- */

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "fork-storm", corner_fork_storm },
#ifdef __x86_64__
		{ "fork-at-instruction", corner_fork_at_instruction },
#endif
		{ "forks-at-once", corner_forks_at_once },
		{ "first-push-beside-a-fork", corner_first_push_beside_a_fork },
		{ "pool-reset", corner_pool_reset },
		{ "plugin", corner_plugin },
		{ NULL, NULL },
	};

	return run_scenario(scenarios, argc, argv);
}
