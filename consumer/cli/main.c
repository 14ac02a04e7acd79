/* SPDX-License-Identifier: Apache-2.0 */
/* The `tally` command: its verbs, its help. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static int help_main(int argc, char **argv);

static const struct verb verb_help = {
	.name = "help",
	.run = help_main,
	.line = "show this list, or the help of one verb",
	.help = "usage: tally help [VERB]\n",
};

static const struct verb *const verbs[] = {
	&verb_run,   &verb_ps,	    &verb_top, &verb_devices, &verb_buffers, &verb_events,
	&verb_check, &verb_gateway, &verb_gc,  &verb_doctor,  &verb_help,
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find_verb(const char *name)
{
	size_t n;

	for (n = 0; n < VERBS; n++)
		if (strcmp(verbs[n]->name, name) == 0)
			return verbs[n];
	return NULL;
}

int usage_error(const char *verb, const char *format, ...)
{
	char words[512],
		line[512]; /* what was typed may be anything: none of it gets to the terminal */
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	text_clean(line, sizeof(line), words);
	fprintf(stderr, "tally%s%s: %s; try `tally help%s%s`\n", verb ? " " : "", verb ? verb : "",
		line, verb ? " " : "", verb ? verb : "");
	return EXIT_USAGE;
}

int unknown_option(const char *verb, char **argv)
{
	if (optopt > 0 && optopt < 256) /* perhaps in the middle of a word */
		return usage_error(verb, "unknown option -%c", optopt);
	return usage_error(verb, "unknown option %s", argv[optind - 1]);
}

static int unknown_verb(const char *name)
{
	const char *names[VERBS + 1] = { NULL };
	const char *nearest;
	char clean[64];
	size_t n;

	for (n = 0; n < VERBS; n++)
		names[n] = verbs[n]->name;
	text_clean(clean, sizeof(clean), name);
	nearest = text_nearest(name, names);
	if (nearest)
		return usage_error(NULL, "unknown verb \"%s\", did you mean \"%s\"?", clean,
				   nearest);
	return usage_error(NULL, "unknown verb \"%s\"", clean);
}

static int print_help(void)
{
	size_t n;

	printf("tally: who holds how much memory on which device\n\nusage: tally [VERB] ...\n\n");
	for (n = 0; n < VERBS; n++)
		printf("  %-7s %s\n", verbs[n]->name, verbs[n]->line);
	printf("\nWith no verb: top on a terminal, else ps. `tally help VERB` says more;\n"
	       "`tally --version` the version.\n");
	return EXIT_OK;
}

static int help_main(int argc, char **argv)
{
	const struct verb *verb;

	if (argc > 2)
		return usage_error("help", "one verb at a time");
	if (argc < 2)
		return print_help();
	verb = find_verb(argv[1]);
	if (!verb)
		return unknown_verb(argv[1]);
	fputs(verb->help, stdout);
	return EXIT_OK;
}

/* Descriptors 0 to 2 that are closed would be given to the next file that is opened. */
static void keep_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static bool asks_for_help(const char *argument)
{
	return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

/* top where there is somebody to look at it. */
static int run_default(void)
{
	char *top[] = { (char[]){ "top" }, NULL };
	char *ps[] = { (char[]){ "ps" }, NULL };

	const char *terminal = getenv("TERM");

	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && terminal &&
	    strcmp(terminal, "dumb") != 0)
		return verb_top.run(1, top);
	return verb_ps.run(1, ps);
}

static int run_verb(int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2)
		return run_default();
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("tally %s\n", TALLY_VERSION);
		return EXIT_OK;
	}
	if (asks_for_help(argv[1]))
		return print_help();
	if (argv[1][0] == '-')
		return usage_error(NULL, "unknown option %s", argv[1]);
	verb = find_verb(argv[1]);
	if (!verb)
		return unknown_verb(argv[1]);
	if (argc > 2 && asks_for_help(argv[2])) {
		fputs(verb->help, stdout);
		return EXIT_OK;
	}
	return verb->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	static char buffer[1024];
	int status;

	keep_standard_files();
	child_note_signals();
	tally_consumer_guard();
	setvbuf(stderr, buffer, _IOLBF, sizeof(buffer)); /* lines, not words */
	status = run_verb(argc, argv);
	if (fflush(stdout) != 0 && status == EXIT_OK) {
		say("the output was not written: %s", strerror(errno));
		return EXIT_ERROR;
	}
	return status;
}
