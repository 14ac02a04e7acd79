/* SPDX-License-Identifier: Apache-2.0 */
/* A crew in step: a page between its members, ping-pongs around each run. */
#include "bench/harness/crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "bench/harness/machine.h"
#include "ring/pause.h"

#define PINGS 100 /* between two looks at the clock */
#define PING_PARTS 11
#define SPINS 4096 /* then somebody else is let run: there may be more members than processors */

/* What processes share. The members' own words are on lines of their own. */
struct between {
	uint64_t turn __attribute__((aligned(128))); /* counts runs: the members follow */
	crew_work work;				     /* of this turn; NULL: end */
	void *arg;
	uint64_t ball __attribute__((aligned(128)));	/* of the ping-pong */
	uint64_t arrived __attribute__((aligned(128))); /* members at the start */
	uint64_t done __attribute__((aligned(128)));	/* members that have finished */
	struct {
		double start_ns, end_ns;
		long interrupted;
	} times[CREW_MAX] __attribute__((aligned(128)));
	double trips_ns[PING_PARTS]; /* member 0's */
};

struct member {
	struct crew *crew;
	unsigned int me;
	pthread_t thread;
	pid_t process;
};

struct crew {
	struct between *between;
	unsigned int count;
	bool processes;
	void (*prepare)(unsigned int me);
	struct member members[CREW_MAX];
	double took_ns[CREW_MAX];
};

/* ---- All members ----------------------------------------------------------------------------- */

static void wait_for(const uint64_t *word, uint64_t value)
{
	uint64_t spins = 0;

	while (tally_load_acquire(word) != value) {
		cpu_pause();
		if (++spins % SPINS == 0)
			sched_yield();
	}
}

static void take_part(struct crew *crew, unsigned int me)
{
	struct between *between = crew->between;
	long interrupted;

	tally_add_release(&between->arrived, 1);
	wait_for(&between->arrived, crew->count);
	interrupted = interruptions();
	between->times[me].start_ns = now_ns();
	between->work(between->arg, me);
	between->times[me].end_ns = now_ns();
	between->times[me].interrupted = interruptions() - interrupted;
	tally_add_release(&between->done, 1);
}

static void follow(struct crew *crew, unsigned int me)
{
	uint64_t turn;

	pin(me);
	if (crew->prepare)
		crew->prepare(me);
	tally_add_release(&crew->between->done, 1);
	for (turn = 1;; turn++) {
		wait_for(&crew->between->turn, turn);
		if (!crew->between->work)
			return;
		take_part(crew, me);
	}
}

static void *follow_thread(void *arg)
{
	struct member *member = arg;

	follow(member->crew, member->me);
	return NULL;
}

/* Between the first two; the others have nothing to do. */
static void ping(void *arg, unsigned int me)
{
	struct between *between = arg;
	uint64_t i, part;

	for (part = 0; part < PING_PARTS && me < 2; part++) {
		double start = now_ns();

		for (i = part * PINGS; i < (part + 1) * PINGS; i++) {
			wait_for(&between->ball, 2 * i + me);
			tally_store_release(&between->ball, 2 * i + me + 1);
		}
		if (me == 0)
			between->trips_ns[part] = (now_ns() - start) / PINGS;
	}
}

/* ---- The caller ------------------------------------------------------------------------------ */

static double all_do(struct crew *crew, crew_work work, void *arg)
{
	struct between *between = crew->between;
	double start, end;
	unsigned int i;

	between->work = work;
	between->arg = arg;
	between->arrived = 0;
	between->done = 0;
	tally_store_release(&between->turn, between->turn + 1);
	take_part(crew, 0);
	wait_for(&between->done, crew->count);
	start = between->times[0].start_ns;
	end = between->times[0].end_ns;
	for (i = 1; i < crew->count; i++) {
		if (between->times[i].start_ns < start)
			start = between->times[i].start_ns;
		if (between->times[i].end_ns > end)
			end = between->times[i].end_ns;
	}
	return end - start;
}

/* The median of a few, as one may be interrupted. */
static double round_trip(struct crew *crew)
{
	crew->between->ball = 0;
	all_do(crew, ping, crew->between);
	return quantile(crew->between->trips_ns, PING_PARTS, 0.5);
}

/* A process that dies would be waited for. */
static void on_child(int signal)
{
	static const char words[] = "bench: a process of the crew has died\n";

	(void)signal;
	if (write(STDERR_FILENO, words, sizeof(words) - 1) < 0)
		_exit(1);
	_exit(1);
}

static int start(struct crew *crew, unsigned int me)
{
	struct member *member = &crew->members[me];

	member->crew = crew;
	member->me = me;
	if (!crew->processes)
		return pthread_create(&member->thread, NULL, follow_thread, member);
	fflush(NULL);
	member->process = fork();
	if (member->process < 0)
		return errno;
	if (member->process == 0) {
		signal(SIGCHLD, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		follow(crew, me);
		_exit(0);
	}
	return 0;
}

struct crew *crew_open(unsigned int members, bool processes, void (*prepare)(unsigned int me))
{
	struct crew *crew = calloc(1, sizeof(*crew));
	int error = 0;
	unsigned int i;

	if (!crew)
		return NULL;
	crew->processes = processes;
	crew->prepare = prepare;
	crew->count = members;
	crew->between = mmap(NULL, sizeof(struct between), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crew->between == MAP_FAILED) {
		free(crew);
		return NULL;
	}
	if (processes)
		signal(SIGCHLD, on_child);
	for (i = 1; i < members && !error; i++)
		error = start(crew, i);
	if (error) { /* what has been started ends with the program */
		errno = error;
		return NULL;
	}
	pin(0);
	if (prepare)
		prepare(0);
	wait_for(&crew->between->done, members - 1);
	return crew;
}

static bool was_interrupted(const struct crew *crew)
{
	unsigned int i;

	for (i = 0; i < crew->count; i++)
		if (crew->between->times[i].interrupted)
			return true;
	return false;
}

struct crew_run crew_run(struct crew *crew, crew_work work, void *arg)
{
	/* with more members than processors they would measure each other */
	bool alone = crew->count <= processors();
	bool far = alone && crew->count > 1;
	double before = alone ? probe() : 0, trip = far ? round_trip(crew) : 0, after;
	struct crew_run run = { .place = PLACE_NONE };
	bool interrupted;
	unsigned int i;

	run.took_ns = all_do(crew, work, arg);
	interrupted = alone && was_interrupted(crew);
	for (i = 0; i < crew->count; i++)
		crew->took_ns[i] = crew->between->times[i].end_ns -
				   crew->between->times[i].start_ns;
	if (far)
		run.place = place_between(trip, round_trip(crew));
	after = alone ? probe() : 0;
	run.probe_ns = interrupted ? PROBE_INTERRUPTED : before > after ? before : after;
	return run;
}

double crew_took_ns(const struct crew *crew, unsigned int member)
{
	return crew->took_ns[member];
}

void crew_file(struct figure *figure, uint32_t round, const struct crew_run *run, double value)
{
	struct sample sample = { .value = value,
				 .probe_ns = run->probe_ns,
				 .round = round,
				 .place = (uint32_t)run->place };

	if (run->place == PLACES)
		figure->dropped++;
	else
		figure_add(figure, &sample);
}

void crew_close(struct crew *crew)
{
	unsigned int i;

	signal(SIGCHLD, SIG_DFL);
	crew->between->work = NULL;
	tally_store_release(&crew->between->turn, crew->between->turn + 1);
	for (i = 1; i < crew->count; i++) {
		if (crew->processes)
			waitpid(crew->members[i].process, NULL, 0);
		else
			pthread_join(crew->members[i].thread, NULL);
	}
	munmap(crew->between, sizeof(*crew->between));
	free(crew);
}
