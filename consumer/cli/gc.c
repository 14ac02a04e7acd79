/* SPDX-License-Identifier: Apache-2.0 */
/* tally gc: removes regions of the dead beyond the newest of each user.
 *
 * JSON, schema tally.gc/1: dry_run, keep, living, of_runs, strange, kept, removed_bytes,
 * removed[] {region, uid, pid, comm, modified_time, bytes}, failed[] {the same, error}.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define KEEP_MAX 1000000

enum { OPTION_JSON = 256, OPTION_KEEP }; /* have no letter */

struct gc {
	size_t keep;
	bool dry_run;
	uint64_t now_ns;
	json_t *removed, *failed; /* NULL: lines are printed */
	size_t counts[TALLY_GC_FAILED + 1];
	uint64_t removed_bytes;
	int error; /* the first that was met */
};

/* ---- One file -------------------------------------------------------------------------------- */

static void print_file(const struct gc *gc, const struct tally_gc_file *file)
{
	char age[TEXT_MAX], bytes[TEXT_MAX];

	text_age(age, gc->now_ns > file->modified_realtime_ns
			      ? gc->now_ns - file->modified_realtime_ns
			      : 0);
	text_bytes(bytes, (int64_t)file->bytes);
	if (file->verdict == TALLY_GC_FAILED)
		say("%s cannot be removed: %s", file->name, strerror(-file->error));
	else if (file->pid)
		printf("%s %s: process %" PRIu32 " (%s), modified %s ago, %s\n",
		       gc->dry_run ? "would remove" : "removed", file->name, file->pid, file->comm,
		       age, bytes);
	else
		printf("%s %s: never finished, modified %s ago, %s\n",
		       gc->dry_run ? "would remove" : "removed", file->name, age, bytes);
}

static json_t *file_json(const struct tally_gc_file *file)
{
	json_t *json = json_object();
	char time[TEXT_MAX];

	snprintf(time, sizeof(time), "%" PRIu64, file->modified_realtime_ns);
	json_object_set_new(json, "region", json_string(file->name));
	json_object_set_new(json, "uid", json_integer(file->uid));
	json_object_set_new(json, "pid", file->pid ? json_integer(file->pid) : json_null());
	json_object_set_new(json, "comm", file->comm[0] ? json_string(file->comm) : json_null());
	json_object_set_new(json, "modified_time", json_string(time));
	json_object_set_new(json, "bytes", json_integer((json_int_t)file->bytes));
	if (file->error)
		json_object_set_new(json, "error", json_string(strerror(-file->error)));
	return json;
}

static void take(void *arg, const struct tally_gc_file *file)
{
	struct gc *gc = arg;

	gc->counts[file->verdict]++;
	if (file->verdict == TALLY_GC_REMOVED)
		gc->removed_bytes += file->bytes;
	if (file->verdict == TALLY_GC_FAILED && !gc->error)
		gc->error = file->error;
	if (file->verdict != TALLY_GC_REMOVED && file->verdict != TALLY_GC_FAILED)
		return;
	if (gc->removed)
		json_array_append_new(file->error ? gc->failed : gc->removed, file_json(file));
	else
		print_file(gc, file);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void print_json(const struct gc *gc)
{
	json_t *json = json_object();

	json_object_set_new(json, "schema", json_string("tally.gc/1"));
	json_object_set_new(json, "dry_run", json_boolean(gc->dry_run));
	json_object_set_new(json, "keep", json_integer((json_int_t)gc->keep));
	json_object_set_new(json, "living", json_integer((json_int_t)gc->counts[TALLY_GC_LIVES]));
	json_object_set_new(json, "of_runs", json_integer((json_int_t)gc->counts[TALLY_GC_OF_RUN]));
	json_object_set_new(json, "strange",
			    json_integer((json_int_t)gc->counts[TALLY_GC_STRANGE]));
	json_object_set_new(json, "kept", json_integer((json_int_t)gc->counts[TALLY_GC_KEPT]));
	json_object_set_new(json, "removed_bytes", json_integer((json_int_t)gc->removed_bytes));
	json_object_set_new(json, "removed", gc->removed);
	json_object_set_new(json, "failed", gc->failed);
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
}

static void say_summary(const struct gc *gc)
{
	char bytes[TEXT_MAX];

	text_bytes(bytes, (int64_t)gc->removed_bytes);
	say("%s %zu regions of the dead (%s); kept %zu of the dead, %zu of the living",
	    gc->dry_run ? "would remove" : "removed", gc->counts[TALLY_GC_REMOVED], bytes,
	    gc->counts[TALLY_GC_KEPT], gc->counts[TALLY_GC_LIVES]);
	if (gc->counts[TALLY_GC_OF_RUN])
		say("%zu of the dead were left to the `tally run` that follows them",
		    gc->counts[TALLY_GC_OF_RUN]);
	if (gc->counts[TALLY_GC_STRANGE])
		say("%zu file(s) have a region's name and are none of that user's; `tally doctor` "
		    "says more",
		    gc->counts[TALLY_GC_STRANGE]);
}

static int collect(struct gc *gc)
{
	struct tally_gc_options options = {
		.keep = gc->keep,
		.dry_run = gc->dry_run,
		.all_users = geteuid() == 0,
		.file = take,
		.file_arg = gc,
	};
	struct timespec now;
	int error;

	clock_gettime(CLOCK_REALTIME, &now);
	gc->now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	error = tally_gc(&options);
	if (error)
		return say_no_directory(error);
	if (gc->removed)
		print_json(gc);
	else
		say_summary(gc);
	return gc->error ? exit_code_of(gc->error) : EXIT_OK;
}

static bool parse_keep(const char *text, size_t *ret_keep)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || value > KEEP_MAX)
		return false;
	*ret_keep = value;
	return true;
}

static int gc_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "keep", required_argument, NULL, OPTION_KEEP },
		{ NULL, 0, NULL, 0 },
	};
	struct gc gc = { .keep = TALLY_GC_KEEP };
	bool json = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":n", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			gc.dry_run = true;
			break;
		case OPTION_JSON:
			json = true;
			break;
		case OPTION_KEEP:
			if (!parse_keep(optarg, &gc.keep))
				return usage_error("gc", "\"%s\" is no number of regions", optarg);
			break;
		case ':':
			return usage_error("gc", "%s needs a value", argv[optind - 1]);
		default:
			return unknown_option("gc", argv);
		}
	}
	if (optind < argc)
		return usage_error("gc", "unexpected argument \"%s\"", argv[optind]);
	if (json) {
		gc.removed = json_array();
		gc.failed = json_array();
	}
	return collect(&gc);
}

static const char help[] =
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
	"Environment: TALLY_DIR is where regions are, default /dev/shm.\n";

const struct verb verb_gc = {
	.name = "gc",
	.run = gc_main,
	.line = "remove what processes that were killed have left, but for the newest",
	.help = help,
};
