/* SPDX-License-Identifier: Apache-2.0 */
/* Tally: a pair of pushes into a lane, nobody watching.
 *
 *	flags: $REPORTER_TALLY
 */
#include "bench/reporters/tally.h"

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, tally_one);
}

const struct reporter reporter = {
	.what = "a push into a lane",
	.can = REPORTER_EVENTS | REPORTER_BYTES,
	.make = tally_make,
	.begin = tally_begin,
	.end = tally_end,
	.report = report,
	.forget = tally_forget,
};
