/* SPDX-License-Identifier: Apache-2.0 */
/* Results as people read them: the machine, then a table for each question. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/harness/results.h"

bool goal_met(const struct goal *goal)
{
	if (goal->at_least)
		return goal->sharp ? goal->value > goal->limit : goal->value >= goal->limit;
	return goal->sharp ? goal->value < goal->limit : goal->value <= goal->limit;
}

void goal_limit(const struct goal *goal, char *words, size_t size)
{
	const char *how = goal->at_least ? goal->sharp ? "more than" : "at least"
			  : goal->sharp	 ? "less than"
					 : "at most";

	snprintf(words, size, "%s %g%s%s", how, goal->limit, goal->unit ? " " : "",
		 goal->unit ? goal->unit : "");
}

const char *results_compiler(void)
{
#ifdef __clang__
	return "clang " __clang_version__;
#else
	return "gcc " __VERSION__;
#endif
}

static void print_machine(const struct results *results)
{
	const struct machine *machine = &results->begin;
	char why[256];
	size_t i;

	printf("machine: %s, %s, %s, %u processors%s%s%s\n",
	       machine->cpu[0] ? machine->cpu : "unknown processor", machine->architecture,
	       machine->kernel, machine->processors,
	       machine->virtual_machine ? ", a virtual machine" : "",
	       machine->governor[0] ? ", governor " : "", machine->governor);
	printf("tally " TALLY_VERSION ", %s; a timestamp takes %.1f ns, taken off, give or "
	       "take %.1f ns%s\n",
	       results_compiler(), stamp_cost_ticks() * stamp_tick_ns(),
	       stamp_doubt_ticks() * stamp_tick_ns(),
	       results->quick ? "; few rounds (--quick)" : "");
	for (i = 0; machine_warning(machine, &results->end, i, why, sizeof(why)); i++)
		printf("warning: %s\n", why);
}

/* The name and its parameters. */
static void row_words(const struct row *row, char *words, size_t size)
{
	size_t used;
	int i;

	snprintf(words, size, "%s", row->name);
	for (i = 0; i < PARAMETERS && row->parameters[i].name; i++) {
		used = strlen(words);
		snprintf(words + used, size - used, ", %s %g", row->parameters[i].name,
			 row->parameters[i].value);
	}
	for (i = 0; words[i]; i++)
		if (words[i] == '_' && i > (int)strlen(row->name))
			words[i] = ' ';
}

static void print_figure(const struct row *row, const struct question *question, bool ratios)
{
	printf(" %10.4g  %10.4g to %-10.4g %6zu", row->median,
	       question->interval ? row->from : row->lower,
	       question->interval ? row->to : row->upper, row->count);
	if (question->interval)
		printf(" %10.1f %10.4g", row->confidence * 100, row->max);
	if (isnan(row->ratio))
		printf("%s", ratios ? "         " : "");
	else
		printf(" %8.2f", row->ratio);
	if (row->place != PLACE_NONE)
		printf("  %s", place_words(row->place));
	if (row->disturbed)
		printf("  %zu disturbed: %.4g", row->disturbed, row->median_disturbed);
	if (row->dropped)
		printf("  %zu dropped", row->dropped);
}

static void print_row(const struct row *row, const struct question *question, int width,
		      bool ratios)
{
	char words[160];

	row_words(row, words, sizeof(words));
	printf("  %-*s", width, words);
	switch (row->kind) {
	case ROW_FIGURE:
		print_figure(row, question, ratios);
		break;
	case ROW_SPREAD:
		printf(" %10.4g  p90 %.4g, p99 %.4g, p99.9 %.4g, longest %.4g of %zu", row->median,
		       row->p90, row->p99, row->p999, row->max, row->count);
		if (row->disturbed)
			printf("; %zu disturbed", row->disturbed);
		break;
	case ROW_VALUE:
		printf(" %10.6g", row->median);
		break;
	case ROW_ABSENT:
		printf(" absent: %s", row->absent);
	}
	printf("\n");
}

static void print_goals(const struct answer *answer)
{
	size_t i;

	for (i = 0; i < answer->goal_count; i++) {
		const struct goal *goal = &answer->goals[i];
		char limit[80];

		goal_limit(goal, limit, sizeof(limit));
		if (isnan(goal->value))
			printf("  goal, not judged: %s %s\n", goal->words, limit);
		else
			printf("  goal %s: %s %.4g%s%s, %s\n", goal_met(goal) ? "met" : "MISSED",
			       goal->words, goal->value, goal->unit ? " " : "",
			       goal->unit ? goal->unit : "", limit);
	}
}

static void print_answer(const struct answer *answer)
{
	const struct question *question = answer->question;
	int width = 30;
	bool ratios = false, figures = false;
	char words[160];
	size_t i;

	for (i = 0; i < answer->row_count; i++) {
		row_words(&answer->rows[i], words, sizeof(words));
		if ((int)strlen(words) > width)
			width = (int)strlen(words);
		ratios |= !isnan(answer->rows[i].ratio);
		figures |= answer->rows[i].kind == ROW_FIGURE;
	}
	printf("\n%s (%s, %s is better%s%s)\n", question->words, question->unit,
	       question->more ? "more" : "less", ratios ? "; base: " : "",
	       ratios ? question->base : "");
	printf("  %-*s %10s", width, "", "median");
	if (figures)
		printf("  %-24s %6s",
		       question->interval ? "    lies between" : "         middle half", "rounds");
	if (figures && question->interval)
		printf(" %10s %10s", "sure, %", "largest");
	if (ratios)
		printf("   / base");
	printf("\n");
	for (i = 0; i < answer->row_count; i++)
		print_row(&answer->rows[i], question, width, ratios);
	for (i = 0; i < answer->note_count; i++)
		printf("  %s\n", answer->notes[i]);
	print_goals(answer);
}

void print_table(const struct results *results)
{
	size_t i;

	print_machine(results);
	for (i = 0; i < results->answer_count; i++)
		print_answer(&results->answers[i]);
}
