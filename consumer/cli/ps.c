/* SPDX-License-Identifier: Apache-2.0 */
/* tally ps: one look at everything of this user that runs with tally armed. */
#include <errno.h>
#include <string.h>

#include "source.h"

enum { OPTION_JSON = 256, OPTION_STRICT }; /* have no letter */

struct ps {
	struct source source;
	bool json, strict;
};

static int print_tables(const struct tally_snapshot *snapshot, const struct view *view)
{
	char exactness[512];

	render_tables(stdout, snapshot, view);
	render_exactness(exactness, sizeof(exactness), snapshot);
	printf("\n%s\n", exactness);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -errno;
}

static int show(const struct ps *ps, const struct tally_snapshot *snapshot,
		const struct unseen *unseen)
{
	struct view view = { .report = false };
	int error;

	if (ps->json)
		error = json_write(stdout, snapshot, false, unseen, NULL);
	else
		error = print_tables(snapshot, &view);
	if (error) {
		say("the output was not written: %s", strerror(-error));
		return EXIT_ERROR;
	}
	render_notes(snapshot, &view);
	return ps->strict && render_is_lost(snapshot) ? EXIT_LOST : EXIT_OK;
}

static int look(struct ps *ps)
{
	struct tally_consumer_options options = { 0 };
	const struct tally_snapshot *snapshot;
	struct unseen unseen;
	int result = source_open(&ps->source, &options);

	if (result)
		return result;
	result = source_look(&ps->source, &snapshot);
	source_find_unseen(&ps->source, &unseen);
	if (!result)
		result = show(ps, snapshot, &unseen);
	unseen_note(&unseen);
	unseen_free(&unseen);
	source_close(&ps->source);
	return result;
}

static int ps_main(int argc, char **argv)
{
	static const struct option options[] = {
		FILTER_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "strict", no_argument, NULL, OPTION_STRICT },
		{ NULL, 0, NULL, 0 },
	};
	struct ps ps = { 0 };
	int option, status;

	while ((option = filter_getopt(&ps.source.filter, argc, argv, ":" FILTER_LETTERS, options,
				       &status)) != -1) {
		if (option == OPTION_JSON)
			ps.json = true;
		else
			ps.strict = true;
	}
	if (status)
		return status;
	return look(&ps);
}

static const char help[] =
	"usage: tally ps " FILTER_USAGE " [--strict] [--json]\n"
	"\n"
	"Shows what every process of this user that runs with tally armed holds per device\n"
	"and pool, then per process. Those that were killed and left their region behind are\n"
	"shown with what they abandoned. The last line says whether all of it is exact.\n"
	"\n" FILTER_HELP
	"  --strict           exit with 6 if records were lost, or events are in no total\n"
	"  --json             as JSON\n"
	"\n"
	"Exit status: 0; 2 usage; 3 nothing to attach to, or no such device or pool; 4 no\n"
	"permission; 5 the process asked for has another version of libtally; 6 see --strict;\n"
	"1 other errors.\n";

const struct verb verb_ps = {
	.name = "ps",
	.run = ps_main,
	.line = "show what running processes hold, once",
	.help = help,
};
