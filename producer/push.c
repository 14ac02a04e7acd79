/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path: one event into the calling thread's lane; and where it goes when that cannot be.
 *
 * Off, a push is a load and a branch. Armed, it is two comparisons more, then lane_push(), whose
 * steps are on the page in ring/slot.h.
 */
#include <errno.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#include "producer/state.h"

union private_pages tally_private __attribute__((aligned(TALLY_PAGE)));
_Thread_local struct thread_state tally_thread
	__attribute__((tls_model("initial-exec"))) = { .armed = ARMED_OFF };

/* How many pushes a thread without a lane makes before it asks for one again. */
#define LANELESS_PUSHES 1024

/* Into the region's shared cells, or the static ones as long as there is no region. */
static void push_shared(uint64_t armed, uint32_t device, uint32_t pool,
			const struct lane_event *event, bool sums)
{
	struct process_state *process = &tally_private.in.process;
	struct early_state *state = &tally_private.in.early;
	struct cells to = { .process = NULL };
	bool placed;

	/* A copy: should a handler fork here, the child comes back to wiped state. */
	if (armed >= GENERATION_MIN)
		to = process->cells;
	placed = to.process != NULL;
	if (!placed) {
		to.process = &state->process;
		to.cells = state->cells;
		to.count = 1u << GEOMETRY_CELLS_LOG2;
		to.region = NULL;
	}
	if (!lane_in_range(device, pool))
		cells_reject(&to);
	else if (sums)
		cells_push(&to, event->kind, device, pool, event->size, event->buffer_id);
	else if (placed)
		cells_count(&to);
	else
		tally_add_relaxed(&state->notes, 1); /* relaxed: stands by itself */
	if (placed)
		return;
	tally_fence_total(); /* S1 -> S2: count, then look for a region */
	if (process_look() >= GENERATION_MIN)
		build_fold_late();
}

/* The lane to push into, or NULL. */
static struct lane_writer *lane_of(struct thread_state *thread, uint64_t armed)
{
	if (armed < GENERATION_MIN || !tally_private.in.process.region.base || thread->gone)
		return NULL;
	if (thread->generation != armed || (!thread->lane && ++thread->laneless == LANELESS_PUSHES))
		thread_attach(thread, armed);
	return thread->lane;
}

/* Counts an event of a thread that was not busy, and attaches it first when that is to be done.
 * Marks and descriptions move no sums. */
static void push_attached(uint32_t device, uint32_t pool, uint64_t tag, struct lane_event *event,
			  bool sums)
{
	struct thread_state *thread = &tally_thread;
	const struct lane_target *target = NULL;
	struct lane_writer *lane = NULL;
	uint64_t armed;

	armed = process_armed();
	thread->armed = THREAD_BUSY;
	tally_fence_signal(); /* a handler from here on finds the thread busy */
	if (armed != ARMED_OFF) {
		lane = lane_of(thread, armed);
		if (lane && event->time == 0)
			event->time = clock_ticks(lane->clock);
		if (lane && sums)
			target = lane_target(lane, device, pool);
		if (target)
			lane_push(lane, target, event);
		else if (lane && !sums)
			lane_note(lane, device, tag, event);
		else
			push_shared(armed, device, pool, event, sums);
	}
	tally_fence_signal(); /* everything above is done before the thread is free again */
	/* The hot path reads the processor's own counter, so other clocks stay on this one. */
	thread->armed = lane && lane->clock != TALLY_CLOCK_MONOTONIC ? armed : ARMED_OFF;
}

static void push_any(uint32_t device, uint32_t pool, uint64_t tag, struct lane_event *event,
		     bool sums)
{
	struct thread_state *thread = &tally_thread;
	int saved_errno = errno;

	if (thread->excluded)
		return;
	if (thread->armed == THREAD_BUSY) {
		uint64_t armed = process_look();

		if (armed != ARMED_OFF)
			push_shared(armed, device, pool, event, sums);
	} else {
		push_attached(device, pool, tag, event, sums);
	}
	errno = saved_errno;
}

void push_event(uint32_t device, uint32_t pool, struct lane_event *event)
{
	push_any(device, pool, 0, event, true);
}

void push_note(uint32_t device, uint64_t tag, struct lane_event *event)
{
	push_any(device, 0, tag, event, false);
}

/* Everything that is not the hot path: a thread's first push, a push that interrupts another, one
 * without a lane, one out of range. In registers, so that the hot path needs no memory for it. */
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

/* The hot path. A function of its own per kind, so that nothing is set up for it when off. */
static __always_inline void push(uint64_t armed, enum tally_kind kind, uint64_t time,
				 uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size)
{
	struct thread_state *thread = &tally_thread;
	const struct lane_target *target;
	struct lane_writer *lane;
	struct lane_event event;

	if (__builtin_expect(thread->armed != armed, 0)) {
		push_slow(kind, time, device, pool, buffer_id, size);
		return;
	}
	event.time = time ? time : clock_ticks(CLOCK_PROCESSOR);
	thread->armed = THREAD_BUSY;
	tally_fence_signal(); /* a handler from here on finds the thread busy */
	lane = thread->lane;  /* NULL in a child that a handler forked just now */
	target = lane ? lane_target(lane, device, pool) : NULL;
	if (__builtin_expect(target == NULL, 0)) {
		push_slow(kind, event.time, device, pool, buffer_id, size);
	} else {
		event.kind = kind;
		event.buffer_id = buffer_id;
		event.size = size;
		lane_push(lane, target, &event);
	}
	tally_fence_signal(); /* everything above is done before the thread is free again */
	thread->armed = armed;
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
