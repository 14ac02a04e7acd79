/* SPDX-License-Identifier: Apache-2.0 */
/* The allocation server's clients at `tally gateway`: what they report is what `tally` shows, and
 * none of that server's failures happens.
 * sanitizers: address */
#include <sys/stat.h>

#include "tests/gateway.h"
#include "tests/scripted.h"

#define GIB (1ull << 30)
#define NOBODY 65534

static const char *const pools[] = { "dram", "l1", "system", "l1_small", "trace", "cb", "kernel" };

/* ---- A client that is a process of its own --------------------------------------------------- */

struct other {
	pid_t pid;
	int to;
};

/* It has reported `act` when this returns, and stays. */
static struct other other_start(void (*act)(int fd), uid_t uid)
{
	int stay[2], done[2];
	struct other other;
	char byte = 0;

	assert_int_equal(pipe(stay), 0);
	assert_int_equal(pipe(done), 0);
	fflush(NULL);
	other.pid = fork();
	if (other.pid == 0) {
		int fd;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(stay[1]);
		if (uid && setresuid(uid, uid, uid) != 0)
			_exit(1);
		fd = gateway_try(gateway_path());
		if (fd < 0)
			_exit(2);
		act(fd);
		legacy_ask(fd, 112, 0);
		if (write(done[1], &byte, 1) != 1 || read(stay[0], &byte, 1) < 0)
			_exit(3);
		_exit(0);
	}
	close(done[1]);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	close(stay[0]);
	other.to = stay[1];
	return other;
}

static void other_end(struct other *other)
{
	close(other->to);
	assert_int_equal(wait_status(other->pid), 0);
}

/* ---- Traffic --------------------------------------------------------------------------------- */

static void check_same_totals(json_t *said, json_t *expected)
{
	const char *device;
	json_t *held;
	size_t n;

	json_object_foreach(json_get(expected, "devices"), device, held)
		for (n = 0; n < COUNT(pools); n++)
			if (live_of(said, atoi(device), pools[n]) != json_number(held, pools[n]))
				fail_msg("device %s %s: %lld, not %lld", device, pools[n],
					 (long long)live_of(said, atoi(device), pools[n]),
					 (long long)json_number(held, pools[n]));
}

static void run_traffic(const char *processes, const char *messages, const char *more)
{
	struct job gateway = gateway_start(NULL);
	char *file = text("%s/expected", test_tmp), *said;
	struct job traffic = START(prog("legacy_traffic"), gateway_path(), processes, messages,
				   "stay=1", text("out=%s", file), more);
	json_t *expected, *ps, *process;
	size_t n;

	assert_string_equal(job_line(&traffic), "sent");
	expected = json_parse(read_file(file, NULL));
	ps = ps_now();
	check_same_totals(ps, expected);
	json_array_foreach(json_get(expected, "processes"), n, process)
		check_same_totals(process_of(ps, json_number(process, "pid")), process);
	assert_int_equal(job_end(&traffic).status, 0);
	said = gateway_end(&gateway).err;
	if (strstr(said, "is closed"))
		fail_msg("a connection was dropped: %s", said);
}

static void mixed_traffic_cut_anywhere_gives_exact_totals_and_no_connection_is_dropped(void **state)
{
	const char *messages = getenv("LEGACY_MESSAGES"); /* of each of the two threads */

	(void)state;
	run_traffic("processes=32", text("messages=%s", messages ? messages : "1500"), "seed=7");
}

static void each_layout_alone_is_exact_too(void **state)
{
	size_t n;

	(void)state;
	for (n = 0; n < COUNT(legacy_layouts); n++)
		run_traffic("processes=3", "messages=700", text("layout=%u", legacy_layouts[n]));
}

/* Its own questions are answered to the byte in the middle of its traffic. */
static void who_reports_and_then_asks_is_told_what_it_has_reported(void **state)
{
	(void)state;
	run_traffic("processes=1", "messages=8000", "seed=3");
}

/* ---- Failures of the allocation server ------------------------------------------------------- */

static void clients_of_four_layouts_misalign_nobody(void **state)
{
	struct job gateway = gateway_start(NULL);
	struct legacy_totals totals;
	int fds[4], round;
	size_t n;

	(void)state;
	for (n = 0; n < 4; n++)
		fds[n] = gateway_connect();
	for (round = 1; round <= 3; round++)
		for (n = 0; n < 4; n++) {
			legacy_alloc(fds[n], legacy_layouts[n], 3, 0, (uint64_t)round, 100);
			totals = legacy_ask(fds[n], legacy_layouts[n], 3);
			assert_int_equal(totals.dram, (round - 1) * 400 + (int)(n + 1) * 100);
		}
	assert_int_equal(live_of(ps_now(), 3, "dram"), 1200);
	for (n = 0; n < 4; n++)
		close(fds[n]);
	assert_null(strstr(gateway_end(&gateway).err, "device"));
}

static void a_pid_as_device_is_one_bad_message_and_the_rest_is_read_on(void **state)
{
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect();
	char *said;

	(void)state;
	legacy_alloc(fd, 112, 2, 0, 1, 10);
	legacy_alloc(fd, 112, 2657333, 0, 2, 10);
	legacy_alloc(fd, 112, 2, 0, 3, 10);
	assert_int_equal(legacy_ask(fd, 112, 2).dram, 20);
	close(fd);
	said = gateway_end(&gateway).err;
	check_contains(said, "sent a message with a device that is not 0 to 65535: type 1, "
			     "device 2657333");
}

static void devices_above_7_and_sizes_of_100_gib_and_more_count(void **state)
{
	static const int32_t devices[] = { 0, 8, 31, 63, 64, 65535 };
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect();
	json_t *ps;
	size_t n;

	(void)state;
	for (n = 0; n < COUNT(devices); n++) {
		legacy_alloc(fd, 128, devices[n], 0, 1, 100 * GIB);
		legacy_alloc(fd, 128, devices[n], 1, 2, 1024 * GIB);
	}
	assert_int_equal(legacy_ask(fd, 128, 65535).dram, 100 * GIB);
	assert_int_equal(legacy_ask(fd, 128, 63).l1, 1024 * GIB);
	ps = ps_now();
	for (n = 0; n < COUNT(devices); n++) {
		assert_int_equal(live_of(ps, devices[n], "dram"), 100 * GIB);
		assert_int_equal(live_of(ps, devices[n], "l1"), 1024 * GIB);
	}
	close(fd);
	gateway_end(&gateway);
}

static void hold_80_at_7(int fd)
{
	legacy_alloc(fd, 112, 1, 0, 7, 80);
}

static void two_processes_with_one_id_do_not_collide(void **state)
{
	struct job gateway = gateway_start(NULL);
	struct other other = other_start(hold_80_at_7, 0);
	int fd = gateway_connect();
	json_t *ps;

	(void)state;
	legacy_alloc(fd, 72, 1, 0, 7, 50);
	assert_int_equal(legacy_ask(fd, 72, 1).dram, 130);
	ps = ps_now();
	assert_int_equal(live_of(process_of(ps, getpid()), 1, "dram"), 50);
	assert_int_equal(live_of(process_of(ps, other.pid), 1, "dram"), 80);
	legacy_free(fd, 72, 1, 7);
	assert_int_equal(legacy_ask(fd, 72, 1).dram, 80);
	legacy_free(fd, 72, 1, 7); /* is not the other's */
	assert_int_equal(legacy_ask(fd, 72, 1).dram, 80);
	other_end(&other);
	close(fd);
	gateway_end(&gateway);
}

static void a_live_id_that_is_allocated_again_has_its_new_size_and_type(void **state)
{
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect();
	struct legacy_totals totals;

	(void)state;
	legacy_alloc(fd, 128, 1, 0, 7, 100);
	legacy_alloc(fd, 128, 1, 1, 7, 30);
	totals = legacy_ask(fd, 128, 1);
	assert_int_equal(totals.dram, 0);
	assert_int_equal(totals.l1, 30);
	legacy_free(fd, 128, 1, 7);
	assert_int_equal(legacy_ask(fd, 128, 1).l1, 0);
	close(fd);
	check_contains(gateway_end(&gateway).err, " 1 allocations of live ids");
}

static void a_known_circular_buffer_or_kernel_is_not_added_again(void **state)
{
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect(), n;
	struct legacy_totals totals;

	(void)state;
	for (n = 0; n < 3; n++) {
		legacy_say(fd, 144, LEGACY_CB_ALLOC, 1, 0, 7, 1000);
		legacy_say(fd, 144, LEGACY_KERNEL_LOAD, 1, (uint8_t)n, 7, 500);
		legacy_alloc(fd, 144, 1, 0, 7, 20); /* the same number: another thing */
	}
	totals = legacy_ask(fd, 144, 1);
	assert_int_equal(totals.cb, 1000);
	assert_int_equal(totals.kernel, 500);
	assert_int_equal(totals.dram, 20);
	legacy_say(fd, 144, LEGACY_CB_FREE, 1, 0, 7, 0);	  /* the size is often 0 */
	legacy_say(fd, 144, LEGACY_KERNEL_UNLOAD, 1, 0, 7, 9999); /* or wrong */
	totals = legacy_ask(fd, 144, 1);
	assert_int_equal(totals.cb, 0);
	assert_int_equal(totals.kernel, 0);
	assert_int_equal(totals.dram, 20);
	assert_int_equal(live_of(ps_now(), 1, "kernel"), 0);
	close(fd);
	gateway_end(&gateway);
}

static void a_free_of_an_unknown_circular_buffer_does_not_wrap_below_zero(void **state)
{
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect();
	struct legacy_totals totals;

	(void)state;
	legacy_say(fd, 128, LEGACY_CB_FREE, 1, 0, 9, 4096);
	legacy_say(fd, 128, LEGACY_KERNEL_UNLOAD, 1, 0, 9, 4096);
	totals = legacy_ask(fd, 128, 1);
	assert_int_equal(totals.cb, 0);
	assert_int_equal(totals.kernel, 0);
	assert_int_equal(live_of(ps_now(), 1, "cb"), 0);
	close(fd);
	check_contains(gateway_end(&gateway).err, ": 2 frees of unknown ids");
}

static void unknown_frees_by_the_thousand_are_one_line(void **state)
{
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect(), n;
	json_t *ps;

	(void)state;
	legacy_alloc(fd, 72, 1, 0, 7, 100);
	for (n = 0; n < 5000; n++)
		legacy_free(fd, 72, 1, 1000 + (uint64_t)n);
	assert_int_equal(legacy_ask(fd, 72, 1).dram, 100);
	ps = ps_now();
	assert_int_equal(json_sums(json_pool(ps, 1, "dram")).frees, 0);
	assert_int_equal(json_number(json_pool(ps, 1, "dram"), "live_allocations"), 1);
	close(fd);
	WAIT_FOR(strstr(gateway_said(&gateway), ": 5000 frees of unknown ids"));
	assert_int_equal(count_of(gateway_end(&gateway).err, "\n"), 3);
}

static void a_buffer_freed_1062_times_too_often_was_freed_once(void **state)
{
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect(), n;
	json_t *ps;

	(void)state;
	legacy_alloc(fd, 112, 1, 1, 7, 100);
	legacy_alloc(fd, 112, 1, 1, 8, 11);
	for (n = 0; n < 1063; n++)
		legacy_free(fd, 112, 1, 7);
	assert_int_equal(legacy_ask(fd, 112, 1).l1, 11);
	ps = ps_now();
	assert_int_equal(live_of(ps, 1, "l1"), 11);
	assert_int_equal(json_sums(json_pool(ps, 1, "l1")).frees, 1);
	close(fd);
	check_contains(gateway_end(&gateway).err, ": 1062 frees of unknown ids");
}

static void system_memory_is_kept_apart_from_l1_small_and_trace_from_dram(void **state)
{
	struct job gateway = gateway_start(NULL);
	int fd = gateway_connect();
	struct legacy_totals totals;
	json_t *ps;
	uint8_t type;

	(void)state;
	for (type = 0; type < 5; type++)
		legacy_alloc(fd, 112, 1, type, type, 1ull << type);
	totals = legacy_ask(fd, 112, 1);
	assert_int_equal(totals.dram, 1);
	assert_int_equal(totals.l1, 2);
	assert_int_equal(totals.l1_small, 8);
	assert_int_equal(totals.trace, 16);
	ps = ps_now();
	for (type = 0; type < 5; type++)
		assert_int_equal(live_of(ps, 1, pools[type]), 1 << type);
	close(fd);
	gateway_end(&gateway);
}

static void what_a_killed_process_held_is_gone_at_once_and_nothing_else(void **state)
{
	struct job gateway = gateway_start(NULL);
	struct other other = other_start(hold_80_at_7, 0);
	int fd = gateway_connect();
	json_t *process;

	(void)state;
	legacy_alloc(fd, 72, 1, 0, 7, 50);
	assert_int_equal(legacy_ask(fd, 72, 1).dram, 130);
	kill(other.pid, SIGKILL);
	assert_int_equal(wait_status(other.pid), -SIGKILL);
	WAIT_FOR(legacy_ask(fd, 72, 1).dram == 50);
	process = process_of(ps_now(), other.pid);
	assert_false(json_flag(process, "alive"));
	assert_int_equal(json_number(json_pool(process, 1, "dram"), "abandoned_bytes_total"), 80);
	assert_int_equal(live_of(ps_now(), 1, "dram"), 50);
	close(other.to);
	close(fd);
	gateway_end(&gateway);
}

/* kill(pid, 0) says EPERM of it, which was taken for dead. */
static void what_another_users_living_process_holds_stays(void **state)
{
	struct job gateway;
	struct other other;
	int fd, n;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	assert_int_equal(chmod(test_tmp, 0711), 0);
	gateway = gateway_start(LIST("--mode", "0666"));
	other = other_start(hold_80_at_7, NOBODY);
	fd = gateway_connect();
	for (n = 0; n < 20; n++)
		assert_int_equal(legacy_ask(fd, 72, 1).dram, 80);
	assert_int_equal(live_of(process_of(ps_now(), other.pid), 1, "dram"), 80);
	other_end(&other);
	WAIT_FOR(legacy_ask(fd, 72, 1).dram == 0);
	close(fd);
	gateway_end(&gateway);
}

/* "totals only per device": who it is was not known. */
static void every_client_is_a_process_with_its_own_pid_and_name(void **state)
{
	struct job gateway = gateway_start(NULL);
	struct other other = other_start(hold_80_at_7, 0);
	json_t *process;

	(void)state;
	process = process_of(ps_now(), other.pid);
	assert_string_equal(json_text(process, "comm"), "test_gateway");
	assert_true(json_flag(process, "alive"));
	check_contains(TALLY("buffers").out, "0x7");
	other_end(&other);
	WAIT_FOR(!json_flag(process_of(ps_now(), other.pid), "alive"));
	gateway_end(&gateway);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void answers_are_about_ring_producers_too(void **state)
{
	struct job gateway = gateway_start(NULL), script = script_start(NULL);
	int fd = gateway_connect(), n;

	(void)state;
	legacy_alloc(fd, 72, 5, 0, 1, 1000);
	for (n = 1; n <= 20; n++) {
		job_do(&script, text("alloc 5 0 %d 1", n));
		WAIT_FOR(legacy_ask(fd, 72, 5).dram == 1000 + (uint64_t)n);
	}
	legacy_alloc(fd, 72, 5, 0, 2, 500);
	assert_int_equal(legacy_ask(fd, 72, 5).dram, 1520);
	job_end_well(&script);
	WAIT_FOR(legacy_ask(fd, 72, 5).dram == 1500);
	close(fd);
	gateway_end(&gateway);
}

static void ask_info(int fd, unsigned int layout, int32_t device, unsigned char *reply)
{
	legacy_say(fd, layout, LEGACY_INFO_QUERY, device, 0, 0, 0);
	assert_true(legacy_receive(fd, reply, layout));
	assert_int_equal(reply[0], LEGACY_INFO);
	assert_int_equal((int32_t)legacy_u32(reply, 4), device);
}

static void device_info_is_what_processes_have_described(void **state)
{
	struct job gateway = gateway_start(NULL), script = script_start(NULL);
	unsigned char reply[LEGACY_MAX];
	size_t n;

	(void)state;
	job_do(&script, "describe 2 n300 Wormhole_B0 serial 0 12884901888");
	for (n = 1; n < 4; n++) {
		unsigned int layout = legacy_layouts[n], at = legacy_info_at(layout);
		int fd = gateway_connect();

		WAIT_FOR((ask_info(fd, layout, -1, reply), legacy_u32(reply, at + 36) == 3));
		assert_int_equal(legacy_u32(reply, at + 32), 1);
		assert_int_equal(legacy_u64(reply, at), 0);
		ask_info(fd, layout, 2, reply);
		assert_int_equal(legacy_u64(reply, at), 12884901888);
		assert_int_equal(legacy_u64(reply, at + 8), 0); /* nobody has said */
		assert_int_equal(legacy_u32(reply, at + 16), 2);
		assert_int_equal(legacy_u32(reply, at + 20), 12);
		assert_int_equal(legacy_u32(reply, at + 24), 1u << 30);
		assert_int_equal(legacy_u32(reply, at + 28), 0);
		assert_int_equal(legacy_u32(reply, at + 32), 1);
		assert_int_equal(legacy_u32(reply, at + 36), 3);
		ask_info(fd, layout, 1, reply);
		assert_int_equal(legacy_u32(reply, at + 32), 0);
		ask_info(fd, layout, 1 << 30, reply); /* who asks nonsense is answered, too */
		assert_int_equal(legacy_u32(reply, at + 32), 0);
		close(fd);
	}
	job_end_well(&script);
	gateway_end(&gateway);
}

/* ---- What is printed ------------------------------------------------------------------------- */

static void the_log_has_the_lines_that_people_look_for(void **state)
{
	struct job gateway = gateway_start(LIST("--log"));
	int fd = gateway_connect(), pid = getpid();

	(void)state;
	legacy_alloc(fd, 128, 1, 0, 4096, 100);
	legacy_alloc(fd, 128, 1, 2, 18446744073709551615u, 200);
	legacy_free(fd, 128, 1, 4096);
	legacy_free(fd, 128, 1, 4096);
	legacy_say(fd, 128, LEGACY_CB_ALLOC, 1, 0, 1, 3 << 20);
	legacy_say(fd, 128, LEGACY_CB_ALLOC, 1, 0, 2, 1 << 19);
	legacy_say(fd, 128, LEGACY_CB_FREE, 1, 0, 1, 0);
	legacy_say(fd, 128, LEGACY_KERNEL_LOAD, 2, 0, 1, 1 << 20);
	legacy_say(fd, 128, LEGACY_KERNEL_LOAD, 2, 1, 2, 1 << 20);
	legacy_say(fd, 128, LEGACY_KERNEL_UNLOAD, 2, 0, 2, 0);
	legacy_ask(fd, 128, 0);
	close(fd);
	assert_string_equal(
		gateway_end(&gateway).out,
		text("✓ [PID %d] Allocated 100 bytes of DRAM on device 1 (buffer_id=4096)\n"
		     "✓ [PID %d] Allocated 200 bytes of SYSTEM_MEMORY on device 1 "
		     "(buffer_id=18446744073709551615)\n"
		     "✗ [PID %d] Freed buffer 4096 on device 1 (100 bytes, FINAL)\n"
		     "⚠ [PID %d] Deallocation for unknown buffer 4096 on device 1\n"
		     "✓ [CB_ALLOC] Device 1: +3 MB (Total: 3 MB)\n"
		     "✓ [CB_ALLOC] Device 1: +0.5 MB (Total: 3.5 MB)\n"
		     "✗ [CB_FREE] Device 1: -3 MB (Total: 0.5 MB)\n"
		     "✓ [KERNEL_LOAD] Application kernel on Device 2: +1 MB (Total: 1 MB)\n"
		     "✓ [KERNEL_LOAD] Fabric kernel on Device 2: +1 MB (Total: 2 MB)\n"
		     "✗ [KERNEL_UNLOAD] Fabric kernel on Device 2: -1 MB (Total: 1 MB)\n",
		     pid, pid, pid, pid));
}

static void a_dump_lists_what_each_process_holds(void **state)
{
	struct job gateway = gateway_start(NULL);
	struct other other = other_start(hold_80_at_7, 0);
	int fd = gateway_connect(), n;
	char *out;

	(void)state;
	legacy_alloc(fd, 72, 3, 4, 9, 100);
	legacy_say(fd, 72, LEGACY_KERNEL_LOAD, 2, 2, 5, 300);
	for (n = 0; n < 1000; n++) /* are one list, not a thousand */
		legacy_say(fd, 72, LEGACY_DUMP, 0, 0, 0, 0);
	WAIT_FOR(legacy_ask(fd, 72, 3).trace == 100);
	legacy_say(fd, 72, LEGACY_DUMP_KERNELS, 0, 0, 0, 0);
	assert_string_equal(job_line(&gateway), "Buffers held:");
	for (n = 0; n < 20 && strcmp(job_line(&gateway), "Kernels loaded:") != 0; n++)
		;
	assert_true(n < 20);
	assert_string_equal(job_line(&gateway),
			    text("  [PID %d] device 2 Dispatch kernel 5: 300 bytes", getpid()));
	assert_string_equal(job_line(&gateway), "1 of them, 300 bytes");
	legacy_say(fd, 72, LEGACY_DUMP, 0, 0, 0, 0);
	assert_string_equal(job_line(&gateway), "Buffers held:");
	out = text("%s\n%s\n%s\n", job_line(&gateway), job_line(&gateway), job_line(&gateway));
	check_contains(out, text("  [PID %d] device 3 TRACE buffer 9: 100 bytes\n", getpid()));
	check_contains(out, text("  [PID %d] device 1 DRAM buffer 7: 80 bytes\n", other.pid));
	assert_string_equal(job_line(&gateway), "3 of them, 480 bytes");
	other_end(&other);
	close(fd);
	gateway_end(&gateway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(mixed_traffic_cut_anywhere_gives_exact_totals_and_no_connection_is_dropped),
		TEST(each_layout_alone_is_exact_too),
		TEST(who_reports_and_then_asks_is_told_what_it_has_reported),
		TEST(clients_of_four_layouts_misalign_nobody),
		TEST(a_pid_as_device_is_one_bad_message_and_the_rest_is_read_on),
		TEST(devices_above_7_and_sizes_of_100_gib_and_more_count),
		TEST(two_processes_with_one_id_do_not_collide),
		TEST(a_live_id_that_is_allocated_again_has_its_new_size_and_type),
		TEST(a_known_circular_buffer_or_kernel_is_not_added_again),
		TEST(a_free_of_an_unknown_circular_buffer_does_not_wrap_below_zero),
		TEST(unknown_frees_by_the_thousand_are_one_line),
		TEST(a_buffer_freed_1062_times_too_often_was_freed_once),
		TEST(system_memory_is_kept_apart_from_l1_small_and_trace_from_dram),
		TEST(what_a_killed_process_held_is_gone_at_once_and_nothing_else),
		TEST(what_another_users_living_process_holds_stays),
		TEST(every_client_is_a_process_with_its_own_pid_and_name),
		TEST(answers_are_about_ring_producers_too),
		TEST(device_info_is_what_processes_have_described),
		TEST(the_log_has_the_lines_that_people_look_for),
		TEST(a_dump_lists_what_each_process_holds),
	};

	return cmocka_run_group_tests_name("gateway", tests, NULL, NULL);
}
