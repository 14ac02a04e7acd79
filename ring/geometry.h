/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry: from the header's log2 sizes to the offset of everything in a region. */
#ifndef RING_GEOMETRY_H
#define RING_GEOMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/abi.h>

/* Defaults and limits; the environment's table is in tally.h. */
#define GEOMETRY_RING_LOG2 11
#define GEOMETRY_RING_LOG2_MIN 6
#define GEOMETRY_RING_LOG2_MAX 20 /* below TALLY_LAP_SHIFT */
#define GEOMETRY_LANES_LOG2 6
#define GEOMETRY_LANES_LOG2_MAX 10
#define GEOMETRY_CELLS_LOG2 10 /* (device, pool) pairs per lane, and per process's shared cells */
#define GEOMETRY_CELLS_LOG2_MAX 16
#define GEOMETRY_SHARED_LOG2_MAX 10 /* so that 64 bits tell of all their pages */
#define GEOMETRY_DEVICES_LOG2 8
#define GEOMETRY_DEVICES_LOG2_MAX 16
#define GEOMETRY_TAGS_LOG2 10
#define GEOMETRY_TAGS_LOG2_MAX 16
#define GEOMETRY_PROCESSES_LOG2 8 /* of a region that is joined by name; else there is one */
#define GEOMETRY_PROCESSES_LOG2_MAX 10

/* Offsets and strides in bytes. Each part starts on a page. */
struct geometry {
	size_t process_at, process_stride;
	size_t pool_at;
	size_t device_at;
	size_t tag_at;
	size_t lane_at, lane_stride;
	size_t ring_at, ring_stride;   /* ring_stride 0: no records are kept */
	size_t shared_at, shared_size; /* shared_size 0: no shared ring */
	size_t cursor_at, cursor_size; /* cursor_size 0: nothing is waited for */
	size_t size;
	uint32_t processes, lanes, lane_cells, shared_cells, devices, tags;
	uint32_t ring_log2, shared_ring_log2;
};

/* Computes the geometry. False, with nothing written, when a size is beyond its limit: no sum
 * here can overflow within the limits. */
bool geometry_compute(const struct tally_region_header *header, struct geometry *ret_geometry);

static inline struct tally_region_state *region_state(unsigned char *base)
{
	return (struct tally_region_state *)(base + TALLY_REGION_STATE);
}

static inline struct tally_shared_ring *region_shared(unsigned char *base)
{
	return (struct tally_shared_ring *)(base + TALLY_SHARED_RING);
}

static inline struct tally_record *region_shared_slots(unsigned char *base,
						       const struct geometry *at)
{
	return (struct tally_record *)(base + at->shared_at);
}

static inline struct tally_process_header *region_process(unsigned char *base,
							  const struct geometry *at, uint32_t entry)
{
	return (struct tally_process_header *)(base + at->process_at + entry * at->process_stride);
}

static inline struct tally_shared_cell *process_cells(struct tally_process_header *process)
{
	return (struct tally_shared_cell *)(process + 1);
}

static inline struct tally_lane_header *region_lane(unsigned char *base, const struct geometry *at,
						    uint32_t lane)
{
	return (struct tally_lane_header *)(base + at->lane_at + lane * at->lane_stride);
}

static inline struct tally_cell *lane_cells(struct tally_lane_header *lane)
{
	return (struct tally_cell *)(lane + 1);
}

static inline struct tally_record *region_ring(unsigned char *base, const struct geometry *at,
					       uint32_t lane)
{
	return (struct tally_record *)(base + at->ring_at + lane * at->ring_stride);
}

static inline struct tally_cursor *region_cursor(unsigned char *base, const struct geometry *at,
						 uint32_t lane)
{
	return (struct tally_cursor *)(base + at->cursor_at) + lane;
}

static inline struct tally_pool_entry *region_pools(unsigned char *base, const struct geometry *at)
{
	return (struct tally_pool_entry *)(base + at->pool_at);
}

static inline struct tally_device_entry *region_devices(unsigned char *base,
							const struct geometry *at)
{
	return (struct tally_device_entry *)(base + at->device_at);
}

static inline struct tally_tag_entry *region_tags(unsigned char *base, const struct geometry *at)
{
	return (struct tally_tag_entry *)(base + at->tag_at);
}

#endif
