/* SPDX-License-Identifier: Apache-2.0 */
/* Making this process's region: in one thread, with what was counted before it, or doing without.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#include "producer/config.h"
#include "producer/state.h"
#include "ring/clock.h"
#include "ring/join.h"

/* How often a balance looks at a cell, LEDGER_TRIES times each: it must not be missing, and who
 * asks can wait a little. */
#define BALANCE_TRIES 1000

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

/* ledger_read() of a cell that another thread may be pushing into without a pause. */
static bool read_patiently(const struct tally_cell *cell, struct ledger_sums *ret_sums)
{
	int tries;

	for (tries = 0; tries < BALANCE_TRIES; tries++)
		if (ledger_read(cell, ret_sums))
			return true;
	return false;
}

/* Whether a lane is this process's; in a joined region others are not. */
static bool is_own(const struct tally_lane_header *header, uint32_t entry)
{
	uint64_t owner = tally_load_relaxed(&header->owner); /* relaxed: ours do not change hands */

	return (owner >> 56 == TALLY_LANE_OWNED || owner >> 56 == TALLY_LANE_EXITED) &&
	       (owner >> 32 & 0xffffff) == entry;
}

/* Sums less what a dead owner of the cell had in them. */
static void add_balance(struct ledger_sums *to, const struct ledger_sums *sums,
			const struct tally_cell_base *base)
{
	/* relaxed, all: constant since this process has the cell */
	to->allocated_bytes += sums->allocated_bytes - tally_load_relaxed(&base->allocated_bytes);
	to->freed_bytes += sums->freed_bytes - tally_load_relaxed(&base->freed_bytes);
	to->allocs += sums->allocs - tally_load_relaxed(&base->allocs);
	to->frees += sums->frees - tally_load_relaxed(&base->frees);
}

static void balance_of_lanes(uint64_t key, struct ledger_sums *to)
{
	struct region *region = &tally_private.in.process.region;
	struct ledger_sums sums;
	uint64_t cells;
	uint32_t lane, n;

	for (lane = 0; lane < region->at.lanes; lane++) {
		struct tally_lane_header *header = region_lane(region->base, &region->at, lane);

		/* U2'' -> U1: a counted lane can be read */
		if (lane >= tally_load_acquire(&region_state(region->base)->lanes_used))
			break;
		if (!is_own(header, region->entry))
			continue;
		/* D2' -> D1: a counted cell is there */
		cells = tally_load_acquire(&header->cell_count);
		for (n = 0; n < cells && n < region->at.lane_cells; n++) {
			const struct tally_cell *cell = &lane_cells(header)[n];

			/* relaxed: D1 published it */
			if (tally_load_relaxed(&cell->key) == key && read_patiently(cell, &sums))
				add_balance(to, &sums, &cell->base);
		}
	}
}

static void balance_of_shared(uint64_t key, struct ledger_sums *to)
{
	const struct cells *cells = &tally_private.in.process.cells;
	/* U2''' -> U1: the pages whose bits are set are reserved */
	uint64_t found, pages = tally_load_acquire(&cells->process->cell_pages);
	struct ledger_sums sums;
	uint32_t n;

	for (n = cells_next(pages, 0, cells->count); n < cells->count;
	     n = cells_next(pages, n + 1, cells->count))
		if (cells_read(&cells->cells[n], &found, &sums) && found == key)
			add_balance(to, &sums, &cells->cells[n].base);
}

void build_balance(uint32_t device, uint32_t pool, int64_t *ret_bytes, int64_t *ret_allocs)
{
	const struct tally_process_header *process = tally_private.in.process.cells.process;
	struct ledger_sums held = { 0 };

	balance_of_lanes(TALLY_KEY(device, pool), &held);
	balance_of_shared(TALLY_KEY(device, pool), &held);
	*ret_bytes = ledger_balance(&held);
	*ret_allocs = (int64_t)(held.allocs - held.frees);
	if (device == 0 && pool == TALLY_POOL_HEAP) {
		/* own, both: written before the region was armed */
		*ret_bytes += (int64_t)tally_load_relaxed(&process->inherited_bytes);
		*ret_allocs += (int64_t)tally_load_relaxed(&process->inherited_allocs);
	}
}

/* ---- Early events ---------------------------------------------------------------------------- */

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

/* Moves what the static block holds into the region's shared cells. */
static void fold(const struct cells *to)
{
	struct early_state *state = &tally_private.in.early;
	struct cells early = early_cells();
	struct cells target = *to;
	uint64_t notes, rejected;

	cells_fold(&early, fold_into_cells, &target);
	/* relaxed, all: counts that stand by themselves; a swap takes each once */
	notes = tally_swap_relaxed(&state->notes, 0);
	rejected = tally_swap_relaxed(&state->process.rejected_events, 0);
	tally_add_relaxed(&to->process->rejected_events, rejected);
	cells_unrecorded(to->process, notes);
}

void build_fold_late(void)
{
	if (tally_private.in.process.cells.process)
		fold(&tally_private.in.process.cells);
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

/* ---- The region ------------------------------------------------------------------------------ */

/* The private side of the lanes; used again by the next region of the same size, but not while a
 * push of this thread may still have a pointer into it. */
static int make_writers(struct process_state *process)
{
	size_t size = process->region.at.lanes * sizeof(*process->writers);
	void *writers;

	if (producer_kept.writers && producer_kept.writers_size != size) {
		munmap(producer_kept.writers, producer_kept.writers_size);
		producer_kept.writers = NULL;
	}
	/* Mapped anew also in its old place, to be zero again. */
	writers = region_map(-1, size, PROT_READ | PROT_WRITE, producer_kept.writers);
	if (writers == MAP_FAILED)
		return -errno;
	producer_kept.writers = writers;
	producer_kept.writers_size = size;
	process->writers = writers;
	return 0;
}

/* The region that TALLY_REGION names, or, where it names none or cannot be joined, one of this
 * process's own, which has no name yet. */
static int get_region(struct process_state *process, struct region_config *config,
		      struct region *ret_region)
{
	process->join_error = 0;
	if (producer_config.region[0]) {
		config->name = producer_config.region;
		process->join_error = join_region(config, ret_region);
		if (!process->join_error)
			return 0;
		config->name = NULL;
		config->flags |= TALLY_REGION_UNJOINED;
	}
	return region_create(config, ret_region);
}

void build_say_goodbye(const struct region *region)
{
	struct tally_process_header *header = region_process(region->base, &region->at,
							     region->entry);

	/* relaxed: one word that stands by itself; for join_leave() the locks order it */
	tally_store_relaxed(&header->ended_ns, clock_monotonic_ns());
}

/* Lets go of a region that nobody has used. */
static void give_up(struct region *region)
{
	if (region->joined) {
		build_say_goodbye(region);
		join_leave(region);
	}
	region_discard(region);
}

/* Region and private state. On failure there is nothing to take back. */
static int make_region(struct process_state *process)
{
	struct kept *kept = &producer_kept;
	struct region_config config = {
		.dir = producer_config.dir,
		.ring_log2 = producer_config.ring_log2,
		.lanes_log2 = producer_config.lanes_log2,
		.flags = producer_config.flags,
		.run_id = producer_config.run_id,
		.open_fd = &kept->open_fd,
		.place = kept->mapping_spare ? kept->mapping : NULL,
		.place_size = kept->mapping_size,
	};
	struct region region;
	int error;

	if (kept->inherits) {
		config.parent = kept->parent;
		config.inherited_bytes = kept->heap_bytes;
		config.inherited_allocs = kept->heap_allocs;
	}
	error = get_region(process, &config, &region);
	if (error)
		return error;
	region.lossless_ms = producer_config.lossless_ms;
	process->region = region;
	process->clock = (enum tally_clock)((struct tally_region_header *)region.base)->clock;
	process->cells = cells_of(&process->region, region.entry);
	process->shared = shared_of(&process->region, region.entry);
	error = make_writers(process);
	if (error)
		give_up(&process->region);
	return error;
}

/* Names it, with everything in it that was counted so far. */
static int publish(struct process_state *process, struct thread_state *thread)
{
	struct cells early = early_cells();
	int error;

	thread->lane = NULL;
	if (!thread->gone)
		thread_attach(thread, process->region.generation);
	if (thread->lane)
		cells_fold(&early, fold_into_lane, thread->lane);
	error = process->region.joined ? 0 : region_publish(&process->region);
	if (!error)
		return 0;
	if (thread->lane)
		unfold(thread->lane);
	thread->lane = NULL;
	thread->generation = 0;
	region_discard(&process->region);
	return error;
}

/* What a fork child and the next region need to know. */
static void keep(const struct region *region)
{
	struct kept *kept = &producer_kept;

	if (kept->mapping_spare && kept->mapping != region->base)
		munmap(kept->mapping, kept->mapping_size);
	kept->mapping = region->base;
	kept->mapping_size = region->at.size;
	kept->mapping_spare = false;
	kept->inherits = false;
}

/* No region of its own: a process that `tally run` started counts in the runner's. */
static void join_runner(struct process_state *process)
{
	process->cells.process = NULL;
	process->shared.slots = NULL;
	if (!producer_config.run_region[0] ||
	    region_open_shared(producer_config.dir, producer_config.run_region, TALLY_REGION_RUNNER,
			       NULL, &process->guest) != 0)
		return;
	process->cells = cells_of(&process->guest, 0);
	producer_kept.guest = process->guest.base;
	producer_kept.guest_size = process->guest.at.size;
	/* relaxed: a count that stands by itself */
	tally_add_relaxed(&process->cells.process->guests, 1);
}

/* ---- Deciding -------------------------------------------------------------------------------- */

bool build_begin(struct quiet *quiet)
{
	/* relaxed: a hint, which saves the system calls below */
	uint64_t building = tally_load_relaxed(&tally_private.in.process.building);

	if (building)
		return false;
	quiet_begin(quiet);
	tally_thread.armed = THREAD_BUSY; /* what the system's calls allocate is counted early */
	fork_ask_for_wipe();		  /* before `building` is set: no fork child finds it set */
	/* M2 -> M1: what an earlier maker did is done */
	if (tally_cas_acquire(&tally_private.in.process.building, &building, 1))
		return true;
	tally_thread.armed = ARMED_OFF;
	quiet_end(quiet);
	return false;
}

bool build_begin_patiently(struct quiet *quiet, int tries)
{
	while (!build_begin(quiet)) {
		if (--tries <= 0)
			return false;
		sched_yield();
	}
	return true;
}

void build_end(const struct quiet *quiet)
{
	tally_store_release(&tally_private.in.process.building, 0); /* M1 -> M2 */
	tally_thread.armed = ARMED_OFF;
	quiet_end(quiet);
}

uint64_t build_region(void)
{
	struct process_state *process = &tally_private.in.process;
	uint64_t armed = GENERATION_MIN;
	int error;

	fork_setup();
	thread_setup();
	process->clock = clock_choose();
	error = make_region(process);
	if (!error)
		error = publish(process, &tally_thread);
	process->region_error = error;
	if (error) {
		join_runner(process);
	} else {
		keep(&process->region);
		armed = process->region.generation;
	}
	tally_store_release(&process->armed, armed); /* B1 -> B2: all the above */
	tally_fence_total(); /* S2 -> S1: the region is there, then take what came too early */
	build_fold_late();
	if (!error) /* the others push by now */
		prune_now_and_then(&producer_kept.prune, producer_config.dir, armed);
	return armed;
}
