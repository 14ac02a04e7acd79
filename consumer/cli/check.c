/* SPDX-License-Identifier: Apache-2.0 */
/* tally check: a gate for scripts: rules that hold, or an exit status and words that say why not.
 *
 * JSON, schema tally.check/1: time, holds, exactness, rules[] {rule, typed, device, pool, verdict,
 * limit_bytes, limit_percent, limit_records, live_bytes, live_bytes_high, capacity_bytes,
 * abandoned_bytes, lost_records, message}; what a rule is not about is null.
 */
#include "check.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#define RULES_MAX 64

/* Options, in the order of enum rule_kind from OPTION_RULE. */
enum { OPTION_JSON = 256, OPTION_RULE };

static const char *const names[] = { "max-live", "max-percent", "no-leaks", "max-lost" };

struct check {
	struct source source;
	struct rule rules[RULES_MAX];
	size_t count;
	bool json;
};

/* ---- Rules as they are typed ----------------------------------------------------------------- */

/* "DEV=", "DEV:POOL=" or ":POOL=" in front of the limit: cut off, and set as the rule's scope. */
static int take_scope(struct rule *rule, char **value)
{
	char *limit = strrchr(*value, '=');
	char *device = *value, *pool;
	int status = 0;

	if (!limit)
		return 0;
	*limit = '\0';
	*value = limit + 1;
	pool = strrchr(device, ':');
	if (pool)
		*pool++ = '\0';
	if (device[0] == '\0' && (!pool || pool[0] == '\0'))
		return usage_error("check", "--%s: in front of \"=\" goes DEV, DEV:POOL or :POOL",
				   names[rule->kind]);
	if (device[0])
		status = filter_option(&rule->filter, "check", 'd', device);
	if (!status && pool && pool[0])
		status = filter_option(&rule->filter, "check", 'P', pool);
	return status;
}

static int take_limit(struct rule *rule, char *value)
{
	int status = 0;

	switch (rule->kind) {
	case RULE_MAX_LIVE:
		status = take_scope(rule, &value);
		if (!status && !parse_size(value, &rule->limit))
			status = usage_error("check",
					     "\"%s\" is no size like 4096, 64KiB or 1.5GiB", value);
		break;
	case RULE_MAX_PERCENT:
		status = take_scope(rule, &value);
		if (!status && !parse_percent(value, &rule->limit))
			status = usage_error("check", "\"%s\" is no percentage from 0 to 100",
					     value);
		break;
	case RULE_NO_LEAKS:
		break;
	case RULE_MAX_LOST:
		if (!parse_number(value, INT64_MAX, &rule->limit))
			status = usage_error("check", "\"%s\" is no number of records", value);
		break;
	}
	return status;
}

static int take_rule(struct check *check, enum rule_kind kind, char *value)
{
	struct rule *rule = &check->rules[check->count];
	char typed[sizeof(rule->typed)];

	if (check->count == RULES_MAX)
		return usage_error("check", "more than %d rules", RULES_MAX);
	rule->kind = kind;
	snprintf(typed, sizeof(typed), "--%s%s%s", names[kind], value ? " " : "",
		 value ? value : "");
	text_clean(rule->typed, sizeof(rule->typed), typed);
	check->count++;
	return take_limit(rule, value);
}

/* ---- What came out --------------------------------------------------------------------------- */

static int print_text(const struct check *check, size_t broken)
{
	size_t n;

	for (n = 0; n < check->count; n++)
		if (check->rules[n].verdict != VERDICT_HOLDS)
			printf("%s: %s\n", check->rules[n].typed, check->rules[n].message);
	if (!broken)
		printf("%zu rule%s hold%s\n", check->count, check->count == 1 ? "" : "s",
		       check->count == 1 ? "s" : "");
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_OK;
	say("the output was not written: %s", strerror(errno));
	return EXIT_ERROR;
}

static json_t *known(bool known, int64_t value)
{
	return known ? json_integer(value) : json_null();
}

static json_t *rule_json(const struct rule *rule)
{
	static const char *const verdicts[] = { "holds", "broken", "not judged" };
	bool live = rule->kind == RULE_MAX_LIVE, percent = rule->kind == RULE_MAX_PERCENT;
	bool measured = live || (percent && rule->capacity_bytes);
	const struct filter *scope = &rule->filter;
	json_t *json = json_object();

	json_object_set_new(json, "rule", json_string(names[rule->kind]));
	json_object_set_new(json, "typed", json_text_of(rule->typed));
	json_object_set_new(json, "device",
			    json_known_text(scope->device_count ? scope->devices[0] : NULL));
	json_object_set_new(json, "pool",
			    json_known_text(scope->pool_count ? scope->pools[0] : NULL));
	json_object_set_new(json, "verdict", json_string(verdicts[rule->verdict]));
	json_object_set_new(json, "limit_bytes", known(live, (int64_t)rule->limit));
	json_object_set_new(json, "limit_percent",
			    percent ? json_real((double)rule->limit / 1000) : json_null());
	json_object_set_new(json, "limit_records",
			    known(rule->kind == RULE_MAX_LOST, (int64_t)rule->limit));
	json_object_set_new(json, "live_bytes", known(measured, rule->live_bytes));
	json_object_set_new(json, "live_bytes_high", known(measured, rule->live_bytes_high));
	json_object_set_new(json, "capacity_bytes",
			    rule->capacity_bytes ? json_count(rule->capacity_bytes) : json_null());
	json_object_set_new(json, "abandoned_bytes",
			    known(rule->kind == RULE_NO_LEAKS, rule->abandoned_bytes));
	json_object_set_new(json, "lost_records",
			    rule->kind == RULE_MAX_LOST ? json_count(rule->lost_records)
							: json_null());
	json_object_set_new(json, "message", json_text_of(rule->message));
	return json;
}

static int print_json(const struct check *check, const struct tally_snapshot *snapshot,
		      size_t broken)
{
	json_t *rules = json_array();
	char exactness[EXACTNESS_MAX];
	size_t n;

	for (n = 0; n < check->count; n++)
		json_array_append_new(rules, rule_json(&check->rules[n]));
	render_exactness(exactness, sizeof(exactness), snapshot);
	return json_print(json_pack("{s:s, s:o, s:b, s:s, s:o}", "schema", "tally.check/1", "time",
				    json_time(snapshot->realtime_ns), "holds", broken == 0,
				    "exactness", exactness, "rules", rules));
}

/* ---- The verb -------------------------------------------------------------------------------- */

static int judge(struct check *check)
{
	const struct tally_snapshot *snapshot;
	int status = source_look(&check->source, &snapshot);
	size_t broken = 0, n;

	for (n = 0; n < check->count && !status; n++) {
		status = rule_judge(&check->rules[n], snapshot);
		broken += check->rules[n].verdict != VERDICT_HOLDS;
	}
	if (status)
		return status;
	status = check->json ? print_json(check, snapshot, broken) : print_text(check, broken);
	return !status && broken ? EXIT_BROKEN : status;
}

static int check_main(int argc, char **argv)
{
	static const struct option options[] = {
		FILTER_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "max-live", required_argument, NULL, OPTION_RULE + RULE_MAX_LIVE },
		{ "max-percent", required_argument, NULL, OPTION_RULE + RULE_MAX_PERCENT },
		{ "no-leaks", no_argument, NULL, OPTION_RULE + RULE_NO_LEAKS },
		{ "max-lost", required_argument, NULL, OPTION_RULE + RULE_MAX_LOST },
		{ NULL, 0, NULL, 0 },
	};
	static struct check check; /* too large for a stack */
	struct tally_consumer_options consumer = { 0 };
	int option, status;

	while ((option = filter_getopt(&check.source.filter, argc, argv, ":" FILTER_LETTERS,
				       options, &status)) != -1) {
		if (option == OPTION_JSON)
			check.json = true;
		else
			status = take_rule(&check, (enum rule_kind)(option - OPTION_RULE), optarg);
		if (status)
			return status;
	}
	if (!status && check.count == 0)
		status = usage_error("check", "which rule?");
	if (!status)
		status = source_open(&check.source, &consumer);
	if (status)
		return status;
	status = judge(&check);
	source_close(&check.source);
	return status;
}

static const char help[] =
	"usage: tally check RULE... " FILTER_USAGE " [--json]\n"
	"\n"
	"Looks once and judges rules, for scripts and CI jobs. Rules, each as often as needed:\n"
	"\n"
	"  --max-live SIZE      all that is chosen together holds at most SIZE: 4096, 64KiB,\n"
	"                       1.5GiB (KiB, MiB, ... or kB, MB, ...)\n"
	"  --max-percent N      no pool that is chosen holds more than N % of its capacity\n"
	"  --no-leaks           no process that ended and is shown has left memory behind\n"
	"  --max-lost N         at most N records of those that are shown were lost\n"
	"\n"
	"What is chosen is everything of this user, or:\n"
	"\n" FILTER_HELP "\n"
	"A limit may name a place of its own: --max-live 0=2GiB, --max-percent 1:dram=90,\n"
	"--max-live :l1=1MiB; a device's name that has a \":\" in it is followed by one more.\n"
	"A line says of each rule that does not hold what was found. A rule that cannot be\n"
	"judged (no capacity was described, a file could not be read) does not hold.\n"
	"\n"
	"  --json             as JSON, with those that hold\n"
	"\n"
	"Exit status: 0 all rules hold; 7 not all do; 2 usage; 3 nothing to attach to, or no\n"
	"such device or pool; 4 no permission; 5 the process asked for has another version of\n"
	"libtally; 1 other errors.\n";

const struct verb verb_check = {
	.name = "check",
	.run = check_main,
	.line = "judge limits on memory held, leaks and losses: an exit status for scripts",
	.help = help,
};
