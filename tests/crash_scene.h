/* SPDX-License-Identifier: Apache-2.0 */
/* Goes through a scene: its victim is killed, and stopped, at each instruction of what it does. */
#ifndef TESTS_CRASH_SCENE_H
#define TESTS_CRASH_SCENE_H

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/crash_world.h"

struct scene {
	const char *name;
	uint32_t lanes_log2;
	bool alone;	 /* nobody else is there until the victim is dead or stopped */
	bool fresh_ring; /* nobody has pushed into the shared ring */
	bool in_thread;	 /* a thread of its own acts, the victim's second */
	bool leaves;	 /* it acts by leaving the region, with its name if it is the last one */
	/* NULL: others are in its region, and scene_check() judges; else it has one for itself, to
	 * be joined if it is `alone`. */
	void (*judge)(struct tracee *tracee, bool killed);
	void (*prepare)(struct world *world); /* by the test, before the victim is born */
	void (*before)(void);		      /* by the victim */
	void (*ready)(void);		      /* by the thread that acts */
	void (*act)(void);		      /* the same, traced */
};

struct scene_run {
	struct trace trace;
	uint64_t next; /* of the points, each of which comes twice */
	uint64_t killed, stopped, missed;
};

enum act { ACT_KILL, ACT_STOP };

/* ---- The victim's life ----------------------------------------------------------------------- */

#define AFTERWARDS 7 /* events after what it is traced for, should it live on */

static inline void *scene_act(void *arg)
{
	const struct scene *scene = arg;

	if (scene->ready)
		scene->ready();
	tracee_stop_here();
	scene->act();
	return NULL;
}

static inline void scene_live(void *arg)
{
	const struct scene *scene = arg;
	pthread_t thread;

	victim_start();
	if (scene->before)
		scene->before();
	if (!scene->in_thread) {
		scene_act(arg);
	} else if (pthread_create(&thread, NULL, scene_act, arg) != 0 ||
		   pthread_join(thread, NULL) != 0) {
		_exit(2);
	}
	tally_store_release(&truth->acted, 1);
	victim_push_many(AFTERWARDS);
	_exit(0); /* without a goodbye, so that what it leaves can be seen */
}

/* ---- One point ------------------------------------------------------------------------------- */

/* While it is stopped, somebody comes, works and goes. */
static inline void scene_meanwhile(struct world *world)
{
	struct other later;

	world_laps(world, &world->other);
	if (!world_try_join(world, &later, LATER))
		return;
	world_push(world, &later, 1);
	other_die(&later);
}

static inline void scene_check(const struct scene *scene, struct world *world,
			       struct tracee *tracee, enum act act)
{
	if (act == ACT_KILL)
		tracee_kill(tracee);
	else
		tracee_sigstop(tracee);
	if (scene->leaves && !world_exists(world))
		memset(truth, 0, sizeof(*truth)); /* it was the last one, and took all along */
	if (!world_meet(world)) {
		/* Stopped with all entries locked: nobody waits for it, it goes on. */
		CHECK(act == ACT_STOP && scene->leaves);
		tracee_sigcont(tracee);
		memset(truth, 0, sizeof(*truth));
		CHECK(world_meet(world));
		tracee = NULL;
	}
	world_check_latecomer(world);
	if (act == ACT_STOP && tracee) {
		world_check_books(world, true);
		scene_meanwhile(world);
		world_check_books(world, true);
		tracee_sigcont(tracee);
	}
	if (act == ACT_STOP)
		CHECK_EQUAL(tally_load_acquire(&truth->done), tally_load_acquire(&truth->begun));
	world_laps(world, &world->other);
	world_check_books(world, false);
	world_check_usable(world, act == ACT_STOP ? 2 : 1, act == ACT_STOP ? 0 : 1);
}

static inline void scene_open(const struct scene *scene, struct world *world, unsigned int worker)
{
	char name[16], lanes[16];

	snprintf(name, sizeof(name), "/crash%u", worker);
	snprintf(lanes, sizeof(lanes), "%u", 1u << scene->lanes_log2);
	setenv("TALLY", "1", 1);
	setenv("TALLY_RING", "64", 1);
	setenv("TALLY_REGION", name, 1);
	setenv("TALLY_LANES", lanes, 1);
	if (scene->judge) {
		memset(truth, 0, sizeof(*truth));
		if (!scene->alone)
			unsetenv("TALLY_REGION");
		return;
	}
	world_open(world, name, scene->lanes_log2, scene->alone, scene->fresh_ring);
	if (scene->prepare)
		scene->prepare(world);
}

/* Of a child that is of no more use. */
static inline void scene_drop(const struct scene *scene, struct world *world, struct tracee *tracee)
{
	if (!tracee->ended || tracee->tid != tracee->pid)
		kill(tracee->pid, SIGKILL);
	if (!tracee->ended)
		waitpid(tracee->tid, NULL, __WALL);
	if (tracee->tid != tracee->pid)
		waitpid(tracee->pid, NULL, __WALL);
	if (scene->judge) {
		remove_regions();
		return;
	}
	CHECK(world_meet(world));
	world_close(world);
}

/* False: the child went another way, by an accident in the C library; try again, `careful`: by no
 * breakpoint there. */
static inline bool scene_try(const struct scene *scene, const struct trace *trace, uint64_t point,
			     enum act act, unsigned int worker, bool careful)
{
	struct world world;
	struct tracee tracee;

	alarm(DEADLINE_S);
	crash_at.act = act == ACT_KILL ? "killed" : "stopped";
	crash_at.point = point;
	crash_at.pc = trace->pc[point];
	scene_open(scene, &world, worker);
	tracee = tracee_start(scene_live, (void *)scene, &truth->acted);
	if (!tracee_go_to(&tracee, trace, point, careful)) {
		scene_drop(scene, &world, &tracee);
		return false;
	}
	if (scene->judge) {
		scene->judge(&tracee, act == ACT_KILL);
		return true;
	}
	scene_check(scene, &world, &tracee, act);
	world_close(&world);
	return true;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static struct scene_run *scene_run;

static inline void scene_record(const struct scene *scene, unsigned int worker)
{
	const char *stride = getenv("CRASH_STRIDE");
	struct tracee tracee;
	struct world world;

	alarm(DEADLINE_S);
	scene_open(scene, &world, worker);
	tracee = tracee_start(scene_live, (void *)scene, &truth->acted);
	trace_record(&scene_run->trace, &tracee, stride ? strtoul(stride, NULL, 10) : 16);
	scene_drop(scene, &world, &tracee);
}

#define SCENE_TRIES 5

static inline void scene_work(const struct scene *scene, unsigned int worker)
{
	const struct trace *trace = &scene_run->trace;
	uint64_t n;

	/* relaxed, all: counts that stand by themselves */
	while ((n = tally_add_relaxed(&scene_run->next, 1)) < 2 * trace->points) {
		enum act act = n % 2 ? ACT_STOP : ACT_KILL;
		uint64_t point = trace->point[n / 2];
		int tries = 0;

		while (!scene_try(scene, trace, point, act, worker, tries > 0) &&
		       ++tries < SCENE_TRIES)
			;
		if (tries < SCENE_TRIES)
			tally_add_relaxed(
				act == ACT_KILL ? &scene_run->killed : &scene_run->stopped, 1);
		else if (trace_is_ours(trace->pc[point]))
			CHECK(!"came to each of our own instructions");
		else
			tally_add_relaxed(&scene_run->missed, 1);
	}
}

static inline pid_t scene_fork(const struct scene *scene, unsigned int worker,
			       void (*work)(const struct scene *scene, unsigned int worker))
{
	pid_t pid;
	size_t length = strlen(test_dir);

	fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	crash_at.scene = scene->name;
	mallopt(M_MMAP_THRESHOLD, 64 << 10); /* large blocks come as zero, hardly touched */
	truth = crash_share(sizeof(*truth));
	snprintf(test_dir + length, sizeof(test_dir) - length, "/%u", worker);
	mkdir(test_dir, 0700);
	setenv("TALLY_DIR", test_dir, 1);
	work(scene, worker);
	_exit(0);
}

static inline void scene_await(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CRASH_NO_PTRACE)
		SKIP("no process may be traced here");
	if (status != 0)
		fail_msg("a worker ended with wait status %x", (unsigned int)status);
}

static uint64_t crash_killed, crash_stopped; /* in all scenes */

static inline void scene_play(const struct scene *scene)
{
	long workers = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t start_ns = now_ns();
	pid_t pids[16];
	long i;

#ifndef __x86_64__
	SKIP("no single steps here");
#endif
	workers = workers < 16 ? workers : 16;
	scene_run = crash_share(sizeof(*scene_run));
	scene_await(scene_fork(scene, 0, scene_record));
	for (i = 0; i < workers; i++)
		pids[i] = scene_fork(scene, (unsigned int)i, scene_work);
	for (i = 0; i < workers; i++)
		scene_await(pids[i]);
	print_message("%s: all %llu instructions of ours, and %llu of the %llu others: %llu "
		      "killed, %llu stopped, %llu not come to again; %.1f s\n",
		      scene->name, (unsigned long long)scene_run->trace.ours,
		      (unsigned long long)(scene_run->trace.points - scene_run->trace.ours),
		      (unsigned long long)(scene_run->trace.count - scene_run->trace.ours),
		      (unsigned long long)scene_run->killed, (unsigned long long)scene_run->stopped,
		      (unsigned long long)scene_run->missed,
		      (double)(now_ns() - start_ns) / 1000000000);
	assert_true(scene_run->trace.ours > 0);
	assert_true(scene_run->missed * 20 <= scene_run->trace.points);
	crash_killed += scene_run->killed;
	crash_stopped += scene_run->stopped;
	munmap(scene_run, sizeof(*scene_run));
}

#define SCENE(test, ...)                                                                           \
	static void test(void **state)                                                             \
	{                                                                                          \
		static const struct scene scene = { .name = #test, __VA_ARGS__ };                  \
                                                                                                   \
		(void)state;                                                                       \
		scene_play(&scene);                                                                \
	}

/* An argument names the only test. */
#define SCENE_MAIN(tests)                                                                          \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		int failed;                                                                        \
                                                                                                   \
		if (argc > 1)                                                                      \
			cmocka_set_test_filter(argv[1]);                                           \
		failed = cmocka_run_group_tests(tests, NULL, NULL);                                \
		print_message("crash matrix: %llu points killed, %llu stopped\n",                  \
			      (unsigned long long)crash_killed,                                    \
			      (unsigned long long)crash_stopped);                                  \
		return failed;                                                                     \
	}

#endif
