/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's rte_ring, many producers by head and tail in one word, bursts of 1.
 *
 *	package: libdpdk-dev
 *	header: rte_ring.h
 *	flags: `pkg-config --cflags libdpdk | sed 's/-I/-isystem /g'` -lrte_ring
 */
#include "bench/contenders/rte_ring.h"

static void *make(uint32_t records, uint32_t producers, const char **why)
{
	(void)producers;
	return rte_make(records, RING_F_MP_HTS_ENQ | RING_F_SC_DEQ, why);
}

static void send(void *ring, struct sender *sender)
{
	rte_send(ring, sender, rte_ring_mp_hts_enqueue_burst_elem);
}

static void receive(void *ring, struct checker *checker, uint64_t until)
{
	rte_receive(ring, checker, until, rte_ring_sc_dequeue_burst_elem);
}

const struct contender contender = {
	.what = "DPDK, many producers (HTS), bursts of 1",
	.can = CONTENDER_MANY | CONTENDER_PROCESSES | CONTENDER_SPINS,
	.make = make,
	.destroy = contender_free,
	.send = send,
	.receive = receive,
};
