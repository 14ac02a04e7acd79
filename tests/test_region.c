/* SPDX-License-Identifier: Apache-2.0 */
/* Regions as files: their names, and that they are made whole or not at all.
 * sanitizers: address; also on: arm64 */
#include "ring/region.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/child.h"
#include "tests/rig.h"
#include "tests/seccomp.h"
#include "tests/support.h"

/* ---- Names ----------------------------------------------------------------------------------- */

static void name_is_parsed_as_it_was_made(void **state)
{
	static const uint32_t numbers[] = { 0, 1, 1000, UINT32_MAX };
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(numbers); i++) {
		for (j = 0; j < COUNT(numbers); j++) {
			char name[REGION_NAME_MAX];
			uint32_t uid = 5, pid = 5;

			region_name(name, numbers[i], numbers[j], UINT64_MAX);
			assert_true(region_name_parse(name, &uid, &pid));
			assert_int_equal(uid, numbers[i]);
			assert_int_equal(pid, numbers[j]);
			assert_true(region_name_loose(name));
		}
	}
}

static void what_is_not_quite_a_name_is_none(void **state)
{
	static const char *const names[] = {
		"",
		"tally",
		"tally-",
		"tally-1",
		"tally-1-2",
		"tally-1-2-",
		"tally-1-2-3",
		"tally-1-2-000000000000000g",
		"tally-1-2-00000000000000001",
		"tally-1-2-0000000000000001x",
		"tally-1-2-0000000000000001/",
		"xtally-1-2-0000000000000001",
		"tally-01-2-0000000000000001",
		"tally-+1-2-0000000000000001",
		"tally--1-2-0000000000000001",
		"tally-1- 2-0000000000000001",
		"tally-1-2-0X00000000000001",
		"tally-1-2-000000000000000A",
		"tally-4294967296-2-0000000000000001",
		"TALLY-1-2-0000000000000001",
		".tally-1-2-0000000000000001",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(names); i++) {
		uint32_t uid = 5, pid = 5;

		if (region_name_parse(names[i], &uid, &pid))
			fail_msg("\"%s\" was taken for a name", names[i]);
		assert_int_equal(uid, 5);
		assert_int_equal(pid, 5);
	}
	assert_true(region_name_loose("tally-whatever"));
	assert_false(region_name_loose("tall"));
	assert_false(region_name_loose("other-1-2"));
}

/* ---- Making ---------------------------------------------------------------------------------- */

static void region_is_not_seen_before_it_is_published_and_whole_then(void **state)
{
	struct region_config config = { .dir = test_dir,
					.ring_log2 = 7,
					.lanes_log2 = 3,
					.flags = TALLY_REGION_BAD_LANES,
					.run_id = 11,
					.parent = 22,
					.inherited_bytes = -33,
					.inherited_allocs = 44 };
	const struct tally_process_header *process;
	const struct tally_region_header *header;
	struct region_view view;
	struct region region;
	struct stat status;
	mode_t mask = umask(0777);

	(void)state;
	assert_int_equal(region_create(&config, &region), 0);
	umask(mask);
	assert_int_equal(regions_left(), 0);
	assert_int_equal(region_publish(&region), 0);
	assert_int_equal(region.fd, -1); /* no descriptor stays in the host */
	assert_string_equal(only_region(), region.name);
	assert_int_equal(stat(region.path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(status.st_size, region.at.size);

	view = rig_view(region.name);
	header = &view.header;
	process = region_process(view.base, &view.at, 0);
	assert_int_equal(header->creator_pid, getpid());
	assert_int_equal(header->creator_uid, geteuid());
	assert_int_equal(header->region_id, region.id);
	assert_true(region.id >= 16);
	assert_string_equal(header->creator_comm, "test_region");
	assert_int_equal(header->ring_log2, 7);
	assert_int_equal(header->lanes_log2, 3);
	assert_int_equal(header->flags, TALLY_REGION_BAD_LANES);
	assert_int_equal(header->run_id, 11);
	assert_int_equal(process->parent, 22);
	assert_int_equal((int64_t)process->inherited_bytes, -33);
	assert_int_equal(process->inherited_allocs, 44);
	assert_true(header->start_monotonic_ns > 0 && header->start_monotonic_ns <= now_ns());
	assert_memory_equal(&view.at, &region.at, sizeof(view.at));
	assert_memory_equal(view.base, region.base, TALLY_PAGE);
	region_close(&view);
	region_unlink(&region);
	assert_int_equal(regions_left(), 0);
	munmap(region.base, region.at.size);
}

/* What a region takes of shared memory with one event in it. */
static uint64_t bytes_with_one_event(const struct region_config *config)
{
	struct lane_writer *writers = calloc(64, sizeof(*writers));
	struct region region;
	struct stat status;

	assert_non_null(writers);
	assert_int_equal(region_create(config, &region), 0);
	assert_int_equal(region_publish(&region), 0);
	rig_alloc(lane_claim(&region, writers, 0, 1, 0), 0, 7, 1, 1);
	assert_int_equal(stat(region.path, &status), 0);
	region_unlink(&region);
	munmap(region.base, region.at.size);
	free(writers);
	return (uint64_t)status.st_blocks * 512;
}

static void region_takes_little_memory_before_it_is_used(void **state)
{
	struct region_config totals = { .dir = test_dir, .ring_log2 = 0, .lanes_log2 = 6 };
	struct region_config records = { .dir = test_dir,
					 .ring_log2 = GEOMETRY_RING_LOG2,
					 .lanes_log2 = GEOMETRY_LANES_LOG2 };

	(void)state;
	assert_in_range(bytes_with_one_event(&totals), 1, 16 * 1024);
	assert_in_range(bytes_with_one_event(&records), 1, 256 * 1024);
}

static void directory_that_is_not_there_is_an_error_and_nothing_else(void **state)
{
	struct region_config config = { .dir = "/nonexistent/dir", .ring_log2 = 6 };
	struct region region = { .id = 99 };
	char path[REGION_PATH_MAX + 10];

	(void)state;
	assert_int_equal(region_create(&config, &region), -ENOENT);
	assert_int_equal(region.id, 99);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	config.dir = path;
	assert_int_equal(region_create(&config, &region), -ENAMETOOLONG);
	config.dir = text("%s/file", test_tmp);
	write_file(config.dir, "", 0);
	assert_int_equal(region_create(&config, &region), -ENOTDIR);
}

static void make_with_hidden_name(void)
{
	struct region_config config = { .dir = test_dir, .ring_log2 = 6 };
	struct region region, dropped;

	if (!seccomp_forbid_unnamed_files())
		_exit(CANNOT);
	CHILD_CHECK(region_create(&config, &region) == 0);
	CHILD_CHECK(region.hidden_name);
	CHILD_CHECK(regions_left() == 1);
	CHILD_CHECK(access(text("%s/.%s", test_dir, region.name), F_OK) == 0);
	CHILD_CHECK(access(region.path, F_OK) != 0);
	CHILD_CHECK(region_publish(&region) == 0);
	CHILD_CHECK(regions_left() == 1);
	CHILD_CHECK(access(region.path, F_OK) == 0);
	CHILD_CHECK(region.fd == -1);

	CHILD_CHECK(region_create(&config, &dropped) == 0);
	CHILD_CHECK(regions_left() == 2);
	region_discard(&dropped);
	CHILD_CHECK(regions_left() == 1);
	region_unlink(&region);
}

static void without_unnamed_files_a_hidden_name_does(void **state)
{
	(void)state;
	SKIP_EMULATED("no seccomp filter may be set");
	in_child(make_with_hidden_name, "no seccomp filter may be set here");
	assert_int_equal(regions_left(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(name_is_parsed_as_it_was_made),
		TEST(what_is_not_quite_a_name_is_none),
		TEST(region_is_not_seen_before_it_is_published_and_whole_then),
		TEST(region_takes_little_memory_before_it_is_used),
		TEST(directory_that_is_not_there_is_an_error_and_nothing_else),
		TEST(without_unnamed_files_a_hidden_name_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
