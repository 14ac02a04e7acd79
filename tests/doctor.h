/* SPDX-License-Identifier: Apache-2.0 */
/* What `tally doctor` has found. */
#ifndef TESTS_DOCTOR_H
#define TESTS_DOCTOR_H

#include <string.h>

#include "tests/cli.h"
#include "tests/support.h"

/* The finding of that name and status whose message has these words; fails when there is none. A
 * problem also says what to do. */
static inline void check_finding(json_t *json, const char *name, const char *status,
				 const char *words)
{
	json_t *entry;
	size_t i;

	assert_string_equal(json_text(json, "schema"), "tally.doctor/1");
	json_array_foreach(json_get(json, "checks"), i, entry) {
		const char *message = json_text(entry, "message");

		if (strcmp(json_text(entry, "status"), "problem") == 0 && !strstr(message, "; "))
			fail_msg("does not say what to do: %s", message);
		if (strcmp(json_text(entry, "name"), name) == 0 &&
		    strcmp(json_text(entry, "status"), status) == 0 && strstr(message, words))
			return;
	}
	fail_msg("no %s \"%s\" with \"%s\" in: %s", status, name, words,
		 json_dumps(json, JSON_INDENT(1)));
}

static inline size_t problems_in(json_t *json)
{
	size_t i, count = 0;
	json_t *entry;

	json_array_foreach(json_get(json, "checks"), i, entry)
		count += strcmp(json_text(entry, "status"), "problem") == 0;
	return count;
}

#endif
