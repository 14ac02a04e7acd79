/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe: one blocking write() of 64 bytes an event, to a process that reads as many at a time as
 * there are. It has the largest capacity that an unprivileged process may ask for, so the writer
 * waits for room only if the reader is behind by 16,384 events. */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "bench/reporters/record.h"

static int ends[2];

static void *make(const char **note)
{
	*note = "no pipe";
	if (pipe2(ends, O_CLOEXEC) != 0)
		return NULL;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	*note = NULL;
	return ends;
}

static __always_inline void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	struct record record = record_of(freed, id, size);

	if (write(((int *)self)[1], &record, sizeof(record)) != (ssize_t)sizeof(record))
		return; /* it will be missed */
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

static void serve(void *self, struct far *far)
{
	static struct record records[1024];
	struct pollfd poll_in = { .fd = ends[0], .events = POLLIN };
	ssize_t got;

	(void)self;
	tally_store_release(&far->ready, 1);
	while (far_more(far)) {
		if (poll(&poll_in, 1, 100) <= 0)
			continue;
		got = read(ends[0], records, sizeof(records));
		if (got > 0)
			records_take(&far->taken, records, (size_t)got / sizeof(*records));
	}
}

const struct reporter reporter = {
	.what = "64-byte write() to a pipe, read by another process",
	.can = REPORTER_EVENTS | REPORTER_BYTES | REPORTER_IDS,
	.make = make,
	.report = report,
	.serve = serve,
};
