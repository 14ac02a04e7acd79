/* SPDX-License-Identifier: Apache-2.0 */
/* A reporter that makes one mistake, which test_bench_event.py wants to be noticed: -DMISTAKE=...
 * at one buffer; NONE makes none. With -DFAR=1 another process counts. */
#include <poll.h>
#include <unistd.h>

#include "bench/reporter.h"

#define NONE 0
#define NOTHING 1   /* it reports nothing at all */
#define DROP 2	    /* one event never comes */
#define REPEAT 3    /* one comes twice */
#define SIZE 4	    /* one comes with another size */
#define ID 5	    /* one comes for another buffer */
#define MUTE 6	    /* all come, but the reporter cannot say so */
#define OFF 7	    /* all come, though it is off */
#define EMPTY 8	    /* one more comes, of no bytes and no buffer */
#define UNWILLING 9 /* it cannot be had, and says why */
#ifndef FAR
#define FAR 0
#endif

struct event {
	uint64_t freed, id, size;
};

static struct taken sum;
static int ends[2];

static void *make(const char **note)
{
	*note = MISTAKE == UNWILLING ? "does not want to" : "no pipe";
	return MISTAKE != UNWILLING && pipe(ends) == 0 ? ends : NULL;
}

static void tell(bool freed, uint64_t id, uint64_t size)
{
	struct event event = { freed, id, size };

	if (!FAR)
		taken_add(&sum, freed, id, size);
	else if (write(ends[1], &event, sizeof(event)) != (ssize_t)sizeof(event))
		_exit(1);
}

static void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	bool here = id == event_id(600) && !freed;

	(void)self;
	if (MISTAKE == NOTHING || (MISTAKE == DROP && here))
		return;
	if (MISTAKE == REPEAT && here)
		tell(freed, id, size);
	if (MISTAKE == EMPTY && here)
		tell(false, 0, 0);
	tell(freed, id + (MISTAKE == ID && here), size + (MISTAKE == SIZE && here));
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

static void end(void *self, struct taken *taken)
{
	(void)self;
	if (!FAR)
		*taken = sum;
}

static void serve(void *self, struct far *far)
{
	struct pollfd poll_in = { .fd = ends[0], .events = POLLIN };
	struct event event;

	(void)self;
	tally_store_release(&far->ready, 1);
	while (far_more(far))
		if (poll(&poll_in, 1, 100) > 0 &&
		    read(ends[0], &event, sizeof(event)) == (ssize_t)sizeof(event))
			taken_add(&far->taken, event.freed, event.id, event.size);
}

const struct reporter reporter = {
	.what = "makes one mistake",
	.can = MISTAKE == MUTE	? 0
	       : MISTAKE == OFF ? REPORTER_OFF
				: REPORTER_EVENTS | REPORTER_BYTES | REPORTER_IDS,
	.make = make,
	.report = report,
	.end = end,
	.serve = FAR ? serve : NULL,
};
