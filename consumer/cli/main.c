/* SPDX-License-Identifier: Apache-2.0 */
/* The `tally` command: its verbs, its help. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *line; /* in the list of verbs */
	const char *help;
};

static int verb_help(int argc, char **argv);

static const struct verb verbs[] = {
	{ "run", verb_run, "start a command, follow all its processes, report at its end",
	  "usage: tally run [--json FILE] [--ring N] [--] CMD [ARGUMENT...]\n"
	  "\n"
	  "Starts CMD with Tally's malloc and follows it and every process it forks or\n"
	  "executes. At CMD's end the report goes to stderr: what each device and pool, then\n"
	  "each process held at its end, its peak, allocations, frees, failures, and lost\n"
	  "records (losses cost detail, totals are exact). CMD's input, output and exit status\n"
	  "pass through untouched.\n"
	  "\n"
	  "  --json FILE   write the report to FILE as JSON instead (-: to stdout)\n"
	  "  --ring N      records kept per thread: a power of two from 64 to 1048576, or 0\n"
	  "                for totals alone; default: TALLY_RING, or 2048\n"
	  "\n"
	  "Exit status: CMD's; 128+n if signal n ended it; 125 if tally failed, 126 if CMD could\n"
	  "not be executed, 127 if it was not found.\n"
	  "Environment: TALLY_PRELOAD is libtally-malloc.so if it is not found by itself;\n"
	  "TALLY_DIR is where regions are made, default /dev/shm; CMD sees TALLY_RING,\n"
	  "TALLY_LANES and the other variables of libtally.\n" },
	{ "ps", verb_ps, "show what running processes hold, once",
	  "usage: tally ps [-p PID] [--json]\n"
	  "\n"
	  "Shows what every process of this user that runs with tally armed holds per device\n"
	  "and pool, then per process. Those that were killed and left their region behind are\n"
	  "shown with what they abandoned.\n"
	  "\n"
	  "  -p, --pid PID   that process alone\n"
	  "  --json          as JSON\n"
	  "\n"
	  "Exit status: 0; 2 usage; 3 nothing to attach to; 4 no permission; 5 the process asked\n"
	  "for has another version of libtally; 1 other errors.\n" },
	{ "top", verb_top, "show what running processes hold, all the time, in a terminal",
	  "usage: tally top [-a] [-d DEV] [-p PID] [-P POOL] [-i SECONDS]\n"
	  "\n"
	  "Shows per device and pool what is held of the capacity, then each process of this\n"
	  "user that runs with tally armed, again and again. Keys and mouse lead to views of one\n"
	  "process, of live buffers, and of what was lost and what watching costs; ? lists them.\n"
	  "\n"
	  "  -a, --all-users         processes of all users (for root)\n"
	  "  -d, --device DEV        that device alone: its number, or a part of its name\n"
	  "  -p, --pid PID           that process alone\n"
	  "  -P, --pool POOL         that pool alone: its name or number\n"
	  "  -i, --interval SECONDS  look so often, default 1, at least 0.1\n"
	  "\n"
	  "Exit status: 0; 2 usage, or no terminal; 3 no such directory; 4 no permission; 130\n"
	  "interrupted; 1 other errors.\n"
	  "Environment: TALLY_DIR is where regions are, default /dev/shm; NO_COLOR, for text\n"
	  "without colours; the locale, for bars and lines in UTF-8.\n" },
	{ "gc", verb_gc, "remove what processes that were killed have left, but for the newest",
	  "usage: tally gc [-n] [--keep N] [--json]\n"
	  "\n"
	  "A process that is killed leaves its region behind, so that `tally ps` can show what it\n"
	  "held. The newest 16 of each user are kept; older ones are removed when another region\n"
	  "is made, or here. Root looks after every user, others after themselves. What a living\n"
	  "process uses is never touched, nor what a `tally run` has yet to read. The newest is\n"
	  "the file that was modified last.\n"
	  "\n"
	  "  -n, --dry-run   say what would be removed, and remove nothing\n"
	  "  --keep N        keep the newest N of each user instead of 16\n"
	  "  --json          as JSON\n"
	  "\n"
	  "Exit status: 0; 2 usage; 3 no such directory; 4 no permission; 1 other errors.\n"
	  "Environment: TALLY_DIR is where regions are, default /dev/shm.\n" },
	{ "doctor", verb_doctor, "say what is wrong with this machine's set-up, and what to do",
	  "usage: tally doctor [--json]\n"
	  "\n"
	  "Makes a region as a program would, and looks at all that this depends on: the\n"
	  "directory, its room and rights, limits, clock, kernel, environment variables, the\n"
	  "malloc adapter, and the files that lie there. One line each: \"ok\", \"note\" for what\n"
	  "costs something, \"problem\" with what to do about it. Run it as the user, and in the\n"
	  "shell, whose programs do not show.\n"
	  "\n"
	  "  --json   as JSON\n"
	  "\n"
	  "Exit status: 0 if there is no problem, else 1; 2 usage.\n"
	  "Environment: the variables of libtally (tally.h), and TALLY_PRELOAD.\n" },
	{ "help", verb_help, "show this list, or the help of one verb",
	  "usage: tally help [VERB]\n" },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find_verb(const char *name)
{
	size_t n;

	for (n = 0; n < VERBS; n++)
		if (strcmp(verbs[n].name, name) == 0)
			return &verbs[n];
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
		names[n] = verbs[n].name;
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
		printf("  %-6s %s\n", verbs[n].name, verbs[n].line);
	printf("\nWith no verb: top on a terminal, else ps. `tally help VERB` says more; `tally --version` the version.\n");
	return EXIT_OK;
}

static int verb_help(int argc, char **argv)
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

	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return verb_top(1, top);
	return verb_ps(1, ps);
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
