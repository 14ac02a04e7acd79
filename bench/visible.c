/* SPDX-License-Identifier: Apache-2.0 */
/* How long it takes from a push until a snapshot shows it, to a reader in another process.
 *
 * The producer stamps the time, pushes, and waits for word; the other process's reader looks at
 * snapshots until one holds the push, and gives word. In one kind the reader polls by itself, again
 * and again; in the others the consumer's own thread looks every so many milliseconds, and the
 * reader takes what it publishes. The pushes come at times that have nothing to do with the looks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness/crew.h"
#include "bench/harness/result.h"
#include "bench/push_pairs.h"
#include "ring/pause.h"

#define BATCHES 11
#define PUSHES 20
#define PAUSE_MAX_NS 3000000u

static const struct question visible = { .id = "visible",
					 .words = "How long until a push is seen in a snapshot?",
					 .unit = "ns" };

static const uint32_t intervals_ms[] = { 0, 1, 10, 100 };
#define KINDS (sizeof(intervals_ms) / sizeof(intervals_ms[0]))

static struct spread spreads[KINDS] = {
	{ .name = "reader polls" },
	{ .name = "thread looks every ms" },
	{ .name = "thread looks every 10 ms" },
	{ .name = "thread looks every 100 ms" },
};

/* Between the two. */
static struct {
	uint64_t kind __attribute__((aligned(128)));
	uint64_t pushed __attribute__((aligned(128))); /* pushes so far */
	uint64_t seen __attribute__((aligned(128)));   /* of them, by the reader */
	uint64_t ready;				       /* the reader is, for this batch */
	uint64_t pid;
} * between;

/* ---- The reader ------------------------------------------------------------------------------ */

static struct tally_consumer *consumer;
static uint32_t running_ms; /* its thread's interval; 0: none runs */

static uint64_t shown(void)
{
	const struct tally_snapshot *now = tally_snapshot_get(consumer);
	uint64_t allocations = now->pool_count ? now->pools[0].totals.allocations : 0;

	tally_snapshot_put(now);
	return allocations;
}

static void use_kind(uint64_t kind)
{
	struct tally_consumer_options options = { .pid = (uint32_t)between->pid };

	if (!consumer && tally_consumer_open(&options, &consumer) != 0)
		_exit(1);
	if (running_ms == intervals_ms[kind])
		return;
	if (running_ms)
		tally_consumer_stop(consumer);
	running_ms = intervals_ms[kind];
	if (running_ms && tally_consumer_start(consumer, running_ms) != 0)
		_exit(1);
}

static void watch(void)
{
	uint64_t wanted = tally_load_acquire(&between->pushed) + PUSHES, now;

	use_kind(tally_load_acquire(&between->kind));
	tally_store_release(&between->ready, 1);
	do {
		if (!running_ms)
			tally_consumer_poll(consumer);
		now = shown();
		tally_store_release(&between->seen, now);
	} while (now < wanted);
}

/* ---- The producer ---------------------------------------------------------------------------- */

static uint64_t random_state = 1;

static void pause_at_random(void)
{
	struct timespec pause = { 0 };

	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	pause.tv_nsec = (long)(random_state >> 33) % PAUSE_MAX_NS;
	nanosleep(&pause, NULL);
}

static void push_and_wait(struct spread *spread)
{
	uint64_t pushed = tally_load_relaxed(&between->pushed), i;

	while (!tally_load_acquire(&between->ready))
		cpu_pause();
	between->ready = 0;
	spread_begin(spread);
	for (i = 0; i < PUSHES; i++) {
		uint64_t start;

		pause_at_random();
		start = stamp();
		tally_alloc(0, TALLY_POOL_DRAM, pushed, 64);
		pushed++;
		while (tally_load_acquire(&between->seen) < pushed)
			cpu_pause();
		spread_add(spread, stamp() - start);
	}
	spread_end(spread);
	tally_store_release(&between->pushed, pushed);
}

static void batch(void *arg, unsigned int me)
{
	if (me == 0)
		push_and_wait(arg);
	else
		watch();
}

int main(int argc, char **argv)
{
	size_t batches, round, kind;
	struct crew *crew;

	bench_begin(argc, argv, "visible");
	need_off("visible", "it makes its own region");
	if (processors() < 2) {
		result_absent(&visible, spreads[0].name, NULL, "needs a second processor");
		return bench_end();
	}
	stamp_cost_ticks();
	between = mmap(NULL, sizeof(*between), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	crew = between == MAP_FAILED ? NULL : crew_open(2, true, NULL);
	if (!crew || tally_init(NULL) != 0) {
		fprintf(stderr, "bench/visible: no second process, or no region in /dev/shm\n");
		return 1;
	}
	between->pid = (uint64_t)getpid();
	batches = bench_quick() ? 3 : BATCHES;
	for (round = 0; round < batches; round++)
		for (kind = 0; kind < KINDS; kind++) {
			bench_progress("visible", round * KINDS + kind, batches * KINDS);
			tally_store_release(&between->kind, kind);
			crew_run(crew, batch, &spreads[kind]);
		}
	for (kind = 0; kind < KINDS; kind++)
		result_spread(&visible, &spreads[kind]);
	crew_close(crew);
	tally_shutdown();
	return bench_end();
}
