/* SPDX-License-Identifier: Apache-2.0 */
/* The region that lies: a copy of the template, its areas, its file and its locks. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/join.h"
#include "tests/fuzz/fuzz.h"

/* ---- Areas ----------------------------------------------------------------------------------- */

/* What an operation may aim at, one line each. Add at the end: the corpus knows them by number. */
static size_t list_areas(const struct geometry *g, struct fuzz_area areas[FUZZ_AREAS_MAX])
{
#define ONE 0, 0, 1
#define EACH(type, count) 0, sizeof(type), count, sizeof(type)
#define BEHIND(head, type, count) sizeof(head), sizeof(type), count, sizeof(type)
	const struct fuzz_area all[] = {
		{ "header", ONE, ONE, sizeof(struct tally_region_header) },
		{ "state", TALLY_REGION_STATE, 0, 1, ONE, sizeof(struct tally_region_state) },
		{ "process", g->process_at, g->process_stride, g->processes,
		  EACH(struct tally_process_header, 1) },
		{ "shared cell", g->process_at, g->process_stride, g->processes,
		  BEHIND(struct tally_process_header, struct tally_shared_cell, g->shared_cells) },
		{ "pool", g->pool_at, 0, 1, EACH(struct tally_pool_entry, TALLY_POOLS) },
		{ "device", g->device_at, 0, 1, EACH(struct tally_device_entry, g->devices) },
		{ "tag", g->tag_at, 0, 1, EACH(struct tally_tag_entry, g->tags) },
		{ "lane", g->lane_at, g->lane_stride, g->lanes, EACH(struct tally_lane_header, 1) },
		{ "cell", g->lane_at, g->lane_stride, g->lanes,
		  BEHIND(struct tally_lane_header, struct tally_cell, g->lane_cells) },
		{ "record", g->ring_at, g->ring_stride, g->ring_stride ? g->lanes : 0,
		  EACH(struct tally_record, 1ull << g->ring_log2) },
		{ "shared ring", TALLY_SHARED_RING, 0, 1, EACH(struct tally_shared_ring, 1) },
		{ "shared record", g->shared_at, 0, g->shared_size ? 1 : 0,
		  EACH(struct tally_record, 1ull << g->shared_ring_log2) },
	};

	_Static_assert(COUNT(all) <= FUZZ_AREAS_MAX && COUNT(all) <= FUZZ_VERB_MIN,
		       "no numbers left");
	memcpy(areas, all, sizeof(all));
	return COUNT(all);
}

size_t hostile_areas(void)
{
	struct fuzz_area areas[FUZZ_AREAS_MAX];

	return list_areas(&fuzz_templates[0].at, areas);
}

/* ---- The file -------------------------------------------------------------------------------- */

static bool is_zero(const unsigned char *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* What a template holds, item by item. */
struct item {
	uint32_t area, part, inner;
};

static struct content {
	struct fuzz_area areas[FUZZ_AREAS_MAX];
	struct item items[1 << 14];
	size_t count;
} contents[FUZZ_TEMPLATES];

static void list_items(struct content *content, const struct fuzz_template *template)
{
	size_t area_count = list_areas(&template->at, content->areas);
	struct item item;

	for (item.area = 0; item.area < area_count; item.area++) {
		const struct fuzz_area *area = &content->areas[item.area];

		for (item.part = 0; item.part < area->count; item.part++)
			for (item.inner = 0; item.inner < area->inner_count; item.inner++) {
				if (is_zero(template->bytes + item_at(area, item.part, item.inner),
					    area->size))
					continue;
				FUZZ_CHECK(content->count < COUNT(content->items));
				content->items[content->count++] = item;
			}
	}
}

/* What of the template there is room for. */
static void fill(struct hostile *hostile)
{
	const struct fuzz_template *template = &fuzz_templates[hostile->kind];
	struct content *content = &contents[hostile->kind];
	size_t n;

	if (content->count == 0)
		list_items(content, template);
	for (n = 0; n < content->count; n++) {
		const struct item *item = &content->items[n];
		const struct fuzz_area *to = &hostile->areas[item->area];
		size_t from = item_at(&content->areas[item->area], item->part, item->inner);

		if (item->part < to->count && item->inner < to->inner_count)
			memcpy(hostile->map + item_at(to, item->part, item->inner),
			       template->bytes + from, to->size);
	}
}

static void map_and_fill(struct hostile *hostile)
{
	FUZZ_CHECK(ftruncate(hostile->fd, 0) == 0);
	FUZZ_CHECK(ftruncate(hostile->fd, (off_t)hostile->at.size) == 0);
	hostile->map = mmap(NULL, hostile->at.size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE, hostile->fd, 0);
	FUZZ_CHECK(hostile->map != MAP_FAILED);
	hostile->area_count = list_areas(&hostile->at, hostile->areas);
	fill(hostile);
}

void hostile_set_geometry(struct hostile *hostile, unsigned int which, unsigned int log2)
{
	struct tally_region_header header = { 0 };
	uint8_t *sizes[] = { &header.ring_log2,	      &header.lanes_log2,
			     &header.lane_cells_log2, &header.shared_cells_log2,
			     &header.processes_log2,  &header.devices_log2,
			     &header.tags_log2,	      &header.shared_ring_log2 };
	struct geometry at;

	/* by a call, as it may have been cut */
	if (pread(hostile->fd, &header, sizeof(header), 0) != sizeof(header))
		return;
	*sizes[which % COUNT(sizes)] = (uint8_t)log2;
	if (!geometry_compute(&header, &at))
		return;
	header.size_bytes = at.size;
	munmap(hostile->map, hostile->at.size);
	hostile->at = at;
	map_and_fill(hostile);
	memcpy(hostile->map, &header, sizeof(header));
}

void hostile_make(struct hostile *hostile, enum fuzz_kind kind, bool named, unsigned int living)
{
	unsigned int n;

	memset(hostile, 0, sizeof(*hostile));
	hostile->kind = kind;
	hostile->may_be_joined = kind == FUZZ_JOINED;
	if (named)
		FUZZ_CHECK(join_name(hostile->name, "/fuzz"));
	else
		region_name(hostile->name, (uint32_t)geteuid(), 1, 16);
	snprintf(hostile->path, sizeof(hostile->path), "%s/%s", fuzz_dir, hostile->name);
	hostile->at = fuzz_templates[kind].at;
	hostile->fd = open(hostile->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	hostile->lock_fd = open(hostile->path, O_RDWR | O_CLOEXEC);
	FUZZ_CHECK(hostile->fd >= 0 && hostile->lock_fd >= 0);
	map_and_fill(hostile);
	for (n = 0; n < 8; n++)
		FUZZ_CHECK(!(living >> n & 1) || alive_lock(hostile->lock_fd, n) == 0);
}

void hostile_die(struct hostile *hostile)
{
	hostile_part(hostile);
	if (hostile->lock_fd >= 0)
		close(hostile->lock_fd); /* it has no mapping */
	hostile->lock_fd = -1;
}

void hostile_free(struct hostile *hostile)
{
	hostile_die(hostile);
	unlink(hostile->path);
	munmap(hostile->map, hostile->at.size);
	close(hostile->fd);
}

void hostile_unlock(const struct hostile *hostile, unsigned int entry)
{
	struct flock lock = { .l_type = F_UNLCK,
			      .l_whence = SEEK_SET,
			      .l_start = TALLY_LOCK_BYTE + (off_t)entry,
			      .l_len = 1 };

	if (hostile->lock_fd >= 0)
		fcntl(hostile->lock_fd, F_OFD_SETLK, &lock);
}
