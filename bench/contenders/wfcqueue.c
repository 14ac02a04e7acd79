/* SPDX-License-Identifier: Apache-2.0 */
/* liburcu's wfcqueue: a linked list of nodes, made beforehand, that each producer uses in turn.
 *
 *	package: liburcu-dev
 *	header: urcu/wfcqueue.h
 *	flags: -lurcu-common
 */
#include <urcu/wfcqueue.h>

#include "bench/contender.h"

struct entry {
	struct payload payload;
	struct cds_wfcq_node node;
	uint64_t used; /* by the queue; 0: the producer's */
} __attribute__((aligned(64)));

struct list {
	struct cds_wfcq_head head __attribute__((aligned(128)));
	struct cds_wfcq_tail tail __attribute__((aligned(128)));
	uint32_t nodes; /* of each producer */
	struct entry entries[] __attribute__((aligned(128)));
};

static void *make(uint32_t records, uint32_t producers, const char **why)
{
	struct list *list = contender_memory(sizeof(*list) + records * sizeof(struct entry));

	*why = "no memory";
	if (list) {
		list->nodes = records / producers;
		cds_wfcq_init(&list->head, &list->tail);
	}
	return list;
}

static void send(void *arg, struct sender *sender)
{
	struct list *list = arg;
	struct entry *mine = &list->entries[sender->producer * list->nodes];

	for (uint64_t i = sender->first; i < sender->first + sender->count; i++) {
		struct entry *entry = &mine[i % list->nodes];

		while (tally_load_acquire(&entry->used))
			if (!wait_more(&sender->patience))
				return;
		payload_fill(&entry->payload, sender->producer, i);
		tally_store_relaxed(&entry->used, 1);
		cds_wfcq_node_init(&entry->node);
		cds_wfcq_enqueue(&list->head, &list->tail, &entry->node);
	}
}

static void receive(void *arg, struct checker *checker, uint64_t until)
{
	struct list *list = arg;

	while (checker->taken < until) {
		struct cds_wfcq_node *node = __cds_wfcq_dequeue_nonblocking(&list->head,
									    &list->tail);
		struct entry *entry = caa_container_of(node, struct entry, node);

		if (node && node != CDS_WFCQ_WOULDBLOCK) {
			checker_take_payload(checker, &entry->payload);
			tally_store_release(&entry->used, 0);
		} else if (!wait_more(&checker->patience)) {
			return;
		}
	}
}

const struct contender contender = {
	.what = "liburcu, a linked list, many producers",
	.can = CONTENDER_MANY,
	.make = make,
	.destroy = contender_free,
	.send = send,
	.receive = receive,
};
