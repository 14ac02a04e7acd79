/* SPDX-License-Identifier: Apache-2.0 */
/* How much slower real programs are under `tally run`, and under other tools that see allocations.
 *
 * Each file bench/programs/NAME.sh prepares a program in an empty folder and prints, a line each,
 * the name of the file it will write and the words of its command. Each file bench/tools/NAME.sh is
 * asked `begin`, then for each run `before FOLDER`, whose lines are the words in front of the
 * command, and `after FOLDER`, which says what was recorded, a number first, or fails; and `end`.
 * 77 is the exit status of what is absent. BENCH_PROGRAMS and BENCH_TOOLS name other folders.
 *
 * A pair is one run without and one with the tool, one right after the other, in turns which comes
 * first. What the program writes must be the same in every run.
 */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/harness/job.h"
#include "bench/harness/result.h"

#define PAIRS 15
#define PAIRS_QUICK 6 /* the fewest that an interval of 95 % can be had of */
#define SCRIPTS_MAX 32
#define WORDS_MAX 64
#define OURS "tally run"
#define RIVAL "heaptrack"
#define NOTHING "nothing" /* the program whose ratios would say nothing */
#define CHURN "churn"	  /* in the names of those that do nothing but allocate and free */
#define EXCESS_MIN 0.01	  /* less than this slower is not told from nothing */

static const struct question slowdown = {
	.id = "program_slowdown",
	.words = "How much longer does a program take under a tool?",
	.unit = "times",
	.interval = true
};
static const struct question cpu = {
	.id = "program_cpu",
	.words = "How much more processor time do a program and the tool take together?",
	.unit = "times",
	.interval = true
};
static const struct question alone = { .id = "program_alone",
				       .words = "How long does the program take alone?",
				       .unit = "s",
				       .interval = true };
static const struct question startup = {
	.id = "program_startup",
	.words = "How much longer does a program take that does nothing?",
	.unit = "ms",
	.interval = true
};
static const struct question rate = {
	.id = "program_rate",
	.words = "How many allocations and frees a second does it make alone?",
	.unit = "M/s",
	.more = true
};

struct script {
	char name[48]; /* of its file, `_` as a space */
	char path[512];
	char folder[512];   /* its own */
	bool present;	    /* a program: and measured whole */
	unsigned int pairs; /* of a tool */
};

/* One program under one tool. */
struct cell {
	char name[112];
	bool measured;
	struct figure wall, cpu;
	char recorded[160];
};

static struct script programs[SCRIPTS_MAX], tools[SCRIPTS_MAX];
static struct cell cells[SCRIPTS_MAX][SCRIPTS_MAX];
static struct figure times[SCRIPTS_MAX];
static size_t program_count, tool_count;
static char work[256], out_path[300], err_path[300], said[4096];

/* ---- Scripts --------------------------------------------------------------------------------- */

static void read_into(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t count = file ? fread(text, 1, size - 1, file) : 0;

	text[count] = '\0';
	if (file)
		fclose(file);
}

/* The first line, or the last one that says something. */
static const char *line_of(char *text, bool last)
{
	char *line;

	while (*text && text[strlen(text) - 1] == '\n')
		text[strlen(text) - 1] = '\0';
	line = last ? strrchr(text, '\n') : NULL;
	text[last ? strlen(text) : strcspn(text, "\n")] = '\0';
	return line ? line + 1 : text;
}

/* Its exit status; what it printed is in `said`. */
static int ask(const struct script *script, const char *stage, const char *folder)
{
	char *words[] = { (char *)script->path, (char *)stage, (char *)folder, NULL };
	struct job job = { words, script->folder, out_path, err_path, strcmp(stage, "end") == 0 };
	int status = job_run(&job).status;

	read_into(out_path, said, sizeof(said));
	return status;
}

static void complain(const char *who, const char *what, int status)
{
	char errors[4096];

	if (job_interrupted())
		return;
	read_into(err_path, errors, sizeof(errors));
	bench_fail("%s: %s, exit status %d: %s", who, what, status, line_of(errors, true));
}

static unsigned int pairs_of(const char *path)
{
	char text[1024];
	const char *given;

	read_into(path, text, sizeof(text));
	given = strstr(text, "\n# pairs: ");
	return bench_quick() ? PAIRS_QUICK : given ? (unsigned int)atoi(given + 10) : PAIRS;
}

/* All of a folder in the order of names, each with a folder to work in. */
static size_t find(const char *variable, const char *kind, struct script *scripts)
{
	char pattern[512], *mark;
	glob_t found;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s/*.sh", getenv(variable));
	if (glob(pattern, 0, NULL, &found) != 0 || found.gl_pathc > SCRIPTS_MAX) {
		fprintf(stderr, "bench/programs: %s: no scripts, or too many\n", pattern);
		exit(1);
	}
	for (i = 0; i < found.gl_pathc; i++) {
		const char *path = found.gl_pathv[i];

		snprintf(scripts[i].path, sizeof(scripts[i].path), "%s", path);
		snprintf(scripts[i].name, sizeof(scripts[i].name), "%.*s",
			 (int)strcspn(strrchr(path, '/') + 1, "."), strrchr(path, '/') + 1);
		snprintf(scripts[i].folder, sizeof(scripts[i].folder), "%s/%s.%s", work, kind,
			 scripts[i].name);
		mkdir(scripts[i].folder, 0700);
		while ((mark = strchr(scripts[i].name, '_')) != NULL)
			*mark = ' ';
	}
	globfree(&found);
	return i;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/* FNV-1a of a file; 0: there is none. */
static uint64_t hash_of(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t hash = 0xcbf29ce484222325;
	int byte;

	if (!file)
		return 0;
	while ((byte = getc_unlocked(file)) != EOF)
		hash = (hash ^ (uint64_t)byte) * 0x100000001b3;
	fclose(file);
	return hash;
}

/* A program as it has been prepared. */
struct prepared {
	const struct script *script;
	char text[4096];
	char *words[WORDS_MAX];
	char output[600];
	uint64_t hash;
};

/* The lines of text, after `count` words, NULL behind them; text is cut up. */
static size_t add_words(char **words, size_t count, char *text)
{
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n")) != NULL && count < WORDS_MAX - 1)
		if (*line)
			words[count++] = line;
	words[count] = NULL;
	return count;
}

/* One run, with a tool or (NULL) without. False: it is worth nothing, and that has been said. */
static bool run(struct prepared *program, const struct script *tool, struct job_end *ret_end)
{
	const char *name = tool ? tool->name : "no tool";
	char before[4096], *words[2 * WORDS_MAX], who[128];
	struct job job = { words, program->script->folder, out_path, err_path, false };
	size_t count = 0, i;
	int status;

	snprintf(who, sizeof(who), "%s, %s", program->script->name, name);
	if (tool && (status = ask(tool, "before", program->script->folder)) != 0) {
		complain(who, "the tool does not start", status);
		return false;
	}
	snprintf(before, sizeof(before), "%s", tool ? said : "");
	count = add_words(words, 0, before);
	for (i = 0; program->words[i]; i++)
		words[count++] = program->words[i];
	words[count] = NULL;
	unlink(program->output);
	*ret_end = job_run(&job);
	if (ret_end->status != 0) {
		complain(who, "it has failed", ret_end->status);
		return false;
	}
	if (!program->hash)
		program->hash = hash_of(program->output);
	if (!program->hash || hash_of(program->output) != program->hash) {
		bench_fail("%s: what it wrote differs from what it writes alone", who);
		return false;
	}
	if (tool && (status = ask(tool, "after", program->script->folder)) != 0) {
		complain(who, "nothing was recorded, or not all", status);
		return false;
	}
	return !job_interrupted();
}

static void keep(struct figure *figure, unsigned int round, double value)
{
	figure_add(figure, &(struct sample){ .value = value, .round = round });
}

static bool pair(struct prepared *program, size_t p, size_t t, unsigned int round)
{
	struct job_end end[2]; /* without, with */
	bool with = round % 2;
	int half;

	for (half = 0; half < 2; half++, with = !with)
		if (!run(program, with ? &tools[t] : NULL, &end[with]))
			return false;
		else if (with)
			snprintf(cells[p][t].recorded, sizeof(cells[p][t].recorded), "%s",
				 line_of(said, false));
	if (strcmp(programs[p].name, NOTHING) == 0)
		keep(&cells[p][t].wall, round, (end[1].wall_ns - end[0].wall_ns) / 1e6);
	else
		keep(&cells[p][t].wall, round, end[1].wall_ns / end[0].wall_ns);
	keep(&cells[p][t].cpu, round, end[1].cpu_ns / end[0].cpu_ns);
	keep(&times[p], (unsigned int)times[p].count, end[0].wall_ns / 1e9);
	return true;
}

/* Of the tools that are measured with program p; 0: none is. */
static unsigned int most_pairs(size_t p)
{
	unsigned int most = 0;
	size_t t;

	for (t = 0; t < tool_count; t++)
		if (cells[p][t].measured && tools[t].pairs > most)
			most = tools[t].pairs;
	return most;
}

static bool measure(struct prepared *program, size_t p)
{
	unsigned int round, most = most_pairs(p);
	struct job_end end;
	size_t t, n;

	if (!run(program, NULL, &end)) /* which also fills the caches */
		return false;
	for (round = 0; round < most; round++) {
		bench_progress(program->script->name, round, most);
		for (n = 0; n < tool_count; n++) {
			t = (n + round) % tool_count;
			if (cells[p][t].measured && round < tools[t].pairs &&
			    !pair(program, p, t, round))
				return false;
		}
	}
	return true;
}

static bool prepare(struct script *script, struct prepared *ret_program)
{
	char *words[WORDS_MAX + 1];
	int status = ask(script, "prepare", script->folder);

	if (status != 0 && status != 77)
		complain(script->name, "it cannot be prepared", status);
	if (status != 0) {
		result_absent(&alone, script->name, NULL,
			      status == 77 ? line_of(said, false) : "cannot be prepared");
		return false;
	}
	memset(ret_program, 0, sizeof(*ret_program));
	ret_program->script = script;
	snprintf(ret_program->text, sizeof(ret_program->text), "%s", said);
	if (add_words(words, 0, ret_program->text) < 2) {
		bench_fail("%s: no command", script->name);
		return false;
	}
	snprintf(ret_program->output, sizeof(ret_program->output), "%s/%s", script->folder,
		 words[0]);
	memcpy(ret_program->words, words + 1, sizeof(ret_program->words));
	return true;
}

/* ---- Results --------------------------------------------------------------------------------- */

static void report_rate(size_t p, size_t t)
{
	double calls = strtod(cells[p][t].recorded, NULL);
	double a_second = calls / figure_median(&times[p]) / 1e6;

	result_value(&rate, programs[p].name, NULL, a_second);
	if (strstr(programs[p].name, CHURN))
		result_goal(&rate, &(struct goal){ .words = programs[p].name,
						   .value = a_second,
						   .unit = rate.unit,
						   .limit = 5,
						   .at_least = true });
}

static void report(size_t p)
{
	size_t t;

	if (strcmp(programs[p].name, NOTHING) != 0)
		result_figure(&alone, &times[p]);
	for (t = 0; t < tool_count; t++) {
		struct cell *cell = &cells[p][t];

		if (!cell->measured)
			continue;
		if (strcmp(programs[p].name, NOTHING) == 0) {
			result_figure(&startup, &cell->wall);
			continue;
		}
		result_figure(&slowdown, &cell->wall);
		result_figure(&cpu, &cell->cpu);
		result_note(&slowdown, "%s: %s", cell->name, cell->recorded);
		if (strcmp(tools[t].name, OURS) == 0)
			report_rate(p, t);
	}
}

/* By how much program p is slower under a tool, 1 is twice as slow. NAN: not measured. */
static double excess(size_t p, const char *tool, bool without_start)
{
	double start = 0, ratio = NAN;
	size_t t, n;

	for (t = 0; t < tool_count; t++)
		if (strcmp(tools[t].name, tool) == 0) {
			ratio = figure_median(&cells[p][t].wall) - 1;
			for (n = 0; n < program_count; n++)
				if (strcmp(programs[n].name, NOTHING) == 0)
					start = figure_median(&cells[n][t].wall) / 1e3;
		}
	return without_start ? ratio - start / figure_median(&times[p]) : ratio;
}

static void judge(size_t p)
{
	double ours = excess(p, OURS, false), rival = excess(p, RIVAL, false);
	double ours_later = excess(p, OURS, true), rival_later = excess(p, RIVAL, true);
	char words[160];

	if (!strstr(programs[p].name, CHURN) || isnan(ours))
		return;
	snprintf(words, sizeof(words), "%.47s: (" RIVAL "'s - 1) / (" OURS "'s - 1)",
		 programs[p].name);
	result_goal(&slowdown, &(struct goal){ .words = words,
					       .value = rival / fmax(ours, EXCESS_MIN),
					       .limit = 5,
					       .at_least = true });
	if (rival_later > 0)
		result_note(&slowdown, "%s: without what both take to start and end, it is %.4g",
			    words, rival_later / fmax(ours_later, EXCESS_MIN));
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void begin(int argc, char **argv)
{
	const char *base = getenv("TMPDIR");

	bench_begin(argc, argv, "programs");
	snprintf(work, sizeof(work), "%s/bench-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(work)) {
		fprintf(stderr, "bench/programs: %s: %s\n", work, strerror(errno));
		exit(1);
	}
	job_catch_signals();
	snprintf(out_path, sizeof(out_path), "%s/.out", work);
	snprintf(err_path, sizeof(err_path), "%s/.err", work);
	setenv("BENCH_BUILD", BUILD_DIR, 1);
	setenv("BENCH_SOURCE", SOURCE_DIR, 1);
	setenv("BENCH_PROGRAMS", SOURCE_DIR "/bench/programs", 0);
	setenv("BENCH_TOOLS", SOURCE_DIR "/bench/tools", 0);
	setenv("BENCH_QUICK", bench_quick() ? "1" : "", 1);
	setenv("LC_ALL", "C", 1);
	setenv("HOME", work, 1);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("PYTHONHASHSEED", "0", 1);
	unsetenv("LD_PRELOAD");
	program_count = find("BENCH_PROGRAMS", "program", programs);
	tool_count = find("BENCH_TOOLS", "tool", tools);
}

static void begin_tools(void)
{
	size_t t, p;
	int status;

	for (t = 0; t < tool_count; t++) {
		tools[t].pairs = pairs_of(tools[t].path);
		status = ask(&tools[t], "begin", NULL);
		tools[t].present = status == 0;
		if (status == 77)
			result_absent(&slowdown, tools[t].name, NULL, line_of(said, false));
		else if (status != 0)
			complain(tools[t].name, "it cannot be started", status);
		for (p = 0; p < program_count; p++) {
			struct cell *cell = &cells[p][t];

			snprintf(cell->name, sizeof(cell->name), "%.47s: %.47s", programs[p].name,
				 tools[t].name);
			cell->wall.name = cell->cpu.name = cell->name;
			cell->measured = status == 0 && bench_wanted(cell->name);
			times[p].name = programs[p].name;
		}
	}
}

static void end_tools(void)
{
	char *words[] = { "rm", "-rf", work, NULL };
	size_t t;

	for (t = 0; t < tool_count; t++)
		if (tools[t].present && ask(&tools[t], "end", NULL) != 0)
			complain(tools[t].name, "it does not end", 1);
	if (job_run(&(struct job){ words, "/", "/dev/null", "/dev/null", true }).status != 0)
		bench_fail("%s cannot be removed", work);
}

int main(int argc, char **argv)
{
	static struct prepared program;
	size_t p;

	begin(argc, argv);
	begin_tools();
	for (p = 0; p < program_count && !job_interrupted(); p++) {
		if (most_pairs(p) == 0 || !prepare(&programs[p], &program))
			continue;
		programs[p].present = measure(&program, p);
		if (programs[p].present)
			report(p);
		else
			result_absent(&alone, programs[p].name, NULL, "a run was worth nothing");
	}
	end_tools();
	for (p = 0; p < program_count; p++)
		if (programs[p].present)
			judge(p);
	if (job_interrupted()) {
		bench_fail("interrupted");
		return 1;
	}
	return bench_end();
}
