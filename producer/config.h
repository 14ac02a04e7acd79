/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment and tally_init() ask for. Survives a fork: a child is armed as its parent.
 */
#ifndef PRODUCER_CONFIG_H
#define PRODUCER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/tally.h>

#include "ring/region.h"

struct config {
	bool loaded;
	bool armed;
	bool keep;
	uint32_t ring_log2; /* 0: totals only */
	uint32_t lanes_log2;
	uint32_t lossless_ms; /* with TALLY_REGION_LOSSLESS */
	uint32_t flags;	      /* TALLY_REGION_... */
	uint64_t run_id;
	char region[REGION_NAME_MAX];	  /* to join; "": one of its own */
	char run_region[REGION_NAME_MAX]; /* of the runner: for when this process can make none */
	char dir[REGION_PATH_MAX - REGION_NAME_MAX - 2];
};

extern struct config producer_config;

/* Reads the environment, once. False while the C library has not set it up. */
bool config_load(void);

/* Lays options over what the environment said. -EINVAL, with nothing changed. */
int config_apply(const struct tally_options *options);

#endif
