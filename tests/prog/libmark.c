/* SPDX-License-Identifier: Apache-2.0 */
/* A library that a user preloads: says on stdout that it is there, and in which program. */
#include <errno.h>
#include <stdio.h>

__attribute__((constructor)) static void mark(void)
{
	printf("marked %s\n", program_invocation_short_name);
	fflush(stdout);
}
