/* SPDX-License-Identifier: Apache-2.0 */
/* JSON looked up, and sums compared; see support.h. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_kept.h"

json_t *json_parse(const char *from)
{
	json_error_t error;
	json_t *json = json_loads(from, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		fail_msg("no JSON, line %d: %s: %s", error.line, error.text, from);
	return support_keep_json(json);
}

json_t *json_get(json_t *json, const char *path)
{
	char copy[200];
	char *rest = copy;
	char *step;
	json_t *at = json;

	snprintf(copy, sizeof(copy), "%s", path);
	while (at && (step = strsep(&rest, "/")))
		at = isdigit((unsigned char)step[0]) ? json_array_get(at, (size_t)atoi(step))
						     : json_object_get(at, step);
	if (!at)
		fail_msg("no \"%s\" in the JSON", path);
	return at;
}

int64_t json_number(json_t *json, const char *path)
{
	json_t *at = json_get(json, path);

	if (!json_is_integer(at))
		fail_msg("\"%s\" is no whole number", path);
	return json_integer_value(at);
}

const char *json_text(json_t *json, const char *path)
{
	json_t *at = json_get(json, path);

	if (!json_is_string(at))
		fail_msg("\"%s\" is no string", path);
	return json_string_value(at);
}

bool json_flag(json_t *json, const char *path)
{
	json_t *at = json_get(json, path);

	if (!json_is_boolean(at))
		fail_msg("\"%s\" is neither true nor false", path);
	return json_is_true(at);
}

json_t *json_device(json_t *json, int64_t device)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_get(json, "devices"), i, entry)
		if (json_number(entry, "device") == device)
			return entry;
	return NULL;
}

json_t *json_pool(json_t *json, int64_t device, const char *pool)
{
	json_t *entry = json_device(json, device);

	return entry ? json_object_get(json_get(entry, "pools"), pool) : NULL;
}

size_t json_processes(json_t *json, int64_t pid, json_t **ret_first)
{
	size_t i, count = 0;
	json_t *entry;

	json_array_foreach(json_get(json, "processes"), i, entry) {
		if (json_number(entry, "pid") != pid)
			continue;
		if (count++ == 0 && ret_first)
			*ret_first = entry;
	}
	return count;
}

struct test_sums json_sums(json_t *pool)
{
	struct test_sums sums = { 0 };

	if (!pool)
		return sums;
	sums.allocated_bytes = json_number(pool, "allocated_bytes_total");
	sums.freed_bytes = json_number(pool, "freed_bytes_total");
	sums.allocs = json_number(pool, "allocations_total");
	sums.frees = json_number(pool, "frees_total");
	sums.failures = json_number(pool, "failures_total");
	return sums;
}

struct test_sums sums_minus(struct test_sums a, struct test_sums b)
{
	return (struct test_sums){ a.allocated_bytes - b.allocated_bytes,
				   a.freed_bytes - b.freed_bytes, a.allocs - b.allocs,
				   a.frees - b.frees, a.failures - b.failures };
}

struct test_sums sums_plus(struct test_sums a, struct test_sums b)
{
	return sums_minus(a, sums_minus((struct test_sums){ 0 }, b));
}

void check_sums(struct test_sums a, struct test_sums b, const char *a_name, const char *b_name,
		const char *file, int line)
{
	struct test_sums d = sums_minus(a, b);

	if (!d.allocated_bytes && !d.freed_bytes && !d.allocs && !d.frees && !d.failures)
		return;
	print_error("%s - %s: allocated_bytes %" PRId64 ", freed_bytes %" PRId64 ", allocs %" PRId64
		    ", frees %" PRId64 ", failures %" PRId64 "\n",
		    a_name, b_name, d.allocated_bytes, d.freed_bytes, d.allocs, d.frees,
		    d.failures);
	_fail(file, line);
}
