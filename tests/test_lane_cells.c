/* SPDX-License-Identifier: Apache-2.0 */
/* The cells of a lane: one for each device and pool, exact whatever its records are.
 * sanitizers: address, thread; also on: arm64 */
#include "tests/lane_drain.h"

/* Devices and pools of the directory's cell n, of which many collide in the private index. */
static struct tally_cell *cell_number(struct lane_writer *writer, uint32_t n, uint32_t flags)
{
	const struct lane_target *target = lane_target(writer, n * 8 % TALLY_DEVICES,
						       n % 7 | flags << 24);

	return target ? target->cell : NULL;
}

static void full_directory_has_no_cell_for_another_pool_and_keeps_the_others(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	uint32_t cells = rig.region.at.lane_cells;
	uint32_t n;

	(void)state;
	for (n = 0; n < cells; n++)
		assert_ptr_equal(cell_number(writer, n, 0), &writer->cells[n]);
	assert_null(lane_target(writer, 65535, 255));
	assert_null(lane_target(writer, 65535, 254));
	for (n = 0; n < cells; n++) {
		assert_ptr_equal(cell_number(writer, n, 0), &writer->cells[n]);
		assert_int_equal(writer->cells[n].key, TALLY_KEY(n * 8, n % 7));
	}
	assert_int_equal(writer->header->cell_count, cells);
	rig_free(&rig);
}

static void flags_of_a_pool_share_its_cell_also_when_they_fill_the_index(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	uint32_t cells = rig.region.at.lane_cells;
	uint32_t n, flags, refused = 0;

	(void)state;
	for (flags = 0; flags < 3; flags++) {
		for (n = 0; n < cells; n++) {
			struct tally_cell *cell = cell_number(writer, n, flags);

			if (cell)
				assert_ptr_equal(cell, &writer->cells[n]);
			refused += !cell;
		}
	}
	/* three times as many as cells do not fit into an index of twice as many */
	assert_in_range(refused, cells, cells + 1);
	assert_int_equal(writer->header->cell_count, cells);
	rig_free(&rig);
}

static void numbers_out_of_range_have_no_cell(void **state)
{
	static const struct {
		uint32_t device, pool;
	} bad[] = {
		{ 65536, 0 },	       { UINT32_MAX, 0 },	   { 0, 256 },
		{ 0, 0x00010000 },     { 0, 0x00ffff00 },	   { 1u << 31, 255 },
		{ 65536, UINT32_MAX }, { UINT32_MAX, UINT32_MAX }, { UINT32_MAX, UINT32_MAX - 1 }
	};
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_null(lane_target(writer, bad[i].device, bad[i].pool));
	assert_int_equal(writer->header->cell_count, 0);
	assert_non_null(lane_target(writer, 65535, 255 | 255u << 24));
	rig_free(&rig);
}

static void sums_of_a_lane_are_exact_however_often_it_was_lapped(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, starts[5]);
	uint32_t device, pool;

	(void)state;
	push_numbered(writer, 10000);
	for (device = 0; device < 3; device++) {
		for (pool = 0; pool < 2; pool++) {
			struct ledger_sums want = numbered_sums(device, pool, 10000);
			struct ledger_sums read = { 0 };

			assert_true(ledger_read(lane_target(writer, device, pool)->cell, &read));
			assert_true(same_sums(&read, &want));
		}
	}
	assert_int_equal(rig_events(writer), 10000);
	assert_int_equal(writer->header->unrecorded, 0);
	rig_free(&rig);
}

static void lane_without_a_ring_keeps_its_sums_and_counts_what_has_no_record(void **state)
{
	struct rig rig = rig_make(0, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, starts[3]);
	struct ledger_sums want = numbered_sums(1, 1, 500), read = { 0 };
	uint64_t events, unrecorded;

	(void)state;
	push_numbered(writer, 500);
	assert_true(ledger_read(lane_target(writer, 1, 1)->cell, &read));
	assert_true(same_sums(&read, &want));
	lane_count(writer->header, &events, &unrecorded);
	assert_int_equal(events, 500);
	assert_int_equal(unrecorded, 500);
	assert_int_equal(writer->header->ring_ready, 0);
	rig_free(&rig);
}

static void opening_of_a_cell_counts_events_without_records(void **state)
{
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct ledger_sums opening = { .allocated_bytes = 900,
				       .freed_bytes = 1000,
				       .allocs = 4,
				       .frees = 5,
				       .failures = 1,
				       .peak_bytes = 300 };
	struct ledger_sums read = { 0 };
	struct lane_reader reader = rig_reader(&rig, writer);

	(void)state;
	assert_true(lane_open_cell(writer, TALLY_KEY(0, 7), &opening, 10));
	rig_alloc(writer, 0, 7, 1, 50);
	assert_true(ledger_read(lane_target(writer, 0, 7)->cell, &read));
	assert_int_equal(read.event_no, 11);
	assert_int_equal(read.allocated_bytes, 950);
	assert_int_equal(read.freed_bytes, 1000);
	assert_int_equal(read.allocs, 5);
	assert_int_equal(read.failures, 1);
	assert_int_equal(read.peak_bytes, 300);
	assert_int_equal(rig_events(writer), 11);
	assert_int_equal(writer->header->unrecorded, 10);
	drain(&reader);
	assert_int_equal(taken.count, 1);
	assert_int_equal(taken.records[0].event_no, 11);
	assert_int_equal((int64_t)taken.records[0].lane_balance, -50);
	rig_free(&rig);
}

/* What the next owner of a dead one's lane is told of its peak: above what the dead one left. */
static int64_t peak_in_adopted_lane(enum tally_kind kind, uint64_t left)
{
	static const struct ledger_sums opening = { .allocated_bytes = 1000,
						    .freed_bytes = 900,
						    .allocs = 2,
						    .frees = 1,
						    .peak_bytes = 1000 };
	struct rig rig = rig_make(RING_LOG2, 0);
	struct lane_writer *writer = rig_claim(&rig, TID, 0);
	struct rig_event event = { .event = { .kind = kind, .time = 1, .size = left }, .pool = 7 };
	const struct tally_cell *cell = writer->cells;
	int64_t peak;

	assert_true(rig_push(writer, &event));
	assert_int_equal(lanes_book(&rig.region, 0), 0);
	memset(rig.writers, 0, sizeof(*rig.writers)); /* another process's */
	assert_ptr_equal(rig_claim(&rig, TID + 1, 0), writer);
	assert_true(lane_open_cell(writer, TALLY_KEY(0, 7), &opening, 3));
	peak = (int64_t)(cell->peak_bytes - (cell->base.allocated_bytes - cell->base.freed_bytes));
	rig_free(&rig);
	return peak;
}

static void opening_of_a_cell_in_an_adopted_lane_keeps_its_owners_peak(void **state)
{
	(void)state;
	assert_int_equal(peak_in_adopted_lane(TALLY_KIND_ALLOC, 1000000), 1000);
	assert_int_equal(peak_in_adopted_lane(TALLY_KIND_FREE, 500), 1000);
	assert_int_equal(peak_in_adopted_lane(TALLY_KIND_ALLOC, 0), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full_directory_has_no_cell_for_another_pool_and_keeps_the_others),
		TEST(flags_of_a_pool_share_its_cell_also_when_they_fill_the_index),
		TEST(numbers_out_of_range_have_no_cell),
		TEST(sums_of_a_lane_are_exact_however_often_it_was_lapped),
		TEST(lane_without_a_ring_keeps_its_sums_and_counts_what_has_no_record),
		TEST(opening_of_a_cell_counts_events_without_records),
		TEST(opening_of_a_cell_in_an_adopted_lane_keeps_its_owners_peak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
