/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command to its end and says what it took; a signal that ends the bench ends it first.
 */
#ifndef BENCH_HARNESS_JOB_H
#define BENCH_HARNESS_JOB_H

#include <stdbool.h>

struct job {
	char *const *words; /* the command, found in PATH; ends with NULL */
	const char *folder; /* where it runs */
	const char *out;    /* absolute names of files for its stdout and stderr, made new */
	const char *err;
	bool tidies; /* it runs whatever has been interrupted, and to its end */
};

struct job_end {
	int status; /* as a shell has it: 128 + n of signal n; 127: it could not be executed */
	double wall_ns;
	double cpu_ns; /* of it and of all that it waited for */
};

/* From here on SIGINT, SIGTERM and SIGHUP end the job that runs; none is started any more but those
 * that tidy, and the bench may come to its end. Jobs are process groups of their own, with nothing
 * to read. One thread calls these functions, and there is no other. */
void job_catch_signals(void);
bool job_interrupted(void);

struct job_end job_run(const struct job *job);

#endif
