/* SPDX-License-Identifier: Apache-2.0 */
/* A library that pushes, to be loaded and unloaded: once as it is loaded, once as it is unloaded,
 * and whenever plug_push() is called. On device 5, pool dram, 7 bytes each. */
#include <tally/tally.h>

void plug_push(void);

void plug_push(void)
{
	tally_alloc(5, TALLY_POOL_DRAM, 7, 7);
}

__attribute__((constructor)) static void loaded(void)
{
	plug_push();
}

__attribute__((destructor)) static void unloaded(void)
{
	plug_push();
}
