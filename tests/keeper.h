/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that keep buffers (tests/prog/scripted.c), and what a consumer with a table says of
 * them. */
#ifndef TESTS_KEEPER_H
#define TESTS_KEEPER_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/watch.h"

/* Settings: NAME=VALUE, or NULL. */
static inline struct job keeper_start(const char *one, const char *other)
{
	struct command command = {
		.argv = LIST(prog("scripted")),
		.env = LIST("TALLY=1", one ? one : "TALLY_RING=4096", other),
	};
	struct job job = job_start(&command);

	assert_string_equal(job_line(&job), "ready");
	assert_int_equal(job_do(&job, "enabled"), 1);
	return job;
}

/* A consumer of this pid, or of all (0), with a table. */
static inline struct tally_consumer *keeper_watch(pid_t pid)
{
	struct tally_consumer_options options = { .pid = (uint32_t)pid, .read_buffers = true };
	struct tally_consumer *consumer = NULL;

	assert_int_equal(watch_open(&options, &consumer), 0);
	return consumer;
}

/* Two looks: the first may leave out what is being written. */
static inline void keeper_look(struct tally_consumer *consumer)
{
	assert_int_equal(tally_consumer_poll(consumer), 0);
	assert_int_equal(tally_consumer_poll(consumer), 0);
}

#define ROWS_MAX 2048

struct rows_seen {
	struct tally_buffer all[ROWS_MAX];
	char tags[ROWS_MAX][56], pools[ROWS_MAX][24], comms[ROWS_MAX][24];
	size_t count;
};

static struct rows_seen seen;

static inline bool keeper_see(void *arg, const struct tally_buffer *buffer)
{
	(void)arg;
	assert_true(seen.count < ROWS_MAX);
	snprintf(seen.tags[seen.count], sizeof(seen.tags[0]), "%s", buffer->tag);
	snprintf(seen.pools[seen.count], sizeof(seen.pools[0]), "%s", buffer->pool_name);
	snprintf(seen.comms[seen.count], sizeof(seen.comms[0]), "%s", buffer->comm);
	seen.all[seen.count++] = *buffer;
	return true;
}

/* All rows, into `seen`; as many as the snapshot says, once the consumer rests. */
static inline size_t keeper_rows(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now;
	size_t count;

	seen.count = 0;
	count = tally_buffers_each(consumer, keeper_see, NULL);
	assert_int_equal(count, seen.count);
	now = watch_get(consumer);
	assert_int_equal(now->buffers, seen.count);
	watch_put(now);
	return seen.count;
}

/* The row of that buffer, or NULL; there is no second one. */
static inline const struct tally_buffer *keeper_row(pid_t pid, uint32_t device, uint64_t id)
{
	const struct tally_buffer *found = NULL;
	size_t n;

	for (n = 0; n < seen.count; n++) {
		const struct tally_buffer *row = &seen.all[n];

		if (row->pid != (uint32_t)pid || row->device != device || row->buffer_id != id)
			continue;
		assert_null(found);
		found = row;
	}
	return found;
}

static inline size_t keeper_rows_of(pid_t pid)
{
	size_t count = 0, n;

	for (n = 0; n < seen.count; n++)
		count += seen.all[n].pid == (uint32_t)pid;
	return count;
}

static inline const struct tally_process_view *keeper_process(const struct tally_snapshot *now,
							      pid_t pid)
{
	const struct tally_process_view *row = watch_process(now, pid);

	if (!row)
		fail_msg("no process %d", (int)pid);
	return row;
}

#endif
