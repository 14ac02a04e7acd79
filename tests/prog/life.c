/* SPDX-License-Identifier: Apache-2.0 */
/* What may happen in a process's life, one scenario a run: fork, exec, daemons, signals, exits.
 *
 *	life SCENARIO [ARGUMENT]
 *
 * Each process image pushes on device 5, pool dram, and writes one line to the file LIFE_TRUTH
 * about what it has pushed and will push: "PID allocated freed allocs frees unsure". unsure is 0,
 * or how many allocs of 16 bytes more may have been counted, as they were interrupted.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/emulator.h"

#define DEVICE 5

extern char **environ;

static struct {
	uint64_t allocated, freed, allocs, frees, unsure;
} sums;

static char *self;

static void take(uint64_t size)
{
	tally_add_relaxed(&sums.allocated, size);
	tally_add_relaxed(&sums.allocs, 1);
	tally_alloc(DEVICE, TALLY_POOL_DRAM, size, size);
}

static void give(uint64_t size)
{
	tally_add_relaxed(&sums.freed, size);
	tally_add_relaxed(&sums.frees, 1);
	tally_free(DEVICE, TALLY_POOL_DRAM, size, size);
}

static void start_afresh(void)
{
	memset(&sums, 0, sizeof(sums));
}

static void tell(void)
{
	int fd = open(getenv("LIFE_TRUTH"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	char line[200];
	int size = snprintf(line, sizeof(line), "%d %llu %llu %llu %llu %llu\n", getpid(),
			    (unsigned long long)sums.allocated, (unsigned long long)sums.freed,
			    (unsigned long long)sums.allocs, (unsigned long long)sums.frees,
			    (unsigned long long)sums.unsure);

	if (fd < 0 || write(fd, line, (size_t)size) != size)
		_exit(80);
	close(fd);
}

static int ended_well(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 81;
}

/* What a child does: its own pushes, and no trace of its parent's. */
static void child_life(void)
{
	start_afresh();
	take(10);
	take(20);
	give(1000); /* of the parent's */
	tell();
}

/* ---- Children -------------------------------------------------------------------------------- */

static int life_fork(void)
{
	char *volatile kept = malloc(50000);
	char *volatile freed = malloc(100000);
	pid_t pid;

	take(1000);
	take(2000);
	pid = fork();
	if (pid == 0) {
		free(freed);
		child_life();
		exit(0);
	}
	if (!kept)
		return 85;
	take(3000);
	tell();
	return ended_well(pid);
}

/* Parent and child stay, until stdin ends. */
static int life_fork_stays(void)
{
	char *volatile kept = malloc(50000);
	char *volatile freed = malloc(100000);
	pid_t pid;
	char byte;
	int ends[2];

	if (!kept || pipe(ends) != 0)
		return 85;
	take(1000);
	pid = fork();
	if (pid == 0) {
		free(freed);
		child_life();
		if (write(ends[1], "", 1) != 1)
			_exit(86);
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
		_exit(0);
	}
	tell();
	if (read(ends[0], &byte, 1) != 1 || write(STDOUT_FILENO, "working\n", 8) != 8)
		return 86;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return ended_well(pid);
}

/* The child lives on in its own child. */
static int life_fork_twice(void)
{
	pid_t pid;

	take(1000);
	pid = fork();
	if (pid == 0) {
		pid = fork(); /* before its first push */
		if (pid == 0) {
			child_life();
			_exit(0);
		}
		child_life();
		_exit(ended_well(pid));
	}
	tell();
	return ended_well(pid);
}

/* A child without pthread_atfork(). */
static int life_clone(void)
{
	long pid;

	take(1000);
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		child_life();
		_exit(0);
	}
	take(1);
	tell();
	return ended_well((pid_t)pid);
}

/* Until it execs, a vfork child is in its parent's memory: what it pushes is the parent's. */
static int life_vfork(void)
{
	char *const arguments[] = { EMULATOR_FIRST self, "leaf", NULL };
	pid_t pid;

	take(1000);
	pid = vfork();
	if (pid == 0) {
		take(1);
		execvp(arguments[0], arguments);
		_exit(82);
	}
	take(2);
	if (ended_well(pid))
		return 81;
	pid = vfork();
	if (pid == 0) {
		take(4);
		_exit(0);
	}
	take(8);
	tell();
	return ended_well(pid);
}

static int life_spawn(void)
{
	char *const arguments[] = { EMULATOR_FIRST self, "leaf", NULL };
	pid_t pid;

	take(1000);
	if (posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ) != 0)
		return 82;
	take(1);
	tell();
	return ended_well(pid);
}

static int life_exec(void)
{
	char *const arguments[] = { EMULATOR_FIRST self, "leaf", NULL };

	take(1000);
	give(300);
	tell();
	execvp(arguments[0], arguments);
	return 82;
}

static int life_leaf(void)
{
	take(50);
	give(5);
	tell();
	return 0;
}

/* A child that lives as short as can be. */
static int life_short(void)
{
	int i;

	for (i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			child_life();
			_exit(0);
		}
		if (ended_well(pid))
			return 81;
	}
	take(1);
	tell();
	return 0;
}

/* A daemon that closes every descriptor it did not open. ARGUMENT "stays": it outlives us. */
static int life_daemon(const char *argument)
{
	int stays = argument && strcmp(argument, "stays") == 0;
	uint64_t *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			       0);
	char *volatile kept = malloc(40000); /* by the daemon, too */
	pid_t pid;

	if (!kept)
		return 85;
	take(1000);
	tell();
	pid = fork();
	if (pid == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		take(1); /* its region is there before ... */
		closefrom(0);
		start_afresh();
		take(10); /* ... and after */
		sums.allocated += 1;
		sums.allocs += 1;
		tell();
		tally_store_release(ready, 1);
		while (stays)
			pause();
		_exit(0);
	}
	if (ended_well(pid))
		return 81;
	while (!tally_load_acquire(ready))
		usleep(1000);
	return 0;
}

static uint64_t stop;

static void *push_until_stopped(void *arg)
{
	while (!tally_load_acquire(&stop)) {
		take(3);
		give(2);
	}
	return arg;
}

/* Forks while other threads are in the middle of a push. */
static int life_fork_among_threads(void)
{
	pthread_t threads[4];
	int i, error = 0;

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, push_until_stopped, NULL);
	for (i = 0; i < 50 && !error; i++) {
		/* EMULATED: nothing is wiped but by the handlers of fork() */
		bool plain = i % 2 || EMULATED;
		pid_t pid = plain ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (pid == 0) {
			child_life();
			_exit(0);
		}
		take(1);
		error = ended_well(pid);
	}
	tally_store_release(&stop, 1);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	tell();
	return error;
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void *outlive_main(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
	take(77);
	tell();
	return NULL;
}

static int life_pthread_exit(void)
{
	static pthread_t main_thread;
	pthread_t other;

	main_thread = pthread_self();
	take(1000);
	pthread_create(&other, NULL, outlive_main, &main_thread);
	pthread_exit(NULL);
}

static void *push_once(void *arg)
{
	take((uint64_t)(uintptr_t)arg);
	return NULL;
}

/* More threads, one after the other, than there are lanes. */
static int life_threads_come_and_go(void)
{
	pthread_t thread;
	uint64_t i;

	for (i = 1; i <= 2000; i++) {
		pthread_create(&thread, NULL, push_once, (void *)(uintptr_t)i);
		pthread_join(thread, NULL);
	}
	tell();
	return 0;
}

static pthread_key_t keys[8];

static void push_late(void *value)
{
	static const int rounds_max = PTHREAD_DESTRUCTOR_ITERATIONS;
	uintptr_t round = (uintptr_t)value >> 8;
	uintptr_t key = (uintptr_t)value & 0xff;

	take(1);
	if ((int)round + 1 < rounds_max) /* and again, after all others */
		pthread_setspecific(keys[key], (void *)((round + 1) << 8 | key));
}

static void *push_in_destructors(void *arg)
{
	uintptr_t i;

	take(100);
	for (i = 1; i < 8; i++)
		pthread_setspecific(keys[i], (void *)i);
	return arg;
}

/* Destructors of thread-specific values push, before ours and after it. */
static int life_thread_destructors(void)
{
	pthread_t threads[32];
	int i;

	pthread_key_create(&keys[1], push_late);
	pthread_key_create(&keys[2], push_late);
	take(1); /* libtally's key comes between them */
	for (i = 3; i < 8; i++)
		pthread_key_create(&keys[i], push_late);
	for (i = 0; i < 32; i++)
		pthread_create(&threads[i], NULL, push_in_destructors, NULL);
	for (i = 0; i < 32; i++)
		pthread_join(threads[i], NULL);
	tell();
	return 0;
}

static int life_dlopen(const char *library)
{
	int i;

	take(1000);
	for (i = 0; i < 20; i++) {
		void *plug = dlopen(library, RTLD_NOW | RTLD_LOCAL);
		void (*plug_push)(void);
		void *found;

		if (!plug)
			return 83;
		found = dlsym(plug, "plug_push");
		memcpy(&plug_push, &found, sizeof(found));
		plug_push();
		dlclose(plug);
		sums.allocated += 3 * 7; /* as it came, when called, as it went */
		sums.allocs += 3;
	}
	take(1);
	tell();
	return 0;
}

/* Pushes before main() and after exit handlers. */
static bool at_the_edges;

__attribute__((constructor)) static void before_main(int argc, char **argv)
{
	at_the_edges = argc > 1 && strcmp(argv[1], "edges") == 0;
	if (at_the_edges)
		take(1);
}

static void at_exit(void)
{
	take(2);
}

__attribute__((destructor(65535))) static void after_exit_handlers(void)
{
	if (!at_the_edges)
		return;
	take(4);
	tell();
}

static int life_edges(void)
{
	atexit(at_exit);
	take(8);
	return 0;
}

static int life_killed(void)
{
	take(1000);
	take(234);
	give(34);
	tell();
	puts("working");
	fflush(stdout);
	while (pause())
		;
	return 0;
}

static int life_ends(const char *how)
{
	take(1000);
	give(400);
	tell();
	puts("working");
	fflush(stdout);
	getchar();
	if (how && strcmp(how, "_exit") == 0)
		_exit(0);
	if (how && strcmp(how, "shutdown") == 0)
		return tally_shutdown();
	return 0;
}

/* ---- Signals --------------------------------------------------------------------------------- */

static void push_in_handler(int number)
{
	int before = errno;

	(void)number;
	errno = 4242;
	take(7);
	give(3);
	if (errno != 4242)
		_exit(84);
	errno = before;
}

static void storm(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };
	struct itimerval often = { .it_interval = { .tv_usec = 50 },
				   .it_value = { .tv_usec = 50 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static void calm(void)
{
	struct itimerval never = { 0 };

	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_IGN);
}

/* Until handlers have pushed 2000 times while we did. */
static int life_signals(void)
{
	uint64_t mine = 0;

	storm(push_in_handler);
	while (tally_load_relaxed(&sums.allocs) - mine < 2000) {
		take(11);
		give(11);
		mine++;
	}
	calm();
	tell();
	return 0;
}

static sigjmp_buf back;

static void jump_back(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

/* Handlers jump out of pushes: each that was begun and never came back may count or not. */
static int life_longjmp(void)
{
	static volatile uint64_t jumps, done; /* as all that must outlive a jump */

	while (jumps < 300) {
		if (sigsetjmp(back, 1) == 0) {
			storm(jump_back);
			for (;;) {
				tally_alloc(DEVICE, TALLY_POOL_DRAM, 1, 16);
				done++;
			}
		}
		jumps++; /* in the call, or between it and the count */
	}
	calm();
	sums.allocs = done;
	sums.allocated = done * 16;
	sums.unsure = jumps;
	take(1000);
	tell();
	return 0;
}

/* ---- */

static const struct {
	const char *name;
	int (*plain)(void);
	int (*with)(const char *argument);
} lives[] = {
	{ "fork", life_fork, NULL },
	{ "fork-stays", life_fork_stays, NULL },
	{ "fork-twice", life_fork_twice, NULL },
	{ "fork-among-threads", life_fork_among_threads, NULL },
	{ "clone", life_clone, NULL },
	{ "vfork", life_vfork, NULL },
	{ "spawn", life_spawn, NULL },
	{ "exec", life_exec, NULL },
	{ "leaf", life_leaf, NULL },
	{ "short", life_short, NULL },
	{ "daemon", NULL, life_daemon },
	{ "pthread-exit", life_pthread_exit, NULL },
	{ "threads-come-and-go", life_threads_come_and_go, NULL },
	{ "thread-destructors", life_thread_destructors, NULL },
	{ "dlopen", NULL, life_dlopen },
	{ "edges", life_edges, NULL },
	{ "killed", life_killed, NULL },
	{ "ends", NULL, life_ends },
	{ "signals", life_signals, NULL },
	{ "longjmp", life_longjmp, NULL },
};

int main(int argc, char **argv)
{
	size_t i;

	self = argv[0];
	for (i = 0; argc > 1 && i < sizeof(lives) / sizeof(lives[0]); i++) {
		if (strcmp(argv[1], lives[i].name) != 0)
			continue;
		return lives[i].plain ? lives[i].plain() : lives[i].with(argv[2]);
	}
	return 2;
}
