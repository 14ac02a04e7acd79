/* SPDX-License-Identifier: Apache-2.0 */
/* A POSIX message queue: one blocking mq_send() of 64 bytes an event, to a process that receives.
 *
 * The queue is as long as this user may have one: 10 messages by default (fs.mqueue.msg_max), more
 * for root. When it is full the sender waits for the receiver, as it would in the field; so a burst
 * goes as fast as the slower of the two.
 */
#include <mqueue.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/reporters/record.h"

static mqd_t queue;
static char remark[80];

static void *make(const char **note)
{
	static const long lengths[] = { 4096, 1024, 256, 64, 10, 1 };
	struct mq_attr attr = { .mq_msgsize = sizeof(struct record) };
	char name[64];
	size_t i;

	*note = "no message queue can be made here";
	snprintf(name, sizeof(name), "/bench-of-tally-%d", (int)getpid());
	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		attr.mq_maxmsg = lengths[i];
		queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
		if (queue == (mqd_t)-1)
			continue;
		mq_unlink(name);
		snprintf(remark, sizeof(remark), "the queue holds %ld messages", lengths[i]);
		*note = remark;
		return &queue;
	}
	return NULL;
}

static __always_inline void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	struct record record = record_of(freed, id, size);

	mq_send(*(mqd_t *)self, (char *)&record, sizeof(record), 0);
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

static void serve(void *self, struct far *far)
{
	struct record record;
	struct timespec until;

	tally_store_release(&far->ready, 1);
	while (far_more(far)) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (mq_timedreceive(*(mqd_t *)self, (char *)&record, sizeof(record), NULL, &until) >
		    0)
			records_take(&far->taken, &record, 1);
	}
}

const struct reporter reporter = {
	.what = "64-byte mq_send() to a POSIX message queue, received by another process",
	.can = REPORTER_EVENTS | REPORTER_BYTES | REPORTER_IDS,
	.make = make,
	.report = report,
	.serve = serve,
};
