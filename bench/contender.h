/* SPDX-License-Identifier: Apache-2.0 */
/* A ring as the throughput benchmark sees it: one file in bench/contenders/ is one contender.
 *
 * The file defines `const struct contender contender`; it is built as a shared object of its own
 * and loaded at run time. Its first comment says what it needs, a line each:
 *
 *	package: libck-dev     Debian's package, installed by `make bench-deps`
 *	header: ck_ring.h      without it the contender is absent, and reported so
 *	flags: -lck            of the compiler and the linker; `...` in backquotes is run
 *
 * The loops are inside the contender, so that a ring which is all inline functions is inlined.
 * Everybody moves the same 64 bytes, fills and checks them by the functions below, and waits by
 * wait_more(). What is fair: the capacity that is asked for, one record a call, no batching and no
 * copy of the other side's position but what the ring does by itself.
 */
#ifndef BENCH_CONTENDER_H
#define BENCH_CONTENDER_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <tally/atomic.h>

#include "ring/pause.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CONTENDER_PRODUCERS 16 /* at most */
#define CONTENDER_DEVICES 8

/* ---- What is moved --------------------------------------------------------------------------- */

struct payload {
	uint64_t sequence; /* of its producer, from 0 */
	uint64_t producer;
	uint64_t device;
	uint64_t size;
	uint64_t check;
	uint64_t spare[3]; /* filled; a ring may have words of its own there */
} __attribute__((aligned(64)));

static inline uint64_t payload_device(uint64_t sequence)
{
	return sequence % CONTENDER_DEVICES;
}

static inline uint64_t payload_size(uint64_t sequence)
{
	return 64 + sequence % 1024;
}

static inline uint64_t payload_check(uint64_t producer, uint64_t sequence, uint64_t device,
				     uint64_t size)
{
	return (sequence ^ size << 40 ^ device << 52 ^ producer << 56) * 0x9e3779b97f4a7c15ull;
}

static inline void payload_fill(struct payload *payload, uint64_t producer, uint64_t sequence)
{
	payload->sequence = sequence;
	payload->producer = producer;
	payload->device = payload_device(sequence);
	payload->size = payload_size(sequence);
	payload->check = payload_check(producer, sequence, payload->device, payload->size);
	payload->spare[0] = payload->spare[1] = payload->spare[2] = sequence;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

struct patience {
	const uint64_t *over; /* 1 when the other side has finished */
	uint32_t spins;
	uint32_t last; /* looks since it was over */
};

/* Between two looks. Who looks all the time takes the line that the other side writes away from it
 * with each look: with 1 pause Tally's lane was slower by a factor of 2 to 5, the other rings about
 * as fast as with 16 (Zen 3, round trips of 70 and of over 300 ns). */
#define PATIENCE_PAUSES 16
#define PATIENCE_SPINS 64 /* looks; then somebody else is let run */
#define PATIENCE_LAST 100

/* The ring is full, or empty: waits a little. False: the other side has finished and nothing has
 * changed since; give up. */
static inline bool wait_more(struct patience *patience)
{
	int i;

	for (i = 0; i < PATIENCE_PAUSES; i++)
		cpu_pause();
	if (++patience->spins % PATIENCE_SPINS != 0)
		return true;
	sched_yield();
	return !tally_load_acquire(patience->over) || ++patience->last < PATIENCE_LAST;
}

/* ---- The two sides --------------------------------------------------------------------------- */

/* What one producer is to send: sequence numbers first .. first + count - 1. */
struct sender {
	uint64_t producer, first, count;
	struct patience patience;
};

/* What the consumer has received so far; it checks each record. */
struct checker {
	uint64_t taken;
	uint64_t next[CONTENDER_PRODUCERS]; /* sequence number that is due */
	uint64_t sums[CONTENDER_DEVICES];   /* of sizes */
	uint64_t out_of_order;		    /* not the number that was due */
	uint64_t garbled;		    /* the check word is wrong */
	struct patience patience;
};

static inline void checker_take(struct checker *checker, uint64_t producer, uint64_t sequence,
				uint64_t device, uint64_t size, uint64_t check)
{
	uint64_t *next = &checker->next[producer % CONTENDER_PRODUCERS];

	checker->taken++;
	checker->garbled += check != payload_check(producer, sequence, device, size);
	checker->out_of_order += sequence != *next;
	*next = sequence + 1;
	checker->sums[device % CONTENDER_DEVICES] += size;
}

static inline void checker_take_payload(struct checker *checker, const struct payload *payload)
{
	checker_take(checker, payload->producer, payload->sequence, payload->device, payload->size,
		     payload->check);
}

/* ---- A contender ----------------------------------------------------------------------------- */

#define CONTENDER_MANY 1u      /* several producers at a time, up to CONTENDER_PRODUCERS */
#define CONTENDER_PROCESSES 2u /* also across processes; else it is for threads alone */
#define CONTENDER_SPINS 4u /* several producers wait in it, spinning, for one that stands still */

struct contender {
	const char *what; /* a few words: "ConcurrencyKit, one producer" */
	uint32_t can;	  /* CONTENDER_... */

	/* A ring for so many records, a power of two, and so many producers, 1 if it cannot MANY.
	 * NULL: why is set. */
	void *(*make)(uint32_t records, uint32_t producers, const char **why);
	void (*destroy)(void *ring);

	/* Sends what `sender` says; returns early when wait_more() gives up. A thread for each. */
	void (*send)(void *ring, struct sender *sender);

	/* Receives until checker->taken has reached `until`, or wait_more() gives up. May be called
	 * by another thread than before, one at a time. */
	void (*receive)(void *ring, struct checker *checker, uint64_t until);

	/* Records that the ring says it has lost; NULL: it loses none. */
	uint64_t (*lost)(void *ring);
};

/* Zeroed memory for a ring, on pages of its own that are there; NULL: none. Its size is kept on a
 * page in front of it. */
#define CONTENDER_PAGE 4096
static inline void *contender_memory(size_t size)
{
	void *page = mmap(NULL, size + CONTENDER_PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	*(size_t *)page = size + CONTENDER_PAGE;
	return (char *)page + CONTENDER_PAGE;
}

/* Gives it back; what a contender's `destroy` may be. */
static inline void contender_free(void *memory)
{
	char *page = (char *)memory - CONTENDER_PAGE;

	munmap(page, *(size_t *)page);
}

extern const struct contender contender;

#ifdef __cplusplus
}
#endif

#endif
