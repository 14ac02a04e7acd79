/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that have a device open, as the kernel driver says, and of which there is no record:
 * who is told of, who is not, and what files that say anything do. The driver's directory is a file
 * system of the test's own, in a mount namespace. */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/chip.h"
#include "tests/doctor.h"
#include "tests/scripted.h"

#define LOOKED_AT 65536 /* bytes of each file */
#define DRIVER "/proc/driver/tenstorrent"

static char *driver; /* the directory that is copied there */

/* What comes before a command that is to see it. Who is not root becomes it to mount, and then the
 * same user as before again, as regions are told apart by users. */
static const char *const *driven(void)
{
	const char *mount = "mount -t tmpfs none /proc/driver && cp -a \"$0\" " DRIVER " && exec";

	if (geteuid() == 0)
		return list_and(NULL, LIST("unshare", "-m", "sh", "-c", text("%s \"$@\"", mount),
					   driver));
	return list_and(NULL, LIST("unshare", "-rm", "sh", "-c",
				   text("%s unshare -U --map-user=%u --map-group=%u \"$@\"", mount,
					geteuid(), getegid()),
				   driver));
}

/* Before anything is started. */
static void need_driver(void)
{
	driver = text("%s/tenstorrent", test_tmp);
	assert_int_equal(mkdir(driver, 0755), 0);
	if (run(&(struct command){ .argv = list_and(driven(), LIST("true")) }).status != 0)
		SKIP("no file system may be mounted here");
}

static char *device_file(const char *device)
{
	mkdir(text("%s/%s", driver, device), 0755);
	return text("%s/%s/pids", driver, device);
}

/* Of that device of the driver's. */
static void tell(const char *device, const char *pids)
{
	write_file(device_file(device), pids, strlen(pids));
}

/* `tally` with these words where the driver says that. */
static struct outcome look(const char *const *words)
{
	return run(&(struct command){
		.argv = list_and(driven(), list_and(LIST(built("tally")), words)) });
}
#define LOOK(...) look(LIST(__VA_ARGS__))

/* Nobody tells Tally of this one. */
static struct job start_silent(void)
{
	return START("cat");
}

/* The doctor's line about this process; NULL: none. */
static char *line_of(const struct outcome *doctor, pid_t pid)
{
	char *at = strstr(doctor->out, text("note: process %d (", (int)pid));

	if (!at)
		return NULL;
	return text("%.*s", (int)strcspn(at, "\n"), at);
}

static void holder_without_record_is_named_by_the_doctor(void **state)
{
	struct job one, two;
	struct outcome doctor;
	const char *line;

	(void)state;
	need_driver();
	one = start_silent();
	two = start_silent();
	tell("0", text("%d\n%d\n%d\n", one.pid, two.pid, one.pid));
	tell("3", text("%d\n", one.pid));
	doctor = LOOK("doctor");
	assert_int_equal(doctor.status, 0); /* it may be meant */
	line = line_of(&doctor, one.pid);
	assert_non_null(line);
	check_contains(line,
		       text("note: process %d (cat) has devices 0, 3 of the kernel driver open, "
			    "and there is no record of it",
			    one.pid));
	check_contains(line, "TT_ALLOC_TRACKING_ENABLED=1");
	check_contains(line_of(&doctor, two.pid), "(cat) has device 0 of the kernel");
	assert_int_equal(count_of(doctor.out, " of the kernel driver open"), 2);
	check_finding(json_parse(LOOK("doctor", "--json").out), "unseen", "note",
		      text("process %d (cat) has device 0 ", two.pid));
	job_end_well(&one);
	job_end_well(&two);
}

static void holders_with_a_record_are_not_told_of(void **state)
{
	struct chip_bytes chip = chip_new(4, 7, 0);
	struct job armed, silent, totals;
	struct outcome doctor;

	(void)state;
	need_driver();
	armed = script_start(NULL);
	silent = start_silent();
	totals = start_silent();
	job_do(&armed, "alloc 0 0 1 500");
	chip_slot(&chip, 0, (uint32_t)totals.pid, "runtime", BYTES(1 << 20));
	chip_write(&chip, 7);
	tell("0", text("%d\n%d\n%d\n", armed.pid, silent.pid, totals.pid));
	doctor = LOOK("doctor");
	assert_non_null(line_of(&doctor, silent.pid));
	assert_int_equal(count_of(doctor.out, " of the kernel driver open"), 1);
	job_end_well(&armed);
	job_end_well(&silent);
	job_end_well(&totals);
}

static void ps_and_devices_say_how_many_and_json_says_who(void **state)
{
	static const char *const verbs[] = { "ps", "devices" };
	struct job armed, one, two;
	size_t n;

	(void)state;
	need_driver();
	armed = script_start(NULL);
	one = start_silent();
	two = start_silent();
	job_do(&armed, "alloc 0 0 1 500");
	tell("1", text("%d\n", one.pid));
	for (n = 0; n < COUNT(verbs); n++) {
		struct outcome outcome;
		json_t *json;

		tell("0", text("%d\n%d\n%d\n", armed.pid, one.pid, two.pid));
		outcome = LOOK(verbs[n]);
		assert_int_equal(outcome.status, 0);
		check_one_line(outcome.err);
		check_contains(outcome.err, "2 processes have a device open without a record here");
		json = json_parse(LOOK(verbs[n], "--json").out);
		assert_int_equal(json_array_size(json_get(json, "unseen")), 3);
		for (size_t i = 0; i < 3; i++) {
			int64_t pid = json_number(json, text("unseen/%zu/pid", i));

			assert_true(pid == one.pid || pid == two.pid);
			assert_string_equal(json_text(json, text("unseen/%zu/comm", i)), "cat");
			assert_in_range(json_number(json, text("unseen/%zu/driver_device", i)), 0,
					pid == one.pid);
		}
		/* what is chosen is another question */
		assert_string_equal(LOOK(verbs[n], "-d", "0").err, "");
		json = json_parse(LOOK(verbs[n], "--json", "-d", "0").out);
		assert_true(json_is_null(json_get(json, "unseen")));
		tell("0", text("%d\n%d\n", armed.pid, one.pid));
		check_contains(LOOK(verbs[n]).err,
			       "1 process has a device open without a record here");
	}
	job_end_well(&armed);
	/* and where there is nothing else to show */
	check_contains(LOOK("ps").err, "1 process has a device open without a record");
	assert_int_equal(LOOK("ps").status, 3);
	job_end_well(&one);
	job_end_well(&two);
}

static void nothing_is_said_where_there_is_no_driver_or_nobody(void **state)
{
	struct job armed;
	json_t *json;

	(void)state;
	need_driver();
	armed = script_start(NULL);
	job_do(&armed, "alloc 0 0 1 500");
	tell("0", text("%d\n", armed.pid));
	if (access(DRIVER, F_OK) != 0) {
		CHECK_TALLY(0, NULL, "", "devices");
		json = json_parse(CHECK_TALLY(0, NULL, NULL, "ps", "--json").out);
		assert_true(json_is_null(json_get(json, "unseen")));
	}
	assert_string_equal(LOOK("devices").err, "");
	assert_int_equal(count_of(LOOK("doctor").out, "kernel driver"), 0);
	json = json_parse(LOOK("ps", "--json").out);
	assert_int_equal(json_array_size(json_get(json, "unseen")), 0);
	job_end_well(&armed);
	/* a driver without devices says nothing either */
	assert_int_equal(RUN("rm", "-r", text("%s/0", driver)).status, 0);
	assert_int_equal(count_of(LOOK("doctor").out, "kernel driver"), 0);
}

static void pids_of_nothing_here_are_left_out(void **state)
{
	struct outcome doctor;
	struct job one, two, gone;
	char *with_zero;

	(void)state;
	need_driver();
	two = start_silent();
	one = start_silent();
	gone = start_silent();
	job_end_well(&gone);
	tell("0", text("%d\n4194305\n2147483647\n2147483648\n0\n-1\n-%d\n+%d\n %d\n%d x\n0x10\n\n"
		       "99999999999999999999\n\x01\xff%%s\n%d\nlast",
		       (int)gone.pid, (int)one.pid, (int)one.pid, (int)one.pid, (int)one.pid,
		       (int)one.pid));
	with_zero = text("%d.x\n", two.pid);
	*strchr(with_zero, '.') = '\0';
	write_file(device_file("1"), with_zero, strlen(with_zero) + 3);
	tell("x", text("%d\n", getpid()));
	tell("99999", text("%d\n", getpid()));
	tell("-1", text("%d\n", getpid()));
	doctor = LOOK("doctor");
	assert_non_null(line_of(&doctor, one.pid));
	assert_int_equal(count_of(doctor.out, "kernel driver"), 1);
	tell("0", text("%d", one.pid)); /* without the end of its line */
	doctor = LOOK("doctor");
	assert_non_null(line_of(&doctor, one.pid));
	job_end_well(&one);
	job_end_well(&two);
}

static void another_users_processes_are_for_root_to_ask_for(void **state)
{
	struct outcome own, all;
	struct job other;

	(void)state;
	need_nobody();
	need_driver();
	other = START(AS_NOBODY, "cat");
	WAIT_FOR(strstr(read_file(text("/proc/%d/status", other.pid), NULL), "Uid:\t65534"));
	tell("0", text("%d\n", other.pid));
	own = LOOK("ps");
	all = LOOK("ps", "-a");
	assert_null(strstr(own.err, "without a record"));
	check_contains(all.err, "1 process has a device open without a record here");
	job_end_well(&other);
}

static void names_of_commands_cannot_write_to_the_terminal(void **state)
{
	char *strange = text("%s/\033[2J\n)x", test_tmp);
	struct outcome doctor;
	struct job armed, one;
	json_t *json;

	(void)state;
	need_driver();
	armed = script_start(NULL);
	job_do(&armed, "alloc 0 0 1 500");
	assert_int_equal(RUN("cp", "/bin/cat", strange).status, 0);
	one = START(strange);
	job_say(&one, "up\n");
	assert_string_equal(job_line(&one), "up");
	tell("0", text("%d\n", one.pid));
	doctor = LOOK("doctor");
	check_contains(doctor.out, text("process %d (?[2J?)x) has device 0", one.pid));
	json = json_parse(LOOK("ps", "--json").out);
	assert_string_equal(json_text(json, "unseen/0/comm"), "?[2J?)x");
	job_end_well(&armed);
	job_end_well(&one);
}

/* Files of any size and kind: a bounded look, and no hang. */
static void huge_strange_and_unreadable_files_do_no_harm(void **state)
{
	const size_t size = 1 << 20;
	char *huge = malloc(size + 1), *own;
	struct outcome doctor;
	struct job one, cut;
	size_t used;

	(void)state;
	assert_non_null(huge);
	need_driver();
	one = start_silent();
	cut = start_silent();
	own = text("%d\n", one.pid);
	for (used = 0; used + strlen(own) <= size; used += strlen(own))
		memcpy(huge + used, own, strlen(own));
	write_file(device_file("0"), huge, used);
	/* what is cut off is no pid */
	memset(huge, '\n', size);
	memcpy(huge + LOOKED_AT - strlen(pid_of(&cut)), pid_of(&cut), strlen(pid_of(&cut)));
	huge[LOOKED_AT] = '1';
	write_file(device_file("3"), huge, size);
	memset(huge, '7', size);
	write_file(device_file("1"), huge, size); /* one line */
	memset(huge, 0, size);
	write_file(device_file("2"), huge, size);
	free(huge);
	assert_int_equal(mkfifo(device_file("4"), 0644), 0);
	assert_int_equal(mkdir(device_file("5"), 0755), 0);
	assert_int_equal(symlink(text("%s/0/pids", driver), device_file("6")), 0);
	assert_int_equal(symlink("0", text("%s/8", driver)), 0);
	doctor = LOOK("doctor");
	assert_int_equal(doctor.status, 0);
	check_contains(line_of(&doctor, one.pid), "(cat) has device 0 of the kernel driver open");
	assert_null(line_of(&doctor, cut.pid));
	check_contains(doctor.out, "more processes than are looked at");
	check_contains(doctor.out, "cannot be read for 4 devices: ");
	check_contains(LOOK("ps").err, "at least 1 process has a device open");
	job_end_well(&one);
	job_end_well(&cut);
}

static void json_is_as_the_schemas_say(void **state)
{
	char *ps = text("%s/ps.json", test_tmp), *devices = text("%s/devices.json", test_tmp);
	struct job armed, one;
	struct outcome outcome;

	(void)state;
	need_driver();
	armed = script_start(NULL);
	one = start_silent();
	job_do(&armed, "alloc 0 0 1 500");
	tell("0", text("%d\n", one.pid));
	outcome = LOOK("ps", "--json");
	write_file(ps, outcome.out, outcome.out_size);
	outcome = LOOK("devices", "--json");
	write_file(devices, outcome.out, outcome.out_size);
	job_end_well(&armed);
	job_end_well(&one);
	outcome = RUN(SOURCE_DIR "/tests/schemas/validate.py", "--strict", "snapshot", ps);
	assert_string_equal(outcome.err, "");
	assert_int_equal(outcome.status, 0);
	outcome = RUN(SOURCE_DIR "/tests/schemas/validate.py", "--strict", "devices", devices);
	assert_string_equal(outcome.err, "");
	assert_int_equal(outcome.status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(holder_without_record_is_named_by_the_doctor),
		TEST(holders_with_a_record_are_not_told_of),
		TEST(ps_and_devices_say_how_many_and_json_says_who),
		TEST(nothing_is_said_where_there_is_no_driver_or_nobody),
		TEST(pids_of_nothing_here_are_left_out),
		TEST(another_users_processes_are_for_root_to_ask_for),
		TEST(names_of_commands_cannot_write_to_the_terminal),
		TEST(huge_strange_and_unreadable_files_do_no_harm),
		TEST(json_is_as_the_schemas_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
