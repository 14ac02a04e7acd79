/* SPDX-License-Identifier: Apache-2.0 */
/* Pushing in the name of other processes: a joined region all of whose entries one process owns.
 *
 * Each client has an entry with its lock, taken through the one open file that the proxy keeps, and
 * is booked like any dead owner when the next one gets its entry. Events go past the lanes: a
 * record in the shared ring, sums in the entry's cells; so a client costs two pages, and none of a
 * lane's.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/proxy.h>
#include <unistd.h>

#include "producer/config.h"
#include "producer/state.h"
#include "ring/alive.h"
#include "ring/aside.h"
#include "ring/clock.h"
#include "ring/entries.h"
#include "ring/join.h"
#include "ring/owner.h"

#define ENTRIES (1u << GEOMETRY_PROCESSES_LOG2_MAX)

_Static_assert(TALLY_PROXY_CLIENTS == ENTRIES - 1, "all entries but the proxy's own");

struct tally_proxy_client {
	struct tally_proxy *proxy;
	struct cells cells;
	struct shared_ring ring;
	uint64_t tid; /* in its records: nobody says which thread it was */
};

struct tally_proxy {
	struct region region;
	int fd; /* of the file through which the locks are held */
	enum tally_clock clock;
	uint64_t ticket;
	struct tally_proxy_client *clients[ENTRIES]; /* by entry; 0 is the proxy's own */
	struct prune_room room;
};

/* ---- The region ------------------------------------------------------------------------------ */

static int configure(const struct tally_proxy_options *options, struct region_config *ret_config,
		     char name[REGION_NAME_MAX])
{
	uint32_t ring = options && options->ring ? options->ring : TALLY_PROXY_RING;
	char given[JOIN_NAME_MAX + 1];
	uint64_t random;
	int error;

	if ((ring & (ring - 1)) != 0 || ring < 1u << GEOMETRY_RING_LOG2_MIN ||
	    ring > 1u << GEOMETRY_RING_LOG2_MAX)
		return -EINVAL;
	error = owner_generation(&random);
	if (error)
		return error;
	config_load();
	snprintf(given, sizeof(given), "proxy-%d-%08" PRIx32, (int)getpid(), (uint32_t)random);
	join_name(name, given);
	*ret_config = (struct region_config){
		.dir = options && options->dir ? options->dir : producer_config.dir,
		.name = name,
		.shared_ring_log2 = (uint32_t)__builtin_ctz(ring),
		.processes_log2 = GEOMETRY_PROCESSES_LOG2_MAX,
	};
	return 0;
}

static int make(struct tally_proxy *proxy, const struct tally_proxy_options *options)
{
	char name[REGION_NAME_MAX];
	struct region_config config;
	struct tally_region_header *header;
	int error = configure(options, &config, name);

	if (!error)
		error = region_create(&config, &proxy->region);
	if (error)
		return error;
	proxy->fd = fcntl(proxy->region.fd, F_DUPFD_CLOEXEC, 0);
	error = proxy->fd < 0 ? -errno : region_publish(&proxy->region);
	if (error) {
		if (proxy->fd >= 0)
			close(proxy->fd);
		region_discard(&proxy->region);
		return error;
	}
	header = (struct tally_region_header *)proxy->region.base;
	proxy->clock = (enum tally_clock)header->clock;
	prune_now_and_then(&proxy->room, config.dir, proxy->region.id);
	return 0;
}

int tally_proxy_open(const struct tally_proxy_options *options, struct tally_proxy **ret_proxy)
{
	int saved_errno = errno, error = -ENOMEM;
	struct tally_proxy *proxy = calloc(1, sizeof(*proxy));

	if (proxy)
		error = make(proxy, options);
	if (error)
		free(proxy);
	else
		*ret_proxy = proxy;
	errno = saved_errno;
	return error;
}

void tally_proxy_close(struct tally_proxy *proxy)
{
	int saved_errno = errno;
	uint32_t entry;

	if (!proxy)
		return;
	for (entry = 1; entry < ENTRIES; entry++)
		if (proxy->clients[entry])
			tally_proxy_end(proxy->clients[entry]);
	build_say_goodbye(&proxy->region);
	region_unlink(&proxy->region);
	munmap(proxy->region.base, proxy->region.at.size);
	close(proxy->fd);
	free(proxy);
	errno = saved_errno;
}

/* ---- Clients --------------------------------------------------------------------------------- */

/* The first entry that neither a client has nor anybody who has joined by name. */
static int take_entry(struct tally_proxy *proxy)
{
	uint32_t entry;
	int error;

	for (entry = 1; entry < ENTRIES; entry++) {
		if (proxy->clients[entry])
			continue;
		error = alive_lock(proxy->fd, entry);
		if (error != -EAGAIN)
			return error ? error : (int)entry;
	}
	return -EUSERS;
}

/* Books what the entry's last owner has left, and writes down who has it now. */
static int enter(struct tally_proxy *proxy, uint32_t entry, uint32_t pid, const char *comm)
{
	struct region_config config = { .pid = pid, .comm = comm ? comm : "" };
	struct region region = proxy->region; /* as the owner of that entry sees it */
	struct tally_process_header *process;
	uint64_t generation;
	int error = owner_generation(&generation);

	region.entry = entry;
	process = region_process(region.base, &region.at, entry);
	if (!error)
		error = region_reserve(&region, (size_t)((unsigned char *)process - region.base),
				       TALLY_PAGE);
	/* relaxed: nobody else owns the entry; without pages it never had an owner */
	if (!error && tally_load_relaxed(&process->cell_pages))
		error = owner_book(&region);
	if (!error)
		owner_begin(&region, &config, generation);
	return error;
}

int tally_proxy_begin(struct tally_proxy *proxy, uint32_t pid, const char *comm,
		      struct tally_proxy_client **ret_client)
{
	struct tally_proxy_client *client = calloc(1, sizeof(*client));
	int saved_errno = errno, entry = client ? take_entry(proxy) : -ENOMEM;
	int error = entry < 0 ? entry : enter(proxy, (uint32_t)entry, pid, comm);

	if (error) {
		if (entry > 0)
			alive_unlock(proxy->fd, (uint32_t)entry);
		free(client);
	} else {
		client->proxy = proxy;
		client->cells = cells_of(&proxy->region, (uint32_t)entry);
		client->ring = shared_of(&proxy->region, (uint32_t)entry);
		client->tid = pid & 0x3fffff;
		proxy->clients[entry] = client;
		*ret_client = client;
	}
	errno = saved_errno;
	return error;
}

void tally_proxy_end(struct tally_proxy_client *client)
{
	struct tally_proxy *proxy = client->proxy;
	int saved_errno = errno;

	/* relaxed: one word that stands by itself */
	tally_store_relaxed(&client->cells.process->ended_ns, clock_monotonic_ns());
	alive_unlock(proxy->fd, client->ring.entry);
	proxy->clients[client->ring.entry] = NULL;
	free(client);
	errno = saved_errno;
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void push(struct tally_proxy_client *client, enum tally_kind kind, uint32_t device,
		 uint32_t pool, uint64_t buffer_id, uint64_t size)
{
	struct tally_proxy *proxy = client->proxy;
	struct shared_event event = {
		.time = clock_ticks(proxy->clock),
		.kind = kind,
		.buffer_id = buffer_id,
		.size = size,
		.where = lane_where(device, pool) | client->tid,
	};
	int saved_errno = errno;

	if (lane_in_range(device, pool))
		aside_count(&client->cells, &client->ring, &event, true, &proxy->ticket);
	else
		cells_reject(&client->cells);
	errno = saved_errno;
}

void tally_proxy_alloc(struct tally_proxy_client *client, uint32_t device, uint32_t pool,
		       uint64_t buffer_id, uint64_t size)
{
	push(client, TALLY_KIND_ALLOC, device, pool, buffer_id, size);
}

void tally_proxy_free(struct tally_proxy_client *client, uint32_t device, uint32_t pool,
		      uint64_t buffer_id, uint64_t size)
{
	push(client, TALLY_KIND_FREE, device, pool, buffer_id, size);
}

void tally_proxy_alloc_failed(struct tally_proxy_client *client, uint32_t device, uint32_t pool,
			      uint64_t size)
{
	push(client, TALLY_KIND_ALLOC_FAILED, device, pool, 0, size);
}

int tally_proxy_describe(struct tally_proxy *proxy, uint32_t device,
			 const struct tally_device_info *info)
{
	struct tally_device_entry entry;
	int saved_errno = errno, result;

	if (device >= TALLY_DEVICES || !info)
		return -EINVAL;
	describe_device(device, info, &entry);
	result = entries_device(&proxy->region, &entry);
	errno = saved_errno;
	return result < 0 ? result : 0;
}
