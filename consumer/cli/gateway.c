/* SPDX-License-Identifier: Apache-2.0 */
/* tally gateway: the socket server's clients report to Tally; the server is consumer/gateway/. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "source.h"

/* These have no letter. */
enum {
	OPTION_SOCKET = 256,
	OPTION_MODE,
	OPTION_GROUP,
	OPTION_LOG,
	OPTION_PUBLISH,
	OPTION_PUBLISH_VERSION,
};

static bool parse_mode(const char *text, mode_t *ret_mode)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end || mode > 0777)
		return false;
	*ret_mode = (mode_t)mode;
	return true;
}

static bool parse_group(const char *text, gid_t *ret_group)
{
	struct group *group = getgrnam(text);
	uint64_t number;

	if (!group && !parse_number(text, INT32_MAX, &number))
		return false;
	*ret_group = group ? group->gr_gid : (gid_t)number;
	return true;
}

/* 0, or EXIT_USAGE after saying why. */
static int parse_option(struct gateway_options *gateway, int option, char **argv)
{
	switch (option) {
	case 'a':
		gateway->all_users = true;
		return 0;
	case OPTION_SOCKET:
		gateway->path = optarg;
		return *optarg ? 0 : usage_error("gateway", "--socket needs a path");
	case OPTION_MODE:
		if (parse_mode(optarg, &gateway->mode))
			return 0;
		return usage_error("gateway", "\"%s\" is no mode like 0660", optarg);
	case OPTION_GROUP:
		if (parse_group(optarg, &gateway->group))
			return 0;
		return usage_error("gateway", "\"%s\" is no group here", optarg);
	case OPTION_LOG:
		gateway->log = true;
		return 0;
	case OPTION_PUBLISH:
		if (!gateway->publish_version)
			gateway->publish_version = 4;
		return 0;
	case OPTION_PUBLISH_VERSION:
		if (strcmp(optarg, "3") != 0 && strcmp(optarg, "4") != 0)
			return usage_error("gateway", "--publish-version is 3 or 4, not \"%s\"",
					   optarg);
		gateway->publish_version = (uint32_t)(*optarg - '0');
		return 0;
	case ':':
		return usage_error("gateway", "%s needs a value", argv[optind - 1]);
	default:
		return unknown_option("gateway", argv);
	}
}

static int gateway_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all-users", no_argument, NULL, 'a' },
		{ "group", required_argument, NULL, OPTION_GROUP },
		{ "log", no_argument, NULL, OPTION_LOG },
		{ "mode", required_argument, NULL, OPTION_MODE },
		{ "publish", no_argument, NULL, OPTION_PUBLISH },
		{ "publish-version", required_argument, NULL, OPTION_PUBLISH_VERSION },
		{ "socket", required_argument, NULL, OPTION_SOCKET },
		{ NULL, 0, NULL, 0 },
	};
	struct gateway_options gateway = {
		.path = GATEWAY_PATH,
		.mode = 0600,
		.group = (gid_t)-1,
	};
	int option, result;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":a", options, NULL)) != -1) {
		result = parse_option(&gateway, option, argv);
		if (result)
			return result;
	}
	if (optind < argc)
		return usage_error("gateway", "unexpected argument \"%s\"", argv[optind]);
	source_raise_limit();
	result = gateway_run(&gateway);
	if (result < 0)
		return exit_code_of(result);
	return result == SIGINT ? EXIT_INTERRUPTED : EXIT_OK;
}

static const char help[] =
	"usage: tally gateway [-a] [--socket PATH] [--mode MODE] [--group GROUP] [--log]\n"
	"                     [--publish] [--publish-version 3|4]\n"
	"\n"
	"Serves programs that report to the allocation server by its socket, as they are: Tally\n"
	"then shows each of them as a process that holds what it has reported, for as long as it\n"
	"is connected. Who asks is told what all processes hold that Tally sees, with or without\n"
	"a socket. It goes on until it is interrupted.\n"
	"\n"
	"  -a, --all-users  answers are about other users' processes, too (for root)\n"
	"  --socket PATH    listen there, not at " GATEWAY_PATH "\n"
	"  --mode MODE      who may connect, in octal; default 0600, this user alone\n"
	"  --group GROUP    the socket's group, with --mode 0660\n"
	"  --log            print each event on stdout, as the allocation server did\n"
	"  --publish        write what Tally sees to /dev/shm/tt_device_CHIP_memory, for readers\n"
	"                   of the runtime's totals; never where a live runtime does it itself\n"
	"  --publish-version 3|4\n"
	"                   the same, in that version; default 4\n"
	"\n"
	"Exit status: 0 when ended by SIGTERM, 130 by SIGINT; 2 usage; 3 no such directory; 4 no\n"
	"permission; 1 another server listens there, or another error.\n";

const struct verb verb_gateway = {
	.name = "gateway",
	.run = gateway_main,
	.line = "serve programs that report by the allocation server's socket",
	.help = help,
};
