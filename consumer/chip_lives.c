/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the process that a slot of a runtime's totals names is still there.
 *
 * kill(pid, 0) knows zombies, too, which hold nothing on a device any more; and it knows only that
 * somebody has that number. A process that was started after the slot was last written cannot be
 * who wrote it. Both times are wall clock, though, and one of them is known only as of now: where
 * the clock was set in between, forward, a process looks younger than it is. So
 *
 * - it has to be younger by more than TOLERANCE_NS: more than a clock is slewed, a leap second is,
 *   or a start is rounded (10 ms), by far. A number that is used again sooner is still believed;
 * - what is said to have been written before the machine was started says nothing: it is of another
 *   clock, or of the same before it was set by more than that.
 *
 * In doubt, and where /proc does not tell or was asked too often, it lives: then it is shown, and
 * its file is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tally/consumer.h>
#include <time.h>
#include <unistd.h>

#include "consumer/chips.h"

#define TOLERANCE_NS 60000000000u
#define SECOND_NS 1000000000u

struct told {
	char state;
	long threads;
	unsigned long long start_ticks; /* since the machine was started */
};

/* Behind the name, which is in parentheses and may be anything: fields 3, 20 and 22. */
static bool read_stat(uint32_t pid, struct told *ret_told)
{
	char path[32], text[1024], *rest;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	rest = strrchr(text, ')');
	return rest && sscanf(rest,
			      ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
			      "%*d %ld %*d %llu",
			      &ret_told->state, &ret_told->threads, &ret_told->start_ticks) == 3;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static struct chip_life look_at(uint32_t pid)
{
	struct chip_life life = { .pid = pid };
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	struct told told;

	life.lives = (int32_t)pid > 0 && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
	if (!life.lives || !read_stat(pid, &told))
		return life;
	/* One whose first thread has ended is a zombie by its state, and lives. */
	life.lives = !((told.state == 'Z' || told.state == 'X') && told.threads <= 1);
	life.start_ns = told.start_ticks / hz * SECOND_NS + told.start_ticks % hz * SECOND_NS / hz;
	return life;
}

/* Started later than the slot was written. */
static bool is_another(const struct chip_life *life, uint64_t last_update_ns)
{
	uint64_t boot_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
	uint64_t start_ns = boot_ns + life->start_ns;

	return last_update_ns > boot_ns && start_ns > last_update_ns &&
	       start_ns - last_update_ns > TOLERANCE_NS;
}

bool chip_lives(struct chip_lives *lives, bool own, uint32_t pid, uint64_t last_update_ns)
{
	struct chip_life *life = &lives->found[pid % CHIP_LIVES];

	if (life->pid != pid) {
		if (lives->lookups[own] == CHIP_LOOKUPS)
			return true;
		lives->lookups[own]++;
		*life = look_at(pid);
	}
	return life->lives && !is_another(life, last_update_ns);
}

bool tally_chip_slot_lives(uint32_t pid, uint64_t last_update_ns)
{
	int saved_errno = errno;
	struct chip_life life = look_at(pid);

	errno = saved_errno;
	return life.lives && !is_another(&life, last_update_ns);
}
