/* SPDX-License-Identifier: Apache-2.0 */
/* A shared ring under load: producers in threads and in processes that join a region, a reader
 * beside them, and an account of every push. For tests, and for a program that runs anywhere.
 *
 * A producer's event says in every word who pushed it and which of his it was, so that a torn
 * record shows. Nothing here fails a test: what is wrong is told in struct stress_result.
 */
#ifndef TESTS_STRESS_H
#define TESTS_STRESS_H

#define TALLY_TESTPOINT(place) stress_at_##place()

/* Slots that the push that this thread is in has tried. */
static _Thread_local unsigned int stress_tries;

static inline void stress_at_ticket(void)
{
	stress_tries++;
}

#define stress_at_claimed() ((void)0)
#define stress_at_written() ((void)0)
#define stress_at_end_known() ((void)0)
#define stress_at_hole_seen() ((void)0)
#define stress_at_holes_read() ((void)0)
#define stress_at_slot_seen() ((void)0)

#include "ring/shared.c"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/cells.h"
#include "ring/join.h"

#define STRESS_PRODUCERS 64

struct stress {
	const char *dir;
	uint32_t ring_log2;
	uint32_t processes; /* 0: the threads are this process's own */
	uint32_t threads;   /* in each */
	uint64_t pushes;    /* of all of them */
	uint64_t start_pos;
	bool read;    /* false: nobody reads until all have done */
	bool in_step; /* each waits until its last record was read, so none is overwritten */
};

struct stress_result {
	const char *wrong;   /* NULL, or what could not be done */
	uint64_t events;     /* numbers taken, of all process entries */
	uint64_t refused;    /* pushes that returned false */
	uint64_t unrecorded; /* as the entries count them */
	uint64_t read;
	uint64_t overwritten;	 /* events - unrecorded - read */
	uint64_t torn;		 /* records read with a word that is not theirs */
	uint64_t out_of_order;	 /* with a number or a sequence not above the last */
	uint64_t tries;		 /* slots that all pushes have tried */
	uint64_t positions;	 /* by which reserve_pos has advanced */
	unsigned int most_tries; /* of one push */
	uint64_t died;
	const char *quarantine;
	double seconds;
};

/* Between processes. */
struct stress_board {
	uint64_t ready, go, done, failed;
	struct stress_tally {
		uint64_t refused, tries, most_tries;
		uint64_t seen;	   /* by the reader */
		uint64_t spare[4]; /* a line of its own */
	} of[STRESS_PRODUCERS];
};

struct stress_reader {
	uint64_t last_no[STRESS_PRODUCERS], last_seq[STRESS_PRODUCERS];
	uint64_t read, torn, out_of_order;
	uint32_t producers;
	struct stress_board *board;
};

struct stress_producer {
	pthread_t thread;
	uint32_t number;
	uint64_t pushes;
	struct shared_ring ring;
	const struct stress *stress;
	struct stress_board *board;
};

static inline uint64_t stress_word(uint64_t id, uint64_t word)
{
	uint64_t x = (id ^ word << 56) * 0x9e3779b97f4a7c15ull;

	return x ^ x >> 29;
}

static inline struct shared_event stress_event(uint64_t id)
{
	return (struct shared_event){
		.time = stress_word(id, 1),
		.kind = (enum tally_kind)(1 + (id & 1)),
		.buffer_id = id,
		.size = stress_word(id, 2),
		.where = stress_word(id, 3),
		.label = stress_word(id, 4),
	};
}

static inline void stress_take(void *arg, const struct tally_record *record)
{
	struct stress_reader *me = arg;
	struct shared_event event = stress_event(record->buffer_id);
	uint64_t producer = record->buffer_id >> 48;
	uint64_t seq = record->buffer_id & ((1ull << 48) - 1);

	me->read++;
	if (producer >= me->producers || record->time != event.time || record->size != event.size ||
	    record->where != event.where || record->label != event.label ||
	    record->lane_balance != 0 || slot_kind(record->commit) != (uint32_t)event.kind) {
		me->torn++;
		return;
	}
	me->out_of_order += record->event_no <= me->last_no[producer] ||
			    seq <= me->last_seq[producer];
	me->last_no[producer] = record->event_no;
	me->last_seq[producer] = seq;
	tally_store_relaxed(&me->board->of[producer].seen, seq); /* relaxed: by itself */
}

/* ---- Producers ------------------------------------------------------------------------------- */

static inline void *stress_produce(void *arg)
{
	struct stress_producer *me = arg;
	struct stress_tally tally = { 0 };
	struct stress_tally *mine = &me->board->of[me->number];
	uint64_t ticket = 0, last = 0, n;

	tally_add_relaxed(&me->board->ready, 1);
	while (!tally_load_acquire(&me->board->go))
		sched_yield();
	for (n = 1; n <= me->pushes; n++) {
		struct shared_event event = stress_event((uint64_t)me->number << 48 | n);

		/* relaxed: one word that stands by itself */
		while (me->stress->in_step && tally_load_relaxed(&mine->seen) < last)
			sched_yield();
		stress_tries = 0;
		if (shared_push(&me->ring, &event, &ticket)) {
			last = n;
		} else {
			cells_unrecorded(me->ring.process, 1);
			tally.refused++;
		}
		tally.tries += stress_tries;
		if (stress_tries > tally.most_tries)
			tally.most_tries = stress_tries;
	}
	mine->refused = tally.refused;
	mine->tries = tally.tries;
	mine->most_tries = tally.most_tries;
	tally_add_release(&me->board->done, 1);
	return NULL;
}

/* This process's producers, the first of which has number `first`. */
static inline bool stress_start(const struct stress *stress, struct stress_board *board,
				struct region *region, uint32_t first,
				struct stress_producer *producers)
{
	uint32_t all = stress->threads * (stress->processes ? stress->processes : 1);
	uint32_t n;

	for (n = 0; n < stress->threads; n++) {
		struct stress_producer *me = &producers[n];

		me->number = first + n;
		me->pushes = stress->pushes / all + (me->number < stress->pushes % all);
		me->ring = shared_of(region, region->entry);
		me->stress = stress;
		me->board = board;
		if (pthread_create(&me->thread, NULL, stress_produce, me) != 0)
			return false;
	}
	return true;
}

static inline void stress_child(const struct stress *stress, const struct region_config *config,
				struct stress_board *board, uint32_t first)
{
	static struct stress_producer producers[STRESS_PRODUCERS];
	static struct region region;
	uint32_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (join_region(config, &region) != 0 ||
	    !stress_start(stress, board, &region, first, producers)) {
		tally_add_relaxed(&board->failed, 1);
		_exit(1);
	}
	for (n = 0; n < stress->threads; n++)
		pthread_join(producers[n].thread, NULL);
	_exit(0);
}

/* ---- All of it ------------------------------------------------------------------------------- */

static inline double stress_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline void stress_read(const struct stress *stress, struct stress_board *board,
			       struct shared_reader *reader, struct stress_reader *mine,
			       uint32_t producers)
{
	bool last = false;

	while (!last) {
		last = tally_load_acquire(&board->done) == producers ||
		       tally_load_relaxed(&board->failed);
		if (stress->read || last)
			shared_drain(reader, last || stress->in_step, false, stress_take, mine);
		if (!stress->read || stress->in_step)
			sched_yield();
	}
	shared_drain(reader, true, true, stress_take, mine);
}

static inline void stress_count(struct stress_result *result, struct region *region,
				const struct stress_board *board, uint32_t processes)
{
	uint32_t n;

	for (n = 0; n <= processes; n++) { /* in the entries behind them nobody has been */
		const struct tally_process_header *process = region_process(region->base,
									    &region->at, n);

		result->events += process->shared_events;
		result->unrecorded += process->shared_unrecorded;
	}
	for (n = 0; n < STRESS_PRODUCERS; n++) {
		const struct stress_tally *of = &board->of[n];

		result->refused += of->refused;
		result->tries += of->tries;
		if (of->most_tries > result->most_tries)
			result->most_tries = (unsigned int)of->most_tries;
	}
	result->overwritten = result->events - result->unrecorded - result->read;
}

static inline struct stress_result stress_with(const struct stress *stress,
					       const struct region_config *config,
					       struct region *region, struct stress_board *board)
{
	struct stress_result result = { 0 };
	struct stress_reader mine = { 0 };
	struct stress_producer producers[STRESS_PRODUCERS];
	struct shared_ring ring = shared_of(region, region->entry);
	uint32_t all = stress->threads * (stress->processes ? stress->processes : 1);
	struct shared_reader reader;
	pid_t pids[STRESS_PRODUCERS] = { 0 };
	double begun;
	uint32_t n;

	region_state(region->base)->shared_start = stress->start_pos;
	ring.head->reserve_pos = stress->start_pos;
	if (!shared_reserve(&ring) || shared_reader_open(&reader, region->base, &region->at) != 0) {
		result.wrong = "no memory for the ring";
		return result;
	}
	mine.producers = all;
	mine.board = board;
	fflush(NULL);
	for (n = 0; n < stress->processes; n++) {
		pids[n] = fork();
		if (pids[n] == 0)
			stress_child(stress, config, board, n * stress->threads);
		if (pids[n] < 0)
			tally_add_relaxed(&board->failed, 1);
	}
	if (!stress->processes && !stress_start(stress, board, region, 0, producers))
		tally_add_relaxed(&board->failed, 1);
	while (tally_load_acquire(&board->ready) < all && !tally_load_relaxed(&board->failed))
		sched_yield();
	begun = stress_seconds();
	tally_store_release(&board->go, 1);
	stress_read(stress, board, &reader, &mine, all);
	result.seconds = stress_seconds() - begun;
	for (n = 0; !stress->processes && n < stress->threads; n++)
		pthread_join(producers[n].thread, NULL);
	for (n = 0; n < stress->processes; n++)
		waitpid(pids[n], NULL, 0);
	if (tally_load_relaxed(&board->failed))
		result.wrong = "a process or a thread could not be started";
	result.read = mine.read;
	result.torn = mine.torn;
	result.out_of_order = mine.out_of_order;
	result.positions = ring.head->reserve_pos - stress->start_pos;
	result.died = reader.died;
	result.quarantine = reader.quarantine;
	stress_count(&result, region, board, stress->processes);
	shared_reader_close(&reader);
	return result;
}

/* Runs it, in a region that is gone afterwards. Not more than STRESS_PRODUCERS producers. */
static inline struct stress_result stress_run(const struct stress *stress)
{
	struct stress_result result = { 0 };
	char name[REGION_NAME_MAX];
	struct region_config config = { .dir = stress->dir,
					.name = name,
					.ring_log2 = stress->ring_log2 };
	struct region region;
	struct stress_board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	snprintf(name, sizeof(name), "tally-%u-join-stress-%d", (unsigned int)geteuid(),
		 (int)getpid());
	if (board == MAP_FAILED || region_create(&config, &region) != 0) {
		result.wrong = "no region could be made";
		return result;
	}
	if (region_publish(&region) == 0)
		result = stress_with(stress, &config, &region, board);
	else
		result.wrong = "the region could not be named";
	region_unlink(&region);
	munmap(region.base, region.at.size);
	munmap(board, sizeof(*board));
	return result;
}

#endif
