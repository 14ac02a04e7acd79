/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer API: attach to producers and read who holds what, without their noticing.
 *
 *	struct tally_consumer *consumer;
 *	tally_consumer_open(NULL, &consumer);		everything of this user
 *	tally_consumer_start(consumer, 100);		a thread looks every 100 ms
 *	(or tally_consumer_start_own(NULL, 100, &consumer): this process's own counters)
 *	...
 *	const struct tally_snapshot *now = tally_snapshot_get(consumer);
 *	...						any thread, no lock
 *	tally_snapshot_put(now);
 *
 * Regions are mapped read-only; a producer executes not one instruction more for any number of
 * consumers. The library never prints, never aborts and installs no signal handler. Functions
 * return 0 or a negative errno unless their line says otherwise. A consumer does not survive
 * fork(): a child may only forget it. One of its own can look just once, in tally_consumer_open(),
 * until it calls exec. Allocations that the library makes, and those of callbacks that it calls,
 * are not counted when its own process is a producer.
 */
#ifndef TALLY_CONSUMER_H
#define TALLY_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct tally_consumer;

/* Why a file with a region's name was not attached to. */
struct tally_refusal {
	const char *name;    /* file name, within the regions' directory */
	uint32_t pid;	     /* of the creator as the file says, 0 when it does not */
	int error;	     /* -EPROTO: another version or layout; -EBADMSG: not a region, or a
				broken one; -EACCES, -EPERM: not ours to read; else an errno */
	const char *message; /* one line, for people: what is wrong and what to do */
};

/* A record, decoded. Valid during the call that hands it over. */
struct tally_event {
	uint64_t realtime_ns;  /* when, since the epoch; to the accuracy of the clock's rate */
	uint64_t monotonic_ns; /* likewise, CLOCK_MONOTONIC */
	uint64_t region_id;    /* of the process image: tally_process_view.region_id */
	uint32_t pid, tid;
	const char *comm; /* printable */
	uint32_t kind;	  /* enum tally_kind of abi.h */
	uint32_t device, pool;
	uint32_t flags;	       /* of the pool: TALLY_KERNEL_..., 0 elsewhere */
	const char *pool_name; /* "dram", a name given at run time, or "pool-N" */
	uint64_t buffer_id;
	uint64_t size; /* bytes; of a pool reset the balance that was booked as freed */
	uint64_t event_no;
	const char *tag; /* current then, of a mark its name; "" without one */
	bool shared;	 /* from the shared ring; else from a lane */
};

/* Zero is each field's default. At most one of pid, name and run_id is set; none of them means
 * every region of this user. */
struct tally_consumer_options {
	uint32_t pid;	  /* the region made by this process id, or its part of a joined one */
	const char *name; /* this region, a file name within the regions' directory */
	uint64_t run_id;  /* regions started by this `tally run` */
	const char *dir;  /* of regions; default TALLY_DIR, then /dev/shm */

	bool all_users;	   /* everybody's regions, not just this user's. Who is not root is refused
			      those of others (-EACCES), so the snapshot is not complete */
	bool read_records; /* drain records too; else ledgers only */
	bool read_buffers; /* keep the table of live buffers, tags, sizes; implies read_records */
	/* Rows of that table at most, up to 2^31 - 1; default TALLY_BUFFERS_MAX. Of several
	 * processes none gets more than 8 times what it leaves free. */
	size_t buffers_max;
	bool from_start;   /* records gone before the consumer came are lost too */
	bool remove_ended; /* unlink a region once its process has ended and it has been read */
	/* Read so that nothing is lost, for recordings: regions made with TALLY_LOSSLESS (tally.h)
	 * wait for this consumer, if no other has that right; implies read_records. It writes its
	 * position into them, so it needs leave to write the file. */
	bool hold;
	bool lend_region; /* make a region for those of the run that can make none of their own */

	/* Called for each refused file, once per file, on the thread that polls. */
	void (*refused)(void *refused_arg, const struct tally_refusal *refusal);
	void *refused_arg;

	/* Called for each record read, on the thread that polls; implies read_records. Records of
	 * one region come in order of time, but for few whose thread was stopped while it pushed
	 * them; what is not in order yet waits, for tally_consumer_close() at most, which calls it,
	 * too. It must not call tally_consumer_poll() or _close(). */
	void (*event)(void *event_arg, const struct tally_event *event);
	void *event_arg;
};

/* ---- What a snapshot holds --------------------------------------------------------------------
 * Sums of one (device, pool): over all processes, or of one process. */
struct tally_totals {
	/* Lower and upper bound of what is held now; equal when exact, as they are at rest. Over
	 * all processes the living only; of a process that has ended, its balance at the end.
	 * Negative when more was freed than was seen allocated. */
	int64_t live_bytes, live_bytes_high;
	int64_t live_allocations;
	/* Highest live bytes since the start: at least, and at most. Equal when known exactly. */
	int64_t peak_bytes, peak_bytes_high;
	/* Highest live bytes at a look of this consumer: the peak since it attached, at least. */
	int64_t attach_peak_bytes;
	uint64_t allocations, frees, failures;
	uint64_t allocated_bytes, freed_bytes;
	/* Balance of processes that ended holding it; no longer part of live_bytes above. In a
	 * joined region also of those that are not among the processes any more, as another has
	 * taken their place. */
	int64_t abandoned_bytes, abandoned_allocations;
	/* Part of live_bytes that a forked process has from its parent. Over all processes it is
	 * counted once, with the parent, as long as the parent lives. */
	int64_t inherited_bytes, inherited_allocations;
	bool current; /* false: a writer kept changing a cell, its last good value is in here */
};

struct tally_pool_view {
	uint32_t device;
	uint32_t pool;
	char pool_name[24];	 /* "dram", a name given at run time, or "pool-N" */
	uint64_t capacity_bytes; /* 0: not known */
	struct tally_totals totals;
	/* Per second, between this look and one about a second earlier; negative: not known yet. */
	double allocations_per_s, frees_per_s, allocated_bytes_per_s;
	/* From records since attach; after a loss they are lower bounds, or guesses. What does not
	 * match is counted at once, and a second later no longer if its match came late. With
	 * read_buffers only. */
	uint64_t unmatched_frees;    /* of a buffer that was not seen allocated */
	uint64_t double_allocations; /* of a buffer that was not seen freed */
	const uint64_t *sizes;	     /* allocations by size, TALLY_SIZES of them; NULL: not known */
	/* Of this, or of a part of it, a runtime's own totals are all that is known, see below. */
	bool totals_only;
};

/* sizes[0] counts allocations of 0 bytes, sizes[n] those of 2^(n-1) .. 2^n - 1. */
#define TALLY_SIZES 65

/* What carries one tag, in one (device, pool); from records since attach. */
struct tally_tag_view {
	char tag[56]; /* "" is what carries none */
	uint32_t device, pool;
	int64_t live_bytes, live_allocations;
	uint64_t allocations, frees, allocated_bytes, freed_bytes; /* by the tag of the alloc */
};

struct tally_device_view {
	uint32_t device;
	bool described;	    /* by a region; one of this user's goes before others' */
	bool described_own; /* by one of the user that the consumer runs as */
	bool remote;
	char name[40], arch[16], stable_id[32]; /* "" when not known; printable */
	uint32_t grid_x, grid_y, channels;
	size_t first_pool, pool_count; /* in the snapshot's pools */
	bool totals_only;	       /* of all of it: no region describes or uses the device */
	bool totals_file;	       /* a living process is in a runtime's own totals of it */
	bool totals_file_own;	       /* in a file of the user that the consumer runs as */
};

enum tally_process_end {
	TALLY_RUNNING = 0,
	TALLY_EXITED = 1, /* said goodbye */
	TALLY_GONE = 2,	  /* killed, replaced by exec, or left by _exit */
};

/* One process image. An exec starts another with the same pid. */
struct tally_process_view {
	char region[64]; /* its file's name; of a joined region others have the same */
	char comm[24];	 /* printable */
	uint32_t pid;
	uint32_t uid; /* of the region's file */
	enum tally_process_end end;
	/* region_id names the process image, and nothing else ever: it is the id of a region of its
	 * own, and in a joined region its entry's generation. parent_id: that of the process it was
	 * forked from, or 0. */
	uint64_t region_id, parent_id;
	uint64_t start_realtime_ns; /* when it made or joined its region, since the epoch */
	uint64_t events;	    /* counted so far */
	uint64_t records_read;	    /* 0 unless read_records */
	uint64_t lost_records;	    /* the two below; all of them leave totals exact */
	uint64_t lost_overwritten;  /* before they were read, or no memory for them here;
				     * needs read_records */
	uint64_t lost_unrecorded;   /* counted by the producer without a record */
	uint64_t rejected_events;   /* out of range or no cell left: in no total */
	uint64_t skipped_records;   /* of a kind this version does not know */
	uint32_t quarantined_lanes; /* rings whose records could not be trusted */
	const char *quarantine;	    /* why, of the first of them, for people; NULL: none */
	uint32_t region_flags;	    /* TALLY_REGION_... of abi.h */
	bool held;		    /* its lanes wait for this consumer, see hold */
	uint32_t guests;	    /* if not 0: these are not one process but so many, which could
					  make no region and were lent one; pid is the lender's */
	size_t first_pool, pool_count; /* in the snapshot's process_pools */
	size_t first_tag, tag_count;   /* in the snapshot's process_tags */
	size_t buffers;		       /* rows in the table */
	/* Records of it were lost, or gone before the consumer came, up to then; what was allocated
	 * earlier may be missing in the table, or have been freed. 0: none. */
	uint64_t incomplete_until_realtime_ns;
	/* It has no region, or none that says what is here: region is the file of a runtime's own
	 * totals, its first if there are several, uid that file's owner, end TALLY_RUNNING, and
	 * region_id stands for the pid alone. */
	bool totals_only;
};

/* Totals that a runtime publishes by itself, in files tt_device_<chip>_memory beside the regions
 * (chip_file.h), are shown with everything of a user, with everybody's and with one pid. They tell
 * bytes per process in the pools dram, l1, l1_small, trace and cb, and nothing else: of what is
 * totals_only, live_bytes and live_bytes_high mean something, and attach_peak_bytes; counts, rates
 * and peaks are of the rest, if there is any. Over all processes live_bytes is the sum over those
 * that live, and live_bytes_high has what the file's total holds beyond all of its slots. A process
 * whose region tells of a device is taken from there, and left out of that device's files. Parts
 * that a file assigns to chips (chips[] in it) are in its totals, and not shown apart. */

/* Constant from its publication until it is put back. Arrays are ordered by device, pool and
 * (start, pid); processes that are totals_only come last, ordered by pid. */
struct tally_snapshot {
	uint64_t realtime_ns;  /* when it was taken, since the epoch */
	uint64_t monotonic_ns; /* likewise, CLOCK_MONOTONIC */
	bool complete;	       /* nothing refused, every sum current, nothing rejected */
	uint64_t events, records_read, lost_records, rejected_events;
	uint32_t refused_files;
	/* The table of live buffers. left_out: allocations that got no row, as there were too many,
	 * or no memory; their frees are told from unmatched ones by number only. */
	size_t buffers, buffers_max;
	uint64_t buffers_left_out;
	uint64_t incomplete_since_realtime_ns; /* the first loss known; 0: the table is complete */
	size_t device_count, pool_count, process_count, process_pool_count;
	size_t tag_count, process_tag_count;
	const struct tally_device_view *devices;
	const struct tally_pool_view *pools; /* per device, over all processes */
	const struct tally_process_view *processes;
	const struct tally_pool_view *process_pools; /* per process */
	const struct tally_tag_view *tags;	     /* over all processes, by tag, device, pool */
	const struct tally_tag_view *process_tags;   /* per process */
};

/* ---- Calls ---------------------------------------------------------------------------------- */

/* Makes a consumer and looks once, so that a snapshot is there. options may be NULL.
 * -EINVAL: more than one of pid, name, run_id, or too large a buffers_max; -ENOENT: the
 * directory is missing, or the region or pid asked for has no region; -EACCES: it is not ours to
 * read; -EPROTO: it has another version; -EBADMSG: it is no region, or a broken one; -EAGAIN: no
 * thread could be made; -EDEADLK: read_buffers in a fork child of a process that had a consumer;
 * -ENOMEM. With neither pid nor name, finding nothing is no error. */
int tally_consumer_open(const struct tally_consumer_options *options,
			struct tally_consumer **ret_consumer);

/* Stops its thread and frees it. All snapshots have been put back. NULL does nothing. */
void tally_consumer_close(struct tally_consumer *consumer);

/* The file name of the region that was lent, for TALLY_RUN_REGION in the environment of the run's
 * processes; valid until the consumer is closed. NULL: none was asked for, or could be made. */
const char *tally_consumer_lent_region(const struct tally_consumer *consumer);

/* Looks for regions, drains records, adds up the ledgers and publishes a snapshot. One thread at a
 * time. -EBUSY: a thread started below runs; -EDEADLK: this is a fork child, see above. */
int tally_consumer_poll(struct tally_consumer *consumer);

/* A thread that polls every interval_ms milliseconds, at least 1, and at once, but not much more
 * than 100 times a second, when a region appears or is removed; it drains records more often while
 * they come fast. Where inotify's limits are reached, new regions are found by the next poll.
 * -EBUSY: it runs already; -EAGAIN: no thread could be made; -EMFILE, -ENFILE: no descriptor;
 * -EDEADLK: this is a fork child, see above. */
int tally_consumer_start(struct tally_consumer *consumer, uint32_t interval_ms);

/* The two in one call, for a program that watches itself: opens this process's region, which need
 * not be there yet, and starts the thread. options may be NULL; its pid, name and run_id are unset.
 * Errors are those of the two, but for -ENOENT of the region. */
int tally_consumer_start_own(const struct tally_consumer_options *options, uint32_t interval_ms,
			     struct tally_consumer **ret_consumer);

/* Ends that thread after one more poll. -ESRCH: none runs; -EDEADLK: it is this one, in a callback.
 */
int tally_consumer_stop(struct tally_consumer *consumer);

/* A region whose file is cut while it is read sends SIGBUS to the reader. After this call, once per
 * program, it costs that region alone; any other SIGBUS goes to the action that was in force. The
 * library installs no handler by itself. 0 or a negative errno. */
int tally_consumer_guard(void);

/* The latest snapshot, from any thread and without a lock (liburcu's bp flavour: the thread needs
 * no registration). Put it back on the same thread before taking many more: what is held is kept.
 * Never NULL. */
const struct tally_snapshot *tally_snapshot_get(const struct tally_consumer *consumer);
void tally_snapshot_put(const struct tally_snapshot *snapshot);

/* ---- Live buffers -----------------------------------------------------------------------------
 * With read_buffers. A row is there if the latest record of that buffer, by time, is its
 * allocation; in whatever order lanes are read. What a process that has ended never freed stays as
 * long as the process is shown. A row takes about 100 bytes of memory. */

#define TALLY_BUFFERS_MAX 4194304

struct tally_buffer {
	uint64_t buffer_id;
	uint64_t size;	    /* bytes */
	uint64_t region_id; /* of the process image */
	uint32_t pid, tid;  /* of the thread that allocated it */
	const char *comm;   /* printable; valid during the call */
	uint32_t device, pool;
	uint32_t flags;
	const char *pool_name;	     /* valid during the call */
	const char *tag;	     /* likewise; "" without one */
	uint64_t alloc_realtime_ns;  /* since the epoch */
	uint64_t alloc_monotonic_ns; /* CLOCK_MONOTONIC; the age is now minus this */
	bool ended;		     /* its process has: abandoned */
	bool unsure;		     /* records were lost since: it may have been freed */
};

/* Hands each live buffer to `each` until that returns false; in no order, rows that come and go
 * meanwhile may be in it or not. Any thread, without a lock; `each` runs inside an RCU read
 * section: it must not close the consumer, nor take long while memory matters. Returns how many
 * were handed over. */
size_t tally_buffers_each(const struct tally_consumer *consumer,
			  bool (*each)(void *each_arg, const struct tally_buffer *buffer),
			  void *each_arg);

/* ---- A runtime's own totals -------------------------------------------------------------------
 * Whether the process that a slot of such a file (chip_file.h) names may still be there. False: no
 * process has that pid, or it is a zombie, or it was started over a minute after the slot was
 * written last (ns since the epoch; what is before the machine was started is no such time). Where
 * that cannot be told it is true. Any thread; reads /proc. */
bool tally_chip_slot_lives(uint32_t pid, uint64_t last_update_ns);

/* ---- Regions of the dead ----------------------------------------------------------------------
 * A process that dies leaves its region, so that what it held can still be read. Of each user's the
 * newest (modified last) are kept; who makes a region removes older ones now and then, and these
 * functions when they are asked to. */

#define TALLY_GC_KEEP 16 /* what producers keep */

enum tally_gc_verdict {
	TALLY_GC_LIVES = 0,   /* a process lives in it */
	TALLY_GC_OF_RUN = 1,  /* its `tally run` lives, and will read it */
	TALLY_GC_KEPT = 2,    /* dead, among the newest */
	TALLY_GC_REMOVED = 3, /* dead; or would have been removed */
	TALLY_GC_STRANGE = 4, /* has a region's name and is none, or another user's: left alone */
	TALLY_GC_FAILED = 5,  /* dead, but it could not be removed: see error */
};

struct tally_gc_file {
	const char *name; /* file name, within the regions' directory */
	uint32_t uid;	  /* whose name it is */
	uint32_t pid;	  /* of the creator as the file says, 0 when it does not */
	const char *comm; /* likewise, "" when it does not; printable */
	uint64_t modified_realtime_ns;
	uint64_t bytes; /* of memory that it takes */
	enum tally_gc_verdict verdict;
	int error; /* 0, or a negative errno */
};

struct tally_gc_options {
	const char *dir; /* of regions; default TALLY_DIR, then /dev/shm */
	size_t keep;	 /* so many per user: TALLY_GC_KEEP, or what is wanted */
	bool all_users;	 /* not just this one: for root */
	bool dry_run;	 /* nothing is removed */

	/* Called once for each file with a region's name; may be NULL. */
	void (*file)(void *file_arg, const struct tally_gc_file *file);
	void *file_arg;
};

/* Removes what is beyond the newest. What lives is never touched. 0 also if some could not be
 * removed; -ENOENT, -EACCES, ...: the directory cannot be read; -ENOMEM. */
int tally_gc(const struct tally_gc_options *options);

/* ---- A trial ----------------------------------------------------------------------------------
 * Whether a producer of this user, with this process's limits, could make a region. */

enum tally_trial_step {
	TALLY_TRIAL_NONE = 0,	 /* nothing failed */
	TALLY_TRIAL_MAKE = 1,	 /* a file, its lock, its mapping, memory for totals */
	TALLY_TRIAL_RECORDS = 2, /* memory for one thread's records */
	TALLY_TRIAL_NAME = 3,	 /* its name in the directory */
	TALLY_TRIAL_OPEN = 4,	 /* as a consumer does */
	TALLY_TRIAL_ALIVE = 5,	 /* the lock that tells that its process lives */
};

struct tally_trial {
	enum tally_trial_step failed; /* the first step that did */
	int error;		      /* its negative errno, or 0 */
	uint32_t clock;		      /* enum tally_clock of abi.h, as a producer would choose */
	uint32_t region_flags;	      /* TALLY_REGION_... of abi.h; 0 when none was made */
	uint64_t address_bytes;	      /* of address space and file size that it wants */
	uint64_t totals_bytes;	      /* of memory: for totals */
	uint64_t records_bytes;	      /* and for one thread's records and totals */
};

/* Makes a region with the default sizes, steps as a producer and a consumer do, and removes it.
 * dir as above. 0, or ret_trial's error; what was found is there either way. */
int tally_trial(const char *dir, struct tally_trial *ret_trial);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
