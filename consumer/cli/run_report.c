/* SPDX-License-Identifier: Apache-2.0 */
/* tally run: the report at CMD's end, as tables or as JSON. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "run.h"

static void describe_end(const struct run *run, char *text, size_t size)
{
	int status = run->child.status;
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	const char *name = number ? sigabbrev_np(number) : NULL;

	if (name)
		snprintf(text, size, "SIG%s", name);
	else if (number)
		snprintf(text, size, "signal %d", number);
	else
		snprintf(text, size, "status %d", WEXITSTATUS(status));
}

static bool is_followed(const struct tally_snapshot *snapshot, int pid)
{
	size_t n;

	for (n = 0; n < snapshot->process_count; n++)
		if (snapshot->processes[n].pid == (uint32_t)pid || snapshot->processes[n].guests)
			return true;
	return false;
}

/* Programs that took each other's place are one process. */
static size_t count_processes(const struct tally_snapshot *snapshot)
{
	size_t count = 0, n;

	for (n = 0; n < snapshot->process_count; n++)
		if (snapshot->processes[n].guests)
			count += snapshot->processes[n].guests;
		else
			count += !render_is_replaced(snapshot, n);
	return count;
}

/* For people, on stderr: tables, and what is to be known of them. */
static void report_tables(const struct run *run, const struct tally_snapshot *snapshot,
			  const char *reason)
{
	char command[128], end[TEXT_MAX];
	struct view view = { .report = true, .command_pid = (uint32_t)run->child.pid };
	size_t count = count_processes(snapshot);

	text_clean(command, sizeof(command), run->command[0]);
	describe_end(run, end, sizeof(end));
	view.command_end = end;
	say("%s ended with %s after %.2f s, %zu process%s followed", command, end,
	    (double)run->elapsed_ns / 1e9, count, count == 1 ? "" : "es");
	if (count > 0) {
		fputc('\n', stderr);
		render_tables(stderr, snapshot, &view);
		fputc('\n', stderr);
	}
	if (reason[0])
		say("%s could not be followed: %s", command, reason);
	render_notes(snapshot, &view);
}

static int report_json(const struct run *run, const struct tally_snapshot *snapshot,
		       const char *reason)
{
	int status = run->child.status;
	struct json_run facts = {
		.command = run->command,
		.pid = (uint32_t)run->child.pid,
		.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
		.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		.followed = reason[0] == '\0',
		.reason = reason,
		.elapsed_ns = run->elapsed_ns,
	};
	int error = json_write(run->json, snapshot, true, NULL, &facts);

	if (error)
		say("%s was not written: %s", run->json_name, strerror(-error));
	return error;
}

bool run_report(const struct run *run)
{
	const struct tally_snapshot *snapshot = tally_snapshot_get(run->consumer);
	char reason[4608] = "";
	bool whole = true;

	if (!is_followed(snapshot, run->child.pid))
		reach_reason(reason, sizeof(reason), run->command[0], text_regions_dir());
	if (run->json)
		whole = report_json(run, snapshot, reason) == 0;
	else
		report_tables(run, snapshot, reason);
	tally_snapshot_put(snapshot);
	return whole;
}
