/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer among regions that are as bad as they can be: in size, in order, in timing.
 * sanitizers: address */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <tally/atomic.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#include "ring/cells.h"
#include "ring/entries.h"
#include "ring/shared.h"
#include "tests/child.h"
#include "tests/rig.h"
#include "tests/support.h"
#include "tests/watch.h"

/* ---- Order ----------------------------------------------------------------------------------- */

#define MANY (1u << 16)
#define TIMES_MORE 20 /* n^2 steps in place of n are hundreds */

/* CPU time of two looks, and the snapshot of the second. */
static uint64_t time_looks(struct tally_consumer **ret_consumer,
			   const struct tally_snapshot **ret_now)
{
	struct timespec before, after;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	*ret_consumer = watch_pid(0);
	*ret_now = watch_look(*ret_consumer);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	return (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000u +
	       (uint64_t)(after.tv_nsec - before.tv_nsec);
}

static uint64_t time_cells(bool backwards)
{
	struct rig rig = rig_make(0, 6);
	const struct geometry *at = &rig.region.at;
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	uint32_t lane, i, n = 0;
	uint64_t took;

	assert_int_equal(at->lanes * at->lane_cells, MANY);
	for (lane = 0; lane < at->lanes; lane++) {
		struct lane_writer *writer = rig_claim(&rig, lane + 1, 0);

		rig_alloc(writer, 0, 0, 1, 1); /* for the pages before the first cell's */
		assert_int_equal(region_reserve(&rig.region, at->lane_at + lane * at->lane_stride,
						at->lane_stride),
				 0);
		for (i = 0; i < at->lane_cells; i++, n++) {
			struct tally_cell *cell = &writer->cells[i];
			uint32_t pair = backwards ? MANY - 1 - n : n;

			tally_store_relaxed(&cell->key, TALLY_KEY(pair >> 8, pair & 0xff));
			tally_store_relaxed(&cell->half0.allocs, 1);
			tally_store_relaxed(&cell->half1.allocs, 1);
		}
		tally_store_release(&writer->header->cell_count, at->lane_cells);
	}
	took = time_looks(&consumer, &now);
	assert_int_equal(now->pool_count, MANY);
	watch_put(now);
	watch_close(consumer);
	rig_free(&rig);
	return took;
}

static uint64_t time_devices(bool backwards)
{
	struct rig rig = rig_make(0, 0);
	const struct tally_snapshot *now;
	struct tally_device_entry *devices;
	struct tally_consumer *consumer;
	unsigned char *bytes, *more;
	struct geometry at;
	size_t size;
	uint64_t took;
	uint32_t n;

	bytes = (unsigned char *)read_file(rig.region.path, &size);
	rig_free(&rig);
	((struct tally_region_header *)(void *)bytes)->devices_log2 = 16;
	assert_true(geometry_compute((struct tally_region_header *)(void *)bytes, &at));
	((struct tally_region_header *)(void *)bytes)->size_bytes = at.size;
	more = calloc(1, at.size);
	assert_non_null(more);
	memcpy(more, bytes, at.process_at);
	devices = region_devices(more, &at);
	for (n = 0; n < MANY; n++) {
		devices[n].state = TALLY_ENTRY_VALID;
		devices[n].device = backwards ? MANY - 1 - n : n;
	}
	region_state(more)->devices_ready = 1;
	write_file(text("%s/tally-%u-1-%016x", test_dir, geteuid(), 1), more, at.size);
	free(more);
	took = time_looks(&consumer, &now);
	assert_int_equal(now->device_count, MANY);
	watch_put(now);
	watch_close(consumer);
	remove_regions();
	return took;
}

static void order_of_what_a_region_holds_does_not_hold_up_a_look(void **state)
{
	uint64_t usual = time_cells(false);

	(void)state;
	assert_true(time_cells(true) < usual * TIMES_MORE);
	assert_true(time_devices(false) < usual * TIMES_MORE);
	assert_true(time_devices(true) < usual * TIMES_MORE);
}

/* The latest of each counts, wherever it stands; what a dead process left half-written does not. */
static void descriptions_are_read_whatever_stands_between_them(void **state)
{
	static const struct {
		uint32_t device;
		const char *name;
	} said[] = { { 7, "old" }, { 3, "three" }, { 7, "new" }, { 9, "half" }, { 5, "five" } };
	struct rig rig = rig_make(0, 0);
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(said); i++) {
		struct tally_device_entry entry = { .device = said[i].device };

		snprintf(entry.name, sizeof(entry.name), "%s", said[i].name);
		assert_int_equal(entries_device(&rig.region, &entry), i);
	}
	tally_store_release(&region_devices(rig.region.base, &rig.region.at)[3].state,
			    TALLY_ENTRY_WRITING);
	consumer = watch_pid(0);
	now = watch_look(consumer);
	/* who lives may finish it yet, so nothing behind it is looked at */
	assert_int_equal(now->device_count, 2);
	watch_put(now);
	munmap(rig.region.base, rig.region.at.size);
	now = watch_look(consumer);
	assert_int_equal(now->processes[0].end, TALLY_GONE);
	assert_int_equal(now->device_count, 3);
	assert_int_equal(now->devices[0].device, 3);
	assert_string_equal(now->devices[0].name, "three");
	assert_int_equal(now->devices[1].device, 5);
	assert_string_equal(now->devices[1].name, "five");
	assert_int_equal(now->devices[2].device, 7);
	assert_string_equal(now->devices[2].name, "new");
	watch_put(now);
	watch_close(consumer);
	free(rig.writers);
	remove_regions();
}

/* ---- Tags ------------------------------------------------------------------------------------ */

#define TAGS 32768u
#define GOLDEN 0x9e3779b97f4a7c15ull /* what is multiplied with where numbers are looked up */

static uint64_t inverse(uint64_t odd)
{
	uint64_t inverse = odd;
	int n;

	for (n = 0; n < 6; n++)
		inverse *= 2 - odd * inverse;
	return inverse;
}

/* Pools and tags that would all have the same place if nothing about it were secret. */
static void choose(uint64_t n, bool alike, uint32_t *ret_pool, uint32_t *ret_tag)
{
	static uint64_t at;
	uint64_t key;

	*ret_pool = (uint32_t)(n % 256);
	*ret_tag = (uint32_t)(n / 256);
	if (n == 0)
		at = 0;
	if (!alike)
		return;
	do
		key = at++ * inverse(GOLDEN);
	while (!(key >> 32 & 1) || (key >> 41 & 0x7f));
	*ret_pool = (uint32_t)(key >> 33 & 0xff);
	*ret_tag = (uint32_t)key;
}

static uint64_t time_tags(bool alike)
{
	struct rig rig = rig_make(17, 0);
	struct lane_writer *writer = rig_claim(&rig, 1, 0);
	struct tally_consumer_options options = { .read_buffers = true };
	struct tally_consumer *consumer = NULL;
	const struct tally_snapshot *now;
	struct timespec before, after;
	struct lane_event event = { .kind = TALLY_KIND_ALLOC, .size = 1 };
	uint32_t pool, tag;
	uint64_t n;

	for (n = 0; n < 3 * TAGS; n++) {
		struct lane_slot slot;

		choose(n % TAGS, alike, &pool, &tag);
		writer->tag = tag;
		event.time = event.buffer_id = n + 1;
		slot = lane_begin(writer, n, lane_where(0, pool), &event);
		lane_publish(writer, &slot, 0);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	assert_int_equal(watch_open(&options, &consumer), 0);
	now = watch_look(consumer);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	assert_int_equal(now->buffers, 3 * TAGS);
	watch_put(now);
	watch_close(consumer);
	rig_free(&rig);
	return (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000u +
	       (uint64_t)(after.tv_nsec - before.tv_nsec);
}

static void tags_that_are_chosen_to_collide_do_not_hold_up_a_look(void **state)
{
	uint64_t usual = time_tags(false);

	(void)state;
	assert_true(time_tags(true) < usual * TIMES_MORE);
}

/* No group of tickets begins there. A look would overshoot the end, and the next one begin anew. */
static void shared_ring_that_begins_within_a_group_is_read_once(void **state)
{
	struct rig rig = rig_make(6, 0);
	struct shared_ring ring = shared_of(&rig.region, 0);
	struct shared_event event = { .kind = TALLY_KIND_ALLOC, .size = 1 };
	struct tally_region_state *shared = region_state(rig.region.base);
	uint64_t ticket = 0, start;
	int i;

	(void)state;
	assert_true(shared_reserve(&ring));
	for (i = 0; i < 200 * SHARED_GROUP; i++)
		assert_true(shared_push(&ring, &event, &ticket));
	start = tally_load_relaxed(&ring.head->reserve_pos) - SHARED_GROUP;
	for (i = 1; i < SHARED_GROUP; i++) {
		const struct tally_snapshot *now;
		struct tally_consumer *consumer;
		int look;

		tally_store_relaxed(&shared->shared_start, start + (uint64_t)i);
		consumer = watch_pid(0);
		for (look = 0; look < 5; look++) {
			now = watch_look(consumer);
			assert_true(now->records_read <= SHARED_GROUP);
			watch_put(now);
		}
		watch_close(consumer);
	}
	rig_free(&rig);
}

/* ---- Timing ---------------------------------------------------------------------------------- */

struct liar {
	uint32_t flags;
	void (*body)(struct region *region);
	struct region region;
};

static void make_region(void *arg)
{
	struct liar *liar = arg;
	struct region_config config = { .dir = test_dir, .lanes_log2 = 2, .flags = liar->flags };

	CHILD_CHECK(region_create(&config, &liar->region) == 0);
	CHILD_CHECK(region_publish(&liar->region) == 0);
}

static void lie(void *arg)
{
	struct liar *liar = arg;

	liar->body(&liar->region);
}

/* A process that makes a region, then does `body` with it until it is killed. */
static pid_t start_liar(uint32_t flags, void (*body)(struct region *region))
{
	struct liar liar = { .flags = flags, .body = body };

	return start_child(make_region, lie, &liar);
}

static void end_liar(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
	remove_regions();
}

/* Sums that go up and down, as no sum does. */
static void swing(struct region *region)
{
	struct cells cells = cells_of(region, 0);
	static uint64_t n;

	if (n++ == 0)
		cells_push(&cells, TALLY_KIND_ALLOC, 1, 1, 1000, 0);
	for (uint32_t i = 0; i < cells.count; i++)
		/* relaxed, both: a lie needs no order */
		if (tally_load_relaxed(&cells.cells[i].key) == TALLY_KEY(1, 1))
			tally_store_relaxed(&cells.cells[i].freed_bytes, n % 2 ? 0 : 1 << 30);
}

static void bounds_are_in_order_whatever_a_writer_does(void **state)
{
	pid_t pid = start_liar(0, swing);
	struct tally_consumer *consumer = watch_pid(0);
	int i, found = 0;

	(void)state;
	for (i = 0; i < 5000; i++) {
		const struct tally_snapshot *now = watch_look(consumer);

		watch_check(now);
		found += now->pool_count == 1;
		watch_put(now);
	}
	assert_true(found > 0);
	watch_close(consumer);
	end_liar(pid);
}

static void cut_and_mend(struct region *region)
{
	if (truncate(region->path, TALLY_PAGE) != 0 ||
	    truncate(region->path, (off_t)region->at.size) != 0)
		_exit(2);
}

/* Also what is read of a region before it is followed. */
static void lent_region_that_is_cut_while_it_is_opened_costs_itself_alone(void **state)
{
	pid_t pid = start_liar(TALLY_REGION_RUNNER, cut_and_mend);
	pid_t reader;
	int i;

	(void)state;
	fflush(NULL);
	reader = fork();
	if (reader == 0) {
		struct tally_consumer *consumer;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (tally_consumer_guard() != 0)
			_exit(1);
		for (i = 0; i < 5000; i++) {
			if (tally_consumer_open(NULL, &consumer) != 0)
				_exit(2);
			tally_consumer_close(consumer);
		}
		_exit(0);
	}
	assert_int_equal(wait_status(reader), 0);
	end_liar(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first: a child of a process that had a consumer gets none */
		TEST(lent_region_that_is_cut_while_it_is_opened_costs_itself_alone),
		TEST(order_of_what_a_region_holds_does_not_hold_up_a_look),
		TEST(tags_that_are_chosen_to_collide_do_not_hold_up_a_look),
		TEST(descriptions_are_read_whatever_stands_between_them),
		TEST(shared_ring_that_begins_within_a_group_is_read_once),
		TEST(bounds_are_in_order_whatever_a_writer_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
