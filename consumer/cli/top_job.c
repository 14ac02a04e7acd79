/* SPDX-License-Identifier: Apache-2.0 */
/* What takes long, beside the screen of `tally top`: a thread for one job, and word of its end. */
#include <signal.h>

#include "top.h"

static void *run(void *arg)
{
	struct top_job *job = arg;

	job->run(job->run_arg);
	pthread_mutex_lock(&job->lock);
	job->done = true;
	pthread_mutex_unlock(&job->lock);
	top_term_wake();
	return NULL;
}

bool top_job_start(struct top_job *job, void (*run_job)(void *run_arg), void *run_arg)
{
	sigset_t all, before;

	if (job->started)
		return false;
	job->run = run_job;
	job->run_arg = run_arg;
	job->done = false;
	pthread_mutex_init(&job->lock, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the screen's thread */
	job->started = pthread_create(&job->thread, NULL, run, job) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return job->started;
}

bool top_job_take(struct top_job *job)
{
	bool done;

	if (!job->started)
		return false;
	pthread_mutex_lock(&job->lock);
	done = job->done;
	pthread_mutex_unlock(&job->lock);
	if (!done)
		return false;
	pthread_join(job->thread, NULL);
	pthread_mutex_destroy(&job->lock);
	job->started = false;
	return true;
}
