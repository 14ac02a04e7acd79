/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what a verb looks at, and saying why there is nothing to look at. */
#include "source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void source_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void note_refusal(void *arg, const struct tally_refusal *refusal)
{
	struct source *source = arg;

	/* Of several processes that were asked for, others' files are nobody's business. */
	if (source->filter.pid_count > 1 && !filter_takes_pid(&source->filter, refusal->pid))
		return;
	source->refusal = refusal->error;
	say_refusal(NULL, refusal);
}

static int say_nothing(const struct source *source)
{
	if (source->filter.pid_count == 1)
		say("process %" PRIu32 " has no region; is it running with tally armed (TALLY=1)?",
		    source->filter.pids[0]);
	else
		say("nothing to show; start a program with `tally run -- CMD`, or with TALLY=1 and "
		    "libtally");
	return EXIT_NOTHING;
}

static int open_failed(const struct source *source, int error)
{
	if (error == -ENOENT && source->filter.pid_count == 1)
		return say_nothing(source);
	return source->refusal ? exit_code_of(error) : say_no_directory(error);
}

int source_open(struct source *source, const struct tally_consumer_options *options)
{
	struct tally_consumer_options all = *options;
	int error;

	all.refused = note_refusal;
	all.refused_arg = source;
	if (source->filter.pid_count == 1)
		all.pid = source->filter.pids[0];
	else
		all.all_users = source->filter.all_users ||
				(source->filter.pid_count > 1 && geteuid() == 0);
	if (source->filter.all_users && geteuid() != 0) {
		say("only root may look at what other users run");
		return EXIT_PERMISSION;
	}
	source_raise_limit();
	error = tally_consumer_open(&all, &source->consumer);
	if (error)
		return open_failed(source, error);
	if (source->filter.pid_count > 1 && source->refusal) {
		source_close(source);
		return exit_code_of(source->refusal);
	}
	return 0;
}

static void put_back(struct source *source)
{
	filter_free(source->chosen);
	if (source->all)
		tally_snapshot_put(source->all);
	source->chosen = NULL;
	source->all = NULL;
}

int source_look_again(struct source *source, const struct tally_snapshot **ret_snapshot)
{
	put_back(source);
	source->all = tally_snapshot_get(source->consumer);
	*ret_snapshot = source->all;
	if (!filter_is_set(&source->filter))
		return 0;
	source->chosen = filter_snapshot(&source->filter, source->all);
	if (!source->chosen) {
		say("no memory left for a copy of what is chosen");
		return EXIT_ERROR;
	}
	*ret_snapshot = source->chosen;
	return 0;
}

/* Nobody is there, nor is anything held by somebody who is not seen. */
static bool is_empty(const struct tally_snapshot *snapshot)
{
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++)
		if (snapshot->pools[n].totals.live_bytes_high > 0)
			return false;
	return snapshot->process_count == 0;
}

int source_look(struct source *source, const struct tally_snapshot **ret_snapshot)
{
	int result = source_look_again(source, ret_snapshot);

	if (result)
		return result;
	if (is_empty(source->all))
		return say_nothing(source);
	return filter_check(&source->filter, source->all);
}

int source_check_records(const struct source *source, const struct tally_snapshot *snapshot)
{
	size_t without = 0, with = 0, n;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (!filter_takes_pid(&source->filter, process->pid))
			continue;
		without += process->totals_only;
		with += !process->totals_only;
	}
	if (without)
		say("%zu process%s by a runtime's totals only: there are no records of %s", without,
		    without == 1 ? " is known" : "es are known", without == 1 ? "it" : "them");
	return without && !with && source->filter.pid_count ? EXIT_NOTHING : 0;
}

void source_find_unseen(const struct source *source, struct unseen *unseen)
{
	memset(unseen, 0, sizeof(*unseen));
	if (source->all && !filter_is_set(&source->filter))
		unseen_find(unseen, source->all, source->filter.all_users);
}

void source_close(struct source *source)
{
	put_back(source);
	tally_consumer_close(source->consumer);
	source->consumer = NULL;
}
