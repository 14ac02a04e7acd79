/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer of its own, which the thread polls: whatever clients do, totals go on. */
#include "publishing.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct publishing {
	struct publish *publish;
	struct tally_consumer *consumer;
	pthread_t thread;
	int stop_fd; /* an eventfd: readable once it is to end */
};

static void *publish_on(void *arg)
{
	struct publishing *publishing = arg;
	struct pollfd stop = { .fd = publishing->stop_fd, .events = POLLIN };

	do {
		const struct tally_snapshot *now;

		tally_consumer_poll(publishing->consumer); /* else the snapshot before it stays */
		now = tally_snapshot_get(publishing->consumer);
		publish_update(publishing->publish, now);
		tally_snapshot_put(now);
	} while (poll(&stop, 1, PUBLISHING_MS) == 0);
	return NULL;
}

static void free_all(struct publishing *publishing)
{
	publish_close(publishing->publish);
	tally_consumer_close(publishing->consumer);
	if (publishing->stop_fd >= 0)
		close(publishing->stop_fd);
	free(publishing);
}

int publishing_begin(uint32_t version, bool all_users, publish_say say, void *say_arg,
		     struct publishing **ret_publishing)
{
	struct tally_consumer_options options = { .all_users = all_users };
	struct publishing *publishing = calloc(1, sizeof(*publishing));
	const char *dir = secure_getenv("TALLY_DIR");
	int error;

	if (!publishing)
		return -ENOMEM;
	publishing->stop_fd = eventfd(0, EFD_CLOEXEC);
	error = publishing->stop_fd < 0 ? -errno : 0;
	if (!error)
		error = publish_open(dir && *dir ? dir : NULL, version, say, say_arg,
				     &publishing->publish);
	if (!error)
		error = tally_consumer_open(&options, &publishing->consumer);
	if (!error)
		error = -pthread_create(&publishing->thread, NULL, publish_on, publishing);
	if (error) {
		free_all(publishing);
		return error;
	}
	*ret_publishing = publishing;
	return 0;
}

void publishing_end(struct publishing *publishing)
{
	if (!publishing)
		return;
	eventfd_write(publishing->stop_fd, 1);
	pthread_join(publishing->thread, NULL);
	free_all(publishing);
}
