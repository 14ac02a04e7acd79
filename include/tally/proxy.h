/* SPDX-License-Identifier: Apache-2.0 */
/* Reporting for others: a server that hears of allocations by some other way, such as a socket,
 * pushes them in the name of the processes that made them.
 *
 *	tally_proxy_open(NULL, &proxy);
 *	tally_proxy_begin(proxy, peer_pid, "trainer", &client);
 *	tally_proxy_alloc(client, device, TALLY_POOL_DRAM, address, bytes);
 *	...
 *	tally_proxy_end(client);
 *
 * All of it is in one region of the server's, in which each client has a process entry of its own:
 * consumers show it by its own PID and name, and once it has ended, or the server has died, what
 * it held is abandoned as that of any process that died. The server itself has an entry, too, with
 * nothing in it. It is independent of TALLY and the other variables, but for TALLY_DIR.
 *
 * One thread at a time uses a proxy and its clients. Not for fork children: a child must neither
 * use nor close what its parent opened, and as long as one lives that has not called exec the
 * clients live, too, whatever became of the server. Nothing is printed, errno is kept; calls return
 * 0 or a negative errno, outputs are untouched on failure.
 */
#ifndef TALLY_PROXY_H
#define TALLY_PROXY_H

#include <stddef.h>
#include <stdint.h>
#include <tally/tally.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct tally_proxy;
struct tally_proxy_client;

#define TALLY_PROXY_CLIENTS 1023 /* at a time, at most */
#define TALLY_PROXY_RING 65536	 /* records, default */

/* Zero is each field's default. */
struct tally_proxy_options {
	const char *dir; /* where the region is made; default as TALLY_DIR */
	uint32_t ring;	 /* records of all clients together that a consumer finds: a power of two,
			  * 64 to 1048576 */
};

/* Makes the region. -EINVAL: a number that is not usable; -ENAMETOOLONG; or why the directory, or
 * the memory, cannot have one. */
int tally_proxy_open(const struct tally_proxy_options *options, struct tally_proxy **ret_proxy);

/* Ends all clients and removes the region. NULL is allowed. */
void tally_proxy_close(struct tally_proxy *proxy);

/* A new client. `pid` and `comm` (may be NULL) are shown, never believed. -EUSERS: there are
 * TALLY_PROXY_CLIENTS; -ENOSPC, -ENOMEM: no memory for one more. */
int tally_proxy_begin(struct tally_proxy *proxy, uint32_t pid, const char *comm,
		      struct tally_proxy_client **ret_client);

/* It has gone; what it holds is abandoned. The pointer is not to be used any more. */
void tally_proxy_end(struct tally_proxy_client *client);

/* What tally_alloc() and the others do, in the client's name. No system call once the pages they
 * come to are there. */
void tally_proxy_alloc(struct tally_proxy_client *client, uint32_t device, uint32_t pool,
		       uint64_t buffer_id, uint64_t size);
void tally_proxy_free(struct tally_proxy_client *client, uint32_t device, uint32_t pool,
		      uint64_t buffer_id, uint64_t size);
void tally_proxy_alloc_failed(struct tally_proxy_client *client, uint32_t device, uint32_t pool,
			      uint64_t size);

/* As tally_device_describe(), for all clients. */
int tally_proxy_describe(struct tally_proxy *proxy, uint32_t device,
			 const struct tally_device_info *info);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
