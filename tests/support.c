/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests share; see support.h. */
#include "tests/support.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static void *keep(void *memory)
{
	if (!memory || kept_count == KEPT_MAX)
		fail_msg("out of memory");
	kept[kept_count++] = memory;
	return memory;
}

static void drop_kept(void)
{
	while (kept_count)
		free(kept[--kept_count]);
	while (kept_json_count)
		json_decref(kept_json[--kept_json_count]);
}

void need_terminal(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	if (fd < 0)
		SKIP("no pseudo-terminal can be had here");
	close(fd);
}

char *text(const char *format, ...)
{
	va_list arguments;
	char *result = NULL;

	va_start(arguments, format);
	if (vasprintf(&result, format, arguments) < 0)
		result = NULL;
	va_end(arguments);
	return keep(result);
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

/* Reads to the end of `fd`, which may be a pipe. */
static char *read_all(int fd, size_t *ret_size)
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
	keep(bytes);
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
	bytes = read_all(fd, ret_size);
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

/* ---- Programs -------------------------------------------------------------------------------- */

/* Whether it is one of the programs that we have built. */
static bool is_ours(const char *word)
{
	const char *dir = built("");
	struct stat status;

	return strncmp(word, dir, strlen(dir)) == 0 && !strstr(word, ".so") &&
	       stat(word, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IXUSR);
}

void execute(const char *const *argv)
{
	static const char *const emulator[] = { EMULATOR_FIRST NULL };
	const char *all[100], *const *word;
	size_t count = 0;

	for (; *argv && count < COUNT(all) - COUNT(emulator) - 1; argv++) {
		for (word = emulator; *word && is_ours(*argv); word++)
			all[count++] = *word;
		all[count++] = *argv;
	}
	all[count] = NULL;
	execvp(all[0], (char *const *)all);
}

static size_t list_size(const char *const *list)
{
	size_t size = 0;

	while (list && list[size])
		size++;
	return size;
}

const char *const *list_and(const char *const *first, const char *const *rest)
{
	size_t before = list_size(first), after = list_size(rest);
	const char **both = keep(calloc(before + after + 1, sizeof(*both)));

	if (before)
		memcpy(both, first, before * sizeof(*both));
	if (after)
		memcpy(both + before, rest, after * sizeof(*both));
	return both;
}

/* In the child: becomes the program. */
static void become(const struct command *command, int in, int out, int err)
{
	const char *const *env;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(99);
	signal(SIGPIPE, SIG_DFL);
	for (env = command->env; env && *env; env++)
		putenv((char *)*env); /* without a '=' it removes */
	if (command->cwd && chdir(command->cwd) != 0)
		_exit(99);
	execute(command->argv);
	dprintf(2, "test: cannot run %s: %s\n", command->argv[0], strerror(errno));
	_exit(99);
}

static pid_t spawn(const struct command *command, int in, int out, int err)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(command, in, out, err);
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));
	return pid;
}

int wait_status(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ready = { .fd = pidfd, .events = POLLIN };
	int status, ended;

	if (pidfd < 0)
		fail_msg("pidfd_open: %s", strerror(errno));
	do {
		ended = poll(&ready, 1, DEADLINE_S * 1000);
	} while (ended < 0 && errno == EINTR);
	if (ended != 1) {
		close(pidfd);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		fail_msg("process %d did not end in %d s", pid, DEADLINE_S);
	}
	close(pidfd);
	if (waitpid(pid, &status, 0) != pid)
		fail_msg("waitpid: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int open_scratch(const char *what, char **ret_path)
{
	char *path = text("%s/%s-XXXXXX", test_tmp, what);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	*ret_path = path;
	return fd;
}

struct outcome run(const struct command *command)
{
	char *in_path, *out_path, *err_path;
	int in = open_scratch("in", &in_path);
	int out = open_scratch("out", &out_path);
	int err = open_scratch("err", &err_path);
	struct outcome outcome;
	pid_t pid;

	if (command->input) {
		write_file(in_path, command->input, strlen(command->input));
	} else {
		close(in);
		in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	pid = spawn(command, in, out, err);
	close(in);
	close(out);
	close(err);
	outcome.status = wait_status(pid);
	outcome.out = read_file(out_path, &outcome.out_size);
	outcome.err = read_file(err_path, &outcome.err_size);
	unlink(in_path);
	unlink(out_path);
	unlink(err_path);
	return outcome;
}

uint64_t strace_total(const struct outcome *outcome, const char *path)
{
	char *rest, *line;

	if (outcome->status != 0 && strstr(outcome->err, "ptrace"))
		SKIP("strace may not trace here");
	if (outcome->status != 0)
		fail_msg("status %d: %s", outcome->status, outcome->err);
	rest = read_file(path, NULL);
	while ((line = strsep(&rest, "\n"))) {
		uint64_t calls;

		if (strstr(line, " total") && sscanf(line, "%*s %*s %*s %" SCNu64, &calls) == 1)
			return calls;
	}
	fail_msg("strace gave no total");
	return 0;
}

struct job job_start(const struct command *command)
{
	int in[2], out[2], err;
	struct job job;

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		fail_msg("pipe: %s", strerror(errno));
	err = open_scratch("err", &job.err_path);
	job.pid = spawn(command, in[0], out[1], err);
	close(in[0]);
	close(out[1]);
	close(err);
	job.to = in[1];
	job.from = out[0];
	return job;
}

char *job_line(const struct job *job)
{
	char line[4096];
	size_t used = 0;

	for (;;) {
		struct pollfd ready = { .fd = job->from, .events = POLLIN };

		if (poll(&ready, 1, DEADLINE_S * 1000) != 1)
			fail_msg("no line came from process %d", job->pid);
		if (read(job->from, line + used, 1) != 1)
			fail_msg("process %d ended without a line; it said: %s", job->pid,
				 read_file(job->err_path, NULL));
		if (line[used] == '\n' || used == sizeof(line) - 1)
			break;
		used++;
	}
	line[used] = '\0';
	return text("%s", line);
}

void job_say(const struct job *job, const char *line)
{
	if (dprintf(job->to, "%s\n", line) < 0)
		fail_msg("process %d does not listen: %s", job->pid, strerror(errno));
}

void job_signal(const struct job *job, int number)
{
	if (kill(job->pid, number) != 0)
		fail_msg("kill: %s", strerror(errno));
}

struct outcome job_end(struct job *job)
{
	struct outcome outcome;

	close(job->to);
	outcome.status = wait_status(job->pid);
	/* what it started may hold the pipe: take what is there */
	fcntl(job->from, F_SETFL, O_NONBLOCK);
	outcome.out = read_all(job->from, &outcome.out_size);
	close(job->from);
	outcome.err = read_file(job->err_path, &outcome.err_size);
	return outcome;
}

int job_do(const struct job *job, const char *order)
{
	char *answer, *end;
	long number;

	job_say(job, order);
	answer = job_line(job);
	number = strtol(answer, &end, 10);
	if (end == answer || *end)
		fail_msg("process %d answers \"%s\" to: %s", job->pid, answer, order);
	return (int)number;
}

void job_end_well(struct job *job)
{
	assert_int_equal(job_end(job).status, 0);
}

void job_kill(struct job *job)
{
	job_signal(job, SIGKILL);
	assert_int_equal(job_end(job).status, -SIGKILL);
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

/* ---- JSON ------------------------------------------------------------------------------------ */

json_t *json_parse(const char *from)
{
	json_error_t error;
	json_t *json = json_loads(from, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		fail_msg("no JSON, line %d: %s: %s", error.line, error.text, from);
	if (kept_json_count == COUNT(kept_json))
		fail_msg("too many JSON texts in one test");
	kept_json[kept_json_count++] = json;
	return json;
}

json_t *json_get(json_t *json, const char *path)
{
	char copy[200];
	char *rest = copy;
	char *step;
	json_t *at = json;

	snprintf(copy, sizeof(copy), "%s", path);
	while (at && (step = strsep(&rest, "/")))
		at = isdigit((unsigned char)step[0]) ? json_array_get(at, (size_t)atoi(step))
						     : json_object_get(at, step);
	if (!at)
		fail_msg("no \"%s\" in the JSON", path);
	return at;
}

int64_t json_number(json_t *json, const char *path)
{
	json_t *at = json_get(json, path);

	if (!json_is_integer(at))
		fail_msg("\"%s\" is no whole number", path);
	return json_integer_value(at);
}

const char *json_text(json_t *json, const char *path)
{
	json_t *at = json_get(json, path);

	if (!json_is_string(at))
		fail_msg("\"%s\" is no string", path);
	return json_string_value(at);
}

bool json_flag(json_t *json, const char *path)
{
	json_t *at = json_get(json, path);

	if (!json_is_boolean(at))
		fail_msg("\"%s\" is neither true nor false", path);
	return json_is_true(at);
}

json_t *json_device(json_t *json, int64_t device)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_get(json, "devices"), i, entry)
		if (json_number(entry, "device") == device)
			return entry;
	return NULL;
}

json_t *json_pool(json_t *json, int64_t device, const char *pool)
{
	json_t *entry = json_device(json, device);

	return entry ? json_object_get(json_get(entry, "pools"), pool) : NULL;
}

size_t json_processes(json_t *json, int64_t pid, json_t **ret_first)
{
	size_t i, count = 0;
	json_t *entry;

	json_array_foreach(json_get(json, "processes"), i, entry) {
		if (json_number(entry, "pid") != pid)
			continue;
		if (count++ == 0 && ret_first)
			*ret_first = entry;
	}
	return count;
}

struct sums json_sums(json_t *pool)
{
	struct sums sums = { 0 };

	if (!pool)
		return sums;
	sums.allocated_bytes = json_number(pool, "allocated_bytes_total");
	sums.freed_bytes = json_number(pool, "freed_bytes_total");
	sums.allocs = json_number(pool, "allocations_total");
	sums.frees = json_number(pool, "frees_total");
	sums.failures = json_number(pool, "failures_total");
	return sums;
}

struct sums sums_minus(struct sums a, struct sums b)
{
	return (struct sums){ a.allocated_bytes - b.allocated_bytes, a.freed_bytes - b.freed_bytes,
			      a.allocs - b.allocs, a.frees - b.frees, a.failures - b.failures };
}

struct sums sums_plus(struct sums a, struct sums b)
{
	return sums_minus(a, sums_minus((struct sums){ 0 }, b));
}

void check_sums(struct sums a, struct sums b, const char *a_name, const char *b_name,
		const char *file, int line)
{
	struct sums d = sums_minus(a, b);

	if (!d.allocated_bytes && !d.freed_bytes && !d.allocs && !d.frees && !d.failures)
		return;
	print_error("%s - %s: allocated_bytes %" PRId64 ", freed_bytes %" PRId64 ", allocs %" PRId64
		    ", frees %" PRId64 ", failures %" PRId64 "\n",
		    a_name, b_name, d.allocated_bytes, d.freed_bytes, d.allocs, d.frees,
		    d.failures);
	_fail(file, line);
}
