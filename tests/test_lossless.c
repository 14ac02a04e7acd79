/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes that wait: for the one consumer that holds their cursors, and not for long.
 * sanitizers: address, thread; also on: arm64 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#include "ring/owner.h"
#include "tests/child.h"
#include "tests/lane_drain.h"

#define HOLDER UINT64_C(0x1234567890)

static struct rig lossless_rig(void)
{
	struct region_config config = { .dir = test_dir,
					.ring_log2 = RING_LOG2,
					.flags = TALLY_REGION_LOSSLESS };
	struct rig rig = { .writers = calloc(1, sizeof(*rig.writers)) };

	assert_non_null(rig.writers);
	assert_int_equal(region_create(&config, &rig.region), 0);
	assert_int_equal(region_publish(&rig.region), 0);
	return rig;
}

/* A reader that the lane waits for. */
static struct lane_reader holding_reader(const struct rig *rig, const struct lane_writer *writer)
{
	struct lane_reader reader = rig_reader(rig, writer);

	reader.cursor = region_cursor(rig->region.base, &rig->region.at, rig_lane(rig, writer));
	reader.holder = HOLDER;
	return reader;
}

/* As long as it takes: on a busy machine a reader may stand still for a while. */
static void push_patiently(struct lane_writer *writer, uint64_t count)
{
	writer->lossless.wait_ns = UINT64_MAX / 2;
	while (count--) {
		lane_wait(writer);
		push_numbered(writer, 1);
	}
}

static void push_waiting(struct lane_writer *writer, uint64_t count)
{
	while (count--) {
		lane_wait(writer);
		push_numbered(writer, 1);
	}
}

/* ---- Nothing is lost ------------------------------------------------------------------------- */

#define PUSHES (EMULATED ? 4000u : 30000u)

static struct lane_reader slow;
static uint64_t slow_done;

static void *read_slowly(void *arg)
{
	bool last = false;

	while (!last) {
		uint64_t naps = mix(slow.pos) % 20;

		last = tally_load_acquire(&slow_done);
		lane_drain(&slow, last, false, take, NULL);
		while (naps--)
			sched_yield();
	}
	drain(&slow);
	return arg;
}

static void nothing_is_lost_however_slowly_it_is_read(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		struct rig rig = lossless_rig();
		struct lane_writer *writer = rig_claim(&rig, TID, starts[i]);
		pthread_t thread;

		slow = holding_reader(&rig, writer);
		memset(&taken, 0, sizeof(taken));
		lane_drain(&slow, true, false, take, NULL); /* from here on it is waited for */
		tally_store_release(&slow_done, 0);
		assert_int_equal(pthread_create(&thread, NULL, read_slowly, NULL), 0);
		push_patiently(writer, PUSHES / COUNT(starts));
		tally_store_release(&slow_done, 1);
		pthread_join(thread, NULL);
		assert_null(slow.quarantine);
		assert_int_equal(slow.lost + slow.missed, 0);
		assert_int_equal(slow.seen, PUSHES / COUNT(starts));
		assert_int_equal(writer->lossless.given_up, 0);
		rig_free(&rig);
	}
}

/* ---- Nobody is waited for who is not there --------------------------------------------------- */

static void lane_that_nobody_holds_overwrites_at_once(void **state)
{
	struct rig rig = lossless_rig();
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = rig_reader(&rig, writer); /* as any other consumer reads */
	uint64_t start_ns = now_ns();

	(void)state;
	writer->lossless.wait_ns = DEADLINE_S * 1000000000ull; /* not once */
	push_waiting(writer, 3 * RING);
	assert_int_equal(writer->lossless.limit, 3 * RING);
	drain(&reader);
	assert_int_equal(reader.seen, RING);
	assert_int_equal(reader.missed, 2 * RING);
	push_waiting(writer, 2 * RING);
	drain(&reader);
	assert_int_equal(reader.seen + reader.lost + reader.missed, 5 * RING);
	/* Nor once its holder has gone. */
	reader = holding_reader(&rig, writer);
	drain(&reader);
	lossless_end(reader.cursor);
	push_waiting(writer, 2 * RING);
	assert_true(now_ns() - start_ns < DEADLINE_S * 1000000000ull);
	rig_free(&rig);
}

static void lane_of_another_region_has_no_cursor(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct region_view view = rig_view(rig.region.name);

	(void)state;
	assert_null(writer->lossless.cursor);
	assert_int_equal(rig.region.at.cursor_size, 0);
	assert_int_equal(lossless_hold(&view, AT_FDCWD, rig.region.path), -EINVAL);
	region_close(&view);
	rig_free(&rig);
}

static void who_does_not_read_is_waited_for_once(void **state)
{
	struct rig rig = lossless_rig();
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct lane_reader reader = holding_reader(&rig, writer);
	uint64_t start_ns = now_ns();

	(void)state;
	writer->lossless.wait_ns = 1000000000ull;
	drain(&reader);
	push_waiting(writer, RING);
	assert_int_equal(writer->lossless.given_up, 0);
	push_waiting(writer, 2 * DEADLINE_S * lossless_stride(RING));
	assert_true(now_ns() - start_ns < DEADLINE_S * 1000000000ull); /* not each time */
	assert_int_equal(writer->lossless.given_up, HOLDER);
	drain(&reader);
	assert_int_equal(reader.seen + reader.lost, RING + 2 * DEADLINE_S * lossless_stride(RING));
	assert_true(reader.lost > DEADLINE_S * lossless_stride(RING));
	/* It moves again, and is waited for again. */
	push_waiting(writer, lossless_stride(RING));
	assert_int_equal(writer->lossless.given_up, 0);
	rig_free(&rig);
}

/* Pushes as many as the lane's owner may without a look at its cursor. */
static void push_unseeing(struct lane_writer *writer)
{
	while (writer->lossless.limit != tally_load_relaxed(&writer->header->publish_pos))
		push_numbered(writer, 1);
}

/* Reads from where it is safe to begin; then nothing has been overwritten. */
static uint64_t begin_amid_pushes(struct rig *rig, struct lane_writer *writer)
{
	struct lane_reader reader = holding_reader(rig, writer);
	uint64_t publish_pos = tally_load_relaxed(&writer->header->publish_pos);
	uint64_t pos = lossless_start(reader.cursor, HOLDER, publish_pos - RING,
				      &writer->header->publish_pos, RING);

	push_unseeing(writer);
	reader.pos = pos;
	reader.started = true;
	drain(&reader);
	assert_null(reader.quarantine);
	assert_int_equal(reader.lost, 0);
	assert_true(reader.seen > 0);
	return publish_pos - pos;
}

static void who_begins_amid_pushes_loses_nothing_from_there_on(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(starts); i++) {
		struct rig rig = lossless_rig();
		struct lane_writer *writer = rig_claim(&rig, TID, starts[i]);
		struct lane_reader first = holding_reader(&rig, writer);

		/* The owner has just looked, and found nobody; of what is there half is read. */
		push_waiting(writer, 3 * RING + 1);
		assert_int_equal(begin_amid_pushes(&rig, writer), RING / 2);
		/* It has found another, who had read all. */
		drain(&first);
		push_waiting(writer, 1);
		lossless_end(first.cursor);
		begin_amid_pushes(&rig, writer);
		rig_free(&rig);
	}
}

static int64_t blocks_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_blocks;
}

/* A store into a page that is not there may kill, when there is no memory. */
static void cursors_are_there_before_anybody_writes_them(void **state)
{
	struct region_view view;
	struct rig rig;
	int64_t blocks;

	(void)state;
	SKIP_EMULATED("advice about memory");
	rig = lossless_rig();
	view = rig_view(rig.region.name);
	blocks = blocks_of(view.fd);
	assert_int_equal(
		madvise(rig.region.base + rig.region.at.cursor_at, TALLY_PAGE, MADV_REMOVE), 0);
	assert_int_equal(blocks_of(view.fd), blocks - TALLY_PAGE / 512);
	assert_int_equal(lossless_hold(&view, AT_FDCWD, rig.region.path), 0);
	assert_int_equal(blocks_of(view.fd), blocks);
	region_close(&view);
	rig_free(&rig);
}

/* ---- Processes ------------------------------------------------------------------------------- */

static void hold(void *name)
{
	struct region_view view = rig_view(name);

	CHILD_CHECK(lossless_hold(&view, AT_FDCWD, text("%s/%s", test_dir, (char *)name)) == 0);
	lossless_begin(region_cursor(view.base, &view.at, 0), HOLDER, 0);
}

static void wait_for_death(void *unused)
{
	(void)unused;
	pause();
}

static void one_holder_at_a_time_until_it_dies(void **state)
{
	struct lane_writer *writer;
	struct region_view view;
	struct lane_reader reader;
	struct rig rig;
	pid_t pid;

	(void)state;
	SKIP_EMULATED("locks of mappings");
	rig = lossless_rig();
	writer = rig_claim(&rig, TID, 0);
	view = rig_view(rig.region.name);
	pid = start_child(hold, wait_for_death, rig.region.name);
	assert_int_equal(lossless_hold(&view, AT_FDCWD, rig.region.path), -EAGAIN);
	push_waiting(writer, RING); /* there is room */
	kill(pid, SIGKILL);
	wait_status(pid);
	assert_int_equal(writer->lossless.given_up, 0);
	push_waiting(writer, RING);
	assert_int_equal(writer->lossless.given_up, HOLDER);
	/* The next one takes over, and is waited for. */
	assert_int_equal(lossless_hold(&view, AT_FDCWD, rig.region.path), 0);
	reader = rig_reader(&rig, writer);
	reader.cursor = region_cursor(view.base, &view.at, 0);
	reader.holder = HOLDER + 1;
	drain(&reader);
	push_waiting(writer, lossless_stride(RING));
	assert_int_equal(writer->lossless.given_up, 0);
	region_close(&view);
	rig_free(&rig);
}

/* Only the cursors are writable to who holds them. */
static void holder_can_write_the_cursors_and_nothing_else(void **state)
{
	char line[512];
	size_t writable = 0, readable = 0;
	struct region_view view;
	struct rig rig;
	FILE *maps;

	(void)state;
	SKIP_EMULATED("its own maps");
	rig = lossless_rig();
	view = rig_view(rig.region.name);
	assert_int_equal(lossless_hold(&view, AT_FDCWD, rig.region.path), 0);
	maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char mode[8];

		assert_int_equal(sscanf(line, "%lx-%lx %7s", &from, &to, mode), 3);
		if (from < (uintptr_t)view.base || to > (uintptr_t)view.base + view.at.size)
			continue;
		if (mode[1] == 'w') {
			writable += to - from;
			assert_int_equal(from, (uintptr_t)view.base + view.at.cursor_at);
		} else {
			readable += to - from;
		}
	}
	fclose(maps);
	assert_int_equal(writable, TALLY_PAGE);
	assert_int_equal(readable + writable, view.at.size);
	region_close(&view);
	rig_free(&rig);
}

static void file_that_was_replaced_is_not_held(void **state)
{
	struct rig rig = lossless_rig(), other = lossless_rig();
	struct region_view view = rig_view(rig.region.name);

	(void)state;
	assert_int_equal(lossless_hold(&view, AT_FDCWD, other.region.path), -ESTALE);
	region_close(&view);
	rig_free(&rig);
	rig_free(&other);
}

/* ---- Lies ------------------------------------------------------------------------------------ */

static uint64_t lies_end;

static void *lie(void *arg)
{
	struct tally_cursor *cursor = arg;
	uint64_t n = 0;

	while (!tally_load_acquire(&lies_end)) {
		tally_store_relaxed(&cursor->consume_pos, mix(n)); /* relaxed, both: lies */
		tally_store_relaxed(&cursor->holder, mix(n++) % 3);
	}
	return NULL;
}

static void cursor_that_lies_costs_time_and_nothing_else(void **state)
{
	static const uint64_t pushes = 600;
	struct rig rig = lossless_rig();
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct ledger_sums is, want = numbered_sums(0, 0, pushes);
	pthread_t thread;

	(void)state;
	tally_store_release(&lies_end, 0);
	assert_int_equal(pthread_create(&thread, NULL, lie,
					region_cursor(rig.region.base, &rig.region.at, 0)),
			 0);
	push_waiting(writer, pushes);
	tally_store_release(&lies_end, 1);
	pthread_join(thread, NULL);
	assert_int_equal(rig_events(writer), pushes);
	assert_true(ledger_read(lane_target(writer, 0, 0)->cell, &is));
	assert_true(same_sums(&is, &want));
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_lost_however_slowly_it_is_read),
		TEST(lane_that_nobody_holds_overwrites_at_once),
		TEST(lane_of_another_region_has_no_cursor),
		TEST(who_does_not_read_is_waited_for_once),
		TEST(who_begins_amid_pushes_loses_nothing_from_there_on),
		TEST(cursors_are_there_before_anybody_writes_them),
		TEST(one_holder_at_a_time_until_it_dies),
		TEST(holder_can_write_the_cursors_and_nothing_else),
		TEST(file_that_was_replaced_is_not_held),
		TEST(cursor_that_lies_costs_time_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
