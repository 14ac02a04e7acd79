/* SPDX-License-Identifier: Apache-2.0 */
/* The shared totals of bench/reporters/totals.h, while a process on another processor reports, too,
 * as fast as it can. It books pairs only, so the bytes that stay are those of the one measured. */
#include "bench/reporters/totals.h"

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, totals_one);
}

static void serve(void *self, struct far *far)
{
	struct totals *totals = self;

	totals_me = totals->processes[1].pid = getpid();
	tally_store_release(&far->ready, 1);
	while (!tally_load_acquire(&far->over)) {
		totals_one(self, false, 1, 4096);
		totals_one(self, true, 1, 4096);
	}
}

const struct reporter reporter = {
	.what = "the runtime's totals, a second process reporting, too",
	.can = REPORTER_BYTES | REPORTER_NEAR,
	.make = totals_make,
	.end = totals_end,
	.report = report,
	.serve = serve,
};
