/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's socket: never another server's, only for whom it is meant, gone at the end; and
 * what a gateway leaves that dies. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "tests/child.h"
#include "tests/gateway.h"
#include "tests/seccomp.h"

#define AT_ONCE 6

static struct outcome start_in_vain(void)
{
	return TALLY("gateway", "--socket", gateway_path());
}

/* Bound there, and listening if asked. */
static int old_server(bool listens)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", gateway_path());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (listens)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* A connection that does not wait to be accepted, or -1. */
static int try_at_once(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", gateway_path());
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static ino_t inode_of(const char *path)
{
	struct stat status;

	assert_int_equal(lstat(path, &status), 0);
	return status.st_ino;
}

static void check_nothing_else_is_left(int files)
{
	assert_int_equal(RUN("ls", "-A", test_tmp).status, 0);
	/* stderr of jobs and runs is in there, too */
	assert_int_equal(count_of(RUN("ls", "-A", test_tmp).out, "socket"), files);
}

static void a_live_servers_path_is_left_to_it(void **state)
{
	int server = old_server(true), n, fds[8];
	ino_t before = inode_of(gateway_path());
	struct outcome outcome;

	(void)state;
	outcome = start_in_vain();
	assert_int_equal(outcome.status, 1);
	check_one_line(outcome.err);
	check_contains(outcome.err, text("a server listens there (process %d)", getpid()));
	assert_int_equal(inode_of(gateway_path()), before);
	/* So many wait that it takes no more: it lives all the same. */
	for (n = 0; n < (int)COUNT(fds); n++)
		fds[n] = try_at_once();
	assert_int_equal(fds[COUNT(fds) - 1], -1);
	outcome = start_in_vain();
	assert_int_equal(outcome.status, 1);
	check_contains(outcome.err, "socket: a server listens there; end it");
	assert_int_equal(inode_of(gateway_path()), before);
	check_nothing_else_is_left(1);
	assert_int_equal(regions_left(), 0);
	for (n = 0; n < (int)COUNT(fds); n++)
		if (fds[n] >= 0)
			close(fds[n]);
	close(server);
}

static void a_dead_servers_socket_is_replaced(void **state)
{
	struct job gateway;
	ino_t before;
	int fd;

	(void)state;
	close(old_server(true));
	before = inode_of(gateway_path());
	gateway = gateway_start(NULL);
	assert_true(inode_of(gateway_path()) != before);
	fd = gateway_connect();
	legacy_alloc(fd, 72, 1, 0, 1, 5);
	assert_int_equal(legacy_ask(fd, 72, 1).dram, 5);
	check_nothing_else_is_left(1);
	close(fd);
	gateway_end(&gateway);
	check_nothing_else_is_left(0);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct outcome outcome;

	(void)state;
	write_file(gateway_path(), "mine", 4);
	outcome = start_in_vain();
	assert_int_equal(outcome.status, 1);
	check_one_line(outcome.err);
	check_contains(outcome.err, "there is something that is no socket");
	assert_string_equal(read_file(gateway_path(), NULL), "mine");
	unlink(gateway_path());
	assert_int_equal(symlink("/dev/null", gateway_path()), 0);
	check_contains(start_in_vain().err, "there is something that is no socket");
	check_nothing_else_is_left(1);
}

static void of_many_that_start_at_once_one_has_the_path(void **state)
{
	struct job jobs[AT_ONCE];
	int round, n, up, fd;

	(void)state;
	for (round = 0; round < 5; round++) {
		close(old_server(true)); /* stale */
		for (n = 0; n < AT_ONCE; n++)
			jobs[n] = START(built("tally"), "gateway", "--socket", gateway_path());
		for (n = 0; n < AT_ONCE; n++)
			WAIT_FOR(strstr(gateway_said(&jobs[n]), "listen"));
		for (n = 0, up = -1; n < AT_ONCE; n++) {
			if (strstr(gateway_said(&jobs[n]), "a server listens there")) {
				assert_int_equal(job_end(&jobs[n]).status, 1);
				continue;
			}
			assert_int_equal(up, -1);
			up = n;
		}
		assert_true(up >= 0);
		fd = gateway_connect();
		legacy_ask(fd, 72, 1);
		close(fd);
		check_nothing_else_is_left(1);
		gateway_end(&jobs[up]);
	}
}

/* Who looks whether a server lives, and then takes its path, must not be two at once: what one has
 * found dead another may have replaced. */
static void while_another_has_the_directory_none_takes_the_path(void **state)
{
	int dir = open(test_tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct outcome outcome;
	struct job gateway;
	ino_t before;

	(void)state;
	close(old_server(true)); /* stale */
	before = inode_of(gateway_path());
	assert_int_equal(flock(dir, LOCK_EX), 0);
	gateway = START(built("tally"), "gateway", "--socket", gateway_path());
	WAIT_FOR(strstr(gateway_said(&gateway), gateway_path())); /* it listens, or why not */
	assert_int_equal(inode_of(gateway_path()), before);
	if (strstr(gateway_said(&gateway), "listening"))
		fail_msg("it has taken the path");
	outcome = job_end(&gateway);
	assert_int_equal(outcome.status, 1);
	check_contains(outcome.err, "another process holds the directory's lock");
	check_nothing_else_is_left(1);
	assert_int_equal(flock(dir, LOCK_UN), 0);
	gateway = gateway_start(NULL);
	gateway_end(&gateway);
	close(dir);
}

static void end_as_it_is_bound(void)
{
	char *path = gateway_path(), *tally = built("tally");

	umask(0);
#ifdef SYS_chmod
	if (!seccomp_answer(SYS_chmod, SECCOMP_RET_KILL_PROCESS))
		_exit(CANNOT);
#endif
	if (!seccomp_answer(SYS_fchmodat, SECCOMP_RET_KILL_PROCESS))
		_exit(CANNOT);
#ifdef SYS_fchmodat2
	if (!seccomp_answer(SYS_fchmodat2, SECCOMP_RET_KILL_PROCESS))
		_exit(CANNOT);
#endif
	execl(tally, tally, "gateway", "--socket", path, "--mode", "0660", NULL);
	_exit(1);
}

/* It is ended in the middle, before it can say whom the socket is for: as somebody would find it
 * who was as quick. */
static void the_socket_is_at_no_moment_more_open_than_its_mode_says(void **state)
{
	struct stat status;
	struct dirent *entry;
	int found = 0, end;
	pid_t pid;
	DIR *dir;

	(void)state;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		end_as_it_is_bound();
	end = wait_status(pid);
	if (end == CANNOT)
		SKIP("no system calls can be filtered here");
	assert_int_equal(end, -SIGSYS);
	dir = opendir(test_tmp);
	while ((entry = readdir(dir))) {
		assert_int_equal(lstat(text("%s/%s", test_tmp, entry->d_name), &status), 0);
		if (!S_ISSOCK(status.st_mode))
			continue;
		assert_int_equal(status.st_mode & 07777, 0600);
		found++;
	}
	closedir(dir);
	assert_int_equal(found, 1);
	remove_regions();
}

static void mode_and_group_say_who_may_connect(void **state)
{
	struct job gateway = gateway_start(NULL);
	struct stat status;
	mode_t mask;

	(void)state;
	lstat(gateway_path(), &status);
	assert_int_equal(status.st_mode & 07777, 0600);
	gateway_end(&gateway);
	mask = umask(0777);
	gateway = gateway_start(LIST("--mode", "0660", "--group", text("%d", (int)getgid())));
	umask(mask);
	lstat(gateway_path(), &status);
	assert_int_equal(status.st_mode & 07777, 0660);
	assert_int_equal(status.st_gid, getgid());
	gateway_end(&gateway);
	if (geteuid() == 0) {
		gateway = gateway_start(LIST("--group", "nogroup"));
		lstat(gateway_path(), &status);
		assert_int_equal(status.st_gid, getgrnam("nogroup")->gr_gid);
		gateway_end(&gateway);
	}
}

static void a_path_that_is_another_servers_by_now_is_left_to_it(void **state)
{
	struct job gateway = gateway_start(NULL);
	ino_t before;
	int server;

	(void)state;
	unlink(gateway_path());
	server = old_server(true);
	before = inode_of(gateway_path());
	job_signal(&gateway, SIGTERM);
	assert_int_equal(job_end(&gateway).status, 0);
	assert_int_equal(inode_of(gateway_path()), before);
	close(server);
}

static void who_cannot_listen_says_why(void **state)
{
	char *long_path = text("%s/%0100d", test_tmp, 1);
	struct outcome outcome;

	(void)state;
	outcome = TALLY("gateway", "--socket", long_path);
	assert_int_equal(outcome.status, 1);
	check_contains(outcome.err, "a socket's path may have ");
	outcome = TALLY("gateway", "--socket", text("%s/none/socket", test_tmp));
	assert_int_equal(outcome.status, 3);
	check_one_line(outcome.err);
	check_contains(outcome.err, "directory cannot be opened");
	assert_int_equal(TALLY("gateway", "--mode", "9").status, 2);
	assert_int_equal(TALLY("gateway", "--group", "no such group").status, 2);
	assert_int_equal(TALLY("gateway", "--socket").status, 2);
	assert_int_equal(TALLY("gateway", "--sock", "").status, 2);
	assert_int_equal(TALLY("gateway", "x").status, 2);
	assert_int_equal(regions_left(), 0);
}

/* ---- Its end --------------------------------------------------------------------------------- */

static void it_ends_when_told_and_leaves_nothing(void **state)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	size_t n;
	int fd;

	(void)state;
	for (n = 0; n < COUNT(numbers); n++) {
		struct job gateway = gateway_start(NULL);
		unsigned char byte;

		fd = gateway_connect();
		legacy_alloc(fd, 112, 1, 0, 1, 5);
		assert_int_equal(legacy_ask(fd, 112, 1).dram, 5);
		assert_int_equal(regions_left(), 1);
		job_signal(&gateway, numbers[n]);
		assert_int_equal(job_end(&gateway).status, numbers[n] == SIGINT ? 130 : 0);
		assert_false(legacy_receive(fd, &byte, 1));
		assert_int_equal(access(gateway_path(), F_OK), -1);
		assert_int_equal(regions_left(), 0);
		close(fd);
	}
}

/* A restart forgets nothing of rings, and says what of sockets. */
static void what_a_killed_gateway_leaves_is_seen_and_another_takes_its_place(void **state)
{
	struct job gateway = gateway_start(NULL), ring = start_pushing("11");
	int fd = gateway_connect();
	json_t *ps;

	(void)state;
	legacy_alloc(fd, 112, 1, 0, 1, 5);
	assert_int_equal(legacy_ask(fd, 112, 1).l1, 74);
	job_signal(&gateway, SIGKILL);
	job_end(&gateway);
	ps = ps_now();
	assert_int_equal(live_of(ps, 1, "dram"), 0);
	assert_int_equal(json_number(json_pool(ps, 1, "dram"), "abandoned_bytes_total"), 5);
	assert_int_equal(live_of(ps, 1, "l1"), 74);
	assert_int_equal(access(gateway_path(), F_OK), 0); /* what it has left */
	close(fd);

	gateway = gateway_start(NULL);
	check_contains(gateway_said(&gateway), "totals of its clients start from zero now, those "
					       "of ring producers go on");
	fd = gateway_connect();
	assert_int_equal(legacy_ask(fd, 112, 1).dram, 0);
	assert_int_equal(legacy_ask(fd, 112, 1).l1, 74);
	legacy_alloc(fd, 112, 1, 0, 1, 7);
	assert_int_equal(legacy_ask(fd, 112, 1).dram, 7);
	close(fd);
	job_end_well(&ring);
	gateway_end(&gateway);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_live_servers_path_is_left_to_it),
		TEST(a_dead_servers_socket_is_replaced),
		TEST(what_is_no_socket_is_left_alone),
		TEST(of_many_that_start_at_once_one_has_the_path),
		TEST(while_another_has_the_directory_none_takes_the_path),
		TEST(the_socket_is_at_no_moment_more_open_than_its_mode_says),
		TEST(mode_and_group_say_who_may_connect),
		TEST(a_path_that_is_another_servers_by_now_is_left_to_it),
		TEST(who_cannot_listen_says_why),
		TEST(it_ends_when_told_and_leaves_nothing),
		TEST(what_a_killed_gateway_leaves_is_seen_and_another_takes_its_place),
	};

	return cmocka_run_group_tests_name("gateway socket", tests, NULL, NULL);
}
