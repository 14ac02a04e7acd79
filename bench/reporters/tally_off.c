/* SPDX-License-Identifier: Apache-2.0 */
/* Tally, not armed: what a program pays that has it built in.
 *
 *	flags: $REPORTER_TALLY
 */
#include "bench/reporters/tally.h"

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, tally_one);
}

static void end(void *self, struct taken *taken)
{
	(void)self;
	taken->events = tally_enabled() || tally_now();
}

const struct reporter reporter = {
	.what = "a push while off",
	.can = REPORTER_OFF,
	.make = tally_make,
	.end = end,
	.report = report,
};
