/* SPDX-License-Identifier: Apache-2.0 */
/* Lending a region: processes of a run that can make none of their own count in the runner's. */
#ifndef CONSUMER_LEND_H
#define CONSUMER_LEND_H

#include <stdint.h>

#include "ring/region.h"

/* Makes and names a region with shared cells and no lanes to speak of. 0 or a negative errno. */
int lend_open(struct region *ret_region, const char *dir, uint64_t run_id);

/* Removes it. Processes that count in it keep it in memory. */
void lend_close(struct region *region);

#endif
