/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for a descriptor that may not be read: a thread writes them, and who prints never waits.
 *
 * What has not been written yet takes memory, SPOOL_MAX bytes at most; lines beyond are dropped,
 * and counted in a line when there is room again.
 */
#ifndef GATEWAY_SPOOL_H
#define GATEWAY_SPOOL_H

#define SPOOL_MAX (32u << 20)
#define SPOOL_LINE_MAX 512

struct spool;

/* -ENOMEM, -EAGAIN: no thread could be made. The descriptor stays the caller's. */
int spool_open(int fd, struct spool **ret_spool);

/* A line, its end included; cut to SPOOL_LINE_MAX bytes. */
void spool_print(struct spool *spool, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Waits until all has been written, up to a second. NULL does nothing. */
void spool_close(struct spool *spool);

#endif
