/* SPDX-License-Identifier: Apache-2.0 */
/* Names and descriptions in a region: tags, pools, devices. Entries are written once, then stay.
 */
#ifndef RING_ENTRIES_H
#define RING_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/abi.h>

#include "ring/region.h"

/* The number (1 ..) of the tag `name`, interned on first use; 0: the table is full or memory is
 * short. Any thread. */
uint32_t entries_tag(struct region *region, const char *name);

/* Names a pool. 0, -EEXIST: it has another name, -ENOSPC: no memory. Any thread. */
int entries_pool(struct region *region, uint32_t pool, const char *name);

/* Adds a description; `entry`'s state does not matter. The index, or -ENOSPC. Of several entries
 * for a device the last one counts; one that says the same as that is not added again. Any
 * thread. */
int entries_device(struct region *region, const struct tally_device_entry *entry);

/* Readers: copies of what is valid. Text is made printable and zero-terminated. False: none. */
bool entries_read_pool(unsigned char *base, const struct geometry *at, uint32_t pool,
		       struct tally_pool_entry *ret_entry);
bool entries_read_tag(unsigned char *base, const struct geometry *at, uint32_t index,
		      struct tally_tag_entry *ret_entry);
bool entries_read_device(unsigned char *base, const struct geometry *at, uint32_t index,
			 struct tally_device_entry *ret_entry);

/* Copies text of unknown origin: cut at size - 1 bytes, all but printable ASCII becomes '?'. */
void entries_printable(char *to, size_t size, const char *from, size_t from_size);

#endif
