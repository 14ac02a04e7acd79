/* SPDX-License-Identifier: Apache-2.0 */
/* Tags and marks: what a thread says it is doing, carried by its records. */
#include <errno.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#include "producer/state.h"
#include "ring/entries.h"

/* The tag's number in this process's region, after attaching the thread to it; 0 is none. */
static uint16_t intern(struct thread_state *thread, const char *name)
{
	int saved_errno = errno;
	uint16_t tag = 0;
	uint64_t armed;

	if (!name || thread->armed == THREAD_BUSY || thread->excluded)
		return 0;
	armed = process_armed();
	thread->armed = THREAD_BUSY;
	tally_fence_signal(); /* a handler from here on finds the thread busy */
	if (armed >= GENERATION_MIN && tally_private.in.process.region.base) {
		if (thread->generation != armed && !thread->gone)
			thread_attach(thread, armed);
		tag = (uint16_t)entries_tag(&tally_private.in.process.region, name);
	}
	tally_fence_signal();	   /* done before the thread is free again */
	thread->armed = ARMED_OFF; /* the next push decides */
	errno = saved_errno;
	return tag;
}

void tags_apply(struct thread_state *thread)
{
	/* The lane may be one of a region that another thread has shut down. */
	if (thread->lane && (thread->generation == process_look() || thread->armed == THREAD_BUSY))
		thread->lane->tag = tags_current(thread, thread->generation);
}

void tally_tag_push(const char *name)
{
	struct thread_state *thread = &tally_thread;
	uint16_t tag;

	/* relaxed: off is off whoever said so */
	if (tally_load_relaxed(&tally_private.in.process.armed) == ARMED_OFF)
		return;
	tag = intern(thread, name);
	if (thread->depth < TAGS_DEEP)
		thread->tags[thread->depth] = tag;
	if (thread->depth < UINT16_MAX)
		thread->depth++;
	tags_apply(thread);
}

void tally_tag_pop(void)
{
	struct thread_state *thread = &tally_thread;

	if (thread->depth == 0)
		return;
	thread->depth--;
	tags_apply(thread);
}

void tally_mark(const char *name)
{
	struct lane_event event = { .kind = TALLY_KIND_MARK };
	uint16_t tag;

	/* relaxed: off is off whoever said so */
	if (tally_load_relaxed(&tally_private.in.process.armed) == ARMED_OFF)
		return;
	tag = intern(&tally_thread, name);
	push_note(0, tag, &event);
}
