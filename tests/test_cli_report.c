/* SPDX-License-Identifier: Apache-2.0 */
/* What the `tally` command shows to people: tables, two runs at once apart, the live line. */
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "tests/cli.h"
#include "tests/support.h"

/* ---- Tables ---------------------------------------------------------------------------------- */

static void ps_shows_a_row_per_device_and_pool_and_per_process(void **state)
{
	struct job one = start_pushing("11"), other = start_pushing("21");
	struct outcome outcome = TALLY("ps");

	(void)state;
	assert_int_equal(outcome.status, 0);
	assert_string_equal(row(outcome.out, "DEVICE"),
			    "DEVICE POOL HELD PEAK ALLOCS FREES FAILED LOST");
	assert_string_equal(row(outcome.out, "1 l1"), "1 l1 158 B 158 B 17 15 0 0");
	assert_string_equal(row(outcome.out, "PID"),
			    "PID COMMAND HELD PEAK ALLOCS FREES FAILED LOST STATE");
	assert_string_equal(row(outcome.out, text("%d ", one.pid)),
			    text("%d push_many 74 B 74 B 6 5 0 0 running", one.pid));
	assert_string_equal(row(outcome.out, text("%d ", other.pid)),
			    text("%d push_many 84 B 84 B 11 10 0 0 running", other.pid));
	assert_null(strchr(outcome.out, '\033'));
	assert_string_equal(outcome.err, "");
	/* no verb means ps */
	assert_string_equal(RUN(built("tally")).out, outcome.out);
	outcome = TALLY("ps", "-p", text("%d", one.pid));
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
	assert_string_equal(row(outcome.out, "1 l1"), "1 l1 74 B 74 B 6 5 0 0");
	assert_null(strstr(outcome.out, text("\n%d ", other.pid)));
	job_end_well(&one);
	job_end_well(&other);
}

static void ps_shows_no_process_that_ended_cleanly(void **state)
{
	struct job job = start_pushing("11");

	(void)state;
	assert_int_equal(TALLY("ps").status, 0);
	job_end_well(&job);
	assert_int_equal(TALLY("ps").status, 3);
}

static void report_of_run_shows_the_same_numbers_as_its_json(void **state)
{
	json_t *json = run_json(LIST(prog("push_many"), "11"), 0);
	struct test_sums heap = json_sums(json_pool(json, 0, "heap"));
	struct outcome outcome = TALLY("run", "--", prog("push_many"), "11");

	(void)state;
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.out, "pushed\n"); /* not a word of ours */
	check_contains(outcome.err, "push_many ended with status 0 after ");
	check_contains(outcome.err, ", 1 process followed\n");
	assert_string_equal(row(outcome.err, "DEVICE"),
			    "DEVICE POOL AT END PEAK ALLOCS FREES FAILED LOST");
	assert_string_equal(row(outcome.err, "1 l1"), "1 l1 74 B 74 B 6 5 0");
	check_contains(row(outcome.err, "0 host heap"),
		       text(" %" PRId64 " %" PRId64 " 0", heap.allocs, heap.frees));
	check_contains(row(outcome.err, "all"),
		       text(" %" PRId64 " %" PRId64 " 0 0", heap.allocs + 6, heap.frees + 5));
	assert_string_equal(row(outcome.err, "PID"),
			    "PID COMMAND AT END PEAK ALLOCS FREES FAILED LOST ENDED");
	check_contains(outcome.err, "push_many");
	check_contains(outcome.err, "exited");
	/* in so small a ring that most records are lost before they are read */
	outcome = TALLY("run", "--ring", "64", "--", prog("push_many"), "1000001");
	assert_int_equal(outcome.status, 0);
	assert_string_equal(row(outcome.err, "1 l1"), "1 l1 64 B 162 B 500,001 500,000 0");
	check_contains(outcome.err, "were overwritten before they were read");
}

/* ---- Two at once ----------------------------------------------------------------------------- */

static struct job start_run(const char *events, const char *report)
{
	struct job job = START(built("tally"), "run", "--json", report, "--", "sh", "-c",
			       "\"$0\" \"$1\"; exit $(($1 % 100))", prog("push_many"), events);

	assert_string_equal(job_line(&job), "pushed");
	return job;
}

/* Its own program is in there, no other is, and nobody lives on. */
static void check_run(const char *report, int64_t events)
{
	json_t *json = json_parse(read_file(report, NULL)), *process;
	struct test_sums sums = json_sums(json_pool(json, 1, "l1"));
	size_t i, pushed = 0;

	assert_int_equal(sums.allocs + sums.frees, events);
	json_array_foreach(json_get(json, "processes"), i, process) {
		pushed += strcmp(json_text(process, "comm"), "push_many") == 0;
		assert_false(json_flag(process, "alive"));
	}
	assert_int_equal(pushed, 1);
}

static size_t pushing(void)
{
	return count_of(TALLY("ps").out, "push_many");
}

static void two_runs_at_once_do_not_mix(void **state)
{
	char *first = text("%s/first", test_tmp), *second = text("%s/second", test_tmp);
	struct job one = start_run("1007", first), other = start_run("2009", second);
	struct outcome outcome;

	(void)state;
	assert_int_equal(pushing(), 2);
	outcome = job_end(&one);
	assert_int_equal(outcome.status, 7);
	assert_string_equal(outcome.err, "");
	assert_int_equal(pushing(), 1);
	outcome = job_end(&other);
	assert_int_equal(outcome.status, 9);
	assert_string_equal(outcome.err, "");
	check_run(first, 1007);
	check_run(second, 2009);
}

/* ---- The live line --------------------------------------------------------------------------- */

#define ROWS 64
#define COLUMNS 200

/* What a terminal would show of what was written to it. */
struct screen {
	char cells[ROWS][COLUMNS + 1];
	int row, column, columns;
};

static void show(struct screen *screen, const char *bytes, size_t size)
{
	size_t i;
	int column;

	for (i = 0; i < size; i++) {
		assert_true(screen->row < ROWS);
		if (bytes[i] == '\r') {
			screen->column = 0;
		} else if (bytes[i] == '\n') {
			screen->row++;
			screen->column = 0;
		} else if (strncmp(bytes + i, "\033[K", 3) == 0) {
			for (column = screen->column; column < COLUMNS; column++)
				screen->cells[screen->row][column] = ' ';
			i += 2;
		} else {
			assert_true(bytes[i] >= ' ' && bytes[i] != 0x7f);
			if (screen->column == screen->columns) { /* no room left in the line */
				screen->row++;
				screen->column = 0;
			}
			screen->cells[screen->row][screen->column++] = bytes[i];
		}
	}
}

/* Everything that is shown until `count` of `what` have come, or until the end when NULL. */
static char *shown_until(const struct job *job, char *shown, const char *what, size_t count)
{
	char bytes[1024];
	ssize_t got;

	while (!what || count_of(shown, what) < count) {
		struct pollfd ready = { .fd = job->from, .events = POLLIN };

		if (poll(&ready, 1, DEADLINE_S * 1000) != 1)
			fail_msg("waited in vain for \"%s\", saw \"%s\"", what ? what : "the end",
				 shown);
		got = read(job->from, bytes, sizeof(bytes));
		if (got <= 0 && what)
			fail_msg("ended before \"%s\" came: \"%s\"", what, shown);
		if (got <= 0)
			break;
		shown = text("%s%.*s", shown, (int)got, bytes);
	}
	return shown;
}

static void check_live_line_is_gone(const char *shown, int columns)
{
	struct screen screen = { .columns = columns };
	int row_no, reports = 0;

	memset(screen.cells, ' ', sizeof(screen.cells));
	show(&screen, shown, strlen(shown));
	for (row_no = 0; row_no < ROWS; row_no++) {
		screen.cells[row_no][COLUMNS] = '\0';
		assert_null(strstr(screen.cells[row_no], "hold"));
		assert_null(strstr(screen.cells[row_no], "allocations,"));
		reports += strncmp(screen.cells[row_no], "tally: ", 7) == 0 &&
			   strstr(screen.cells[row_no], " ended with status 0") != NULL;
	}
	assert_int_equal(reports, 1);
}

static void live_line_is_drawn_on_a_terminal_alone_and_is_gone_in_the_end(void **state)
{
	/* started first: what the terminal shows, these could have shown as well */
	struct job in_pipe = (need_terminal(),
			      START(built("tally"), "run", "--", prog("push_many"), "11"));
	struct job background = START(prog("in_terminal"), "80", "sh", "-c",
				      "exec \"$0\" run -- \"$1\" 11 2>\"$2\"", built("tally"),
				      prog("push_many"), text("%s/err", test_tmp));
	struct job terminal = START(prog("in_terminal"), "120", built("tally"), "run", "--",
				    prog("push_many"), "11");
	struct outcome outcome;
	char *shown, *err;

	(void)state;
	assert_string_equal(job_line(&in_pipe), "pushed");
	assert_string_equal(job_line(&background), "pushed");
	shown = shown_until(&terminal, text("%s", ""), "allocations", 2);
	check_contains(shown, "tally: 1 process holds ");
	assert_int_equal(write(terminal.to, "\n", 1), 1); /* push_many reads it and ends */
	shown = shown_until(&terminal, shown, NULL, 0);
	check_live_line_is_gone(shown, 120);
	assert_int_equal(wait_status(terminal.pid), 0);
	close(terminal.to);
	close(terminal.from);

	outcome = job_end(&in_pipe);
	assert_int_equal(outcome.status, 0);
	assert_null(strchr(outcome.err, '\r'));
	assert_null(strchr(outcome.err, '\033'));
	assert_null(strstr(outcome.err, "holds"));
	assert_int_equal(write(background.to, "\n", 1), 1);
	assert_string_equal(shown_until(&background, text("%s", ""), NULL, 0), "");
	assert_int_equal(wait_status(background.pid), 0);
	err = read_file(text("%s/err", test_tmp), NULL);
	assert_null(strchr(err, '\r'));
	assert_null(strstr(err, "holds"));
	close(background.to);
	close(background.from);
}

static void live_line_fits_a_narrow_terminal(void **state)
{
	struct job job = (need_terminal(),
			  START(prog("in_terminal"), "30", built("tally"), "run", "--json",
				report_path(), "--", prog("push_many"), "11"));
	char *shown;
	struct screen screen = { .columns = 30 };

	(void)state;
	shown = shown_until(&job, text("%s", ""), "\033[K", 2);
	check_contains(shown, "tally: 1 process holds");
	memset(screen.cells, ' ', sizeof(screen.cells));
	show(&screen, shown, strlen(shown));
	assert_int_equal(screen.row, 1); /* below "pushed" */
	assert_int_equal(write(job.to, "\n", 1), 1);
	shown = shown_until(&job, shown, NULL, 0);
	assert_string_equal(shown + strlen(shown) - 4, "\r\033[K"); /* the last thing */
	assert_int_equal(wait_status(job.pid), 0);
	close(job.to);
	close(job.from);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ps_shows_a_row_per_device_and_pool_and_per_process),
		TEST(ps_shows_no_process_that_ended_cleanly),
		TEST(report_of_run_shows_the_same_numbers_as_its_json),
		TEST(two_runs_at_once_do_not_mix),
		TEST(live_line_is_drawn_on_a_terminal_alone_and_is_gone_in_the_end),
		TEST(live_line_fits_a_narrow_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
