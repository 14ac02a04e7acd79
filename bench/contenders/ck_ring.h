/* SPDX-License-Identifier: Apache-2.0 */
/* What the contenders by ConcurrencyKit's ring have in common: entries of 64 bytes, copied in and
 * out by the ring. */
#ifndef BENCH_CONTENDERS_CK_RING_H
#define BENCH_CONTENDERS_CK_RING_H

#include <ck_ring.h>
#include <stdlib.h>
#include <sys/cdefs.h>

#include "bench/contender.h"

CK_RING_PROTOTYPE(payload, payload)

struct ck_contender {
	struct ck_ring ring __attribute__((aligned(CK_MD_CACHELINE)));
	struct payload slots[];
};

static inline void *ck_make(uint32_t records, uint32_t producers, const char **why)
{
	struct ck_contender *contender = contender_memory(sizeof(*contender) +
							  records * sizeof(struct payload));

	(void)producers;
	*why = "no memory";
	if (contender)
		ck_ring_init(&contender->ring, records);
	return contender;
}

static __always_inline void ck_send(struct ck_contender *to, struct sender *sender,
				    bool (*enqueue)(struct ck_ring *, struct payload *,
						    struct payload *))
{
	struct payload payload;
	uint64_t i;

	for (i = 0; i < sender->count; i++) {
		payload_fill(&payload, sender->producer, sender->first + i);
		while (!enqueue(&to->ring, to->slots, &payload))
			if (!wait_more(&sender->patience))
				return;
	}
}

static __always_inline void
ck_receive(struct ck_contender *from, struct checker *checker, uint64_t until,
	   bool (*dequeue)(struct ck_ring *, struct payload *, struct payload *))
{
	struct payload payload;

	while (checker->taken < until) {
		if (dequeue(&from->ring, from->slots, &payload))
			checker_take_payload(checker, &payload);
		else if (!wait_more(&checker->patience))
			return;
	}
}

#endif
