/* SPDX-License-Identifier: Apache-2.0 */
/* Results as programs read them: tests/schemas/bench.json. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/harness/results.h"

/* Unknown is null. */
static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text(const char *words)
{
	return words && words[0] ? json_string(words) : json_null();
}

static json_t *machine_json(const struct results *results)
{
	const struct machine *machine = &results->begin;
	json_t *warnings = json_array();
	char why[256];
	size_t i;

	for (i = 0; machine_warning(machine, &results->end, i, why, sizeof(why)); i++)
		json_array_append_new(warnings, json_string(why));
	return json_pack("{s:o, s:o, s:o, s:i, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "cpu",
			 text(machine->cpu), "architecture", text(machine->architecture), "kernel",
			 text(machine->kernel), "processors", (int)machine->processors, "governor",
			 text(machine->governor), "virtual_machine", machine->virtual_machine,
			 "load_begin", number(machine->load < 0 ? NAN : machine->load), "load_end",
			 number(results->end.load < 0 ? NAN : results->end.load), "tick_ns",
			 number(stamp_tick_ns()), "timestamp_cost_ns",
			 number(stamp_cost_ticks() * stamp_tick_ns()), "timestamp_doubt_ns",
			 number(stamp_doubt_ticks() * stamp_tick_ns()), "warnings", warnings);
}

static json_t *parameters_json(const struct parameter *parameters)
{
	json_t *object = json_object();
	int i;

	for (i = 0; i < PARAMETERS && parameters[i].name; i++)
		json_object_set_new(object, parameters[i].name, json_real(parameters[i].value));
	return object;
}

static json_t *histogram_json(const struct row *row)
{
	json_t *buckets = json_array();
	size_t i;

	if (!row->spread)
		return buckets;
	for (i = 0; i < row->spread->bucket_count; i++)
		json_array_append_new(buckets,
				      json_pack("{s:f, s:I}", "up_to_ns",
						row->spread->buckets[i].up_to_ns, "samples",
						(json_int_t)row->spread->buckets[i].count));
	return buckets;
}

static json_t *row_json(const struct row *row, const char *unit)
{
	static const char *const kinds[] = { "rounds", "distribution", "value", "absent" };
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(row->name));
	json_object_set_new(object, "parameters", parameters_json(row->parameters));
	json_object_set_new(object, "placement", text(place_name(row->place)));
	json_object_set_new(object, "kind", json_string(kinds[row->kind]));
	json_object_set_new(object, "absent", text(row->absent));
	json_object_set_new(object, "unit", json_string(unit));
	json_object_set_new(object, "median", number(row->median));
	json_object_set_new(object, "lower_quartile", number(row->lower));
	json_object_set_new(object, "upper_quartile", number(row->upper));
	json_object_set_new(object, "median_from", number(row->from));
	json_object_set_new(object, "median_to", number(row->to));
	json_object_set_new(object, "median_confidence", number(row->confidence));
	json_object_set_new(object, "p90", number(row->p90));
	json_object_set_new(object, "p99", number(row->p99));
	json_object_set_new(object, "p99_9", number(row->p999));
	json_object_set_new(object, "max", number(row->max));
	json_object_set_new(object, "ratio_to_base", number(row->ratio));
	json_object_set_new(object, "samples", json_integer((json_int_t)row->count));
	json_object_set_new(object, "quiet", json_boolean(row->quiet));
	json_object_set_new(object, "disturbed", json_integer((json_int_t)row->disturbed));
	json_object_set_new(object, "dropped", json_integer((json_int_t)row->dropped));
	json_object_set_new(object, "histogram", histogram_json(row));
	return object;
}

static json_t *goal_json(const struct goal *goal)
{
	char limit[80];

	goal_limit(goal, limit, sizeof(limit));
	return json_pack("{s:s, s:s, s:o, s:o, s:f, s:o}", "value_of", goal->words, "goal", limit,
			 "unit", text(goal->unit), "value", number(goal->value), "limit",
			 goal->limit, "met",
			 isnan(goal->value) ? json_null() : json_boolean(goal_met(goal)));
}

static json_t *answer_json(const struct answer *answer)
{
	const struct question *question = answer->question;
	json_t *figures = json_array(), *goals = json_array(), *notes = json_array();
	size_t i;

	for (i = 0; i < answer->row_count; i++)
		json_array_append_new(figures, row_json(&answer->rows[i], question->unit));
	for (i = 0; i < answer->goal_count; i++)
		json_array_append_new(goals, goal_json(&answer->goals[i]));
	for (i = 0; i < answer->note_count; i++)
		json_array_append_new(notes, json_string(answer->notes[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "id", question->id, "question",
			 question->words, "unit", question->unit, "better",
			 question->more ? "more" : "less", "base", text(question->base), "figures",
			 figures, "goals", goals, "notes", notes);
}

static json_t *document(const struct results *results)
{
	json_t *answers = json_array();
	char time[32];
	size_t i;

	snprintf(time, sizeof(time), "%llu", (unsigned long long)results->time_realtime_ns);
	for (i = 0; i < results->answer_count; i++)
		json_array_append_new(answers, answer_json(&results->answers[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o}", "schema", "tally.bench/1",
			 "program", results->program, "time", time, "tally_version", TALLY_VERSION,
			 "compiler", results_compiler(), "quick", results->quick, "only",
			 text(results->only), "machine", machine_json(results), "questions",
			 answers);
}

int write_json(const struct results *results, const char *path)
{
	bool to_stdout = strcmp(path, "-") == 0;
	FILE *file = to_stdout ? stdout : fopen(path, "we");
	json_t *root;
	int error = 0;

	if (!file)
		return -errno;
	root = document(results);
	if (!root)
		error = -ENOMEM;
	else if (json_dumpf(root, file, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0 ||
		 fputc('\n', file) == EOF)
		error = -EIO;
	json_decref(root);
	if (!to_stdout && fclose(file) != 0)
		error = -EIO;
	return error;
}
