/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry: the one computation of a region's offsets, for writers and readers alike. */
#include "ring/geometry.h"

static size_t pages(size_t bytes)
{
	return (bytes + TALLY_PAGE - 1) / TALLY_PAGE * TALLY_PAGE;
}

static bool is_ring(uint8_t log2)
{
	return log2 == 0 || (log2 >= GEOMETRY_RING_LOG2_MIN && log2 <= GEOMETRY_RING_LOG2_MAX);
}

static bool within_limits(const struct tally_region_header *header)
{
	return is_ring(header->ring_log2) && is_ring(header->shared_ring_log2) &&
	       header->lanes_log2 <= GEOMETRY_LANES_LOG2_MAX &&
	       header->lane_cells_log2 <= GEOMETRY_CELLS_LOG2_MAX &&
	       header->shared_cells_log2 <= GEOMETRY_SHARED_LOG2_MAX &&
	       header->processes_log2 <= GEOMETRY_PROCESSES_LOG2_MAX &&
	       header->devices_log2 <= GEOMETRY_DEVICES_LOG2_MAX &&
	       header->tags_log2 <= GEOMETRY_TAGS_LOG2_MAX;
}

bool geometry_compute(const struct tally_region_header *header, struct geometry *ret_geometry)
{
	struct geometry at = { 0 };

	if (!within_limits(header))
		return false;
	at.processes = 1u << header->processes_log2;
	at.lanes = 1u << header->lanes_log2;
	at.lane_cells = 1u << header->lane_cells_log2;
	at.shared_cells = 1u << header->shared_cells_log2;
	at.devices = 1u << header->devices_log2;
	at.tags = 1u << header->tags_log2;
	at.ring_log2 = header->ring_log2;
	at.shared_ring_log2 = header->shared_ring_log2;

	at.process_at = TALLY_PAGE;
	at.process_stride = pages(sizeof(struct tally_process_header) +
				  at.shared_cells * sizeof(struct tally_shared_cell));
	at.pool_at = at.process_at + at.processes * at.process_stride;
	at.device_at = at.pool_at + pages(TALLY_POOLS * sizeof(struct tally_pool_entry));
	at.tag_at = at.device_at + pages(at.devices * sizeof(struct tally_device_entry));
	at.lane_at = at.tag_at + pages(at.tags * sizeof(struct tally_tag_entry));
	at.lane_stride = pages(sizeof(struct tally_lane_header) +
			       at.lane_cells * sizeof(struct tally_cell));
	at.ring_at = at.lane_at + at.lanes * at.lane_stride;
	if (at.ring_log2)
		at.ring_stride = sizeof(struct tally_record) << at.ring_log2;
	at.shared_at = at.ring_at + at.lanes * at.ring_stride;
	if (at.shared_ring_log2)
		at.shared_size = sizeof(struct tally_record) << at.shared_ring_log2;
	at.cursor_at = at.shared_at + at.shared_size;
	if (header->flags & TALLY_REGION_LOSSLESS)
		at.cursor_size = pages(at.lanes * sizeof(struct tally_cursor));
	at.size = at.cursor_at + at.cursor_size;
	*ret_geometry = at;
	return true;
}
