/* SPDX-License-Identifier: Apache-2.0 */
/* tally devices: what each device is, how full its pools are, and who is on it.
 *
 * JSON, schema tally.devices/1: time, complete, exactness, lost_records, devices[] {device, name,
 * arch, stable_id, described, totals_only, remote, grid_x, grid_y, channels, pools{} as in
 * tally.snapshot/1, processes[] {pid, comm, alive, image, totals_only, live_bytes, live_bytes_high,
 * abandoned_bytes}}, unseen[] as in tally.snapshot/1.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "source.h"

#define OPTION_JSON 256 /* has no letter */
#define NAMES_SHOWN 8

/* What a process has on a device; false: nothing. */
static bool sum_on_device(const struct tally_snapshot *snapshot,
			  const struct tally_process_view *process, uint32_t device,
			  struct tally_totals *ret_sum)
{
	const struct tally_pool_view *pools = &snapshot->process_pools[process->first_pool];
	size_t first = 0, count = 0;

	while (first < process->pool_count && pools[first].device != device)
		first++;
	while (first + count < process->pool_count && pools[first + count].device == device)
		count++;
	if (count == 0)
		return false;
	*ret_sum = render_sum(&pools[first], count);
	return true;
}

/* ---- For people ------------------------------------------------------------------------------ */

static void print_heading(const struct tally_device_view *device)
{
	printf("device %" PRIu32, device->device);
	if (device->name[0])
		printf(": %s", device->name);
	if (device->arch[0])
		printf(", %s", device->arch);
	if (device->stable_id[0])
		printf(", %s", device->stable_id);
	if (device->grid_x || device->grid_y)
		printf(", grid %" PRIu32 "x%" PRIu32, device->grid_x, device->grid_y);
	if (device->channels)
		printf(", %" PRIu32 " channel%s", device->channels,
		       device->channels == 1 ? "" : "s");
	if (device->remote)
		printf(", remote");
	printf("%s\n", device->totals_only		      ? ", totals only"
		       : device->described || device->name[0] ? ""
							      : ", not described");
}

/* part: not all of the device is totals only, which its heading says. */
static void print_pool(const struct tally_pool_view *pool, int width, bool part)
{
	const char *known;
	const struct tally_totals *totals = &pool->totals;
	char used[TEXT_MAX], capacity[TEXT_MAX];

	text_bytes(used, totals->live_bytes);
	printf("  %-*s  %s%s", width, pool->pool_name,
	       totals->live_bytes != totals->live_bytes_high ? ">=" : "", used);
	if (pool->capacity_bytes) {
		text_bytes(capacity, pool->capacity_bytes > INT64_MAX
					     ? INT64_MAX
					     : (int64_t)pool->capacity_bytes);
		printf(" of %s, %.1f %%", capacity,
		       100 * (double)totals->live_bytes / (double)pool->capacity_bytes);
	} else {
		printf(", capacity unknown");
	}
	known = part ? render_known(pool) : "";
	printf("%s%s\n", known[0] ? ", " : "", known);
}

static void print_processes(const struct tally_snapshot *snapshot, uint32_t device)
{
	struct tally_totals sum;
	size_t count = 0, n;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (!sum_on_device(snapshot, process, device, &sum))
			continue;
		if (count++ >= NAMES_SHOWN)
			continue;
		printf("%s", count == 1 ? "  processes: " : ", ");
		if (process->guests)
			printf("%" PRIu32 " without region", process->guests);
		else
			printf("%" PRIu32 " (%s%s%s)", process->pid, process->comm,
			       process->end == TALLY_RUNNING ? "" : ", ended",
			       process->totals_only ? ", totals only" : "");
	}
	if (count > NAMES_SHOWN)
		printf(" and %zu more", count - NAMES_SHOWN);
	printf("%s\n", count ? "" : "  no process");
}

static int print_text(const struct tally_snapshot *snapshot)
{
	char exactness[EXACTNESS_MAX];
	size_t n, i;

	for (n = 0; n < snapshot->device_count; n++) {
		const struct tally_device_view *device = &snapshot->devices[n];
		const struct tally_pool_view *pools = &snapshot->pools[device->first_pool];
		int width = 0;

		print_heading(device);
		for (i = 0; i < device->pool_count; i++)
			if ((int)strlen(pools[i].pool_name) > width)
				width = (int)strlen(pools[i].pool_name);
		for (i = 0; i < device->pool_count; i++)
			print_pool(&pools[i], width, !device->totals_only);
		print_processes(snapshot, device->device);
		putchar('\n');
	}
	render_exactness(exactness, sizeof(exactness), snapshot);
	printf("%s\n", exactness);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_OK;
	say("the output was not written: %s", strerror(errno));
	return EXIT_ERROR;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *processes_json(const struct tally_snapshot *snapshot, uint32_t device)
{
	json_t *processes = json_array();
	struct tally_totals sum;
	size_t n;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];
		bool known = !process->totals_only;

		if (sum_on_device(snapshot, process, device, &sum))
			json_array_append_new(
				processes,
				json_pack("{s:I, s:o, s:b, s:o, s:b, s:I, s:I, s:o}", "pid",
					  (json_int_t)process->pid, "comm",
					  json_text_of(process->comm), "alive",
					  process->end == TALLY_RUNNING, "image",
					  json_image(known ? process->region_id : 0), "totals_only",
					  !known, "live_bytes", (json_int_t)sum.live_bytes,
					  "live_bytes_high", (json_int_t)sum.live_bytes_high,
					  "abandoned_bytes",
					  known ? json_integer(sum.abandoned_bytes) : json_null()));
	}
	return processes;
}

static json_t *known(bool known, uint32_t value)
{
	return known ? json_integer(value) : json_null();
}

static json_t *device_json(const struct tally_snapshot *snapshot,
			   const struct tally_device_view *device)
{
	json_t *pools = json_object();
	bool described = device->described;
	size_t n;

	for (n = 0; n < device->pool_count; n++)
		json_add_pool(pools, &snapshot->pools[device->first_pool + n]);
	return json_pack("{s:I, s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "device",
			 (json_int_t)device->device, "name", json_known_text(device->name), "arch",
			 json_known_text(device->arch), "stable_id",
			 json_known_text(device->stable_id), "described", described, "totals_only",
			 device->totals_only, "remote",
			 described ? json_boolean(device->remote) : json_null(), "grid_x",
			 known(described && device->grid_x, device->grid_x), "grid_y",
			 known(described && device->grid_y, device->grid_y), "channels",
			 known(described && device->channels, device->channels), "pools", pools,
			 "processes", processes_json(snapshot, device->device));
}

static int print_json(const struct tally_snapshot *snapshot, const struct unseen *unseen)
{
	json_t *devices = json_array();
	char exactness[EXACTNESS_MAX];
	size_t n;

	for (n = 0; n < snapshot->device_count; n++)
		json_array_append_new(devices, device_json(snapshot, &snapshot->devices[n]));
	render_exactness(exactness, sizeof(exactness), snapshot);
	return json_print(json_pack("{s:s, s:o, s:b, s:s, s:o, s:o, s:o}", "schema",
				    "tally.devices/1", "time", json_time(snapshot->realtime_ns),
				    "complete", snapshot->complete, "exactness", exactness,
				    "lost_records", json_count(snapshot->lost_records), "devices",
				    devices, "unseen", unseen_json(unseen)));
}

/* ---- The verb -------------------------------------------------------------------------------- */

static int devices_main(int argc, char **argv)
{
	static const struct option options[] = {
		FILTER_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ NULL, 0, NULL, 0 },
	};
	struct tally_consumer_options consumer = { 0 };
	const struct tally_snapshot *snapshot;
	struct source source = { 0 };
	struct unseen unseen;
	bool json = false;
	int status;

	while (filter_getopt(&source.filter, argc, argv, ":" FILTER_LETTERS, options, &status) !=
	       -1)
		json = true;
	if (!status)
		status = source_open(&source, &consumer);
	if (status)
		return status;
	status = source_look(&source, &snapshot);
	source_find_unseen(&source, &unseen);
	if (!status)
		status = json ? print_json(snapshot, &unseen) : print_text(snapshot);
	unseen_note(&unseen);
	unseen_free(&unseen);
	source_close(&source);
	return status;
}

static const char help[] =
	"usage: tally devices " FILTER_USAGE " [--json]\n"
	"\n"
	"Shows each device that a process has described or used: its name, architecture and\n"
	"stable id, its grid of cores and memory channels, whether it is remote, what is held\n"
	"in each pool of what there is, and the processes on it. A capacity that no process has\n"
	"described is unknown. Of a device that is \"totals only\" the bytes that its runtime\n"
	"publishes by itself are all that is known. The last line says whether what is held is\n"
	"exact.\n"
	"\n" FILTER_HELP "  --json             as JSON\n"
	"\n"
	"Exit status: 0; 2 usage; 3 nothing to attach to, or no such device or pool; 4 no\n"
	"permission; 5 the process asked for has another version of libtally; 1 other errors.\n";

const struct verb verb_devices = {
	.name = "devices",
	.run = devices_main,
	.line = "show each device: what it is, how full its pools are, who is on it",
	.help = help,
};
