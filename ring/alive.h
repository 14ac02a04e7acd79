/* SPDX-License-Identifier: Apache-2.0 */
/* Liveness is the kernel's word: a lock on one byte of the region's file.
 *
 * An open-file-description lock belongs to the open file, and a shared mapping keeps the open file
 * after its descriptor is closed. So the process that made the mapping holds the lock until it
 * dies or execs, with no descriptor left for anyone to close or inherit; a fork child, which does
 * not get the mapping (MADV_DONTFORK), does not hold it. Process ids play no part.
 */
#ifndef RING_ALIVE_H
#define RING_ALIVE_H

#include "ring/geometry.h"

/* Entries that a region can have. The byte behind the last one is the gate: who joins holds it
 * together with others that join, who removes the file holds it alone. */
#define ALIVE_ENTRIES (1u << GEOMETRY_PROCESSES_LOG2_MAX)

/* For alive_lock(): the byte of the consumer that a lossless region waits for. */
#define ALIVE_READER (ALIVE_ENTRIES + 1)

/* Takes the lock of process entry `entry` through a descriptor open for writing.
 * 0, -EAGAIN when another holds it, or another negative errno. */
int alive_lock(int fd, unsigned int entry);

/* Gives it back. */
void alive_unlock(int fd, unsigned int entry);

/* Takes the gate: to join, or to remove the file. Given back when the open file goes, or by
 * alive_leave_gate(). As alive_lock(). */
int alive_join_gate(int fd);
int alive_gate_is_shut(int fd); /* 1 if who joins would not get it, else 0 or a negative errno */
int alive_remove_gate(int fd);
void alive_leave_gate(int fd);

/* 1 if the lock of that entry, or of any of `count` from `first` on, is held by anyone but this
 * open file, 0 if not, or a negative errno. A read-only descriptor will do. */
int alive_test(int fd, unsigned int entry);
int alive_test_some(int fd, unsigned int first, unsigned int count);

/* Takes the locks of all entries and the gate, so that nobody joins. As alive_lock(). */
int alive_lock_all(int fd);

#endif
