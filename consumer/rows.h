/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for the rows of the table of live buffers: one cache line each, used again after a grace
 * period.
 *
 * Rows that were taken out of the table are collected in batches, and a batch is handed to RCU as
 * one. On liburcu's thread nothing is freed or allocated, as the process may be a producer itself:
 * the batch comes back to the thread that polls, which takes new rows out of it.
 */
#ifndef CONSUMER_ROWS_H
#define CONSUMER_ROWS_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/lfstack.h>
/* Before rculfhash.h: the flavour. Its macros inline, as the library's licence foresees. */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-bp.h>

#include <urcu/rculfhash.h>

struct tag_books;

/* One buffer. Words are written by the thread that polls before the row enters the table, and read
 * by any thread under the RCU read lock; `state` changes while it is there. */
struct row {
	struct cds_lfht_node node;
	uint64_t buffer_id;
	uint64_t size;
	uint64_t time;	/* ticks: of the allocation that the row tells of; 0: of none */
	uint64_t where; /* as in its record */
	struct tag_books *books;
	uint64_t state; /* ROW_LIVE | number of its doubt, or 0, above that bit */
} __attribute__((aligned(64)));

#define ROW_LIVE 1u

static inline struct row *row_of(struct cds_lfht_node *node)
{
	return (struct row *)((char *)node - offsetof(struct row, node));
}

struct batch;
struct slab;

struct rows {
	struct slab *slabs;
	size_t slab_count;
	size_t slab_left; /* rows of the newest slab that were never used */
	struct batch *free, *empty, *retiring;
	struct __cds_lfs_stack returned; /* batches, from liburcu's thread */
	sem_t given_back;		 /* posted for each */
	size_t waiting;			 /* batches that are at RCU */
	size_t made, made_max;
};

void rows_open(struct rows *rows, size_t made_max);

/* Waits for all batches to come back, frees everything. No reader is left, and no row in use. */
void rows_close(struct rows *rows);

/* NULL: no memory, or made_max rows are in use or wait for readers. */
struct row *rows_take(struct rows *rows);

/* Gives back a row that no reader has seen. */
void rows_put(struct rows *rows, struct row *row);

/* The same for one that was taken out of the table. */
void rows_retire(struct rows *rows, struct row *row);

#endif
