/* SPDX-License-Identifier: Apache-2.0 */
/* A child process brought to any instruction of what it does, there to be killed or stopped.
 *
 * The child is a fork of the test, so text lies at the same addresses in every one of them. What it
 * executes is written down once, instruction by instruction; to come to instruction i again, it
 * runs from breakpoint to breakpoint, and is single-stepped in between and from there.
 */
#ifndef TESTS_CRASH_STEP_H
#define TESTS_CRASH_STEP_H

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "tests/support.h"

enum { CRASH_NO_PTRACE = 91 }; /* exit status where no process may be traced */

/* ---- Checks in processes that must not fail a test themselves -------------------------------- */

/* What is being tried, for the message when it goes wrong. */
static struct {
	const char *scene, *act;
	size_t point;
	uint64_t pc;
} crash_at;

extern char __executable_start, etext;

#define CRASH_TEXT ((uint64_t)(uintptr_t)&__executable_start)

static inline void crash_fail(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
	fprintf(stderr,
		"%s:%d: %s (%llu, %llu)\n  in: %s, %s at instruction %zu, address 0x%llx of %s\n",
		file, line, what, (unsigned long long)a, (unsigned long long)b,
		crash_at.scene ? crash_at.scene : "-", crash_at.act ? crash_at.act : "-",
		crash_at.point, (unsigned long long)(crash_at.pc - CRASH_TEXT),
		program_invocation_name);
	fflush(NULL);
	_exit(1);
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			crash_fail(__FILE__, __LINE__, #condition, 0, 0);                          \
	} while (0)
#define CHECK_RANGE(value, low, high)                                                              \
	do {                                                                                       \
		uint64_t check_value = (uint64_t)(value), check_low = (uint64_t)(low);             \
		uint64_t check_high = (uint64_t)(high);                                            \
                                                                                                   \
		if (check_value < check_low)                                                       \
			crash_fail(__FILE__, __LINE__, #value " >= " #low, check_value,            \
				   check_low);                                                     \
		if (check_value > check_high)                                                      \
			crash_fail(__FILE__, __LINE__, #value " <= " #high, check_value,           \
				   check_high);                                                    \
	} while (0)
#define CHECK_EQUAL(a, b)                                                                          \
	do {                                                                                       \
		uint64_t check_a = (uint64_t)(a), check_b = (uint64_t)(b);                         \
                                                                                                   \
		if (check_a != check_b)                                                            \
			crash_fail(__FILE__, __LINE__, #a " == " #b, check_a, check_b);            \
	} while (0)

/* Memory that all processes forked from here on share. */
static inline void *crash_share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

/* ---- The child ------------------------------------------------------------------------------- */

struct tracee {
	pid_t pid;
	pid_t tid;	/* the thread that is traced */
	uint64_t *done; /* is not 0 once the child has done what it is traced for */
	bool ended;	/* and been waited for: its number may be another's by now */
};

/* In the child: lets itself be traced, and stops. */
static inline void tracee_stop_here(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(CRASH_NO_PTRACE);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
}

/* Waits until it stops; the signal, or -1 when it has ended. */
static inline int tracee_wait(struct tracee *tracee)
{
	int status;

	CHECK(waitpid(tracee->tid, &status, __WALL) == tracee->tid);
	if (WIFSTOPPED(status))
		return WSTOPSIG(status);
	tracee->ended = true;
	return -1;
}

/* Runs `live` in a child, up to its tracee_stop_here(). No other child is about to stop. */
static inline struct tracee tracee_start(void (*live)(void *arg), void *arg, uint64_t *done)
{
	struct tracee tracee = { .done = done };
	int status;

	fflush(NULL);
	tracee.pid = fork();
	CHECK(tracee.pid >= 0);
	if (tracee.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(0);
		live(arg);
		_exit(0);
	}
	tracee.tid = waitpid(-1, &status, __WALL);
	if (tracee.tid == tracee.pid && WIFEXITED(status) && WEXITSTATUS(status) == CRASH_NO_PTRACE)
		_exit(CRASH_NO_PTRACE);
	CHECK(tracee.tid > 0);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	return tracee;
}

static inline bool tracee_done(const struct tracee *tracee)
{
	return tally_load_acquire(tracee->done) != 0;
}

/* One instruction. False: it has ended. */
static inline bool tracee_step(struct tracee *tracee)
{
	int number;

	CHECK(ptrace(PTRACE_SINGLESTEP, tracee->tid, NULL, NULL) == 0);
	number = tracee_wait(tracee);
	if (number < 0)
		return false;
	CHECK_EQUAL(number, SIGTRAP);
	return true;
}

#define TRACEE_PC ((void *)offsetof(struct user, regs.rip))

static inline uint64_t tracee_pc(const struct tracee *tracee)
{
	errno = 0;
	return (uint64_t)ptrace(PTRACE_PEEKUSER, tracee->tid, TRACEE_PC, NULL);
}

static inline void tracee_reap(struct tracee *tracee)
{
	int status;

	if (tracee->tid != tracee->pid && !tracee->ended)
		waitpid(tracee->tid, &status, __WALL);
	CHECK(waitpid(tracee->pid, &status, __WALL) == tracee->pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* The end of it, wherever it is. */
static inline void tracee_kill(struct tracee *tracee)
{
	CHECK(kill(tracee->pid, SIGKILL) == 0);
	tracee_reap(tracee);
}

/* It is stopped by SIGSTOP, and is not traced any more. */
static inline void tracee_sigstop(struct tracee *tracee)
{
	int status;

	CHECK(kill(tracee->pid, SIGSTOP) == 0);
	CHECK(ptrace(PTRACE_DETACH, tracee->tid, NULL, NULL) == 0);
	CHECK(waitpid(tracee->pid, &status, WUNTRACED) == tracee->pid);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}

/* It goes on, and must end by itself. */
static inline void tracee_sigcont(struct tracee *tracee)
{
	int status;

	CHECK(kill(tracee->pid, SIGCONT) == 0);
	CHECK(waitpid(tracee->pid, &status, 0) == tracee->pid);
	CHECK(WIFEXITED(status));
	CHECK_EQUAL(WEXITSTATUS(status), 0);
}

/* ---- What it executes ------------------------------------------------------------------------ */

#define TRACE_MAX (1u << 20) /* instructions */

/* Shared among the processes that go through it. */
struct trace {
	uint64_t count;
	uint64_t ours;		    /* in this program's own text */
	uint64_t points;	    /* that are to be tried */
	uint64_t pc[TRACE_MAX];	    /* the address of each, in turn */
	uint32_t before[TRACE_MAX]; /* where it was come to the last time, or 0 */
	uint32_t point[TRACE_MAX];  /* the indexes that are to be tried */
	/* Which one the cheapest way comes from, and WAY_RUNS; [1]: to our own, so with no accident
	 * of the C library. */
	uint32_t from[2][TRACE_MAX];
};

static inline bool trace_is_ours(uint64_t pc)
{
	return pc >= CRASH_TEXT && pc < (uint64_t)(uintptr_t)&etext;
}

/* Children have the test's own mappings, the C library's text included. */
static inline bool trace_is_syscall(uint64_t pc)
{
	uint16_t bytes;

	memcpy(&bytes, (const void *)(uintptr_t)pc, sizeof(bytes));
	return bytes == 0x050f;
}

/* Stores where the C library's text lies in `arg`, two addresses. */
static inline int trace_find_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t *text = arg, known = (uint64_t)(uintptr_t)&getpid;
	int n;

	(void)size;
	for (n = 0; n < info->dlpi_phnum; n++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[n];
		uint64_t start = info->dlpi_addr + header->p_vaddr;

		if (header->p_type != PT_LOAD || known - start >= header->p_memsz)
			continue;
		text[0] = start;
		text[1] = start + header->p_memsz;
		return 1;
	}
	return 0;
}

#define WAY_RUNS 0x80000000u /* to a breakpoint; else it is one step */
#define RUN_COST 1 /* steps: its system calls are cheaper than the processor's debug exception */

/* The cheapest way to each, in steps: from the one before it, or, where a breakpoint can be, from
 * any since it was come to the last time. `library`: what else than our own text may have them. */
static inline void trace_find_ways(const struct trace *trace, const uint64_t library[2],
				   uint32_t *from)
{
	/* lows: which cost less than all that come after them */
	static uint32_t cost[TRACE_MAX], lows[TRACE_MAX];
	uint64_t i, count = 0;

	cost[0] = from[0] = 0;
	for (i = 0; i < trace->count; i++) {
		uint64_t pc = trace->pc[i], first = 0, end = count;

		if (i > 0) {
			cost[i] = cost[i - 1] + 1;
			from[i] = (uint32_t)i - 1;
		}
		while (first < end) { /* the first of them since then */
			uint64_t middle = (first + end) / 2;

			if (lows[middle] < trace->before[i])
				first = middle + 1;
			else
				end = middle;
		}
		/* not within a repeated string instruction */
		if (i > 0 && pc != trace->pc[i - 1] && cost[lows[first]] + RUN_COST < cost[i] &&
		    (trace_is_ours(pc) || (pc >= library[0] && pc < library[1]))) {
			cost[i] = cost[lows[first]] + RUN_COST;
			from[i] = lows[first] | WAY_RUNS;
		}
		while (count > 0 && cost[lows[count - 1]] >= cost[i])
			count--;
		lows[count++] = (uint32_t)i;
	}
}

/* All of our own instructions, both sides of each system call, and every `stride`th other
 * instruction of the C library; not those of the kernel's vdso, whose loops depend on the time. */
static inline void trace_choose(struct trace *trace, uint64_t stride, const uint64_t library[2])
{
	uint64_t i;

	for (i = 0; i < trace->count; i++) {
		uint64_t pc = trace->pc[i];
		bool ours = trace_is_ours(pc), theirs = pc >= library[0] && pc < library[1];
		bool calls = trace_is_syscall(pc) || (i > 0 && trace_is_syscall(trace->pc[i - 1]));

		trace->ours += ours;
		if (!ours && !calls && !(theirs && i % stride == 0))
			continue;
		trace->point[trace->points++] = (uint32_t)i;
	}
}

/* Follows the child until it is done. */
static inline void trace_record(struct trace *trace, struct tracee *tracee, uint64_t stride)
{
	static uint32_t last[1u << 16]; /* by hash of the address: where it was seen last */
	uint64_t none[2] = { 0 }, library[2] = { 0 };
	uint64_t i, n = 0;

	do {
		CHECK(n < TRACE_MAX);
		trace->pc[n++] = tracee_pc(tracee);
	} while (!tracee_done(tracee) && tracee_step(tracee));
	trace->count = n;
	memset(last, 0xff, sizeof(last));
	for (i = 0; i < n; i++) {
		uint64_t pc = trace->pc[i];
		uint32_t *slot = &last[mix(pc) % COUNT(last)];

		while (*slot != UINT32_MAX && trace->pc[*slot] != pc)
			slot = slot + 1 < last + COUNT(last) ? slot + 1 : last;
		trace->before[i] = *slot != UINT32_MAX ? *slot : 0;
		*slot = (uint32_t)i;
	}
	CHECK(dl_iterate_phdr(trace_find_library, library));
	trace_find_ways(trace, none, trace->from[1]);
	/* in a thread: another could come to a breakpoint there */
	trace_find_ways(trace, tracee->tid == tracee->pid ? library : none, trace->from[0]);
	trace_choose(trace, stride, library);
}

/* ---- Coming there again ---------------------------------------------------------------------- */

static inline void tracee_poke(struct tracee *tracee, uint64_t pc, bool set)
{
	uint64_t word;

	memcpy(&word, (const void *)(uintptr_t)pc, sizeof(word));
	if (set)
		word = (word & ~0xffull) | 0xcc;
	CHECK(ptrace(PTRACE_POKETEXT, tracee->tid, (void *)(uintptr_t)pc, (void *)word) == 0);
}

/* Runs until it comes to `pc`, again if it is there now. False: it did not. */
static inline bool tracee_run_to(struct tracee *tracee, uint64_t pc)
{
	while (tracee_pc(tracee) == pc)
		if (!tracee_step(tracee))
			return false;
	tracee_poke(tracee, pc, true);
	CHECK(ptrace(PTRACE_CONT, tracee->tid, NULL, NULL) == 0);
	if (tracee_wait(tracee) != SIGTRAP)
		return false;
	CHECK_EQUAL(tracee_pc(tracee), pc + 1);
	tracee_poke(tracee, pc, false);
	CHECK(ptrace(PTRACE_POKEUSER, tracee->tid, TRACEE_PC, (void *)pc) == 0);
	return true;
}

/* Brings a new child to instruction i of the trace; `careful`: with breakpoints in our own text
 * alone. False: it went another way. */
static inline bool tracee_go_to(struct tracee *tracee, const struct trace *trace, uint64_t i,
				bool careful)
{
	static uint32_t way[TRACE_MAX];
	const uint32_t *from = trace->from[careful || trace_is_ours(trace->pc[i])];
	uint64_t at, n = 0;

	for (at = i; at > 0; at = from[at] & ~WAY_RUNS)
		way[n++] = (uint32_t)at;
	while (n-- > 0)
		if (!(from[way[n]] & WAY_RUNS ? tracee_run_to(tracee, trace->pc[way[n]])
					      : tracee_step(tracee)))
			return false;
	return tracee_pc(tracee) == trace->pc[i];
}

#endif
