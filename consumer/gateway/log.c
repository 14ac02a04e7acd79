/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway prints: words on stderr; on stdout events and lists, as the socket server did.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server.h"

#define SAID_MAX 20 /* lines about connections in a second */

/* ---- Words ----------------------------------------------------------------------------------- */

void log_say(struct gateway *gateway, const char *format, ...)
{
	char line[SPOOL_LINE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	spool_print(gateway->err, "tally: %s\n", line);
}

void log_about(struct client *client, const char *format, ...)
{
	struct gateway *gateway = client->gateway;
	uint64_t now_ns = server_now_ns();
	char line[SPOOL_LINE_MAX / 2];
	va_list arguments;

	if (now_ns - gateway->said_ns > 1000000000u) {
		if (gateway->unsaid)
			log_say(gateway, "%u more lines about clients were left out",
				gateway->unsaid);
		gateway->said_ns = now_ns;
		gateway->said = gateway->unsaid = 0;
	}
	if (gateway->said++ >= SAID_MAX) {
		gateway->unsaid++;
		return;
	}
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	log_say(gateway, "client %d (%s) %s", (int)client->pid, client->comm, line);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static const char *type_name(uint32_t pool)
{
	static const char *const names[] = { "DRAM", "L1", "SYSTEM_MEMORY", "L1_SMALL", "TRACE" };

	return names[pool];
}

static const char *kernel_name(uint32_t pool)
{
	static const char *const names[] = { "Application", "Fabric", "Dispatch" };

	return names[pool >> 24];
}

/* Of 1,048,576 bytes. */
static double megabytes(int64_t bytes)
{
	return (double)bytes / (1024.0 * 1024.0);
}

static void log_program(struct client *client, const char *word, char sign, const char *which,
			const struct tally_id_entry *entry)
{
	int64_t total = aggregate_own(&client->gateway->aggregate, entry->device,
				      entry->pool & 255);

	spool_print(client->gateway->out, "%s %s: %c%g MB (Total: %g MB)\n", word, which, sign,
		    megabytes((int64_t)entry->size), megabytes(total));
}

void log_event(struct client *client, const struct wire_message *message,
	       const struct tally_id_entry *entry)
{
	struct spool *out = client->gateway->out;
	char which[64];

	if (!entry) {
		spool_print(out,
			    "⚠ [PID %d] Deallocation for unknown buffer %" PRIu64 " on device %d\n",
			    (int)client->pid, message->buffer_id, message->device_id);
		return;
	}
	if (entry->kind == TALLY_ID_KERNEL)
		snprintf(which, sizeof(which), "%s kernel on Device %d", kernel_name(entry->pool),
			 message->device_id);
	else
		snprintf(which, sizeof(which), "Device %d", message->device_id);
	switch (message->type) {
	case WIRE_ALLOC:
		spool_print(out,
			    "✓ [PID %d] Allocated %" PRIu64
			    " bytes of %s on device %d (buffer_id=%" PRIu64 ")\n",
			    (int)client->pid, entry->size, type_name(entry->pool),
			    message->device_id, entry->id);
		break;
	case WIRE_FREE:
		spool_print(out,
			    "✗ [PID %d] Freed buffer %" PRIu64 " on device %d (%" PRIu64
			    " bytes, FINAL)\n",
			    (int)client->pid, entry->id, message->device_id, entry->size);
		break;
	case WIRE_CB_ALLOC:
		log_program(client, "✓ [CB_ALLOC]", '+', which, entry);
		break;
	case WIRE_CB_FREE:
		log_program(client, "✗ [CB_FREE]", '-', which, entry);
		break;
	case WIRE_KERNEL_LOAD:
		log_program(client, "✓ [KERNEL_LOAD]", '+', which, entry);
		break;
	case WIRE_KERNEL_UNLOAD:
		log_program(client, "✗ [KERNEL_UNLOAD]", '-', which, entry);
		break;
	}
}

/* ---- Lists ----------------------------------------------------------------------------------- */

struct list {
	struct client *client;
	bool kernels;
	uint64_t count, bytes;
};

static int list_entry(void *arg, const struct tally_id_entry *entry)
{
	struct list *list = arg;
	const char *type = "CB";

	if (list->kernels && entry->kind != TALLY_ID_KERNEL)
		return 1;
	if (entry->kind == TALLY_ID_KERNEL)
		type = kernel_name(entry->pool);
	else if (entry->kind == TALLY_ID_BUFFER)
		type = type_name(entry->pool);
	if (list->count < GATEWAY_LIST_MAX)
		spool_print(list->client->gateway->out,
			    "  [PID %d] device %u %s %s %" PRIu64 ": %" PRIu64 " bytes\n",
			    (int)list->client->pid, entry->device, type,
			    entry->kind == TALLY_ID_KERNEL ? "kernel" : "buffer", entry->id,
			    entry->size);
	list->count++;
	list->bytes += entry->size;
	return 1;
}

void log_list(struct gateway *gateway, bool kernels)
{
	struct list list = { .kernels = kernels };
	struct client *client;

	spool_print(gateway->out, "%s:\n", kernels ? "Kernels loaded" : "Buffers held");
	for (client = gateway->clients; client; client = client->next) {
		list.client = client;
		if (client->proxy)
			tally_ids_each(client->ids, list_entry, &list);
	}
	if (list.count > GATEWAY_LIST_MAX)
		spool_print(gateway->out, "  and %" PRIu64 " more\n",
			    list.count - GATEWAY_LIST_MAX);
	spool_print(gateway->out, "%" PRIu64 " of them, %" PRIu64 " bytes\n", list.count,
		    list.bytes);
}
