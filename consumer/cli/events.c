/* SPDX-License-Identifier: Apache-2.0 */
/* tally events: records as they come, one line each, until somebody has seen enough.
 *
 * JSON, schema tally.event/1, an object a line: time, kind, pid, comm, tid, image, device, pool,
 * flags, buffer_id, size_bytes, tag, event_no, shared; what a kind does not have is null.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <tally/abi.h>
#include <time.h>
#include <unistd.h>

#include "source.h"

#define WAIT_MIN_MS 1
#define WAIT_MAX_MS 50
#define TELL_NS 1000000000 /* losses are told so often at most */

enum { OPTION_JSON = 256, OPTION_STRICT, OPTION_HOLD, OPTION_MIN, OPTION_MAX };

struct follow {
	struct source source;
	bool json, strict, hold, sized;
	uint64_t size_min, size_max;
	uint64_t count_max; /* 0: no limit */

	uint64_t shown;
	bool any;		     /* something came in this look */
	uint64_t lost, lost_before;  /* all that is known; as the processes say it */
	uint64_t lost_told, told_ns; /* CLOCK_MONOTONIC */
	time_t clock_seconds;	     /* whose text is below */
	char clock[TEXT_MAX];
};

static volatile sig_atomic_t interrupted;

static void note_interrupt(int number)
{
	interrupted = number;
}

/* ---- One record ------------------------------------------------------------------------------ */

static const char *kind_name(uint32_t kind)
{
	switch (kind) {
	case TALLY_KIND_ALLOC:
		return "alloc";
	case TALLY_KIND_FREE:
		return "free";
	case TALLY_KIND_ALLOC_FAILED:
		return "alloc_failed";
	case TALLY_KIND_POOL_RESET:
		return "pool_reset";
	case TALLY_KIND_DEVICE:
		return "device";
	case TALLY_KIND_MARK:
		return "mark";
	default:
		return "unknown";
	}
}

/* What a kind of record has. */
static bool has_device(uint32_t kind)
{
	return kind != TALLY_KIND_MARK;
}

static bool has_pool(uint32_t kind)
{
	return kind != TALLY_KIND_MARK && kind != TALLY_KIND_DEVICE;
}

static bool has_buffer(uint32_t kind)
{
	return kind == TALLY_KIND_ALLOC || kind == TALLY_KIND_FREE;
}

static bool takes(const struct follow *follow, const struct tally_event *event)
{
	const struct filter *filter = &follow->source.filter;

	if (follow->sized && (!has_pool(event->kind) || event->size < follow->size_min ||
			      event->size > follow->size_max))
		return false;
	if (filter->device_count &&
	    (!has_device(event->kind) || !filter_takes_device(filter, NULL, event->device)))
		return false;
	if (filter->pool_count &&
	    (!has_pool(event->kind) || !filter_takes_pool(filter, event->pool, event->pool_name)))
		return false;
	return filter_takes_pid(filter, event->pid);
}

/* Records of one second share the text of it. */
static const char *clock_text(struct follow *follow, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);

	if (seconds != follow->clock_seconds || !follow->clock[0]) {
		follow->clock_seconds = seconds;
		render_time(follow->clock, realtime_ns);
	}
	return follow->clock;
}

static void write_text(struct follow *follow, const struct tally_event *event)
{
	char device[TEXT_MAX] = "-", id[TEXT_MAX] = "-", size[TEXT_MAX] = "-";

	if (has_device(event->kind))
		snprintf(device, sizeof(device), "%" PRIu32, event->device);
	if (has_buffer(event->kind))
		snprintf(id, sizeof(id), "0x%" PRIx64, event->buffer_id);
	if (has_pool(event->kind))
		snprintf(size, sizeof(size), "%" PRIu64, event->size);
	printf("%s.%09" PRIu64 " %7" PRIu32 " %7" PRIu32 " %-12s %5s %-8s %18s %12s%s%s\n",
	       clock_text(follow, event->realtime_ns), event->realtime_ns % 1000000000, event->pid,
	       event->tid, kind_name(event->kind), device,
	       has_pool(event->kind) ? event->pool_name : "-", id, size, event->tag[0] ? " " : "",
	       event->tag);
}

static void write_json(const struct tally_event *event)
{
	printf("{\"time\":\"%" PRIu64 "\",\"kind\":\"%s\",\"pid\":%" PRIu32 ",\"comm\":",
	       event->realtime_ns, kind_name(event->kind), event->pid);
	json_put_text(stdout, event->comm);
	printf(",\"tid\":%" PRIu32 ",\"image\":\"%016" PRIx64 "\",\"device\":", event->tid,
	       event->region_id);
	if (has_device(event->kind))
		printf("%" PRIu32 ",\"pool\":", event->device);
	else
		fputs("null,\"pool\":", stdout);
	json_put_text(stdout, has_pool(event->kind) ? event->pool_name : "");
	printf(",\"flags\":%" PRIu32 ",\"buffer_id\":", event->flags);
	if (has_buffer(event->kind))
		printf("\"0x%" PRIx64 "\",\"size_bytes\":", event->buffer_id);
	else
		fputs("null,\"size_bytes\":", stdout);
	if (has_pool(event->kind))
		printf("%" PRIu64 ",\"tag\":", event->size);
	else
		fputs("null,\"tag\":", stdout);
	json_put_text(stdout, event->tag);
	printf(",\"event_no\":%" PRIu64 ",\"shared\":%s}\n", event->event_no,
	       event->shared ? "true" : "false");
}

static bool is_enough(const struct follow *follow)
{
	return interrupted || (follow->count_max && follow->shown == follow->count_max);
}

static void take(void *arg, const struct tally_event *event)
{
	struct follow *follow = arg;

	follow->any = true;
	if (is_enough(follow) || !takes(follow, event))
		return;
	if (follow->json)
		write_json(event);
	else
		write_text(follow, event);
	follow->shown++;
}

/* ---- Losses and ends ------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void tell_losses(struct follow *follow, bool last)
{
	uint64_t now = now_ns();
	char lost[TEXT_MAX], all[TEXT_MAX];

	if (follow->lost > follow->lost_told &&
	    (last || !follow->told_ns || now - follow->told_ns > TELL_NS)) {
		text_count(lost, follow->lost - follow->lost_told);
		say("%s record%s lost, as they came faster than they were read", lost,
		    follow->lost - follow->lost_told == 1 ? "" : "s");
		follow->lost_told = follow->lost;
		follow->told_ns = now;
	}
	if (!last || !follow->lost)
		return;
	text_count(lost, follow->lost);
	text_count(all, follow->shown);
	say("%s lost in all, %s shown", lost, all);
}

/* Adds up what the chosen processes lost; true if one that was asked for still runs, or none was.
 * Who is not shown any more has said before what it lost. */
static bool look_around(struct follow *follow)
{
	const struct tally_snapshot *snapshot = tally_snapshot_get(follow->source.consumer);
	const struct filter *filter = &follow->source.filter;
	bool runs = filter->pid_count == 0;
	uint64_t lost = 0;
	size_t n;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (!filter_takes_pid(filter, process->pid))
			continue;
		lost += process->lost_records;
		runs = runs || process->end == TALLY_RUNNING;
	}
	tally_snapshot_put(snapshot);
	if (lost > follow->lost_before)
		follow->lost += lost - follow->lost_before;
	follow->lost_before = lost;
	return runs;
}

/* Who was asked to wait, and does not. */
static void tell_unheld(const struct follow *follow, const struct tally_snapshot *snapshot)
{
	size_t n;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];
		const char *why = "another reader holds it";

		if (process->held || process->totals_only || process->end != TALLY_RUNNING ||
		    !filter_takes_pid(&follow->source.filter, process->pid))
			continue;
		if (!(process->region_flags & TALLY_REGION_LOSSLESS))
			why = "start it with TALLY_LOSSLESS=1000";
		say("process %" PRIu32 " (%s) does not wait for this reader: %s", process->pid,
		    process->comm, why);
	}
}

/* ---- Following ------------------------------------------------------------------------------- */

/* Until so many milliseconds have gone by, or nobody reads any more. */
static bool wait_ms(int milliseconds)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, milliseconds) != 1 || !(out.revents & (POLLERR | POLLHUP));
}

static int follow_records(struct follow *follow)
{
	int ms = WAIT_MIN_MS, status = 0;
	bool runs = true, read = true;

	for (;;) {
		bool last = !runs; /* its last records were there when it was seen to have ended */

		follow->any = false;
		if (tally_consumer_poll(follow->source.consumer) != 0)
			say("no memory left to look for records");
		runs = look_around(follow);
		status = output_flush();
		if (status || !read || last || is_enough(follow))
			break;
		tell_losses(follow, false);
		ms = follow->any	    ? follow->hold ? 0 : WAIT_MIN_MS
		     : ms * 2 > WAIT_MAX_MS ? WAIT_MAX_MS
					    : ms * 2;
		read = wait_ms(ms);
	}
	if (status == EXIT_GONE || !read)
		return EXIT_OK;
	tell_losses(follow, true);
	if (status)
		return status;
	if (interrupted)
		return EXIT_INTERRUPTED;
	return follow->strict && follow->lost ? EXIT_LOST : EXIT_OK;
}

/* What has to be there when it starts: processes, and devices that are named. Others may come. */
static void keep_words_to_check(struct filter *filter)
{
	size_t kept = 0, n;

	for (n = 0; n < filter->device_count; n++)
		if (filter_is_name(filter->devices[n]))
			filter->devices[kept++] = filter->devices[n];
	filter->device_count = kept;
	filter->pool_count = 0;
}

/* Looks for that before any record is written, and puts numbers in the place of names. */
static int resolve(struct source *source)
{
	struct tally_consumer_options options = { 0 };
	struct source before = { .filter = source->filter };
	const struct tally_snapshot *snapshot;
	int status;

	keep_words_to_check(&before.filter);
	if (!before.filter.device_count && before.filter.pid_count < 2)
		return 0;
	status = source_open(&before, &options);
	if (status)
		return status;
	status = source_look(&before, &snapshot);
	if (!status)
		filter_resolve(&source->filter, before.all);
	source_close(&before);
	return status;
}

static int follow_all(struct follow *follow)
{
	struct tally_consumer_options options = {
		.event = take,
		.event_arg = follow,
		.hold = follow->hold,
	};
	struct sigaction action = { .sa_handler = note_interrupt };
	const struct tally_snapshot *snapshot;
	int status = resolve(&follow->source);

	if (status)
		return status;
	sigaction(SIGINT, &action, NULL);
	output_long();
	status = source_open(&follow->source, &options);
	if (status)
		return status;
	snapshot = tally_snapshot_get(follow->source.consumer);
	status = source_check_records(&follow->source, snapshot);
	if (!status && follow->hold)
		tell_unheld(follow, snapshot);
	tally_snapshot_put(snapshot);
	if (!status)
		status = follow_records(follow);
	source_close(&follow->source);
	return status;
}

static int parse_option(struct follow *follow, int option)
{
	uint64_t *size;

	switch (option) {
	case OPTION_JSON:
		follow->json = true;
		break;
	case OPTION_STRICT:
		follow->strict = true;
		break;
	case OPTION_HOLD:
		follow->hold = true;
		break;
	case OPTION_MIN:
	case OPTION_MAX:
		size = option == OPTION_MIN ? &follow->size_min : &follow->size_max;
		if (!parse_size(optarg, size))
			return usage_error("events", "\"%s\" is no size like 4096, 64KiB or 1.5GiB",
					   optarg);
		follow->sized = true;
		break;
	case 'n':
		if (!parse_number(optarg, INT64_MAX, &follow->count_max) || !follow->count_max)
			return usage_error("events", "\"%s\" is no number of records", optarg);
		break;
	}
	return 0;
}

static int events_main(int argc, char **argv)
{
	static const struct option options[] = {
		FILTER_OPTIONS,
		{ "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "strict", no_argument, NULL, OPTION_STRICT },
		{ "hold", no_argument, NULL, OPTION_HOLD },
		{ "min-size", required_argument, NULL, OPTION_MIN },
		{ "max-size", required_argument, NULL, OPTION_MAX },
		{ NULL, 0, NULL, 0 },
	};
	struct follow follow = { .size_max = UINT64_MAX };
	int option, status;

	while ((option = filter_getopt(&follow.source.filter, argc, argv, ":n:" FILTER_LETTERS,
				       options, &status)) != -1) {
		status = parse_option(&follow, option);
		if (status)
			return status;
	}
	if (!status && follow.size_min > follow.size_max)
		status = usage_error("events", "--min-size is above --max-size");
	return status ? status : follow_all(&follow);
}

static const char help[] =
	"usage: tally events [-n COUNT] [--min-size SIZE] [--max-size SIZE] " FILTER_USAGE "\n"
	"                    [--hold] [--strict] [--json]\n"
	"\n"
	"Writes the records that are still there, then each that comes, a line each: when, the\n"
	"process and thread, what it was, device and pool, buffer id, size in bytes, and tag.\n"
	"Those of one process come in order of time. It goes on until it is interrupted; with\n"
	"-p until those processes have ended. Records that came too fast to be read are counted\n"
	"on stderr. Names of devices are those that are described when it starts.\n"
	"\n"
	"  -n, --count COUNT  so many records, then end\n"
	"  --min-size SIZE    those of so many bytes at least: 4096, 64KiB, 1.5GiB\n"
	"  --max-size SIZE    and of so many at most\n" FILTER_HELP
	"  --hold             let programs started with TALLY_LOSSLESS=1000 wait for this reader\n"
	"  --strict           exit with 6 if records were lost\n"
	"  --json             as JSON, an object a line\n"
	"\n"
	"Exit status: 0; 130 interrupted; 2 usage; 3 no such process, or no device of that name;\n"
	"4 no permission; 5 the process asked for has another version of libtally; 6 see\n"
	"--strict; 1 other errors.\n";

const struct verb verb_events = {
	.name = "events",
	.run = events_main,
	.line = "write allocations and frees as they come, one line each",
	.help = help,
};
