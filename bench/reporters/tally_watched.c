/* SPDX-License-Identifier: Apache-2.0 */
/* Tally, watched: a consumer in another process reads the records behind the push, without a pause.
 * What it reads and what is overwritten before it is read must be all that was reported.
 *
 *	flags: $REPORTER_TALLY
 */
#include "bench/reporters/tally.h"

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, tally_one);
}

/* The ledger must say the same as the consumer. */
static void end(void *self, struct taken *taken)
{
	struct taken ledger = *taken;

	tally_end(self, &ledger);
	if (ledger.events != taken->events)
		taken->events = 0;
	taken->bytes = ledger.bytes;
}

static void serve(void *self, struct far *far)
{
	const struct tally_turn *turn = self;
	struct tally_consumer_options options = { .name = turn->status.region,
						  .read_records = true,
						  .from_start = true };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	if (tally_consumer_open(&options, &consumer) != 0) {
		tally_store_release(&far->ready, 1);
		return; /* nothing has been taken, which is noticed */
	}
	tally_store_release(&far->ready, 1);
	while (far_more(far)) {
		tally_consumer_poll(consumer);
		now = tally_snapshot_get(consumer);
		far->taken.events = turn->sum.events + now->records_read + now->lost_records;
		tally_snapshot_put(now);
	}
	tally_consumer_close(consumer);
}

const struct reporter reporter = {
	.what = "a push into a lane that another process drains without a pause",
	.can = REPORTER_EVENTS | REPORTER_BYTES | REPORTER_NEAR,
	.make = tally_make,
	.begin = tally_begin,
	.end = end,
	.report = report,
	.serve = serve,
};
