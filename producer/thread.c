/* SPDX-License-Identifier: Apache-2.0 */
/* A thread's attachment: getting a lane, leaving it at the thread's end, being excluded. */
#include <pthread.h>
#include <stddef.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "producer/state.h"

static pthread_key_t exit_key;
static bool have_exit_key;

/* Runs as the thread ends. Events after it go to the shared cells. */
static void thread_gone(void *value)
{
	struct thread_state *thread = value;
	uint64_t armed = process_look();
	struct lane_writer *lane = thread->lane;

	thread->gone = 1;
	thread->armed = ARMED_OFF;
	thread->lane = NULL;
	tally_fence_signal(); /* a handler from here on does not use the lane */
	if (lane && thread->generation == armed)
		lane_leave(lane);
}

void quiet_begin(struct quiet *ret_before)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &ret_before->signals);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret_before->cancel_state);
}

void quiet_end(const struct quiet *before)
{
	int unused;

	pthread_setcancelstate(before->cancel_state, &unused);
	pthread_sigmask(SIG_SETMASK, &before->signals, NULL);
}

void thread_setup(void)
{
	if (!have_exit_key)
		have_exit_key = pthread_key_create(&exit_key, thread_gone) == 0;
}

void thread_teardown(void)
{
	if (have_exit_key)
		pthread_key_delete(exit_key);
	have_exit_key = false;
}

void thread_attach(struct thread_state *thread, uint64_t armed)
{
	struct process_state *process = &tally_private.in.process;
	bool is_first = thread->generation != armed;
	struct quiet quiet;

	if (is_first) {
		thread->depth = 0; /* the other region's tags mean nothing here */
		thread->generation = armed;
		thread->ticket = 0;
	}
	thread->laneless = 0;
	thread->lane = NULL;
	if (!is_first && !lane_claimable(&process->region, process->region.entry))
		return; /* as before, and without a system call */
	quiet_begin(&quiet);
	/* Without the destructor a lane would never be left: count in the shared cells then. */
	thread->tid = (uint32_t)gettid() & 0x3fffff;
	if (have_exit_key && pthread_setspecific(exit_key, thread) == 0)
		thread->lane = lane_claim(&process->region, process->writers, process->region.entry,
					  thread->tid, 0);
	quiet_end(&quiet);
	tags_apply(thread);
}

void tally_thread_exclude(void)
{
	struct thread_state *thread = &tally_thread;

	if (thread->excluded < EXCLUDED_MAX)
		thread->excluded++;
	if (thread->armed != THREAD_BUSY)
		thread->armed = ARMED_OFF; /* the next push takes the slow path, and sees it */
}

void tally_thread_include(void)
{
	if (tally_thread.excluded > 0)
		tally_thread.excluded--;
}
