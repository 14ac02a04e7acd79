/* SPDX-License-Identifier: Apache-2.0 */
/* Regions where files may not be large, or memory is full: errors, and never a signal.
 * sanitizers: address; also on: arm64 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ring/cells.h"
#include "ring/region.h"
#include "tests/child.h"
#include "tests/rig.h"
#include "tests/support.h"

static int create_with_file_size(uint64_t limit, struct region *ret_region)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 11, .lanes_log2 = 6 };
	struct rlimit size = { .rlim_cur = limit, .rlim_max = RLIM_INFINITY };

	CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &size) == 0);
	return region_create(&config, ret_region);
}

static void make_small_files(void)
{
	static const uint64_t limits[] = { 16 << 20, 8 << 20, 4 << 20, 1 << 20, 900000, 700000 };
	struct region region;
	size_t i, smaller = 0, made = 0;

	for (i = 0; i < COUNT(limits); i++) {
		struct lane_writer *writers = calloc(64, sizeof(*writers));
		int error = create_with_file_size(limits[i], &region);

		if (error) {
			CHILD_CHECK(error == -EFBIG);
			continue;
		}
		made++;
		smaller += (((struct tally_region_header *)region.base)->flags &
			    TALLY_REGION_SMALL_FILES) != 0;
		CHILD_CHECK(region.at.size <= limits[i]);
		CHILD_CHECK(region_publish(&region) == 0);
		rig_alloc(lane_claim(&region, writers, 0, 1, 0), 0, 7, 1, 1);
		region_unlink(&region);
	}
	CHILD_CHECK(made >= 3 && smaller >= 2);
	CHILD_CHECK(create_with_file_size(4096, &region) == -EFBIG);
	CHILD_CHECK(create_with_file_size(0, &region) == -EFBIG);
}

static void small_file_size_limit_costs_lanes_then_records_and_no_signal(void **state)
{
	(void)state;
	in_child(make_small_files, "");
	assert_int_equal(regions_left(), 0);
}

/* A file system of our own with `size`, in place of test_dir. */
static void mount_small(const char *size)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", test_dir, "tmpfs", 0, text("size=%s", size)) != 0)
		_exit(CANNOT);
}

/* Takes what is left but for `spare` pages. */
static void fill_up(int spare)
{
	int fd = open(text("%s/filler", test_dir), O_RDWR | O_CREAT, 0600);
	off_t size = 0;

	while (posix_fallocate(fd, size, TALLY_PAGE) == 0)
		size += TALLY_PAGE;
	CHILD_CHECK(size >= spare * (off_t)TALLY_PAGE);
	CHILD_CHECK(ftruncate(fd, size - spare * (off_t)TALLY_PAGE) == 0);
	close(fd);
}

static void fill_file_system(void)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 11, .lanes_log2 = 6 };
	struct lane_writer *writers = calloc(64, sizeof(*writers)), *writer;
	struct ledger_sums sums = { 0 };
	struct region region;
	uint32_t n, placed = 0;
	struct cells cells;

	mount_small("64k");
	/* room for the region, none for a ring of 128 KiB: the lane keeps totals */
	CHILD_CHECK(region_create(&config, &region) == 0);
	CHILD_CHECK(region_publish(&region) == 0);
	writer = lane_claim(&region, writers, 0, 1, 0);
	CHILD_CHECK(writer != NULL);
	for (n = 0; n < 10000; n++)
		rig_alloc(writer, 0, 7, n, 3);
	CHILD_CHECK(ledger_read(writer->cells, &sums));
	CHILD_CHECK(sums.allocs == 10000 && sums.allocated_bytes == 30000);
	CHILD_CHECK(writer->header->ring_ready == 0);
	/* no room for more cells than there are pages for: refused, not killed */
	fill_up(0);
	for (n = 0; n < 1000; n++)
		placed += lane_target(writer, n, 0) != NULL;
	CHILD_CHECK(placed > 10 && placed < 1000);
	cells = cells_of(&region, 0);
	for (n = 0, placed = 0; n < 1000; n++)
		placed += cells_push(&cells, TALLY_KIND_ALLOC, n, 0, 1, 0);
	CHILD_CHECK(placed > 10 && placed < 1000);
	CHILD_CHECK(cells.process->rejected_events == 1000 - placed);
	/* no room for another lane, and none for another region */
	CHILD_CHECK(lane_claim(&region, writers, 0, 2, 0) == NULL);
	CHILD_CHECK(region_create(&config, &region) == -ENOSPC);
	CHILD_CHECK(regions_left() == 1);
}

static void full_file_system_is_an_error_and_never_a_signal(void **state)
{
	(void)state;
	in_child(fill_file_system, "no file system may be mounted here");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(small_file_size_limit_costs_lanes_then_records_and_no_signal),
		TEST(full_file_system_is_an_error_and_never_a_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
