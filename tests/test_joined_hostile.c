/* SPDX-License-Identifier: Apache-2.0 */
/* A joined region whose words change while they are read: no crash, no hang, no other one wrong.
 * sanitizers: address */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "ring/geometry.h"
#include "ring/region.h"
#include "ring/slot.h"
#include "tests/cli.h"
#include "tests/joined.h"

#define LOOKS 1500

/* Somebody else's mapping of the region, to write to. */
struct spoiler {
	unsigned char *base;
	struct geometry at;
	pthread_t thread;
	uint64_t stop, rounds;
	uint64_t random;
};

static uint64_t next(struct spoiler *spoiler)
{
	return mix(spoiler->random++);
}

static uint64_t any_value(struct spoiler *spoiler, uint64_t now)
{
	static const uint64_t odd[] = { 0, 1, 16, UINT64_MAX, 1ull << 63, 4095, 256 };
	uint64_t random = next(spoiler);

	switch (random % 5) {
	case 0:
		return odd[random / 5 % COUNT(odd)];
	case 1:
		return now + random / 5 % 7 - 3;
	case 2:
		return now ^ 1ull << random / 5 % 64;
	case 3: /* an owner word */
		return (random >> 8 & 7) << 56 | (random >> 16 & 0x1ff) << 32;
	default:
		return random;
	}
}

/* One of the words that say who owns what. */
static uint64_t *any_word(struct spoiler *spoiler)
{
	uint64_t random = next(spoiler);
	const struct geometry *at = &spoiler->at;
	uint64_t *entry = (uint64_t *)region_process(spoiler->base, at, random >> 8 & 3);
	uint64_t *lane = (uint64_t *)region_lane(spoiler->base, at, random >> 8 & 1);

	switch (random % 4) {
	case 0:
		return entry + (random >> 16) % (sizeof(struct tally_process_header) / 8);
	case 1:
		return lane + (random >> 16) % (sizeof(struct tally_lane_header) / 8);
	case 2: /* the first cell, its base included */
		return lane + sizeof(struct tally_lane_header) / 8 + (random >> 16) % 24;
	default:
		return &region_shared_slots(spoiler->base, at)[random >> 16 & 1023].commit;
	}
}

static void *spoil(void *arg)
{
	struct spoiler *spoiler = arg;

	while (!tally_load_relaxed(&spoiler->stop)) {
		uint64_t *word = any_word(spoiler);

		tally_store_relaxed(word, any_value(spoiler, tally_load_relaxed(word)));
		tally_add_relaxed(&spoiler->rounds, 1);
	}
	return NULL;
}

static void spoiler_open(struct spoiler *spoiler)
{
	struct region_view view;
	char why[REGION_WHY_MAX];
	int dir = open(test_dir, O_RDONLY | O_DIRECTORY), fd;

	assert_int_equal(region_open(dir, join_file(), &view, why), 0);
	memset(spoiler, 0, sizeof(*spoiler));
	spoiler->at = view.at;
	spoiler->random = (uint64_t)getpid();
	region_close(&view);
	fd = openat(dir, join_file(), O_RDWR);
	close(dir);
	assert_true(fd >= 0);
	spoiler->base = mmap(NULL, view.at.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	assert_ptr_not_equal(spoiler->base, MAP_FAILED);
}

static void spoiler_stop(struct spoiler *spoiler)
{
	tally_store_relaxed(&spoiler->stop, 1);
	pthread_join(spoiler->thread, NULL);
}

static void check_sound(const struct tally_snapshot *now, pid_t pid)
{
	const struct tally_process_view *row = watch_process(now, pid);

	assert_non_null(row);
	assert_int_equal(row->pool_count, 1);
	assert_int_equal(row->end, TALLY_RUNNING);
	assert_int_equal(row->events, 1001);
	assert_int_equal(now->process_pools[row->first_pool].totals.allocations, 501);
	assert_int_equal(now->process_pools[row->first_pool].totals.frees, 500);
}

static void owners_that_are_spoiled_while_read_cost_only_their_region(void **state)
{
	struct job sound, jobs[3];
	struct tally_consumer *consumer;
	struct spoiler spoiler;
	size_t i, drains;

	(void)state;
	for (i = 0; i < COUNT(jobs); i++) {
		jobs[i] = join_start("TALLY_LANES=2");
		job_do(&jobs[i], "alloc 900 10");
	}
	sound = start_pushing("1001"); /* a region of its own, on device 1 */
	/* no pid of theirs is the sound one's, whatever is made of them */
	consumer = join_watch();
	spoiler_open(&spoiler);
	assert_int_equal(pthread_create(&spoiler.thread, NULL, spoil, &spoiler), 0);
	for (i = 0; i < LOOKS; i++) {
		const struct tally_snapshot *now = watch_look(consumer);
		size_t n;

		for (n = 0; n < now->process_count; n++)
			if (now->processes[n].pid == (uint32_t)sound.pid &&
			    strcmp(now->processes[n].region, join_file()) != 0)
				break;
		assert_true(n < now->process_count);
		if (i % 64 == 0)
			check_sound(now, sound.pid);
		watch_put(now);
	}
	drains = tally_load_relaxed(&spoiler.rounds);
	spoiler_stop(&spoiler);
	assert_true(drains > LOOKS); /* it was at work all the time */
	for (i = 0; i < 2; i++) {    /* whatever it is left with, a new one reads it, too */
		struct tally_consumer *late = join_watch();
		const struct tally_snapshot *now = watch_look(late);

		check_sound(now, sound.pid);
		watch_put(now);
		watch_close(late);
	}
	munmap(spoiler.base, spoiler.at.size);
	for (i = 0; i < COUNT(jobs); i++)
		job_kill(&jobs[i]);
	job_signal(&sound, SIGKILL);
	job_end(&sound);
	remove_regions();
}

/* ---- One lie at a time ----------------------------------------------------------------------- */

/* A region of two, the first of which has one lane, the second the shared ring. */
struct pair {
	struct job jobs[2];
	struct spoiler spoiler;
};

static void pair_open(struct pair *pair)
{
	pair->jobs[0] = join_start("TALLY_LANES=1");
	job_do(&pair->jobs[0], "alloc 100 10");
	pair->jobs[1] = join_start(NULL);
	job_do(&pair->jobs[1], "alloc 100 1");
	spoiler_open(&pair->spoiler);
}

static void pair_close(struct pair *pair)
{
	munmap(pair->spoiler.base, pair->spoiler.at.size);
	job_kill(&pair->jobs[0]);
	job_kill(&pair->jobs[1]);
	remove_regions();
}

static void record_of_an_owner_that_cannot_be_quarantines_the_shared_ring(void **state)
{
	static const uint32_t owners[] = { 4095, 256, 77 }; /* the last has no page */
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(owners); i++) {
		struct pair pair;
		struct tally_record *slots;
		uint64_t commit;

		pair_open(&pair);
		slots = region_shared_slots(pair.spoiler.base, &pair.spoiler.at);
		commit = slots[5].commit;
		assert_int_equal(slot_state(commit), TALLY_SLOT_VALID);
		slots[5].commit = (commit & ~(uint64_t)TALLY_OWNER_MASK) | owners[i];
		consumer = join_watch();
		watch_put(watch_look(consumer));
		now = watch_look(consumer);
		assert_int_equal(watch_process(now, pair.jobs[1].pid)->quarantined_lanes, 1);
		assert_int_equal(join_totals(now, watch_process(now, pair.jobs[1].pid))->live_bytes,
				 100);
		/* the lane is read on */
		assert_int_equal(watch_process(now, pair.jobs[0].pid)->records_read, 100);
		watch_put(now);
		watch_close(consumer);
		pair_close(&pair);
	}
}

static void lane_of_an_owner_that_cannot_be_is_quarantined(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct tally_lane_header *lane;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	lane = region_lane(pair.spoiler.base, &pair.spoiler.at, 0);
	lane->owner = (uint64_t)TALLY_LANE_OWNED << 56 | 300ull << 32;
	consumer = join_watch();
	now = watch_look(consumer);
	assert_int_equal(watch_process(now, pair.jobs[1].pid)->quarantined_lanes, 1);
	assert_int_equal(join_totals(now, watch_process(now, pair.jobs[1].pid))->live_bytes, 100);
	/* nobody's that lives: abandoned */
	assert_int_equal(watch_pool(now, DEVICE, TALLY_POOL_DRAM)->totals.abandoned_bytes, 1000);
	watch_put(now);
	pair_close(&pair);
}

static void lane_of_an_owner_that_is_not_there_keeps_the_last_good_values(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct tally_lane_header *lane;
	const struct tally_totals *totals;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	consumer = join_watch();
	lane = region_lane(pair.spoiler.base, &pair.spoiler.at, 0);
	lane->owner = (uint64_t)TALLY_LANE_OWNED << 56 | 77ull << 32;
	job_do(&pair.jobs[1], "alloc 1 1");
	now = watch_look(consumer);
	totals = &watch_pool(now, DEVICE, TALLY_POOL_DRAM)->totals;
	assert_int_equal(totals->live_bytes, 1100);
	assert_false(totals->current);
	assert_false(now->complete);
	watch_put(now);
	lane->owner = (uint64_t)TALLY_LANE_OWNED << 56 | 1;
	now = watch_look(consumer);
	totals = &watch_pool(now, DEVICE, TALLY_POOL_DRAM)->totals;
	assert_int_equal(totals->live_bytes, 1101);
	assert_true(totals->current);
	watch_put(now);
	pair_close(&pair);
}

static void names_of_processes_are_printed_harmlessly(void **state)
{
	static const char nasty[] = "\033[2Jevil\n\x80\xff and no end";
	struct tally_process_header *process;
	struct pair pair;
	struct outcome outcome;
	size_t i;

	(void)state;
	pair_open(&pair);
	process = region_process(pair.spoiler.base, &pair.spoiler.at, 1);
	memset(process->comm, 0x27, sizeof(process->comm));
	memcpy(process->comm, nasty, sizeof(nasty) - 1);
	outcome = TALLY("ps");
	assert_int_equal(outcome.status, 0);
	assert_non_null(strstr(outcome.out, "?[2Jevil??? and no end"));
	for (i = 0; i < outcome.out_size; i++)
		assert_true(outcome.out[i] == '\n' ||
			    (outcome.out[i] >= ' ' && outcome.out[i] <= '~'));
	pair_close(&pair);
}

/* A region says that it has many entries, but has no page of them: none is made by reading. */
static void pages_that_are_not_there_are_not_made(void **state)
{
	struct tally_consumer *consumer;
	struct stat before, after;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	assert_int_equal(stat(join_path(), &before), 0);
	consumer = join_watch();
	watch_put(watch_look(consumer));
	assert_int_equal(stat(join_path(), &after), 0);
	assert_int_equal(after.st_blocks, before.st_blocks);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(owners_that_are_spoiled_while_read_cost_only_their_region),
		TEST(record_of_an_owner_that_cannot_be_quarantines_the_shared_ring),
		TEST(lane_of_an_owner_that_cannot_be_is_quarantined),
		TEST(lane_of_an_owner_that_is_not_there_keeps_the_last_good_values),
		TEST(names_of_processes_are_printed_harmlessly),
		TEST(pages_that_are_not_there_are_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
