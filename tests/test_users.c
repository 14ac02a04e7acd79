/* SPDX-License-Identifier: Apache-2.0 */
/* Everybody's regions: root sees them and whose they are, others are told what they may not see.
 * Only root can be two users: without that nothing here can be tried. */
#include <errno.h>
#include <sys/stat.h>
#include <tally/tally.h>

#include "tests/child.h"
#include "tests/cli.h"
#include "tests/rig.h"
#include "tests/watch.h"

#define NOBODY 65534

static int refused_with, refused_times;
static char refused_why[256];

static void note_refusal(void *arg, const struct tally_refusal *refusal)
{
	(void)arg;
	refused_with = refusal->error;
	refused_times++;
	snprintf(refused_why, sizeof(refused_why), "%s", refusal->message);
}

/* One of root's, one of nobody's. */
static struct rig ours, theirs;

static void need_two_users(void)
{
	if (geteuid() != 0)
		SKIP("only root can be two users");
	assert_int_equal(chmod(test_dir, 01777), 0);
	refused_with = refused_times = 0;
	ours = rig_make(6, 0);
	rig_alloc(rig_claim(&ours, 1, 0), 1, TALLY_POOL_DRAM, 1, 10);
	assert_int_equal(seteuid(NOBODY), 0);
	theirs = rig_make(6, 0);
	assert_int_equal(seteuid(0), 0);
	rig_alloc(rig_claim(&theirs, 1, 0), 1, TALLY_POOL_DRAM, 1, 100);
}

static void end_two_users(void)
{
	rig_free(&theirs);
	rig_free(&ours);
}

/* The users of what is shown, one bit each; and the bytes. */
static int users(const struct tally_consumer_options *options, int64_t *ret_live)
{
	struct tally_consumer_options asked = *options;
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	int seen = 0;
	size_t n;

	asked.refused = note_refusal;
	refused_times = 0;
	if (watch_open(&asked, &consumer) != 0)
		return -1;
	now = watch_look(consumer);
	for (n = 0; n < now->process_count; n++)
		seen |= now->processes[n].uid == 0 ? 1 : now->processes[n].uid == NOBODY ? 2 : 4;
	*ret_live = now->process_count ? watch_pool(now, 1, TALLY_POOL_DRAM)->totals.live_bytes : 0;
	if (now->refused_files != (uint32_t)refused_times || now->complete != !refused_times)
		seen |= 8;
	watch_put(now);
	watch_close(consumer);
	return seen;
}

static void as_nobody(void)
{
	struct tally_consumer_options all = { .all_users = true }, own = { 0 };
	struct tally_consumer_options one = { .name = ours.region.name };
	struct tally_consumer *consumer;
	int64_t live;

	CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	CHILD_CHECK(users(&own, &live) == 2 && live == 100);
	CHILD_CHECK(refused_times == 0);
	/* who asks for everybody is told what is missing */
	CHILD_CHECK(users(&all, &live) == 2 && live == 100);
	CHILD_CHECK(refused_times == 1 && refused_with == -EACCES);
	CHILD_CHECK(strstr(refused_why, "belongs to user 0"));
	CHILD_CHECK(tally_consumer_open(&one, &consumer) == -EACCES);
}

static void others_see_their_own_and_are_told_of_the_rest(void **state)
{
	(void)state;
	need_two_users();
	in_child(as_nobody, ""); /* first of all, as a child of a consumer can have none */
	end_two_users();
}

static void root_sees_everybody_when_asked_to(void **state)
{
	struct tally_consumer_options all = { .all_users = true }, own = { 0 }, one = { 0 };
	int64_t live;

	(void)state;
	need_two_users();
	one.name = theirs.region.name;
	assert_int_equal(users(&own, &live), 1);
	assert_int_equal(live, 10);
	assert_int_equal(users(&all, &live), 3);
	assert_int_equal(live, 110);
	assert_int_equal(users(&one, &live), 2);
	assert_int_equal(live, 100);
	end_two_users();
}

static void thread_of_root_is_woken_by_others(void **state)
{
	struct tally_consumer_options all = { .all_users = true };
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	char *hidden;
	size_t count;

	(void)state;
	need_two_users();
	hidden = text("%s/.hidden", test_dir);
	assert_int_equal(rename(theirs.region.path, hidden), 0);
	assert_int_equal(watch_open(&all, &consumer), 0);
	assert_int_equal(tally_consumer_start(consumer, 4000000000u), 0);
	assert_int_equal(rename(hidden, theirs.region.path), 0);
	do {
		now = watch_get(consumer);
		count = now->process_count;
		watch_put(now);
		pause_a_moment();
	} while (count < 2); /* the runner's limit ends it */
	watch_close(consumer);
	end_two_users();
}

static void name_of_one_user_on_a_file_of_another_is_refused(void **state)
{
	struct tally_consumer_options all = { .all_users = true };
	int64_t live;

	(void)state;
	need_two_users();
	assert_int_equal(chown(ours.region.path, NOBODY, NOBODY), 0);
	assert_int_equal(users(&all, &live), 2);
	assert_int_equal(refused_times, 1);
	assert_int_equal(refused_with, -EACCES);
	check_contains(refused_why, "named as yours, but owned by user 65534");
	assert_int_equal(chown(ours.region.path, 0, 0), 0);
	assert_int_equal(chown(theirs.region.path, 1, 1), 0);
	assert_int_equal(users(&all, &live), 1);
	assert_int_equal(refused_times, 1);
	check_contains(refused_why, "named as user 65534's, but owned by user 1");
	end_two_users();
}

static void ps_of_another_users_process_has_exit_status_4(void **state)
{
	char *pid = text("%d", (int)getpid());
	struct outcome outcome;

	(void)state;
	need_two_users();
	region_unlink(&theirs.region); /* both have this process's id */
	assert_int_equal(TALLY("ps", "-p", pid).status, 0);
	outcome = RUN("setpriv", "--reuid=65534", "--clear-groups", built("tally"), "ps", "-p",
		      pid);
	if (outcome.status == 126 || outcome.status == 127) {
		end_two_users();
		SKIP("user 65534 may not run what was built");
	}
	assert_int_equal(outcome.status, 4);
	check_one_line(outcome.err);
	check_contains(outcome.err, "belongs to user 0; ask them, or be root");
	assert_string_equal(outcome.out, "");
	end_two_users();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(others_see_their_own_and_are_told_of_the_rest),
		TEST(root_sees_everybody_when_asked_to),
		TEST(thread_of_root_is_woken_by_others),
		TEST(name_of_one_user_on_a_file_of_another_is_refused),
		TEST(ps_of_another_users_process_has_exit_status_4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
