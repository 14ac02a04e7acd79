/* SPDX-License-Identifier: Apache-2.0 */
/* A process that comes and goes while something else happens to it. Pushes are allocs of SIZE bytes
 * on device 5; the region is that of the environment. One scenario a run.
 *
 *	turns fork-beside NUMBER      a thread comes and goes beside one that forks NUMBER times
 *	turns all-locked              in a process that has all its memory locked
 *	turns leave-together NUMBER   NUMBER processes leave at once, many times
 *	turns use-all [lied-to]       in a region that may claim to have what it has not
 */
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <tally/atomic.h>

#include "tests/scenario.h"

/* Arms or disarms, also while the other thread's fork takes its time. */
#define DO(call)                                                                                   \
	do {                                                                                       \
		int do_error;                                                                      \
                                                                                                   \
		while ((do_error = (call)) == -EBUSY)                                              \
			sched_yield();                                                             \
		if (do_error)                                                                      \
			dprintf(2, "case %d: " #call ": %d\n", case_no, do_error);                 \
		CHECK(do_error == 0);                                                              \
	} while (0)

static void wait_for_end(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* ---- Beside a fork --------------------------------------------------------------------------- */

static long forks;
static uint64_t forks_done;

static bool leads_to_region(const char *path)
{
	const char *dir = getenv("TALLY_DIR");
	const char *found = strstr(path, dir);

	return found && found[strlen(dir)] == '/';
}

static bool has_region_open(void)
{
	char link[40], path[512];
	bool found = false;
	int fd;

	for (fd = 3; fd < 64; fd++) {
		ssize_t length;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, path, sizeof(path) - 1);
		path[length > 0 ? length : 0] = '\0';
		found = found || leads_to_region(path);
	}
	return found;
}

static bool has_region_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[600];
	bool found = false;

	while (maps && fgets(line, sizeof(line), maps))
		found = found || leads_to_region(line);
	if (maps)
		fclose(maps);
	return found;
}

/* The children stay until stdin ends, so that what they should not have is seen in the region,
 * too. */
static void fork_one(long number)
{
	char answer;
	int ends[2];
	pid_t pid;

	CHECK(pipe(ends) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(STDOUT_FILENO); /* who listens to this process is not kept waiting */
		answer = (char)(has_region_open() | has_region_mapped() << 1);
		CHECK(write(ends[1], &answer, 1) == 1);
		wait_for_end();
		_exit(0);
	}
	CHECK(read(ends[0], &answer, 1) == 1);
	close(ends[0]);
	close(ends[1]);
	if (answer)
		dprintf(2, "fork %ld: the child has the region's file %s\n", number,
			answer & 1 ? "open" : "mapped");
	CHECK(answer == 0);
}

static void *fork_again_and_again(void *arg)
{
	long n;

	for (n = 0; n < forks; n++)
		fork_one(n);
	tally_store_release(&forks_done, 1);
	return arg;
}

/* Now and then out of the way for a moment, or a fork has no chance. */
static void make_way(void)
{
	if (case_no % 8 == 0)
		usleep(50);
}

static int fork_beside(const char *number)
{
	pthread_t forker;

	forks = atol(number);
	CHECK(pthread_create(&forker, NULL, fork_again_and_again, NULL) == 0);
	for (; !tally_load_acquire(&forks_done); case_no++) {
		DO(tally_init(NULL));
		take(DEVICE, 1);
		DO(tally_shutdown());
		make_way();
	}
	CHECK(pthread_join(forker, NULL) == 0);
	DO(tally_init(NULL));
	take(DEVICE, 1);
	printf("done %d\n", case_no);
	fflush(stdout);
	wait_for_end();
	return 0;
}

/* ---- Locked memory --------------------------------------------------------------------------- */

#define MUCH ((size_t)256 << 20)

static bool lock_all(void)
{
	void *much;

	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		return false;
	/* by addresses, not by pages: more than a region has */
	much = mmap(NULL, MUCH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (much == MAP_FAILED)
		return false;
	munmap(much, MUCH);
	return true;
}

/* Says "no" where not so much may be locked. */
static int all_locked(const char *unused)
{
	size_t size = (size_t)64 << 20, n;
	unsigned char *mine;

	(void)unused;
	if (!lock_all()) {
		puts("no");
		return 0;
	}
	for (case_no = 0; case_no < 4; case_no++) {
		struct tally_status status;

		DO(tally_init(NULL));
		take(DEVICE, PUSHES);
		CHECK(tally_status(&status) == 0);
		CHECK(status.region[0] != '\0' && status.join_error == 0);
		look();
		CHECK(seen.allocs == PUSHES && seen.rejected == 0);
		DO(tally_shutdown());
	}
	/* What is the host's by now, the next region keeps away from. */
	munlockall();
	mine = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mine != MAP_FAILED);
	memset(mine, 'x', size);
	DO(tally_init(NULL));
	take(DEVICE, PUSHES);
	for (n = 0; n < size; n++)
		CHECK(mine[n] == 'x');
	DO(tally_shutdown());
	puts("yes");
	return 0;
}

/* ---- Leaving together ------------------------------------------------------------------------ */

#define ROUNDS 100

static struct {
	uint64_t ready, go;
} * together;

static void leave_when_told(void)
{
	struct tally_status status;

	take(DEVICE, 1);
	CHECK(tally_status(&status) == 0);
	CHECK(status.join_error == 0);
	tally_add_release(&together->ready, 1);
	while (!tally_load_acquire(&together->go))
		sched_yield();
	exit(0);
}

/* NUMBER processes a round; fails at the first name that is left behind. */
static int leave_together(const char *number)
{
	int processes = atoi(number), n;
	char path[512];

	snprintf(path, sizeof(path), "%s/tally-%u-join-%s", getenv("TALLY_DIR"),
		 (unsigned int)geteuid(), getenv("TALLY_REGION") + 1);
	together = mmap(NULL, sizeof(*together), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	CHECK(together != MAP_FAILED);
	for (case_no = 0; case_no < ROUNDS; case_no++) {
		tally_store_relaxed(&together->ready, 0);
		tally_store_relaxed(&together->go, 0);
		for (n = 0; n < processes; n++)
			if (fork() == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				leave_when_told();
			}
		while (tally_load_acquire(&together->ready) < (uint64_t)processes)
			usleep(100);
		CHECK(access(path, F_OK) == 0);
		tally_store_release(&together->go, 1);
		for (n = 0; n < processes; n++)
			CHECK(ended_well(-1));
		CHECK(access(path, F_OK) != 0);
	}
	return 0;
}

/* ---- In a region that may lie ---------------------------------------------------------------- */

/* Uses all that a region has, in whichever it is; it must be the one asked for if `lied_to` is
 * NULL. */
static int use_all(const char *lied_to)
{
	const struct tally_device_info info = { .name = "device" };
	struct tally_status status;
	int error = tally_init(NULL);
	bool joined;
	uint32_t n;

	CHECK(tally_status(&status) == 0);
	CHECK(error == status.region_error);
	CHECK((error != 0) == (status.region[0] == '\0'));
	joined = strstr(status.region, "-join-") != NULL;
	CHECK(lied_to || joined);
	CHECK(error || joined == (status.join_error == 0));
	tally_tag_push("tag");
	tally_pool_describe(200, "pool");
	tally_device_describe(1, &info);
	for (n = 0; n < 300; n++)
		take(n, 3);
	tally_tag_pop();
	in_thread(take_in_thread);
	CHECK(tally_shutdown() == 0);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "fork-beside", fork_beside },
		{ "all-locked", all_locked },
		{ "leave-together", leave_together },
		{ "use-all", use_all },
		{ NULL, NULL },
	};

	return run_scenario(scenarios, argc, argv);
}
