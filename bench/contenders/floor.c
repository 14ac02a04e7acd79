/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: 64 bytes copied into a slot and out of it, with a word of the slot that says whose it
 * is. No position is shared, nothing is published but that word. */
#include <string.h>

#include "bench/contender.h"

struct slots {
	uint64_t mask;
	uint64_t next __attribute__((aligned(128))); /* the consumer's own */
	struct payload slots[] __attribute__((aligned(128)));
};

/* 0: the producer's, 1: the consumer's. */
#define READY(slot) (&(slot)->spare[2])

static void *make(uint32_t records, uint32_t producers, const char **why)
{
	struct slots *ring = contender_memory(sizeof(*ring) + records * sizeof(struct payload));

	(void)producers;
	*why = "no memory";
	if (ring)
		ring->mask = records - 1;
	return ring;
}

static void send(void *arg, struct sender *sender)
{
	struct slots *ring = arg;
	struct payload payload;
	uint64_t i;

	for (i = sender->first; i < sender->first + sender->count; i++) {
		struct payload *slot = &ring->slots[i & ring->mask];

		payload_fill(&payload, sender->producer, i);
		while (tally_load_acquire(READY(slot)))
			if (!wait_more(&sender->patience))
				return;
		memcpy(slot, &payload, offsetof(struct payload, spare[2]));
		tally_store_release(READY(slot), 1);
	}
}

static void receive(void *arg, struct checker *checker, uint64_t until)
{
	struct slots *ring = arg;
	struct payload payload;

	while (checker->taken < until) {
		struct payload *slot = &ring->slots[ring->next & ring->mask];

		if (!tally_load_acquire(READY(slot))) {
			if (!wait_more(&checker->patience))
				return;
			continue;
		}
		memcpy(&payload, slot, offsetof(struct payload, spare[2]));
		tally_store_release(READY(slot), 0);
		ring->next++;
		checker_take_payload(checker, &payload);
	}
}

const struct contender contender = {
	.what = "64 bytes copied, a flag in each slot",
	.can = CONTENDER_PROCESSES,
	.make = make,
	.destroy = contender_free,
	.send = send,
	.receive = receive,
};
