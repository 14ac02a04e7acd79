/* SPDX-License-Identifier: Apache-2.0 */
/* Where `tally top` has its numbers from: a consumer, and what watching costs this process. */
#include <errno.h>
#include <time.h>

#include "source.h"
#include "top.h"

/* A look in the background is at most this part of an interval old when it is drawn. */
#define LOOKS_PER_INTERVAL 4

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t top_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void keep_refusal(void *arg, const struct tally_refusal *refusal)
{
	struct top_feed *feed = arg;

	pthread_mutex_lock(&feed->lock);
	if (feed->refused_count < TOP_REFUSED_KEPT) {
		struct top_refused *kept = &feed->refused[feed->refused_count];

		text_clean(kept->name, sizeof(kept->name), refusal->name);
		text_clean(kept->message, sizeof(kept->message), refusal->message);
	}
	feed->refused_count++;
	pthread_mutex_unlock(&feed->lock);
}

static void note_cost(struct top_feed *feed)
{
	uint64_t now_ns = top_now_ns();
	uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

	if (feed->cpu_at_ns && now_ns > feed->cpu_at_ns)
		feed->cpu_share = (double)(cpu_ns - feed->cpu_ns) /
				  (double)(now_ns - feed->cpu_at_ns);
	feed->cpu_ns = cpu_ns;
	feed->cpu_at_ns = now_ns;
}

int top_feed_open(struct top_feed *feed, bool all_users)
{
	source_raise_limit();
	pthread_mutex_init(&feed->lock, NULL);
	feed->start_ns = top_now_ns();
	feed->start_realtime_ns = clock_ns(CLOCK_REALTIME);
	feed->options.all_users = all_users;
	feed->options.refused = keep_refusal;
	feed->options.refused_arg = feed;
	feed->attach_realtime_ns = feed->start_realtime_ns;
	return tally_consumer_open(&feed->options, &feed->consumer);
}

void top_feed_close(struct top_feed *feed)
{
	if (feed->opening.started)
		return; /* it is not waited for: this process ends */
	tally_consumer_close(feed->consumer);
	pthread_mutex_destroy(&feed->lock);
}

void top_feed_look(struct top_feed *feed)
{
	if (!feed->options.read_buffers) {
		uint64_t start_ns = top_now_ns();

		feed->error = tally_consumer_poll(feed->consumer);
		feed->look_ns = top_now_ns() - start_ns;
	}
	note_cost(feed);
}

static void open_for_buffers(void *arg)
{
	uint64_t interval_ms;
	struct top_feed *feed = arg;
	struct tally_consumer_options options = feed->options;

	options.read_buffers = true;
	feed->open_realtime_ns = clock_ns(CLOCK_REALTIME);
	feed->open_error = tally_consumer_open(&options, &feed->opened);
	if (feed->open_error)
		return;
	interval_ms = feed->interval_ns / 1000000u / LOOKS_PER_INTERVAL;
	feed->open_error = tally_consumer_start(feed->opened, (uint32_t)interval_ms);
	if (feed->open_error)
		tally_consumer_close(feed->opened);
}

void top_feed_read_buffers(struct top_feed *feed)
{
	if (feed->options.read_buffers || feed->opening.started)
		return;
	pthread_mutex_lock(&feed->lock);
	feed->refused_count = 0; /* they will be told of anew */
	pthread_mutex_unlock(&feed->lock);
	if (!top_job_start(&feed->opening, open_for_buffers, feed))
		feed->error = -EAGAIN;
}

int top_feed_settle(struct top_feed *feed)
{
	if (!top_job_take(&feed->opening))
		return 0;
	if (feed->open_error)
		return feed->open_error;
	tally_consumer_close(feed->consumer);
	feed->consumer = feed->opened;
	feed->attach_realtime_ns = feed->open_realtime_ns;
	feed->options.read_buffers = true;
	feed->error = 0;
	return 0;
}
