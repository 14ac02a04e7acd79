/* SPDX-License-Identifier: Apache-2.0 */
/* Rows: slabs that are never given back, batches that go round. */
#include "consumer/rows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BATCH_ROWS 1020

/* The first slabs are small, the others a large page each: among many rows, most of what a record
 * costs is to find out where its row is in memory. */
#define SLAB_SMALL 65536u
#define SLAB_LARGE 2097152u
#define SLABS_SMALL 16

/* Rows are written one after the other as they come out of a batch. */
#define ROWS_AHEAD 8

struct batch {
	struct rcu_head rcu;
	struct cds_lfs_node node;
	struct rows *owner;
	struct batch *next;
	size_t count;
	struct row *rows[BATCH_ROWS];
};

/* The memory begins with this, where a row would be. */
struct slab {
	struct slab *next;
};
_Static_assert(sizeof(struct slab) <= sizeof(struct row), "it takes one row's place");

/* ---- Batches --------------------------------------------------------------------------------- */

static struct batch *batch_of_rcu(struct rcu_head *head)
{
	return (struct batch *)((char *)head - offsetof(struct batch, rcu));
}

static struct batch *batch_of_node(struct cds_lfs_node *node)
{
	return (struct batch *)((char *)node - offsetof(struct batch, node));
}

/* On liburcu's thread, after a grace period. */
static void give_back(struct rcu_head *head)
{
	struct batch *batch = batch_of_rcu(head);
	struct rows *rows = batch->owner;

	cds_lfs_push(&rows->returned, &batch->node);
	sem_post(&rows->given_back); /* the last thing done with them */
}

static void collect(struct rows *rows)
{
	struct cds_lfs_head *all;
	struct cds_lfs_node *node;

	while (rows->waiting > 0 && sem_trywait(&rows->given_back) == 0)
		rows->waiting--;
	all = __cds_lfs_pop_all(&rows->returned);
	node = all ? &all->node : NULL;
	while (node) {
		struct batch *batch = batch_of_node(node);

		node = node->next;
		batch->next = rows->free;
		rows->free = batch;
	}
}

/* One without rows, or NULL: no memory. */
static struct batch *take_empty(struct rows *rows)
{
	struct batch *batch = rows->empty;

	if (batch)
		rows->empty = batch->next;
	else
		batch = malloc(sizeof(*batch));
	if (batch) {
		batch->owner = rows;
		batch->count = 0;
		batch->next = NULL;
	}
	return batch;
}

static void hand_over(struct rows *rows)
{
	struct batch *batch = rows->retiring;

	rows->retiring = NULL;
	rows->waiting++;
	urcu_bp_call_rcu(&batch->rcu, give_back);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool make_slab(struct rows *rows)
{
	bool large = rows->slab_count >= SLABS_SMALL;
	size_t size = large ? SLAB_LARGE : SLAB_SMALL;
	struct slab *slab = aligned_alloc(large ? SLAB_LARGE : sizeof(struct row), size);

	if (!slab)
		return false;
	if (large)
		madvise(slab, size, MADV_HUGEPAGE);
	slab->next = rows->slabs;
	rows->slabs = slab;
	rows->slab_count++;
	rows->slab_left = size / sizeof(struct row) - 1;
	return true;
}

static struct row *take_fresh(struct rows *rows)
{
	if (rows->made >= rows->made_max || (rows->slab_left == 0 && !make_slab(rows)))
		return NULL;
	rows->made++;
	return (struct row *)rows->slabs + rows->slab_left--;
}

struct row *rows_take(struct rows *rows)
{
	struct batch *batch = rows->free;
	struct row *row;

	if (!batch) {
		collect(rows);
		batch = rows->free;
	}
	if (!batch) {
		row = take_fresh(rows);
		/* A few may be waiting here alone. */
		if (!row && rows->retiring && rows->waiting == 0)
			hand_over(rows);
		return row;
	}
	row = batch->rows[--batch->count];
	if (batch->count >= ROWS_AHEAD)
		__builtin_prefetch(batch->rows[batch->count - ROWS_AHEAD], 1);
	if (batch->count == 0) {
		rows->free = batch->next;
		batch->next = rows->empty;
		rows->empty = batch;
	}
	return row;
}

void rows_put(struct rows *rows, struct row *row)
{
	struct batch *batch = rows->free;

	if (!batch || batch->count == BATCH_ROWS) {
		batch = take_empty(rows);
		if (!batch)
			return; /* unused until the end */
		batch->next = rows->free;
		rows->free = batch;
	}
	batch->rows[batch->count++] = row;
}

void rows_retire(struct rows *rows, struct row *row)
{
	struct batch *batch = rows->retiring;

	if (!batch) {
		batch = take_empty(rows);
		if (!batch)
			return; /* likewise */
		rows->retiring = batch;
	}
	batch->rows[batch->count++] = row;
	if (batch->count == BATCH_ROWS)
		hand_over(rows);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

void rows_open(struct rows *rows, size_t made_max)
{
	memset(rows, 0, sizeof(*rows));
	rows->made_max = made_max;
	__cds_lfs_init(&rows->returned);
	sem_init(&rows->given_back, 0, 0);
}

static void free_batches(struct batch *batch)
{
	while (batch) {
		struct batch *next = batch->next;

		free(batch);
		batch = next;
	}
}

void rows_close(struct rows *rows)
{
	struct slab *slab;

	while (rows->waiting > 0)
		if (sem_wait(&rows->given_back) == 0)
			rows->waiting--;
	collect(rows);
	free_batches(rows->free);
	free_batches(rows->empty);
	free(rows->retiring);
	while ((slab = rows->slabs)) {
		rows->slabs = slab->next;
		free(slab);
	}
	sem_destroy(&rows->given_back);
}
