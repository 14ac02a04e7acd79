/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: who is there, what comes, what is answered. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

#define OUT_ROOM 1024u /* at first, and what is kept */

/* ---- Answers --------------------------------------------------------------------------------- */

static bool watch_for_room(struct client *client, bool writes)
{
	struct epoll_event event = {
		.events = (client->ends ? 0u : (uint32_t)EPOLLIN) |
			  (writes ? (uint32_t)EPOLLOUT : 0u),
		.data.ptr = client,
	};

	client->writes = writes;
	return epoll_ctl(client->gateway->epoll_fd, EPOLL_CTL_MOD, client->fd, &event) == 0;
}

static void drop_sent(struct out *out, size_t sent)
{
	out->size -= sent;
	if (out->size) {
		memmove(out->bytes, out->bytes + sent, out->size);
	} else if (out->room > OUT_ROOM) {
		free(out->bytes);
		*out = (struct out){ 0 };
	}
}

/* False: nobody is there any more. */
static bool flush(struct client *client)
{
	struct out *out = &client->out;
	ssize_t sent;

	if (out->size) {
		sent = send(client->fd, out->bytes, out->size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent > 0)
			drop_sent(out, (size_t)sent);
	}
	if (client->ends && !out->size)
		return false;
	if ((out->size > 0) != client->writes)
		return watch_for_room(client, out->size > 0);
	return true;
}

static bool queue(struct client *client, const unsigned char *bytes, size_t size)
{
	struct out *out = &client->out;
	size_t room = out->room ? out->room : OUT_ROOM;
	unsigned char *more;

	if (out->size + size > GATEWAY_OUT_MAX && !flush(client))
		return false;
	if (out->size + size > GATEWAY_OUT_MAX) {
		log_about(client, "is closed: it does not read its answers");
		return false;
	}
	while (room < out->size + size)
		room *= 2;
	if (room > out->room) {
		more = realloc(out->bytes, room);
		if (!more)
			return false;
		out->bytes = more;
		out->room = room;
	}
	memcpy(out->bytes + out->size, bytes, size);
	out->size += size;
	return true;
}

static bool answer(struct client *client, const struct wire_message *question)
{
	struct wire_reply reply;
	unsigned int layout = wire_layout(&client->wire);

	aggregate_answer(&client->gateway->aggregate, question, &reply);
	wire_encode(&reply, layout, client->answer);
	return queue(client, client->answer, layout);
}

/* Its layout is larger than was assumed: the answer goes on, where it can. */
static bool answer_rest(struct client *client, const struct wire_message *question)
{
	unsigned int layout = wire_layout(&client->wire), sent = client->wire.answered_before;
	unsigned char first[WIRE_MAX];
	struct wire_reply reply;

	memcpy(first, client->answer, sent);
	aggregate_answer(&client->gateway->aggregate, question, &reply);
	/* What all layouts share was told already, and stays as it was told. */
	memcpy(&reply.dram, first + offsetof(struct wire_head, dram), 8);
	memcpy(&reply.l1, first + offsetof(struct wire_head, l1), 8);
	memcpy(&reply.l1_small, first + offsetof(struct wire_head, l1_small), 8);
	memcpy(&reply.trace, first + offsetof(struct wire_head, trace), 8);
	wire_encode(&reply, layout, client->answer);
	if (memcmp(first, client->answer, sent) != 0) {
		if (!wire_can_go_on(&client->wire)) {
			log_about(client,
				  "is closed: its first question came in pieces, %d ms apart",
				  WIRE_GRACE_LONG_MS);
			return false;
		}
		log_about(client, "has one answer that begins as a smaller layout's does: its "
				  "first question came in pieces");
	}
	return queue(client, client->answer + sent, layout - sent);
}

/* ---- Waiting for a first question's end ------------------------------------------------------ */

static void wait_begin(struct client *client)
{
	struct gateway *gateway = client->gateway;
	struct client *before = gateway->last_waiting;

	client->settle_ns = server_now_ns() + wire_grace_ms(&client->wire) * 1000000ull;
	while (before && before->settle_ns > client->settle_ns)
		before = before->before_waiting;
	client->before_waiting = before;
	client->next_waiting = before ? before->next_waiting : gateway->waiting;
	if (before)
		before->next_waiting = client;
	else
		gateway->waiting = client;
	if (client->next_waiting)
		client->next_waiting->before_waiting = client;
	else
		gateway->last_waiting = client;
}

static void wait_end(struct client *client)
{
	struct gateway *gateway = client->gateway;

	if (!client->settle_ns)
		return;
	client->settle_ns = 0;
	if (client->before_waiting)
		client->before_waiting->next_waiting = client->next_waiting;
	else
		gateway->waiting = client->next_waiting;
	if (client->next_waiting)
		client->next_waiting->before_waiting = client->before_waiting;
	else
		gateway->last_waiting = client->before_waiting;
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void say_lost(struct client *client)
{
	const struct wire *wire = &client->wire;
	char hex[3 * WIRE_REQUEST + 1] = "";
	size_t n;

	for (n = 0; n < wire->shown; n++)
		snprintf(hex + 3 * n, 4, " %02x", wire->part[n]);
	log_about(client, "is closed after %llu messages: %s%s; there came%s",
		  (unsigned long long)wire->messages, wire->why,
		  wire->layout ? "" : ", and its layout is none of the four", hex);
}

static void say_bad(struct client *client, const struct wire_message *message)
{
	if (client->wire.bad > 1) /* the others are counted */
		return;
	log_about(client, "sent a message with %s: type %u, device %d, size %llu, buffer type %u",
		  client->wire.why, message->type, message->device_id,
		  (unsigned long long)message->size, message->buffer_type);
}

static bool take(struct client *client, const struct wire_message *message)
{
	client->gateway->messages++;
	switch (message->type) {
	case WIRE_QUERY:
	case WIRE_DEVICE_INFO_QUERY:
		return answer(client, message);
	case WIRE_DUMP_REMAINING:
		client->gateway->dump_buffers = true;
		return true;
	case WIRE_DUMP_KERNELS:
		client->gateway->dump_kernels = true;
		return true;
	default:
		books_take(client, message);
		return true;
	}
}

static bool take_all(struct client *client, const unsigned char *bytes, size_t size)
{
	struct wire_message message;
	bool stays = true;

	while (stays) {
		switch (wire_next(&client->wire, &bytes, &size, &message)) {
		case WIRE_MESSAGE:
			stays = take(client, &message);
			break;
		case WIRE_REST:
			stays = answer_rest(client, &message);
			break;
		case WIRE_BAD:
			say_bad(client, &message);
			/* Who asks is waiting, whatever the question. */
			if (wire_is_question(message.type))
				stays = answer(client, &message);
			break;
		case WIRE_MORE:
			return true;
		case WIRE_LOST:
			say_lost(client);
			return false;
		}
	}
	return false;
}

static bool settle(struct client *client)
{
	struct wire_message message;

	if (wire_settle(&client->wire, &message) == WIRE_REST)
		return answer_rest(client, &message);
	return take(client, &message);
}

bool client_read(struct client *client)
{
	unsigned char *bytes = client->gateway->bytes;
	ssize_t got = recv(client->fd, bytes, READ_BYTES, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0) { /* it may have asked, and read on */
		wait_end(client);
		client->ends = true;
		if (wire_waits(&client->wire) && !settle(client))
			return false;
		client->writes = false; /* so that it is listened to no more */
		return flush(client);
	}
	if (!take_all(client, bytes, (size_t)got)) {
		flush(client);
		return false;
	}
	wait_end(client);
	if (wire_waits(&client->wire))
		wait_begin(client);
	return flush(client);
}

/* It may have been us who had no time: what has come meanwhile tells more. */
bool client_settle(struct client *client)
{
	char byte;

	if (recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		return client_read(client);
	wait_end(client);
	return settle(client) && flush(client);
}

bool client_write(struct client *client)
{
	return flush(client);
}

/* ---- Begin and end --------------------------------------------------------------------------- */

static void find_out_who(struct client *client, const struct ucred *peer)
{
	char path[64];
	ssize_t got;
	size_t n;
	int fd;

	snprintf(client->comm, sizeof(client->comm), "?");
	client->pid = peer->pid;
	client->uid = peer->uid;
	client->wire.peer_pid = peer->pid;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)peer->pid);
	fd = peer->pid ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	got = read(fd, client->comm, sizeof(client->comm) - 1);
	close(fd);
	client->comm[got > 0 ? got : 0] = '\0';
	client->comm[strcspn(client->comm, "\n")] = '\0';
	for (n = 0; client->comm[n]; n++)
		if (client->comm[n] < ' ' || client->comm[n] > '~')
			client->comm[n] = '?';
}

struct client *client_open(struct gateway *gateway, int fd, const struct ucred *peer)
{
	struct client *client = calloc(1, sizeof(*client));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

	if (!client || epoll_ctl(gateway->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		free(client);
		close(fd);
		return NULL;
	}
	client->gateway = gateway;
	client->fd = fd;
	find_out_who(client, peer);
	client->next = gateway->clients;
	if (client->next)
		client->next->before = client;
	gateway->clients = client;
	gateway->client_count++;
	gateway->served++;
	return client;
}

void client_close(struct client *client)
{
	struct gateway *gateway = client->gateway;

	wait_end(client);
	books_close(client);
	close(client->fd);
	if (client->before)
		client->before->next = client->next;
	else
		gateway->clients = client->next;
	if (client->next)
		client->next->before = client->before;
	gateway->client_count--;
	free(client->out.bytes);
	free(client);
}
