/* SPDX-License-Identifier: Apache-2.0 */
/* Within the server: what it has, a connection, and what is printed of both. */
#ifndef GATEWAY_SERVER_H
#define GATEWAY_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <tally/ids.h>
#include <tally/proxy.h>

#include "aggregate.h"
#include "gateway.h"
#include "publishing.h"
#include "socket.h"
#include "spool.h"
#include "volumes.h"
#include "wire.h"

#define READ_BYTES 262144

/* Bytes that wait to be sent. */
struct out {
	unsigned char *bytes;
	size_t size, room;
};

struct client {
	struct client *next, *before; /* of all */
	struct client *next_waiting, *before_waiting;
	struct gateway *gateway;

	int fd;
	pid_t pid; /* of the socket's other end, or as the first message says where that has none */
	uid_t uid; /* of that end */
	char comm[24];
	struct wire wire;
	struct out out;
	unsigned char answer[WIRE_MAX]; /* the last, while it may have to go on */
	uint64_t settle_ns;		/* CLOCK_MONOTONIC; 0: it is not waiting */
	bool writes;			/* epoll says when there is room */
	bool ends;			/* it has said all, and is closed once it has its answers */

	/* From its first report on. */
	struct tally_proxy_client *proxy;
	struct volume *volume;
	struct tally_ids *ids;
	uint64_t live; /* ids */
	bool uncounted;
	uint64_t reallocations, unknown_frees, untracked, uncounted_messages;
};

struct gateway {
	const struct gateway_options *options;
	struct socket_place place;
	int epoll_fd, signal_fd, spare_fd;
	struct volumes volumes;
	struct aggregate aggregate;
	struct spool *out, *err;
	struct publishing *publishing; /* or NULL */

	struct client *clients;
	struct client *waiting, *last_waiting; /* for a moment to pass; the first is due first */
	size_t client_count;
	uint64_t live; /* ids of all clients */

	bool dump_buffers, dump_kernels; /* wanted */
	uint64_t dump_ns;		 /* not before */
	uint64_t said_ns;		 /* the second that lines are counted in */
	unsigned int said, unsaid;
	uint64_t served, messages;
	uid_t uid; /* our own */
	uint64_t share_said_ns, share_refusals;

	unsigned char bytes[READ_BYTES]; /* what has just been read */
};

/* ---- shares.c: what one user may have -------------------------------------------------------- */

/* Whether a user may have a connection more, or be counted there with a client more, or with a pair
 * of device and pool more. */
bool shares_connection(const struct gateway *gateway, uid_t uid);
bool shares_entry(const struct gateway *gateway, uid_t uid, const struct volume *volume);
bool shares_pair(const struct gateway *gateway, uid_t uid, const struct volume *volume);

/* Says that a connection was refused, once in a second at most. */
void shares_refuse(struct gateway *gateway, uid_t uid);

/* ---- client.c: a connection ------------------------------------------------------------------ */

/* Takes over the descriptor; peer is its other end. NULL: no memory. */
struct client *client_open(struct gateway *gateway, int fd, const struct ucred *peer);

/* What it holds is abandoned. */
void client_close(struct client *client);

/* Reads what has come; sends what waits. False: to be closed. */
bool client_read(struct client *client);
bool client_write(struct client *client);

/* A moment has passed since its first question. False: to be closed. */
bool client_settle(struct client *client);

/* ---- books.c: what its messages do ----------------------------------------------------------- */

void books_take(struct client *client, const struct wire_message *message);
void books_close(struct client *client);

/* ---- log.c: lines ---------------------------------------------------------------------------- */

/* A word on stderr; of a connection, but not more than some in a second. */
void log_say(struct gateway *gateway, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void log_about(struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --log: an event, as the socket server said it. entry: what the id has, or had; NULL: unknown. */
void log_event(struct client *client, const struct wire_message *message,
	       const struct tally_id_entry *entry);

/* What all clients hold; or of it the kernels. */
void log_list(struct gateway *gateway, bool kernels);

/* ---- server.c -------------------------------------------------------------------------------- */

uint64_t server_now_ns(void);

#endif
