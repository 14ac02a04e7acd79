/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what a program is started with: arguments, environment, descriptors, signals, limits.
 *
 *	inherited [ARGUMENT...]
 *
 * Two runs started alike print the same, but for what tells the runs themselves apart: process
 * ids, and where the standard files lead. LD_PRELOAD and TALLY* are left out of the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS 1024

static void print_words(int argc, char **argv)
{
	char cwd[4096];
	int i;

	for (i = 0; i < argc; i++)
		printf("argument %d: %s\n", i, argv[i]);
	for (i = 0; environ[i]; i++)
		if (strncmp(environ[i], "TALLY", 5) != 0 &&
		    strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
			printf("environment: %s\n", environ[i]);
	printf("directory: %s\n", getcwd(cwd, sizeof(cwd)) ? cwd : "?");
}

static void print_descriptor(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	char link[64], target[4096] = "";
	struct stat status;
	ssize_t length;

	if (flags < 0 || fstat(fd, &status) != 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, target, sizeof(target) - 1);
	if (fd <= STDERR_FILENO && !S_ISCHR(status.st_mode))
		length = 0; /* the test's own files, other ones on each run */
	target[length > 0 ? length : 0] = '\0';
	printf("descriptor %d: %s type %o, flags %o %o, offset %lld\n", fd, target,
	       status.st_mode & S_IFMT, (unsigned int)flags, (unsigned int)fcntl(fd, F_GETFD),
	       (long long)lseek(fd, 0, SEEK_CUR));
}

/* Masks, dispositions and rights, as the kernel says them. */
static void print_status(void)
{
	static const char *const wanted[] = {
		"Umask",  "Uid",    "Gid",    "Groups", "Threads",    "SigPnd",	 "ShdPnd",
		"SigBlk", "SigIgn", "SigCgt", "Cap",	"NoNewPrivs", "Seccomp", "Cpus_allowed_list"
	};
	FILE *file = fopen("/proc/self/status", "re");
	char line[4096];
	size_t i;

	while (file && fgets(line, sizeof(line), file))
		for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
				fputs(line, stdout);
	if (file)
		fclose(file);
}

static void print_limits(void)
{
	struct rlimit limit;
	int i;

	for (i = 0; i < (int)RLIM_NLIMITS; i++)
		if (getrlimit((__rlimit_resource_t)i, &limit) == 0)
			printf("limit %d: %llu %llu\n", i, (unsigned long long)limit.rlim_cur,
			       (unsigned long long)limit.rlim_max);
	printf("nice %d, scheduler %d\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
}

static void print_relations(void)
{
	struct itimerval timer = { 0 };
	int error = waitpid(-1, NULL, WNOHANG) < 0 ? errno : 0;

	printf("group %d, session %d\n", getpgrp(), getsid(0));
	printf("children: %s\n", error == ECHILD ? "none" : "some");
	getitimer(ITIMER_REAL, &timer);
	printf("alarm in %ld s\n", (long)timer.it_value.tv_sec);
	printf("terminal: %s\n", open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0 ? "yes" : "no");
}

int main(int argc, char **argv)
{
	int fd;

	for (fd = 0; fd < DESCRIPTORS; fd++) /* before anything is opened here */
		print_descriptor(fd);
	print_words(argc, argv);
	print_status();
	print_limits();
	print_relations();
	return fflush(stdout) == 0 ? 0 : 1;
}
