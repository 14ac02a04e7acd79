/* SPDX-License-Identifier: Apache-2.0 */
/* Tally's shared ring: pushes of a thread without a lane, as another has the only one.
 *
 *	flags: $REPORTER_TALLY
 */
#include <pthread.h>
#include <semaphore.h>

#include "bench/reporters/tally.h"

static sem_t has_lane, let_go;
static pthread_t holder;
static bool armed;

/* Who arms takes the first lane. */
static void *hold(void *self)
{
	armed = tally_begin(self);
	sem_post(&has_lane);
	sem_wait(&let_go);
	return NULL;
}

static void *make(const char **note)
{
	struct tally_turn *turn = tally_make(note);

	sem_init(&has_lane, 0, 0);
	sem_init(&let_go, 0, 0);
	if (turn)
		turn->shared = true;
	return turn;
}

static bool begin(void *self)
{
	if (pthread_create(&holder, NULL, hold, self) != 0)
		return false;
	sem_wait(&has_lane);
	return armed;
}

static void end(void *self, struct taken *taken)
{
	sem_post(&let_go);
	pthread_join(holder, NULL);
	tally_end(self, taken);
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, tally_one);
}

const struct reporter reporter = {
	.what = "a push of a thread without a lane, into the shared ring",
	.can = REPORTER_EVENTS | REPORTER_BYTES,
	.make = make,
	.begin = begin,
	.end = end,
	.report = report,
};
