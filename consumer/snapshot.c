/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing snapshots: RCU, and blocks that come back to be used again. */
#include "consumer/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <unistd.h>
/* The pointer macros inline: a few instructions, as the library's licence foresees. */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-bp.h>

#include "consumer/build.h"

#define LARGE_PAGE 2097152
#define LARGE_PAGES_MIN 4194304

struct block {
	struct rcu_head rcu;
	struct cds_lfs_node node;
	struct publisher *publisher;
	size_t room;
	struct tally_snapshot snapshot;
	max_align_t arrays[];
};

/* ---- Blocks ---------------------------------------------------------------------------------- */

static struct block *block_of_rcu(struct rcu_head *head)
{
	return (struct block *)((char *)head - offsetof(struct block, rcu));
}

static struct block *block_of_node(struct cds_lfs_node *node)
{
	return (struct block *)((char *)node - offsetof(struct block, node));
}

/* On liburcu's thread, after a grace period: frees nothing there. */
static void give_back(struct rcu_head *head)
{
	struct block *block = block_of_rcu(head);
	struct publisher *publisher = block->publisher;

	cds_lfs_push(&publisher->retired, &block->node);
	sem_post(&publisher->given_back); /* the last thing done with the publisher */
}

/* Keeps the largest block that came back, frees the others. */
static void collect(struct publisher *publisher)
{
	struct cds_lfs_head *all = __cds_lfs_pop_all(&publisher->retired);
	struct cds_lfs_node *node = all ? &all->node : NULL;

	while (node) {
		struct block *block = block_of_node(node);

		node = node->next;
		if (publisher->spare && publisher->spare->room >= block->room) {
			free(block);
			continue;
		}
		free(publisher->spare);
		publisher->spare = block;
	}
}

/* Large ones in large pages, where there are some: to touch thousands of small ones for the first
 * time takes longer than to fill them. */
static struct block *make_block(size_t size)
{
	void *block = NULL;

	if (size < LARGE_PAGES_MIN)
		return malloc(size);
	if (posix_memalign(&block, LARGE_PAGE, size) != 0)
		return NULL;
	madvise(block, size, MADV_HUGEPAGE);
	return block;
}

static struct block *take_block(struct publisher *publisher, size_t size)
{
	struct block *block = publisher->spare;

	publisher->spare = NULL;
	if (block && block->room >= size)
		return block;
	free(block);
	size += size / 4; /* processes come and go */
	block = make_block(sizeof(*block) + size);
	if (block) {
		block->room = size;
		block->publisher = publisher;
	}
	return block;
}

/* ---- Publishing ------------------------------------------------------------------------------ */

int publisher_publish(struct publisher *publisher, const struct picture *picture)
{
	struct layout layout;
	struct block *block, *before;

	if (publisher->orphan && publisher->current)
		return -EDEADLK;
	while (publisher->waiting > 0 && sem_trywait(&publisher->given_back) == 0)
		publisher->waiting--;
	collect(publisher);
	build_measure(picture, &layout);
	block = take_block(publisher, layout.size);
	if (!block)
		return -ENOMEM;
	build_fill(picture, &layout, (unsigned char *)block->arrays, &block->snapshot);
	before = rcu_xchg_pointer(&publisher->current, block);
	if (before) {
		publisher->waiting++;
		urcu_bp_call_rcu(&before->rcu, give_back);
	}
	return 0;
}

const struct tally_snapshot *publisher_get(const struct publisher *publisher)
{
	const struct block *block;

	urcu_bp_read_lock();
	block = rcu_dereference(publisher->current);
	return &block->snapshot;
}

void publisher_put(void)
{
	urcu_bp_read_unlock();
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void *nothing(void *arg)
{
	return arg;
}

/* liburcu ends the process when it cannot make its thread: try first whether one can be made. */
static bool can_make_threads(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, nothing, NULL) != 0)
		return false;
	pthread_join(thread, NULL);
	return true;
}

/* A fork child has liburcu's state without its thread, so no grace period would ever end. Handlers
 * at fork() could give it one, but would have the parent's fork wait for all who hold a snapshot.
 */
static bool is_orphan(void)
{
	static uint64_t user; /* the process that was here first */
	uint64_t pid = (uint64_t)getpid(), first = 0;

	/* relaxed: a number that stands by itself */
	return !tally_cas_relaxed(&user, &first, pid) && first != pid;
}

int publisher_open(struct publisher *publisher)
{
	sigset_t all, before;
	bool possible;

	memset(publisher, 0, sizeof(*publisher));
	publisher->orphan = is_orphan();
	/* liburcu's thread inherits the mask: signals are for the host's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	possible = publisher->orphan || can_make_threads();
	if (possible && !publisher->orphan)
		urcu_bp_get_default_call_rcu_data();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!possible)
		return -EAGAIN;
	__cds_lfs_init(&publisher->retired);
	sem_init(&publisher->given_back, 0, 0);
	return 0;
}

void publisher_close(struct publisher *publisher)
{
	/* Each block's callback ends with its post: after as many, nobody uses the publisher. */
	while (publisher->waiting > 0)
		if (sem_wait(&publisher->given_back) == 0)
			publisher->waiting--;
	collect(publisher);
	free(publisher->spare);
	free(publisher->current); /* no reader is left */
	sem_destroy(&publisher->given_back);
}
