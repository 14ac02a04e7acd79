/* SPDX-License-Identifier: Apache-2.0 */
/* tally run: starts CMD with the malloc adapter, follows all its processes, reports at the end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define POLL_MS 100
#define LINE_MS 1000
#define GRACE_MS 50 /* for processes that CMD left behind while they were ending */
#define GRACE_STEP_MS 5

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Preparing ------------------------------------------------------------------------------- */

static int open_json(struct run *run)
{
	int fd;

	if (!run->json_name)
		return 0;
	if (strcmp(run->json_name, "-") == 0) {
		run->json = stdout;
		return 0;
	}
	fd = open(run->json_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd >= 0)
		run->json = fdopen(fd, "w");
	if (run->json)
		return 0;
	say("%s cannot be written: %s", run->json_name, strerror(errno));
	return EXIT_RUN_FAILED;
}

/* On the consumer's thread, perhaps over the live line. */
static void note_refusal(void *arg, const struct tally_refusal *refusal)
{
	run_clear_line();
	say_refusal(arg, refusal);
}

static int open_consumer(struct run *run)
{
	struct tally_consumer_options options = {
		.run_id = run->run_id,
		.read_records = true,
		.from_start = true,
		.remove_ended = true,
		.lend_region = true,
		.refused = note_refusal,
	};
	int error;

	if (getrandom(&run->run_id, sizeof(run->run_id), 0) != sizeof(run->run_id)) {
		say("no random number to name the run: %s", strerror(errno));
		return EXIT_RUN_FAILED;
	}
	run->run_id |= 1; /* never 0 */
	options.run_id = run->run_id;
	error = tally_consumer_open(&options, &run->consumer);
	if (!error)
		return 0;
	say("nothing can be followed, %s cannot be read: %s", text_regions_dir(), strerror(-error));
	return EXIT_RUN_FAILED;
}

/* A descriptor is open for each process that lives; CMD keeps the limit it had. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Someone of the run lives on, or is between two programs: its region has gone with the old one,
 * and the new one has not made its own yet. */
static bool anyone_lives(const struct run *run)
{
	const struct tally_snapshot *snapshot = tally_snapshot_get(run->consumer);
	struct view view = { .report = true };
	bool lives = false;
	size_t n = snapshot->process_count;

	while (n-- > 0 && !lives) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (process->guests)
			continue;
		lives = process->end == TALLY_RUNNING ||
			(process->end == TALLY_GONE && kill((pid_t)process->pid, 0) == 0 &&
			 strcmp(render_end(snapshot, n, &view), "gone") == 0);
	}
	tally_snapshot_put(snapshot);
	return lives;
}

static void follow(struct run *run)
{
	struct timespec step = { .tv_nsec = GRACE_STEP_MS * 1000000 };
	int waited_ms;

	if (tally_consumer_start(run->consumer, POLL_MS) != 0)
		say("no thread to read records with: many will be lost, totals will be exact");
	while (!child_wait(&run->child, LINE_MS))
		run_draw_line(run);
	run->elapsed_ns = now_ns() - run->start_ns;
	if (tally_consumer_stop(run->consumer) != 0)
		tally_consumer_poll(run->consumer);
	/* Once in any case: what CMD forked as its last deed may have no region yet. */
	for (waited_ms = 0; waited_ms == 0 || (waited_ms < GRACE_MS && anyone_lives(run));
	     waited_ms += GRACE_STEP_MS) {
		nanosleep(&step, NULL);
		tally_consumer_poll(run->consumer);
	}
	run_erase_line(run);
}

/* Where processes count that can make no region of their own; NULL when there is no room at all. */
static const char *lent_region(const struct run *run)
{
	const char *name = tally_consumer_lent_region(run->consumer);

	if (!name)
		say("%s is full: a process that finds no room there will not be counted; "
		    "make room, or name another place in TALLY_DIR",
		    text_regions_dir());
	return name;
}

static int run_command(struct run *run)
{
	int status = open_json(run);
	bool whole;

	if (!status)
		status = open_consumer(run);
	if (!status)
		status = preload_environment(run->run_id, lent_region(run));
	run->start_ns = now_ns();
	if (!status)
		status = child_start(&run->child, run->command);
	if (status) {
		tally_consumer_close(run->consumer);
		return status;
	}
	raise_descriptor_limit();
	follow(run);
	whole = run_report(run);
	tally_consumer_close(run->consumer);
	if (!whole)
		return EXIT_RUN_FAILED;
	if (WIFSIGNALED(run->child.status))
		return 128 + WTERMSIG(run->child.status);
	return WEXITSTATUS(run->child.status);
}

/* The argument of --ring, checked here so that a mistake is not found by CMD's library. */
static bool set_ring(const char *records)
{
	char *end;
	unsigned long value = strtoul(records, &end, 10);

	if (records[0] < '0' || records[0] > '9' || *end)
		return false;
	if (value != 0 && (value < 64 || value > 1048576 || (value & (value - 1)) != 0))
		return false;
	return setenv("TALLY_RING", records, 1) == 0;
}

static int run_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", required_argument, NULL, 'j' },
		{ "ring", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	struct run run = { 0 };
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			run.json_name = optarg;
			break;
		case 'r':
			if (!set_ring(optarg))
				return usage_error("run",
						   "--ring takes 0 or a power of two from 64 to "
						   "1048576, not \"%s\"",
						   optarg);
			break;
		case ':':
			return usage_error("run", "%s needs a value", argv[optind - 1]);
		default:
			return unknown_option("run", argv);
		}
	}
	if (optind == argc)
		return usage_error("run", "which command?");
	run.command = argv + optind;
	return run_command(&run);
}

static const char help[] =
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
	"TALLY_LANES and the other variables of libtally.\n";

const struct verb verb_run = {
	.name = "run",
	.run = run_main,
	.line = "start a command, follow all its processes, report at its end",
	.help = help,
};
