/* SPDX-License-Identifier: Apache-2.0 */
/* A server in the place of the socket server: its clients report as before, and Tally sees it. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <sys/types.h>
#include <tally/proxy.h>

#define GATEWAY_PATH "/tmp/tt_allocation_server.sock"

/* Clients that are counted are TALLY_PROXY_CLIENTS at a time; so many may be connected. */
#define GATEWAY_CONNECTIONS 2048
/* Live ids of all clients; of one TALLY_IDS_ENTRIES, and 8 times what it leaves free. */
#define GATEWAY_IDS 4194304
#define GATEWAY_OUT_MAX 65536u	  /* bytes of replies that a client has not read */
#define GATEWAY_DUMP_PAUSE_MS 500 /* between two lists */
#define GATEWAY_LIST_MAX 50000	  /* lines of one */

struct gateway_options {
	const char *path;
	mode_t mode;
	gid_t group; /* -1: as it comes */
	bool log;
	bool all_users;
	uint32_t publish_version; /* 3 or 4; 0: totals are not published */
};

/* Serves until it is told to end by SIGINT, SIGTERM or SIGHUP: returns that signal's number. A
 * negative errno: it could not begin, after saying why. Lists and --log go to stdout, words to
 * stderr. */
int gateway_run(const struct gateway_options *options);

#endif
