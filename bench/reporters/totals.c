/* SPDX-License-Identifier: Apache-2.0 */
/* The shared totals of bench/reporters/totals.h, with nobody else at them. */
#include "bench/reporters/totals.h"

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, totals_one);
}

static void forget(void *self)
{
	const unsigned char *bytes = self;
	size_t at;

	for (at = 0; at < sizeof(struct totals) && flush_wanted(); at += 64)
		flush_line(bytes + at);
}

const struct reporter reporter = {
	.what = "the runtime's totals in shared memory: mutex, scan, 3 atomic adds, 2 clocks",
	.can = REPORTER_BYTES,
	.make = totals_make,
	.end = totals_end,
	.report = report,
	.forget = forget,
};
