/* SPDX-License-Identifier: Apache-2.0 */
/* tally buffers: who allocated what is held now, one row a buffer; or what the dead left.
 *
 * JSON, schema tally.buffers/1: time, complete, exactness, lost_records, live_bytes (of --leaks:
 * what was left), buffers[] {buffer_id, size_bytes, device, pool, flags, pid, comm, tid, image,
 * tag, alloc_time, age_ns, ended, unsure}, listed, listed_bytes, ordered. Rows are written one by
 * one, each on its line.
 */
#include <inttypes.h>

#include "buffers_order.h"
#include "source.h"

/* So many rows are put in order; a list that is longer is written as it is read. */
#define ORDERED_MAX 100000

#define LOOKS_MAX 4

enum { OPTION_JSON = 256, OPTION_STRICT, OPTION_LEAKS, OPTION_OLDER, OPTION_TOP };

struct list {
	struct source source;
	bool json, strict, leaks;
	uint64_t older_ns;
	size_t top; /* 0: all */

	const struct tally_snapshot *snapshot;
	struct order order;
	bool unordered; /* too many: rows are written as they are read */
	bool failed;	/* no memory */
	size_t listed;
	uint64_t listed_bytes;
};

/* ---- One row --------------------------------------------------------------------------------- */

static bool takes(const struct list *list, const struct tally_buffer *buffer)
{
	uint64_t now_ns = list->snapshot->monotonic_ns;

	if (buffer->ended != list->leaks)
		return false;
	if (buffer->alloc_monotonic_ns + list->older_ns > now_ns && list->older_ns)
		return false;
	return filter_takes_pid(&list->source.filter, buffer->pid) &&
	       filter_takes_device(&list->source.filter, list->source.all, buffer->device) &&
	       filter_takes_pool(&list->source.filter, buffer->pool, buffer->pool_name);
}

/* An allocation may be younger than the snapshot. */
static uint64_t age_ns(const struct list *list, const struct tally_buffer *buffer)
{
	uint64_t now_ns = list->snapshot->monotonic_ns;

	return now_ns > buffer->alloc_monotonic_ns ? now_ns - buffer->alloc_monotonic_ns : 0;
}

static void write_text(const struct list *list, const struct tally_buffer *buffer)
{
	char size[TEXT_MAX], age[TEXT_MAX];

	text_bytes(size, buffer->size > INT64_MAX ? INT64_MAX : (int64_t)buffer->size);
	text_age(age, age_ns(list, buffer));
	printf("%9s  %#18" PRIx64 "  %6" PRIu32 "  %-8s  %7" PRIu32 "  %-15s  %7" PRIu32
	       "  %8s%s%s%s\n",
	       size, buffer->buffer_id, buffer->device, buffer->pool_name, buffer->pid,
	       buffer->comm, buffer->tid, age, buffer->tag[0] ? "  " : "", buffer->tag,
	       buffer->unsure ? "  (unsure)" : "");
}

static void write_json(const struct list *list, const struct tally_buffer *buffer)
{
	printf("%s{\"buffer_id\":\"0x%" PRIx64 "\",\"size_bytes\":%" PRIu64 ",\"device\":%" PRIu32
	       ",\"pool\":",
	       list->listed ? ",\n" : "\n", buffer->buffer_id, buffer->size, buffer->device);
	json_put_text(stdout, buffer->pool_name);
	printf(",\"flags\":%" PRIu32 ",\"pid\":%" PRIu32 ",\"comm\":", buffer->flags, buffer->pid);
	json_put_text(stdout, buffer->comm);
	printf(",\"tid\":%" PRIu32 ",\"image\":\"%016" PRIx64 "\",\"tag\":", buffer->tid,
	       buffer->region_id);
	json_put_text(stdout, buffer->tag);
	printf(",\"alloc_time\":\"%" PRIu64 "\",\"age_ns\":\"%" PRIu64 "\",\"ended\":%s,"
	       "\"unsure\":%s}",
	       buffer->alloc_realtime_ns, age_ns(list, buffer), buffer->ended ? "true" : "false",
	       buffer->unsure ? "true" : "false");
}

static void write_row(struct list *list, const struct tally_buffer *buffer)
{
	if (list->json)
		write_json(list, buffer);
	else
		write_text(list, buffer);
	list->listed++;
	list->listed_bytes += buffer->size;
}

/* ---- Rows that are chosen -------------------------------------------------------------------- */

static void write_kept(struct list *list)
{
	size_t n;

	for (n = 0; n < list->order.count && !ferror(stdout); n++)
		write_row(list, order_at(&list->order, n));
	order_free(&list->order);
}

static bool take(void *arg, const struct tally_buffer *buffer)
{
	struct list *list = arg;

	if (!takes(list, buffer))
		return true;
	if (!list->top && list->order.count == ORDERED_MAX) {
		list->unordered = true;
		write_kept(list);
	}
	if (list->unordered) {
		write_row(list, buffer);
		return !ferror(stdout);
	}
	if (list->top && list->order.count == list->top) {
		order_exchange(&list->order, buffer);
		return true;
	}
	list->failed = !order_add(&list->order, buffer);
	return !list->failed;
}

/* ---- The list -------------------------------------------------------------------------------- */

/* What all that is chosen holds, or has left, by the ledgers. */
static int64_t chosen_bytes(const struct list *list)
{
	struct tally_totals sum = render_sum(list->snapshot->pools, list->snapshot->pool_count);

	return list->leaks ? sum.abandoned_bytes : sum.live_bytes;
}

static void write_head(const struct list *list)
{
	const struct tally_snapshot *snapshot = list->snapshot;
	char exactness[EXACTNESS_MAX];

	render_exactness(exactness, sizeof(exactness), snapshot);
	if (!list->json) {
		printf("%s\n", exactness);
		printf("%9s  %18s  %6s  %-8s  %7s  %-15s  %7s  %8s  %s\n", "SIZE", "ID", "DEVICE",
		       "POOL", "PID", "COMMAND", "THREAD", "AGE", "TAG");
		return;
	}
	printf("{\"schema\":\"tally.buffers/1\",\"time\":\"%" PRIu64 "\",\"complete\":%s,"
	       "\"exactness\":",
	       snapshot->realtime_ns, snapshot->complete ? "true" : "false");
	json_put_text(stdout, exactness);
	printf(",\"lost_records\":%" PRIu64 ",\"live_bytes\":%" PRId64 ",\"buffers\":[",
	       snapshot->lost_records, chosen_bytes(list));
}

static void write_foot(const struct list *list)
{
	char listed[TEXT_MAX], all[TEXT_MAX], count[TEXT_MAX];

	if (list->json) {
		printf("\n],\"listed\":%zu,\"listed_bytes\":%" PRIu64 ",\"ordered\":%s}\n",
		       list->listed, list->listed_bytes, list->unordered ? "false" : "true");
		return;
	}
	text_bytes(listed, (int64_t)list->listed_bytes);
	text_bytes(all, chosen_bytes(list));
	text_count(count, list->listed);
	printf("listed %s of %s %s, in %s buffer%s\n", listed, all, list->leaks ? "left" : "held",
	       count, list->listed == 1 ? "" : "s");
}

static int show(struct list *list)
{
	int status;

	write_head(list);
	tally_buffers_each(list->source.consumer, take, list);
	if (list->failed) {
		say("no memory left to put buffers in order; try --top 100");
		order_free(&list->order);
		return EXIT_ERROR;
	}
	order_sort(&list->order);
	write_kept(list);
	write_foot(list);
	status = output_flush();
	if (status)
		return status == EXIT_GONE ? EXIT_OK : status;
	if (list->unordered)
		say("more than %d buffers are written in no order; --top N puts the N largest in "
		    "order",
		    ORDERED_MAX);
	return list->strict && render_is_lost(list->snapshot) ? EXIT_LOST : EXIT_OK;
}

static uint64_t records_read(const struct list *list)
{
	const struct tally_snapshot *snapshot = tally_snapshot_get(list->source.consumer);
	uint64_t read = snapshot->records_read;

	tally_snapshot_put(snapshot);
	return read;
}

/* The first look stays a few records behind each thread, as it cannot know who is at work: of those
 * who are not it has all by the second. */
static void catch_up(const struct list *list)
{
	uint64_t read = records_read(list), before;
	int looks = 0;

	do {
		before = read;
		if (tally_consumer_poll(list->source.consumer) != 0)
			return;
		read = records_read(list);
	} while (read != before && ++looks < LOOKS_MAX);
}

static int parse_option(struct list *list, int option)
{
	uint64_t top;

	switch (option) {
	case OPTION_JSON:
		list->json = true;
		break;
	case OPTION_STRICT:
		list->strict = true;
		break;
	case OPTION_LEAKS:
		list->leaks = true;
		break;
	case OPTION_OLDER:
		if (!parse_duration(optarg, &list->older_ns))
			return usage_error("buffers",
					   "\"%s\" is no time like 250ms, 10s, 5m or "
					   "1.5h",
					   optarg);
		break;
	case OPTION_TOP:
		if (!parse_number(optarg, ORDERED_MAX, &top) || top == 0)
			return usage_error("buffers",
					   "--top takes a number from 1 to %d, not \"%s\"",
					   ORDERED_MAX, optarg);
		list->top = top;
		break;
	}
	return 0;
}

static int buffers_main(int argc, char **argv)
{
	static const struct option options[] = {
		FILTER_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "strict", no_argument, NULL, OPTION_STRICT },
		{ "leaks", no_argument, NULL, OPTION_LEAKS },
		{ "older-than", required_argument, NULL, OPTION_OLDER },
		{ "top", required_argument, NULL, OPTION_TOP },
		{ NULL, 0, NULL, 0 },
	};
	struct tally_consumer_options consumer = { .read_buffers = true };
	struct list list = { 0 };
	int option, status;

	while ((option = filter_getopt(&list.source.filter, argc, argv, ":" FILTER_LETTERS, options,
				       &status)) != -1) {
		status = parse_option(&list, option);
		if (status)
			return status;
	}
	if (!status)
		status = source_open(&list.source, &consumer);
	if (status)
		return status;
	output_long();
	catch_up(&list);
	status = source_look(&list.source, &list.snapshot);
	if (!status)
		status = source_check_records(&list.source, list.snapshot);
	if (!status)
		status = show(&list);
	source_close(&list.source);
	return status;
}

static const char help[] =
	"usage: tally buffers [--leaks] [--older-than TIME] [--top N] " FILTER_USAGE "\n"
	"                     [--strict] [--json]\n"
	"\n"
	"Lists what is held now, a buffer a line: its size and id, device and pool, the process\n"
	"and thread that allocated it, its age, and the tag that was set then. It is made of the\n"
	"records that are still there: the first line says whether any are missing, the last how\n"
	"much of what is held was listed. \"(unsure)\" marks what may have been freed, as records\n"
	"were lost since. The largest come first; of more than 100000 without --top in no order.\n"
	"\n"
	"  --leaks            what processes that have ended never freed, instead\n"
	"  --older-than TIME  that were allocated so long ago: 250ms, 10s, 5m, 1.5h\n"
	"  --top N            the N largest of them\n" FILTER_HELP
	"  --strict           exit with 6 if records were lost, so that the list has gaps\n"
	"  --json             as JSON\n"
	"\n"
	"Exit status: 0; 2 usage; 3 nothing to attach to, or no such device or pool; 4 no\n"
	"permission; 5 the process asked for has another version of libtally; 6 see --strict;\n"
	"1 other errors.\n";

const struct verb verb_buffers = {
	.name = "buffers",
	.run = buffers_main,
	.line = "list what is held, buffer by buffer, or what the dead never freed",
	.help = help,
};
