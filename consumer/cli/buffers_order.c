/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of buffers in order: a heap while they come, sorted at the end. */
#include "buffers_order.h"

#include <stdlib.h>

/* A copy, as the texts go with the walk; `buffer` points to these in what is handed out. */
struct kept {
	struct tally_buffer buffer;
	char comm[24], pool_name[24], tag[56];
};

static int by_order(const void *left, const void *right)
{
	const struct tally_buffer *a = &((const struct kept *)left)->buffer;
	const struct tally_buffer *b = &((const struct kept *)right)->buffer;

	if (a->size != b->size)
		return a->size > b->size ? -1 : 1;
	if (a->alloc_monotonic_ns != b->alloc_monotonic_ns)
		return a->alloc_monotonic_ns < b->alloc_monotonic_ns ? -1 : 1;
	return (a->buffer_id > b->buffer_id) - (a->buffer_id < b->buffer_id);
}

static void keep(struct kept *row, const struct tally_buffer *buffer)
{
	row->buffer = *buffer;
	snprintf(row->comm, sizeof(row->comm), "%s", buffer->comm);
	snprintf(row->pool_name, sizeof(row->pool_name), "%s", buffer->pool_name);
	snprintf(row->tag, sizeof(row->tag), "%s", buffer->tag);
}

static void swap(struct kept *a, struct kept *b)
{
	struct kept other = *a;

	*a = *b;
	*b = other;
}

/* The last of the heap goes up to its place. */
static void sift_up(struct kept *heap, size_t n)
{
	for (; n > 0 && by_order(&heap[n], &heap[(n - 1) / 2]) > 0; n = (n - 1) / 2)
		swap(&heap[n], &heap[(n - 1) / 2]);
}

/* The first goes down to its place. */
static void sift_down(struct kept *heap, size_t count)
{
	size_t n = 0, child;

	while ((child = 2 * n + 1) < count) {
		if (child + 1 < count && by_order(&heap[child + 1], &heap[child]) > 0)
			child++;
		if (by_order(&heap[child], &heap[n]) <= 0)
			return;
		swap(&heap[n], &heap[child]);
		n = child;
	}
}

static bool make_room(struct order *order)
{
	size_t room = order->room ? order->room * 2 : 64;
	struct kept *heap;

	if (order->count < order->room)
		return true;
	heap = realloc(order->heap, room * sizeof(*heap));
	if (!heap)
		return false;
	order->heap = heap;
	order->room = room;
	return true;
}

bool order_add(struct order *order, const struct tally_buffer *buffer)
{
	if (!make_room(order))
		return false;
	keep(&order->heap[order->count], buffer);
	sift_up(order->heap, order->count++);
	return true;
}

void order_exchange(struct order *order, const struct tally_buffer *buffer)
{
	struct kept row;

	keep(&row, buffer);
	if (by_order(&row, &order->heap[0]) >= 0)
		return;
	order->heap[0] = row;
	sift_down(order->heap, order->count);
}

void order_sort(struct order *order)
{
	if (order->count)
		qsort(order->heap, order->count, sizeof(*order->heap), by_order);
}

const struct tally_buffer *order_at(struct order *order, size_t n)
{
	struct kept *row = &order->heap[n];

	row->buffer.comm = row->comm;
	row->buffer.pool_name = row->pool_name;
	row->buffer.tag = row->tag;
	return &row->buffer;
}

void order_free(struct order *order)
{
	free(order->heap);
	*order = (struct order){ 0 };
}
