/* SPDX-License-Identifier: Apache-2.0 */
/* The producer's private state: per process, wiped in a fork child by the kernel, and per thread.
 *
 *	process.armed   ARMED_UNDECIDED   nothing has happened yet, or this is a new fork child
 *	                ARMED_OFF         a push returns after one load and one branch
 *	                a generation      random; a push goes into the thread's lane if the
 *	                                  thread's armed word is the same
 *	thread.armed    ARMED_OFF         not attached (the initial value)
 *	                THREAD_BUSY       inside a push or a slow path: an event that interrupts
 *	                                  it goes to the shared ring and cells
 *	                a generation      attached: thread.lane is its own
 *	                THREAD_LANELESS() of a generation: attached, but no lane was free
 *	                THREAD_LOSSLESS() of a generation: attached to a lane that waits
 */
#ifndef PRODUCER_STATE_H
#define PRODUCER_STATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#include "ring/cells.h"
#include "ring/lane.h"
#include "ring/prune.h"
#include "ring/region.h"
#include "ring/shared.h"

#define ARMED_UNDECIDED 0u
#define ARMED_OFF 1u
#define THREAD_BUSY 2u
#define THREAD_LANELESS(generation) (~(generation))
#define THREAD_LOSSLESS(generation) ((generation) | 1ull << 63)
#define GENERATION_MIN 16u /* region ids, which serve as generations, are between it and 2^63 */

/* Everything that must not survive a fork. The kernel wipes its pages in the child
 * (MADV_WIPEONFORK), also after a raw clone(). */
struct process_state {
	uint64_t armed;
	uint64_t building; /* 1: a thread is making the region */
	uint64_t shutdowns;
	enum tally_clock clock;
	int region_error; /* negative errno, or 0 */
	int join_error;	  /* likewise, of the region that was to be joined */
	struct region region;
	struct lane_writer *writers; /* one per lane */
	struct region guest;	     /* the runner's, when this process could make none */
	struct cells cells;	     /* of either; .process is NULL if there is neither */
	struct shared_ring shared;   /* of the region; .slots is NULL if there is none */
};

/* Counters for the time before the region, and for ever when none can be made. */
struct early_state {
	struct tally_process_header process;
	uint64_t notes; /* events that move no sums */
	struct tally_shared_cell cells[1u << GEOMETRY_CELLS_LOG2];
};

union private_pages {
	struct {
		struct process_state process;
		struct early_state early;
	} in;
	unsigned char
		pages[(sizeof(struct process_state) + sizeof(struct early_state) + TALLY_PAGE) /
		      TALLY_PAGE * TALLY_PAGE];
};

extern union private_pages tally_private __attribute__((aligned(TALLY_PAGE)));

/* process.armed as it stands; behind a generation, the rest of the process's state is there. */
static inline uint64_t process_look(void)
{
	/* B2 -> B1: the region's state is there */
	return tally_load_acquire(&tally_private.in.process.armed);
}

#define TAGS_DEEP 12
#define EXCLUDED_MAX 127 /* that 7 bits can count */

/* At most 64 bytes of static thread-local storage. */
struct thread_state {
	uint64_t armed;
	struct lane_writer *lane; /* NULL: none was free */
	uint64_t generation;	  /* for which lane and tags hold */
	uint32_t tid : 22;	  /* 0: not asked for; the kernel's are below 2^22 */
	uint32_t forking : 1;	  /* between fork_prepare() and its end, with a region */
	uint32_t gone : 1;	  /* its destructor has run */
	uint32_t holds_right : 1; /* to decide, from fork_prepare() to its end */
	uint32_t excluded : 7;	  /* nesting of tally_thread_exclude(), as far as it is counted */
	uint16_t depth;		  /* of tags pushed, also beyond TAGS_DEEP */
	uint16_t laneless;	  /* pushes since a lane was last asked for */
	uint64_t ticket;	  /* the next one for the shared ring of that generation */
	uint16_t tags[TAGS_DEEP];
};

_Static_assert(sizeof(struct thread_state) <= 64, "thread-local state has grown");

extern _Thread_local struct thread_state tally_thread __attribute__((tls_model("initial-exec")));

/* What outlives a fork, as ordinary memory: where the parent's things were, and what the child
 * takes over. */
struct kept {
	void *mapping; /* of the region; a hole in a fork child */
	size_t mapping_size;
	bool mapping_spare; /* blanked: a new region may be mapped there */
	void *guest;	    /* of the runner's region; likewise a hole */
	size_t guest_size;
	struct lane_writer *writers;
	size_t writers_size;
	int open_fd; /* of a region being made: in a fork child it would keep the lock */
	struct prune_room prune;
	uint64_t wipes;	 /* 1: the kernel wipes tally_private in a fork child */
	uint64_t stays;	 /* 1: a fork child has the mappings too, whatever was asked for */
	bool handlers;	 /* pthread_atfork() is done */
	bool inherits;	 /* this process's first region opens with the three below */
	uint64_t parent; /* its generation */
	int64_t heap_bytes, heap_allocs;
};

extern struct kept producer_kept;

/* ---- thread.c -------------------------------------------------------------------------------- */

/* All signals blocked and cancellation off, for the system calls of the slow paths: nothing may
 * leave them half-way, by a jump, a fork or a cancellation. Nests. */
struct quiet {
	sigset_t signals;
	int cancel_state;
};

void quiet_begin(struct quiet *ret_before);
void quiet_end(const struct quiet *before);

/* Once per process image: the key whose destructor lets go of a thread's lane; and no more of it,
 * as the library may be unloaded. */
void thread_setup(void);
void thread_teardown(void);

/* Gives the calling thread a lane of generation `armed`, if one is free. It is marked busy. */
void thread_attach(struct thread_state *thread, uint64_t armed);

/* ---- process.c ------------------------------------------------------------------------------- */

/* Decides on first use whether this process is armed and makes its region. Returns ARMED_OFF, the
 * generation, or ARMED_UNDECIDED while another thread is at it or the environment is not there yet.
 * The calling thread is not busy. */
uint64_t process_armed(void);

/* The same for calls that may wait: never ARMED_UNDECIDED once main() runs. */
uint64_t process_armed_wait(void);

/* ---- build.c --------------------------------------------------------------------------------- */

/* Takes the right to decide; false when another thread has it. The thread, which must not be busy,
 * is so until build_end(), and no signal and no cancellation comes between. */
bool build_begin(struct quiet *quiet);
void build_end(const struct quiet *quiet);

/* The same, so many times, if need be: another thread is making a region, or forking. */
#define PATIENT_TRIES 100000
bool build_begin_patiently(struct quiet *quiet, int tries);

/* Writes into a region that this process leaves it of its own will. */
void build_say_goodbye(const struct region *region);

/* Makes the region, with everything in it that was counted so far, and arms the process; without a
 * region if none can be made (process.region_error). Returns the generation. */
uint64_t build_region(void);

/* Moves what the static cells hold into the region, after an event that came too early. */
void build_fold_late(void);

/* The balance of one (device, pool) over all lanes and the shared cells, with what was inherited
 * at a fork. There is a region. */
void build_balance(uint32_t device, uint32_t pool, int64_t *ret_bytes, int64_t *ret_allocs);

/* ---- fork.c ---------------------------------------------------------------------------------- */

/* The kernel is asked to wipe tally_private in fork children. Any thread, any number of times. */
void fork_ask_for_wipe(void);

/* Sets the handlers, once per process image. With the right to decide. */
void fork_setup(void);

/* ---- tags.c ---------------------------------------------------------------------------------- */

/* The thread's current tag, in the region of generation `armed`; 0 is none. */
static inline uint16_t tags_current(const struct thread_state *thread, uint64_t armed)
{
	uint16_t shown = thread->depth < TAGS_DEEP ? thread->depth : TAGS_DEEP;

	return shown && thread->generation == armed ? thread->tags[shown - 1] : 0;
}

/* Makes it the one that its lane's records carry. */
void tags_apply(struct thread_state *thread);

/* ---- calls.c --------------------------------------------------------------------------------- */

struct tally_device_info; /* tally.h */

/* A description as a region keeps it. */
void describe_device(uint32_t device, const struct tally_device_info *info,
		     struct tally_device_entry *ret_entry);

/* ---- push.c ---------------------------------------------------------------------------------- */

/* Counts an event, wherever the calling thread can; completes its time. */
void push_event(uint32_t device, uint32_t pool, struct lane_event *event);

/* The same for one that moves no sums: a mark, a description. */
void push_note(uint32_t device, uint64_t tag, struct lane_event *event);

#endif
