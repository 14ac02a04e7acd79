/* SPDX-License-Identifier: Apache-2.0 */
/* A contender that makes one mistake, which test_bench.py wants to be noticed: -DMISTAKE=... at the
 * record with number 1000; NONE makes none. */
#include "bench/contender.h"

#define NONE 0
#define DROP 1	  /* it never comes */
#define REPEAT 2  /* the one before comes again instead */
#define SWAP 3	  /* it comes behind the next one */
#define GARBLE 4  /* a bit of its check word is another */
#define DEVICE 5  /* it comes for another device, with a check word that agrees */
#define CONFESS 6 /* it comes, and the ring says that it lost one */

static inline void wrong_fill(struct payload *payload, uint64_t producer, uint64_t sequence)
{
	if (MISTAKE == REPEAT && sequence == 1000)
		sequence = 999;
	else if (MISTAKE == SWAP && (sequence == 1000 || sequence == 1001))
		sequence ^= 1;
	payload_fill(payload, producer, sequence);
	if (sequence != 1000)
		return;
	if (MISTAKE == GARBLE)
		payload->check ^= 2;
	if (MISTAKE == DEVICE) {
		payload->device ^= 1;
		payload->check = payload_check(producer, sequence, payload->device, payload->size);
	}
}

struct ring {
	uint64_t sent, taken;
	uint32_t records;
	struct payload slots[];
};

static void *make(uint32_t records, uint32_t producers, const char **why)
{
	struct ring *ring = contender_memory(sizeof(*ring) + records * sizeof(struct payload));

	(void)producers;
	*why = "no memory";
	if (ring)
		ring->records = records;
	return ring;
}

static void send(void *arg, struct sender *sender)
{
	struct ring *ring = arg;
	uint64_t i;

	for (i = sender->first; i < sender->first + sender->count; i++) {
		if (MISTAKE == DROP && i == 1000)
			continue;
		while (ring->sent - tally_load_acquire(&ring->taken) == ring->records)
			if (!wait_more(&sender->patience))
				return;
		wrong_fill(&ring->slots[ring->sent % ring->records], sender->producer, i);
		tally_store_release(&ring->sent, ring->sent + 1);
	}
}

static void receive(void *arg, struct checker *checker, uint64_t until)
{
	struct ring *ring = arg;

	while (checker->taken < until) {
		if (tally_load_acquire(&ring->sent) == ring->taken) {
			if (!wait_more(&checker->patience))
				return;
			continue;
		}
		checker_take_payload(checker, &ring->slots[ring->taken % ring->records]);
		tally_store_release(&ring->taken, ring->taken + 1);
	}
}

static uint64_t lost(void *ring)
{
	(void)ring;
	return MISTAKE == CONFESS;
}

const struct contender contender = {
	.what = "makes one mistake",
	.make = make,
	.destroy = contender_free,
	.send = send,
	.receive = receive,
	.lost = lost,
};
