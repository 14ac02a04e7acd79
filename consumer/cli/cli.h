/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of the `tally` command share: exit codes, words, tables, JSON. */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <tally/consumer.h>

enum exit_code {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_NOTHING = 3, /* to attach to */
	EXIT_PERMISSION = 4,
	EXIT_VERSION = 5, /* of the region that was asked for */
	EXIT_LOST = 6,	  /* records, with --strict */
	EXIT_BROKEN = 7,  /* a rule of check */
	EXIT_INTERRUPTED = 130,
	EXIT_RUN_FAILED = 125, /* run itself, before CMD was started */
	EXIT_NOT_RUNNABLE = 126,
	EXIT_NOT_FOUND = 127,
};

#define PATH_SIZE 4096

/* ---- Verbs, each in a file of its name ------------------------------------------------------- */

struct verb {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit status */
	const char *line;		   /* in the list of verbs */
	const char *help;
};

extern const struct verb verb_run, verb_ps, verb_top, verb_devices, verb_buffers, verb_events,
	verb_check, verb_gateway, verb_gc, verb_doctor;

/* ---- main.c ---------------------------------------------------------------------------------- */

/* Says what is wrong with an option or argument and where help is. Returns EXIT_USAGE. */
int usage_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for the option that getopt_long() has just not known. Options without a letter have
 * values from 256 up. */
int unknown_option(const char *verb, char **argv);

/* ---- text.c ---------------------------------------------------------------------------------- */

/* One line on stderr, after "tally: ". */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line for each refused file; for struct tally_consumer_options. */
void say_refusal(void *arg, const struct tally_refusal *refusal);

/* The exit code for a negative errno; the same after saying that the regions' directory cannot be
 * read for that reason. */
int exit_code_of(int error);
int say_no_directory(int error);

/* Where regions are. */
const char *text_regions_dir(void);

#define TEXT_MAX 32

/* "12.3 MiB", of at most three digits; "12,345,678"; "12.3 M". */
void text_bytes(char text[TEXT_MAX], int64_t bytes);
void text_count(char text[TEXT_MAX], uint64_t count);
void text_short_count(char text[TEXT_MAX], uint64_t count);

/* "3 days", "25 min", "1500 ms": less than twice a unit is told in the smaller one. */
void text_age(char text[TEXT_MAX], uint64_t ns);

/* Copies text of unknown origin: what is not printable becomes '?', what does not fit "...". */
void text_clean(char *to, size_t size, const char *from);

/* The word of a NULL-terminated list that looks most like `word`, or NULL. */
const char *text_nearest(const char *word, const char *const *words);

/* ---- output.c -------------------------------------------------------------------------------- */

/* For lists of any length: more is written at a time, and a reader that has gone is an error and no
 * signal. To be called before anything is written. */
void output_long(void);

/* Writes what is waiting. 0; EXIT_ERROR after saying why it cannot be written; EXIT_GONE, and not a
 * word, when nobody reads any more: all that is written from here on is dropped. */
int output_flush(void);

#define EXIT_GONE -1 /* never an exit status: who reads no more is content */

/* ---- parse.c --------------------------------------------------------------------------------- */

/* All of the text is one number, up to `max`; a process id; "4096", "64KiB", "1.5GiB", "10MB" (a
 * million bytes); "90", "99.5" up to 100, in thousandths; "250ms", "10s", "5m", "1.5h". False: it
 * is not, and nothing is returned. */
bool parse_number(const char *text, uint64_t max, uint64_t *ret_value);
bool parse_pid(const char *text, uint32_t *ret_pid);
bool parse_size(const char *text, uint64_t *ret_bytes);
bool parse_percent(const char *text, uint64_t *ret_thousandths);
bool parse_duration(const char *text, uint64_t *ret_ns);

/* ---- table.c --------------------------------------------------------------------------------- */

#define TABLE_COLUMNS 12

enum cell_kind { CELL_NONE, CELL_TEXT, CELL_BYTES, CELL_COUNT };

struct cell {
	enum cell_kind kind;
	bool at_least; /* ">=" before the value */
	int64_t bytes;
	uint64_t count;
	char text[64];
};

/* Columns are as wide as what is in them. Counts are cut to "12.3 M" when the table would be wider
 * than `width`. Heads beginning with '<' are of text, to the left. */
struct table {
	const char *const *heads; /* NULL-terminated */
	struct cell (*rows)[TABLE_COLUMNS];
	size_t row_count, row_room;
	size_t column; /* the next one of the last row */
};

void table_row(struct table *table);
void table_text(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_bytes(struct table *table, int64_t bytes, bool at_least);
void table_count(struct table *table, uint64_t count);
void table_none(struct table *table);

/* Prints it and frees its rows. */
void table_print(struct table *table, FILE *out, size_t width);

/* Columns of the terminal behind `fd`, 80 when it is none. */
size_t table_width(int fd);

/* ---- render.c -------------------------------------------------------------------------------- */

/* How a view looks: `ps` of the living, or the report of a run that has ended. */
struct view {
	bool report;		 /* at end, not held now */
	uint32_t command_pid;	 /* run: CMD's process; else 0 */
	const char *command_end; /* how CMD ended: "SIGKILL", "status 0" */
};

/* One table per device and pool, one per process. */
void render_tables(FILE *out, const struct tally_snapshot *snapshot, const struct view *view);

/* What a reader of the tables should know, a line each, by say(). */
void render_notes(const struct tally_snapshot *snapshot, const struct view *view);

/* Another program took its place: a later process image has the same pid. */
bool render_is_replaced(const struct tally_snapshot *snapshot, size_t n);

/* How a process has ended, in a word. */
const char *render_end(const struct tally_snapshot *snapshot, size_t n, const struct view *view);

/* Whether all the numbers of a view are exact, in words: "exact"; "exact totals, 12 records lost";
 * "exact totals, 12 records lost: buffer list incomplete since 14:03:22"; "not exact: " and why.
 * Peaks that are bounds are marked where they stand. Returns whether totals are exact. */
#define EXACTNESS_MAX 512
bool render_exactness(char *text, size_t size, const struct tally_snapshot *snapshot);

/* "HH:MM:SS" of local time. */
void render_time(char text[TEXT_MAX], uint64_t realtime_ns);

/* Data was lost, as --strict means it: a record, an event in no total, a buffer without a row. */
bool render_is_lost(const struct tally_snapshot *snapshot);

/* The device of that number, or NULL. */
const struct tally_device_view *render_device(const struct tally_snapshot *snapshot,
					      uint32_t device);

/* What is known of a pool: everything; or, of a part or of all, a runtime's own totals only. */
const char *render_known(const struct tally_pool_view *pool); /* "", "part totals only", ... */

/* Nothing was ever done there. */
bool render_is_silent(const struct tally_totals *totals);

/* All pools of one process, or of all: sums that make sense over pools; peak where there is one. */
struct tally_totals render_sum(const struct tally_pool_view *pools, size_t count);

/* ---- json.c ---------------------------------------------------------------------------------- */

/* What `run` adds to the snapshot. */
struct json_run {
	char *const *command;
	uint32_t pid;
	int exit_status; /* negative: ended by a signal */
	int signal;	 /* 0: none */
	bool followed;
	const char *reason; /* why not, or NULL */
	uint64_t elapsed_ns;
};

struct unseen;

/* Writes tally.snapshot/1. records_read: whether records were read, else what only they can tell is
 * null. unseen may be NULL: not looked for; run, too. 0 or a negative errno. */
int json_write(FILE *out, const struct tally_snapshot *snapshot, bool records_read,
	       const struct unseen *unseen, const struct json_run *run);

/* New json_t of jansson's: text from outside, which need not be UTF-8 as JSON must be; null where
 * that is "" or NULL; a number; nanoseconds, as a string; what names a process image. */
struct json_t *json_text_of(const char *value);
struct json_t *json_known_text(const char *value);
struct json_t *json_count(uint64_t value);
struct json_t *json_time(uint64_t ns);
struct json_t *json_image(uint64_t region_id);

/* Adds a pool, by its name, to an object of them. */
void json_add_pool(struct json_t *pools, const struct tally_pool_view *pool);

/* Text from outside as a JSON string, "" as null: for lists that are written row by row. */
void json_put_text(FILE *out, const char *value);

/* Writes it to stdout and lets go of it. An exit code, after saying why if it is not EXIT_OK. */
int json_print(struct json_t *json);

/* ---- child.c --------------------------------------------------------------------------------- */

/* CMD, and the signals between it and the terminal. */
struct child {
	int pid;
	int status; /* of waitpid() */
};

/* Notes how signals stand, for CMD: to be called before anything here changes that. */
void child_note_signals(void);

/* Starts CMD with this process's environment, standard files, signal mask and dispositions. 0, or
 * an exit code after saying why not. From here on SIGINT, SIGTERM and the like are CMD's. */
int child_start(struct child *child, char **argv);

/* Waits up to `milliseconds` and forwards signals meanwhile; true when CMD has ended. */
bool child_wait(struct child *child, unsigned int milliseconds);

/* ---- preload.c ------------------------------------------------------------------------------- */

/* Sets this process's environment to what CMD is to start with; lent_region may be NULL. 0, or an
 * exit code after saying why not. */
int preload_environment(uint64_t run_id, const char *lent_region);

/* The file to preload, absolute. False: it is not found; errno says why where TALLY_PRELOAD names
 * it. */
bool preload_find(char path[PATH_SIZE]);

/* ---- reach.c --------------------------------------------------------------------------------- */

/* The file that execvp() would take, as far as access() with `mode` allows. A command with a slash
 * in it is its own path, there or not. */
bool reach_find(char path[PATH_SIZE], const char *command, int mode);

/* Why a program of that name cannot be followed, for people; `dir` is where regions are made. */
void reach_reason(char *reason, size_t size, const char *command, const char *dir);

#endif
