/* SPDX-License-Identifier: Apache-2.0 */
/* What Tally sees, published as the runtime publishes its totals: a file per chip, for readers that
 * know no other way (tally/chip_file.h; /dev/shm/tt_device_<chip>_memory).
 *
 * A device is published in the file of its chip: its stable id where that is a decimal number and
 * one of this user's own processes describes it so, else the device's own number. It stays there as
 * long as it is published. One that has not been seen for long is let go, and its descriptor with
 * it. dram, l1, l1_small, trace and cb have a field; system memory, kernels
 * and named pools have none and are not published. Of more than 64 processes the largest get a
 * slot; the totals count all. A balance below zero is published as zero.
 *
 * A device is refused, with a line, as long as its totals are a live runtime's: the snapshot says
 * that a living process is in such a file of this user's, or the chip's file has a living process's
 * slot, or is open for writing by anybody, or another gateway has its lock. A file that nobody uses
 * is taken over if it is this user's. One that a runtime begins to use while it is published is
 * given up: what was ours is taken back out of it, and nothing that the runtime has counted is
 * lost. As soon as it is nobody's the device is published again.
 *
 * What the gateway has made it removes again, when the device is let go and when publishing ends,
 * if nobody has it open (chip_make.c). A file that was there before stays: runtimes do not remove
 * theirs, and who has one mapped would watch a file that nobody writes to. So does one that
 * somebody has open. They hold zeros then, and no slot is in use; they keep a mark by which Tally
 * tells them from a runtime's.
 */
#ifndef GATEWAY_PUBLISH_H
#define GATEWAY_PUBLISH_H

#include <stdint.h>
#include <tally/consumer.h>

/* So many files at most are held, and so many that were made here are there; devices beyond are
 * refused, with a line about the first. */
#define PUBLISH_CHIPS_MAX 256

/* A device that was in so many snapshots in a row no more is let go: no process holds anything on
 * it, and none of this user's describes it; nor, if its file was made here, has anybody that open.
 * 5 s, of a gateway's. */
#define PUBLISH_UNSEEN_MAX 20

struct publish;

/* Told once each time that the reason becomes another: "device 3: ...", one line. */
typedef void (*publish_say)(void *say_arg, const char *line);

/* dir: NULL: /dev/shm. version: 3 or 4. -EINVAL: another; -ENOENT, -EACCES, ...: the directory
 * cannot be opened; -ENOMEM. */
int publish_open(const char *dir, uint32_t version, publish_say say, void *say_arg,
		 struct publish **ret_publish);

/* Publishes a snapshot of a consumer of everything; what is totals_only in it is left out. A device
 * that is no longer in it is published with nothing, PUBLISH_UNSEEN_MAX times or more. 0, also when
 * devices were refused; -ENOMEM. */
int publish_update(struct publish *publish, const struct tally_snapshot *snapshot);

/* Zeroes what is published, or removes it. NULL does nothing. */
void publish_close(struct publish *publish);

#endif
