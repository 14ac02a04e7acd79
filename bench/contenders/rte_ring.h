/* SPDX-License-Identifier: Apache-2.0 */
/* What the contenders by DPDK's rte_ring have in common: entries of 64 bytes, in memory of ours and
 * without the rest of DPDK: a ring that is not looked up by its name needs none of it. */
#ifndef BENCH_CONTENDERS_RTE_RING_H
#define BENCH_CONTENDERS_RTE_RING_H

#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <sys/cdefs.h>

#include "bench/contender.h"

/* It holds one record less than asked for: as many as make no ring of twice the size. */
static inline void *rte_make(uint32_t records, unsigned int flags, const char **why)
{
	ssize_t size = rte_ring_get_memsize_elem(sizeof(struct payload), records);
	struct rte_ring *ring = size > 0 ? contender_memory((size_t)size) : NULL;

	*why = "no memory";
	if (!ring)
		return NULL;
	*why = "rte_ring_init failed";
	if (rte_ring_init(ring, "bench", records, flags) != 0)
		return NULL;
	return ring;
}

typedef unsigned int (*rte_put)(struct rte_ring *ring, const void *entry, unsigned int size,
				unsigned int count, unsigned int *free);
typedef unsigned int (*rte_get)(struct rte_ring *ring, void *entry, unsigned int size,
				unsigned int count, unsigned int *left);

static __always_inline void rte_send(struct rte_ring *ring, struct sender *sender, rte_put put)
{
	struct payload payload;
	uint64_t i;

	for (i = 0; i < sender->count; i++) {
		payload_fill(&payload, sender->producer, sender->first + i);
		while (put(ring, &payload, sizeof(payload), 1, NULL) == 0)
			if (!wait_more(&sender->patience))
				return;
	}
}

static __always_inline void rte_receive(struct rte_ring *ring, struct checker *checker,
					uint64_t until, rte_get get)
{
	struct payload payload;

	while (checker->taken < until) {
		if (get(ring, &payload, sizeof(payload), 1, NULL))
			checker_take_payload(checker, &payload);
		else if (!wait_more(&checker->patience))
			return;
	}
}

#endif
