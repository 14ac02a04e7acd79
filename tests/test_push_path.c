/* SPDX-License-Identifier: Apache-2.0 */
/* What a push costs, in instructions: looked up in the machine code of libtally.so and counted by
 * strace.
 * also on: arm64 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support.h"

/* Functions that a push enters only when it is not an ordinary one: a thread's first, a cell's
 * first, one that interrupts another; and the clock of machines without a usable counter. */
static const char *const cold[] = { "push_slow", "push_rest", "push_other", "lane_target_slow",
				    "clock_monotonic_ns" };

/* The processor's words, each the beginning of an instruction. */
#if defined(__x86_64__)
static const char *const barred[] = { "lock", "mfence", "syscall", "int ", NULL };
static const char *const branches[] = { "call", "j", NULL };
static const char *const off_allowed[] = { "mov", "cmp", "test", "lea", NULL };
static const char always[] = "jmp";
#define ADDRESS_MORE 0
#elif defined(__aarch64__)
/* exclusive loads and stores; atomic instructions; calls of the compiler's own for either */
static const char *const barred[] = { "ldx",   "ldax",	"stx",	 "stlx",  "cas",   "swp",
				      "ldadd", "ldclr", "ldeor", "ldset", "ldsma", "ldsmi",
				      "lduma", "ldumi", "stadd", "stclr", "steor", "stset",
				      "stsma", "stsmi", "stuma", "stumi", "svc",   NULL };
static const char *const branches[] = { "b", "cb", "tb", NULL };
static const char *const off_allowed[] = { "adr", "add", "ldr", "mov", "cmp", NULL };
static const char always[] = "b\t";
#define ADDRESS_MORE 2 /* instructions that it may take to name a variable */
#else
static const char *const barred[] = { NULL }, *const branches[] = { NULL };
static const char *const off_allowed[] = { NULL };
static const char always[] = "";
#define ADDRESS_MORE 0
#endif

/* ---- The code -------------------------------------------------------------------------------- */

struct line {
	char *code;	  /* "mov    %rsp,%rbp" */
	uint64_t address; /* of this instruction */
};

struct function {
	char *name;
	struct line *lines;
	size_t count, room;
	bool seen;
};

static struct function *functions;
static size_t function_count;

static void add_line(struct function *function, uint64_t address, char *code)
{
	if (function->count == function->room) {
		function->room = function->room ? function->room * 2 : 64;
		function->lines = realloc(function->lines,
					  function->room * sizeof(*function->lines));
		assert_non_null(function->lines);
	}
	function->lines[function->count++] = (struct line){ code, address };
}

/* Reads `objdump -d`; skips the test on other machines. */
static void disassemble(void)
{
	const char *objdump = EMULATED ? "aarch64-linux-gnu-objdump" : "objdump";
	struct outcome outcome = RUN(objdump, "-d", "--no-show-raw-insn", built("libtally.so"));
	char *rest = outcome.out, *line;

	if (!barred[0])
		SKIP("the instructions looked for are those of x86-64 and arm64");
	assert_int_equal(outcome.status, 0);
	function_count = 0;
	functions = calloc(4096, sizeof(*functions));
	assert_non_null(functions);
	while ((line = strsep(&rest, "\n"))) {
		uint64_t address = strtoull(line, &line, 16);
		char *end;

		if (strncmp(line, " <", 2) == 0 && (end = strstr(line, ">:"))) {
			*end = '\0';
			assert_in_range(function_count, 0, 4095);
			functions[function_count++].name = line + 2;
		} else if (function_count && line[0] == ':') {
			while (*++line && isspace((unsigned char)*line))
				;
			add_line(&functions[function_count - 1], address, line);
		}
	}
}

static void forget_code(void)
{
	size_t i;

	for (i = 0; i < function_count; i++)
		free(functions[i].lines);
	free(functions);
}

static struct function *find(const char *name)
{
	size_t i;

	for (i = 0; i < function_count; i++)
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	fail_msg("no function %s in the code", name);
	return NULL;
}

/* The function a jump or call leads to, NULL within this one; "push_slow" of "<push_slow+0x5>". */
static char *target(const struct function *from, const char *code)
{
	const char *open = strchr(code, '<');
	size_t size;

	if (!open)
		return NULL;
	size = strcspn(open + 1, "+>");
	if (strlen(from->name) == size && strncmp(open + 1, from->name, size) == 0)
		return NULL;
	return text("%.*s", (int)size, open + 1);
}

static bool is_cold(const char *name)
{
	size_t i;

	for (i = 0; i < COUNT(cold); i++)
		if (strncmp(name, cold[i], strlen(cold[i])) == 0) /* also name.cold, name.isra.0 */
			return true;
	return strstr(name, ".cold") != NULL;
}

static bool begins(const char *code, const char *word)
{
	return strncmp(code, word, strlen(word)) == 0;
}

static bool is_one_of(const char *code, const char *const *words)
{
	while (*words && !begins(code, *words))
		words++;
	return *words != NULL;
}

/* Through a register or through memory: -fno-plt calls so what another library has. */
static bool is_indirect(const char *code)
{
	return strchr(code, '*') || begins(code, "br\t") || begins(code, "blr");
}

/* No locked instruction, no way out of the library, no system call: here and in all it leads to. */
static size_t check_hot(struct function *function)
{
	size_t i, count = function->count;

	if (function->seen)
		return 0;
	function->seen = true;
	for (i = 0; i < function->count; i++) {
		const char *code = function->lines[i].code;
		bool leaves = is_one_of(code, branches);
		char *to = leaves ? target(function, code) : NULL;

		if (is_one_of(code, barred) || (begins(code, "xchg") && strchr(code, '(')))
			fail_msg("%s: %s", function->name, code);
		if (leaves && is_indirect(code))
			fail_msg("%s leaves the library: %s", function->name, code);
		if (to && (strstr(to, "@plt") || begins(to, "__aarch64_")))
			fail_msg("%s leaves the library: %s", function->name, code);
		if (to && !is_cold(to))
			count += check_hot(find(to));
	}
	return count;
}

static void hot_path_has_no_locked_instruction_and_no_call_that_leaves_the_library(void **state)
{
	static const char *const pushes[] = { "tally_alloc", "tally_free", "tally_free_at" };
	size_t i;

	(void)state;
	disassemble();
	for (i = 0; i < COUNT(pushes); i++) {
		size_t count = check_hot(find(pushes[i])), j;

		/* it was the push that was looked at, and it has not become a long one */
		assert_in_range(count, 40, 400);
		for (j = 0; j < function_count; j++)
			functions[j].seen = false;
	}
	forget_code();
}

static bool reads_memory(const char *code)
{
	return (strchr(code, '(') && !begins(code, "lea")) || begins(code, "ldr");
}

/* The address before "<tally_alloc+0x5>". */
static uint64_t address_in(const char *code)
{
	const char *at = strchr(code, '<');

	assert_non_null(at);
	while (at > code && (at[-1] == ' ' || isxdigit((unsigned char)at[-1])))
		at--;
	return strtoull(at, NULL, 16);
}

/* The instructions that run when `armed` says off, by following the first conditional jump both
 * ways: one of them must lead to a return. */
static void check_off_path(const struct function *function, size_t most)
{
	size_t i, loads = 0, jump;
	uint64_t to;

	for (i = 0; i < function->count && !is_one_of(function->lines[i].code, branches); i++) {
		const char *code = function->lines[i].code;
		const char *memory = strchr(code, '(');

		if (begins(code, "endbr64"))
			continue;
		if (!is_one_of(code, off_allowed))
			fail_msg("%s: off, it does more than a load: %s", function->name, code);
		loads += reads_memory(code);
		/* a store has its memory operand last */
		if (begins(code, "mov") && memory && !strchr(strchr(memory, ')'), ','))
			fail_msg("%s: off, it writes memory: %s", function->name, code);
	}
	assert_in_range(i, 1, most + ADDRESS_MORE);
	assert_int_equal(loads, 1);
	assert_true(i < function->count && !begins(function->lines[i].code, always));
	to = address_in(function->lines[i].code);
	for (jump = 0; jump < function->count && function->lines[jump].address != to; jump++)
		;
	if (!begins(function->lines[i + 1].code, "ret") &&
	    !(jump < function->count && begins(function->lines[jump].code, "ret")))
		fail_msg("%s: off, it does not return after %s", function->name,
			 function->lines[i].code);
}

static void push_that_is_off_is_a_load_and_a_branch(void **state)
{
	(void)state;
	disassemble();
	check_off_path(find("tally_alloc"), 3);
	check_off_path(find("tally_free"), 3);
	check_off_path(find("tally_alloc_failed"), 3);
	check_off_path(find("tally_free_at"), 8); /* arguments change places first */
	forget_code();
}

/* ---- System calls ---------------------------------------------------------------------------- */

/* All that a run of push_many makes. */
static uint64_t system_calls(const char *events, const char *tally)
{
	char *path = text("%s/strace", test_tmp);
	struct command command = {
		.argv = LIST(STRACE(path), prog("push_many"), events),
		.env = LIST(tally),
	};
	struct outcome outcome = run(&command);
	uint64_t calls = strace_total(&outcome, path);

	assert_string_equal(outcome.out, "pushed\n");
	return calls;
}

static void million_pushes_make_no_more_system_calls_than_a_thousand(void **state)
{
	uint64_t few, many, off;

	(void)state;
	SKIP_EMULATED("the emulator makes system calls of its own");
	few = system_calls("1000", "TALLY=1");
	many = system_calls("1000000", "TALLY=1");
	off = system_calls("1000000", "TALLY=0");
	assert_int_equal(many, few);
	assert_true(off < few); /* armed it makes a region: strace does see what there is */
}

static void million_pushes_without_a_ring_make_no_more_either(void **state)
{
	(void)state;
	SKIP_EMULATED("the emulator makes system calls of its own");
	setenv("TALLY_RING", "0", 1);
	assert_int_equal(system_calls("1000000", "TALLY=1"), system_calls("1000", "TALLY=1"));
}

/* Likewise of a thread that has no lane. */
static uint64_t laneless_calls(const char *events, const char *how)
{
	char *path = text("%s/strace", test_tmp);
	struct command command = {
		.argv = LIST(STRACE(path), prog("push_laneless"), events, how),
		.env = LIST("TALLY=1", "TALLY_LANES=1", "TALLY_RING=4096"),
	};
	struct outcome outcome = run(&command);
	uint64_t calls = strace_total(&outcome, path);

	assert_string_equal(outcome.out, "pushed\n");
	return calls;
}

static void million_pushes_without_a_lane_make_no_more_either(void **state)
{
	(void)state;
	SKIP_EMULATED("the emulator makes system calls of its own");
	assert_int_equal(laneless_calls("1000000", NULL), laneless_calls("1000", NULL));
}

/* It asks for memory again now and then. */
static void pushes_without_memory_for_the_shared_ring_seldom_make_a_system_call(void **state)
{
	uint64_t few, many;

	(void)state;
	SKIP_EMULATED("the emulator makes system calls of its own");
	few = laneless_calls("1", "no-memory");
	many = laneless_calls("1000000", "no-memory");
	assert_in_range(many - few, 1000000 / 1100, 1000000 / 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hot_path_has_no_locked_instruction_and_no_call_that_leaves_the_library),
		TEST(push_that_is_off_is_a_load_and_a_branch),
		TEST(million_pushes_make_no_more_system_calls_than_a_thousand),
		TEST(million_pushes_without_a_ring_make_no_more_either),
		TEST(million_pushes_without_a_lane_make_no_more_either),
		TEST(pushes_without_memory_for_the_shared_ring_seldom_make_a_system_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
