/* SPDX-License-Identifier: Apache-2.0 */
/* Corners of a process's life: interrupted, cancelled or forked while the region is being made,
 * shut down and armed again, with errno watched. One scenario a run, which judges itself.
 *
 *	corners SCENARIO [ARGUMENT]
 *
 * What is wrong is said on stderr, with status 1. Pushes are on device 5, those of fork children
 * on device 6, all in pool dram.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <tally/atomic.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <unistd.h>

#define DEVICE 5
#define CHILDS_DEVICE 6
#define PUSHES 20
#define SIZE 16

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			dprintf(2, "line %d, case %d: not so: %s\n", __LINE__, case_no,            \
				#condition);                                                       \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static int case_no; /* which of many of the same kind, for messages */

/* What is to happen at which of a region's system calls; see may_interrupt(). */
static int calls, interrupt_at;
static void (*interruption)(void);

static void take(uint32_t device, int count)
{
	while (count-- > 0)
		tally_alloc(device, TALLY_POOL_DRAM, SIZE, SIZE);
}

static bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		dprintf(2, "case %d: killed by signal %d\n", case_no, WTERMSIG(status));
	return status == 0;
}

static void in_thread(void *(*body)(void *arg))
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

static void *take_in_thread(void *arg)
{
	take(DEVICE, PUSHES);
	return arg;
}

/* ---- What is seen ---------------------------------------------------------------------------- */

static struct {
	uint64_t events, rejected, allocs, childs_allocs;
} seen;

/* Reads this process's own region, as anybody would. */
static void look(void)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid() };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	size_t i;

	memset(&seen, 0, sizeof(seen));
	CHECK(tally_consumer_open(&options, &consumer) == 0);
	CHECK(tally_consumer_poll(consumer) == 0);
	now = tally_snapshot_get(consumer);
	CHECK(now->process_count == 1);
	seen.events = now->events;
	seen.rejected = now->rejected_events;
	for (i = 0; i < now->pool_count; i++) {
		const struct tally_pool_view *pool = &now->pools[i];

		CHECK(pool->totals.allocated_bytes == pool->totals.allocations * SIZE);
		if (pool->device == DEVICE)
			seen.allocs = pool->totals.allocations;
		if (pool->device == CHILDS_DEVICE)
			seen.childs_allocs = pool->totals.allocations;
	}
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
}

/* Descriptors 0 .. 31, as bits. */
static uint32_t open_before;

static uint32_t descriptors(void)
{
	uint32_t open_ones = 0;
	int fd;

	for (fd = 0; fd < 32; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			open_ones |= 1u << fd;
	return open_ones;
}

/* Ends a case without a region left behind. */
static void leave(void)
{
	tally_shutdown();
	_exit(0);
}

/* ---- Interrupting the making of a region ----------------------------------------------------- */

/* These system calls of the library come here first; at the one with number `interrupt_at` the
 * case's interruption happens. A signal may be blocked there, and come a little later. */

static void may_interrupt(void)
{
	if (interruption && ++calls == interrupt_at)
		interruption();
}

int fchmod(int fd, mode_t mode)
{
	may_interrupt();
	return (int)syscall(SYS_fchmod, fd, mode);
}

int ftruncate(int fd, off_t size)
{
	may_interrupt();
	return (int)syscall(SYS_ftruncate, fd, size);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	may_interrupt();
	return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int madvise(void *base, size_t size, int advice)
{
	may_interrupt();
	return (int)syscall(SYS_madvise, base, size, advice);
}

int mprotect(void *base, size_t size, int protection)
{
	may_interrupt();
	return (int)syscall(SYS_mprotect, base, size, protection);
}

/* The push that makes the region; what comes after it is left alone. */
static void first_push(void)
{
	take(DEVICE, 1);
	interruption = NULL;
}

static void raise_signal(void)
{
	raise(SIGUSR1);
}

/* Runs `body` in a fresh process for each of the calls that the first push makes. */
static void at_each_call(void (*body)(void), void (*how)(void))
{
	static const int status_not_reached = 9, least = 6;
	int status = 0;

	for (case_no = 1; status == 0; case_no++) {
		pid_t pid = fork();

		if (pid == 0) {
			interruption = how;
			interrupt_at = case_no;
			body();
			if (calls < interrupt_at) {
				tally_shutdown();
				_exit(status_not_reached);
			}
			leave();
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		if (WIFSIGNALED(status))
			dprintf(2, "case %d: killed by signal %d\n", case_no, WTERMSIG(status));
		CHECK(WIFEXITED(status));
	}
	CHECK(WEXITSTATUS(status) == status_not_reached);
	CHECK(case_no > least);
}

/* Runs `body` in a fresh process, with a signal after more and more of its first half
 * millisecond. */
static void at_each_time(void (*body)(void), int cases)
{
	for (case_no = 1; case_no <= cases; case_no++) {
		pid_t pid = fork();

		if (pid == 0) {
			body();
			leave();
		}
		CHECK(ended_well(pid));
	}
}

static void alarm_in_us(long us)
{
	struct itimerval once = { .it_value = { .tv_usec = us } };

	setitimer(ITIMER_REAL, &once, NULL);
}

/* ---- A handler that jumps -------------------------------------------------------------------- */

static sigjmp_buf back;

static void jump_back(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

/* After the jump `begun` pushes came back and one may have been under way. */
static void check_after_jump(uint64_t begun)
{
	interruption = NULL;
	in_thread(take_in_thread);
	take(DEVICE, PUSHES);
	CHECK(tally_enabled() == 1);
	in_thread(take_in_thread);
	CHECK(descriptors() == open_before);
	look();
	CHECK(seen.allocs >= begun + 3 * PUSHES);
	CHECK(seen.allocs <= begun + 3 * PUSHES + 1);
	CHECK(seen.events + 1 >= seen.allocs);
	CHECK(seen.events <= seen.allocs + 1);
	CHECK(seen.rejected == 0);
}

static void jump_at_call(void)
{
	open_before = descriptors();

	signal(SIGUSR1, jump_back);
	if (sigsetjmp(back, 1) == 0)
		first_push();
	check_after_jump(0);
}

static void jump_at_time(void)
{
	static volatile uint64_t begun;
	open_before = descriptors();

	signal(SIGALRM, jump_back);
	if (sigsetjmp(back, 1) == 0) {
		alarm_in_us(1 + 4 * case_no);
		for (;;) {
			take(DEVICE, 1);
			begun++;
		}
	}
	check_after_jump(begun);
}

static int corner_jump(const char *argument)
{
	(void)argument;
	at_each_call(jump_at_call, raise_signal);
	at_each_time(jump_at_time, 120);
	return 0;
}

/* ---- Forks ----------------------------------------------------------------------------------- */

static const char *precious; /* the name of a file that a child opens in the handler */
static volatile sig_atomic_t in_child, handled;

/* The child goes on with the push that was interrupted. */
static void fork_in_handler(int number)
{
	pid_t pid = fork();

	(void)number;
	handled = 1;
	if (pid == 0) {
		in_child = 1;
		if (precious)
			CHECK(open(precious, O_RDWR | O_CLOEXEC) >= 0);
		take(CHILDS_DEVICE, 1);
	} else {
		CHECK(ended_well(pid));
	}
}

static void check_child(void)
{
	struct stat status;

	take(CHILDS_DEVICE, PUSHES);
	look();
	CHECK(seen.childs_allocs == PUSHES + 1);
	CHECK(seen.allocs <= 1); /* the one that was under way */
	CHECK(seen.rejected == 0);
	if (precious) {
		CHECK(stat(precious, &status) == 0);
		CHECK(status.st_size == 8);
	}
	leave();
}

static void fork_at_call(void)
{
	open_before = descriptors();

	signal(SIGUSR1, fork_in_handler);
	first_push();
	if (in_child)
		check_child();
	take(DEVICE, PUSHES);
	CHECK(descriptors() == open_before);
	look();
	CHECK(seen.allocs == PUSHES + 1);
	CHECK(seen.events == PUSHES + 1);
}

static void fork_at_time(void)
{
	uint64_t count = 0;

	signal(SIGALRM, fork_in_handler);
	alarm_in_us(1 + 4 * case_no);
	for (; !handled; count++)
		take(DEVICE, 1);
	if (in_child)
		check_child();
	take(DEVICE, PUSHES);
	look();
	CHECK(seen.allocs == count + PUSHES);
	CHECK(seen.events == count + PUSHES);
}

static int corner_fork_while_made(const char *argument)
{
	precious = argument;
	at_each_call(fork_at_call, raise_signal);
	at_each_time(fork_at_time, 60);
	return 0;
}

/* Another thread forks meanwhile. */
static void *fork_in_thread(void *arg)
{
	pid_t pid = fork();

	if (pid == 0) {
		interruption = NULL;
		CHECK(descriptors() == open_before);
		take(CHILDS_DEVICE, 1);
		check_child();
	}
	CHECK(ended_well(pid));
	return arg;
}

static void fork_beside(void)
{
	in_thread(fork_in_thread);
}

static void fork_beside_call(void)
{
	open_before = descriptors();
	first_push();
	take(DEVICE, PUSHES);
	CHECK(descriptors() == open_before);
	look();
	CHECK(seen.allocs == PUSHES + 1);
}

static int corner_fork_beside(const char *argument)
{
	(void)argument;
	at_each_call(fork_beside_call, fork_beside);
	return 0;
}

/* Flat out, each handler forks; ARGUMENT "laneless": another thread has the only lane. What is
 * counted is for the test to see, which is told the number of pushes and of children. */
static volatile sig_atomic_t forks, died;

static void fork_and_come_again(int number)
{
	pid_t pid;

	(void)number;
	if (in_child)
		return;
	pid = fork();
	if (pid == 0) {
		in_child = 1;
		take(CHILDS_DEVICE, 1);
		return;
	}
	case_no = forks++;
	died += !ended_well(pid);
	alarm_in_us(60 + forks * 7 % 40); /* from now on, however long a fork takes */
}

static sem_t lane_taken;

static void *hold_lane(void *arg)
{
	take(DEVICE, 1);
	sem_post(&lane_taken);
	while (pause())
		;
	return arg;
}

/* Makes the region, and attaches this thread. Returns the number of pushes. */
static uint64_t attach(bool laneless)
{
	pthread_t holder;
	sigset_t alarms;

	if (laneless) {
		sigemptyset(&alarms);
		sigaddset(&alarms, SIGALRM);
		sem_init(&lane_taken, 0, 0);
		pthread_sigmask(SIG_BLOCK, &alarms, NULL);
		CHECK(pthread_create(&holder, NULL, hold_lane, NULL) == 0);
		pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
		sem_wait(&lane_taken);
	}
	take(DEVICE, 1);
	return laneless ? 2 : 1;
}

static int corner_fork_storm(const char *argument)
{
	static const int forks_wanted = 400;
	uint64_t count = attach(argument != NULL);

	signal(SIGALRM, fork_and_come_again);
	alarm_in_us(100);
	for (; forks < forks_wanted && !in_child; count++)
		take(DEVICE, 1);
	if (in_child) {
		take(CHILDS_DEVICE, PUSHES - 1);
		_exit(0);
	}
	alarm_in_us(0);
	CHECK(died == 0);
	printf("%llu %d\n", (unsigned long long)count, (int)forks);
	fflush(stdout);
	getchar();
	return 0;
}

#ifdef __x86_64__
/* The processor's trap flag, with the caller's red zone left alone. */
static inline __attribute__((always_inline)) void trace(bool on)
{
	if (on)
		__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
				 "lea 128(%%rsp), %%rsp" ::
					 : "memory", "cc");
	else
		__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
				 "lea 128(%%rsp), %%rsp" ::
					 : "memory", "cc");
}

static volatile sig_atomic_t steps;

static void step(int number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)info;
	if (++steps != case_no)
		return;
	interrupted->uc_mcontext.gregs[REG_EFL] &= ~0x100ll;
	fork_in_handler(number);
}

/* A handler forks at each instruction of a push; ARGUMENT as above. */
static int corner_fork_at_instruction(const char *argument)
{
	struct sigaction action = { .sa_sigaction = step, .sa_flags = SA_SIGINFO };
	uint64_t count = attach(argument != NULL);

	sigaction(SIGTRAP, &action, NULL);
	for (case_no = 1, steps = 1; steps >= case_no - 1; case_no++, count++) {
		steps = 0;
		trace(true);
		tally_alloc(DEVICE, TALLY_POOL_DRAM, SIZE, SIZE);
		trace(false);
		if (in_child)
			check_child();
	}
	CHECK(case_no > 30);
	look();
	CHECK(seen.allocs == count);
	CHECK(seen.events == count);
	return 0;
}
#endif

/* Several threads fork at the same time. The heap is what a child takes over. */
#define FORKING_THREADS 4
#define FORKS_EACH 40

static void *fork_often(void *arg)
{
	int i;

	for (i = 0; i < FORKS_EACH; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			tally_alloc(0, TALLY_POOL_HEAP, 2, 5);
			_exit(0);
		}
		CHECK(ended_well(pid));
	}
	return arg;
}

static int corner_forks_at_once(const char *argument)
{
	pthread_t threads[FORKING_THREADS];
	int i;

	(void)argument;
	tally_alloc(0, TALLY_POOL_HEAP, 1, 1000000);
	for (i = 0; i < FORKING_THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, fork_often, NULL) == 0);
	for (i = 0; i < FORKING_THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	printf("%d\n", FORKING_THREADS * FORKS_EACH);
	fflush(stdout);
	getchar();
	return 0;
}

static int64_t reset_heap(void)
{
	int64_t bytes = -1;

	CHECK(tally_pool_reset(0, TALLY_POOL_HEAP, &bytes) == 0);
	return bytes;
}

/* What the parent held is released with the rest, once; its child then opens with nothing. */
static int corner_pool_reset(const char *argument)
{
	pid_t pid;

	(void)argument;
	tally_alloc(0, TALLY_POOL_HEAP, 1, 1000);
	pid = fork();
	if (pid == 0) {
		tally_alloc(0, TALLY_POOL_HEAP, 2, 5);
		CHECK(reset_heap() == 1005);
		CHECK(reset_heap() == 0);
		pid = fork();
		if (pid == 0) {
			tally_alloc(0, TALLY_POOL_HEAP, 3, 7);
			CHECK(reset_heap() == 7);
			_exit(0);
		}
		CHECK(ended_well(pid));
		_exit(0);
	}
	CHECK(ended_well(pid));
	puts("done");
	fflush(stdout);
	getchar();
	return 0;
}

/* ---- Early events ---------------------------------------------------------------------------- */

static void *push_early(void *arg)
{
	take(DEVICE, 1);
	tally_alloc(70000, TALLY_POOL_DRAM, 1, SIZE);
	tally_mark("early");
	return arg;
}

static void early_beside(void)
{
	in_thread(push_early);
}

static void early_beside_call(void)
{
	struct tally_status status;

	first_push();
	if (calls < interrupt_at)
		return;
	CHECK(tally_status(&status) == 0);
	CHECK(status.rejected_events == 1);
	CHECK(status.unplaced_events == 0);
	look();
	CHECK(seen.rejected == 1);
	CHECK(seen.allocs == 2);
	CHECK(seen.events == 3); /* the mark is one */
}

static int corner_early(const char *argument)
{
	(void)argument;
	at_each_call(early_beside_call, early_beside);
	return 0;
}

/* ---- Every function -------------------------------------------------------------------------- */

static void call_alloc(void)
{
	take(DEVICE, 1);
}

static void call_free(void)
{
	tally_free(DEVICE, TALLY_POOL_DRAM, 1, SIZE);
}

static void call_free_at(void)
{
	tally_free_at(tally_now(), DEVICE, TALLY_POOL_DRAM, 1, SIZE);
}

static void call_alloc_failed(void)
{
	tally_alloc_failed(DEVICE, TALLY_POOL_DRAM, SIZE);
}

static void call_rejected(void)
{
	tally_alloc(1u << 20, TALLY_POOL_DRAM, 1, SIZE);
}

static void call_now(void)
{
	tally_now();
}

static void call_tag(void)
{
	tally_tag_push("a tag");
	take(DEVICE, 1);
	tally_tag_pop();
}

static void call_tag_pop(void)
{
	tally_tag_pop();
}

static void call_mark(void)
{
	tally_mark("a mark");
}

static void call_pool_reset(void)
{
	tally_pool_reset(DEVICE, TALLY_POOL_DRAM, NULL);
	tally_pool_reset(1u << 20, TALLY_POOL_DRAM, NULL);
}

static void call_device_describe(void)
{
	struct tally_device_info info = { .name = "a device" };

	tally_device_describe(DEVICE, &info);
	tally_device_describe(DEVICE, NULL);
}

static void call_pool_describe(void)
{
	tally_pool_describe(9, "a pool");
	tally_pool_describe(9, "another");
	tally_pool_describe(1, "wrong");
}

static void call_init(void)
{
	struct tally_options wrong = { .ring_records = 77 };

	tally_init(&wrong);
	tally_init(NULL);
	tally_init(NULL);
}

static void call_enabled(void)
{
	tally_enabled();
}

static void call_shutdown(void)
{
	tally_shutdown();
	tally_shutdown();
}

static void call_status(void)
{
	struct tally_status status;

	tally_status(&status);
	tally_status(NULL);
}

static void call_exclude(void)
{
	tally_thread_exclude();
	take(DEVICE, 1);
	tally_thread_include();
}

static void (*const functions[])(void) = {
	call_alloc,
	call_free,
	call_free_at,
	call_alloc_failed,
	call_rejected,
	call_now,
	call_tag,
	call_tag_pop,
	call_mark,
	call_pool_reset,
	call_status,
	call_exclude,
	call_device_describe,
	call_pool_describe,
	call_init,
	call_shutdown,
	call_enabled,
	call_init,
	call_alloc,
	call_enabled,
	call_shutdown,
};

#define FUNCTIONS ((int)(sizeof(functions) / sizeof(functions[0])))

static void check_errno(int function)
{
	errno = 4242;
	functions[function]();
	if (errno != 4242)
		dprintf(2, "function %d left errno %d\n", function, errno);
	CHECK(errno == 4242);
}

/* Each function as the first that is called, then all; and the same in a fork child. */
static int corner_errno(const char *argument)
{
	int i;

	(void)argument;
	for (case_no = 0; case_no < FUNCTIONS; case_no++) {
		pid_t pid = fork();

		if (pid == 0) {
			check_errno(case_no);
			pid = fork();
			for (i = 0; i < FUNCTIONS; i++)
				check_errno(i);
			if (pid != 0)
				CHECK(ended_well(pid));
			leave();
		}
		CHECK(ended_well(pid));
	}
	return 0;
}

static volatile sig_atomic_t came_back;

static void *call_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	functions[case_no]();
	came_back = 1;
	pthread_testcancel();
	return arg;
}

static void *cancel_at_once(void *arg)
{
	pthread_cancel(pthread_self());
	pthread_testcancel();
	return arg;
}

/* Each function as the first that is called, by a thread that is to be cancelled. */
static void check_cancelled(void)
{
	pthread_t thread;
	void *result;

	in_thread(cancel_at_once); /* so that what glibc opens for it is there */
	open_before = descriptors();
	CHECK(pthread_create(&thread, NULL, call_cancelled, NULL) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	CHECK(came_back);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(descriptors() == open_before);
	if (functions[case_no] != call_shutdown)
		CHECK(tally_enabled() == 1);
	take(CHILDS_DEVICE, PUSHES);
	in_thread(take_in_thread);
	if (functions[case_no] != call_shutdown) {
		look();
		CHECK(seen.childs_allocs == PUSHES);
		CHECK(seen.allocs >= PUSHES);
	}
}

static int corner_cancel(const char *argument)
{
	(void)argument;
	for (case_no = 0; case_no < FUNCTIONS; case_no++) {
		pid_t pid = fork();

		if (pid == 0) {
			check_cancelled();
			leave();
		}
		CHECK(ended_well(pid));
	}
	return 0;
}

/* ---- Armed again ----------------------------------------------------------------------------- */

static sem_t tagged, armed_again;

static void *tag_across(void *arg)
{
	tally_tag_push("outer");
	tally_tag_push("inner");
	take(DEVICE, 1);
	sem_post(&tagged);
	sem_wait(&armed_again);
	tally_tag_pop();
	tally_tag_pop();
	take(DEVICE, PUSHES);
	tally_tag_pop();
	return arg;
}

/* A thread pops its tags in another region than it pushed them in. */
static int corner_tag_pop(const char *argument)
{
	static const uint32_t lanes[] = { 4, 1024, 1, 64 };
	struct tally_options options = { 0 };
	pthread_t thread;

	(void)argument;
	sem_init(&tagged, 0, 0);
	sem_init(&armed_again, 0, 0);
	for (case_no = 0; case_no < 4; case_no++) {
		CHECK(tally_init(&options) == 0);
		CHECK(pthread_create(&thread, NULL, tag_across, NULL) == 0);
		sem_wait(&tagged);
		CHECK(tally_shutdown() == 0);
		options.lanes = lanes[case_no];
		CHECK(tally_init(&options) == 0);
		sem_post(&armed_again);
		CHECK(pthread_join(thread, NULL) == 0);
		look();
		CHECK(seen.allocs == PUSHES);
		CHECK(tally_shutdown() == 0);
	}
	return 0;
}

static int corner_shutdown_first(const char *argument)
{
	struct tally_status status;
	pid_t pid;

	(void)argument;
	CHECK(tally_shutdown() == 0);
	take(DEVICE, PUSHES);
	CHECK(tally_enabled() == 0);
	CHECK(tally_status(&status) == 0);
	CHECK(status.armed == 0);
	CHECK(tally_shutdown() == -ENODEV);
	pid = fork();
	if (pid == 0) {
		take(DEVICE, PUSHES);
		CHECK(tally_enabled() == 0);
		_exit(0);
	}
	CHECK(ended_well(pid));
	puts("off");
	fflush(stdout);
	getchar();
	CHECK(tally_init(NULL) == 0);
	take(DEVICE, PUSHES);
	look();
	CHECK(seen.allocs == PUSHES);
	CHECK(seen.events == PUSHES);
	return 0;
}

/* A number in /proc/self/status, in KiB. */
static long memory(const char *what)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[200];
	long value = -1;

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, what, strlen(what)) == 0)
			value = atol(line + strlen(what) + 1);
	fclose(file);
	CHECK(value >= 0);
	return value;
}

static long mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	long lines = 0;
	int c;

	CHECK(file != NULL);
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

static int corner_cycles(const char *argument)
{
	static const uint32_t rings[] = { 2048, 64, 4096, 1024, 64, 256 };
	static const uint32_t lanes[] = { 64, 16, 4, 64, 1024, 1 };
	long size = 0, shared = 0, maps = 0;
	open_before = descriptors();

	(void)argument;
	for (case_no = 0; case_no < 1002; case_no++) {
		struct tally_options options = { .ring_records = rings[case_no % 6],
						 .lanes = lanes[case_no % 6] };

		if (case_no == 12) { /* as in the last: the next is the same again */
			size = memory("VmSize");
			shared = memory("RssShmem");
			maps = mappings();
		}
		CHECK(tally_init(&options) == 0);
		take(DEVICE, 1);
		CHECK(tally_shutdown() == 0);
	}
	CHECK(memory("VmSize") <= size + 256);
	CHECK(memory("RssShmem") <= shared + 16);
	CHECK(mappings() <= maps + 2);
	CHECK(descriptors() == open_before);
	return 0;
}

/* ---- A plugin with a libtally of its own ----------------------------------------------------- */

static void (*plug_push)(void);
static sem_t pushed, closed;

static void *push_and_outlive(void *arg)
{
	plug_push();
	sem_post(&pushed);
	sem_wait(&closed);
	return arg;
}

/* It goes while its threads live; they end after it. Then a fork, which it would have handled. */
static int corner_plugin(const char *library)
{
	pthread_t threads[4];
	void *plug, *found;
	int i;

	sem_init(&pushed, 0, 0);
	for (case_no = 0; case_no < 3; case_no++) {
		pid_t pid;

		sem_init(&closed, 0, 0);
		plug = dlopen(library, RTLD_NOW | RTLD_LOCAL);
		if (!plug)
			dprintf(2, "%s\n", dlerror());
		CHECK(plug != NULL);
		found = dlsym(plug, "plug_push");
		memcpy(&plug_push, &found, sizeof(found));
		for (i = 0; i < 4; i++) {
			CHECK(pthread_create(&threads[i], NULL, push_and_outlive, NULL) == 0);
			sem_wait(&pushed);
		}
		CHECK(dlclose(plug) == 0);
		CHECK(dlopen(library, RTLD_NOW | RTLD_NOLOAD) == NULL);
		for (i = 0; i < 4; i++)
			sem_post(&closed);
		for (i = 0; i < 4; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		pid = fork();
		if (pid == 0)
			_exit(0);
		CHECK(ended_well(pid));
	}
	return 0;
}

/* ---- */

static const struct {
	const char *name;
	int (*run)(const char *argument);
} corners[] = {
	{ "jump", corner_jump },
	{ "fork-while-made", corner_fork_while_made },
	{ "fork-beside", corner_fork_beside },
	{ "fork-storm", corner_fork_storm },
#ifdef __x86_64__
	{ "fork-at-instruction", corner_fork_at_instruction },
#endif
	{ "forks-at-once", corner_forks_at_once },
	{ "pool-reset", corner_pool_reset },
	{ "early", corner_early },
	{ "errno", corner_errno },
	{ "cancel", corner_cancel },
	{ "tag-pop", corner_tag_pop },
	{ "shutdown-first", corner_shutdown_first },
	{ "cycles", corner_cycles },
	{ "plugin", corner_plugin },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(corners) / sizeof(corners[0]); i++)
		if (strcmp(argv[1], corners[i].name) == 0)
			return corners[i].run(argv[2]);
	return 2;
}
