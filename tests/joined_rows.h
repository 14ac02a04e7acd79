/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns what in the regions of test_dir, read from their bytes: one row for each process. */
#ifndef TESTS_JOINED_ROWS_H
#define TESTS_JOINED_ROWS_H

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "ring/cells.h"
#include "ring/lane.h"
#include "ring/region.h"
#include "tests/child.h"
#include "tests/support.h"

struct row {
	char region[REGION_NAME_MAX];
	uint32_t flags, entry, uid;
	uint64_t generation, pid, parent;
	bool alive;
	struct test_sums sums;	 /* what this process did, everywhere */
	uint64_t events, shared; /* shared: of these, past the lanes */
};

static struct row rows[2048];
static size_t row_count;
static struct test_sums all_sums; /* of all that ever owned an entry */
static uint64_t all_events;
static const char *look_only = ""; /* at regions with this in their name */

static inline void add_sums(struct row *row, const struct ledger_sums *sums,
			    const struct tally_cell_base *base)
{
	struct test_sums all = { (int64_t)sums->allocated_bytes, (int64_t)sums->freed_bytes,
				 (int64_t)sums->allocs, (int64_t)sums->frees,
				 (int64_t)sums->failures };
	struct test_sums before = { (int64_t)base->allocated_bytes, (int64_t)base->freed_bytes,
				    (int64_t)base->allocs, (int64_t)base->frees,
				    (int64_t)base->failures };

	if (row)
		row->sums = sums_plus(row->sums, sums_minus(all, before));
	else
		all_sums = sums_plus(all_sums, all);
}

/* Adds what is in lane n to `row`, or, where it is NULL, to all. */
static inline void add_lane(const struct region_view *view, uint32_t n, struct row *row)
{
	struct tally_lane_header *header = region_lane(view->base, &view->at, n);
	uint64_t events, unrecorded, cell;

	lane_count(header, &events, &unrecorded);
	if (row)
		row->events += events - header->base_events;
	else
		all_events += events;
	for (cell = 0; cell < header->cell_count; cell++) {
		struct ledger_sums sums = { 0 };

		assert_true(ledger_read(&lane_cells(header)[cell], &sums));
		add_sums(row, &sums, &lane_cells(header)[cell].base);
	}
}

static inline void add_entry(const struct region_view *view, uint32_t entry, struct row *row)
{
	struct tally_process_header *process = region_process(view->base, &view->at, entry);
	uint64_t key = 0;
	uint32_t n;

	if (row) {
		row->shared = process->shared_events - process->base_events;
		row->events += row->shared;
	} else {
		all_events += process->shared_events;
	}
	for (n = 0; n < view->at.shared_cells; n++) {
		struct ledger_sums sums = { 0 };

		if ((process->cell_pages >> cells_page(n) & 1) &&
		    cells_read(&process_cells(process)[n], &key, &sums))
			add_sums(row, &sums, &process_cells(process)[n].base);
	}
}

static inline void look_at_entry(const char *name, const struct region_view *view, uint32_t entry)
{
	struct tally_process_header *process = region_process(view->base, &view->at, entry);
	struct row *row = &rows[row_count];
	uint64_t n;

	add_entry(view, entry, NULL);
	if (!process->generation)
		return;
	assert_true(++row_count < COUNT(rows));
	memset(row, 0, sizeof(*row));
	snprintf(row->region, sizeof(row->region), "%s", name);
	row->flags = view->header.flags;
	row->entry = entry;
	row->generation = process->generation;
	row->pid = process->pid;
	row->parent = process->parent;
	row->alive = region_alive(view, entry) == 1;
	add_entry(view, entry, row);
	for (n = 0; n < region_state(view->base)->lanes_used; n++) {
		uint64_t owner = region_lane(view->base, &view->at, (uint32_t)n)->owner;

		if ((owner >> 56 == TALLY_LANE_OWNED || owner >> 56 == TALLY_LANE_EXITED) &&
		    (owner >> 32 & 0xffffff) == entry)
			add_lane(view, (uint32_t)n, row);
	}
}

/* Fills rows[]; everybody rests. Files that are no region of ours are passed over. */
static inline void look_at_regions(void)
{
	int dir_fd = open_dir();
	DIR *dir = fdopendir(dir_fd);
	struct dirent *file;
	char why[REGION_WHY_MAX];
	struct region_view view;
	uint32_t n;

	row_count = 0;
	all_events = 0;
	memset(&all_sums, 0, sizeof(all_sums));
	while ((file = readdir(dir))) {
		if (file->d_name[0] == '.' || !strstr(file->d_name, look_only) ||
		    region_open(dir_fd, file->d_name, &view, why) != 0)
			continue;
		for (n = 0; n < view.at.processes; n++)
			look_at_entry(file->d_name, &view, n);
		for (n = 0; n < region_state(view.base)->lanes_used; n++)
			add_lane(&view, n, NULL);
		region_close(&view);
	}
	closedir(dir);
}

/* The one living process with this pid; fails if it is not one. */
static inline const struct row *row_of(pid_t pid)
{
	const struct row *found = NULL;
	size_t n;

	for (n = 0; n < row_count; n++) {
		if (rows[n].pid != (uint64_t)pid || !rows[n].alive)
			continue;
		if (found)
			fail_msg("two processes with pid %d", (int)pid);
		found = &rows[n];
	}
	if (!found)
		fail_msg("no process with pid %d", (int)pid);
	return found;
}

/* ---- Programs that join ---------------------------------------------------------------------- */

struct member {
	struct job job;
	pid_t pid;
	char region[64];
	int join_error;
};

static inline void hear(struct member *member)
{
	char *line = job_line(&member->job);
	int pid;

	assert_int_equal(sscanf(line, "%d %63s %d", &pid, member->region, &member->join_error), 3);
	member->pid = pid;
}

static inline struct member start(const char *scenario, const char *number, const char *name,
				  const char *more)
{
	struct command command = {
		.argv = LIST(prog("joined"), scenario, number),
		.env = LIST("TALLY=1", "TALLY_RING=64", text("TALLY_REGION=%s", name), more),
	};
	struct member member = { .job = job_start(&command) };

	hear(&member);
	return member;
}

static inline void leave(struct member *member)
{
	struct outcome outcome = job_end(&member->job);

	if (outcome.status != 0 || outcome.err_size)
		fail_msg("status %d: %s", outcome.status, outcome.err);
}

static inline const char *path_of(const char *given)
{
	return text("%s/%s", test_dir, joined_file(given));
}

static inline bool is_there(const char *given)
{
	struct stat status;

	return lstat(path_of(given), &status) == 0;
}

/* `count` events of 16 bytes, of this process. */
static inline void assert_has(const struct member *member, int64_t count)
{
	const struct row *row = row_of(member->pid);

	assert_string_equal(row->region, member->region);
	assert_int_equal(row->sums.allocs, count);
	assert_int_equal(row->sums.allocated_bytes, 16 * count);
	assert_int_equal(row->events, count);
}

static inline void assert_joined(const struct member *member, const char *given)
{
	assert_int_equal(member->join_error, 0);
	assert_string_equal(member->region, joined_file(given));
}

#endif
