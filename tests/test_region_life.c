/* SPDX-License-Identifier: Apache-2.0 */
/* Regions are alive as long as their process.
 * sanitizers: address; also on: arm64 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/region.h"
#include "tests/child.h"
#include "tests/rig.h"
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

static void region_is_alive_until_its_process_dies(void **state)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGALRM };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(signals); i++) {
		pid_t child = child_with_region(NULL);
		struct region_view view = rig_view(only_region());

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
	struct region_view view = rig_view(only_region());

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
		struct region_view view = rig_view(only_region());

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
	view = rig_view(only_region());
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
		TEST(region_is_alive_until_its_process_dies),
		TEST(closing_every_descriptor_does_not_end_it),
		TEST(fork_child_does_not_keep_its_parents_region_alive),
		TEST(exec_ends_it),
		TEST(second_owner_of_an_entry_is_turned_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
