/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb looks at: a consumer of what its filter chooses, and what there is of that. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "filter.h"
#include "unseen.h"

struct source {
	struct filter filter;
	struct tally_consumer *consumer;
	const struct tally_snapshot *all; /* while it is looked at */
	struct tally_snapshot *chosen;	  /* of it, where a filter is set */
	int refusal; /* why a process that was asked for was refused; of any, without one */
};

/* A descriptor is open for each process that lives: as many as may be. */
void source_raise_limit(void);

/* Opens a consumer with these options, and what the filter adds to them. 0, or an exit code after
 * saying why not. The source is closed in either case. */
int source_open(struct source *source, const struct tally_consumer_options *options);

/* What is there now: constant, and valid until the next call or source_close(). 0, or an exit code
 * after saying that there is nothing, or not what the filter names. */
int source_look(struct source *source, const struct tally_snapshot **ret_snapshot);

/* The same where that nothing is there, or not yet, is no error. */
int source_look_again(struct source *source, const struct tally_snapshot **ret_snapshot);

/* For verbs that show records: says how many of what is chosen have none, as a runtime's own totals
 * are all that is known of them. 0, or EXIT_NOTHING if pids were chosen and it is all of these. */
int source_check_records(const struct source *source, const struct tally_snapshot *snapshot);

/* What was last looked at, against what the kernel driver says: see unseen.h. Not where something
 * is chosen, as the question is another one then. */
void source_find_unseen(const struct source *source, struct unseen *unseen);

void source_close(struct source *source);

#endif
