/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold for every snapshot and every refusal, whatever bytes they were made from. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define DESCRIPTORS_MAX 48 /* far above what a target uses */

_Noreturn void fuzz_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
	abort();
}

static bool is_printable(const char *text, size_t size)
{
	const char *end = memchr(text, '\0', size);

	for (; end && text < end; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return end != NULL;
}

#define CHECK_TEXT(array) FUZZ_CHECK(is_printable(array, sizeof(array)))

static void check_pool(const struct tally_pool_view *pool)
{
	const struct tally_totals *totals = &pool->totals;

	FUZZ_CHECK(totals->live_bytes <= totals->live_bytes_high);
	FUZZ_CHECK(totals->peak_bytes >= totals->live_bytes);
	FUZZ_CHECK(totals->peak_bytes_high >= totals->live_bytes_high);
	FUZZ_CHECK(totals->peak_bytes_high >= totals->peak_bytes);
	CHECK_TEXT(pool->pool_name);
	FUZZ_CHECK(pool->pool_name[0] || pool->pool >= 8);
}

static uint64_t key_of(const struct tally_pool_view *pool)
{
	return TALLY_KEY(pool->device, pool->pool);
}

/* Each is sound, and they are in order, each once. */
static void check_pools(const struct tally_pool_view *pools, size_t count)
{
	size_t n;

	for (n = 0; n < count; n++) {
		check_pool(&pools[n]);
		FUZZ_CHECK(n == 0 || key_of(&pools[n - 1]) < key_of(&pools[n]));
	}
}

/* Sums over all processes are the sums of what is said of each. */
static void check_over_all(const struct tally_snapshot *now)
{
	struct tally_totals *sums = calloc(now->pool_count + 1, sizeof(*sums));
	size_t n, i, j;

	FUZZ_CHECK(sums);
	for (n = 0; n < now->process_count; n++)
		for (i = 0, j = 0; i < now->processes[n].pool_count; i++, j++) {
			const struct tally_pool_view *part =
				&now->process_pools[now->processes[n].first_pool + i];

			while (j < now->pool_count && key_of(&now->pools[j]) < key_of(part))
				j++;
			FUZZ_CHECK(j < now->pool_count && key_of(&now->pools[j]) == key_of(part));
			sums[j].allocated_bytes += part->totals.allocated_bytes;
			sums[j].freed_bytes += part->totals.freed_bytes;
			sums[j].allocations += part->totals.allocations;
			sums[j].frees += part->totals.frees;
			sums[j].failures += part->totals.failures;
		}
	for (j = 0; j < now->pool_count; j++) {
		const struct tally_totals *totals = &now->pools[j].totals;

		FUZZ_CHECK(totals->allocated_bytes == sums[j].allocated_bytes);
		FUZZ_CHECK(totals->freed_bytes == sums[j].freed_bytes);
		FUZZ_CHECK(totals->allocations == sums[j].allocations);
		FUZZ_CHECK(totals->frees == sums[j].frees);
		FUZZ_CHECK(totals->failures == sums[j].failures);
	}
	free(sums);
}

static void check_processes(const struct tally_snapshot *now)
{
	uint64_t events = 0, read = 0, lost = 0, rejected = 0;
	size_t pools = 0, n;

	for (n = 0; n < now->process_count; n++) {
		const struct tally_process_view *process = &now->processes[n];

		CHECK_TEXT(process->region);
		CHECK_TEXT(process->comm);
		FUZZ_CHECK(process->lost_records ==
			   process->lost_overwritten + process->lost_unrecorded);
		FUZZ_CHECK(process->first_pool == pools);
		pools += process->pool_count;
		FUZZ_CHECK(pools <= now->process_pool_count);
		check_pools(&now->process_pools[process->first_pool], process->pool_count);
		events += process->events;
		read += process->records_read;
		lost += process->lost_records;
		rejected += process->rejected_events;
		FUZZ_CHECK(n == 0 || process->start_realtime_ns >= process[-1].start_realtime_ns);
		FUZZ_CHECK(n == 0 || process->start_realtime_ns > process[-1].start_realtime_ns ||
			   process->pid >= process[-1].pid);
	}
	FUZZ_CHECK(pools == now->process_pool_count);
	FUZZ_CHECK(now->events == events);
	FUZZ_CHECK(now->records_read == read);
	FUZZ_CHECK(now->lost_records == lost);
	FUZZ_CHECK(now->rejected_events == rejected);
}

static void check_devices(const struct tally_snapshot *now)
{
	size_t pools = 0, n, i;

	for (n = 0; n < now->device_count; n++) {
		const struct tally_device_view *device = &now->devices[n];

		CHECK_TEXT(device->name);
		CHECK_TEXT(device->arch);
		CHECK_TEXT(device->stable_id);
		FUZZ_CHECK(n == 0 || device->device > device[-1].device);
		FUZZ_CHECK(device->device < TALLY_DEVICES);
		FUZZ_CHECK(device->first_pool == pools);
		pools += device->pool_count;
		FUZZ_CHECK(pools <= now->pool_count);
		for (i = device->first_pool; i < pools; i++)
			FUZZ_CHECK(now->pools[i].device == device->device);
	}
	FUZZ_CHECK(pools == now->pool_count);
}

void fuzz_check_snapshot(const struct tally_snapshot *now, bool joined)
{
	check_pools(now->pools, now->pool_count);
	check_devices(now);
	check_processes(now);
	if (!joined)
		check_over_all(now);
	FUZZ_CHECK(!now->complete || (now->refused_files == 0 && now->rejected_events == 0));
}

void fuzz_refused(void *arg, const struct tally_refusal *refusal)
{
	(void)arg;
	FUZZ_CHECK(refusal->name && refusal->message);
	FUZZ_CHECK(refusal->error < 0);
	FUZZ_CHECK(refusal->message[0] && is_printable(refusal->message, REGION_WHY_MAX));
}

/* Of the file system that has the regions: libFuzzer opens things of its own elsewhere. */
void fuzz_check_descriptors(void)
{
	static int least = DESCRIPTORS_MAX;
	static dev_t regions_dev;
	struct stat status;
	int fd, count = 0;

	if (least == DESCRIPTORS_MAX) {
		FUZZ_CHECK(stat(fuzz_dir, &status) == 0);
		regions_dev = status.st_dev;
	}
	for (fd = 0; fd < DESCRIPTORS_MAX; fd++)
		count += fstat(fd, &status) == 0 && status.st_dev == regions_dev;
	if (count < least)
		least = count;
	FUZZ_CHECK(count == least);
}
