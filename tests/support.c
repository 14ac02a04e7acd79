/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests share: begin and end, memory, files, time and regions; see support.h. */
#include "tests/support_kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char test_dir[64];
char test_tmp[64];
void (*test_let_go)(void);

/* ---- What test_end() frees ------------------------------------------------------------------- */

#define KEPT_MAX 100000

static void *kept[KEPT_MAX];
static size_t kept_count;
static json_t *kept_json[4096];
static size_t kept_json_count;

void *support_keep(void *memory)
{
	if (!memory || kept_count == KEPT_MAX)
		fail_msg("out of memory");
	kept[kept_count++] = memory;
	return memory;
}

json_t *support_keep_json(json_t *json)
{
	if (!json || kept_json_count == COUNT(kept_json))
		fail_msg("too many JSON texts in one test");
	kept_json[kept_json_count++] = json;
	return json;
}

static void drop_kept(void)
{
	while (kept_count)
		free(kept[--kept_count]);
	while (kept_json_count)
		json_decref(kept_json[--kept_json_count]);
}

char *text(const char *format, ...)
{
	va_list arguments;
	char *result = NULL;

	va_start(arguments, format);
	if (vasprintf(&result, format, arguments) < 0)
		result = NULL;
	va_end(arguments);
	return support_keep(result);
}

/* ---- Begin and end --------------------------------------------------------------------------- */

/* Fails unless `made` is a directory made from a template. */
static int make_dir(char *made, size_t size, const char *parent)
{
	snprintf(made, size, "%s/test-of-tally-XXXXXX", parent);
	if (mkdtemp(made))
		return 0;
	print_error("cannot make a directory in %s: %s\n", parent, strerror(errno));
	return -1;
}

/* What a test has said is seen even if it is killed. */
__attribute__((constructor)) static void flush_lines(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}

int test_begin(void **state)
{
	(void)state;
	/* Who is orphaned here comes to us, so that nothing is left running unseen. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	if (make_dir(test_dir, sizeof(test_dir), access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm") ||
	    make_dir(test_tmp, sizeof(test_tmp), "/tmp"))
		return -1;
	unsetenv("LD_PRELOAD");
	unsetenv("TALLY");
	unsetenv("TALLY_RING");
	unsetenv("TALLY_LANES");
	unsetenv("TALLY_KEEP");
	unsetenv("TALLY_RUN");
	unsetenv("TT_ALLOC_TRACKING_ENABLED");
	setenv("TALLY_DIR", test_dir, 1);
	return 0;
}

static pid_t parent_of(const char *pid)
{
	char path[300], line[512];
	int fd, parent = 0;
	ssize_t got;
	char *after;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[got > 0 ? got : 0] = '\0';
	after = strrchr(line, ')'); /* the name may hold anything */
	if (after)
		sscanf(after, ") %*c %d", &parent);
	return parent;
}

/* Kills and reaps every child; how many were there that nobody had waited for. */
static int end_children(void)
{
	int found = 0;
	bool again = !UNDER_TSAN; /* which has a child of its own, to read symbols with */

	while (again) {
		DIR *proc = opendir("/proc");
		struct dirent *entry;

		again = false;
		while (proc && (entry = readdir(proc))) {
			pid_t pid = (pid_t)atoi(entry->d_name);

			if (pid <= 0 || parent_of(entry->d_name) != getpid())
				continue;
			if (waitpid(pid, NULL, WNOHANG) == 0) {
				found++;
				kill(pid, SIGKILL);
				waitpid(pid, NULL, 0);
			}
			again = true; /* its children are ours now */
		}
		if (proc)
			closedir(proc);
	}
	return found;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
	(void)status;
	(void)type;
	(void)at;
	remove(path);
	return 0;
}

int test_end(void **state)
{
	int running;
	size_t left;

	(void)state;
	if (test_let_go)
		test_let_go();
	test_let_go = NULL;
	running = end_children();
	left = regions_left();
	nftw(test_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nftw(test_tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	drop_kept();
	if (running)
		print_error("left running: %d process(es)\n", running);
	if (left)
		print_error("left in shared memory: %zu region(s)\n", left);
	return running || left ? -1 : 0;
}

/* ---- Files and time -------------------------------------------------------------------------- */

char *built(const char *name)
{
	const char *build = getenv("TALLY_BUILD");

	return text("%s/%s", build ? build : BUILD_DIR, name);
}

char *prog(const char *name)
{
	return text("%s/%s", built("tests/prog"), name);
}

char *support_read_all(int fd, size_t *ret_size)
{
	size_t size = 0, room = 65536;
	char *bytes = malloc(room + 1);

	while (bytes) {
		ssize_t got = read(fd, bytes + size, room - size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		size += (size_t)got;
		if (size == room) {
			char *more = realloc(bytes, (room *= 2) + 1);

			if (!more)
				break;
			bytes = more;
		}
	}
	support_keep(bytes);
	bytes[size] = '\0';
	if (ret_size)
		*ret_size = size;
	return bytes;
}

char *read_file(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *bytes;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	bytes = support_read_all(fd, ret_size);
	close(fd);
	return bytes;
}

void write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		fail_msg("%s: %s", path, strerror(errno));
	close(fd);
}

size_t descriptors_of(pid_t pid)
{
	DIR *dir = opendir(text("/proc/%d/fd", (int)pid));
	struct dirent *entry;
	size_t count = 0;

	if (!dir)
		fail_msg("the descriptors of %d are not seen: %s", (int)pid, strerror(errno));
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir);
	closedir(dir);
	return count;
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void pause_a_moment(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* ---- Regions --------------------------------------------------------------------------------- */

static bool is_region(const struct dirent *entry)
{
	return strncmp(entry->d_name + (entry->d_name[0] == '.'), "tally-", 6) == 0;
}

size_t regions_left(void)
{
	DIR *dir = opendir(test_dir);
	struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir)))
		count += is_region(entry);
	if (dir)
		closedir(dir);
	return count;
}

void remove_regions(void)
{
	DIR *dir = opendir(test_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_region(entry))
			unlinkat(dirfd(dir), entry->d_name,
				 entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
	if (dir)
		closedir(dir);
}

char *joined_file(const char *name)
{
	return text("tally-%u-join-%s", (unsigned int)geteuid(), name);
}

char *only_region(void)
{
	DIR *dir = opendir(test_dir);
	struct dirent *entry;
	char *name = NULL;

	assert_int_equal(regions_left(), 1);
	while (dir && (entry = readdir(dir)))
		if (is_region(entry))
			name = text("%s", entry->d_name);
	if (dir)
		closedir(dir);
	assert_non_null(name);
	return name;
}
