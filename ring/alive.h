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

/* Entries that a region can have; who removes a file locks them all. */
#define ALIVE_ENTRIES (1u << GEOMETRY_PROCESSES_LOG2_MAX)

/* Takes the lock of process entry `entry` through a descriptor open for writing.
 * 0, -EAGAIN when another holds it, or another negative errno. */
int alive_lock(int fd, unsigned int entry);

/* Takes the locks of all entries but `entry`, which is the caller's own: nobody else lives in the
 * region, and nobody can join it while this open file has them. As alive_lock(). */
int alive_lock_others(int fd, unsigned int entry);

/* 1 if the lock of that entry is held by anyone but this open file, 0 if not, or a negative errno.
 * A read-only descriptor will do. */
int alive_test(int fd, unsigned int entry);

/* The same for all entries at once, as a region that nobody joined has but one. Who holds all of
 * them keeps everybody out. */
int alive_lock_all(int fd);
int alive_test_all(int fd);

#endif
