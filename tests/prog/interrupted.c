/* SPDX-License-Identifier: Apache-2.0 */
/* First pushes that are interrupted wherever they make the region: by signals whose handlers jump
 * or fork, by other threads that fork or push; or that come when the main thread has ended. One
 * scenario a run, which judges itself.
 *
 *	interrupted SCENARIO [ARGUMENT]
 */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/scenario.h"

static uint32_t open_before; /* see descriptors() */

/* ---- Interrupting the making of a region ----------------------------------------------------- */

/* What is to happen at which of a region's system calls; see may_interrupt(). */
static int calls, interrupt_at;
static void (*interruption)(void);

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

/* ---- Without the main thread ----------------------------------------------------------------- */

/* What /proc/self shows is the main thread: 'Z' once it has ended before the others. */
static char main_state(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[200], state = '\0';

	CHECK(file != NULL);
	while (!state && fgets(line, sizeof(line), file))
		sscanf(line, "State: %c", &state);
	fclose(file);
	return state;
}

static void *push_when_main_has_gone(void *arg)
{
	struct tally_status status;

	(void)arg;
	while (main_state() != 'Z')
		sched_yield();
	take(DEVICE, PUSHES);
	CHECK(tally_status(&status) == 0);
	CHECK(status.region_error == 0);
	look();
	CHECK(seen.allocs == PUSHES);
	leave();
	return NULL;
}

static int corner_main_gone(const char *argument)
{
	pthread_t thread;

	(void)argument;
	CHECK(pthread_create(&thread, NULL, push_when_main_has_gone, NULL) == 0);
	pthread_exit(NULL);
}

/* ---- */

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "jump", corner_jump },
		{ "fork-while-made", corner_fork_while_made },
		{ "fork-beside", corner_fork_beside },
		{ "early", corner_early },
		{ "main-gone", corner_main_gone },
		{ NULL, NULL },
	};

	return run_scenario(scenarios, argc, argv);
}
