/* SPDX-License-Identifier: Apache-2.0 */
/* The lent region: made like any other, with its shared cells reserved as far as there is room, as
 * it is there for the day when no memory is left. */
#include "consumer/lend.h"

#include <sys/mman.h>

int lend_open(struct region *ret_region, const char *dir, uint64_t run_id)
{
	struct region_config config = {
		.dir = dir,
		.flags = TALLY_REGION_RUNNER,
		.run_id = run_id,
	};
	struct region region;
	int error = region_create(&config, &region);

	if (error)
		return error;
	/* The first page is there already, and has room for the host's heap. */
	region_reserve(&region, region.at.process_at, region.at.process_stride);
	error = region_publish(&region);
	if (error) {
		region_discard(&region);
		return error;
	}
	*ret_region = region;
	return 0;
}

void lend_close(struct region *region)
{
	if (!region->base)
		return;
	region_unlink(region);
	munmap(region->base, region->at.size);
	region->base = NULL;
}
