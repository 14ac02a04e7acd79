/* SPDX-License-Identifier: Apache-2.0 */
/* The processor's trap flag: SIGTRAP comes after each instruction that this thread executes, so a
 * handler comes between any two of them. Only on x86-64. */
#ifndef TESTS_TRAP_FLAG_H
#define TESTS_TRAP_FLAG_H

#ifdef __x86_64__
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ucontext.h>

#define TRAP_FLAG 0x100ll

/* Both leave the caller's red zone alone. */
static inline __attribute__((always_inline)) void trap_flag_set(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
			 "lea 128(%%rsp), %%rsp" ::
				 : "memory", "cc");
}

static inline __attribute__((always_inline)) void trap_flag_clear(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
			 "lea 128(%%rsp), %%rsp" ::
				 : "memory", "cc");
}

/* In the handler: no more of it once that returns. */
static inline void trap_flag_end(ucontext_t *interrupted)
{
	interrupted->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* In the handler: whether the next instruction is a system call. */
static inline bool trap_flag_at_syscall(const ucontext_t *interrupted)
{
	uint16_t bytes;

	memcpy(&bytes, (const void *)(uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP],
	       sizeof(bytes));
	return bytes == 0x050f;
}
#endif
#endif
