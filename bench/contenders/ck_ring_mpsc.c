/* SPDX-License-Identifier: Apache-2.0 */
/* ConcurrencyKit's ring with many producers and one consumer.
 *
 *	package: libck-dev
 *	header: ck_ring.h
 */
#include "bench/contenders/ck_ring.h"

static void send(void *ring, struct sender *sender)
{
	ck_send(ring, sender, ck_ring_enqueue_mpsc_payload);
}

static void receive(void *ring, struct checker *checker, uint64_t until)
{
	ck_receive(ring, checker, until, ck_ring_dequeue_mpsc_payload);
}

const struct contender contender = {
	.what = "ConcurrencyKit, many producers",
	.can = CONTENDER_MANY | CONTENDER_PROCESSES | CONTENDER_SPINS,
	.make = ck_make,
	.destroy = contender_free,
	.send = send,
	.receive = receive,
};
