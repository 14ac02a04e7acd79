/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's client on Tally: a report by AllocationClient, which looks a freed id up in a
 * table.
 *
 *	flags: $REPORTER_ADAPTER $REPORTER_TALLY
 */
#include <allocation_client.hpp>

#include "bench/reporters/tally.h"

using tt::tt_metal::AllocationClient;

namespace
{

__always_inline void one(void *, bool freed, uint64_t id, uint64_t size)
{
	if (freed)
		AllocationClient::report_deallocation(EVENT_DEVICE, id);
	else
		AllocationClient::report_allocation(EVENT_DEVICE, size, EVENT_POOL, id);
}

void report(void *self, burst *burst)
{
	burst_run(burst, self, one);
}

} // namespace

const struct reporter reporter = {
	"the runtime's client on Tally",
	REPORTER_EVENTS | REPORTER_BYTES,
	tally_make,
	tally_begin,
	tally_end,
	report,
	nullptr,
	nullptr,
	nullptr,
};
