/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads that race, on different CPUs where there are two: for the litmus tests.
 *
 * There is one small program for each pair on the protocol page in ring/slot.h, made of the same
 * accesses in the same order as the code makes them. It must never show the outcome that its pair
 * forbids; and it must have met the race, else it has shown nothing. What shall not be kept
 * together by a cache line has lines of its own.
 *
 * x86-64 keeps all accesses in order but a load behind an earlier store to another word. So there
 * only Dekker's handshake (S1, S2) can be seen to fail when its fence is taken away; for the other
 * pairs the compiler alone could do harm. On arm64 each of them can fail.
 */
#ifndef TESTS_LITMUS_H
#define TESTS_LITMUS_H

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <tally/atomic.h>

#include "tests/support.h"

#define LITMUS_LOOKS (1u << 18) /* that a test takes at least */
#define LITMUS_MEETINGS 10	/* that it must see */
#define LITMUS_ROUNDS 256u	/* of one batch */
#define LITMUS_BATCHES 256	/* that a test runs, or as many as it can in some time: */
#define LITMUS_SOME_NS 800000000ull

/* What a look has seen, or a turn: what the other did in between; what must never be; and, in
 * rounds, both in the middle of it. The last is waited for as long as a test takes anyway, but not
 * asked for: on one CPU, or a busy one, it may be too rare. */
#define MET 1u
#define BAD 2u
#define RACED 4u

struct line {
	_Alignas(128) uint64_t word; /* lines are fetched in pairs */
};

struct litmus {
	void (*step)(uint64_t n);	/* streams: what one thread does all the time */
	unsigned int (*look)(void);	/* and what the other looks at meanwhile */
	unsigned int (*turn)(int side); /* turns and rounds: what both threads do */
	uint64_t end_ns;		/* of all patience */
	uint64_t looks[2], met[2], bad[2], raced[2];
	struct line stop;
	struct line at[2]; /* how far each thread is */
};

static struct litmus litmus;
static uint64_t litmus_round; /* first of this batch; turns know theirs as litmus_at() */

static inline void litmus_pin(int side)
{
	cpu_set_t allowed, mine;
	size_t cpu, seen = 0, count;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return;
	count = (size_t)CPU_COUNT(&allowed);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || seen++ != (size_t)side % count)
			continue;
		CPU_ZERO(&mine);
		CPU_SET(cpu, &mine);
		/* may fail: then the kernel spreads the two as it likes */
		(void)sched_setaffinity(0, sizeof(mine), &mine);
		return;
	}
}

static inline void litmus_count(int side, unsigned int seen)
{
	litmus.looks[side]++;
	litmus.met[side] += (seen & MET) != 0;
	litmus.bad[side] += (seen & BAD) != 0;
	litmus.raced[side] += (seen & RACED) != 0;
}

/* Whether this side has had its share; the clock is not asked each time. */
static inline bool litmus_enough(int side)
{
	if (litmus.looks[side] % 1024 != 0)
		return false;
	if (now_ns() > litmus.end_ns)
		return true;
	return litmus.looks[side] >= LITMUS_LOOKS && litmus.met[side] >= LITMUS_MEETINGS;
}

static inline bool litmus_stopped(void)
{
	return tally_load_relaxed(&litmus.stop.word);
}

static inline uint64_t litmus_at(int side)
{
	return tally_load_relaxed(&litmus.at[side].word);
}

static inline void *litmus_steps(void *arg)
{
	uint64_t n;

	(void)arg;
	litmus_pin(0);
	for (n = 1; !litmus_stopped(); n++) {
		litmus.step(n);
		if (n % 16 == 0)
			/* relaxed: that it moves at all */
			tally_store_relaxed(&litmus.at[0].word, n);
	}
	return NULL;
}

static inline void *litmus_looks(void *arg)
{
	uint64_t last = 0;

	(void)arg;
	litmus_pin(1);
	do {
		unsigned int seen = litmus.look();
		uint64_t now = litmus_at(0);

		/* one who was stopped in the middle of a step is met there but once */
		if (now == last)
			seen &= ~MET;
		else if (seen & MET)
			last = now;
		litmus_count(1, seen);
	} while (!litmus_enough(1));
	tally_store_relaxed(&litmus.stop.word, 1);
	return NULL;
}

static int litmus_sides[2] = { 0, 1 };

static inline void *litmus_turns(void *arg)
{
	int side = *(int *)arg;

	litmus_pin(side);
	do
		litmus_count(side, litmus.turn(side));
	while (!litmus_stopped() && !litmus_enough(side));
	/* whoever has had its share ends it for both: alone nobody meets anybody */
	tally_store_relaxed(&litmus.stop.word, 1);
	return NULL;
}

/* Waits for the other side to begin the same round, then for up to some dozens of cycles. */
static inline void litmus_meet(int side, uint64_t round)
{
	uint64_t spins = 0, delay = mix(2 * round + (uint64_t)side) & 31;

	/* relaxed, also the loads: what is tested orders itself */
	tally_store_relaxed(&litmus.at[side].word, round);
	while (litmus_at(!side) < round)
		if (++spins % 256 == 0)
			sched_yield(); /* the other may need this CPU */
	while (delay--)
		tally_fence_signal();
}

static inline void *litmus_rounds(void *arg)
{
	int side = *(int *)arg;
	uint64_t n;

	litmus_pin(side);
	for (n = 0; n < LITMUS_ROUNDS; n++) {
		litmus_meet(side, litmus_round + n + 1);
		litmus_count(side, litmus.turn(side));
	}
	return NULL;
}

static inline void litmus_begin(void)
{
	litmus = (struct litmus){ .end_ns = now_ns() + DEADLINE_S * 1000000000ull };
	litmus_round = 0;
}

static inline void litmus_race(void *(*first)(void *), void *(*second)(void *))
{
	pthread_t threads[2];

	assert_int_equal(pthread_create(&threads[0], NULL, first, &litmus_sides[0]), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, second, &litmus_sides[1]), 0);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

static inline void litmus_judge(void)
{
	print_message("looked %ju times, met the other %ju times, raced it %ju times\n",
		      (uintmax_t)(litmus.looks[0] + litmus.looks[1]),
		      (uintmax_t)(litmus.met[0] + litmus.met[1]),
		      (uintmax_t)(litmus.raced[0] + litmus.raced[1]));
	assert_int_equal(litmus.bad[0] + litmus.bad[1], 0);
	assert_true(litmus.met[0] + litmus.met[1] >= LITMUS_MEETINGS);
}

/* One thread steps on and on; the other looks. */
static inline void litmus_stream(void (*step)(uint64_t n), unsigned int (*look)(void))
{
	litmus_begin();
	litmus.step = step;
	litmus.look = look;
	litmus_race(litmus_steps, litmus_looks);
	litmus_judge();
}

/* Both take turns as they come. */
static inline void litmus_take_turns(unsigned int (*turn)(int side))
{
	litmus_begin();
	litmus.turn = turn;
	litmus_race(litmus_turns, litmus_turns);
	litmus_judge();
}

/* Where the two seldom run at once, each round waits for the kernel: then fewer will do. */
static inline bool litmus_more_rounds(uint64_t batches, uint64_t spent_ns)
{
	if (now_ns() > litmus.end_ns)
		return false;
	if (litmus.met[0] + litmus.met[1] < LITMUS_MEETINGS)
		return true;
	return batches < LITMUS_BATCHES && spent_ns < LITMUS_SOME_NS;
}

/* Both do the same round at the same time, in fresh memory: `fresh` clears it before a batch, and
 * `check` says what has come of round n of the batch once both are through. */
static inline void litmus_run_rounds(void (*fresh)(void), unsigned int (*turn)(int side),
				     unsigned int (*check)(uint64_t n))
{
	uint64_t batches = 0, start_ns = now_ns(), n;

	litmus_begin();
	litmus.turn = turn;
	do {
		fresh();
		litmus_race(litmus_rounds, litmus_rounds);
		for (n = 0; check && n < LITMUS_ROUNDS; n++)
			litmus_count(0, check(n));
		litmus_round += LITMUS_ROUNDS;
		batches++;
	} while (litmus_more_rounds(batches, now_ns() - start_ns));
	litmus_judge();
}

/* In a round: its place in this batch's memory. */
static inline uint64_t litmus_place(int side)
{
	return litmus_at(side) - litmus_round - 1;
}

#endif
