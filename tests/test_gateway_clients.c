/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's clients as processes: who they are, what counts as left behind, and what a gateway
 * that is stopped, killed or talked nonsense to means to them and to runtimes that need none. */
#include <dirent.h>

#include "tests/gateway.h"
#include "tests/scripted.h"

#define LIAR 4242

/* ---- Who they are ---------------------------------------------------------------------------- */

static void lie(int fd, uint8_t type, uint64_t id, uint64_t size)
{
	struct legacy_message message = {
		.type = type, .device = 1, .size = size, .pid = LIAR, .id = id, .timestamp = 1
	};
	unsigned char bytes[LEGACY_MAX];

	legacy_put(bytes, &message, 112);
	legacy_send(fd, bytes, 112);
	if (type == LEGACY_QUERY)
		assert_true(legacy_receive(fd, bytes, 112));
}

static void who_lies_about_its_pid_is_shown_by_its_sockets(void **state)
{
	struct job gateway = gateway_start(LIST("--log"));
	int fd = gateway_connect();
	json_t *ps;

	(void)state;
	lie(fd, LEGACY_ALLOC, 1, 100);
	lie(fd, LEGACY_ALLOC, 2, 20);
	lie(fd, LEGACY_FREE, 1, 0);
	lie(fd, LEGACY_QUERY, 0, 0);
	ps = ps_now();
	assert_int_equal(json_processes(ps, LIAR, NULL), 0);
	assert_int_equal(live_of(process_of(ps, getpid()), 1, "dram"), 20);
	close(fd);
	check_contains(gateway_end(&gateway).out, text("✗ [PID %d] Freed buffer 1 ", getpid()));
}

/* ---- What is left behind --------------------------------------------------------------------- */

/* A process that holds what every runtime does, and, if it leaks, a buffer; until it is killed. */
static pid_t start_runtime(bool leaks)
{
	int done[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(done), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int fd = gateway_try(gateway_path());

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		legacy_alloc(fd, 128, 1, 0, 8, 500);
		legacy_free(fd, 128, 1, 8);
		legacy_alloc(fd, 128, 1, 2, 1, 4096);
		legacy_say(fd, 128, LEGACY_KERNEL_LOAD, 1, 0, 1, 2048);
		legacy_say(fd, 128, LEGACY_CB_ALLOC, 1, 0, 1, 1024);
		if (leaks)
			legacy_alloc(fd, 128, 1, 0, 9, 100);
		legacy_ask(fd, 128, 1);
		if (write(done[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(done[1]);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	return pid;
}

static void end_runtime(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
	WAIT_FOR(!json_flag(process_of(ps_now(), pid), "alive"));
}

/* The failure: system buffers and program caches show as leaks. */
static void system_buffers_and_program_caches_are_no_leaks_but_told_apart(void **state)
{
	struct job gateway = gateway_start(NULL);
	pid_t runtime = start_runtime(false), leaky;
	struct outcome outcome;

	(void)state;
	/* while it lives nothing of it is a leak; then each pool has its own */
	CHECK_TALLY(0, "in 0 buffers", "", "buffers", "--leaks");
	CHECK_TALLY(0, "1 rule holds\n", "", "check", "--no-leaks");
	end_runtime(runtime);
	CHECK_TALLY(0, "1 rule holds\n", "", "check", "--no-leaks", "-P", "dram");
	leaky = start_runtime(true);
	end_runtime(leaky);
	CHECK_TALLY(7, text("process %d (test_gateway_cl) left 100 B in 1 allocation", leaky), "",
		    "check", "--no-leaks", "-P", "dram");
	CHECK_TALLY(7, "left 4.00 KiB (4,096 bytes) in 1 allocation", "", "check", "--no-leaks",
		    "-P", "system");
	outcome = CHECK_TALLY(0, "0x9", "", "buffers", "--leaks", "-P", "dram");
	assert_int_equal(count_of(outcome.out, "0x1"), 0);
	gateway_end(&gateway);
}

/* ---- A gateway that stalls, dies and comes again --------------------------------------------- */

/* The failures: a server that dies kills its clients, one that stalls blocks them, and one that is
 * started again has forgotten everything. */
static void a_runtime_with_the_adapter_feels_nothing_of_a_gateways_end(void **state)
{
	struct job runtime = job_start(&(struct command){
		.argv = LIST(prog("tt_metal")), .env = LIST("TT_ALLOC_TRACKING_ENABLED=1") });
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect();

	(void)state;
	assert_string_equal(job_line(&runtime), "ready");
	job_do(&runtime, "alloc 5 1000 0 1");
	WAIT_FOR(legacy_ask(fd, 72, 5).dram == 1000);
	job_signal(&gateway, SIGSTOP);
	job_do(&runtime, "times 100000 alloc 5 7 0 2");
	assert_int_equal(live_of(ps_now(), 5, "dram"), 1007);
	job_signal(&gateway, SIGKILL);
	job_end(&gateway);
	close(fd);
	job_do(&runtime, "alloc 5 500 1 3");
	gateway = gateway_start(NULL);
	fd = gateway_connect();
	assert_int_equal(legacy_ask(fd, 72, 5).dram, 1007);
	assert_int_equal(legacy_ask(fd, 72, 5).l1, 500);
	close(fd);
	gateway_end(&gateway);
	job_end_well(&runtime);
	remove_regions(); /* the killed one's */
}

/* ---- Nonsense -------------------------------------------------------------------------------- */

static int files_of(pid_t pid)
{
	DIR *dir = opendir(text("/proc/%d/fd", (int)pid));
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static long resident_kib(pid_t pid)
{
	const char *line = strstr(read_file(text("/proc/%d/status", (int)pid), NULL), "VmRSS:");
	long kib = 0;

	assert_non_null(line);
	assert_int_equal(sscanf(line, "VmRSS: %ld", &kib), 1);
	return kib;
}

/* Some begin well, with so many messages, and then slip. */
static void talk_nonsense(int rounds, uint64_t *seed)
{
	unsigned char bytes[600];
	size_t n;
	int i;

	for (i = 0; i < rounds; i++) {
		int fd = gateway_connect();

		for (n = 0; n < (size_t)(i % 4); n++)
			legacy_alloc(fd, legacy_layouts[i / 4 % 4], i % 64, 0, n, 10);
		for (n = 0; n < sizeof(bytes); n += 8) {
			uint64_t word = mix((*seed)++);

			memcpy(bytes + n, &word, 8);
		}
		send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		while (legacy_receive(fd, bytes, 1))
			;
		close(fd);
	}
}

static void connections_that_talk_nonsense_leave_nothing_behind(void **state)
{
	struct job gateway = gateway_start(NULL);
	uint64_t seed = 1;
	long before_kib;
	int files;

	(void)state;
	files = files_of(gateway.pid);
	talk_nonsense(1000, &seed);
	before_kib = resident_kib(gateway.pid);
	talk_nonsense(5000, &seed);
	assert_in_range(resident_kib(gateway.pid), 0, before_kib + 256);
	WAIT_FOR(files_of(gateway.pid) == files);
	assert_int_equal(live_of(ps_now(), 1, "dram"), 0);
	assert_int_equal(regions_left(), 1);
	gateway_end(&gateway);
}

/* ---- The replay ------------------------------------------------------------------------------ */

static json_t *replay(const char *seed)
{
	struct job gateway = gateway_start(NULL);
	char *file = text("%s/replayed", test_tmp);
	json_t *said;

	assert_int_equal(RUN(prog("legacy_traffic"), gateway_path(), "processes=4", "messages=500",
			     text("out=%s", file), seed)
				 .status,
			 0);
	said = json_parse(read_file(file, NULL));
	gateway_end(&gateway);
	return json_get(said, "devices");
}

static void traffic_of_one_seed_is_the_same_traffic(void **state)
{
	json_t *first = replay("seed=5");

	(void)state;
	assert_true(json_equal(first, replay("seed=5")));
	assert_false(json_equal(first, replay("seed=6")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_lies_about_its_pid_is_shown_by_its_sockets),
		TEST(system_buffers_and_program_caches_are_no_leaks_but_told_apart),
		TEST(a_runtime_with_the_adapter_feels_nothing_of_a_gateways_end),
		TEST(connections_that_talk_nonsense_leave_nothing_behind),
		TEST(traffic_of_one_seed_is_the_same_traffic),
	};

	return cmocka_run_group_tests_name("gateway clients", tests, NULL, NULL);
}
