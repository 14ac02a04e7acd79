/* SPDX-License-Identifier: Apache-2.0 */
/* A process's life as a producer: off or armed, when it starts, when it ends. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <unistd.h>

#include "producer/config.h"
#include "producer/state.h"
#include "ring/join.h"

/* ---- Deciding -------------------------------------------------------------------------------- */

uint64_t process_armed(void)
{
	struct process_state *process = &tally_private.in.process;
	uint64_t armed = process_look();
	struct quiet quiet;

	if (armed != ARMED_UNDECIDED)
		return armed;
	if (!config_load())
		return ARMED_UNDECIDED;
	if (!producer_config.armed) {
		/* relaxed: says only "off", with nothing behind it; tally_init() may be faster */
		tally_cas_relaxed(&process->armed, &armed, ARMED_OFF);
		return process_look();
	}
	if (!build_begin(&quiet))
		return ARMED_UNDECIDED;
	armed = process_look();
	if (armed == ARMED_UNDECIDED)
		armed = build_region();
	build_end(&quiet);
	return armed;
}

uint64_t process_armed_wait(void)
{
	int saved_errno = errno;
	uint64_t armed = process_look();

	/* a handler within a push, or one around a fork */
	if (tally_thread.armed == THREAD_BUSY || tally_thread.holds_right)
		return armed;
	while (armed == ARMED_UNDECIDED && config_load()) {
		armed = process_armed();
		if (armed == ARMED_UNDECIDED)
			sched_yield();
	}
	errno = saved_errno;
	return armed;
}

/* ---- Start and end --------------------------------------------------------------------------- */

__attribute__((constructor(101))) static void process_start(void)
{
	struct quiet quiet;

	if (!config_load())
		return;
	/* Off is decided here, so that an unarmed process never takes the slow path; an armed one
	 * makes its region on the first push. But a fork that is under way by then would not run
	 * handlers which that push sets. */
	if (!producer_config.armed) {
		process_armed_wait();
	} else if (build_begin(&quiet)) {
		fork_setup();
		build_end(&quiet);
	}
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

/* The region stays mapped, for pushes that come later still. */
static void leave_region(const struct region *region)
{
	build_say_goodbye(region);
	if (producer_config.keep)
		return;
	if (region->joined)
		join_leave(region);
	else if (!runner_lives())
		region_unlink(region);
}

__attribute__((destructor(101))) static void process_end(void)
{
	struct process_state *process = &tally_private.in.process;
	struct quiet quiet;
	bool alone;

	thread_teardown();
	if (process_look() < GENERATION_MIN || !process->region.base)
		return;
	/* Another thread may be forking; if it takes too long, its child has a descriptor more. */
	alone = build_begin_patiently(&quiet, PATIENT_TRIES);
	leave_region(&process->region);
	if (alone)
		build_end(&quiet);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

int tally_enabled(void)
{
	uint64_t armed = process_look();

	if (armed == ARMED_UNDECIDED) /* else at once: who asks before each event asks often */
		armed = process_armed_wait();
	return armed >= GENERATION_MIN;
}

/* With the right to decide. */
static int arm(const struct tally_options *options)
{
	int error;

	if (process_look() >= GENERATION_MIN)
		return -EALREADY;
	error = config_apply(options);
	if (error)
		return error;
	build_region();
	return tally_private.in.process.region_error;
}

int tally_init(const struct tally_options *options)
{
	int saved_errno = errno;
	int error = -EBUSY;
	struct quiet quiet;

	if (tally_thread.armed == THREAD_BUSY) /* a handler within a push */
		return -EALREADY;
	config_load();
	/* Who has the right may be arming, or forking; within a fork it is this thread. */
	if (build_begin_patiently(&quiet, tally_thread.holds_right ? 1 : PATIENT_TRIES)) {
		error = arm(options);
		build_end(&quiet);
	}
	errno = saved_errno;
	return error;
}

/* The region goes; its addresses stay until the next one takes them. */
static void drop_region(struct process_state *process)
{
	struct region region = process->region;

	if (!region.base)
		return;
	leave_region(&region);
	process->region.base = NULL;
	region_blank(region.base, region.at.size);
	producer_kept.mapping_spare = true;
}

static void drop_guest(void)
{
	if (producer_kept.guest)
		munmap(producer_kept.guest, producer_kept.guest_size);
	producer_kept.guest = NULL;
}

/* With the right to decide. */
static int disarm(void)
{
	struct process_state *process = &tally_private.in.process;
	uint64_t armed = process_look();

	if (armed == ARMED_OFF || !producer_config.armed)
		return -ENODEV;
	producer_config.armed = false;
	/* relaxed, both: the caller guarantees that no other thread pushes */
	tally_store_relaxed(&process->armed, ARMED_OFF);
	tally_add_relaxed(&process->shutdowns, 1);
	tally_thread.lane = NULL;
	tally_thread.generation = 0;
	if (armed >= GENERATION_MIN) {
		drop_region(process);
		drop_guest();
		process->cells.process = NULL;
		process->shared.slots = NULL;
	}
	return 0;
}

int tally_shutdown(void)
{
	int saved_errno = errno;
	struct quiet quiet;
	int error = -EBUSY;

	if (tally_thread.holds_right)
		return -EBUSY;
	config_load();
	if (build_begin_patiently(&quiet, PATIENT_TRIES)) {
		error = disarm();
		build_end(&quiet);
	}
	errno = saved_errno;
	return error;
}
