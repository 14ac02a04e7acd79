/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer's calls, and the thread that looks again and again. */
#include <tally/consumer.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "consumer/descriptor.h"
#include "consumer/exclude.h"
#include "consumer/look.h"
#include "ring/clock.h"

/* Between two looks records are drained this often while they come fast, and ever less when not,
 * but so often still that little is lost of what comes after a silence. */
#define DRAIN_PAUSE_NS 1000000u
#define DRAIN_PAUSE_MAX_NS 16000000u

/* A new region is not left waiting for the interval to pass, unless looks take long. */
#define EARLY_LOOK_NS 10000000u
#define EARLY_LOOK_SHARE 10

enum running { STOPPED, RUNNING, STOPPING };

struct tally_consumer {
	struct look look;

	pthread_mutex_t lock; /* of the next two */
	enum running running;
	bool polling;

	/* Constant while the thread runs. */
	pthread_t thread;
	int stop_fd; /* an eventfd: readable once it is to end */
	uint64_t interval_ns;
};

/* ---- The thread ------------------------------------------------------------------------------ */

static bool is_running(struct tally_consumer *consumer)
{
	bool runs;

	pthread_mutex_lock(&consumer->lock);
	runs = consumer->running == RUNNING;
	pthread_mutex_unlock(&consumer->lock);
	return runs;
}

/* Sleeps until `until_ns`, a stop, or, if `listens`, something in the directory; that it was this
 * is the result. */
static bool sleep_until(struct tally_consumer *consumer, uint64_t until_ns, bool listens)
{
	struct pollfd fds[2] = {
		{ .fd = consumer->stop_fd, .events = POLLIN },
		{ .fd = listens ? consumer->look.attach.follow.fd : -1, .events = POLLIN },
	};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec left = {
		.tv_sec = (time_t)(left_ns / 1000000000u),
		.tv_nsec = (long)(left_ns % 1000000000u),
	};

	if (ppoll(fds, 2, &left, NULL) < 0 || (fds[0].revents & POLLNVAL)) {
		/* No memory, or the host has closed our descriptors: never at full speed. */
		left = (struct timespec){ .tv_nsec = DRAIN_PAUSE_NS };
		nanosleep(&left, NULL);
	}
	return fds[1].revents != 0;
}

/* The time between two looks, the last of which took `look_ns`. */
static void pass_interval(struct tally_consumer *consumer, uint64_t look_ns)
{
	bool drains = consumer->look.attach.options.read_records;
	uint64_t start_ns = clock_monotonic_ns();
	uint64_t end_ns = start_ns + consumer->interval_ns;
	uint64_t early_ns = start_ns + EARLY_LOOK_NS + look_ns * EARLY_LOOK_SHARE;
	uint64_t pause_ns = DRAIN_PAUSE_NS;
	uint64_t drain_ns = drains ? start_ns + pause_ns : UINT64_MAX;
	uint64_t listen_ns =
		start_ns; /* until then others may do in the directory what they like */

	while (is_running(consumer)) {
		bool wanted = attach_changed(&consumer->look.attach) || consumer->look.due;
		uint64_t now_ns = clock_monotonic_ns();
		uint64_t until_ns = end_ns;
		bool listens = !wanted && now_ns >= listen_ns;

		if (now_ns >= end_ns || (wanted && now_ns >= early_ns))
			return;
		if (now_ns >= drain_ns) {
			pause_ns = look_drain(&consumer->look) ? DRAIN_PAUSE_NS : pause_ns * 2;
			if (pause_ns > DRAIN_PAUSE_MAX_NS)
				pause_ns = DRAIN_PAUSE_MAX_NS;
			drain_ns = clock_monotonic_ns() + pause_ns;
			continue;
		}
		if (wanted && early_ns < until_ns)
			until_ns = early_ns;
		if (!wanted && !listens && listen_ns < until_ns)
			until_ns = listen_ns;
		if (drain_ns < until_ns)
			until_ns = drain_ns;
		if (sleep_until(consumer, until_ns, listens))
			listen_ns = clock_monotonic_ns() + EARLY_LOOK_NS;
	}
}

static void *run(void *arg)
{
	struct tally_consumer *consumer = arg;
	uint64_t start_ns;

	exclude_begin(); /* for good */
	do {
		start_ns = clock_monotonic_ns();
		look_once(&consumer->look); /* after an error the snapshot before it stays */
		pass_interval(consumer, clock_monotonic_ns() - start_ns);
	} while (is_running(consumer));
	consumer->look.last = true;
	look_once(&consumer->look);
	consumer->look.last = false;
	return NULL;
}

static int make_thread(struct tally_consumer *consumer)
{
	sigset_t all, before;
	int error;

	consumer->stop_fd = descriptor_aside(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (consumer->stop_fd < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&consumer->thread, NULL, run, consumer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		close(consumer->stop_fd);
	return error ? -EAGAIN : 0;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void free_consumer(struct tally_consumer *consumer)
{
	look_close(&consumer->look);
	pthread_mutex_destroy(&consumer->lock);
	free(consumer);
}

/* `early`: what is asked for need not be there yet. */
static int open_consumer(const struct tally_consumer_options *options, bool early,
			 struct tally_consumer **ret_consumer)
{
	struct tally_consumer *consumer = calloc(1, sizeof(*consumer));
	int error;

	if (!consumer)
		return -ENOMEM;
	error = look_open(&consumer->look, options);
	if (error) {
		free(consumer);
		return error;
	}
	pthread_mutex_init(&consumer->lock, NULL);
	error = look_once(&consumer->look);
	if (!error)
		error = look_found(&consumer->look);
	if (error == -ENOENT && early)
		error = 0;
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
	error = open_consumer(options, false, ret_consumer);
	exclude_end();
	return error;
}

int tally_consumer_start_own(const struct tally_consumer_options *options, uint32_t interval_ms,
			     struct tally_consumer **ret_consumer)
{
	struct tally_consumer_options own = { 0 };
	struct tally_consumer *consumer;
	int error;

	if (options)
		own = *options;
	if (own.pid || own.name || own.run_id)
		return -EINVAL;
	own.pid = (uint32_t)getpid();
	exclude_begin();
	error = open_consumer(&own, true, &consumer);
	exclude_end();
	if (error)
		return error;
	error = tally_consumer_start(consumer, interval_ms);
	if (error) {
		tally_consumer_close(consumer);
		return error;
	}
	*ret_consumer = consumer;
	return 0;
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

	if (consumer->look.publisher.orphan)
		return -EDEADLK;
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
	bool runs, own;

	pthread_mutex_lock(&consumer->lock);
	runs = consumer->running == RUNNING;
	own = runs && pthread_equal(consumer->thread, pthread_self());
	if (runs && !own) {
		consumer->running = STOPPING;
		eventfd_write(consumer->stop_fd, 1);
	}
	pthread_mutex_unlock(&consumer->lock);
	if (!runs)
		return -ESRCH;
	if (own)
		return -EDEADLK;
	exclude_begin();
	pthread_join(consumer->thread, NULL);
	close(consumer->stop_fd);
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
