/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a region: what is no region, or one of another kind or user, is refused with a reason.
 * sanitizers: address; also on: arm64 */
#include "ring/region.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/child.h"
#include "tests/rig.h"
#include "tests/support.h"

static unsigned char *sound; /* the bytes of a sound region, with a lane and an event in it */
static size_t sound_size;

/* Makes `sound` and leaves no region behind. */
static void make_sound(void)
{
	struct rig rig = rig_make(6, 0);

	rig_alloc(rig_claim(&rig, 1, 0), 3, 1, 1, 100);
	sound = (unsigned char *)read_file(rig.region.path, &sound_size);
	rig_free(&rig);
}

#define FORGED "tally-0-1-0123456789abcdef"

/* Opens a file with these bytes; the error, with the reason in `why`. */
static int open_bytes(const void *bytes, size_t size, char why[REGION_WHY_MAX])
{
	struct region_view view;
	int dir = open_dir();
	int error;

	write_file(text("%s/%s", test_dir, FORGED), bytes, size);
	error = region_open(dir, FORGED, &view, why);
	close(dir);
	unlink(text("%s/%s", test_dir, FORGED));
	if (!error)
		region_close(&view);
	return error;
}

/* One line, with something in it. */
static void check_reason(const char *why)
{
	assert_true(strlen(why) > 3);
	assert_null(strchr(why, '\n'));
}

static void sound_region_is_opened(void **state)
{
	char why[REGION_WHY_MAX];

	(void)state;
	make_sound();
	assert_int_equal(open_bytes(sound, sound_size, why), 0);
	assert_string_equal(why, "");
}

static void cut_region_is_refused_at_every_length(void **state)
{
	size_t size, step;
	char why[REGION_WHY_MAX];

	(void)state;
	make_sound();
	for (size = 0; size < sound_size; size += step) {
		step = size < 400 ? 1 : size < 16384 ? 997 : 40961;
		assert_int_equal(open_bytes(sound, size, why), -EBADMSG);
		check_reason(why);
	}
	assert_int_equal(open_bytes(sound, sound_size - 1, why), -EBADMSG);
	check_reason(why);
	sound = realloc(memcpy(malloc(sound_size + 1), sound, sound_size), sound_size + 1);
	sound[sound_size] = 0;
	assert_int_equal(open_bytes(sound, sound_size + 1, why), -EBADMSG);
	check_reason(why);
	free(sound);
}

static void garbage_is_refused(void **state)
{
	char why[REGION_WHY_MAX];
	uint64_t words[1024], i, round;

	(void)state;
	for (round = 0; round < 20; round++) {
		for (i = 0; i < COUNT(words); i++)
			words[i] = round ? mix(i ^ round << 32) : 0;
		assert_int_equal(open_bytes(words, sizeof(words), why), -EBADMSG);
		check_reason(why);
	}
}

/* Version, layout or byte order: the reason names both versions and the process. */
static void check_names_both(const char *why, uint32_t version)
{
	check_reason(why);
	assert_non_null(strstr(why, text("version %" PRIu32, version)));
	assert_non_null(strstr(why, text("version %u", TALLY_ABI_VERSION)));
	assert_non_null(strstr(why, text("process %d", getpid())));
	assert_non_null(strstr(why, "test_region_ope")); /* the kernel keeps 15 bytes of a name */
}

static void other_version_is_refused_with_both_versions_and_the_process(void **state)
{
	static const uint32_t versions[] = { 0, TALLY_ABI_VERSION + 1, 77, UINT32_MAX };
	struct tally_region_header *header;
	char why[REGION_WHY_MAX];
	size_t i;

	(void)state;
	make_sound();
	header = (struct tally_region_header *)sound;
	for (i = 0; i < COUNT(versions); i++) {
		header->abi_version = versions[i];
		assert_int_equal(open_bytes(sound, sound_size, why), -EPROTO);
		check_names_both(why, versions[i]);
		/* the version is what counts, however little of the rest is there */
		assert_int_equal(open_bytes(sound, 64, why), -EPROTO);
		check_names_both(why, versions[i]);
	}
}

static void other_byte_order_is_refused_with_both_versions_and_the_process(void **state)
{
	struct tally_region_header *header;
	char why[REGION_WHY_MAX];

	(void)state;
	make_sound();
	header = (struct tally_region_header *)sound;
	header->byte_order = 0x04030201;
	assert_int_equal(open_bytes(sound, sound_size, why), -EPROTO);
	check_names_both(why, TALLY_ABI_VERSION);
	/* as it would really come from there */
	header->magic = __builtin_bswap64(header->magic);
	header->abi_version = __builtin_bswap32(5);
	header->creator_pid = __builtin_bswap32(header->creator_pid);
	assert_int_equal(open_bytes(sound, sound_size, why), -EPROTO);
	check_names_both(why, 5);
}

static void other_signature_is_refused_with_both_versions_and_the_process(void **state)
{
	struct tally_region_header *header;
	char why[REGION_WHY_MAX];

	(void)state;
	make_sound();
	header = (struct tally_region_header *)sound;
	header->signature ^= 1;
	assert_int_equal(open_bytes(sound, sound_size, why), -EPROTO);
	check_names_both(why, TALLY_ABI_VERSION);
	assert_non_null(strstr(why, text("%016" PRIx64, header->signature)));
	assert_non_null(strstr(why, text("%016" PRIx64, tally_abi_signature())));
}

static void other_size_is_refused_with_both_versions_and_the_process(void **state)
{
	struct tally_region_header *header;
	char why[REGION_WHY_MAX];

	(void)state;
	make_sound();
	header = (struct tally_region_header *)sound;
	header->size_bytes += TALLY_PAGE;
	assert_int_equal(open_bytes(sound, sound_size, why), -EPROTO);
	check_names_both(why, TALLY_ABI_VERSION);
	make_sound();
	header = (struct tally_region_header *)sound;
	header->ring_log2 = 7; /* twice the records: the sizes contradict each other */
	assert_int_equal(open_bytes(sound, sound_size, why), -EPROTO);
	check_names_both(why, TALLY_ABI_VERSION);
}

static void text_of_a_hostile_creator_is_made_printable(void **state)
{
	struct tally_region_header *header;
	char why[REGION_WHY_MAX];
	const char *c;

	(void)state;
	make_sound();
	header = (struct tally_region_header *)sound;
	header->abi_version = 9;
	memset(header->creator_comm, '\033', sizeof(header->creator_comm)); /* and no end */
	assert_int_equal(open_bytes(sound, sound_size, why), -EPROTO);
	for (c = why; *c; c++)
		assert_in_range(*c, ' ', '~');
}

static void header_with_any_byte_changed_is_refused_or_harmless(void **state)
{
	char why[REGION_WHY_MAX];
	size_t at, opened = 0;
	uint64_t round;

	(void)state;
	make_sound();
	for (at = 0; at < sizeof(struct tally_region_header); at++) {
		for (round = 0; round < 6; round++) {
			unsigned char was = sound[at];
			int error;

			sound[at] ^= (unsigned char)(round < 4 ? 1u << round * 2 : mix(at ^ round));
			error = open_bytes(sound, sound_size, why);
			sound[at] = was;
			if (error)
				check_reason(why);
			else
				opened++;
			/* what decides where things are is never believed when changed */
			if (at < 24 || (at >= 64 && at < 80))
				assert_true(error || round >= 4);
		}
	}
	assert_true(opened > 0); /* names and times may be anything */
}

static void make_fifo(const char *path)
{
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void make_directory(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_symlink(const char *path)
{
	char *target = text("%s/target", test_tmp);

	write_file(target, sound, sound_size); /* even to a sound one */
	assert_int_equal(symlink(target, path), 0);
}

static void make_loop(const char *path)
{
	assert_int_equal(symlink(path, path), 0);
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void what_is_no_regular_file_is_refused_and_not_waited_for(void **state)
{
	void (*const kinds[])(const char *) = { make_fifo, make_directory, make_symlink, make_loop,
						make_socket };
	int dir = open_dir();
	size_t i;

	(void)state;
	make_sound();
	for (i = 0; i < COUNT(kinds); i++) {
		struct region_view view;
		char why[REGION_WHY_MAX];
		int error;

		kinds[i](text("%s/%s", test_dir, FORGED));
		error = region_open(dir, FORGED, &view, why);
		assert_true(error == -EBADMSG || error == -ENXIO); /* the socket */
		check_reason(why);
		remove_regions();
	}
	close(dir);
}

static void missing_region_is_just_missing(void **state)
{
	struct region_view view;
	char why[REGION_WHY_MAX];
	int dir = open_dir();

	(void)state;
	assert_int_equal(region_open(dir, FORGED, &view, why), -ENOENT);
	check_reason(why);
	close(dir);
}

static void open_as_nobody(void)
{
	struct region_view view;
	char why[REGION_WHY_MAX];
	int dir = open(test_dir, O_RDONLY | O_DIRECTORY);

	CHILD_CHECK(setresuid(65534, 65534, 65534) == 0);
	CHILD_CHECK(region_open(dir, FORGED, &view, why) == -EACCES);
	CHILD_CHECK(strlen(why) > 3);
}

static void region_of_another_user_is_refused(void **state)
{
	char *path = text("%s/%s", test_dir, FORGED);

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	make_sound();
	write_file(path, sound, sound_size);
	in_child(open_as_nobody, "");
	/* who made it readable has not made it ours */
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(test_dir, 0755), 0);
	in_child(open_as_nobody, "");
	unlink(path);
}

static void refusal_leaves_no_descriptor_and_no_mapping(void **state)
{
	char why[REGION_WHY_MAX];
	size_t before, i;

	(void)state;
	make_sound();
	before = descriptors_of(getpid());
	for (i = 0; i < 50; i++) {
		open_bytes(sound, sound_size, why);
		open_bytes(sound, i * 10, why);
		open_bytes(sound, sound_size - 1, why);
	}
	assert_int_equal(descriptors_of(getpid()), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sound_region_is_opened),
		TEST(cut_region_is_refused_at_every_length),
		TEST(garbage_is_refused),
		TEST(other_version_is_refused_with_both_versions_and_the_process),
		TEST(other_byte_order_is_refused_with_both_versions_and_the_process),
		TEST(other_signature_is_refused_with_both_versions_and_the_process),
		TEST(other_size_is_refused_with_both_versions_and_the_process),
		TEST(text_of_a_hostile_creator_is_made_printable),
		TEST(header_with_any_byte_changed_is_refused_or_harmless),
		TEST(what_is_no_regular_file_is_refused_and_not_waited_for),
		TEST(missing_region_is_just_missing),
		TEST(region_of_another_user_is_refused),
		TEST(refusal_leaves_no_descriptor_and_no_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
