/* SPDX-License-Identifier: Apache-2.0 */
/* What a client's messages do: its ids, its process entry, the sums over all clients.
 *
 * A free is worth what its id was allocated with, whatever size it says. A live id that is
 * allocated again is freed first, so that totals move by the difference. A free of an id that is
 * not live is counted, and moves nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "server.h"

#define NO_POOL 256u /* out of range: the event is shown as in no total */

/* ---- The entry ------------------------------------------------------------------------------- */

/* Reports go nowhere from now on; the connection stays, as closing it would kill a client that
 * does not expect that (SIGPIPE). */
static void give_up(struct client *client, int error)
{
	client->uncounted = true;
	if (error == -EUSERS)
		log_about(client, "is not counted: %d clients are, which is the limit",
			  TALLY_PROXY_CLIENTS);
	else if (error == -EDQUOT)
		log_about(client, "is not counted: user %u has its share of %d clients that are",
			  (unsigned int)client->uid, TALLY_PROXY_CLIENTS);
	else
		log_about(client, "is not counted: %s", strerror(-error));
}

static bool begin(struct client *client)
{
	struct tally_ids_options options = { .shards = 1, .kept = 1 };
	int error;

	if (client->proxy)
		return true;
	if (client->uncounted)
		return false;
	client->volume = volumes_here(&client->gateway->volumes);
	if (!shares_entry(client->gateway, client->uid, client->volume))
		error = -EDQUOT;
	else
		error = tally_ids_create(&options, &client->ids);
	if (!error)
		error = volume_begin(client->volume, (uint32_t)client->pid, client->comm,
				     &client->proxy);
	if (error)
		give_up(client, error);
	return !error;
}

/* ---- Events ---------------------------------------------------------------------------------- */

static enum tally_id_kind kind_of(uint8_t type)
{
	switch (type) {
	case WIRE_CB_ALLOC:
	case WIRE_CB_FREE:
		return TALLY_ID_CB;
	case WIRE_KERNEL_LOAD:
	case WIRE_KERNEL_UNLOAD:
		return TALLY_ID_KERNEL;
	default:
		return TALLY_ID_BUFFER;
	}
}

static uint32_t pool_of(const struct wire_message *message)
{
	switch (message->type) {
	case WIRE_CB_ALLOC:
		return TALLY_POOL_CB;
	case WIRE_KERNEL_LOAD:
		return TALLY_POOL_KERNEL | (uint32_t)message->buffer_type << 24;
	default:
		return message->buffer_type;
	}
}

static void move(struct client *client, const struct tally_id_entry *entry, bool more)
{
	int64_t bytes = (int64_t)entry->size;

	aggregate_add(&client->gateway->aggregate, entry->device, entry->pool & 255,
		      more ? bytes : -bytes);
}

static void release(struct client *client, const struct tally_id_entry *was)
{
	tally_proxy_free(client->proxy, was->device, was->pool, was->id, was->size);
	move(client, was, false);
	client->live--;
	client->gateway->live--;
}

/* One client does not take from the others the room that there is. */
static bool has_room(const struct client *client)
{
	return client->gateway->live < GATEWAY_IDS &&
	       client->live <= 8 * (GATEWAY_IDS - client->gateway->live);
}

/* As tally_ids_put(); where there is no room an id may still have its own again. */
static int put(struct client *client, const struct tally_id_entry *entry,
	       struct tally_id_entry *ret_was)
{
	int error;

	if (has_room(client))
		return tally_ids_put(client->ids, entry, ret_was);
	if (tally_ids_take(client->ids, entry->device, (enum tally_id_kind)entry->kind, entry->id,
			   ret_was) != 1)
		return -ENOSPC;
	error = tally_ids_put(client->ids, entry, ret_was);
	if (error < 0)
		release(client, ret_was);
	return error < 0 ? error : 1;
}

static int admit(struct client *client, const struct tally_id_entry *entry)
{
	struct gateway *gateway = client->gateway;
	struct volume *volume = client->volume;
	uint32_t pool = entry->pool & 255;
	int error;

	if (volume_is_more(volume, entry->device, pool) &&
	    !shares_pair(gateway, client->uid, volume))
		return -EDQUOT;
	error = aggregate_admit(&gateway->aggregate, entry->device);
	return error ? error : volume_admit(volume, client->uid, entry->device, pool);
}

static void say_untracked(struct client *client, int error)
{
	if (client->untracked++)
		return;
	if (error == -EDQUOT)
		log_about(client,
			  "reports devices beyond user %u's share of the room that there is: not "
			  "all is counted, until it connects anew",
			  (unsigned int)client->uid);
	else
		log_about(client, "reports more ids or devices than there is room for: not all is "
				  "counted, until it connects anew");
}

static void allocated(struct client *client, const struct wire_message *message)
{
	struct tally_id_entry entry = {
		.id = message->buffer_id,
		.size = message->size,
		.pool = pool_of(message),
		.device = (uint16_t)message->device_id,
		.kind = (uint16_t)kind_of(message->type),
	};
	struct tally_id_entry was;
	int known = admit(client, &entry);

	if (!known) {
		known = put(client, &entry, &was);
	} else if (tally_ids_take(client->ids, entry.device, (enum tally_id_kind)entry.kind,
				  entry.id, &was) == 1) {
		client->reallocations++;
		release(client, &was); /* what it was is gone, wherever it is now */
	}
	if (known < 0) {
		say_untracked(client, known);
		tally_proxy_alloc(client->proxy, entry.device, NO_POOL, entry.id, entry.size);
		return;
	}
	if (known == 1) {
		client->reallocations++;
		release(client, &was);
	}
	tally_proxy_alloc(client->proxy, entry.device, entry.pool, entry.id, entry.size);
	move(client, &entry, true);
	client->live++;
	client->gateway->live++;
	if (client->gateway->options->log)
		log_event(client, message, &entry);
}

static void freed(struct client *client, const struct wire_message *message)
{
	struct tally_id_entry was;
	bool known = tally_ids_take(client->ids, (uint16_t)message->device_id,
				    kind_of(message->type), message->buffer_id, &was) == 1;

	if (known)
		release(client, &was);
	else
		client->unknown_frees++;
	if (client->gateway->options->log)
		log_event(client, message, known ? &was : NULL);
}

void books_take(struct client *client, const struct wire_message *message)
{
	if (!client->pid) /* of a PID namespace that ours does not see */
		client->pid = message->process_id;
	if (!begin(client)) {
		client->uncounted_messages++;
		return;
	}
	if (message->type == WIRE_ALLOC || message->type == WIRE_CB_ALLOC ||
	    message->type == WIRE_KERNEL_LOAD)
		allocated(client, message);
	else
		freed(client, message);
}

/* ---- The end --------------------------------------------------------------------------------- */

static int abandon(void *arg, const struct tally_id_entry *entry)
{
	move(arg, entry, false);
	return 1;
}

void books_close(struct client *client)
{
	uint64_t lost = client->untracked + client->uncounted_messages;

	if (client->unknown_frees || client->reallocations || client->wire.bad || lost)
		log_about(client,
			  "has ended: %" PRIu64 " frees of unknown ids, %" PRIu64
			  " allocations of live ids, %u bad messages, %" PRIu64 " in no total",
			  client->unknown_frees, client->reallocations, client->wire.bad, lost);
	if (client->proxy) {
		tally_ids_each(client->ids, abandon, client);
		client->gateway->live -= client->live;
		volumes_end(&client->gateway->volumes, client->volume, client->proxy);
	}
	tally_ids_destroy(client->ids);
}
