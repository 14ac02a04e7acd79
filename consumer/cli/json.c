/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as JSON, schema tally.snapshot/1.
 *
 *	schema, time, complete, exactness, lost_records, events_total, records_read,
 *	rejected_events, refused_files
 *	devices[]     device, name, arch, stable_id, totals_only, pools{}
 *	processes[]   pid, comm, alive, end, start_time, region, image, parent_region, guests,
 *	              events_total, records_read, lost_records, lost_overwritten,
 *	              lost_unrecorded, rejected_events, skipped_records, quarantined_lanes,
 *	              quarantine_reason, totals_only, devices[]
 *	pools{NAME}   capacity_bytes, live_bytes, live_bytes_high, peak_bytes, peak_bytes_high,
 *	              live_allocations, allocations_total, frees_total, allocated_bytes_total,
 *	              freed_bytes_total, failures_total, unmatched_frees_total,
 *	              abandoned_bytes_total, inherited_bytes, current, totals_only
 *	unseen[]      pid, driver_device, comm: of who has a device open, by the kernel driver, and
 *	              is in no row; null where that is not known, or was not looked for
 *	run           command[], pid, exit_status, signal, followed, reason, elapsed_ns
 *
 * region is a file's name, which processes of a joined region share; image is of one process image
 * alone, and parent_region the image that it was forked from.
 *
 * totals_only: of all of it, or of a part of a pool over all processes, what a runtime publishes by
 * itself is all that is known: bytes held. The rest is null, and region is that file's name.
 *
 * The unit is in the key; numbers are numbers; what is not known is null; times are strings of
 * nanoseconds, as they do not fit a double.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "unseen.h"

json_t *json_count(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *known_count(bool known, uint64_t value)
{
	return known ? json_count(value) : json_null();
}

static json_t *known_number(bool known, int64_t value)
{
	return known ? json_integer(value) : json_null();
}

json_t *json_text_of(const char *value)
{
	json_t *string = json_string(value);
	char clean[1024];
	size_t n;

	if (string)
		return string;
	text_clean(clean, sizeof(clean), value);
	for (n = 0; clean[n]; n++)
		if ((unsigned char)clean[n] >= 0x80)
			clean[n] = '?';
	return json_string(clean);
}

json_t *json_known_text(const char *value)
{
	return value && value[0] ? json_text_of(value) : json_null();
}

static bool is_plain(const char *value)
{
	for (; *value; value++)
		if (*value < ' ' || *value == 0x7f || *value == '"' || *value == '\\')
			return false;
	return true;
}

void json_put_text(FILE *out, const char *value)
{
	json_t *json;

	if (!value[0]) {
		fputs("null", out);
	} else if (is_plain(value)) {
		fprintf(out, "\"%s\"", value);
	} else {
		json = json_text_of(value);
		json_dumpf(json, out, JSON_ENCODE_ANY);
		json_decref(json);
	}
}

json_t *json_time(uint64_t ns)
{
	char digits[TEXT_MAX];

	snprintf(digits, sizeof(digits), "%" PRIu64, ns);
	return json_string(digits);
}

json_t *json_image(uint64_t region_id)
{
	char digits[TEXT_MAX];

	if (region_id == 0)
		return json_null();
	snprintf(digits, sizeof(digits), "%016" PRIx64, region_id);
	return json_string(digits);
}

static json_t *pool_json(const struct tally_pool_view *pool)
{
	const struct tally_totals *totals = &pool->totals;
	bool known = !pool->totals_only;
	json_t *json = json_object();

	json_object_set_new(json, "capacity_bytes",
			    known_count(pool->capacity_bytes != 0, pool->capacity_bytes));
	json_object_set_new(json, "live_bytes", json_integer(totals->live_bytes));
	json_object_set_new(json, "live_bytes_high", json_integer(totals->live_bytes_high));
	json_object_set_new(json, "peak_bytes", known_number(known, totals->peak_bytes));
	json_object_set_new(json, "peak_bytes_high", known_number(known, totals->peak_bytes_high));
	json_object_set_new(json, "live_allocations",
			    known_number(known, totals->live_allocations));
	json_object_set_new(json, "allocations_total", known_count(known, totals->allocations));
	json_object_set_new(json, "frees_total", known_count(known, totals->frees));
	json_object_set_new(json, "allocated_bytes_total",
			    known_count(known, totals->allocated_bytes));
	json_object_set_new(json, "freed_bytes_total", known_count(known, totals->freed_bytes));
	json_object_set_new(json, "failures_total", known_count(known, totals->failures));
	json_object_set_new(json, "unmatched_frees_total", json_null());
	json_object_set_new(json, "abandoned_bytes_total",
			    known_number(known, totals->abandoned_bytes));
	json_object_set_new(json, "inherited_bytes", known_number(known, totals->inherited_bytes));
	json_object_set_new(json, "current", json_boolean(totals->current));
	json_object_set_new(json, "totals_only", json_boolean(pool->totals_only));
	return json;
}

/* Two pools may have been given one name: the second then goes by its number. */
void json_add_pool(json_t *pools, const struct tally_pool_view *pool)
{
	char name[TEXT_MAX];

	snprintf(name, sizeof(name), "%s", pool->pool_name);
	if (json_object_get(pools, name))
		snprintf(name, sizeof(name), "pool-%" PRIu32, pool->pool);
	json_object_set_new(pools, name, pool_json(pool));
}

static json_t *device_json(const struct tally_snapshot *snapshot, uint32_t device)
{
	const struct tally_device_view *view = render_device(snapshot, device);
	json_t *json = json_object();

	json_object_set_new(json, "device", json_integer(device));
	json_object_set_new(json, "name", json_known_text(view ? view->name : NULL));
	json_object_set_new(json, "arch", json_known_text(view ? view->arch : NULL));
	json_object_set_new(json, "stable_id", json_known_text(view ? view->stable_id : NULL));
	json_object_set_new(json, "totals_only", json_boolean(view && view->totals_only));
	json_object_set_new(json, "pools", json_object());
	return json;
}

/* The pools, which are ordered by device, as a list of devices. */
static json_t *process_devices(const struct tally_snapshot *snapshot,
			       const struct tally_pool_view *pools, size_t count)
{
	json_t *devices = json_array();
	json_t *device = NULL;
	size_t n;

	for (n = 0; n < count; n++) {
		if (n == 0 || pools[n].device != pools[n - 1].device) {
			device = device_json(snapshot, pools[n].device);
			json_array_append_new(devices, device);
		}
		json_add_pool(json_object_get(device, "pools"), &pools[n]);
	}
	return devices;
}

static json_t *all_devices(const struct tally_snapshot *snapshot)
{
	json_t *devices = json_array();
	size_t n, i;

	for (n = 0; n < snapshot->device_count; n++) {
		const struct tally_device_view *view = &snapshot->devices[n];
		json_t *device = device_json(snapshot, view->device);

		for (i = 0; i < view->pool_count; i++)
			json_add_pool(json_object_get(device, "pools"),
				      &snapshot->pools[view->first_pool + i]);
		json_array_append_new(devices, device);
	}
	return devices;
}

static json_t *process_json(const struct tally_snapshot *snapshot,
			    const struct tally_process_view *process, bool records_read)
{
	static const char *const ends[] = { "running", "exited", "gone" };
	bool known = !process->totals_only;
	json_t *json = json_object();

	records_read = records_read && known;

	json_object_set_new(json, "pid", json_integer(process->pid));
	json_object_set_new(json, "comm", json_text_of(process->comm));
	json_object_set_new(json, "alive", json_boolean(process->end == TALLY_RUNNING));
	json_object_set_new(json, "end", json_string(ends[process->end]));
	json_object_set_new(json, "start_time",
			    known ? json_time(process->start_realtime_ns) : json_null());
	json_object_set_new(json, "region", json_text_of(process->region));
	json_object_set_new(json, "image", json_image(known ? process->region_id : 0));
	json_object_set_new(json, "parent_region", json_image(process->parent_id));
	json_object_set_new(json, "guests", json_integer(process->guests));
	json_object_set_new(json, "events_total", known_count(known, process->events));
	json_object_set_new(json, "records_read", known_count(records_read, process->records_read));
	json_object_set_new(json, "lost_records", known_count(known, process->lost_records));
	json_object_set_new(json, "lost_overwritten",
			    known_count(records_read, process->lost_overwritten));
	json_object_set_new(json, "lost_unrecorded", known_count(known, process->lost_unrecorded));
	json_object_set_new(json, "rejected_events", known_count(known, process->rejected_events));
	json_object_set_new(json, "skipped_records",
			    known_count(records_read, process->skipped_records));
	json_object_set_new(json, "quarantined_lanes",
			    known_count(records_read, process->quarantined_lanes));
	json_object_set_new(json, "quarantine_reason", json_known_text(process->quarantine));
	json_object_set_new(json, "totals_only", json_boolean(process->totals_only));
	json_object_set_new(json, "devices",
			    process_devices(snapshot, &snapshot->process_pools[process->first_pool],
					    process->pool_count));
	return json;
}

static json_t *run_json(const struct json_run *run)
{
	json_t *json = json_object();
	json_t *command = json_array();
	size_t n;

	for (n = 0; run->command[n]; n++)
		json_array_append_new(command, json_text_of(run->command[n]));
	json_object_set_new(json, "command", command);
	json_object_set_new(json, "pid", json_integer(run->pid));
	json_object_set_new(json, "exit_status",
			    run->signal ? json_null() : json_integer(run->exit_status));
	json_object_set_new(json, "signal", run->signal ? json_integer(run->signal) : json_null());
	json_object_set_new(json, "followed", json_boolean(run->followed));
	json_object_set_new(json, "reason", json_known_text(run->reason));
	json_object_set_new(json, "elapsed_ns", json_time(run->elapsed_ns));
	return json;
}

static json_t *snapshot_json(const struct tally_snapshot *snapshot, bool records_read)
{
	json_t *processes = json_array();
	json_t *json = json_object();
	char exactness[EXACTNESS_MAX];
	size_t n;

	json_object_set_new(json, "schema", json_string("tally.snapshot/1"));
	json_object_set_new(json, "time", json_time(snapshot->realtime_ns));
	json_object_set_new(json, "complete", json_boolean(snapshot->complete));
	render_exactness(exactness, sizeof(exactness), snapshot);
	json_object_set_new(json, "exactness", json_string(exactness));
	json_object_set_new(json, "lost_records", json_count(snapshot->lost_records));
	json_object_set_new(json, "events_total", json_count(snapshot->events));
	json_object_set_new(json, "records_read",
			    known_count(records_read, snapshot->records_read));
	json_object_set_new(json, "rejected_events", json_count(snapshot->rejected_events));
	json_object_set_new(json, "refused_files", json_integer(snapshot->refused_files));
	json_object_set_new(json, "devices", all_devices(snapshot));
	for (n = 0; n < snapshot->process_count; n++)
		json_array_append_new(processes, process_json(snapshot, &snapshot->processes[n],
							      records_read));
	json_object_set_new(json, "processes", processes);
	return json;
}

int json_write(FILE *out, const struct tally_snapshot *snapshot, bool records_read,
	       const struct unseen *unseen, const struct json_run *run)
{
	json_t *json = snapshot_json(snapshot, records_read);
	int result;

	json_object_set_new(json, "unseen", unseen ? unseen_json(unseen) : json_null());
	if (run)
		json_object_set_new(json, "run", run_json(run));
	errno = 0;
	result = json_dumpf(json, out, JSON_INDENT(2));
	json_decref(json);
	if (result == 0)
		result = fputc('\n', out) == EOF || fflush(out) != 0 ? -1 : 0;
	if (result == 0)
		return 0;
	return errno ? -errno : -ENOMEM;
}

int json_print(json_t *json)
{
	int result;

	errno = 0;
	result = json_dumpf(json, stdout, JSON_INDENT(2));
	json_decref(json);
	if (result == 0)
		result = putchar('\n') == EOF || fflush(stdout) != 0 ? -1 : 0;
	if (result == 0)
		return EXIT_OK;
	say("the output was not written: %s", strerror(errno ? errno : ENOMEM));
	return EXIT_ERROR;
}
