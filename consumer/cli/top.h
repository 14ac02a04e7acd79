/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `tally top` share. Nothing here is of curses: top_term.c and top_draw.c alone
 * speak to the terminal, so that what is shown is worked out apart from how it is drawn. */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include <pthread.h>

#include "filter.h"

struct top;
struct top_filter;

/* ---- top_job.c: what takes long, beside the screen ------------------------------------------- */

struct top_job {
	void (*run)(void *run_arg);
	void *run_arg;
	bool started; /* and not yet taken */
	pthread_t thread;
	pthread_mutex_t lock;
	bool done;
};

/* Runs it in a thread, which wakes top_term_wait() at its end. False: it could not be made, or one
 * is running. */
bool top_job_start(struct top_job *job, void (*run)(void *run_arg), void *run_arg);

/* Whether it has ended since it was started; once. */
bool top_job_take(struct top_job *job);

/* ---- top_feed.c: the consumer, and what watching costs --------------------------------------- */

#define TOP_REFUSED_KEPT 100

struct top_refused {
	char name[64];
	char message[256];
};

struct top_feed {
	struct tally_consumer *consumer;
	struct tally_consumer_options options;
	uint64_t interval_ns;
	int error; /* of the last look */
	struct top_job opening;
	struct tally_consumer *opened; /* by that */
	int open_error;
	uint64_t open_realtime_ns;

	uint64_t start_realtime_ns, start_ns; /* of this command */
	uint64_t attach_realtime_ns;	      /* of this consumer */
	uint64_t look_ns;		      /* what the last look took, when it was made here */
	uint64_t cpu_ns, cpu_at_ns;	      /* used by this process, and when */
	double cpu_share;		      /* of one processor, between the last two looks */

	pthread_mutex_t lock; /* refusals come on the thread that looks */
	struct top_refused refused[TOP_REFUSED_KEPT];
	size_t refused_count; /* all of them, kept or not */
};

/* A negative errno of tally_consumer_open(). */
int top_feed_open(struct top_feed *feed, bool all_users);
void top_feed_close(struct top_feed *feed);

/* Looks, unless records are read: then a thread looks and drains them all the time. */
void top_feed_look(struct top_feed *feed);

/* Begins to read records, in the background, with a consumer that takes the place of the one before
 * once it is there: it may have much to read. */
void top_feed_read_buffers(struct top_feed *feed);

/* Lets it take that place. A negative errno if there is none. */
int top_feed_settle(struct top_feed *feed);

uint64_t top_now_ns(void); /* CLOCK_MONOTONIC */

/* ---- top_groups.c: pools as a device has them: DRAM and L1 with their parts ------------------ */

enum top_group_kind { TOP_GROUP_DRAM, TOP_GROUP_L1, TOP_GROUP_SYSTEM, TOP_GROUP_KINDS };

#define TOP_PARTS 4

struct top_part {
	const char *name;
	const struct tally_pool_view *pool; /* NULL: it holds nothing, or see unknown */
	bool unknown;			    /* nobody tells what it holds */
};

/* Or one pool by itself, then without parts. */
struct top_group {
	uint32_t series;	      /* of its history */
	struct tally_pool_view whole; /* under the group's name; its peak is a bound */
	struct top_part parts[TOP_PARTS];
	size_t part_count; /* 0: there is nothing to tell apart */
};

/* The groups of the pools of one device, over all processes or of one. Where pools are chosen, each
 * of these is shown as itself: a sum of some parts would pass for the whole. */
struct top_groups {
	const struct tally_pool_view *pools;
	size_t count;
	bool plain;			 /* no groups */
	const struct top_filter *filter; /* no groups either; NULL: what is typed does not matter */
	size_t step;
};

/* NULL: it has none. */
const struct tally_pool_view *top_device_pools(const struct tally_snapshot *snapshot,
					       const struct tally_device_view *device);

struct top_groups top_groups_of(const struct top *top, const struct tally_pool_view *pools,
				size_t count);
bool top_group_next(struct top_groups *groups, struct top_group *group);

/* What pools of any devices hold in the groups of that kind. */
struct top_held {
	int64_t bytes;
	bool at_least, used;
};

struct top_held top_group_held(enum top_group_kind kind, const struct tally_pool_view *pools,
			       size_t count);

/* ---- top_model.c: which processes are shown, and in what order ------------------------------- */

/* What is typed, on top of what the options chose. Empty lets everything pass. */
struct top_filter {
	char text[48];	 /* in the command, or the beginning of the pid */
	char device[48]; /* its number, or a part of its name */
	char pool[24];	 /* its name or number */
};

/* The columns of the process table. */
enum top_column_id {
	COLUMN_PID,
	COLUMN_COMMAND,
	COLUMN_USER,
	COLUMN_HELD,
	COLUMN_DRAM,
	COLUMN_L1,
	COLUMN_SYSTEM,
	COLUMN_PEAK,
	COLUMN_ABANDONED,
	COLUMN_RATE,
	COLUMN_ALLOCS,
	COLUMN_FREES,
	COLUMN_FAILED,
	COLUMN_LOST,
	COLUMN_STATE,
	COLUMN_DEVICES,
	COLUMN_COUNT,
};

struct top_row {
	size_t process; /* in the snapshot */
	uint64_t id;	/* of the process image */
	struct tally_totals sum;
	struct top_held groups[TOP_GROUP_KINDS];
	double rate; /* allocations per second; negative: not known */
	bool peak_known;
};

struct top_model {
	struct top_filter filter;
	enum top_column_id sort;
	bool reversed;

	const struct tally_snapshot *snapshot; /* of the frame that is drawn */
	uint64_t taken_ns;		       /* of the rows; 0: make them anew */
	struct top_row *rows;
	size_t row_count, row_room;
	struct tally_pool_view *scratch; /* a process's pools that the filter lets pass */
	size_t scratch_room;
	size_t selected;      /* row */
	uint64_t selected_id; /* its process, which it stays on */
};

void top_model_free(struct top_model *model);

/* Makes the rows of this snapshot, unless they are; call top_model_changed() when the filter or the
 * order is another. */
void top_model_take(struct top_model *model, const struct tally_snapshot *snapshot);
void top_model_changed(struct top_model *model);
void top_model_select(struct top_model *model, size_t row);

bool top_filter_is_set(const struct top_filter *filter);
bool top_filter_device(const struct top_filter *filter, const struct tally_snapshot *snapshot,
		       uint32_t device);
bool top_filter_pool(const struct top_filter *filter, uint32_t pool, const char *name);
bool top_filter_process(const struct top_filter *filter, uint32_t pid, const char *comm);

/* ---- top_history.c: what devices and their groups held during the last minutes --------------- */

#define TOP_HISTORY_S 120

/* All of the device; else a group of top_groups.c, or from there on a pool by itself. */
#define TOP_SERIES_ALL 0u
#define TOP_SERIES_POOLS 16u

struct top_history {
	uint64_t key;		     /* device, then series */
	uint64_t last_s;	     /* second of the newest value */
	int64_t held[TOP_HISTORY_S]; /* most bytes in that second, at second modulo length */
	bool known[TOP_HISTORY_S];   /* in that second a look was made */
};

struct top_histories {
	struct top_history **all; /* by key */
	size_t count;
	uint64_t taken_ns;
};

void top_histories_take(struct top *top, const struct tally_snapshot *snapshot);
void top_histories_free(struct top_histories *histories);
const struct top_history *top_history_of(const struct top_histories *histories, uint32_t device,
					 uint32_t series);

/* The last two minutes in `count` values, 1 up to TOP_HISTORY_S, the oldest first; -1 where nothing
 * is known. */
void top_history_read(const struct top_history *history, int64_t *values, size_t count);

/* ---- top_list.c: lists that scroll, tables whose columns come and go with the width ---------- */

struct top_list {
	size_t count, cursor, first;
	bool plain;    /* has no cursor, scrolls */
	int y, height; /* on the screen, as last drawn */
};

void top_list_place(struct top_list *list, size_t count, int y, int height);
void top_list_move(struct top_list *list, long by);

#define TOP_COLUMNS 16

struct top_column {
	const char *head;
	int width, width_max; /* width_max: may grow to that; 0: may not */
	bool left;
	int rank; /* the lowest are left out first */
};

struct top_table {
	const struct top_column *columns;
	int count;
	int x[TOP_COLUMNS], width[TOP_COLUMNS]; /* width 0: not shown */
	int y;					/* of the heads */
};

/* Of `columns` those in `wanted` (bits) that fit. */
void top_table_lay(struct top_table *table, const struct top_column *columns, int count,
		   uint32_t wanted, int width);
int top_table_hit(const struct top_table *table, int x);	       /* column, or -1 */
int top_table_next(const struct top_table *table, int column, int by); /* that is shown */

/* ---- top_draw.c: the screen ------------------------------------------------------------------ */

enum top_look {
	LOOK_PLAIN,
	LOOK_HEAD,
	LOOK_DIM,
	LOOK_USED, /* the part of a bar */
	LOOK_WARN,
	LOOK_BAD,
};

int top_rows(void);
int top_columns(void);
void top_begin(void); /* an empty frame */
void top_end(void);   /* which is then shown */
void top_redraw_all(void);

/* Text of any origin in at most `width` columns, cut with "..."; returns the columns it took. */
int top_text(int y, int x, int width, enum top_look look, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* The same, ending at x + width. */
void top_text_right(int y, int x, int width, enum top_look look, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void top_bar(int y, int x, int width, double part);
void top_spark(int y, int x, const int64_t *values, size_t count);
void top_mark_row(int y); /* as selected */

void top_table_heads(const struct top_table *table, int sort, bool reversed);
void top_cell(const struct top_table *table, int column, int y, enum top_look look,
	      const char *format, ...) __attribute__((format(printf, 5, 6)));
void top_cell_bytes(const struct top_table *table, int column, int y, int64_t bytes, bool at_least);
void top_cell_count(const struct top_table *table, int column, int y, uint64_t count);

/* ---- top_term.c: the terminal, and the signals ----------------------------------------------- */

enum top_event {
	TOP_KEYS, /* there is something to read */
	TOP_DUE,  /* the time has come */
	TOP_DRAW, /* the screen is another, or must be drawn again */
	TOP_STOP, /* a signal asks to end */
	TOP_GONE, /* the terminal is not there any more */
};

/* 0, or an exit code after saying why not. */
int top_term_open(void);
void top_term_close(void);
enum top_event top_term_wait(uint64_t until_ns);
void top_term_wake(void); /* from any thread: TOP_DRAW */

/* The signal that asked to end. */
int top_term_signal(void);

/* Keys: a character, or one of these; 0 when there are no more. */
enum top_key {
	KEY_NONE_LEFT = 0,
	TOP_KEY_UP = 0x110000,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_ESCAPE,
	TOP_KEY_BACKSPACE,
	TOP_KEY_TAB,
	TOP_KEY_CLICK, /* at mouse_y, mouse_x */
	TOP_KEY_WHEEL_UP,
	TOP_KEY_WHEEL_DOWN,
	TOP_KEY_OTHER,
};

uint32_t top_term_key(int *mouse_y, int *mouse_x);

/* ---- All of it ------------------------------------------------------------------------------- */

enum top_view { VIEW_MAIN, VIEW_PROCESS, VIEW_BUFFERS, VIEW_COST, VIEW_COUNT };

#define TOP_BUFFERS_KEPT 1000

struct top_buffer {
	uint64_t id, size, region_id, alloc_ns;
	uint32_t pid, device, pool;
	char comm[24], pool_name[24], tag[56];
	bool ended, unsure;
};

/* One passage through all of them. */
struct top_scan {
	const struct tally_consumer *consumer;
	const struct filter *asked;
	struct top_filter filter;
	int sort; /* column of top_buffers.c */
	bool reversed;
	const struct tally_snapshot *snapshot; /* while it goes on */

	struct top_buffer *kept; /* a heap while it goes on, then in order */
	size_t kept_count;
	uint64_t matching, matching_bytes, all;
	uint64_t took_ns, realtime_ns;
};

struct top_buffers {
	int sort;
	bool reversed;
	bool stale; /* the filter or order is another than that of the last scan */
	struct top_scan shown, next;
	struct top_job scanning; /* next */
	uint64_t scanned_ns;	 /* when the last one ended */
	uint64_t snapshot_ns;	 /* of the last look that one was made for */
};

enum top_prompt { PROMPT_NONE, PROMPT_TEXT, PROMPT_DEVICE, PROMPT_POOL };

struct top {
	struct filter asked; /* by options */
	struct top_feed feed;
	struct top_model model;
	struct top_histories histories;
	struct top_buffers buffers;

	enum top_view view;
	bool help;
	bool devices_focused;
	bool quit;
	uint64_t shown_id; /* of the process view */
	struct top_list devices, processes, process, kept, cost, help_list;
	struct top_table table; /* of the list in view; its heads can be clicked */
	enum top_prompt prompt;
	char before[48]; /* the prompt's text, should it be given up */
	char message[160];
	uint64_t draw_ns; /* processor time of the last redraw */
};

/* ---- The views: from row y on, `height` rows ------------------------------------------------- */

void top_main_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height);
/* Devices take up to `most` rows; returns how many they took. */
int top_devices_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int most);
void top_process_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height);
void top_buffers_free(struct top_buffers *buffers);
void top_buffers_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height);
void top_cost_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int height);
void top_help_draw(struct top *top, int y, int height);

/* A line of a list without a cursor: drawn when it is in view. `line` counts. */
void top_line(const struct top_list *list, size_t *line, enum top_look look, const char *format,
	      ...) __attribute__((format(printf, 4, 5)));

/* Which columns can be sorted by, in the view that is shown; the order's column, or NULL. */
int *top_sort_of(struct top *top, bool **ret_reversed);

/* ---- top_frame.c: what is around the views; top_keys.c --------------------------------------- */

void top_frame_draw(struct top *top);
char *top_prompt_text(struct top *top, size_t *ret_size);
void top_show_view(struct top *top, enum top_view view);
void top_keys_take(struct top *top);

#endif
