/* SPDX-License-Identifier: Apache-2.0 */
/* A process's life as a producer: arming, making the region, fork, exit. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "producer/config.h"
#include "producer/state.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* What outlives a fork, as ordinary memory: where the parent's things were, and what the child
 * takes over. */
static struct {
	void *mapping; /* of the region; a hole in a fork child */
	size_t mapping_size;
	bool mapping_spare; /* blanked: a new region may be mapped there */
	struct lane_writer *writers;
	size_t writers_size;
	int open_fd;   /* of a region being made: in a fork child it would keep the lock */
	bool wipes;    /* the kernel wipes tally_private in a fork child */
	bool handlers; /* pthread_atfork() is done */
	bool inherits; /* the three below hold, for a child that is being forked */
	uint64_t parent_id;
	int64_t heap_bytes, heap_allocs;
} kept = { .open_fd = -1 };

static struct cells early_cells(void)
{
	struct cells cells = {
		.process = &tally_private.in.early.process,
		.cells = tally_private.in.early.cells,
		.count = 1u << GEOMETRY_CELLS_LOG2,
	};

	return cells;
}

/* ---- Sums of this process -------------------------------------------------------------------- */

void process_balance(uint64_t key, int64_t *ret_bytes, int64_t *ret_allocs)
{
	struct process_state *process = &tally_private.in.process;
	struct ledger_sums sums;
	uint64_t bytes = 0, allocs = 0, found;
	uint32_t lane, n;

	for (lane = 0; lane < process->region.at.lanes; lane++) {
		struct tally_lane_header *header = region_lane(process->region.base,
							       &process->region.at, lane);

		/* U2'' -> U1: a counted lane can be read */
		if (lane >= tally_load_acquire(&region_state(process->region.base)->lanes_used))
			break;
		/* D2' -> D1: a counted cell is there */
		n = (uint32_t)tally_load_acquire(&header->cell_count);
		while (n-- > 0) {
			const struct tally_cell *cell = &lane_cells(header)[n];

			/* relaxed: D1 published it */
			if (tally_load_relaxed(&cell->key) != key || !ledger_read(cell, &sums))
				continue;
			bytes += sums.allocated_bytes - sums.freed_bytes;
			allocs += sums.allocs - sums.frees;
		}
	}
	for (n = 0; n < process->cells.count; n++) {
		size_t page = (sizeof(struct tally_process_header) +
			       n * sizeof(struct tally_shared_cell)) /
			      TALLY_PAGE;
		/* U2''' -> U1: the page is reserved */
		uint64_t pages = tally_load_acquire(&process->cells.process->cell_pages);

		if (!(pages >> page & 1) || !cells_read(&process->cells.cells[n], &found, &sums) ||
		    found != key)
			continue;
		bytes += sums.allocated_bytes - sums.freed_bytes;
		allocs += sums.allocs - sums.frees;
	}
	*ret_bytes = (int64_t)bytes;
	*ret_allocs = (int64_t)allocs;
}

/* ---- Making the region ----------------------------------------------------------------------- */

/* Early sums become the opening of the maker's own lane, so that a process with one thread has
 * all its sums, and so its peak, in one place. */
static bool fold_into_lane(void *arg, uint64_t key, const struct ledger_sums *sums)
{
	return lane_open_cell(arg, key, sums, sums->event_no);
}

static bool fold_into_cells(void *arg, uint64_t key, const struct ledger_sums *sums)
{
	return cells_add(arg, key, sums);
}

/* The region could not be named: what was folded into it goes back. */
static void unfold(struct lane_writer *lane)
{
	struct cells early = early_cells();
	uint32_t n;

	for (n = 0; lane && n < lane->cell_count; n++) {
		/* own: nobody else has seen this lane */
		uint64_t key = tally_load_relaxed(&lane->cells[n].key);
		struct ledger_sums sums;

		ledger_read(&lane->cells[n], &sums);
		sums.event_no = sums.allocs + sums.frees + sums.failures;
		cells_add(&early, key, &sums);
	}
}

/* The private side of the lanes; used again by the next region of the same size, but not while a
 * push of this thread may still have a pointer into it. */
static int make_writers(struct process_state *process)
{
	size_t size = process->region.at.lanes * sizeof(*process->writers);

	if (kept.writers && kept.writers_size != size) {
		munmap(kept.writers, kept.writers_size);
		kept.writers = NULL;
	}
	if (!kept.writers) {
		void *writers = mmap(NULL, size, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (writers == MAP_FAILED)
			return -errno;
		kept.writers = writers;
		kept.writers_size = size;
	} else if (madvise(kept.writers, size, MADV_DONTNEED) != 0) { /* zero again */
		return -errno;
	}
	process->writers = kept.writers;
	return 0;
}

static int make_region(struct process_state *process)
{
	struct region_config config = {
		.dir = producer_config.dir,
		.ring_log2 = producer_config.ring_log2,
		.lanes_log2 = producer_config.lanes_log2,
		.flags = producer_config.flags,
		.run_id = producer_config.run_id,
		.open_fd = &kept.open_fd,
		.place = kept.mapping_spare ? kept.mapping : NULL,
		.place_size = kept.mapping_size,
	};
	int error;

	if (kept.inherits) {
		config.parent_id = kept.parent_id;
		config.inherited_bytes = kept.heap_bytes;
		config.inherited_allocs = kept.heap_allocs;
	}
	error = region_create(&config, &process->region);
	if (error)
		return error;
	process->cells = cells_of(&process->region, 0);
	return make_writers(process);
}

/* Makes the region with everything in it that was counted so far, and names it. */
static int build(struct process_state *process, struct thread_state *thread)
{
	struct cells early = early_cells();
	int error = make_region(process);

	thread->lane = NULL;
	thread->generation = 0;
	if (!error) {
		thread_attach(thread, process->region.id);
		if (thread->lane)
			cells_fold(&early, fold_into_lane, thread->lane);
		error = region_publish(&process->region);
	}
	if (error) {
		unfold(thread->lane);
		thread->lane = NULL;
		thread->generation = 0;
		region_discard(&process->region);
		process->region.base = NULL;
		return error;
	}
	kept.mapping = process->region.base;
	kept.mapping_size = process->region.at.size;
	kept.mapping_spare = false;
	kept.inherits = false;
	return 0;
}

/* No region of its own: a process that `tally run` started counts in the runner's. */
static void join_runner(struct process_state *process)
{
	process->cells.process = NULL;
	if (!producer_config.run_region[0] ||
	    region_join(producer_config.dir, producer_config.run_region, TALLY_REGION_RUNNER,
			&process->guest) != 0)
		return;
	process->cells = cells_of(&process->guest, 0);
	/* relaxed: a count that stands by itself */
	tally_add_relaxed(&process->cells.process->guests, 1);
}

/* The private pages are wiped in a fork child, by the kernel or else by child() below. */
static void ask_for_wipe(void)
{
	kept.wipes = madvise(&tally_private, sizeof(tally_private), MADV_WIPEONFORK) == 0;
}

static void fork_prepare(void);
static void fork_parent(void);
static void fork_child(void);

/* Takes the right to decide; the generation, ARMED_OFF, or ARMED_UNDECIDED if another has it. */
static uint64_t decide(void)
{
	struct process_state *process = &tally_private.in.process;
	struct cells early = early_cells();
	struct region *region = &process->region;
	uint64_t building = 0;
	uint64_t armed;

	/* M2 -> M1: what an earlier maker did is done */
	if (!tally_cas_acquire(&process->building, &building, 1))
		return ARMED_UNDECIDED;
	armed = process_look();
	if (armed >= GENERATION_MIN) {
		tally_store_release(&process->building, 0); /* M1' -> M2 */
		return armed;
	}
	ask_for_wipe();
	thread_setup();
	if (!kept.handlers)
		kept.handlers = pthread_atfork(fork_prepare, fork_parent, fork_child) == 0;
	process->clock = clock_choose();
	process->pid = (uint32_t)getpid();
	process->region_error = build(process, &tally_thread);
	if (process->region_error)
		join_runner(process);
	armed = region->base ? region->id : GENERATION_MIN;
	tally_store_release(&process->armed, armed); /* B1 -> B2: all the above */
	tally_fence_total(); /* S2 -> S1: the region is there, then take what came too early */
	if (process->cells.process)
		cells_fold(&early, fold_into_cells, &process->cells);
	tally_store_release(&process->building, 0); /* M1 -> M2 */
	return armed;
}

uint64_t process_armed(void)
{
	struct process_state *process = &tally_private.in.process;
	uint64_t armed = process_look();

	if (armed != ARMED_UNDECIDED)
		return armed;
	if (!config_load())
		return ARMED_UNDECIDED;
	if (producer_config.armed)
		return decide();
	/* relaxed: says only "off", with nothing behind it; tally_init() may have been faster */
	tally_cas_relaxed(&process->armed, &armed, ARMED_OFF);
	return process_look();
}

uint64_t process_armed_wait(void)
{
	struct thread_state *thread = &tally_thread;
	uint64_t armed;

	if (thread->armed == THREAD_BUSY || !config_load()) /* a handler within a push */
		return process_look();
	for (;;) {
		thread->armed = THREAD_BUSY;
		tally_fence_signal(); /* a handler from here on finds the thread busy */
		armed = process_armed();
		tally_fence_signal(); /* done before the thread is free again */
		thread->armed = ARMED_OFF;
		if (armed != ARMED_UNDECIDED)
			return armed;
		sched_yield();
	}
}

void process_fold_late(void)
{
	struct process_state *process = &tally_private.in.process;
	struct cells early = early_cells();

	if (process->cells.process)
		cells_fold(&early, fold_into_cells, &process->cells);
}

/* ---- Fork ------------------------------------------------------------------------------------ */

/* The host's heap is copied by a fork: the child's books open with its balance. */
static void fork_prepare(void)
{
	struct process_state *process = &tally_private.in.process;

	if (process_look() < GENERATION_MIN || !process->region.base)
		return; /* a child that made no region: its own child inherits the same */
	process_balance(TALLY_KEY(0, TALLY_POOL_HEAP), &kept.heap_bytes, &kept.heap_allocs);
	kept.heap_bytes +=
		(int64_t)((struct tally_region_header *)process->region.base)->inherited_bytes;
	kept.heap_allocs +=
		(int64_t)((struct tally_region_header *)process->region.base)->inherited_allocs;
	kept.parent_id = process->region.id;
	kept.inherits = true;
}

static void fork_parent(void)
{
	if (tally_private.in.process.region.base)
		kept.inherits = false;
}

/* Only the forking thread is here. If the fork came out of a signal handler that interrupted a
 * push, that push goes on when the handler returns: it finds plain memory where the region was,
 * and its lane's private state is left to it alone. */
static void fork_child(void)
{
	struct thread_state *thread = &tally_thread;
	bool in_push = thread->armed == THREAD_BUSY;

	if (kept.open_fd >= 0)
		close(kept.open_fd); /* another thread of the parent was making a region */
	kept.open_fd = -1;
	if (kept.wipes && process_look() >= GENERATION_MIN)
		return; /* somebody's handler before this one has pushed: all is new already */
	if (!kept.wipes)
		memset(&tally_private, 0, sizeof(tally_private));
	if (kept.mapping && !kept.mapping_spare &&
	    mmap(kept.mapping, kept.mapping_size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) == kept.mapping)
		kept.mapping_spare = !in_push;
	thread->generation = 0;
	if (in_push) {
		kept.writers = NULL;
	} else {
		thread->lane = NULL;
		thread->armed = ARMED_OFF;
	}
}

/* ---- Start and end --------------------------------------------------------------------------- */

__attribute__((constructor(101))) static void process_start(void)
{
	struct thread_state *thread = &tally_thread;

	/* Off is decided here, so that an unarmed process never takes the slow path; an armed one
	 * makes its region on the first push. */
	if (thread->armed != ARMED_OFF || !config_load() || producer_config.armed)
		return;
	process_armed_wait();
}

/* A runner reads and removes the regions of its run. It has gone with the region it lent. */
static bool runner_lives(void)
{
	char path[REGION_PATH_MAX];

	if (producer_config.run_id == 0)
		return false;
	snprintf(path, sizeof(path), "%s/%s", producer_config.dir, producer_config.run_region);
	return !producer_config.run_region[0] || access(path, F_OK) == 0;
}

static void say_goodbye(struct process_state *process)
{
	struct tally_process_header *header = region_process(process->region.base,
							     &process->region.at, 0);

	/* relaxed: one word that stands by itself */
	tally_store_relaxed(&header->ended_ns, clock_monotonic_ns());
	if (!producer_config.keep && !runner_lives())
		region_unlink(&process->region);
}

__attribute__((destructor(101))) static void process_end(void)
{
	struct process_state *process = &tally_private.in.process;

	if (process_look() >= GENERATION_MIN && process->region.base &&
	    process->pid == (uint32_t)getpid())
		say_goodbye(process);
}

int tally_enabled(void)
{
	return process_armed_wait() >= GENERATION_MIN;
}

int tally_init(const struct tally_options *options)
{
	struct process_state *process = &tally_private.in.process;
	struct thread_state *thread = &tally_thread;
	int saved_errno = errno;
	uint64_t armed;
	int error;

	if (thread->armed == THREAD_BUSY)
		return -EALREADY;
	config_load();
	if (process_look() >= GENERATION_MIN)
		return -EALREADY;
	error = config_apply(options);
	if (error)
		return error;
	thread->armed = THREAD_BUSY;
	tally_fence_signal(); /* a handler from here on finds the thread busy */
	armed = decide();
	tally_fence_signal(); /* done before the thread is free again */
	thread->armed = ARMED_OFF;
	errno = saved_errno;
	return armed == ARMED_UNDECIDED ? -EALREADY : process->region_error;
}

int tally_shutdown(void)
{
	struct process_state *process = &tally_private.in.process;
	struct region region = process->region;

	if (process_look() < GENERATION_MIN)
		return -ENODEV;
	producer_config.armed = false;
	/* relaxed: the caller guarantees that no other thread pushes */
	tally_store_relaxed(&process->armed, ARMED_OFF);
	tally_thread.armed = ARMED_OFF;
	tally_thread.lane = NULL;
	tally_thread.generation = 0;
	if (region.base) {
		say_goodbye(process);
		process->region.base = NULL;
		region_blank(region.base, region.at.size);
		kept.mapping_spare = true;
	}
	return 0;
}
