/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer's calls, and the thread that looks again and again. */
#include <tally/consumer.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "consumer/exclude.h"
#include "consumer/look.h"
#include "ring/clock.h"

/* Between two looks records are drained this often while they come, and ever less when not. */
#define DRAIN_PAUSE_NS 1000000u

/* A new region is not left waiting for the interval to pass, unless looks take long. */
#define EARLY_LOOK_NS 10000000u
#define EARLY_LOOK_SHARE 10

enum running { STOPPED, RUNNING, STOPPING };

struct tally_consumer {
	struct look look;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	enum running running;
	bool polling;
	pthread_t thread;
	uint64_t interval_ns;
};

/* ---- The thread ------------------------------------------------------------------------------ */

/* Sleeps until `until_ns` or a stop. With the lock held. */
static void sleep_until(struct tally_consumer *consumer, uint64_t until_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / 1000000000u),
		.tv_nsec = (long)(until_ns % 1000000000u),
	};

	while (consumer->running == RUNNING && clock_monotonic_ns() < until_ns)
		pthread_cond_timedwait(&consumer->wake, &consumer->lock, &until);
}

/* The time between two looks, the last of which took `look_ns`. With the lock held, but not while
 * draining. */
static void pass_interval(struct tally_consumer *consumer, uint64_t look_ns)
{
	uint64_t start_ns = clock_monotonic_ns();
	uint64_t end_ns = start_ns + consumer->interval_ns;
	uint64_t early_ns = start_ns + EARLY_LOOK_NS + look_ns * EARLY_LOOK_SHARE;
	uint64_t pause_ns = DRAIN_PAUSE_NS;

	while (consumer->running == RUNNING) {
		uint64_t now_ns = clock_monotonic_ns();

		if (now_ns >= end_ns ||
		    (now_ns >= early_ns &&
		     (consumer->look.due || attach_changed(&consumer->look.attach))))
			return;
		if (!consumer->look.attach.options.read_records || now_ns + pause_ns >= end_ns) {
			sleep_until(consumer, end_ns);
			return;
		}
		sleep_until(consumer, now_ns + pause_ns);
		pthread_mutex_unlock(&consumer->lock);
		pause_ns = look_drain(&consumer->look) ? DRAIN_PAUSE_NS : pause_ns * 2;
		pthread_mutex_lock(&consumer->lock);
	}
}

static void *run(void *arg)
{
	struct tally_consumer *consumer = arg;
	uint64_t start_ns;

	exclude_begin(); /* for good */
	pthread_mutex_lock(&consumer->lock);
	do {
		pthread_mutex_unlock(&consumer->lock);
		start_ns = clock_monotonic_ns();
		look_once(&consumer->look); /* after an error the snapshot before it stays */
		pthread_mutex_lock(&consumer->lock);
		pass_interval(consumer, clock_monotonic_ns() - start_ns);
	} while (consumer->running == RUNNING);
	pthread_mutex_unlock(&consumer->lock);
	consumer->look.pipeline.last = true;
	look_once(&consumer->look);
	consumer->look.pipeline.last = false;
	return NULL;
}

static int make_thread(struct tally_consumer *consumer)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&consumer->thread, NULL, run, consumer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error ? -EAGAIN : 0;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void free_consumer(struct tally_consumer *consumer)
{
	look_close(&consumer->look);
	pthread_cond_destroy(&consumer->wake);
	pthread_mutex_destroy(&consumer->lock);
	free(consumer);
}

static int open_consumer(const struct tally_consumer_options *options,
			 struct tally_consumer **ret_consumer)
{
	struct tally_consumer *consumer = calloc(1, sizeof(*consumer));
	pthread_condattr_t monotonic;
	int error;

	if (!consumer)
		return -ENOMEM;
	error = look_open(&consumer->look, options);
	if (error) {
		free(consumer);
		return error;
	}
	pthread_mutex_init(&consumer->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&consumer->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	error = look_once(&consumer->look);
	if (!error)
		error = look_found(&consumer->look);
	if (error) {
		free_consumer(consumer);
		return error;
	}
	*ret_consumer = consumer;
	return 0;
}

int tally_consumer_open(const struct tally_consumer_options *options,
			struct tally_consumer **ret_consumer)
{
	int error;

	exclude_begin();
	error = open_consumer(options, ret_consumer);
	exclude_end();
	return error;
}

void tally_consumer_close(struct tally_consumer *consumer)
{
	if (!consumer)
		return;
	tally_consumer_stop(consumer);
	exclude_begin();
	free_consumer(consumer);
	exclude_end();
}

const char *tally_consumer_lent_region(const struct tally_consumer *consumer)
{
	return consumer->look.lent.base ? consumer->look.lent.name : NULL;
}

int tally_consumer_poll(struct tally_consumer *consumer)
{
	int error;

	pthread_mutex_lock(&consumer->lock);
	error = consumer->running != STOPPED || consumer->polling ? -EBUSY : 0;
	if (!error)
		consumer->polling = true;
	pthread_mutex_unlock(&consumer->lock);
	if (error)
		return error;
	exclude_begin();
	error = look_once(&consumer->look);
	exclude_end();
	pthread_mutex_lock(&consumer->lock);
	consumer->polling = false;
	pthread_mutex_unlock(&consumer->lock);
	return error;
}

int tally_consumer_start(struct tally_consumer *consumer, uint32_t interval_ms)
{
	int error = -EBUSY;

	exclude_begin();
	pthread_mutex_lock(&consumer->lock);
	if (consumer->running == STOPPED && !consumer->polling) {
		consumer->interval_ns = (interval_ms ? interval_ms : 1) * 1000000ull;
		consumer->running = RUNNING;
		error = make_thread(consumer);
		if (error)
			consumer->running = STOPPED;
	}
	pthread_mutex_unlock(&consumer->lock);
	exclude_end();
	return error;
}

int tally_consumer_stop(struct tally_consumer *consumer)
{
	bool runs;

	pthread_mutex_lock(&consumer->lock);
	runs = consumer->running == RUNNING;
	if (runs) {
		consumer->running = STOPPING;
		pthread_cond_signal(&consumer->wake);
	}
	pthread_mutex_unlock(&consumer->lock);
	if (!runs)
		return -ESRCH;
	exclude_begin();
	pthread_join(consumer->thread, NULL);
	exclude_end();
	pthread_mutex_lock(&consumer->lock);
	consumer->running = STOPPED;
	pthread_mutex_unlock(&consumer->lock);
	return 0;
}

const struct tally_snapshot *tally_snapshot_get(const struct tally_consumer *consumer)
{
	const struct tally_snapshot *snapshot;

	exclude_begin(); /* a thread's first RCU lock registers it */
	snapshot = publisher_get(&consumer->look.publisher);
	exclude_end();
	return snapshot;
}

void tally_snapshot_put(const struct tally_snapshot *snapshot)
{
	(void)snapshot;
	publisher_put();
}

size_t tally_buffers_each(const struct tally_consumer *consumer,
			  bool (*each)(void *each_arg, const struct tally_buffer *buffer),
			  void *each_arg)
{
	return buffers_each(&consumer->look.pipeline.buffers, each, each_arg);
}
