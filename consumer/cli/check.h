/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of `tally check`, and what comes out when they are judged. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "source.h"

enum rule_kind { RULE_MAX_LIVE, RULE_MAX_PERCENT, RULE_NO_LEAKS, RULE_MAX_LOST };

enum verdict { VERDICT_HOLDS, VERDICT_BROKEN, VERDICT_NOT_JUDGED };

struct rule {
	enum rule_kind kind;
	char typed[160];      /* as the user may recognize it, printable */
	struct filter filter; /* its own scope, within that of the command */
	uint64_t limit;	      /* bytes; thousandths of a percent; records */

	enum verdict verdict;
	char message[768]; /* what was found, or why it cannot be judged */
	/* Of what was judged: of a percentage the fullest pool. */
	int64_t live_bytes, live_bytes_high, abandoned_bytes;
	uint64_t capacity_bytes; /* 0: not known, or of no matter */
	uint64_t lost_records;
};

/* Judges a rule on what it chooses of a snapshot. 0, or an exit code after saying what is wrong. */
int rule_judge(struct rule *rule, const struct tally_snapshot *snapshot);

#endif
