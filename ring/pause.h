/* SPDX-License-Identifier: Apache-2.0 */
/* What a loop that waits for another processor tells its own. */
#ifndef RING_PAUSE_H
#define RING_PAUSE_H

static inline void cpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
