/* SPDX-License-Identifier: Apache-2.0 */
/* The push path as it was compiled: no lock, no call that leaves the library, no system call. */
#include <ctype.h>
#include <string.h>

#include "tests/support.h"

/* ---- The disassembly ------------------------------------------------------------------------- */

static char *disassembly;

/* objdump's lines for one function of libtally.so. */
static char *function(const char *name)
{
	char *plain = text(" <%s>:\n", name);
	char *versioned = text(" <%s@@TALLY_0>:\n", name);
	char *at, *end;

	if (!disassembly)
		disassembly = strdup(
			RUN("objdump", "-d", "--no-show-raw-insn", built("libtally.so")).out);
	at = strstr(disassembly, plain);
	if (!at)
		at = strstr(disassembly, versioned);
	if (!at)
		fail_msg("no function %s in libtally.so", name);
	at = strchr(at, '\n') + 1;
	end = strstr(at, "\n\n");
	return text("%.*s\n", (int)(end ? end - at : (long)strlen(at)), at);
}

/* The next instruction of *rest, without its address, or NULL. */
static char *instruction(char **rest)
{
	char *line = strsep(rest, "\n");
	char *colon = line ? strchr(line, ':') : NULL;

	if (!colon)
		return NULL;
	line = colon + 1;
	while (isspace((unsigned char)*line))
		line++;
	return line;
}

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* Something that waits for other processors. xchg locks when an operand is memory. */
static bool is_locked(const char *line)
{
	return strstr(line, "lock ") != NULL || strstr(line, "mfence") != NULL ||
	       (begins(line, "xchg") && strchr(line, '(') != NULL);
}

/* A call or jump through memory or a table of links: to somewhere outside the library. */
static bool leaves(const char *line)
{
	bool goes = strstr(line, "call ") != NULL || begins(line, "j") || begins(line, "bnd j");

	return goes && (strstr(line, "@plt") != NULL || strstr(line, "*") != NULL);
}

static void need_x86(void)
{
#if !defined(__x86_64__)
	SKIP("the instructions are known for x86-64 only");
#endif
}

static void check_hot(const char *name)
{
	char *rest = function(name);
	char *line;
	int count = 0, stores = 0;

	while ((line = instruction(&rest))) {
		if (is_locked(line) || leaves(line))
			fail_msg("%s has: %s", name, line);
		if (begins(line, "syscall"))
			fail_msg("%s makes a system call", name);
		count++;
		stores += begins(line, "mov") && strchr(line, '(') && line[strlen(line) - 1] == ')';
	}
	if (count < 40 || stores < 16)
		fail_msg("%s: %d instructions, %d stores: this is not the hot path", name, count,
			 stores);
}

static void a_push_has_no_locked_instruction_and_no_call_that_leaves_the_library(void **state)
{
	(void)state;
	need_x86();
	check_hot("push_alloc");
	check_hot("push_free");
}

/* Load, compare, branch, return; then whatever is for when it is on. */
static void check_off(const char *name, const char *hot)
{
	char *rest = function(name);
	char *load = instruction(&rest);
	char *compare = instruction(&rest);
	char *branch = instruction(&rest);
	char *back = instruction(&rest);
	char *line;
	bool jumps = false;

	assert_non_null(back);
	if (!begins(load, "mov ") || !strstr(load, "<tally_private"))
		fail_msg("%s begins with: %s", name, load);
	if (!begins(compare, "cmp ") || strchr(compare, '('))
		fail_msg("%s goes on with: %s", name, compare);
	if (!begins(branch, "j") || !strstr(branch, name))
		fail_msg("%s does not branch: %s", name, branch);
	if (!begins(back, "ret"))
		fail_msg("%s does not return: %s", name, back);
	while ((line = instruction(&rest)))
		jumps = jumps || (begins(line, "jmp") && strstr(line, hot));
	assert_true(jumps);
}

static void off_is_a_load_and_a_branch(void **state)
{
	(void)state;
	need_x86();
	check_off("tally_alloc", "<push_alloc>");
	check_off("tally_free", "<push_free>");
}

/* ---- System calls ---------------------------------------------------------------------------- */

static long system_calls(const char *events)
{
	char *log = text("%s/strace.%s", test_tmp, events);
	struct outcome outcome = RUN("strace", "-f", "-o", log, prog("push_many"), events);
	char *rest;
	long lines = 0;

	assert_string_equal(outcome.out, "pushed\n");
	assert_int_equal(outcome.status, 0);
	rest = read_file(log, NULL);
	assert_non_null(strstr(rest, "MADV_POPULATE_WRITE")); /* it did make a region */
	while (strsep(&rest, "\n"))
		lines++;
	return lines;
}

static void a_million_pushes_make_no_system_call(void **state)
{
	(void)state;
	setenv("TALLY", "1", 1);
	assert_int_equal(system_calls("1000000"), system_calls("1000"));
	unsetenv("TALLY");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_push_has_no_locked_instruction_and_no_call_that_leaves_the_library),
		TEST(off_is_a_load_and_a_branch),
		TEST(a_million_pushes_make_no_system_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
