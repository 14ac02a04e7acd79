/* SPDX-License-Identifier: Apache-2.0 */
/* A crowd: what it takes to look at 256 processes with 64 devices each and a million live buffers.
 *
 * The processes are real, and stand still while they are looked at. Totals do not know buffers:
 * there are a million of them because that is what one would fear.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness/result.h"

#define PROCESSES 256
#define DEVICES 64
#define POOLS 3
#define BUFFERS 1000000
#define CROWD_ROUNDS 31
#define QUICK_ROUNDS 5 /* they are long ones */
#define LOOKS 10

static const struct question looking = { .id = "crowd_look",
					 .words = "How long does it take to look at 256 processes "
						  "with 64 devices each?",
					 .unit = "ms" };

static struct figure ps_wall = { .name = "tally ps" };
static struct figure ps_cpu = { .name = "tally ps, processor time" };
static struct figure ps_json = { .name = "tally ps --json" };
static struct figure first_look = { .name = "a consumer opened, first look" };
static struct figure next_look = { .name = "each look after it, processor time" };

static char dir[] = "/dev/shm/bench-of-tally-XXXXXX";
static struct tally_consumer *consumer;
static double spawned_cpu_ms;

/* ---- The crowd ------------------------------------------------------------------------------- */

/* Until the bench has closed its end. */
static _Noreturn void be_one(int ready, int stay)
{
	struct tally_options options = { .ring_records = 64, .lanes = 1 };
	uint64_t i;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tally_init(&options) != 0)
		_exit(1);
	for (i = 0; i < BUFFERS / PROCESSES + 1; i++)
		tally_alloc((uint32_t)i % DEVICES, (uint32_t)(i / DEVICES) % POOLS, i, 1024);
	if (write(ready, &byte, 1) != 1)
		_exit(1);
	while (read(stay, &byte, 1) > 0)
		;
	tally_shutdown();
	_exit(0);
}

/* The end to close when they are to go; -1: they could not be made. */
static int gather(void)
{
	int ready[2], stay[2], n;
	char bytes[PROCESSES];
	size_t came = 0;

	if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(stay, O_CLOEXEC) != 0)
		return -1;
	fflush(NULL);
	for (n = 0; n < PROCESSES; n++)
		if (fork() == 0) {
			close(stay[1]);
			close(ready[0]);
			be_one(ready[1], stay[0]);
		}
	close(ready[1]);
	close(stay[0]);
	while (came < PROCESSES) {
		ssize_t got = read(ready[0], bytes, sizeof(bytes));

		if (got <= 0)
			break; /* they have all come, or died */
		came += (size_t)got;
	}
	close(ready[0]);
	if (came == PROCESSES)
		return stay[1];
	close(stay[1]);
	return -1;
}

static void disperse(int stay)
{
	if (stay >= 0)
		close(stay);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	rmdir(dir);
}

/* ---- What is measured ------------------------------------------------------------------------ */

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double time_command(char *last)
{
	char *argv[] = { BUILD_DIR "/tally", "ps", last, NULL };
	posix_spawn_file_actions_t actions;
	double start = now_ns();
	struct rusage usage;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0 ||
	    wait4(pid, &status, 0, &usage) != pid || status != 0) {
		fprintf(stderr, "bench/crowd: tally ps failed, status %d\n", status);
		exit(1);
	}
	posix_spawn_file_actions_destroy(&actions);
	spawned_cpu_ms = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
			 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
	return (now_ns() - start) / 1e6;
}

static double time_ps(void)
{
	return time_command(NULL);
}

static double time_json(void)
{
	return time_command("--json");
}

static double cpu_of_ps(void)
{
	return spawned_cpu_ms;
}

static double time_open(void)
{
	double start = now_ns();
	int error = tally_consumer_open(NULL, &consumer);

	if (error) {
		fprintf(stderr, "bench/crowd: no consumer: %s\n", strerror(-error));
		exit(1);
	}
	return (now_ns() - start) / 1e6;
}

static double time_look(void)
{
	double start = cpu_ms();
	int i;

	for (i = 0; i < LOOKS; i++)
		tally_consumer_poll(consumer);
	return (cpu_ms() - start) / LOOKS;
}

/* Whether everything is seen, and exact: what is measured is worth nothing without. */
static bool is_whole(void)
{
	const struct tally_snapshot *now = tally_snapshot_get(consumer);
	uint64_t allocations = 0;
	bool whole;
	size_t n;

	for (n = 0; n < now->pool_count; n++)
		allocations += now->pools[n].totals.allocations;
	whole = now->complete && now->process_count == PROCESSES && allocations >= BUFFERS;
	result_note(&looking,
		    "%zu processes, %zu pairs of device and pool, %llu live buffers, seen by one "
		    "consumer%s",
		    now->process_count, now->process_pool_count, (unsigned long long)allocations,
		    whole ? "" : " - NOT ALL OF THEM");
	tally_snapshot_put(now);
	return whole;
}

static bool measure(void)
{
	size_t rounds = bench_quick() ? QUICK_ROUNDS : CROWD_ROUNDS, i;
	bool whole = false;

	for (i = 0; i < rounds; i++) {
		bench_progress("looks", i, rounds);
		figure_time(&ps_wall, time_ps);
		figure_time(&ps_cpu, cpu_of_ps);
		figure_time(&ps_json, time_json);
		figure_time(&first_look, time_open);
		tally_consumer_poll(consumer); /* from here on it follows */
		figure_time(&next_look, time_look);
		if (i == 0)
			whole = is_whole();
		tally_consumer_close(consumer);
	}
	return whole;
}

/* The library has read its environment as it was loaded: once more, with a place of our own. */
static void begin_again(char **argv)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (getenv("BENCH_DIR"))
		return;
	if (!mkdtemp(dir) || setenv("TALLY_DIR", dir, 1) || setenv("BENCH_DIR", dir, 1))
		exit(1);
	execv("/proc/self/exe", argv);
	exit(1);
}

static void report(void)
{
	result_figure(&looking, &ps_wall);
	result_figure(&looking, &ps_cpu);
	result_figure(&looking, &ps_json);
	result_figure(&looking, &first_look);
	result_figure(&looking, &next_look);
	result_goal(&looking, &(struct goal){ .words = "tally ps, on a machine that is idle:",
					      .value = figure_median(&ps_wall),
					      .unit = "ms",
					      .limit = 200 });
	result_goal(&looking, &(struct goal){ .words = "a look, processor time:",
					      .value = figure_median(&next_look),
					      .unit = "ms",
					      .limit = 10 });
}

int main(int argc, char **argv)
{
	bool whole = false;
	int stay;

	begin_again(argv);
	bench_begin(argc, argv, "crowd");
	snprintf(dir, sizeof(dir), "%s", getenv("BENCH_DIR"));
	stay = gather();
	if (stay < 0)
		result_absent(&looking, ps_wall.name, NULL,
			      "256 regions could not be made in /dev/shm (64 MiB)");
	else
		whole = measure();
	disperse(stay);
	if (stay >= 0)
		report();
	if (stay >= 0 && !whole)
		bench_fail("not all of the crowd was seen");
	return bench_end();
}
