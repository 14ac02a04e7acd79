/* SPDX-License-Identifier: Apache-2.0 */
/* tally top: who holds what, all the time, in a terminal. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "top.h"

#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 86400
#define INTERVAL_DEFAULT_NS 1000000000u
#define EXIT_INTERRUPTED 130

struct arguments {
	uint64_t interval_ns;
	bool all_users;
	struct top_filter filter;
};

/* ---- Arguments ------------------------------------------------------------------------------- */

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

static bool parse_pid(const char *text, uint32_t *ret_pid)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value == 0 || value > INT32_MAX)
		return false;
	*ret_pid = (uint32_t)value;
	return true;
}

static bool copy_name(char *to, size_t size, const char *from)
{
	return from[0] && (size_t)snprintf(to, size, "%s", from) < size;
}

/* 0, or an exit code after saying what is wrong with this option. */
static int take_option(struct arguments *arguments, int option, char **argv)
{
	struct top_filter *filter = &arguments->filter;

	switch (option) {
	case 'a':
		arguments->all_users = true;
		return 0;
	case 'i':
		if (parse_interval(optarg, &arguments->interval_ns))
			return 0;
		return usage_error("top", "\"%s\" is no number of seconds from 0.1 to 86400",
				   optarg);
	case 'p':
		if (parse_pid(optarg, &filter->pid))
			return 0;
		return usage_error("top", "\"%s\" is no process id", optarg);
	case 'd':
		if (copy_name(filter->device, sizeof(filter->device), optarg))
			return 0;
		return usage_error("top", "\"%s\" is no device", optarg);
	case 'P':
		if (copy_name(filter->pool, sizeof(filter->pool), optarg))
			return 0;
		return usage_error("top", "\"%s\" is no pool", optarg);
	case ':':
		return usage_error("top", "%s needs a value", argv[optind - 1]);
	default:
		return unknown_option("top", argv);
	}
}

static int parse(struct arguments *arguments, int argc, char **argv)
{
	static const struct option options[] = {
		{ "all-users", no_argument, NULL, 'a' },
		{ "device", required_argument, NULL, 'd' },
		{ "interval", required_argument, NULL, 'i' },
		{ "pid", required_argument, NULL, 'p' },
		{ "pool", required_argument, NULL, 'P' },
		{ NULL, 0, NULL, 0 },
	};
	int option, error;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":ad:i:p:P:", options, NULL)) != -1) {
		error = take_option(arguments, option, argv);
		if (error)
			return error;
	}
	if (optind < argc)
		return usage_error("top", "unexpected argument \"%s\"", argv[optind]);
	return 0;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Looks when it is time, draws when there is something new, until it is to end. */
static enum top_event watch(struct top *top)
{
	uint64_t due_ns = top_now_ns() + top->feed.interval_ns;
	enum top_event event = TOP_DRAW;

	while (!top->quit) {
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

/* As the signal would have ended it, so that who waits for this process sees that. */
static int end_as_asked(void)
{
	int number = top_term_signal();

	if (number == SIGINT)
		return EXIT_INTERRUPTED;
	signal(number, SIG_DFL);
	raise(number);
	return 128 + number;
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
		return end_as_asked();
	if (event == TOP_GONE) {
		say("the terminal has gone");
		return EXIT_ERROR;
	}
	return EXIT_OK;
}

int verb_top(int argc, char **argv)
{
	static struct top top; /* large */
	struct arguments arguments = { .interval_ns = INTERVAL_DEFAULT_NS };
	int result = parse(&arguments, argc, argv);

	if (result)
		return result;
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		say("top: %s is no terminal; use `tally ps`",
		    isatty(STDOUT_FILENO) ? "standard input" : "standard output");
		return EXIT_USAGE;
	}
	setlocale(LC_CTYPE, ""); /* alone: numbers keep their point */
	top.model.filter = arguments.filter;
	top.model.sort = COLUMN_HELD;
	result = top_feed_open(&top.feed, arguments.all_users, arguments.interval_ns);
	if (result)
		return say_no_directory(result);
	result = run(&top);
	top_feed_close(&top.feed);
	top_histories_free(&top.histories);
	top_model_free(&top.model);
	free(top.buffers.kept);
	return result;
}
