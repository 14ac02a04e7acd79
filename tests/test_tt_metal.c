/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's client on Tally: each failure of the socket server's that concerns the client is
 * made here, and what Tally shows is right. */
#include <errno.h>

#include "tests/tt_metal.h"

#define GIB (1ll << 30)

/* ---- Ids that are live already --------------------------------------------------------------- */

static void id_allocated_again_as_another_moves_totals_by_the_difference(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "alloc 0 1000 0 77");
	job_do(&job, "alloc 0 300 0 77");
	check_sums_of(job.pid, 0, TALLY_POOL_DRAM, 1300, 1000, 2, 1, 0);
	job_do(&job, "alloc 0 64 1 77");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 0, 0);
	check_live(job.pid, 0, TALLY_POOL_L1, 64, 1);
	check_counts(&job, "2 0 0 0 0");
	job_do(&job, "free 0 77");
	check_live(job.pid, 0, TALLY_POOL_L1, 0, 0);
	check_cells(job.pid, 2, 0);
	check_counts(&job, "2 0 0 0 0");
	job_end_well(&job);
}

static void circular_buffer_allocated_again_counts_once(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "times 1000 cb 3 4096 12");
	check_live(job.pid, 3, TALLY_POOL_CB, 4096, 1);
	job_do(&job, "cb 3 1024 12");
	check_live(job.pid, 3, TALLY_POOL_CB, 1024, 1);
	check_counts(&job, "1000 0 0 0 0");
	job_end_well(&job);
}

static void kernel_loaded_again_counts_once(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "times 1000 kernel 3 8192 12 0");
	check_live(job.pid, 3, TALLY_POOL_KERNEL, 8192, 1);
	job_do(&job, "kernel 3 1000 12 2");
	check_live(job.pid, 3, TALLY_POOL_KERNEL, 1000, 1);
	job_do(&job, "unkernel 3 0 12");
	check_live(job.pid, 3, TALLY_POOL_KERNEL, 0, 0);
	check_counts(&job, "1000 0 0 0 0");
	job_end_well(&job);
}

/* ---- Frees ----------------------------------------------------------------------------------- */

static void free_of_an_unknown_circular_buffer_or_kernel_does_not_wrap_below_zero(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "cb 0 100 1");
	job_do(&job, "kernel 0 200 1 1");
	job_do(&job, "uncb 0 5000 2");
	job_do(&job, "uncb 1 5000 1");
	job_do(&job, "unkernel 0 5000 2");
	check_sums_of(job.pid, 0, TALLY_POOL_CB, 100, 0, 1, 0, 0);
	check_sums_of(job.pid, 0, TALLY_POOL_KERNEL, 200, 0, 1, 0, 0);
	check_cells(job.pid, 2, 0);
	check_counts(&job, "0 3 0 0 0");
	job_end_well(&job);
}

static void size_that_a_free_carries_is_not_believed(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "cb 0 100 1");
	job_do(&job, "cb 0 100 2");
	job_do(&job, "kernel 0 300 1 0");
	job_do(&job, "kernel 0 300 2 0");
	job_do(&job, "uncb 0 0 1");
	job_do(&job, "uncb 0 18446744073709551615 2");
	job_do(&job, "unkernel 0 0 1");
	job_do(&job, "unkernel 0 1 2");
	check_sums_of(job.pid, 0, TALLY_POOL_CB, 200, 200, 2, 2, 0);
	check_sums_of(job.pid, 0, TALLY_POOL_KERNEL, 600, 600, 2, 2, 0);
	check_counts(&job, "0 0 0 0 0");
	job_end_well(&job);
}

static void buffer_freed_1062_times_too_often_is_freed_once(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "alloc 0 5000 0 1");
	job_do(&job, "alloc 0 100 0 2");
	job_do(&job, "times 1063 free 0 1");
	check_sums_of(job.pid, 0, TALLY_POOL_DRAM, 5100, 5000, 2, 1, 0);
	check_counts(&job, "0 1062 0 0 0");
	job_end_well(&job);
}

static void ids_of_buffers_circular_buffers_and_kernels_and_of_devices_are_apart(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "alloc 0 1 0 5");
	job_do(&job, "cb 0 10 5");
	job_do(&job, "kernel 0 100 5 0");
	job_do(&job, "alloc 1 1000 0 5");
	job_do(&job, "free 0 5");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 0, 0);
	check_live(job.pid, 0, TALLY_POOL_CB, 10, 1);
	check_live(job.pid, 0, TALLY_POOL_KERNEL, 100, 1);
	check_live(job.pid, 1, TALLY_POOL_DRAM, 1000, 1);
	check_counts(&job, "0 0 0 0 0");
	job_end_well(&job);
}

/* ---- Where it is booked ---------------------------------------------------------------------- */

static void each_buffer_type_has_its_own_pool_and_system_memory_is_not_l1_small(void **state)
{
	struct job job = client_start(state);
	int64_t type;

	for (type = 0; type <= 4; type++)
		job_do(&job, text("alloc 0 %d %d %d", 1 << type, (int)type, (int)type));
	check_live(job.pid, 0, TALLY_POOL_DRAM, 1, 1);
	check_live(job.pid, 0, TALLY_POOL_L1, 2, 1);
	check_live(job.pid, 0, TALLY_POOL_SYSTEM, 4, 1);
	check_live(job.pid, 0, TALLY_POOL_L1_SMALL, 8, 1);
	check_live(job.pid, 0, TALLY_POOL_TRACE, 16, 1);
	check_cells(job.pid, 5, 0);
	job_end_well(&job);
}

static void types_that_are_none_are_counted_and_booked_nowhere(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "alloc 0 100 0 9");
	job_do(&job, "alloc 0 100 5 1");
	job_do(&job, "alloc 0 100 6 2");
	job_do(&job, "alloc 0 100 7 3");
	job_do(&job, "alloc 0 100 255 4");
	job_do(&job, "kernel 0 100 1 3");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 100, 1);
	check_cells(job.pid, 1, 5);
	check_counts(&job, "0 0 0 5 0");
	/* what the id was before has gone */
	job_do(&job, "alloc 0 100 5 9");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 0, 0);
	job_do(&job, "free 0 9");
	check_cells(job.pid, 1, 6);
	check_counts(&job, "0 1 0 6 0");
	job_end_well(&job);
}

static void devices_above_7_are_devices_like_others(void **state)
{
	static const unsigned int devices[] = { 7, 8, 31, 32, 63, 64, 65535 };
	struct job job = client_start(state);
	size_t i;

	for (i = 0; i < COUNT(devices); i++)
		job_do(&job, text("alloc %u %zu 0 1", devices[i], 100 + i));
	for (i = 0; i < COUNT(devices); i++)
		check_live(job.pid, devices[i], TALLY_POOL_DRAM, 100 + (int64_t)i, 1);
	check_cells(job.pid, COUNT(devices), 0);
	check_counts(&job, "0 0 0 0 0");
	job_end_well(&job);
}

static void devices_that_are_none_are_counted_and_booked_nowhere(void **state)
{
	static const char *const lines[] = {
		"alloc -1 100 0 1",  "free -1 1",	  "alloc 65536 100 0 1",
		"free 65536 1",	     "cb 2657333 100 1",  "uncb 2657333 100 1",
		"kernel -5 100 1 0", "unkernel -5 100 1", "alloc -2147483648 1 0 1",
		"alloc -1 100 99 1",
	};
	struct job job = client_start(state);
	size_t i;

	job_do(&job, "alloc 0 7 0 1"); /* what -65536 and 65536 would be, if cut */
	for (i = 0; i < COUNT(lines); i++)
		job_do(&job, lines[i]);
	check_sums_of(job.pid, 0, TALLY_POOL_DRAM, 7, 0, 1, 0, 0);
	check_cells(job.pid, 1, COUNT(lines));
	check_counts(&job, text("0 0 %zu 0 0", COUNT(lines)));
	/* and whoever looks is told */
	check_contains(TALLY("ps").err, "10 events");
	job_end_well(&job);
}

static void sizes_up_to_100_gib_are_exact(void **state)
{
	struct job job = client_start(state);

	job_do(&job, text("alloc 0 %lld 0 1", 100 * GIB));
	job_do(&job, text("alloc 0 %lld 0 2", 100 * GIB - 1));
	job_do(&job, text("cb 0 %lld 1", 4 * GIB));
	check_live(job.pid, 0, TALLY_POOL_DRAM, 200 * GIB - 1, 2);
	check_live(job.pid, 0, TALLY_POOL_CB, 4 * GIB, 1);
	job_do(&job, "free 0 1");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 100 * GIB - 1, 1);
	job_end_well(&job);
}

/* ---- Several processes ----------------------------------------------------------------------- */

static void two_processes_with_the_same_buffer_id_do_not_collide(void **state)
{
	struct job a = client_start(state), b = client_start(state);
	json_t *json;

	job_do(&a, "alloc 0 1000 0 4096");
	job_do(&b, "alloc 0 30 1 4096");
	job_do(&a, "free 0 4096");
	job_do(&a, "alloc 0 500 0 4096");
	check_live(a.pid, 0, TALLY_POOL_DRAM, 500, 1);
	check_live(b.pid, 0, TALLY_POOL_L1, 30, 1);
	check_counts(&a, "0 0 0 0 0");
	check_counts(&b, "0 0 0 0 0");
	json = json_parse(TALLY("ps", "--json").out);
	assert_int_equal(json_number(json_pool(json, 0, "dram"), "live_bytes"), 500);
	assert_int_equal(json_number(json_pool(json, 0, "l1"), "live_bytes"), 30);
	job_end_well(&b);
	job_end_well(&a);
}

static void dead_process_takes_no_total_of_others_along(void **state)
{
	struct job a = client_start(state), b = client_start(state), c = client_start(state);
	json_t *json;

	job_do(&a, "alloc 0 30 0 1");
	job_do(&b, "alloc 0 1000 0 1");
	job_do(&c, "alloc 0 7 0 1");
	job_kill(&b); /* whatever the order in which they are met */
	json = json_parse(TALLY("ps", "--json").out);
	assert_int_equal(json_number(json_pool(json, 0, "dram"), "live_bytes"), 37);
	assert_int_equal(json_number(json_pool(json, 0, "dram"), "abandoned_bytes_total"), 1000);
	check_live(a.pid, 0, TALLY_POOL_DRAM, 30, 1);
	check_live(c.pid, 0, TALLY_POOL_DRAM, 7, 1);
	job_end_well(&c);
	job_end_well(&a);
	remove_regions();
}

/* ---- What is kept in records, and descriptions ----------------------------------------------- */

static bool add_kind(void *arg, const struct tally_buffer *buffer)
{
	uint32_t *kinds = arg;

	if (buffer->pool == TALLY_POOL_KERNEL)
		kinds[buffer->buffer_id] = buffer->flags + 1;
	return true;
}

static void kernels_have_their_kind_in_their_records(void **state)
{
	struct job job = client_start(state);
	struct tally_consumer_options options = { .read_buffers = true, .from_start = true };
	struct tally_consumer *consumer = NULL;
	uint32_t kinds[4] = { 0 };

	job_do(&job, "kernel 0 100 1 0");
	job_do(&job, "kernel 0 200 2 1");
	job_do(&job, "kernel 0 400 3 2");
	options.pid = (uint32_t)job.pid;
	assert_int_equal(watch_open(&options, &consumer), 0);
	watch_put(watch_look(consumer));
	assert_int_equal(tally_buffers_each(consumer, add_kind, kinds), 3);
	assert_int_equal(kinds[1], 1 + (TALLY_KERNEL_APPLICATION >> 24));
	assert_int_equal(kinds[2], 1 + (TALLY_KERNEL_FABRIC >> 24));
	assert_int_equal(kinds[3], 1 + (TALLY_KERNEL_DISPATCH >> 24));
	check_live(job.pid, 0, TALLY_POOL_KERNEL, 700, 3);
	job_end_well(&job);
}

static void described_devices_show_what_they_are(void **state)
{
	static const char *const archs[] = { NULL,	  "Grayskull", "Wormhole_B0",
					     "Blackhole", "Quasar",    NULL };
	struct job job = client_start(state);
	json_t *json, *device;
	size_t arch;

	for (arch = 0; arch < COUNT(archs); arch++)
		assert_string_equal(client_ask(&job, text("describe %zu %zu 12 %lld 1499136 8 9",
							  arch, arch, 2 * GIB)),
				    "0");
	assert_string_equal(client_ask(&job, "describe 60 3 8 18446744073709551615 0 0 0"), "0");
	assert_string_equal(client_ask(&job, "describe -1 3 8 1 1 1 1"), text("%d", -EINVAL));
	assert_string_equal(client_ask(&job, "describe 65536 3 8 1 1 1 1"), text("%d", -EINVAL));
	json = json_parse(CHECK_TALLY(0, NULL, "", "devices", "--json").out);
	for (arch = 0; arch < COUNT(archs); arch++) {
		device = json_device(json, (int64_t)arch);
		if (archs[arch])
			assert_string_equal(json_text(device, "arch"), archs[arch]);
		else
			assert_true(json_is_null(json_get(device, "arch")));
		assert_string_equal(json_text(device, "name"), "card");
		assert_string_equal(json_text(device, "stable_id"), "serial-7");
		assert_int_equal(json_number(device, "grid_x"), 8);
		assert_int_equal(json_number(device, "grid_y"), 9);
		assert_int_equal(json_number(device, "channels"), 12);
		assert_int_equal(json_number(device, "pools/dram/capacity_bytes"), 24 * GIB);
		assert_int_equal(json_number(device, "pools/l1/capacity_bytes"), 72 * 1499136);
	}
	device = json_device(json, 60); /* no number of bytes, and no number at all: unknown */
	assert_null(json_object_get(json_get(device, "pools"), "dram"));
	job_end_well(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(id_allocated_again_as_another_moves_totals_by_the_difference),
		BOTH(circular_buffer_allocated_again_counts_once),
		BOTH(kernel_loaded_again_counts_once),
		BOTH(free_of_an_unknown_circular_buffer_or_kernel_does_not_wrap_below_zero),
		BOTH(size_that_a_free_carries_is_not_believed),
		BOTH(buffer_freed_1062_times_too_often_is_freed_once),
		BOTH(ids_of_buffers_circular_buffers_and_kernels_and_of_devices_are_apart),
		BOTH(each_buffer_type_has_its_own_pool_and_system_memory_is_not_l1_small),
		BOTH(types_that_are_none_are_counted_and_booked_nowhere),
		BOTH(devices_above_7_are_devices_like_others),
		BOTH(devices_that_are_none_are_counted_and_booked_nowhere),
		BOTH(sizes_up_to_100_gib_are_exact),
		BOTH(two_processes_with_the_same_buffer_id_do_not_collide),
		BOTH(dead_process_takes_no_total_of_others_along),
		BOTH(kernels_have_their_kind_in_their_records),
		BOTH(described_devices_show_what_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
