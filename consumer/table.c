/* SPDX-License-Identifier: Apache-2.0 */
/* The table of live buffers as a whole: made, grown, swept, walked. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <time.h>

#include "consumer/buffers.h"
#include "consumer/exclude.h"
#include "consumer/place.h"
#include "ring/clock.h"

#define BUCKETS_MIN 1024
#define SWEEP_STEP 4096 /* rows: a millisecond or two */
#define SWEEP_LONG_NS 5000000u
#define SWEEP_REST 10		     /* times as long as a long sweep took */
#define BUFFERS_MAX (UINT32_MAX / 2) /* of which each may have a doubt, which has a number */
#define ROWS_WAITING 262144	     /* 16 MiB: of a grace period, however small the table */

/* ---- Room ------------------------------------------------------------------------------------ */

static size_t power_of_two(size_t least)
{
	size_t power = BUCKETS_MIN;

	while (power < least)
		power *= 2;
	return power;
}

/* liburcu ends the process when it gets no memory for buckets: try first whether there is some. */
static bool can_have(size_t buckets, int protection)
{
	size_t size = buckets * sizeof(struct cds_lfht_node);
	void *tried = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (tried == MAP_FAILED)
		return false;
	munmap(tried, size);
	return true;
}

/* A bucket a row. liburcu may use threads for it, which inherit the mask: signals are for the
 * host's. */
static void grow(struct buffers *buffers)
{
	size_t wanted = buffers->buckets;
	sigset_t all, before;

	while (wanted < buffers->count && wanted < buffers->max)
		wanted *= 2;
	if (buffers->sweeping || wanted == buffers->buckets ||
	    !can_have(wanted, PROT_READ | PROT_WRITE))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	cds_lfht_resize(buffers->table, wanted);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	buffers->buckets = wanted;
	urcu_bp_read_lock();
	ahead_learn(&buffers->ahead, buffers->table, wanted);
	urcu_bp_read_unlock();
}

void buffers_begin(struct buffers *buffers)
{
	buffers->doubts.now_ns = clock_monotonic_ns();
	urcu_bp_read_lock();
}

void buffers_end(struct buffers *buffers)
{
	urcu_bp_read_unlock();
	grow(buffers);
}

/* ---- Holders that go ------------------------------------------------------------------------- */

static struct holder *holder_of_rcu(struct rcu_head *head)
{
	return (struct holder *)((char *)head - offsetof(struct holder, rcu));
}

static struct holder *holder_of_node(struct cds_lfs_node *node)
{
	return (struct holder *)((char *)node - offsetof(struct holder, node));
}

/* On liburcu's thread, which holds the list only: it is freed by the one that polls. */
static void give_back(struct rcu_head *head)
{
	struct holder *first = holder_of_rcu(head);
	struct buffers *buffers = first->of;

	cds_lfs_push(&buffers->returned, &first->node);
	sem_post(&buffers->given_back); /* the last thing done with it */
}

static void free_list(struct holder *holder)
{
	while (holder) {
		struct holder *next = holder->next;

		holder_free(holder);
		holder = next;
	}
}

static void collect(struct buffers *buffers)
{
	struct cds_lfs_head *all;
	struct cds_lfs_node *node;

	while (buffers->waiting > 0 && sem_trywait(&buffers->given_back) == 0)
		buffers->waiting--;
	all = __cds_lfs_pop_all(&buffers->returned);
	node = all ? &all->node : NULL;
	while (node) {
		struct holder *first = holder_of_node(node);

		node = node->next;
		free_list(first);
	}
}

void buffers_leave(struct buffers *buffers, struct holder *holder)
{
	size_t n;

	if (!buffers->table) { /* nobody has come to it from a row */
		holder_free(holder);
		return;
	}
	for (n = 0; n < holder->pools.room; n++) {
		struct pool_books *pool = holder->pools.all[n].books;

		if (pool) /* readers pass over its rows from now on */
			tally_store_relaxed(&pool->reset, UINT64_MAX); /* relaxed: by itself */
	}
	holder->leaving = true;
	holder->region = NULL;
	holder->next = buffers->leaving;
	buffers->leaving = holder;
	buffers->sweep = buffers->sweep || holder->rows > 0;
}

static void retire_leaving(struct buffers *buffers)
{
	struct holder *first = buffers->leaving;

	if (!first)
		return;
	buffers->leaving = NULL;
	first->of = buffers;
	buffers->waiting++;
	urcu_bp_call_rcu(&first->rcu, give_back);
}

/* ---- Once a look ----------------------------------------------------------------------------- */

void buffers_end_doubts(struct buffers *buffers, uint64_t until_ns)
{
	struct row *row;
	bool live;

	urcu_bp_read_lock();
	while ((row = doubts_next(&buffers->doubts, until_ns, &live)))
		if (!live)
			place_take_away(buffers, row, false);
	urcu_bp_read_unlock();
}

/* What is removed meanwhile remains a way to the next node until the lock is given back. */
void buffers_sweep(struct buffers *buffers)
{
	struct cds_lfht_node *node;
	struct cds_lfht_iter iter;
	size_t met = 0;

	buffers->sweep = false;
	buffers->sweeping = true;
	urcu_bp_read_lock();
	cds_lfht_for_each(buffers->table, &iter, node)
	{
		struct row *row = row_of(node);
		bool leaves = row->books->pool->holder->leaving;

		if (leaves || buffers_is_gone(buffers, row))
			place_take_away(buffers, row, !leaves);
		if (++met % SWEEP_STEP == 0 && buffers->meanwhile)
			buffers->meanwhile(buffers->meanwhile_arg);
	}
	urcu_bp_read_unlock();
	buffers->sweeping = false;
	grow(buffers);
}

static uint64_t thread_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Among very many rows a sweep takes so long that it comes more seldom. */
static void sweep_and_rest(struct buffers *buffers)
{
	uint64_t took_ns = thread_ns();

	buffers_sweep(buffers);
	took_ns = thread_ns() - took_ns;
	buffers->next_sweep_ns = took_ns < SWEEP_LONG_NS
					 ? 0
					 : clock_monotonic_ns() + took_ns * SWEEP_REST;
}

void buffers_settle(struct buffers *buffers)
{
	if (!buffers->table)
		return;
	buffers->doubts.now_ns = clock_monotonic_ns();
	buffers_end_doubts(buffers, buffers->doubts.now_ns - DOUBT_NS);
	if (buffers->sweep && buffers->doubts.now_ns >= buffers->next_sweep_ns)
		sweep_and_rest(buffers);
	if (!buffers->sweep)
		retire_leaving(buffers);
	collect(buffers);
}

/* ---- Walking --------------------------------------------------------------------------------- */

static void describe(const struct row *row, const struct tag_books *books,
		     struct tally_buffer *ret_buffer)
{
	const struct pool_books *pool = books->pool;
	const struct holder *holder = pool->holder;
	/* relaxed, all: written before the row was published */
	uint64_t where = tally_load_relaxed(&row->where);
	struct when when = ticks_when(&holder->ticks, tally_load_relaxed(&row->time));

	*ret_buffer = (struct tally_buffer){
		.buffer_id = tally_load_relaxed(&row->buffer_id),
		.size = tally_load_relaxed(&row->size), /* relaxed: as above */
		.region_id = holder->region_id,
		.pid = holder->pid,
		.tid = (uint32_t)where,
		.comm = holder->comm,
		.device = pool->device,
		.pool = pool->pool,
		.flags = (uint32_t)(where >> 32 & 0xff),
		.pool_name = rcu_dereference(pool->name),
		.tag = books->name,
		.alloc_realtime_ns = when.realtime_ns,
		.alloc_monotonic_ns = when.monotonic_ns,
		/* relaxed, both: each stands by itself */
		.ended = tally_load_relaxed(&holder->ended) != 0,
		.unsure = when.monotonic_ns < tally_load_relaxed(&holder->lost_ns),
	};
}

/* relaxed, both: a row that changes meanwhile is there or not */
static bool is_there(const struct row *row, const struct pool_books *pool)
{
	return (tally_load_relaxed(&row->state) & ROW_LIVE) &&
	       tally_load_relaxed(&row->time) >= tally_load_relaxed(&pool->reset);
}

size_t buffers_each(const struct buffers *buffers,
		    bool (*each)(void *each_arg, const struct tally_buffer *buffer), void *each_arg)
{
	struct tally_buffer buffer;
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;
	size_t handed_over = 0;

	if (!buffers->table)
		return 0;
	exclude_begin(); /* a thread's first RCU lock registers it */
	urcu_bp_read_lock();
	exclude_end();
	cds_lfht_for_each(buffers->table, &iter, node)
	{
		const struct row *row = row_of(node);
		const struct tag_books *books = rcu_dereference(row->books);

		if (!is_there(row, books->pool))
			continue;
		describe(row, books, &buffer);
		handed_over++;
		if (!each(each_arg, &buffer))
			break;
	}
	urcu_bp_read_unlock();
	return handed_over;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

int buffers_open(struct buffers *buffers, size_t max)
{
	size_t buckets_max;

	memset(buffers, 0, sizeof(*buffers));
	if (max > BUFFERS_MAX)
		return -EINVAL;
	buckets_max = power_of_two(max);
	buffers->max = max;
	buffers->buckets = BUCKETS_MIN;
	if (!can_have(buckets_max, PROT_NONE) || !can_have(BUCKETS_MIN, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	buffers->table = cds_lfht_new_flavor(BUCKETS_MIN, BUCKETS_MIN, buckets_max, 0,
					     &urcu_bp_flavor, NULL);
	if (!buffers->table)
		return -ENOMEM;
	buffers->doubts.max = (uint32_t)max;
	rows_open(&buffers->rows, 2 * max + ROWS_WAITING);
	__cds_lfs_init(&buffers->returned);
	sem_init(&buffers->given_back, 0, 0);
	return 0;
}

void buffers_close(struct buffers *buffers)
{
	if (!buffers->table)
		return;
	buffers->meanwhile = NULL;
	buffers_sweep(buffers);
	retire_leaving(buffers);
	while (buffers->waiting > 0)
		if (sem_wait(&buffers->given_back) == 0)
			buffers->waiting--;
	collect(buffers);
	cds_lfht_destroy(buffers->table, NULL);
	rows_close(&buffers->rows);
	ahead_free(&buffers->ahead);
	doubts_free(&buffers->doubts);
	sem_destroy(&buffers->given_back);
	buffers->table = NULL;
}
