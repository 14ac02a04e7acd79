/* SPDX-License-Identifier: Apache-2.0 */
/* Pushes where something is short: descriptors, address space, file size, shared memory.
 *
 *	tight limited none|fsize|small-files|nofile|as   reads a line in a child, then one itself
 *	tight footprint nothing|push|locked              says its region, or "no" if not permitted
 *	tight no-ring                                    on a small file system of its own
 *	tight full PUSHES                                likewise, when nothing at all is left
 *
 * Says what is wrong on stderr, with status 1.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/scenario.h"

#define PUSHES_EACH 100
#define DESCRIPTORS 64

/* ---- Limits ---------------------------------------------------------------------------------- */

static struct stat before[DESCRIPTORS];
static bool was_open[DESCRIPTORS];

static void remember_descriptors(void)
{
	int fd;

	for (fd = 0; fd < DESCRIPTORS; fd++)
		was_open[fd] = fstat(fd, &before[fd]) == 0;
}

static void check_descriptors(void)
{
	struct stat now;
	int fd;

	for (fd = 0; fd < DESCRIPTORS; fd++) {
		bool open_now = fstat(fd, &now) == 0;

		if (open_now != was_open[fd])
			dprintf(2, "descriptor %d\n", fd);
		CHECK(open_now == was_open[fd]);
		CHECK(!open_now ||
		      (now.st_dev == before[fd].st_dev && now.st_ino == before[fd].st_ino));
	}
}

static void limit_to(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit limit = { value, value };

	CHECK(setrlimit(what, &limit) == 0);
}

/* What is mapped now, and 2 MiB. */
static rlim_t address_space(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char line[100] = "";

	CHECK(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
	close(fd);
	return (rlim_t)strtoul(line, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE) + (2u << 20);
}

static void read_line(char expected)
{
	char line[2];

	CHECK(read(STDIN_FILENO, line, 2) == 2);
	CHECK(line[0] == expected && line[1] == '\n');
}

static void push_and_tell(const char *who)
{
	struct tally_status status;

	take(DEVICE, PUSHES_EACH);
	check_descriptors();
	CHECK(tally_status(&status) == 0);
	check_descriptors();
	dprintf(STDOUT_FILENO, "%s %d %d %llu %s\n", who, status.armed, status.region_error,
		(unsigned long long)status.unplaced_events, *status.region ? "placed" : "-");
}

static int limited(const char *how)
{
	int status;
	pid_t pid;

	if (strcmp(how, "fsize") == 0)
		limit_to(RLIMIT_FSIZE, 4096);
	if (strcmp(how, "small-files") == 0)
		limit_to(RLIMIT_FSIZE, 600000);
	if (strcmp(how, "nofile") == 0)
		limit_to(RLIMIT_NOFILE, 3);
	if (strcmp(how, "as") == 0)
		limit_to(RLIMIT_AS, address_space());
	remember_descriptors();
	push_and_tell("parent");
	pid = fork();
	if (pid == 0) {
		check_descriptors();
		push_and_tell("child");
		read_line('1');
		tally_shutdown();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	check_descriptors();
	read_line('2');
	return 0;
}

/* ---- Footprint ------------------------------------------------------------------------------- */

/* Locks all there is and will be, if a mapping of a region's size may be locked. */
static bool lock_all(void)
{
	void *try;

	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		return false;
	try = mmap(NULL, 32 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (try == MAP_FAILED)
		return false;
	munmap(try, 32 << 20);
	return true;
}

static int footprint(const char *how)
{
	struct tally_status status;

	if (strcmp(how, "locked") == 0 && !lock_all()) {
		puts("no");
		return 0;
	}
	if (strcmp(how, "nothing") == 0)
		CHECK(tally_enabled() == 1);
	else
		take(DEVICE, 1);
	CHECK(tally_status(&status) == 0);
	CHECK(status.region_error == 0);
	puts(status.region);
	fflush(stdout);
	getchar();
	return 0;
}

/* ---- A small file system --------------------------------------------------------------------- */

static unsigned long free_kib(void)
{
	struct statvfs status;

	CHECK(statvfs(getenv("TALLY_DIR"), &status) == 0);
	return status.f_bavail * (status.f_frsize / 1024);
}

static void fill(void)
{
	char path[300];
	off_t size = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/filler", getenv("TALLY_DIR"));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	while (posix_fallocate(fd, size, 4096) == 0)
		size += 4096;
	close(fd);
	CHECK(free_kib() == 0);
}

static void *take_beside(void *arg)
{
	take(DEVICE, 100000);
	return arg;
}

/* There is room for the region, and for no ring. */
static int no_ring(const char *argument)
{
	unsigned long room = free_kib();
	pthread_t thread;

	(void)argument;
	take(DEVICE, 1);
	CHECK(free_kib() + 24 >= room); /* what there was of a ring is given back */
	take(DEVICE, 99999);
	CHECK(pthread_create(&thread, NULL, take_beside, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(free_kib() + 40 >= room);
	look();
	CHECK(seen.allocs == 200000);
	CHECK(seen.events == 200000);
	CHECK(seen.rejected == 0);
	return 0;
}

static long wanted;

/* On 2000 devices in turn, of which few have a place. */
static void *take_everywhere(void *arg)
{
	long i;

	for (i = 0; i < wanted; i++)
		take((uint32_t)(i % 2000), 1);
	return arg;
}

/* The thread finds no lane, and few find a cell: each event is counted or rejected. */
static int full(const char *argument)
{
	struct tally_status status;
	pthread_t thread;

	wanted = atol(argument);
	take(DEVICE, 1);
	fill();
	take_everywhere(NULL);
	CHECK(pthread_create(&thread, NULL, take_everywhere, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(tally_status(&status) == 0);
	look();
	CHECK(seen.events + seen.rejected == 1 + 2 * (uint64_t)wanted);
	CHECK(seen.allocs >= 1 + (uint64_t)wanted / 2000);
	CHECK(seen.rejected == status.rejected_events);
	CHECK(seen.rejected > (uint64_t)wanted);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "limited") == 0 && argc == 3)
		return limited(argv[2]);
	if (strcmp(argv[1], "footprint") == 0 && argc == 3)
		return footprint(argv[2]);
	if (strcmp(argv[1], "no-ring") == 0)
		return no_ring(NULL);
	if (strcmp(argv[1], "full") == 0 && argc == 3)
		return full(argv[2]);
	return 2;
}
