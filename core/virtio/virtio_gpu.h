/* SPDX-License-Identifier: MIT */
/*
 * Wire format of the virtio GPU device (virtio 1.3, 5.7). Everything is little endian, as the host
 * is.
 */
#ifndef CORE_VIRTIO_VIRTIO_GPU_H
#define CORE_VIRTIO_VIRTIO_GPU_H

#include <stdint.h>

#define VIRTIO_ID_GPU 16

enum virtio_gpu_feature {
	VIRTIO_GPU_F_VIRGL = 0,
	VIRTIO_GPU_F_EDID = 1,
	VIRTIO_GPU_F_RESOURCE_UUID = 2,
	VIRTIO_GPU_F_RESOURCE_BLOB = 3,
	VIRTIO_GPU_F_CONTEXT_INIT = 4,
	VIRTIO_GPU_F_BLOB_ALIGNMENT = 5,
};

enum virtio_gpu_queue {
	VIRTIO_GPU_QUEUE_CONTROL,
	VIRTIO_GPU_QUEUE_CURSOR,
	VIRTIO_GPU_QUEUE_COUNT,
};

#define VIRTIO_GPU_MAX_SCANOUTS 16
#define VIRTIO_GPU_EVENT_DISPLAY 1u

struct virtio_gpu_config {
	uint32_t events_read;
	uint32_t events_clear;
	uint32_t num_scanouts;
	uint32_t num_capsets;
	uint32_t blob_alignment;
};
_Static_assert(sizeof(struct virtio_gpu_config) == 20, "virtio 5.7.4");

enum virtio_gpu_ctrl_type {
	VIRTIO_GPU_CMD_GET_DISPLAY_INFO = 0x0100,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
	VIRTIO_GPU_CMD_RESOURCE_UNREF,
	VIRTIO_GPU_CMD_SET_SCANOUT,
	VIRTIO_GPU_CMD_RESOURCE_FLUSH,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
	VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
	VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
	VIRTIO_GPU_CMD_GET_CAPSET_INFO,
	VIRTIO_GPU_CMD_GET_CAPSET,
	VIRTIO_GPU_CMD_GET_EDID,
	VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
	VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,

	VIRTIO_GPU_CMD_CTX_CREATE = 0x0200,
	VIRTIO_GPU_CMD_CTX_DESTROY,
	VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
	VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
	VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
	VIRTIO_GPU_CMD_SUBMIT_3D,
	VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
	VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,

	VIRTIO_GPU_CMD_UPDATE_CURSOR = 0x0300,
	VIRTIO_GPU_CMD_MOVE_CURSOR,

	VIRTIO_GPU_RESP_OK_NODATA = 0x1100,
	VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
	VIRTIO_GPU_RESP_OK_CAPSET_INFO,
	VIRTIO_GPU_RESP_OK_CAPSET,
	VIRTIO_GPU_RESP_OK_EDID,
	VIRTIO_GPU_RESP_OK_RESOURCE_UUID,
	VIRTIO_GPU_RESP_OK_MAP_INFO,

	VIRTIO_GPU_RESP_ERR_UNSPEC = 0x1200,
	VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
	VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID,
	VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
	VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
	VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
};

enum virtio_gpu_format {
	VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM = 1,
	VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM = 2,
	VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM = 3,
	VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM = 4,
	VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM = 67,
	VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM = 68,
	VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM = 121,
	VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM = 134,
};

enum virtio_gpu_capset {
	VIRTIO_GPU_CAPSET_VIRGL = 1,
	VIRTIO_GPU_CAPSET_VIRGL2 = 2,
};

#define VIRTIO_GPU_FLAG_FENCE (1u << 0)
#define VIRTIO_GPU_FLAG_INFO_RING_IDX (1u << 1)
#define VIRTIO_GPU_MAX_RINGS 64

struct virtio_gpu_ctrl_hdr {
	uint32_t type;
	uint32_t flags;
	uint64_t fence_id;
	uint32_t ctx_id;
	uint8_t ring_idx;
	uint8_t padding[3];
};
_Static_assert(sizeof(struct virtio_gpu_ctrl_hdr) == 24, "virtio 5.7.6.7");

struct virtio_gpu_rect {
	uint32_t x, y, width, height;
};
_Static_assert(sizeof(struct virtio_gpu_rect) == 16, "virtio 5.7.6.8");

struct virtio_gpu_display_one {
	struct virtio_gpu_rect r;
	uint32_t enabled;
	uint32_t flags;
};

struct virtio_gpu_resp_display_info {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_display_one pmodes[VIRTIO_GPU_MAX_SCANOUTS];
};
_Static_assert(sizeof(struct virtio_gpu_resp_display_info) == 408, "virtio 5.7.6.8");

struct virtio_gpu_get_edid {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t scanout;
	uint32_t padding;
};

#define VIRTIO_GPU_EDID_MAX 1024

struct virtio_gpu_resp_edid {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t size;
	uint32_t padding;
	uint8_t edid[VIRTIO_GPU_EDID_MAX];
};
_Static_assert(sizeof(struct virtio_gpu_resp_edid) == 1056, "virtio 5.7.6.8");

struct virtio_gpu_resource_create_2d {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t resource_id;
	uint32_t format;
	uint32_t width, height;
};
_Static_assert(sizeof(struct virtio_gpu_resource_create_2d) == 40, "virtio 5.7.6.8");

/*
 * RESOURCE_UNREF, ATTACH_BACKING's fixed part, DETACH_BACKING, ASSIGN_UUID, CTX_*_RESOURCE,
 * UNMAP_BLOB.
 */
struct virtio_gpu_resource_cmd {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t resource_id;
	uint32_t argument; /* ATTACH_BACKING: nr_entries; else padding */
};
_Static_assert(sizeof(struct virtio_gpu_resource_cmd) == 32, "virtio 5.7.6.8");

struct virtio_gpu_set_scanout {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_rect r;
	uint32_t scanout_id;
	uint32_t resource_id;
};
_Static_assert(sizeof(struct virtio_gpu_set_scanout) == 48, "virtio 5.7.6.8");

struct virtio_gpu_resource_flush {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_rect r;
	uint32_t resource_id;
	uint32_t padding;
};
_Static_assert(sizeof(struct virtio_gpu_resource_flush) == 48, "virtio 5.7.6.8");

struct virtio_gpu_transfer_to_host_2d {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_rect r;
	uint64_t offset;
	uint32_t resource_id;
	uint32_t padding;
};
_Static_assert(sizeof(struct virtio_gpu_transfer_to_host_2d) == 56, "virtio 5.7.6.8");

struct virtio_gpu_mem_entry {
	uint64_t addr;
	uint32_t length;
	uint32_t padding;
};
_Static_assert(sizeof(struct virtio_gpu_mem_entry) == 16, "virtio 5.7.6.8");

struct virtio_gpu_get_capset_info {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t capset_index;
	uint32_t padding;
};

struct virtio_gpu_resp_capset_info {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t capset_id;
	uint32_t capset_max_version;
	uint32_t capset_max_size;
	uint32_t padding;
};
_Static_assert(sizeof(struct virtio_gpu_resp_capset_info) == 40, "virtio 5.7.6.8");

struct virtio_gpu_get_capset {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t capset_id;
	uint32_t capset_version;
};
_Static_assert(sizeof(struct virtio_gpu_get_capset) == 32, "virtio 5.7.6.8");

struct virtio_gpu_resp_resource_uuid {
	struct virtio_gpu_ctrl_hdr hdr;
	uint8_t uuid[16];
};

struct virtio_gpu_box {
	uint32_t x, y, z, width, height, depth;
};

struct virtio_gpu_transfer_host_3d {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_box box;
	uint64_t offset;
	uint32_t resource_id;
	uint32_t level;
	uint32_t stride;
	uint32_t layer_stride;
};
_Static_assert(sizeof(struct virtio_gpu_transfer_host_3d) == 72, "virtio 5.7.6.8");

#define VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP 1u

struct virtio_gpu_resource_create_3d {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t resource_id;
	uint32_t target;
	uint32_t format;
	uint32_t bind;
	uint32_t width, height, depth;
	uint32_t array_size;
	uint32_t last_level;
	uint32_t nr_samples;
	uint32_t flags;
	uint32_t padding;
};
_Static_assert(sizeof(struct virtio_gpu_resource_create_3d) == 72, "virtio 5.7.6.8");

#define VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK 0xffu

struct virtio_gpu_ctx_create {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t nlen;
	uint32_t context_init;
	char debug_name[64];
};
_Static_assert(sizeof(struct virtio_gpu_ctx_create) == 96, "virtio 5.7.6.8");

struct virtio_gpu_cmd_submit {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t size;
	uint32_t padding;
};
_Static_assert(sizeof(struct virtio_gpu_cmd_submit) == 32, "virtio 5.7.6.8");

#define VIRTIO_GPU_CURSOR_SIZE 64 /* pixels, each way; BGRA */

struct virtio_gpu_cursor_pos {
	uint32_t scanout_id;
	uint32_t x, y;
	uint32_t padding;
};

struct virtio_gpu_update_cursor {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_cursor_pos pos;
	uint32_t resource_id;
	uint32_t hot_x, hot_y;
	uint32_t padding;
};
_Static_assert(sizeof(struct virtio_gpu_update_cursor) == 56, "virtio 5.7.6.9");

#endif
