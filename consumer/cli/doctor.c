/* SPDX-License-Identifier: Apache-2.0 */
/* tally doctor: what is wrong and what to do, in plain words.
 *
 * JSON, schema tally.doctor/1: checks[] {name, status: "ok", "note" or "problem", message}.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>

#include "doctor.h"

#define OPTION_JSON 256 /* has no letter */

void doctor_find(struct doctor *doctor, enum finding finding, const char *name, const char *format,
		 ...)
{
	static const char *const words[] = { "ok", "note", "problem" };
	char raw[1024], message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(raw, sizeof(raw), format, arguments);
	va_end(arguments);
	text_clean(message, sizeof(message), raw); /* names of files may be anything */
	doctor->problems += finding == FINDING_PROBLEM;
	if (doctor->checks)
		json_array_append_new(doctor->checks,
				      json_pack("{s:s, s:s, s:o}", "name", name, "status",
						words[finding], "message", json_text_of(message)));
	else
		printf("%s: %s\n", words[finding], message);
}

static void examine(struct doctor *doctor)
{
	doctor_directory(doctor);
	tally_trial(NULL, &doctor->trial);
	doctor_limits(doctor);
	doctor_trial(doctor);
	doctor_machine(doctor);
	doctor_settings(doctor);
	doctor_files(doctor);
}

static int doctor_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ NULL, 0, NULL, 0 },
	};
	struct doctor doctor = { .dir = text_regions_dir() };
	bool json = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option != OPTION_JSON)
			return unknown_option("doctor", argv);
		json = true;
	}
	if (optind < argc)
		return usage_error("doctor", "unexpected argument \"%s\"", argv[optind]);
	signal(SIGXFSZ, SIG_IGN); /* a limit that is to be found, not died of */
	if (json)
		doctor.checks = json_array();
	examine(&doctor);
	if (json) {
		json_t *all = json_pack("{s:s, s:o}", "schema", "tally.doctor/1", "checks",
					doctor.checks);

		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	} else if (doctor.problems) {
		say("%zu problem(s) found", doctor.problems);
	}
	return doctor.problems ? EXIT_ERROR : EXIT_OK;
}

static const char help[] =
	"usage: tally doctor [--json]\n"
	"\n"
	"Makes a region as a program would, and looks at all that this depends on: the\n"
	"directory, its room and rights, limits, clock, kernel, environment variables, the\n"
	"malloc adapter, the files that lie there, and processes that have a device open and\n"
	"are not seen. One line each: \"ok\", \"note\" for what costs something, \"problem\" with\n"
	"what to do about it. Run it as the user, and in the shell, whose programs do not show.\n"
	"\n"
	"  --json   as JSON\n"
	"\n"
	"Exit status: 0 if there is no problem, else 1; 2 usage.\n"
	"Environment: the variables of libtally (tally.h), and TALLY_PRELOAD.\n";

const struct verb verb_doctor = {
	.name = "doctor",
	.run = doctor_main,
	.line = "say what is wrong with this machine's set-up, and what to do",
	.help = help,
};
