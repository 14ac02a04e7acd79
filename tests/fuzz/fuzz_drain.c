/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a consumer reads a region that lies and goes on changing while it is read.
 *
 * What comes before the first look is done to the region before it has been seen. Then the main
 * thread looks, drains and changes as its operations say; meanwhile the hostile thread does its own
 * ones over and over. In the end all its processes die and its file goes, and nothing may be left.
 *
 *	byte 0   bit 0: records are not read; bit 1: the thread begins after the first look;
 *	         bit 3: a region that is joined; bit 4: the name of one
 *	byte 1   spare
 *	byte 2   bit n: process entry n lives
 *	byte 3   spare
 *
 * The consumer lives as long as the program, with one sound process to watch.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <tally/atomic.h>

#include "consumer/look.h"
#include "tests/fuzz/fuzz.h"

#define LOOKS_MAX 12
#define WAITING_MAX (1u << GEOMETRY_PROCESSES_LOG2_MAX)

enum wish { WISH_NO_RECORDS = 1, WISH_LATE_THREAD = 2 };

static struct look looks[2]; /* with records, and without */

static struct {
	sem_t go, done;
	uint64_t stop, rounds;
	struct hostile *hostile;
	const uint8_t *data;
	size_t size;
} rival;

/* ---- The hostile thread ---------------------------------------------------------------------- */

static void one_round(uint64_t round)
{
	struct fuzz_op op;
	size_t n;

	for (n = 0; fuzz_op(rival.data, rival.size, n, &op); n++)
		if (op.of_thread && op.what != FUZZ_GEOMETRY)
			hostile_apply(rival.hostile, &op, round);
}

static void *be_hostile(void *arg)
{
	uint64_t round;

	for (;;) {
		while (sem_wait(&rival.go) != 0)
			;
		/* acquire and release, here and below: no more than turns that are taken */
		for (round = 0; !tally_load_acquire(&rival.stop); round++) {
			one_round(round);
			tally_store_release(&rival.rounds, round + 1);
		}
		sem_post(&rival.done);
	}
	return arg;
}

static void rival_start(void)
{
	tally_store_release(&rival.stop, 0);
	tally_store_release(&rival.rounds, 0);
	sem_post(&rival.go);
	while (tally_load_acquire(&rival.rounds) == 0)
		sched_yield();
}

static void rival_stop(void)
{
	tally_store_release(&rival.stop, 1);
	while (sem_wait(&rival.done) != 0)
		;
}

/* ---- The consumer ---------------------------------------------------------------------------- */

/* Rows of processes that have been overtaken wait for a look that comes to something. */
static void check_memory(const struct look *look)
{
	const struct process *row;
	size_t n, waiting = 0;

	for (n = 0; n < look->attach.region_count; n++)
		for (row = look->attach.regions[n]->closing; row; row = row->next_closing)
			waiting++;
	FUZZ_CHECK(waiting <= WAITING_MAX);
}

static void take_a_look(struct look *look, size_t *ret_processes, uint32_t *ret_refused)
{
	const struct tally_snapshot *now;

	FUZZ_CHECK(look_once(look) == 0);
	check_memory(look);
	now = publisher_get(&look->publisher);
	fuzz_check_snapshot(now, rival.hostile->may_be_joined);
	fuzz_check_sound(now, look == &looks[0]);
	*ret_processes = now->process_count;
	*ret_refused = now->refused_files;
	publisher_put();
}

static void open_look(struct look *look, bool read_records)
{
	struct tally_consumer_options options = { .dir = fuzz_dir,
						  .read_records = read_records,
						  .read_buffers = read_records,
						  .buffers_max = 1024,
						  .from_start = true,
						  .refused = fuzz_refused };

	/* the second look finds all its records read */
	FUZZ_CHECK(look_open(look, &options) == 0);
	FUZZ_CHECK(look_once(look) == 0 && look_once(look) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_begin();
	return 0;
}

/* With the first input: libFuzzer's signal handlers are set by now, and the guard's goes on top. */
static void begin(void)
{
	static bool begun;
	pthread_t thread;

	if (begun)
		return;
	begun = true;
	FUZZ_CHECK(tally_consumer_guard() == 0);
	open_look(&looks[0], true);
	open_look(&looks[1], false);
	sem_init(&rival.go, 0, 0);
	sem_init(&rival.done, 0, 0);
	FUZZ_CHECK(pthread_create(&thread, NULL, be_hostile, NULL) == 0);
}

/* ---- One input ------------------------------------------------------------------------------- */

/* What is done before the first look; where that is. */
static size_t prepare(struct hostile *hostile, const uint8_t *data, size_t size, bool cut)
{
	struct fuzz_op op;
	size_t n;

	for (n = 0; fuzz_op(data, size, n, &op); n++) {
		if (op.of_thread || op.what == FUZZ_DRAIN)
			continue;
		if (op.what == FUZZ_LOOK)
			break;
		hostile->may_be_cut = cut && op.what != FUZZ_GEOMETRY;
		if (op.what == FUZZ_JOIN && !cut)
			hostile_join(hostile, op.a & 1);
		else
			hostile_apply(hostile, &op, 0);
	}
	hostile->may_be_cut = cut;
	return n;
}

static void go_on(struct hostile *hostile, struct look *look, const uint8_t *data, size_t size,
		  size_t n)
{
	size_t processes, looked = 0;
	uint32_t refused;
	struct fuzz_op op;

	for (; fuzz_op(data, size, n, &op) && looked < LOOKS_MAX; n++) {
		if (op.of_thread || op.what == FUZZ_GEOMETRY)
			continue;
		if (op.what == FUZZ_LOOK)
			take_a_look(look, &processes, &refused);
		else if (op.what == FUZZ_DRAIN)
			look_drain(look);
		else if (op.what == FUZZ_JOIN && !hostile->may_be_cut)
			hostile_join(hostile, op.a & 1);
		else
			hostile_apply(hostile, &op, 0);
		looked += op.what == FUZZ_LOOK || op.what == FUZZ_DRAIN;
	}
	take_a_look(look, &processes, &refused);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hostile hostile;
	struct look *look;
	bool cut = false, has_thread = false;
	size_t processes, n;
	uint32_t refused;
	struct fuzz_op op;

	if (size < FUZZ_CONFIG)
		return -1;
	begin();
	look = &looks[data[0] & WISH_NO_RECORDS];
	for (n = 0; fuzz_op(data, size, n, &op); n++) {
		cut = cut || op.what == FUZZ_CUT;
		has_thread = has_thread || op.of_thread;
	}
	hostile_make(&hostile, data[0] >> 3 & 1, data[0] >> 4 & 1, data[2]);
	rival.hostile = &hostile;
	rival.data = data;
	rival.size = size;
	n = prepare(&hostile, data, size, cut);
	if (data[0] & WISH_LATE_THREAD)
		take_a_look(look, &processes, &refused);
	if (has_thread)
		rival_start();
	go_on(&hostile, look, data, size, n);
	hostile_die(&hostile);
	take_a_look(look, &processes, &refused);
	if (has_thread)
		rival_stop();
	hostile_free(&hostile);
	take_a_look(look, &processes, &refused); /* shows it for the last time */
	take_a_look(look, &processes, &refused);
	FUZZ_CHECK(processes == 1 && refused == 0);
	fuzz_check_descriptors();
	return 0;
}
