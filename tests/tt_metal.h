/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that reports by its class (prog/tt_metal.cpp), as either compiler makes it, and what a
 * consumer sees of it.
 */
#ifndef TESTS_TT_METAL_H
#define TESTS_TT_METAL_H

#include <inttypes.h>
#include <tally/tally.h>

#include "tests/scripted.h"
#include "tests/watch.h"

/* A test is run with the program that links the library, and with the one that clang++ has made of
 * the adapter's source; *state says which. */
#define WITH(name, program)                                                                        \
	{                                                                                          \
#name " (" program ")", name, test_begin, test_end, (void *)program                \
	}
#define BOTH(name) WITH(name, "tt_metal"), WITH(name, "tt_metal_clang")

/* settings: NAME=VALUE, the environment. */
static inline struct job client_start_with(void **state, const char *const *settings)
{
	struct job job = job_start(
		&(struct command){ .argv = LIST(prog((const char *)*state)), .env = settings });

	assert_string_equal(job_line(&job), "ready");
	return job;
}

/* As a site has it that knows of no Tally. */
static inline struct job client_start(void **state)
{
	return client_start_with(state, LIST("TT_ALLOC_TRACKING_ENABLED=1"));
}

static inline char *client_ask(const struct job *job, const char *line)
{
	job_say(job, line);
	return job_line(job);
}

static inline void check_counts(const struct job *job, const char *counts)
{
	assert_string_equal(client_ask(job, "counts"), counts);
}

/* One (device, pool) of the process. */
static inline struct test_sums sums_of(pid_t pid, uint32_t device, uint32_t pool)
{
	struct tally_consumer *consumer = watch_pid(pid);
	const struct tally_snapshot *now = watch_look(consumer);
	struct test_sums sums = watch_sums(now, device, pool);

	watch_put(now);
	watch_close(consumer);
	return sums;
}

#define check_sums_of(pid, device, pool, ...)                                                      \
	assert_sums_equal(sums_of(pid, device, pool), ((struct test_sums){ __VA_ARGS__ }))

/* On (device, pool) there are `bytes` in `count` allocations. */
static inline void check_live(pid_t pid, uint32_t device, uint32_t pool, int64_t bytes,
			      int64_t count)
{
	struct test_sums sums = sums_of(pid, device, pool);

	assert_int_equal(sums.allocated_bytes - sums.freed_bytes, bytes);
	assert_int_equal(sums.allocs - sums.frees, count);
}

/* How many (device, pool) have any event, and how many events are in no total. */
static inline void check_cells(pid_t pid, size_t cells, uint64_t rejected)
{
	struct tally_consumer *consumer = watch_pid(pid);
	const struct tally_snapshot *now = watch_look(consumer);

	assert_int_equal(now->pool_count, cells);
	assert_int_equal(now->rejected_events, rejected);
	assert_int_equal(now->complete, rejected == 0);
	watch_put(now);
	watch_close(consumer);
}

#endif
