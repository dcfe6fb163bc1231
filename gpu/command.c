/* SPDX-License-Identifier: MIT */
#include "gpu/command.h"

#include "core/base/iov.h"
#include "core/base/log.h"
#include "gpu/context.h"
#include "gpu/cursor.h"
#include "gpu/fence.h"
#include "gpu/handlers.h"
#include "gpu/worker.h"

#include <inttypes.h>

#define HEADER_LEN sizeof(struct virtio_gpu_ctrl_hdr)
#define EDID_FEATURE BIT(VIRTIO_GPU_F_EDID)
#define UUID_FEATURE BIT(VIRTIO_GPU_F_RESOURCE_UUID)
#define VIRGL_FEATURE BIT(VIRTIO_GPU_F_VIRGL)

#define CONTROL(type_, request, reply, needs, submit_, run_) \
	{ \
		.type = VIRTIO_GPU_CMD_##type_, .name = #type_, .queue = VIRTIO_GPU_QUEUE_CONTROL, \
		.request_len = sizeof(struct request), .reply_len = sizeof(struct reply), \
		.features = needs, .submit = submit_, .run = run_, \
	}
#define CURSOR(type_, submit_, run_) \
	{ \
		.type = VIRTIO_GPU_CMD_##type_, .name = #type_, .queue = VIRTIO_GPU_QUEUE_CURSOR, \
		.request_len = sizeof(struct virtio_gpu_update_cursor), .reply_len = HEADER_LEN, \
		.submit = submit_, .run = run_, \
	}

static const struct gpu_command_type command_types[] = {
		CONTROL(GET_DISPLAY_INFO, virtio_gpu_ctrl_hdr, virtio_gpu_resp_display_info, 0,
				gpu_handle_get_display_info, NULL),
		CONTROL(RESOURCE_CREATE_2D, virtio_gpu_resource_create_2d, virtio_gpu_ctrl_hdr, 0,
				NULL, gpu_handle_resource_create_2d),
		CONTROL(RESOURCE_UNREF, virtio_gpu_resource_cmd, virtio_gpu_ctrl_hdr, 0, NULL,
				gpu_handle_resource_unref),
		CONTROL(SET_SCANOUT, virtio_gpu_set_scanout, virtio_gpu_ctrl_hdr, 0, NULL,
				gpu_handle_set_scanout),
		CONTROL(RESOURCE_FLUSH, virtio_gpu_resource_flush, virtio_gpu_ctrl_hdr, 0, NULL,
				gpu_handle_resource_flush),
		CONTROL(TRANSFER_TO_HOST_2D, virtio_gpu_transfer_to_host_2d, virtio_gpu_ctrl_hdr, 0,
				NULL, gpu_handle_transfer_to_host_2d),
		CONTROL(RESOURCE_ATTACH_BACKING, virtio_gpu_resource_cmd, virtio_gpu_ctrl_hdr, 0,
				NULL, gpu_handle_attach_backing),
		CONTROL(RESOURCE_DETACH_BACKING, virtio_gpu_resource_cmd, virtio_gpu_ctrl_hdr, 0,
				NULL, gpu_handle_detach_backing),
		CONTROL(GET_CAPSET_INFO, virtio_gpu_get_capset_info, virtio_gpu_resp_capset_info,
				VIRGL_FEATURE, gpu_handle_get_capset_info, NULL),
		CONTROL(GET_CAPSET, virtio_gpu_get_capset, virtio_gpu_ctrl_hdr, VIRGL_FEATURE, NULL,
				gpu_handle_get_capset),
		CONTROL(GET_EDID, virtio_gpu_get_edid, virtio_gpu_resp_edid, EDID_FEATURE,
				gpu_handle_get_edid, NULL),
		CONTROL(RESOURCE_ASSIGN_UUID, virtio_gpu_resource_cmd,
				virtio_gpu_resp_resource_uuid, UUID_FEATURE, NULL,
				gpu_handle_assign_uuid),

		CONTROL(CTX_CREATE, virtio_gpu_ctx_create, virtio_gpu_ctrl_hdr, VIRGL_FEATURE, NULL,
				gpu_handle_ctx_create),
		CONTROL(CTX_DESTROY, virtio_gpu_ctrl_hdr, virtio_gpu_ctrl_hdr, VIRGL_FEATURE, NULL,
				gpu_handle_ctx_destroy),
		CONTROL(CTX_ATTACH_RESOURCE, virtio_gpu_resource_cmd, virtio_gpu_ctrl_hdr,
				VIRGL_FEATURE, NULL, gpu_handle_ctx_attach_resource),
		CONTROL(CTX_DETACH_RESOURCE, virtio_gpu_resource_cmd, virtio_gpu_ctrl_hdr,
				VIRGL_FEATURE, NULL, gpu_handle_ctx_detach_resource),
		CONTROL(RESOURCE_CREATE_3D, virtio_gpu_resource_create_3d, virtio_gpu_ctrl_hdr,
				VIRGL_FEATURE, NULL, gpu_handle_resource_create_3d),
		CONTROL(TRANSFER_TO_HOST_3D, virtio_gpu_transfer_host_3d, virtio_gpu_ctrl_hdr,
				VIRGL_FEATURE, NULL, gpu_handle_transfer_to_host_3d),
		CONTROL(TRANSFER_FROM_HOST_3D, virtio_gpu_transfer_host_3d, virtio_gpu_ctrl_hdr,
				VIRGL_FEATURE, NULL, gpu_handle_transfer_from_host_3d),
		CONTROL(SUBMIT_3D, virtio_gpu_cmd_submit, virtio_gpu_ctrl_hdr, VIRGL_FEATURE, NULL,
				gpu_handle_submit_3d),

		CURSOR(UPDATE_CURSOR, gpu_cursor_handle_update, gpu_cursor_handle_image),
		CURSOR(MOVE_CURSOR, gpu_cursor_handle_move, NULL),
};

const struct gpu_command_type *gpu_command_type_find(uint32_t type)
{
	for (size_t i = 0; i < G_N_ELEMENTS(command_types); i++) {
		if (command_types[i].type == type) {
			return &command_types[i];
		}
	}
	return NULL;
}

static const char *error_name(uint32_t reply)
{
	switch (reply) {
	case VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY:
		return "out of memory";
	case VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID:
		return "invalid scanout";
	case VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID:
		return "invalid resource";
	case VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID:
		return "invalid context";
	case VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER:
		return "invalid parameter";
	default:
		return "refused";
	}
}

uint32_t gpu_command_refuse(struct gpu_command *command, uint32_t error, const char *why)
{
	command->why = why;
	return error;
}

bool gpu_command_is_fenced(const struct gpu_command *command)
{
	return (command->wire.hdr.flags & VIRTIO_GPU_FLAG_FENCE) != 0;
}

bool gpu_command_has_ring(const struct gpu *gpu, const struct gpu_command *command)
{
	/* Without the feature the bit means nothing. */
	return (gpu->features & BIT(VIRTIO_GPU_F_CONTEXT_INIT)) != 0 &&
	       (command->wire.hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX) != 0;
}

bool gpu_command_put_payload(struct gpu_command *command, const void *payload, size_t len)
{
	if (!range_within(HEADER_LEN, len, command->writable)) {
		return false;
	}
	(void)iov_from_buf(command->request->writable, command->request->writable_count, HEADER_LEN,
			payload, len); /* there is room */
	command->reply_len = HEADER_LEN + len;
	return true;
}

bool gpu_command_get_payload(const struct gpu_command *command, void *buf, size_t len)
{
	size_t offset = command->type->request_len;

	return range_within(offset, len, command->readable) &&
	       iov_to_buf(command->request->readable, command->request->readable_count, offset, buf,
			       len) == len;
}

static void trace(const struct gpu_command *command)
{
	const char *name = command->type ? command->type->name : "unknown command";
	const struct virtio_gpu_ctrl_hdr *hdr = &command->wire.hdr;

	log_debug("gpu: %s: context %u, flags 0x%x, fence %" PRIu64 ": 0x%x", name, hdr->ctx_id,
			hdr->flags, hdr->fence_id, command->reply);
	if (command->reply >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
		guest_error("%s (0x%x, context %u): %s: %s", name, hdr->type, hdr->ctx_id,
				error_name(command->reply),
				command->why ? command->why : "the renderer says no");
	}
}

/* Writes the reply's header, which echoes fence and ring, and gives the request back. */
static void command_complete(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_ctrl_hdr *hdr = &command->wire.hdr;
	struct virtio_gpu_ctrl_hdr reply = {.type = command->reply};
	struct gpu_request *request = command->request;
	bool failed = command->reply >= VIRTIO_GPU_RESP_ERR_UNSPEC;
	size_t written = 0;

	if (gpu_command_is_fenced(command)) {
		reply.flags = VIRTIO_GPU_FLAG_FENCE;
		reply.fence_id = hdr->fence_id;
		reply.ctx_id = hdr->ctx_id;
		if (gpu_command_has_ring(gpu, command)) {
			reply.flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
			reply.ring_idx = hdr->ring_idx;
		}
	}
	trace(command);
	atomic_fetch_add(&gpu->stats.commands, 1);
	if (failed) {
		atomic_fetch_add(&gpu->stats.errors, 1);
	}
	if (command->writable >= HEADER_LEN) {
		(void)iov_from_buf(
				request->writable, request->writable_count, 0, &reply, HEADER_LEN);
		written = failed ? HEADER_LEN : MAX(command->reply_len, HEADER_LEN);
	}
	g_free(command);
	gpu->client->impl->completed(gpu->client, request, written);
}

/* Writes nothing: after a reset the guest may use the buffer for something else. */
static void command_abandon(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_request *request = command->request;

	g_free(command);
	gpu->client->impl->completed(gpu->client, request, 0);
}

void gpu_commands_complete_retired(struct gpu *gpu)
{
	struct gpu_command *command;

	while ((command = g_queue_pop_head(&gpu->retired)) != NULL) {
		command_complete(gpu, command);
	}
}

void gpu_commands_abandon_retired(struct gpu *gpu)
{
	struct gpu_command *command;

	while ((command = g_queue_pop_head(&gpu->retired)) != NULL) {
		command_abandon(gpu, command);
	}
}

static uint32_t check_reply_room(struct gpu_command *command)
{
	/* Drivers send cursor commands without room for a reply, and none is expected then. */
	if (command->type->queue == VIRTIO_GPU_QUEUE_CURSOR && command->writable == 0) {
		return 0;
	}
	if (command->writable < command->type->reply_len) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_UNSPEC, "no room for the reply");
	}
	return 0;
}

/* Everything that can be said without looking at the command's meaning. Returns 0 or the error. */
static uint32_t command_check(const struct gpu *gpu, struct gpu_command *command)
{
	const struct gpu_command_type *type = command->type;

	if (command->readable < HEADER_LEN) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_UNSPEC, "shorter than a header");
	}
	if (!type || type->queue != command->request->queue) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_UNSPEC,
				"no such command on this queue");
	}
	if ((type->features & ~gpu->features) != 0) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_UNSPEC,
				"needs a feature that is not offered");
	}
	if (command->readable < type->request_len) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_UNSPEC, "request cut short");
	}
	return check_reply_room(command);
}

/* A ring belongs to a context. CTX_CREATE may name the one it makes. Worker. */
static uint32_t check_ring(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_ctrl_hdr *hdr = &command->wire.hdr;

	if (!gpu_command_has_ring(gpu, command)) {
		return 0;
	}
	if (hdr->ring_idx >= VIRTIO_GPU_MAX_RINGS) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"ring out of range");
	}
	if (hdr->type != VIRTIO_GPU_CMD_CTX_CREATE && !gpu_context_find(gpu, hdr->ctx_id)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
				"ring of a context that does not exist");
	}
	return 0;
}

static void command_run(struct gpu *gpu, struct gpu_work *work)
{
	struct gpu_command *command = container_of(work, struct gpu_command, work);

	if (command->reply == 0) {
		command->reply = check_ring(gpu, command);
	}
	if (command->reply == 0) {
		command->reply = command->type->run(gpu, command);
	}
	assert(command->reply != 0);
	/* A failed command's fence is no earlier than a good one's: drivers take it for everything before it. */
	if (gpu_command_is_fenced(command)) {
		gpu_fence_add(gpu, command);
	} else if (!command->flush_waiting) {
		g_queue_push_tail(&gpu->retired, command);
	}
}

static void command_drop(struct gpu *gpu, struct gpu_work *work)
{
	command_abandon(gpu, container_of(work, struct gpu_command, work));
}

static struct gpu_command *command_create(struct gpu_request *request)
{
	struct gpu_command *command = g_new0(struct gpu_command, 1);

	command->work.run = command_run;
	command->work.drop = command_drop;
	command->request = request;
	command->readable = iov_size(request->readable, request->readable_count);
	command->writable = iov_size(request->writable, request->writable_count);
	if (command->readable >= HEADER_LEN) {
		(void)iov_to_buf(request->readable, request->readable_count, 0, &command->wire,
				sizeof(command->wire)); /* command_check() knows how much there is */
		command->type = gpu_command_type_find(command->wire.hdr.type);
	}
	return command;
}

void gpu_command_submit(struct gpu *gpu, struct gpu_request *request)
{
	struct gpu_command *command = command_create(request);

	command->reply = command_check(gpu, command);
	if (command->reply == 0 && command->type->submit) {
		command->reply = command->type->submit(gpu, command);
	}
	if (command->reply != 0 && !gpu_command_is_fenced(command)) {
		command_complete(gpu, command);
	} else {
		worker_post(gpu, &command->work);
	}
}
