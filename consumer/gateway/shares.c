/* SPDX-License-Identifier: Apache-2.0 */
/* What one user may have of what there is for all, where others may connect (--mode, --group).
 *
 * A user other than the gateway's own has at most as many as he leaves free: the first half, one
 * who comes then half of the rest, and so on, so that whoever comes finds some. A fixed part, such
 * as a quarter, would be too little where one user is all there is, and four would still take all.
 * The gateway's own user is asked for no share: he can end the gateway as well.
 */
#include "server.h"

static bool is_within(const struct gateway *gateway, uid_t uid, size_t has, size_t taken,
		      size_t all)
{
	return uid == gateway->uid || (taken < all && has < all - taken);
}

static size_t connections_of(const struct gateway *gateway, uid_t uid)
{
	const struct client *client;
	size_t count = 0;

	for (client = gateway->clients; client; client = client->next)
		count += client->uid == uid;
	return count;
}

bool shares_connection(const struct gateway *gateway, uid_t uid)
{
	return is_within(gateway, uid, connections_of(gateway, uid), gateway->client_count,
			 GATEWAY_CONNECTIONS);
}

bool shares_entry(const struct gateway *gateway, uid_t uid, const struct volume *volume)
{
	const struct client *client;
	size_t count = 0;

	for (client = gateway->clients; client; client = client->next)
		count += client->uid == uid && client->proxy && client->volume == volume;
	return is_within(gateway, uid, count, volume->clients, TALLY_PROXY_CLIENTS);
}

/* Of the last region there is none after; of others who comes has the next one. */
bool shares_pair(const struct gateway *gateway, uid_t uid, const struct volume *volume)
{
	return is_within(gateway, uid, volume_pairs_of(volume, uid), volume->pairs, VOLUME_PAIRS);
}

void shares_refuse(struct gateway *gateway, uid_t uid)
{
	uint64_t now_ns = server_now_ns();

	gateway->share_refusals++;
	if (gateway->share_said_ns && now_ns - gateway->share_said_ns < 1000000000u)
		return;
	gateway->share_said_ns = now_ns;
	log_say(gateway,
		"user %u is turned away: it has %zu connections, and no other user has more than "
		"it leaves free of %d (%llu times so far)",
		(unsigned int)uid, connections_of(gateway, uid), GATEWAY_CONNECTIONS,
		(unsigned long long)gateway->share_refusals);
}
