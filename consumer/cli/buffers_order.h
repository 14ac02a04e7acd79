/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of buffers that are kept to be put in order: the largest, of these the oldest first. */
#ifndef BUFFERS_ORDER_H
#define BUFFERS_ORDER_H

#include "cli.h"

struct kept;

/* All zero: empty. */
struct order {
	struct kept *heap; /* the last in order is first, until it is sorted */
	size_t count, room;
};

/* Keeps one more. False: no memory. */
bool order_add(struct order *order, const struct tally_buffer *buffer);

/* Keeps it in place of the last in order, if it comes before that; there is one. */
void order_exchange(struct order *order, const struct tally_buffer *buffer);

/* Puts all in order; none is added from here on. */
void order_sort(struct order *order);

/* The n-th row, as it was handed over; good until order_free(). */
const struct tally_buffer *order_at(struct order *order, size_t n);

void order_free(struct order *order);

#endif
