/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that reports by the class it always had, a line at a time, each answered.
 *
 *	enabled                        "yes" or "no"
 *	alloc DEVICE SIZE TYPE ID      free DEVICE ID
 *	cb DEVICE SIZE ID              uncb DEVICE SIZE ID
 *	kernel DEVICE SIZE ID TYPE     unkernel DEVICE SIZE ID
 *	times N WORDS                  one of these lines, so often
 *	many DEVICE SIZE TYPE N        buffers 1 .. N                 unmany DEVICE N
 *	describe DEVICE ARCH CHANNELS DRAM L1 X Y
 *	counts                         reallocations, unknown frees, bad devices, bad types,
 *	                               untracked
 *	threads N EVENTS               N threads allocate and free buffers at once, see crowd()
 *	storm FORKS                    forks beside four threads that report; each child judges
 *	                               itself
 *	fork                           "child PID": it has the next lines, until "exit"
 *	restart                        tally_shutdown() and tally_init(); its result
 *
 * All else is answered by 0. It exits when its stdin ends.
 */
#include <allocation_client.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

using tt::tt_metal::AllocationClient;

namespace
{

typedef unsigned long long number;

/* What the runtime's callers were compiled against. */
[[maybe_unused]] constexpr struct {
	bool (*is_enabled)();
	void (*report_allocation)(int, uint64_t, uint8_t, uint64_t);
	void (*report_deallocation)(int, uint64_t);
	void (*report_cb_allocation)(int, uint64_t, uint64_t);
	void (*report_cb_deallocation)(int, uint64_t, uint64_t);
	void (*report_kernel_load)(int, uint64_t, uint64_t, uint8_t);
	void (*report_kernel_unload)(int, uint64_t, uint64_t);
} calls = {
	AllocationClient::is_enabled,
	AllocationClient::report_allocation,
	AllocationClient::report_deallocation,
	AllocationClient::report_cb_allocation,
	AllocationClient::report_cb_deallocation,
	AllocationClient::report_kernel_load,
	AllocationClient::report_kernel_unload,
};

/* ---- Threads --------------------------------------------------------------------------------- */

struct member {
	pthread_t thread;
	number no, events;
	volatile bool *stop;
};

/* Buffers of its own on device 0, of which one in four stays, and eight that all threads have on
 * device 1; circular buffers and kernels that are loaded again and again under the thread's id. */
void *crowd(void *arg)
{
	auto *me = static_cast<member *>(arg);
	number n;

	for (n = 0; n < me->events && !(me->stop && *me->stop); n++) {
		number id = me->no << 32 | n;

		AllocationClient::report_allocation(0, 64 + n, 0, id);
		if (n % 4 != 0)
			AllocationClient::report_deallocation(0, id);
		AllocationClient::report_allocation(1, 1 + n, static_cast<uint8_t>(n % 5), n % 8);
		if (n % 3 == 0)
			AllocationClient::report_deallocation(1, (n + 4) % 8);
		AllocationClient::report_cb_allocation(0, 1000 + n, me->no);
		AllocationClient::report_kernel_load(0, 500, me->no, 2);
	}
	return nullptr;
}

void start(member *members, number count, number events, volatile bool *stop)
{
	number i;

	for (i = 0; i < count; i++) {
		members[i] = { {}, i, events, stop };
		if (pthread_create(&members[i].thread, nullptr, crowd, &members[i]) != 0)
			std::abort();
	}
}

void join(const member *members, number count)
{
	number i;

	for (i = 0; i < count; i++)
		pthread_join(members[i].thread, nullptr);
}

/* A child has nothing live and no counts, whatever its parent's threads were in the middle of. */
void judge_child()
{
	number n, before;

	alarm(60);
	if (AllocationClient::counts().unknown_frees || AllocationClient::counts().reallocations)
		_exit(1);
	for (n = 0; n < 2000; n++)
		AllocationClient::report_allocation(2, 10, 0, n);
	for (n = 0; n < 2000; n++)
		AllocationClient::report_deallocation(2, n);
	if (AllocationClient::counts().unknown_frees || AllocationClient::counts().reallocations)
		_exit(2);
	for (n = 0; n < 8; n++)
		AllocationClient::report_deallocation(1, n);
	before = AllocationClient::counts().unknown_frees;
	_exit(before == 8 ? 0 : 3);
}

bool storm(number forks)
{
	member members[4];
	volatile bool stop = false;
	bool well = true;
	number i;

	start(members, 4, ~0ull, &stop);
	for (i = 0; i < forks; i++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0)
			judge_child();
		waitpid(pid, &status, 0);
		well = well && status == 0;
	}
	stop = true;
	join(members, 4);
	return well;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

bool describe(const char *line)
{
	AllocationClient::DeviceDescription description = {};
	number dram, l1;
	int device;

	if (std::sscanf(line, "describe %d %u %u %llu %llu %u %u", &device, &description.arch,
			&description.dram_channels, &dram, &l1, &description.grid_x,
			&description.grid_y) != 7)
		return false;
	description.dram_size_per_channel = dram;
	description.l1_size_per_core = l1;
	description.name = "card";
	description.stable_id = "serial-7";
	std::printf("%d\n", AllocationClient::describe_device(device, description));
	return true;
}

bool report(const char *line)
{
	char verb[16] = "";
	number a = 0, b = 0, c = 0;
	int device = 0;
	int words = std::sscanf(line, "%15s %d %llu %llu %llu", verb, &device, &a, &b, &c);

	if (words == 5 && std::strcmp(verb, "alloc") == 0)
		AllocationClient::report_allocation(device, a, static_cast<uint8_t>(b), c);
	else if (words == 3 && std::strcmp(verb, "free") == 0)
		AllocationClient::report_deallocation(device, a);
	else if (words == 4 && std::strcmp(verb, "cb") == 0)
		AllocationClient::report_cb_allocation(device, a, b);
	else if (words == 4 && std::strcmp(verb, "uncb") == 0)
		AllocationClient::report_cb_deallocation(device, a, b);
	else if (words == 5 && std::strcmp(verb, "kernel") == 0)
		AllocationClient::report_kernel_load(device, a, b, static_cast<uint8_t>(c));
	else if (words == 4 && std::strcmp(verb, "unkernel") == 0)
		AllocationClient::report_kernel_unload(device, a, b);
	else
		return false;
	return true;
}

bool report_many(const char *line)
{
	number size, type, n, count;
	int device;

	if (std::sscanf(line, "many %d %llu %llu %llu", &device, &size, &type, &count) == 4)
		for (n = 1; n <= count; n++)
			AllocationClient::report_allocation(device, size,
							    static_cast<uint8_t>(type), n);
	else if (std::sscanf(line, "unmany %d %llu", &device, &count) == 2)
		for (n = 1; n <= count; n++)
			AllocationClient::report_deallocation(device, n);
	else
		return false;
	return true;
}

bool act(const char *line)
{
	number count, events;
	int at = 0;

	if (std::sscanf(line, "times %llu %n", &count, &at) == 1) {
		while (count-- > 0)
			if (!report(line + at))
				return false;
	} else if (std::sscanf(line, "threads %llu %llu", &count, &events) == 2 && count <= 64) {
		member members[64];

		start(members, count, events, nullptr);
		join(members, count);
	} else if (std::sscanf(line, "storm %llu", &count) == 1) {
		return storm(count);
	} else {
		return report_many(line) || report(line);
	}
	return true;
}

/* The child goes on with the lines; the parent waits for it. */
void fork_now()
{
	pid_t pid = fork();

	if (pid == 0)
		std::printf("child %d\n", getpid());
	else
		waitpid(pid, nullptr, 0);
}

void answer(const char *line)
{
	if (std::strcmp(line, "enabled\n") == 0) {
		std::puts(AllocationClient::is_enabled() ? "yes" : "no");
	} else if (std::strcmp(line, "counts\n") == 0) {
		AllocationClient::Counts counts = AllocationClient::counts();

		std::printf("%llu %llu %llu %llu %llu\n", number(counts.reallocations),
			    number(counts.unknown_frees), number(counts.bad_devices),
			    number(counts.bad_types), number(counts.untracked));
	} else if (std::strcmp(line, "restart\n") == 0) {
		int result = tally_shutdown();

		std::printf("%d\n", result ? result : tally_init(nullptr));
	} else if (std::strcmp(line, "fork\n") == 0) {
		fork_now();
	} else if (std::strcmp(line, "exit\n") == 0) {
		std::exit(0);
	} else if (!describe(line)) {
		std::puts(act(line) ? "0" : "what?");
	}
	std::fflush(stdout);
}

} // namespace

int main()
{
	char line[200];

	std::puts("ready");
	std::fflush(stdout);
	while (std::fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
