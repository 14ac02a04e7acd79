/* SPDX-License-Identifier: Apache-2.0 */
/* Where no region can be made, or strange files lie in its place, the host program does what it
 * does without Tally, and `tally doctor` says what is wrong and what to do. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/doctor.h"
#include "tests/support.h"

/* ---- A host that is broken ------------------------------------------------------------------- */

/* What is to be said before a command, and what the doctor must find there. */
struct host {
	const char *const *before;
	const char *const *env;
	const char *name, *words; /* of a finding that is a problem */
};

/* `settings` are for the command alone. */
static struct outcome run_there(const struct host *host, const char *const *command,
				const char *const *settings)
{
	const char *const *words = list_and(list_and(LIST("env"), settings), command);
	/* stdout is a pipe, as files may have no size */
	struct job job = job_start(
		&(struct command){ .argv = list_and(host->before, words), .env = host->env });

	return job_end(&job);
}

static void check_same_there(const struct host *host, const char *const *command,
			     const char *const *settings)
{
	struct outcome without = run_there(host, command, NULL);
	struct outcome with = run_there(host, command, settings);

	if (without.status != 0)
		fail_msg("%s ends with %d without tally: %s", command[0], without.status,
			 without.err);
	assert_string_not_equal(without.out, "");
	assert_int_equal(with.status, without.status);
	assert_string_equal(with.out, without.out);
	assert_string_equal(with.err, without.err);
}

/* Real programs, with children, that allocate; and such that push by themselves. */
static void check_programs(const struct host *host)
{
	const char *const *adapter = LIST(text("LD_PRELOAD=%s", built("libtally-malloc.so")),
					  "TALLY=1");

	check_same_there(host,
			 LIST("perl", "-e",
			      "my %h; $h{$_ * 7919 % 10007} = 'x' x ($_ % 300) for 1 .. 20000;"
			      "my $child = fork; $h{$_} .= 'y' for 1 .. 5000;"
			      "unless ($child) { exit 7 } waitpid $child, 0;"
			      "my $sum = 0; $sum += length $h{$_} for keys %h;"
			      "print \"$sum \", $? >> 8, \"\\n\";"),
			 adapter);
	check_same_there(host, LIST("sh", "-c", "seq 20000 | sort -r | tail -n 3"), adapter);
	check_same_there(host, LIST(prog("push_many"), "100000"), LIST("TALLY=1"));
	check_same_there(host, LIST(prog("push_many"), "100000"),
			 LIST("TALLY=1", "TALLY_REGION=/work"));
	check_same_there(host, LIST(prog("mortal"), "10", "3", "100"), LIST("TALLY=1"));
}

static void check_host(const struct host *host)
{
	struct outcome outcome = run_there(host, LIST(built("tally"), "doctor", "--json"), NULL);
	struct outcome lines = run_there(host, LIST(built("tally"), "doctor"), NULL);

	assert_int_equal(outcome.status, 1);
	check_finding(json_parse(outcome.out), host->name, "problem", host->words);
	assert_int_equal(lines.status, 1);
	check_contains(lines.out, "problem: ");
	check_contains(lines.out, host->words);
	check_programs(host);
}

/* ---- No room --------------------------------------------------------------------------------- */

/* A file system of its own, filled by a file until `left` KiB are left. */
#define MOUNTED(options, then)                                                                     \
	LIST("unshare", geteuid() == 0 ? "-m" : "-rm", "sh", "-c",                                 \
	     "mount -t tmpfs -o " options " none \"$TALLY_DIR\" && " then " && exec \"$@\"", "sh")

static void need_mount(void)
{
	const struct host host = { .before = MOUNTED("size=64k", "true") };

	if (run_there(&host, LIST("true"), NULL).status != 0)
		SKIP("no file system may be mounted here");
}

static void full_file_system_harms_nobody_and_is_explained(void **state)
{
	struct host host = {
		.before = MOUNTED("size=64k", "head -c 65536 /dev/zero >\"$TALLY_DIR/filler\""),
		.name = "space",
		.words = "is full: 0 B of 64.0 KiB",
	};

	(void)state;
	need_mount();
	check_host(&host);
	host.name = "region";
	host.words = "no region can be made: No space left";
	check_host(&host);
	/* room for totals, not for records */
	host.before = MOUNTED("size=64k", "head -c 32768 /dev/zero >\"$TALLY_DIR/filler\"");
	host.words = "without room for records";
	check_host(&host);
}

static void file_system_without_inodes_harms_nobody_and_is_explained(void **state)
{
	struct host host = {
		.before = MOUNTED("size=4m,nr_inodes=2", "touch \"$TALLY_DIR/filler\""),
		.name = "inodes",
		.words = "no inode left",
	};

	(void)state;
	need_mount();
	check_host(&host);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void file_size_of_nothing_harms_nobody_and_is_explained(void **state)
{
	struct host host = {
		.before = LIST("sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"),
		.name = "file-size",
		.words = "files may have 0 B (ulimit -f)",
	};

	(void)state;
	check_host(&host);
	host.name = "region";
	host.words = "no region can be made: File too large";
	check_host(&host);
}

/* With the fewest that the program itself can do with. */
static void hardly_any_descriptors_harm_nobody_and_are_explained(void **state)
{
	const char *const *commands[] = {
		LIST("perl", "-e", "print 'x' x $_, \"\\n\" for 1 .. 300"),
		LIST(prog("push_many"), "100000"),
	};
	const char *const *settings[] = {
		LIST(text("LD_PRELOAD=%s", built("libtally-malloc.so")), "TALLY=1"),
		LIST("TALLY=1"),
	};
	struct host host = { .name = "descriptors", .words = "4 file descriptors (ulimit -n)" };
	struct outcome outcome;
	size_t i, n, compared;

	(void)state;
	for (i = 0; i < COUNT(commands); i++) {
		for (n = 3, compared = 0; compared < 4; n++) {
			host.before = LIST("sh", "-c", text("ulimit -n %zu; exec \"$@\"", n), "sh");
			assert_true(n < 20);
			if (run_there(&host, commands[i], NULL).status != 0)
				continue; /* too few to start it at all */
			check_same_there(&host, commands[i], settings[i]);
			compared++;
		}
	}
	host.before = LIST("sh", "-c", "ulimit -n 4; exec \"$@\"", "sh");
	outcome = run_there(&host, LIST(built("tally"), "doctor", "--json"), NULL);
	assert_int_equal(outcome.status, 1);
	check_finding(json_parse(outcome.out), host.name, "problem", host.words);
}

/* ---- Rights ---------------------------------------------------------------------------------- */

/* Whom rights are denied: this user, or another where this one is root. */
static const char *const *as_somebody(void)
{
	static const char *const nobody[] = { "setpriv", "--reuid=65534", "--clear-groups", NULL };
	const struct host host = { .before = nobody };

	if (geteuid() != 0)
		return NULL;
	if (run_there(&host, LIST(prog("mortal")), NULL).status != 2)
		SKIP("user 65534 may not run what was built");
	return nobody;
}

static void directory_without_permission_harms_nobody_and_is_explained(void **state)
{
	struct host host = {
		.before = as_somebody(),
		.name = "directory",
		.words = "may not make files in",
	};

	(void)state;
	assert_int_equal(chmod(test_dir, 0555), 0);
	check_host(&host);
	assert_int_equal(chmod(test_dir, 0), 0);
	check_host(&host);
	host.name = "region";
	host.words = "Permission denied";
	check_host(&host);
	assert_int_equal(chmod(test_dir, 0700), 0);
}

static void directory_that_is_missing_harms_nobody_and_is_explained(void **state)
{
	const struct host host = {
		.env = LIST("TALLY_DIR=/nonexistent"),
		.name = "directory",
		.words = "/nonexistent, where regions are made, cannot be found",
	};

	(void)state;
	check_host(&host);
}

/* ---- Files in the way ------------------------------------------------------------------------ */

#define IN_THE_WAY 21

/* Files named as that user's, for processes and for a region that is joined. */
static void put_in_the_way(unsigned int uid)
{
	int n;

	for (n = 3; n <= IN_THE_WAY; n++)
		write_file(text("%s/tally-%u-%d-%016x", test_dir, uid, n, n), "", 0);
	write_file(text("%s/tally-%u-join-work", test_dir, uid), "", 0);
	write_file(text("%s/.tally-%u-1-%016x", test_dir, uid, 1), "", 0);
}

static void names_taken_by_another_user_harm_nobody_and_are_explained(void **state)
{
	const struct host host = { .before = as_somebody(), .name = "file", .words = "is refused" };

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	put_in_the_way(65534); /* they are root's */
	assert_int_equal(chmod(test_dir, 01777), 0);
	check_host(&host);
	/* they are there, with regions of those that were killed */
	assert_in_range(regions_left(), IN_THE_WAY + 10, IN_THE_WAY + 16);
	remove_regions();
}

static void empty_files_of_our_names_harm_nobody_and_are_explained(void **state)
{
	const struct host host = { .name = "file",
				   .words = "is refused: empty; remove it if nobody needs it" };

	(void)state;
	put_in_the_way((unsigned int)geteuid());
	check_host(&host);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full_file_system_harms_nobody_and_is_explained),
		TEST(file_system_without_inodes_harms_nobody_and_is_explained),
		TEST(file_size_of_nothing_harms_nobody_and_is_explained),
		TEST(hardly_any_descriptors_harm_nobody_and_are_explained),
		TEST(directory_without_permission_harms_nobody_and_is_explained),
		TEST(directory_that_is_missing_harms_nobody_and_is_explained),
		TEST(names_taken_by_another_user_harm_nobody_and_are_explained),
		TEST(empty_files_of_our_names_harm_nobody_and_are_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
