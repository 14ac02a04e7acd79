/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of one scenario a run share: pushes, this process's own region read as anybody
 * would, and children. What is wrong is said on stderr, with status 1.
 *
 * Pushes are on device 5, those of fork children on device 6, all in pool dram.
 */
#ifndef TESTS_SCENARIO_H
#define TESTS_SCENARIO_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <unistd.h>

#define DEVICE 5
#define CHILDS_DEVICE 6
#define PUSHES 20
#define SIZE 16

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			dprintf(2, "%s:%d, case %d: not so: %s\n", __FILE__, __LINE__, case_no,    \
				#condition);                                                       \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static int case_no; /* which of many of the same kind, for messages */

static inline void take(uint32_t device, long count)
{
	while (count-- > 0)
		tally_alloc(device, TALLY_POOL_DRAM, SIZE, SIZE);
}

static inline bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		dprintf(2, "case %d: killed by signal %d\n", case_no, WTERMSIG(status));
	return status == 0;
}

static inline void in_thread(void *(*body)(void *arg))
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

static inline void *take_in_thread(void *arg)
{
	take(DEVICE, PUSHES);
	return arg;
}

/* ---- What is seen ---------------------------------------------------------------------------- */

static struct {
	uint64_t events, rejected, allocs, childs_allocs;
} seen;

/* Reads this process's own region, as anybody would. */
static inline void look(void)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid() };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	size_t i;

	memset(&seen, 0, sizeof(seen));
	CHECK(tally_consumer_open(&options, &consumer) == 0);
	CHECK(tally_consumer_poll(consumer) == 0);
	now = tally_snapshot_get(consumer);
	CHECK(now->process_count == 1);
	seen.events = now->events;
	seen.rejected = now->rejected_events;
	for (i = 0; i < now->pool_count; i++) {
		const struct tally_pool_view *pool = &now->pools[i];

		CHECK(pool->totals.allocated_bytes == pool->totals.allocations * SIZE);
		if (pool->device == DEVICE)
			seen.allocs = pool->totals.allocations;
		if (pool->device == CHILDS_DEVICE)
			seen.childs_allocs = pool->totals.allocations;
	}
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
}

/* Descriptors 0 .. 31, as bits. */
static inline uint32_t descriptors(void)
{
	uint32_t open_ones = 0;
	int fd;

	for (fd = 0; fd < 32; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			open_ones |= 1u << fd;
	return open_ones;
}

/* Ends a case without a region left behind. */
static inline void leave(void)
{
	tally_shutdown();
	_exit(0);
}

/* ---- Out of a handler ------------------------------------------------------------------------ */

static inline void alarm_in_us(long us)
{
	struct itimerval once = { .it_value = { .tv_usec = us } };

	setitimer(ITIMER_REAL, &once, NULL);
}

static const char *precious; /* the name of a file that a child opens in the handler */
static volatile sig_atomic_t in_child, handled;

/* The child goes on with the push that was interrupted. */
static inline void fork_in_handler(int number)
{
	pid_t pid = fork();

	(void)number;
	handled = 1;
	if (pid == 0) {
		in_child = 1;
		if (precious)
			CHECK(open(precious, O_RDWR | O_CLOEXEC) >= 0);
		take(CHILDS_DEVICE, 1);
	} else {
		CHECK(ended_well(pid));
	}
}

static inline void check_child(void)
{
	struct stat status;

	take(CHILDS_DEVICE, PUSHES);
	look();
	CHECK(seen.childs_allocs == PUSHES + 1);
	CHECK(seen.allocs <= 1); /* the one that was under way */
	CHECK(seen.rejected == 0);
	if (precious) {
		CHECK(stat(precious, &status) == 0);
		CHECK(status.st_size == 8);
	}
	leave();
}

/* ---- Scenarios ------------------------------------------------------------------------------- */

struct scenario {
	const char *name;
	int (*run)(const char *argument);
};

/* The one that the first argument names, in a table that ends without a name. */
static inline int run_scenario(const struct scenario *scenario, int argc, char **argv)
{
	for (; argc > 1 && scenario->name; scenario++)
		if (strcmp(argv[1], scenario->name) == 0)
			return scenario->run(argv[2]);
	return 2;
}

#endif
