/* SPDX-License-Identifier: Apache-2.0 */
/* Talks to bench/reporters/lttng.sh, which keeps LTTng's session. */
#ifndef BENCH_REPORTERS_LTTNG_SESSION_H
#define BENCH_REPORTERS_LTTNG_SESSION_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/reporter.h"

struct session {
	FILE *to, *from;
	pid_t script;
	char words[256]; /* the session's home; or why there is none */
};

static inline bool session_ask(struct session *session)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		return false;
	session->script = fork();
	if (session->script == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl(SOURCE_DIR "/bench/reporters/lttng.sh", "lttng.sh", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	session->to = fdopen(in[1], "w");
	session->from = fdopen(out[0], "r");
	return session->script > 0 && session->to && session->from &&
	       fgets(session->words, sizeof(session->words), session->from);
}

/* Starts one, and leaves its home in `words`; false: why there is none. */
static inline bool session_start(struct session *session)
{
	bool started;

	strcpy(session->words, "bench/reporters/lttng.sh cannot be run");
	started = session_ask(session) && strncmp(session->words, "home ", 5) == 0;
	session->words[strcspn(session->words, "\n")] = '\0';
	if (!started && session->script > 0)
		waitpid(session->script, NULL, 0); /* who runs a crew is told of its end, else */
	if (started)
		memmove(session->words, session->words + 5, strlen(session->words + 5) + 1);
	return started;
}

/* Ends it; what is in the trace. */
static inline struct taken session_count(struct session *session)
{
	unsigned long long events = 0, bytes = 0, ids = 0;
	struct taken taken = { 0 };

	fprintf(session->to, "count\n");
	fclose(session->to);
	if (fscanf(session->from, "%llu %llu %llu", &events, &bytes, &ids) == 3)
		taken = (struct taken){ .events = events, .bytes = bytes, .ids = ids };
	fclose(session->from);
	waitpid(session->script, NULL, 0);
	return taken;
}

#endif
