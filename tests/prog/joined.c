/* SPDX-License-Identifier: Apache-2.0 */
/* A process that joins a region by TALLY_REGION, in many ways of living. Pushes are allocs of SIZE
 * bytes on device 5. One scenario a run.
 *
 *	joined SCENARIO [NUMBER]
 *
 * Those that are looked at say one line, "PID REGION JOIN_ERROR", and stay until stdin ends.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <tally/atomic.h>

#include "tests/emulator.h"
#include "tests/scenario.h"

static void say_who(void)
{
	struct tally_status status;

	CHECK(tally_status(&status) == 0);
	printf("%d %s %d\n", (int)getpid(), status.region, status.join_error);
	fflush(stdout);
}

static void wait_for_end(void)
{
	char bytes[64];

	while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0)
		;
}

static int stay(const char *number)
{
	take(DEVICE, number ? atol(number) : PUSHES);
	say_who();
	wait_for_end();
	return 0;
}

/* Parent and child push, and each says who it is. */
static int stay_with_child(const char *number)
{
	pid_t pid;

	take(DEVICE, atol(number));
	pid = fork();
	if (pid == 0) {
		take(DEVICE, 2 * atol(number));
		return stay("0");
	}
	take(DEVICE, 1);
	say_who();
	wait_for_end();
	CHECK(ended_well(pid));
	return 0;
}

/* Becomes another image of the same process. */
static int become(const char *number)
{
	char *self = realpath("/proc/self/exe", NULL);
	char *const arguments[] = { EMULATOR_FIRST self, "stay", "7", NULL };

	take(DEVICE, atol(number));
	execvp(arguments[0], arguments);
	return 1;
}

/* Leaves and comes again, NUMBER times, then stays. */
static int again(const char *number)
{
	long turns = atol(number);

	take(DEVICE, 1);
	while (turns-- > 0) {
		CHECK(tally_shutdown() == 0);
		CHECK(tally_init(NULL) == 0);
		take(DEVICE, 1);
	}
	return stay("0");
}

/* ---- Coming and going at random -------------------------------------------------------------- */

/* Whether the file with this name is what this process has mapped. A file that was made without a
 * name is not known by one in maps; its number is. */
static bool is_mapped(const char *region)
{
	char path[300], line[512];
	struct stat file;
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "%s/%s", getenv("TALLY_DIR"), region);
	if (stat(path, &file) != 0)
		return false;
	maps = fopen("/proc/self/maps", "r");
	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long number = 0;

		sscanf(line, "%*s %*s %*s %*s %llu", &number);
		found = found || number == file.st_ino;
	}
	fclose(maps);
	return found;
}

/* Between opening a file and locking it, as between any two, others may come and go: here they have
 * the time. */
static bool dawdle;
static unsigned int random_now;

static unsigned int next_random(void)
{
	random_now = random_now * 1103515245u + 12345u;
	return random_now >> 16;
}

int fcntl(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (command == F_OFD_SETLK && dawdle)
		usleep(next_random() % 300);
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* Joins and leaves NUMBER times, beside others that do the same; looks whether it is where it
 * believes to be. */
static int come_and_go(const char *number)
{
	struct tally_status status;

	random_now = (unsigned int)getpid() * 2654435761u;
	dawdle = true;

	for (case_no = 0; case_no < atoi(number); case_no++) {
		unsigned int wait;

		CHECK(tally_init(NULL) == 0);
		take(DEVICE, 1);
		CHECK(tally_status(&status) == 0);
		if (status.join_error)
			dprintf(2, "join error %d\n", status.join_error);
		CHECK(status.join_error == 0);
		CHECK(strstr(status.region, "-join-") != NULL);
		CHECK(is_mapped(status.region));
		for (wait = next_random() % 8; wait > 0; wait--)
			sched_yield();
		CHECK(is_mapped(status.region));
		CHECK(tally_shutdown() == 0);
	}
	return 0;
}

/* ---- A storm --------------------------------------------------------------------------------- */

/* A tree of 1 + 10 + 90 + 900 processes, all alive at once; number n pushes n + 1 events. When all
 * have, the first one says "ready"; when its stdin ends, all end. */
#define STORM_LEVELS 3

static struct storm {
	uint64_t next, ready;
	uint64_t end;
} * storm;

static int storm_node(int level)
{
	static const int children_of[STORM_LEVELS] = { 10, 9, 10 };
	uint64_t number = tally_add_relaxed(&storm->next, 1);
	int children = 0, n;

	take(DEVICE, 1);
	for (n = 0; level < STORM_LEVELS && n < children_of[level]; n++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0)
			_exit(storm_node(level + 1));
		children++;
	}
	take(DEVICE, (long)number);
	tally_add_release(&storm->ready, 1);
	if (level > 0)
		while (!tally_load_acquire(&storm->end))
			usleep(20000);
	else
		while (tally_load_acquire(&storm->ready) < 1001)
			usleep(1000);
	if (level == 0) {
		puts("ready");
		fflush(stdout);
		wait_for_end();
		tally_store_release(&storm->end, 1);
	}
	for (n = 0; n < children; n++) {
		int status;

		CHECK(wait(&status) > 0);
		CHECK(status == 0);
	}
	return 0;
}

static int storm_begin(const char *number)
{
	(void)number;
	storm = mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	CHECK(storm != MAP_FAILED);
	return storm_node(0);
}

/* ---- Process numbers that come again --------------------------------------------------------- */

#define LONG_LIVED 8

/* Where each PID namespace has a limit of its own (Linux 6.14), lowers this one's. Elsewhere it
 * would be the whole machine's. */
static bool limit_numbers(void)
{
	struct utsname kernel;
	int major = 0, minor = 0;
	bool done;
	FILE *max;

	CHECK(uname(&kernel) == 0);
	sscanf(kernel.release, "%d.%d", &major, &minor);
	if (getppid() != 0 && getpid() > 2)
		return false; /* not the first one of a namespace */
	if (major < 6 || (major == 6 && minor < 14))
		return false;
	max = fopen("/proc/sys/kernel/pid_max", "w");
	if (!max)
		return false;
	done = fprintf(max, "400") > 0;
	return fclose(max) == 0 && done;
}

/* In a PID namespace with few numbers: NUMBER short lives, one after the other, beside some long
 * ones, the n-th of which pushes n events. Says how often a number came again. */
static int reuse(const char *number)
{
	static unsigned char seen_pid[1 << 16];
	long lives = atol(number), n, repeats = 0;
	int ends[2];

	if (!limit_numbers()) {
		puts("no");
		return 0;
	}
	CHECK(pipe(ends) == 0);
	for (n = 1; n <= LONG_LIVED; n++) {
		if (fork() == 0) {
			char byte;

			take(DEVICE, n);
			close(ends[1]);
			CHECK(read(ends[0], &byte, 1) == 0);
			_exit(0);
		}
	}
	for (n = 0; n < lives; n++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			take(DEVICE, 1);
			_exit(0); /* as if killed: it says nothing */
		}
		CHECK(pid < 1 << 16);
		repeats += seen_pid[pid];
		seen_pid[pid] = 1;
		CHECK(ended_well(pid));
	}
	printf("%ld\n", repeats);
	fflush(stdout);
	wait_for_end();
	close(ends[1]);
	while (wait(NULL) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "stay", stay },
		{ "stay-with-child", stay_with_child },
		{ "become", become },
		{ "again", again },
		{ "come-and-go", come_and_go },
		{ "storm", storm_begin },
		{ "reuse", reuse },
		{ NULL, NULL },
	};

	return run_scenario(scenarios, argc, argv);
}
