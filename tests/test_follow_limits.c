/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that are followed where descriptors or inotify are short, or are taken away.
 * sanitizers: address */
#include <sys/resource.h>
#include <sys/stat.h>

#include "consumer/follow.h"
#include "tests/child.h"
#include "tests/cli.h"
#include "tests/rig.h"
#include "tests/seccomp.h"
#include "tests/watch.h"

/* ---- Too few --------------------------------------------------------------------------------- */

static int refused_with, refused_times;

static void note_refusal(void *arg, const struct tally_refusal *refusal)
{
	(void)arg;
	refused_with = refusal->error;
	refused_times++;
}

/* No descriptor is left from here on; what was allowed before. */
static struct rlimit use_up_descriptors(void)
{
	struct rlimit before, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return before;
}

/* The directory has not changed when there is room again. */
static void region_without_a_descriptor_is_tried_again(void **state)
{
	struct tally_consumer_options options = { .refused = note_refusal };
	struct rig rig = rig_make(6, 0);
	char *hidden = text("%s/.hidden", test_dir);
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	struct rlimit before;
	int looks, error = 0;

	(void)state;
	for (looks = 0; looks < 2; looks++) { /* without inotify, and with it */
		refused_times = 0;
		assert_int_equal(rename(rig.region.path, hidden), 0);
		assert_int_equal(watch_open(&options, &consumer), 0);
		if (looks > 0)
			watch_put(watch_look(consumer));
		assert_int_equal(rename(hidden, rig.region.path), 0);
		before = use_up_descriptors();
		error = tally_consumer_poll(consumer);
		error = error ? error : tally_consumer_poll(consumer);
		assert_int_equal(tally_consumer_start(consumer, 1), -EMFILE);
		setrlimit(RLIMIT_NOFILE, &before);
		assert_int_equal(error, 0);
		assert_int_equal(refused_with, -EMFILE);
		assert_int_equal(refused_times, 1);
		now = watch_get(consumer);
		assert_int_equal(now->refused_files, 1);
		assert_false(now->complete);
		watch_put(now);
		now = watch_look(consumer);
		assert_int_equal(now->process_count, 1);
		assert_int_equal(now->refused_files, 0);
		assert_true(now->complete);
		watch_put(now);
		watch_close(consumer);
	}
	rig_free(&rig);
}

/* Nothing else than that it takes an interval. */
static void follow_without_inotify(void)
{
	struct tally_consumer_options options = { .read_records = true };
	struct tally_consumer *consumer;
	struct rig rig, other;
	size_t before;
	int i;

	CHILD_CHECK(tally_consumer_open(&options, &consumer) == 0);
	before = descriptors_of(getpid());
	CHILD_CHECK(tally_consumer_poll(consumer) == 0);
	CHILD_CHECK(descriptors_of(getpid()) == before);
	CHILD_CHECK(rig_try(&rig, 6, 0));
	for (i = 0; i < 3; i++) {
		CHILD_CHECK(tally_consumer_poll(consumer) == 0);
		CHILD_CHECK(watch_count(consumer) == 1);
		CHILD_CHECK(descriptors_of(getpid()) == before + 1); /* the region's */
	}
	CHILD_CHECK(tally_consumer_start(consumer, 20) == 0);
	CHILD_CHECK(rig_try(&other, 6, 0));
	while (watch_count(consumer) != 2)
		pause_a_moment();
	rig_free(&rig);
	rig_free(&other);
	while (watch_count(consumer) != 0)
		pause_a_moment();
	CHILD_CHECK(tally_consumer_stop(consumer) == 0);
	tally_consumer_close(consumer);
}

static void follow_without_instances(void)
{
	if (!seccomp_fail(SYS_inotify_init1, EMFILE))
		_exit(CANNOT);
	follow_without_inotify();
}

static void follow_without_watches(void)
{
	if (!seccomp_fail(SYS_inotify_add_watch, ENOSPC))
		_exit(CANNOT);
	follow_without_inotify();
}

static void follow_on_an_old_kernel(void)
{
	if (!seccomp_fail(SYS_inotify_init1, ENOSYS))
		_exit(CANNOT);
	follow_without_inotify();
}

static void without_inotify_nothing_is_missed_either(void **state)
{
	(void)state;
	in_child(follow_without_instances, "no seccomp filter may be set here");
	in_child(follow_without_watches, "no seccomp filter may be set here");
	in_child(follow_on_an_old_kernel, "no seccomp filter may be set here");
}

/* ---- Taken away ------------------------------------------------------------------------------ */

static bool no_name(const void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return false;
}

/* As daemons close it. */
static void descriptor_that_is_closed_by_the_host_is_given_up(void **state)
{
	struct follow follow;
	int dir = open_dir();

	(void)state;
	follow_open(&follow);
	follow_begin(&follow, STDIN_FILENO); /* no directory */
	assert_int_equal(follow.fd, -1);
	follow_begin(&follow, dir);
	assert_true(follow.fd >= 0);
	close(follow.fd);
	follow.changed = false;
	follow_read(&follow, no_name, NULL);
	assert_int_equal(follow.fd, -1);
	assert_true(follow.changed);
	close(dir);
}

/* The descriptor of a file that ends in `name`. */
static int descriptor_of(const char *name)
{
	char path[256];
	int fd;

	for (fd = 0; fd < 1024; fd++) {
		ssize_t length = readlink(text("/proc/self/fd/%d", fd), path, sizeof(path) - 1);

		path[length > 0 ? length : 0] = '\0';
		if (strstr(path, name))
			return fd;
	}
	fail_msg("no descriptor of %s", name);
	return -1;
}

/* A process must not seem dead because another file's locks are looked at. */
static void descriptor_that_the_host_has_used_again_is_left_alone(void **state)
{
	struct tally_consumer_options options = { 0 };
	struct job pusher = start_pushing("21");
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct stat before, after;
	int fd, file = memfd_create("the host's own", MFD_CLOEXEC);

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, 1 << 30), 0);
	assert_int_equal(watch_open(&options, &consumer), 0);
	now = watch_get(consumer);
	assert_int_equal(now->process_count, 1);
	fd = descriptor_of(now->processes[0].region);
	watch_put(now);
	assert_int_equal(dup2(file, fd), fd);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 0);
	assert_int_equal(now->refused_files, 1);
	watch_put(now);
	watch_close(consumer);
	assert_int_equal(fstat(file, &before), 0);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	close(fd);
	close(file);
	assert_int_equal(job_end(&pusher).status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* in children, which can have no consumer once their parent has had one */
		TEST(without_inotify_nothing_is_missed_either),
		TEST(region_without_a_descriptor_is_tried_again),
		TEST(descriptor_that_is_closed_by_the_host_is_given_up),
		TEST(descriptor_that_the_host_has_used_again_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
