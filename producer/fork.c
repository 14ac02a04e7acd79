/* SPDX-License-Identifier: Apache-2.0 */
/* Fork: the child starts disarmed and makes a region of its own; its heap opens with the parent's.
 *
 * The kernel wipes tally_private in the child, also after a raw clone(); the region is not mapped
 * there (MADV_DONTFORK). The handlers do the rest for fork(): they carry over the heap's balance
 * and put plain memory where the region was. A raw clone() out of a signal handler that interrupted
 * a push has no such handlers, and the child must not return into that push. Under an emulator that
 * heeds no advice the handlers do all of it, and nothing does it for a raw clone().
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "producer/state.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct kept producer_kept = { .open_fd = -1, .prune = { .dir_fd = -1, .file_fd = -1 } };

/* While a process is copied no other thread of it makes, joins or leaves a region: the child would
 * get a descriptor, or a mapping, and with it the parent's lock. */
static void take_right(struct thread_state *thread)
{
	uint64_t *building = &tally_private.in.process.building;
	int tries;

	for (tries = 0; tries < PATIENT_TRIES; tries++) {
		uint64_t free = 0;

		/* M2' -> M1: what an earlier maker did is done */
		if (tally_cas_acquire(building, &free, 1)) {
			thread->holds_right = 1;
			return;
		}
		sched_yield();
	}
}

static void give_right_back(struct thread_state *thread)
{
	if (thread->holds_right)
		/* M1' -> M2: nobody waits for a fork that is done */
		tally_store_release(&tally_private.in.process.building, 0);
	thread->holds_right = 0;
}

/* The host's heap is copied by a fork: the child's books open with its balance. */
static void fork_prepare(void)
{
	struct process_state *process = &tally_private.in.process;
	struct thread_state *thread = &tally_thread;

	thread->forking = 0;
	take_right(thread);
	if (process_look() < GENERATION_MIN || !process->region.base)
		return; /* a child that made no region: its own child inherits the same */
	build_balance(0, TALLY_POOL_HEAP, &producer_kept.heap_bytes, &producer_kept.heap_allocs);
	producer_kept.parent = process->region.generation;
	thread->forking = 1;
}

static void fork_parent(void)
{
	tally_thread.forking = 0;
	give_right_back(&tally_thread);
}

/* Puts plain memory where a mapping was. False: something else is there by now. */
static bool fill_hole(void *base, size_t size)
{
	/* relaxed: only this thread is left */
	int fixed = tally_load_relaxed(&producer_kept.stays) ? MAP_FIXED : MAP_FIXED_NOREPLACE;

	return mmap(base, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0) == base;
}

static void close_inherited(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Only the forking thread is here. If the fork came out of a signal handler that interrupted a
 * push, that push goes on when the handler returns: it finds plain memory where the region was,
 * and its lane's private state is left to it alone. */
static void fork_child(void)
{
	struct kept *kept = &producer_kept;
	struct thread_state *thread = &tally_thread;
	bool in_push = thread->armed == THREAD_BUSY;
	/* relaxed: only this thread is left */
	bool wiped = tally_load_relaxed(&kept->wipes);

	thread->holds_right = 0; /* of the parent's */
	if (wiped && process_look() >= GENERATION_MIN)
		return; /* somebody's handler before this one has pushed: all is new already */
	close_inherited(&kept->open_fd);
	close_inherited(&kept->prune.file_fd);
	close_inherited(&kept->prune.dir_fd);
	kept->inherits = kept->inherits || thread->forking;
	if (!wiped)
		memset(&tally_private, 0, sizeof(tally_private));
	if (kept->mapping && !kept->mapping_spare && fill_hole(kept->mapping, kept->mapping_size))
		kept->mapping_spare = !in_push;
	if (kept->guest)
		fill_hole(kept->guest, kept->guest_size);
	kept->guest = NULL;
	thread->forking = 0;
	thread->generation = 0;
	thread->tid = 0;
	if (in_push) {
		kept->writers = NULL;
	} else {
		thread->lane = NULL;
		thread->armed = ARMED_OFF;
	}
}

void fork_ask_for_wipe(void)
{
	bool heeded = region_advice_heeded(&tally_private);

	/* relaxed, both: several threads may be here at once, and all store the same */
	tally_store_relaxed(&producer_kept.stays, !heeded);
	/* Whole pages of the system's, or what lies behind would be wiped as well. */
	if (heeded && sysconf(_SC_PAGESIZE) == TALLY_PAGE &&
	    madvise(&tally_private, sizeof(tally_private), MADV_WIPEONFORK) == 0)
		tally_store_relaxed(&producer_kept.wipes, 1);
}

void fork_setup(void)
{
	if (!producer_kept.handlers)
		producer_kept.handlers = pthread_atfork(fork_prepare, fork_parent, fork_child) == 0;
}
