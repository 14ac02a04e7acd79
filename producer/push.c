/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path: one event into the calling thread's lane; and where it goes when that cannot be.
 *
 * Off, a push is a load and a branch. Armed, it is two comparisons more, then lane_push(), whose
 * steps are on the page in ring/slot.h.
 */
#include <errno.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "producer/state.h"
#include "ring/aside.h"

union private_pages tally_private __attribute__((aligned(TALLY_PAGE)));
_Thread_local struct thread_state tally_thread
	__attribute__((tls_model("initial-exec"))) = { .armed = ARMED_OFF };

/* How many pushes a thread without a lane makes before it asks for one again. */
#define LANELESS_PUSHES 1024

/* An event that goes past the lanes. */
struct aside {
	uint32_t device;
	uint32_t pool;
	uint64_t tag;
	bool sums;   /* false: a mark or a description, which moves none */
	bool nested; /* the thread's tickets are another push's, or another ring's */
};

static uint32_t thread_id(struct thread_state *thread)
{
	if (!thread->tid)
		thread->tid = (uint32_t)gettid() & 0x3fffff;
	return thread->tid;
}

/* Counts it in `to`, with a record in `ring`. */
static void count(const struct cells *to, const struct shared_ring *ring, enum tally_clock clock,
		  const struct aside *aside, const struct lane_event *event)
{
	struct thread_state *thread = &tally_thread;
	uint64_t other = 0;
	struct shared_event shared = {
		.time = event->time ? event->time : clock_ticks(clock),
		.kind = event->kind,
		.buffer_id = event->buffer_id,
		.size = event->size,
		.where = lane_where(aside->device, aside->pool) | thread_id(thread),
		.label = aside->tag,
	};

	aside_count(to, ring, &shared, aside->sums, aside->nested ? &other : &thread->ticket);
}

/* Into the static cells, as long as there is no region. */
static void push_early(const struct aside *aside, const struct lane_event *event)
{
	struct early_state *state = &tally_private.in.early;
	struct cells to = {
		.process = &state->process,
		.cells = state->cells,
		.count = 1u << GEOMETRY_CELLS_LOG2,
	};

	if (!lane_in_range(aside->device, aside->pool))
		cells_reject(&to);
	else if (aside->sums)
		cells_push(&to, event->kind, aside->device, aside->pool, event->size,
			   event->buffer_id);
	else
		tally_add_relaxed(&state->notes, 1); /* relaxed: stands by itself */
	tally_fence_total();			     /* S1 -> S2: count, then look for a region */
	if (process_look() >= GENERATION_MIN)
		build_fold_late();
}

/* Into the region's shared ring and cells, or the static ones as long as there is no region. */
static void push_shared(uint64_t armed, struct aside *aside, const struct lane_event *event)
{
	struct process_state *process = &tally_private.in.process;
	struct shared_ring ring;
	enum tally_clock clock;
	struct cells to = { .process = NULL };

	aside->nested = aside->nested || tally_thread.generation != armed;
	/* Copies: should a handler fork here, the child comes back to wiped state. */
	if (armed >= GENERATION_MIN) {
		to = process->cells;
		ring = process->shared;
		clock = process->clock;
	}
	if (!to.process)
		push_early(aside, event);
	else if (!lane_in_range(aside->device, aside->pool))
		cells_reject(&to);
	else
		count(&to, &ring, clock, aside, event);
}

/* Whether the thread has what it needs of generation `armed`; attaches it when that is to be done,
 * and again now and then if it got no lane. */
static bool attached(struct thread_state *thread, uint64_t armed)
{
	if (armed < GENERATION_MIN || !tally_private.in.process.region.base || thread->gone)
		return false;
	if (thread->generation != armed || (!thread->lane && ++thread->laneless >= LANELESS_PUSHES))
		thread_attach(thread, armed);
	return true;
}

/* The word by which the next push of an attached thread knows its hot path. */
static uint64_t thread_ready(const struct thread_state *thread, uint64_t armed)
{
	if (!thread->lane)
		return THREAD_LANELESS(armed);
	return thread->lane->lossless.cursor ? THREAD_LOSSLESS(armed) : armed;
}

/* Counts an event of a thread that was not busy. */
static void push_attached(struct aside *aside, struct lane_event *event)
{
	struct thread_state *thread = &tally_thread;
	uint64_t next = ARMED_OFF;
	uint64_t armed;

	armed = process_armed();
	thread->armed = THREAD_BUSY;
	tally_fence_signal(); /* a handler from here on finds the thread busy */
	if (armed != ARMED_OFF) {
		const struct lane_target *target = NULL;
		struct lane_writer *lane = NULL;

		if (attached(thread, armed)) {
			lane = thread->lane;
			/* The hot path reads the processor's own counter, so other clocks stay
			 * on this one. */
			if (tally_private.in.process.clock == CLOCK_PROCESSOR &&
			    CLOCK_PROCESSOR != TALLY_CLOCK_MONOTONIC)
				next = thread_ready(thread, armed);
		}
		if (lane && aside->sums)
			target = lane_target(lane, aside->device, aside->pool);
		if (target || (lane && !aside->sums))
			lane_wait(lane);
		if (lane && event->time == 0)
			event->time = clock_ticks(lane->clock);
		if (aside->sums)
			aside->tag = tags_current(thread, armed);
		if (target)
			lane_push(lane, target, event);
		else if (lane && !aside->sums)
			lane_note(lane, aside->device, aside->tag, event);
		else
			push_shared(armed, aside, event);
	}
	tally_fence_signal(); /* everything above is done before the thread is free again */
	thread->armed = next;
}

static void push_any(struct aside *aside, struct lane_event *event)
{
	struct thread_state *thread = &tally_thread;
	int saved_errno = errno;

	if (thread->excluded)
		return;
	if (thread->armed == THREAD_BUSY) {
		uint64_t armed = process_look();

		aside->nested = true;

		if (aside->sums)
			aside->tag = tags_current(thread, armed);
		if (armed != ARMED_OFF)
			push_shared(armed, aside, event);
	} else {
		push_attached(aside, event);
	}
	errno = saved_errno;
}

void push_event(uint32_t device, uint32_t pool, struct lane_event *event)
{
	struct aside aside = { .device = device, .pool = pool, .sums = true };

	push_any(&aside, event);
}

void push_note(uint32_t device, uint64_t tag, struct lane_event *event)
{
	struct aside aside = { .device = device, .tag = tag };

	push_any(&aside, event);
}

/* Whatever cannot be done in a lane, with the thread marked busy. */
__attribute__((noinline, cold)) static void push_rest(uint64_t armed, enum tally_kind kind,
						      uint64_t time, uint32_t device, uint32_t pool,
						      uint64_t buffer_id, uint64_t size)
{
	int saved_errno = errno;
	struct lane_event event = {
		.time = time,
		.kind = kind,
		.buffer_id = buffer_id,
		.size = size,
	};
	struct aside aside = {
		.device = device,
		.pool = pool,
		.tag = tags_current(&tally_thread, armed),
		.sums = true,
	};

	push_shared(armed, &aside, &event);
	errno = saved_errno;
}

/* The shared ring's own hot path: into a ring that is ready and a cell that is there. False, with
 * nothing counted: otherwise. */
static __always_inline bool push_ready(uint64_t armed, enum tally_kind kind, uint64_t time,
				       uint32_t device, uint32_t pool, uint64_t buffer_id,
				       uint64_t size)
{
	const struct process_state *process = &tally_private.in.process;
	struct thread_state *thread = &tally_thread;
	/* Copies: should a handler fork here, the child comes back to wiped state. */
	struct shared_ring ring = process->shared;
	struct tally_shared_cell *cell;
	struct shared_event event = {
		.time = time,
		.kind = kind,
		.buffer_id = buffer_id,
		.size = size,
		.where = lane_where(device, pool) | thread->tid,
	};
	struct cells to = { .count = process->cells.count };

	tally_fence_signal(); /* the copies are taken here, and not again */
	if (!ring.process || !ring.head || to.count == 0 || !lane_in_range(device, pool) ||
	    !thread->tid || !shared_ready(&ring))
		return false;
	to.process = ring.process;
	to.cells = process_cells(ring.process);
	cell = cells_found(&to, TALLY_KEY(device, pool & 0xff));
	if (!cell)
		return false;
	event.label = tags_current(thread, armed);
	if (__builtin_expect(!shared_push(&ring, &event, &thread->ticket), 0))
		cells_unrecorded(ring.process, 1);
	if (kind == TALLY_KIND_ALLOC)
		cells_alloc(cell, size);
	else
		cells_free(cell, size);
	return true;
}

/* Everything that is not a hot path: a thread's first push, one that interrupts another. In
 * registers, as are those below, so that the hot path needs no memory for it. */
__attribute__((noinline, cold)) static void push_slow(enum tally_kind kind, uint64_t time,
						      uint32_t device, uint32_t pool,
						      uint64_t buffer_id, uint64_t size)
{
	struct lane_event event = {
		.time = time,
		.kind = kind,
		.buffer_id = buffer_id,
		.size = size,
	};

	push_event(device, pool, &event);
}

/* A push of a thread that is attached to a lane, which it marks as busy meanwhile; `armed` is its
 * word then. `waits`: for the lane's reader. */
static __always_inline void push_in_lane(uint64_t armed, bool waits, enum tally_kind kind,
					 uint64_t time, uint32_t device, uint32_t pool,
					 uint64_t buffer_id, uint64_t size)
{
	struct lane_event event = { .kind = kind, .buffer_id = buffer_id, .size = size };
	struct thread_state *thread = &tally_thread;
	const struct lane_target *target;
	struct lane_writer *lane;

	thread->armed = THREAD_BUSY;
	tally_fence_signal(); /* a handler from here on finds the thread busy */
	lane = thread->lane;  /* NULL in a child that a handler forked just now */
	target = lane ? lane_target(lane, device, pool) : NULL;
	if (waits && target)
		lane_wait(lane);
	event.time = time ? time : clock_ticks(CLOCK_PROCESSOR);
	if (__builtin_expect(target != NULL, 1))
		lane_push(lane, target, &event);
	else
		push_rest(process_look(), kind, event.time, device, pool, buffer_id, size);
	tally_fence_signal(); /* everything above is done before the thread is free again */
	thread->armed = armed;
}

/* A push of a thread that is not attached to a lane that overwrites, or is busy. */
static __always_inline void push_other(enum tally_kind kind, uint64_t time, uint32_t device,
				       uint32_t pool, uint64_t buffer_id, uint64_t size)
{
	struct thread_state *thread = &tally_thread;
	uint64_t armed = process_look();
	uint64_t next = THREAD_LANELESS(armed);

	if (armed >= GENERATION_MIN && thread->armed == THREAD_LOSSLESS(armed)) {
		push_in_lane(THREAD_LOSSLESS(armed), true, kind, time, device, pool, buffer_id,
			     size);
		return;
	}
	if (armed < GENERATION_MIN || thread->armed != next) {
		push_slow(kind, time, device, pool, buffer_id, size);
		return;
	}
	time = time ? time : clock_ticks(CLOCK_PROCESSOR);
	thread->armed = THREAD_BUSY;
	tally_fence_signal(); /* a handler from here on finds the thread busy */
	if (!push_ready(armed, kind, time, device, pool, buffer_id, size))
		push_rest(armed, kind, time, device, pool, buffer_id, size);
	/* Now and then a lane is asked for again. In a child that a handler has forked just now
	 * nothing is as it was. */
	if (thread->generation != armed || ++thread->laneless >= LANELESS_PUSHES)
		next = ARMED_OFF;
	tally_fence_signal(); /* everything above is done before the thread is free again */
	thread->armed = next;
}

__attribute__((noinline)) static void
push_other_alloc(uint64_t time, uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size)
{
	push_other(TALLY_KIND_ALLOC, time, device, pool, buffer_id, size);
}

__attribute__((noinline)) static void push_other_free(uint64_t time, uint32_t device, uint32_t pool,
						      uint64_t buffer_id, uint64_t size)
{
	push_other(TALLY_KIND_FREE, time, device, pool, buffer_id, size);
}

/* The hot path. A function of its own per kind, so that nothing is set up for it when off. */
static __always_inline void push(uint64_t armed, enum tally_kind kind, uint64_t time,
				 uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size)
{
	if (__builtin_expect(tally_thread.armed != armed, 0)) {
		if (kind == TALLY_KIND_ALLOC)
			push_other_alloc(time, device, pool, buffer_id, size);
		else
			push_other_free(time, device, pool, buffer_id, size);
		return;
	}
	push_in_lane(armed, false, kind, time, device, pool, buffer_id, size);
}

__attribute__((noinline)) static void push_alloc(uint32_t device, uint32_t pool, uint64_t buffer_id,
						 uint64_t size, uint64_t armed)
{
	push(armed, TALLY_KIND_ALLOC, 0, device, pool, buffer_id, size);
}

__attribute__((noinline)) static void push_free(uint32_t device, uint32_t pool, uint64_t buffer_id,
						uint64_t size, uint64_t armed, uint64_t time)
{
	push(armed, TALLY_KIND_FREE, time, device, pool, buffer_id, size);
}

/* relaxed: compared with the thread's own word, which was set after an acquire of the same value */
static inline uint64_t armed_now(void)
{
	return tally_load_relaxed(&tally_private.in.process.armed);
}

void tally_alloc(uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size)
{
	uint64_t armed = armed_now();

	if (armed != ARMED_OFF)
		push_alloc(device, pool, buffer_id, size, armed);
}

void tally_free(uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size)
{
	uint64_t armed = armed_now();

	if (armed != ARMED_OFF)
		push_free(device, pool, buffer_id, size, armed, 0);
}

void tally_free_at(uint64_t ticks, uint32_t device, uint32_t pool, uint64_t buffer_id,
		   uint64_t size)
{
	uint64_t armed = armed_now();

	if (armed != ARMED_OFF)
		push_free(device, pool, buffer_id, size, armed, ticks);
}

void tally_alloc_failed(uint32_t device, uint32_t pool, uint64_t size)
{
	if (armed_now() != ARMED_OFF)
		push_slow(TALLY_KIND_ALLOC_FAILED, 0, device, pool, 0, size);
}

uint64_t tally_now(void)
{
	if (process_look() < GENERATION_MIN)
		return 0;
	return clock_ticks(tally_private.in.process.clock);
}
