/* SPDX-License-Identifier: Apache-2.0 */
/* tally top: who holds what, all the time, in a terminal. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "top.h"

#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 86400
#define INTERVAL_DEFAULT_NS 1000000000u

static bool parse_interval(const char *text, uint64_t *ret_ns)
{
	char *end;
	double seconds;

	if (text[0] < '0' || text[0] > '9')
		return false;
	seconds = strtod(text, &end);
	if (*end || !(seconds >= INTERVAL_MIN_S && seconds <= INTERVAL_MAX_S))
		return false;
	*ret_ns = (uint64_t)(seconds * 1e9 + 0.5);
	return true;
}

/* 0, or an exit code after saying what is wrong. */
static int parse(struct top *top, int argc, char **argv)
{
	static const struct option options[] = {
		FILTER_OPTIONS,
		{ "interval", required_argument, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	int status;

	top->feed.interval_ns = INTERVAL_DEFAULT_NS;
	while (filter_getopt(&top->asked, argc, argv, ":i:" FILTER_LETTERS, options, &status) != -1)
		if (!parse_interval(optarg, &top->feed.interval_ns))
			return usage_error("top", "\"%s\" is no number of seconds from %g to %d",
					   optarg, INTERVAL_MIN_S, INTERVAL_MAX_S);
	return status;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Looks when it is time, draws when there is something new, until it is to end. */
static enum top_event watch(struct top *top)
{
	uint64_t due_ns = top_now_ns() + top->feed.interval_ns;
	enum top_event event = TOP_DRAW;
	int error;

	while (!top->quit) {
		error = top_feed_settle(&top->feed);
		if (error)
			snprintf(top->message, sizeof(top->message), "records cannot be read: %s",
				 strerror(-error));
		if (top_now_ns() >= due_ns) {
			top_feed_look(&top->feed);
			due_ns = top_now_ns() + top->feed.interval_ns;
			event = TOP_DRAW;
		}
		if (event != TOP_DUE)
			top_frame_draw(top);
		event = top_term_wait(due_ns);
		if (event == TOP_KEYS)
			top_keys_take(top);
		else if (event == TOP_STOP || event == TOP_GONE)
			return event;
	}
	return TOP_KEYS;
}

static int run(struct top *top)
{
	int error = top_term_open();
	enum top_event event;

	if (error)
		return error;
	event = watch(top);
	top_term_close();
	if (event == TOP_STOP)
		return 128 + top_term_signal();
	if (event == TOP_GONE) {
		say("the terminal has gone");
		return EXIT_ERROR;
	}
	return EXIT_OK;
}

/* 0, or an exit code after saying what is not as it must be. */
static int check_place(const struct top *top)
{
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		say("top: standard %s is no terminal; use `tally ps`",
		    isatty(STDOUT_FILENO) ? "input" : "output");
		return EXIT_USAGE;
	}
	if (top->asked.all_users && geteuid() != 0) {
		say("only root may look at what other users run");
		return EXIT_PERMISSION;
	}
	return 0;
}

static int top_main(int argc, char **argv)
{
	static struct top top; /* large */
	int result = parse(&top, argc, argv);

	if (!result)
		result = check_place(&top);
	if (result)
		return result;
	setlocale(LC_CTYPE, ""); /* alone: numbers keep their point */
	top.model.sort = COLUMN_HELD;
	result = top_feed_open(&top.feed, top.asked.all_users);
	if (result)
		return say_no_directory(result);
	result = run(&top);
	if (!top.buffers.scanning.started)
		top_feed_close(&top.feed);
	top_buffers_free(&top.buffers);
	top_histories_free(&top.histories);
	top_model_free(&top.model);
	return result;
}

static const char help[] =
	"usage: tally top " FILTER_USAGE " [-i SECONDS]\n"
	"\n"
	"Shows per device what is held of the capacity, DRAM and L1 with their parts, then each\n"
	"process of this user that runs with tally armed, again and again. Keys and mouse lead\n"
	"to views of one process, of live buffers, and of what was lost and what watching\n"
	"costs; ? lists them.\n"
	"\n" FILTER_HELP "  -i, --interval SECONDS\n"
	"                     look so often: default 1, at least 0.1\n"
	"\n"
	"Exit status: 0; 2 usage, or no terminal; 3 no such directory; 4 no permission; 128+n\n"
	"if signal n ended it (130: interrupted); 1 other errors.\n"
	"Environment: TALLY_DIR is where regions are, default /dev/shm; NO_COLOR, for text\n"
	"without colours; the locale, for bars and lines in UTF-8.\n";

const struct verb verb_top = {
	.name = "top",
	.run = top_main,
	.line = "show what running processes hold, all the time, in a terminal",
	.help = help,
};
