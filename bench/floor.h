/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: what any recorder has to pay, reading a timestamp and storing 64 bytes, into a ring of
 * the same size as a lane's. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stdint.h>

#include "ring/clock.h"

#define FLOOR "floor: timestamp and 64-byte store"
#define FLOOR_SLOTS 2048 /* a default lane's */

struct floor_ring {
	uint64_t slots[FLOOR_SLOTS][8] __attribute__((aligned(64)));
};

static inline void floor_store(struct floor_ring *ring, enum tally_clock clock, uint64_t i)
{
	volatile uint64_t *slot = ring->slots[i % FLOOR_SLOTS];
	uint64_t word;

	slot[0] = clock_ticks(clock);
	for (word = 1; word < 8; word++)
		slot[word] = i;
}

#endif
