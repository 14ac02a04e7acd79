/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what a view shows is exact, and what is not and why: the same words everywhere. */
#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

#include "cli.h"

struct words {
	char *text;
	size_t size, used;
	size_t count; /* of reasons */
};

static void append(struct words *words, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void append(struct words *words, const char *format, ...)
{
	va_list arguments;
	int length;

	if (words->used >= words->size)
		return;
	va_start(arguments, format);
	length = vsnprintf(words->text + words->used, words->size - words->used, format, arguments);
	va_end(arguments);
	words->used += length > 0 ? (size_t)length : 0;
}

static void add_reason(struct words *words)
{
	append(words, "%s", words->count++ ? "; " : "not exact: ");
}

static void add_count(struct words *words, uint64_t count, const char *one, const char *many)
{
	char text[TEXT_MAX];

	text_count(text, count);
	append(words, "%s %s", text, count == 1 ? one : many);
}

static bool is_between(const struct tally_pool_view *pool)
{
	return !pool->totals_only && pool->totals.live_bytes != pool->totals.live_bytes_high;
}

static bool is_between_bounds(const struct tally_snapshot *snapshot)
{
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++)
		if (is_between(&snapshot->pools[n]))
			return true;
	for (n = 0; n < snapshot->process_pool_count; n++) /* beside a runtime's totals */
		if (is_between(&snapshot->process_pools[n]))
			return true;
	return false;
}

static size_t count_totals_only(const struct tally_snapshot *snapshot)
{
	size_t count = 0, n;

	for (n = 0; n < snapshot->process_count; n++)
		count += snapshot->processes[n].totals_only;
	return count;
}

static bool is_current(const struct tally_snapshot *snapshot)
{
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++)
		if (!snapshot->pools[n].totals.current)
			return false;
	return true;
}

static void add_reasons(struct words *words, const struct tally_snapshot *snapshot)
{
	bool current = is_current(snapshot);

	if (snapshot->refused_files) {
		add_reason(words);
		add_count(words, snapshot->refused_files, "file was refused", "files were refused");
	}
	if (snapshot->rejected_events) {
		add_reason(words);
		add_count(words, snapshot->rejected_events, "event is in no total",
			  "events are in no total");
	}
	if (!current) {
		add_reason(words);
		append(words, "sums kept changing while they were read");
	} else if (is_between_bounds(snapshot)) {
		add_reason(words);
		append(words, ">= is at least, as memory was freed while it was added up");
	}
	if (!snapshot->complete && current && !words->count) {
		add_reason(words);
		append(words, "a region could not be read whole");
	}
}

void render_time(char text[TEXT_MAX], uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm local;

	if (!localtime_r(&seconds, &local) || strftime(text, TEXT_MAX, "%H:%M:%S", &local) == 0)
		snprintf(text, TEXT_MAX, "?");
}

bool render_exactness(char *text, size_t size, const struct tally_snapshot *snapshot)
{
	struct words words = { .text = text, .size = size };
	uint64_t since_ns = snapshot->incomplete_since_realtime_ns;
	bool lost = snapshot->lost_records != 0;
	size_t totals_only = count_totals_only(snapshot);
	char time[TEXT_MAX];

	add_reasons(&words, snapshot);
	if (words.count == 0)
		append(&words,
		       lost || since_ns || snapshot->buffers_left_out ? "exact totals" : "exact");
	if (lost) {
		append(&words, ", ");
		add_count(&words, snapshot->lost_records, "record lost", "records lost");
	}
	if (since_ns) {
		render_time(time, since_ns);
		append(&words, ": buffer list incomplete since %s", time);
	}
	if (totals_only) {
		append(&words, "; ");
		add_count(&words, totals_only, "process by a runtime's totals only",
			  "processes by a runtime's totals only");
	}
	if (snapshot->buffers_left_out) {
		append(&words, ", ");
		add_count(&words, snapshot->buffers_left_out, "buffer", "buffers");
		append(&words, " without a row, as the table is full");
	}
	return words.count == 0;
}

bool render_is_lost(const struct tally_snapshot *snapshot)
{
	return snapshot->lost_records || snapshot->rejected_events || snapshot->buffers_left_out ||
	       snapshot->incomplete_since_realtime_ns;
}
