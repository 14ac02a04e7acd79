/* SPDX-License-Identifier: Apache-2.0 */
/* A statically linked program: no preload reaches it. Exits with 7. */
#include <stdio.h>

int main(void)
{
	puts("hello, static world");
	return 7;
}
