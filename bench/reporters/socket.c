/* SPDX-License-Identifier: Apache-2.0 */
/* What Tally replaces first: the allocation server's client, one blocking send() of its 112-byte
 * message on a Unix stream socket, to a process that reads and counts.
 *
 * It is no slower than in the field: there the message is filled likewise, with the system clock's
 * time in an allocation, and sent with one call or several; here it is one. The server reads as
 * many messages at a time as there are and does nothing but count, where the real one looks each up
 * in a table behind a mutex. A burst lets it stay awake, which makes send() cheaper than single
 * events do.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/reporters/message.h"

static int ends[2];

static void *make(const char **note)
{
	struct timeval patience = { .tv_usec = 100000 };

	*note = "no socket";
	message_me = getpid();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return NULL;
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	*note = NULL;
	return ends;
}

static __always_inline void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	struct message message = message_of(freed, id, size);

	send(*(int *)self, &message, sizeof(message), MSG_NOSIGNAL);
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

static void serve(void *self, struct far *far)
{
	static struct message messages[512];
	static size_t have; /* bytes */
	ssize_t got;
	size_t i;

	(void)self;
	tally_store_release(&far->ready, 1);
	while (far_more(far)) {
		got = recv(ends[1], (char *)messages + have, sizeof(messages) - have, 0);
		have += got > 0 ? (size_t)got : 0;
		for (i = 0; i < have / sizeof(*messages); i++)
			taken_add(&far->taken, messages[i].type == MESSAGE_FREE,
				  messages[i].buffer_id, 0);
		have %= sizeof(*messages); /* a part of one waits for the rest */
		memmove(messages, messages + i, have);
	}
}

const struct reporter reporter = {
	.what = "112-byte send() on a Unix stream socket, read by another process",
	.can = REPORTER_EVENTS | REPORTER_IDS,
	.make = make,
	.report = report,
	.serve = serve,
};
