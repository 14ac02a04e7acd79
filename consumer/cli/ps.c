/* SPDX-License-Identifier: Apache-2.0 */
/* tally ps: one look at everything of this user that runs with tally armed. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli.h"

#define OPTION_JSON 256 /* has no letter */

struct ps {
	uint32_t pid; /* 0: all */
	bool json;
	bool refused; /* something was, and has been said */
};

static void note_refusal(void *arg, const struct tally_refusal *refusal)
{
	struct ps *ps = arg;

	ps->refused = true;
	say_refusal(NULL, refusal);
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

static int say_nothing(const struct ps *ps)
{
	if (ps->pid)
		say("process %" PRIu32 " has no region; is it running with tally armed (TALLY=1)?",
		    ps->pid);
	else
		say("nothing to show; start a program with `tally run -- CMD`, or with TALLY=1 and "
		    "libtally");
	return EXIT_NOTHING;
}

static int open_failed(const struct ps *ps, int error)
{
	if (error == -ENOENT && ps->pid)
		return say_nothing(ps);
	return ps->refused ? exit_code_of(error) : say_no_directory(error);
}

static int show(const struct ps *ps, const struct tally_snapshot *snapshot)
{
	struct view view = { .report = false };
	int error;

	if (ps->json) {
		error = json_write(stdout, snapshot, false, NULL);
	} else {
		render_tables(stdout, snapshot, &view);
		error = fflush(stdout) == 0 && !ferror(stdout) ? 0 : -errno;
	}
	if (error) {
		say("the output was not written: %s", strerror(-error));
		return EXIT_ERROR;
	}
	render_notes(snapshot, &view);
	return EXIT_OK;
}

static int look(struct ps *ps)
{
	struct tally_consumer_options options = {
		.pid = ps->pid,
		.refused = note_refusal,
		.refused_arg = ps,
	};
	const struct tally_snapshot *snapshot;
	struct tally_consumer *consumer;
	struct rlimit limit;
	int result;

	/* A descriptor for each process. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	result = tally_consumer_open(&options, &consumer);
	if (result)
		return open_failed(ps, result);
	snapshot = tally_snapshot_get(consumer);
	if (snapshot->process_count == 0)
		result = say_nothing(ps);
	else
		result = show(ps, snapshot);
	tally_snapshot_put(snapshot);
	tally_consumer_close(consumer);
	return result;
}

int verb_ps(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "pid", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	struct ps ps = { 0 };
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":p:", options, NULL)) != -1) {
		switch (option) {
		case OPTION_JSON:
			ps.json = true;
			break;
		case 'p':
			if (!parse_pid(optarg, &ps.pid))
				return usage_error("ps", "\"%s\" is no process id", optarg);
			break;
		case ':':
			return usage_error("ps", "%s needs a value", argv[optind - 1]);
		default:
			return unknown_option("ps", argv);
		}
	}
	if (optind < argc)
		return usage_error("ps", "unexpected argument \"%s\"", argv[optind]);
	return look(&ps);
}
