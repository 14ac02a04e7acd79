/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `tally doctor` share: findings, in the order they are made. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <jansson.h>

#include "cli.h"

enum finding {
	FINDING_OK,
	FINDING_NOTE,	 /* costs something, and may be meant */
	FINDING_PROBLEM, /* something does not work; the message says what to do */
};

struct doctor {
	json_t *checks; /* NULL: lines are printed */
	size_t problems;
	struct tally_trial trial;
	const char *dir;
};

/* Adds a line. Names are for programs; several findings may have one. */
void doctor_find(struct doctor *doctor, enum finding finding, const char *name, const char *format,
		 ...) __attribute__((format(printf, 4, 5)));

/* ---- doctor_host.c: this machine and this process's limits ----------------------------------- */

void doctor_directory(struct doctor *doctor);
void doctor_limits(struct doctor *doctor);
void doctor_machine(struct doctor *doctor);

/* ---- doctor_region.c: a region made for trial, and those that are there ---------------------- */

void doctor_trial(struct doctor *doctor);
void doctor_files(struct doctor *doctor);

/* ---- doctor_settings.c: environment variables, the adapter ----------------------------------- */

void doctor_settings(struct doctor *doctor);

#endif
