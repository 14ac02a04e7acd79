/* SPDX-License-Identifier: Apache-2.0 */
/* Lines that are written by a thread of their own; see spool.h. */
#include "spool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_ROOM 4096u
#define KEPT_ROOM 65536u /* what is not given back between lines */

struct buffer {
	char *bytes;
	size_t size, room;
};

struct spool {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct buffer next; /* for the thread to take */
	unsigned long dropped;
	bool ending, ended;
};

/* ---- The thread ------------------------------------------------------------------------------ */

/* What cannot be written is nobody's any more. */
static void write_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t done = write(fd, bytes, size);

		if (done < 0 && errno == EAGAIN) /* others have made it so */
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
		else if (done < 0 && errno != EINTR)
			return;
		if (done < 0)
			continue;
		bytes += done;
		size -= (size_t)done;
	}
}

static void *run(void *arg)
{
	struct spool *spool = arg;
	struct buffer taken = { 0 };

	pthread_mutex_lock(&spool->lock);
	for (;;) {
		struct buffer empty = taken;

		while (!spool->next.size && !spool->ending)
			pthread_cond_wait(&spool->changed, &spool->lock);
		if (!spool->next.size)
			break;
		taken = spool->next;
		empty.size = 0;
		spool->next = empty;
		pthread_mutex_unlock(&spool->lock);
		write_all(spool->fd, taken.bytes, taken.size);
		if (taken.room > KEPT_ROOM) {
			free(taken.bytes);
			taken = (struct buffer){ 0 };
		}
		pthread_mutex_lock(&spool->lock);
	}
	spool->ended = true;
	pthread_cond_broadcast(&spool->changed);
	pthread_mutex_unlock(&spool->lock);
	free(taken.bytes);
	return NULL;
}

int spool_open(int fd, struct spool **ret_spool)
{
	struct spool *spool = calloc(1, sizeof(*spool));
	sigset_t all, before;
	pthread_condattr_t clock;
	int error;

	if (!spool)
		return -ENOMEM;
	spool->fd = fd;
	pthread_mutex_init(&spool->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&spool->changed, &clock);
	pthread_condattr_destroy(&clock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&spool->thread, NULL, run, spool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		free(spool);
		return -EAGAIN;
	}
	*ret_spool = spool;
	return 0;
}

/* ---- Who prints ------------------------------------------------------------------------------ */

static bool append(struct buffer *buffer, const char *line, size_t length)
{
	size_t room = buffer->room ? buffer->room : FIRST_ROOM;
	char *bytes;

	while (buffer->size + length > room)
		room *= 2;
	if (room > SPOOL_MAX)
		return false;
	if (room > buffer->room) {
		bytes = realloc(buffer->bytes, room);
		if (!bytes)
			return false;
		buffer->bytes = bytes;
		buffer->room = room;
	}
	memcpy(buffer->bytes + buffer->size, line, length);
	buffer->size += length;
	return true;
}

/* With the lock. */
static void add(struct spool *spool, const char *line, size_t length)
{
	char told[96];
	int size;

	if (spool->dropped) {
		size = snprintf(told, sizeof(told), "(%lu lines that nobody read were dropped)\n",
				spool->dropped);
		if (append(&spool->next, told, (size_t)size))
			spool->dropped = 0;
	}
	if (spool->dropped || !append(&spool->next, line, length))
		spool->dropped++;
}

void spool_print(struct spool *spool, const char *format, ...)
{
	char line[SPOOL_LINE_MAX];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if ((size_t)length >= sizeof(line)) {
		length = sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	pthread_mutex_lock(&spool->lock);
	add(spool, line, (size_t)length);
	pthread_cond_signal(&spool->changed);
	pthread_mutex_unlock(&spool->lock);
}

void spool_close(struct spool *spool)
{
	struct timespec until;
	bool ended;

	if (!spool)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&spool->lock);
	spool->ending = true;
	pthread_cond_broadcast(&spool->changed);
	while (!spool->ended)
		if (pthread_cond_timedwait(&spool->changed, &spool->lock, &until) == ETIMEDOUT)
			break;
	ended = spool->ended;
	pthread_mutex_unlock(&spool->lock);
	if (!ended) { /* it still hangs in its write, and the memory is its */
		pthread_detach(spool->thread);
		return;
	}
	pthread_join(spool->thread, NULL);
	pthread_mutex_destroy(&spool->lock);
	pthread_cond_destroy(&spool->changed);
	free(spool->next.bytes);
	free(spool);
}
