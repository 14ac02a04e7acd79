/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe: one write() and one read() of 64 bytes a record, with the capacity of the ring; neither
 * side blocks. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/contender.h"

static void *make(uint32_t records, uint32_t producers, const char **why)
{
	int *ends = malloc(2 * sizeof(int));

	(void)producers;
	*why = "no pipe";
	if (!ends || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
		free(ends);
		return NULL;
	}
	/* as near as an unprivileged process is let come to it: a page holds 64 records */
	if (fcntl(ends[1], F_SETPIPE_SZ, (int)(records * sizeof(struct payload))) < 0)
		fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	return ends;
}

static void destroy(void *arg)
{
	int *ends = arg;

	close(ends[0]);
	close(ends[1]);
	free(ends);
}

static void send(void *arg, struct sender *sender)
{
	const int *ends = arg;
	struct payload payload;
	uint64_t i;

	for (i = 0; i < sender->count; i++) {
		payload_fill(&payload, sender->producer, sender->first + i);
		while (write(ends[1], &payload, sizeof(payload)) < 0)
			if (!wait_more(&sender->patience))
				return;
	}
}

static void receive(void *arg, struct checker *checker, uint64_t until)
{
	const int *ends = arg;
	struct payload payload;

	while (checker->taken < until) {
		if (read(ends[0], &payload, sizeof(payload)) > 0)
			checker_take_payload(checker, &payload);
		else if (!wait_more(&checker->patience))
			return;
	}
}

const struct contender contender = {
	.what = "a pipe, a system call a record on either side",
	.can = CONTENDER_MANY | CONTENDER_PROCESSES,
	.make = make,
	.destroy = destroy,
	.send = send,
	.receive = receive,
};
