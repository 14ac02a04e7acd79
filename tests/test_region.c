/* SPDX-License-Identifier: Apache-2.0 */
/* Regions as files: made whole or not at all, within limits, alive as long as their process.
 * sanitizers: address; also on: arm64 */
#include "ring/region.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/cells.h"
#include "tests/child.h"
#include "tests/rig.h"
#include "tests/seccomp.h"
#include "tests/support.h"

/* A child that has made a region, has done `then`, and does nothing but live. */
static void make_region(void *arg)
{
	void (**then)(void) = arg;
	struct rig rig;

	CHILD_CHECK(rig_try(&rig, 6, 0));
	if (*then)
		(*then)();
}

static void do_nothing(void *arg)
{
	(void)arg;
	pause();
}

static pid_t child_with_region(void (*then)(void))
{
	return start_child(make_region, do_nothing, &then);
}

static struct region_view open_view(const char *name)
{
	struct region_view view;
	char why[REGION_WHY_MAX];
	int dir = open_dir();
	int error = region_open(dir, name, &view, why);

	close(dir);
	if (error)
		fail_msg("%s: %s", name, why);
	return view;
}

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

	view = open_view(region.name);
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

static uint64_t bytes_used(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void region_takes_little_memory_before_it_is_used(void **state)
{
	struct region_config totals = { .dir = test_dir, .ring_log2 = 0, .lanes_log2 = 6 };
	struct region_config records = { .dir = test_dir,
					 .ring_log2 = GEOMETRY_RING_LOG2,
					 .lanes_log2 = GEOMETRY_LANES_LOG2 };
	struct lane_writer *writers = calloc(64, sizeof(*writers));
	struct region region;

	(void)state;
	assert_non_null(writers);
	assert_int_equal(region_create(&totals, &region), 0);
	assert_int_equal(region_publish(&region), 0);
	rig_alloc(lane_claim(&region, writers, 0, 1, 0), 0, 7, 1, 1);
	assert_in_range(bytes_used(region.path), 1, 16 * 1024);
	region_unlink(&region);
	munmap(region.base, region.at.size);

	memset(writers, 0, 64 * sizeof(*writers));
	assert_int_equal(region_create(&records, &region), 0);
	assert_int_equal(region_publish(&region), 0);
	rig_alloc(lane_claim(&region, writers, 0, 1, 0), 0, 7, 1, 1);
	assert_in_range(bytes_used(region.path), 1, 256 * 1024);
	region_unlink(&region);
	munmap(region.base, region.at.size);
	free(writers);
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

/* ---- Limits ---------------------------------------------------------------------------------- */

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

/* ---- Life ------------------------------------------------------------------------------------ */

static void region_is_alive_until_its_process_dies(void **state)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGALRM };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(signals); i++) {
		pid_t child = child_with_region(NULL);
		struct region_view view = open_view(only_region());

		assert_int_equal(region_alive(&view, 0), 1);
		assert_int_equal(region_alive(&view, 1), 0); /* another entry */
		/* stopped is not dead */
		kill(child, SIGSTOP);
		assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
		assert_int_equal(region_alive(&view, 0), 1);
		kill(child, SIGCONT);
		kill(child, signals[i]);
		assert_int_equal(wait_status(child), -signals[i]);
		assert_int_equal(region_alive(&view, 0), 0);
		region_close(&view);
		remove_regions();
	}
}

static void close_everything(void)
{
	DIR *fds = opendir("/proc/self/fd");
	struct dirent *entry;
	char path[64], target[256];

	/* no descriptor leads to the region */
	while (fds && (entry = readdir(fds))) {
		ssize_t size;

		snprintf(path, sizeof(path), "/proc/self/fd/%.10s", entry->d_name);
		size = readlink(path, target, sizeof(target) - 1);
		target[size > 0 ? size : 0] = '\0';
		CHILD_CHECK(strstr(target, "tally-") == NULL);
	}
	if (fds)
		closedir(fds);
	close(0);
	/* all but the pipe that says ready, which is the highest here or below */
	syscall(SYS_close_range, 256, ~0u, 0);
}

static void closing_every_descriptor_does_not_end_it(void **state)
{
	pid_t child = child_with_region(close_everything);
	struct region_view view = open_view(only_region());

	(void)state;
	assert_int_equal(region_alive(&view, 0), 1);
	kill(child, SIGKILL);
	assert_int_equal(wait_status(child), -SIGKILL);
	assert_int_equal(region_alive(&view, 0), 0);
	region_close(&view);
	remove_regions();
}

static pid_t *grandchild; /* shared */

static void fork_on(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	*grandchild = pid;
}

static void fork_on_without_handlers(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		for (;;)
			pause();
	*grandchild = pid;
}

static void fork_child_does_not_keep_its_parents_region_alive(void **state)
{
	void (*const ways[])(void) = { fork_on, fork_on_without_handlers };
	size_t i;

	(void)state;
	SKIP_EMULATED("MADV_DONTFORK is not heeded");
	grandchild = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(grandchild, MAP_FAILED);
	for (i = 0; i < COUNT(ways); i++) {
		pid_t child = child_with_region(ways[i]);
		struct region_view view = open_view(only_region());

		assert_int_equal(region_alive(&view, 0), 1);
		kill(child, SIGKILL);
		assert_int_equal(wait_status(child), -SIGKILL);
		assert_int_equal(kill(*grandchild, 0), 0); /* it lives on, and is ours now */
		assert_int_equal(region_alive(&view, 0), 0);
		kill(*grandchild, SIGKILL);
		assert_int_equal(wait_status(*grandchild), -SIGKILL);
		region_close(&view);
		remove_regions();
	}
	munmap(grandchild, 4096);
}

static void exec_ends_it(void **state)
{
	int ends[2], status;
	struct region_view view;
	pid_t pid;
	char byte;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0); /* closed by the exec */
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct rig rig;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHILD_CHECK(rig_try(&rig, 6, 0));
		execlp("sleep", "sleep", "600", NULL);
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	view = open_view(only_region());
	assert_int_equal(view.header.creator_pid, pid);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* the process lives */
	/* its former image does not; the kernel lets go of that as the new one begins to run */
	WAIT_FOR(region_alive(&view, 0) == 0);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGKILL);
	wait_status(pid);
	region_close(&view);
	remove_regions();
}

static void second_owner_of_an_entry_is_turned_away(void **state)
{
	pid_t child = child_with_region(NULL);
	int fd = open(text("%s/%s", test_dir, only_region()), O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(alive_lock(fd, 0), -EAGAIN);
	assert_int_equal(alive_lock(fd, 1), 0);
	kill(child, SIGKILL);
	wait_status(child);
	assert_int_equal(alive_lock(fd, 0), 0);
	close(fd);
	remove_regions();
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
		TEST(small_file_size_limit_costs_lanes_then_records_and_no_signal),
		TEST(full_file_system_is_an_error_and_never_a_signal),
		TEST(region_is_alive_until_its_process_dies),
		TEST(closing_every_descriptor_does_not_end_it),
		TEST(fork_child_does_not_keep_its_parents_region_alive),
		TEST(exec_ends_it),
		TEST(second_owner_of_an_entry_is_turned_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
