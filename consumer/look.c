/* SPDX-License-Identifier: Apache-2.0 */
/* One look: each process is read, what it is known to hold added up, and the sum published. */
#include "consumer/look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "consumer/cursor.h"
#include "consumer/guard.h"
#include "consumer/totals.h"

/* Ended processes stay in view for whoever follows a run; else as long as their file does. */
static bool keeps_ended(const struct look *look)
{
	return look->attach.options.remove_ended || look->attach.options.run_id != 0;
}

/* A file that was cut sends SIGBUS to whoever reads it, unless there is a guard. */
static bool is_cut(const struct process *process)
{
	struct stat status;

	return fstat(process->view.fd, &status) != 0 ||
	       (uint64_t)status.st_size < process->view.at.size;
}

static int read_all(const struct look *look, struct process *process, bool gone)
{
	const struct tally_consumer_options *options = &look->attach.options;

	process_identify(process);
	if (cursor_look(process, options->read_records, gone) != 0 ||
	    totals_read(process, gone) != 0)
		return -ENOMEM;
	cursor_account(process, options->read_records, options->from_start, gone);
	return describe_read(process);
}

/* Reads one process. The lock is asked first: when it is gone, what is read is final. -EBADMSG: it
 * was cut meanwhile. */
static int watch(struct look *look, struct process *process)
{
	const struct tally_consumer_options *options = &look->attach.options;
	bool gone = region_alive(&process->view, 0) == 0;
	int error = -EBADMSG;

	if (process->cut || is_cut(process))
		return error;
	guard_begin(&process->view);
	error = read_all(look, process, gone);
	if (guard_end())
		return -EBADMSG;
	if (error || !gone)
		return error; /* short of memory: once more, next time */
	process->ended = true;
	process->said.end = process->ended_ns ? TALLY_EXITED : TALLY_GONE;
	if (options->remove_ended)
		attach_unlink(&look->attach, process);
	process_let_go(process);
	return 0;
}

static int watch_all(struct look *look)
{
	struct attach *attach = &look->attach;
	size_t n = attach->process_count;
	int error = 0;

	while (n-- > 0) { /* backwards, as a broken one is dropped */
		struct process *process = attach->processes[n];

		process->ended_before = process->ended;
		if (process->ended)
			continue;
		switch (watch(look, process)) {
		case 0:
			break;
		case -EBADMSG:
			attach_reject(attach, process, "was cut while it was read; it is broken");
			break;
		default:
			error = -ENOMEM;
		}
	}
	return error;
}

static const struct process *find_region(const struct look *look, uint64_t region_id)
{
	size_t n;

	for (n = 0; n < look->attach.process_count; n++)
		if (look->attach.processes[n]->said.region_id == region_id)
			return look->attach.processes[n];
	return NULL;
}

/* What a fork child inherited is counted with its parent as long as that lives. Of two that ended
 * within one look their own words tell which was first, if both left one. */
static void count_inherited(const struct look *look, struct process *process)
{
	const struct process *parent;

	if (process->said.parent_id == 0 || process->inherited_counted || process->ended_before)
		return;
	parent = find_region(look, process->said.parent_id);
	process->inherited_counted = !parent || parent->ended_before ||
				     (parent->ended && !process->ended) ||
				     (parent->ended_ns && parent->ended_ns < process->ended_ns);
}

static int add_up(struct look *look)
{
	const struct attach *attach = &look->attach;
	int error = 0;
	size_t n;

	sums_restart(&look->over_all);
	for (n = 0; n < attach->process_count && !error; n++) {
		count_inherited(look, attach->processes[n]);
		error = totals_add(&look->over_all, attach->processes[n]);
	}
	totals_finish(&look->over_all);
	return error;
}

/* The latest description of each device; a pool with a known capacity is shown before its first
 * event, too. */
static int describe_all(struct look *look, struct tally_device_entry **devices, size_t *count)
{
	const struct attach *attach = &look->attach;
	size_t n, i;
	uint32_t pool;

	for (n = 0; n < attach->process_count; n++)
		for (i = 0; i < attach->processes[n]->device_count; i++)
			if (describe_device(devices, count, &attach->processes[n]->devices[i]) != 0)
				return -ENOMEM;
	for (i = 0; i < *count; i++)
		for (pool = 0; pool < TALLY_DESCRIBED_POOLS; pool++)
			if ((*devices)[i].capacity_bytes[pool] &&
			    !sums_get(&look->over_all, TALLY_KEY((*devices)[i].device, pool)))
				return -ENOMEM;
	return 0;
}

static int publish(struct look *look)
{
	struct tally_device_entry *devices = NULL;
	size_t device_count = 0;
	int error = describe_all(look, &devices, &device_count);

	if (!error) {
		struct picture picture = {
			.processes = look->attach.processes,
			.process_count = look->attach.process_count,
			.over_all = &look->over_all,
			.devices = devices,
			.device_count = device_count,
			.refused_files = attach_refused(&look->attach),
		};

		error = publisher_publish(&look->publisher, &picture);
	}
	free(devices);
	return error;
}

int look_once(struct look *look)
{
	struct attach *attach = &look->attach;
	int scan_error, error;
	size_t n;

	attach_drop_leaving(attach);
	scan_error = attach_scan(attach);
	error = watch_all(look);
	if (!error)
		error = add_up(look);
	if (!error)
		error = publish(look);
	for (n = 0; n < attach->process_count && !error; n++)
		attach->processes[n]->leaving = !keeps_ended(look) && attach->processes[n]->ended &&
						attach->processes[n]->file_gone;
	return error ? error : scan_error;
}

bool look_drain(struct look *look)
{
	bool moved = false;
	size_t n;

	for (n = 0; n < look->attach.process_count; n++) {
		struct process *process = look->attach.processes[n];

		if (process->ended || process->cut || is_cut(process))
			continue;
		guard_begin(&process->view);
		moved = cursor_drain(process) || moved;
		if (guard_end())
			process->cut = true; /* the next look drops it, and says so */
	}
	return moved;
}

int look_found(const struct look *look)
{
	const struct attach *attach = &look->attach;

	if ((!attach->options.pid && !attach->name) || attach->process_count > 0)
		return 0;
	return attach->first_error ? attach->first_error : -ENOENT;
}

int look_open(struct look *look, const struct tally_consumer_options *options)
{
	int error = attach_open(&look->attach, options);

	if (error)
		return error;
	memset(&look->over_all, 0, sizeof(look->over_all));
	memset(&look->lent, 0, sizeof(look->lent));
	error = publisher_open(&look->publisher);
	if (error) {
		attach_close(&look->attach);
		return error;
	}
	/* Should it fail, the run goes without. */
	if (look->attach.options.lend_region && look->attach.options.run_id)
		lend_open(&look->lent, look->attach.path, look->attach.options.run_id);
	return 0;
}

void look_close(struct look *look)
{
	lend_close(&look->lent);
	publisher_close(&look->publisher);
	attach_close(&look->attach);
	sums_free(&look->over_all);
}
