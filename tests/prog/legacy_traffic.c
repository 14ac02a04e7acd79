/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the allocation server as they are in the field, and all that they do wrong.
 *
 *	legacy_traffic SOCKET [seed=1] [processes=4] [threads=2] [messages=1000] [layout=mix]
 *		[devices=64] [cut=1] [faults=1] [stay=0] [out=FILE]
 *
 * Each process has one connection that its threads share; messages are so many per thread. What is
 * sent depends on the seed alone, but for PIDs and for the order of threads. `cut`: sent in pieces
 * of any length, several messages at once. `faults`: live ids are allocated again with another size
 * and type, ids are freed that nobody has or more than once, sizes of frees are lies, PIDs stand
 * where devices are expected. Ids are the same in all processes.
 *
 * Once all is sent and the server has answered a last question, a line of JSON says what must be
 * held: {"messages", "bad", "devices": {"3": {"dram": 5}}, "processes": [{"pid", "layout",
 * "devices" likewise}]}; with out=FILE that file does, and the line is "sent". With stay=1 the
 * connections then stay until stdin ends. The exit status is 1 when an answer was wrong or a
 * connection was closed, which stderr says.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/legacy.h"

#define DEVICES_MAX 64
#define PROCESSES_MAX 64
#define THREADS_MAX 16
#define POOLS 7
#define KINDS 3 /* buffer, circular buffer, kernel */
#define IDS 32	/* of a thread, per device and kind */
#define OUT_MAX 65536
#define BAD_MAX 9 /* of a connection: the tenth would end it */

static const char *const pool_names[POOLS] = { "dram",	"l1", "system", "l1_small",
					       "trace", "cb", "kernel" };

static struct {
	const char *path, *out;
	uint64_t seed, processes, threads, messages, layout, devices, cut, faults, stay;
} options = {
	.seed = 1,
	.processes = 4,
	.threads = 2,
	.messages = 1000,
	.devices = DEVICES_MAX,
	.cut = 1,
	.faults = 1,
};

/* What a process says to its parent. */
struct result {
	int64_t held[DEVICES_MAX][POOLS];
	uint64_t messages, bad;
	int pid;
	unsigned int layout;
};

static struct result *results;

/* ---- A connection ---------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */
static struct result *own;
static int connection;
static unsigned char out[OUT_MAX];
static size_t out_size;
static uint64_t cut_state;
static bool first = true;

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "legacy_traffic: process %d, layout %u, after %" PRIu64 " messages: %s\n",
		(int)getpid(), own ? own->layout : 0, own ? own->messages : 0, what);
	_exit(1);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1du >> 16;
}

static void send_all(const unsigned char *bytes, size_t size)
{
	while (size) {
		ssize_t sent = send(connection, bytes, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			fail("the server has closed the connection");
		bytes += sent;
		size -= (size_t)sent;
	}
}

/* Sends what is waiting; but for `keep` bytes at most of it, when cut. */
static void flush_out(size_t keep)
{
	size_t at = 0;

	while (out_size - at > keep) {
		size_t piece = out_size - at;

		if (options.cut)
			piece = 1 + next_random(&cut_state) % 700;
		if (piece > out_size - at)
			piece = out_size - at;
		send_all(out + at, piece);
		at += piece;
	}
	memmove(out, out + at, out_size - at);
	out_size -= at;
}

static void say(const struct legacy_message *message)
{
	if (out_size + LEGACY_MAX > OUT_MAX)
		flush_out(LEGACY_MAX);
	legacy_put(out + out_size, message, own->layout);
	out_size += own->layout;
	own->messages++;
	if (!options.cut || next_random(&cut_state) % 8 == 0)
		flush_out(options.cut ? next_random(&cut_state) % 200 : 0);
	first = false;
}

static void check_field(const unsigned char *reply, unsigned int at, int64_t least)
{
	uint64_t value = legacy_u64(reply, at);

	if (options.processes == 1 ? value != (uint64_t)least : value < (uint64_t)least) {
		fprintf(stderr, "at byte %u: %" PRIu64 ", not %" PRId64 "\n", at, value, least);
		fail("an answer with a wrong total");
	}
}

static void check_totals(const unsigned char *reply, const int64_t *held)
{
	unsigned int cb = legacy_cb_at(own->layout);

	check_field(reply, 40, held[0]);
	check_field(reply, 48, held[1]);
	check_field(reply, 56, held[3]);
	check_field(reply, 64, held[4]);
	if (cb) {
		check_field(reply, cb, held[5]);
		check_field(reply, cb + 8, held[6]);
	}
}

static void check_info(const unsigned char *reply)
{
	unsigned int info = legacy_info_at(own->layout);

	if (info && legacy_u32(reply, info + 32) > 1)
		fail("a device that is more than available");
	if (info && legacy_u32(reply, info + 36) > options.devices)
		fail("an answer with too many devices");
}

static void ask(uint8_t type, int32_t device)
{
	struct legacy_message question = { .type = type, .device = device, .pid = own->pid };
	unsigned char reply[LEGACY_MAX];
	size_t have = 0;

	if (first) { /* in one piece: its layout is told by what does not follow */
		legacy_put(reply, &question, own->layout);
		send_all(reply, own->layout);
		own->messages++;
		first = false;
	} else {
		say(&question);
		flush_out(0);
	}
	while (have < own->layout) {
		ssize_t got = recv(connection, reply + have, own->layout - have, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			fail("there was no answer");
		have += (size_t)got;
	}
	if (reply[0] != (type == LEGACY_QUERY ? LEGACY_RESPONSE : LEGACY_INFO) ||
	    (int32_t)legacy_u32(reply, 4) != device)
		fail("an answer to another question");
	if (type == LEGACY_QUERY)
		check_totals(reply, own->held[device]);
	else
		check_info(reply);
}

/* ---- What a thread does ---------------------------------------------------------------------- */

struct slot {
	uint64_t size;
	uint8_t pool;
	bool live;
};

struct worker {
	pthread_t thread;
	uint64_t state; /* of its random numbers */
	uint64_t first_id;
	struct slot slots[DEVICES_MAX][KINDS][IDS];
};

/* Addresses as devices have them: the same in all processes. */
static uint64_t id_of(const struct worker *worker, uint64_t n)
{
	return 0x100000000u + (worker->first_id + n) * 0x1000;
}

static uint64_t some_size(struct worker *worker)
{
	uint64_t random = next_random(&worker->state);

	if (random % 100 == 0)
		return 100ull << 30;
	if (random % 50 == 1)
		return 0;
	return (random >> 8) % 1000000;
}

static void allocate(struct worker *worker, int32_t device, uint64_t kind, uint64_t n)
{
	static const uint8_t types[KINDS] = { LEGACY_ALLOC, LEGACY_CB_ALLOC, LEGACY_KERNEL_LOAD };
	struct slot *slot = &worker->slots[device][kind][n];
	struct legacy_message message = {
		.type = types[kind],
		.device = device,
		.size = some_size(worker),
		.pid = own->pid,
		.id = id_of(worker, n),
		.timestamp = 1700000000000000000u + next_random(&worker->state) % 1000000000,
	};

	if (slot->live && !options.faults)
		return;
	if (kind != 1)
		message.buffer_type = (uint8_t)(next_random(&worker->state) % (kind ? 3 : 5));
	if (slot->live)
		own->held[device][slot->pool] -= (int64_t)slot->size;
	*slot = (struct slot){
		.size = message.size,
		.pool = kind ? (uint8_t)(4 + kind) : message.buffer_type,
		.live = true,
	};
	own->held[device][slot->pool] += (int64_t)slot->size;
	say(&message);
}

static void release(struct worker *worker, int32_t device, uint64_t kind, uint64_t n)
{
	static const uint8_t types[KINDS] = { LEGACY_FREE, LEGACY_CB_FREE, LEGACY_KERNEL_UNLOAD };
	struct slot *slot = &worker->slots[device][kind][n];
	struct legacy_message message = {
		.type = types[kind],
		.device = device,
		.pid = own->pid,
		.id = id_of(worker, n),
	};

	if (!slot->live && !options.faults)
		return;
	if (kind && next_random(&worker->state) % 2)
		message.size = options.faults ? some_size(worker) : slot->size;
	if (slot->live)
		own->held[device][slot->pool] -= (int64_t)slot->size;
	slot->live = false;
	say(&message);
}

static void misbehave(struct worker *worker)
{
	struct legacy_message message = {
		.type = LEGACY_ALLOC,
		.device = 2657333,
		.size = 4096,
		.pid = own->pid,
		.id = id_of(worker, 1),
	};

	/* Only once the server knows where messages begin may one be told for bad. */
	if (!options.faults || first || own->bad == BAD_MAX)
		return;
	own->bad++;
	if (next_random(&worker->state) % 2) {
		message.device = 1;
		message.type = LEGACY_RESPONSE;
	}
	say(&message);
}

static void step(struct worker *worker)
{
	uint64_t random = next_random(&worker->state), what = random % 1000;
	int32_t device = (int32_t)((random >> 10) % options.devices);
	uint64_t kind = (random >> 20) % 4, n = (random >> 24) % IDS;

	if (kind == 3) /* buffers are half of it */
		kind = 0;
	if (what == 0)
		misbehave(worker);
	else if (what < 10)
		ask(LEGACY_QUERY, device);
	else if (what < 15)
		ask(LEGACY_INFO_QUERY, what == 10 ? -1 : device);
	else if (what < 515)
		allocate(worker, device, kind, n);
	else
		release(worker, device, kind, n);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	uint64_t n;

	for (n = 0; n < options.messages; n++) {
		pthread_mutex_lock(&lock);
		step(worker);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* ---- A process ------------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror(path);
		_exit(1);
	}
	return fd;
}

static void be_process(uint64_t number, int done_fd, int stay_fd)
{
	static struct worker workers[THREADS_MAX];
	uint64_t n;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	own = &results[number];
	own->pid = getpid();
	own->layout = options.layout ? (unsigned int)options.layout : legacy_layouts[number % 4];
	cut_state = (options.seed + 1) * 0x9e3779b97f4a7c15u + number;
	connection = connect_to(options.path);
	for (n = 0; n < options.threads; n++) {
		workers[n].state = (options.seed + 1) * 0xbf58476d1ce4e5b9u + number * 64 + n;
		workers[n].first_id = n * IDS;
		pthread_create(&workers[n].thread, NULL, work, &workers[n]);
	}
	for (n = 0; n < options.threads; n++)
		pthread_join(workers[n].thread, NULL);
	ask(LEGACY_QUERY, 0); /* all before it has been taken when it is answered */
	if (write(done_fd, &byte, 1) != 1 || read(stay_fd, &byte, 1) < 0)
		_exit(1);
	_exit(0);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void print_held(FILE *to, int64_t (*held)[POOLS])
{
	uint64_t device, pool;
	const char *comma = "";

	fprintf(to, "{");
	for (device = 0; device < options.devices; device++) {
		fprintf(to, "%s\"%" PRIu64 "\":{", comma, device);
		for (pool = 0; pool < POOLS; pool++)
			fprintf(to, "%s\"%s\":%" PRId64, pool ? "," : "", pool_names[pool],
				held[device][pool]);
		fprintf(to, "}");
		comma = ",";
	}
	fprintf(to, "}");
}

static void print_results(void)
{
	static int64_t held[DEVICES_MAX][POOLS];
	FILE *to = options.out ? fopen(options.out, "w") : stdout;
	uint64_t n, device, pool, messages = 0, bad = 0;

	if (!to) {
		perror(options.out);
		exit(1);
	}

	for (n = 0; n < options.processes; n++) {
		messages += results[n].messages;
		bad += results[n].bad;
		for (device = 0; device < DEVICES_MAX; device++)
			for (pool = 0; pool < POOLS; pool++)
				held[device][pool] += results[n].held[device][pool];
	}
	fprintf(to, "{\"messages\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"devices\":", messages, bad);
	print_held(to, held);
	fprintf(to, ",\"processes\":[");
	for (n = 0; n < options.processes; n++) {
		fprintf(to, "%s{\"pid\":%d,\"layout\":%u,\"devices\":", n ? "," : "",
			results[n].pid, results[n].layout);
		print_held(to, results[n].held);
		fprintf(to, "}");
	}
	fprintf(to, "]}\n");
	if (options.out) {
		fclose(to);
		puts("sent");
	}
	fflush(stdout);
}

static bool set_option(const char *word)
{
	static const struct {
		const char *name;
		uint64_t *value, most;
	} known[] = {
		{ "seed=", &options.seed, UINT32_MAX },
		{ "processes=", &options.processes, PROCESSES_MAX },
		{ "threads=", &options.threads, THREADS_MAX },
		{ "messages=", &options.messages, UINT32_MAX },
		{ "layout=", &options.layout, LEGACY_MAX },
		{ "devices=", &options.devices, DEVICES_MAX },
		{ "cut=", &options.cut, 1 },
		{ "faults=", &options.faults, 1 },
		{ "stay=", &options.stay, 1 },
	};
	size_t n;

	if (strncmp(word, "out=", 4) == 0) {
		options.out = word + 4;
		return true;
	}
	for (n = 0; n < sizeof(known) / sizeof(known[0]); n++)
		if (strncmp(word, known[n].name, strlen(known[n].name)) == 0) {
			*known[n].value = strtoull(word + strlen(known[n].name), NULL, 10);
			return *known[n].value <= known[n].most;
		}
	return false;
}

int main(int argc, char **argv)
{
	int done[2], stay[2], n, status, failed = 0;
	char byte;

	if (argc < 2)
		return 2;
	options.path = argv[1];
	for (n = 2; n < argc; n++)
		if (!set_option(argv[n])) {
			fprintf(stderr, "legacy_traffic: not understood: %s\n", argv[n]);
			return 2;
		}
	results = mmap(NULL, PROCESSES_MAX * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || pipe(done) || pipe(stay))
		return 1;
	for (n = 0; n < (int)options.processes; n++) {
		if (fork() == 0) {
			close(done[0]);
			close(stay[1]);
			be_process((uint64_t)n, done[1], stay[0]);
		}
	}
	close(done[1]);
	for (n = 0; n < (int)options.processes; n++)
		if (read(done[0], &byte, 1) != 1)
			failed = 1;
	if (!failed)
		print_results();
	while (options.stay && read(STDIN_FILENO, &byte, 1) > 0)
		;
	close(stay[1]);
	while (wait(&status) > 0)
		failed |= status != 0;
	return failed;
}
