/* SPDX-License-Identifier: MIT */
/* What each command does; see struct gpu_command_type for how they are called. Grouped by file. */
#ifndef GPU_HANDLERS_H
#define GPU_HANDLERS_H

#include "gpu/command.h"

/* handlers_display.c */
uint32_t gpu_handle_get_display_info(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_get_edid(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_set_scanout(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_resource_flush(struct gpu *gpu, struct gpu_command *command);

/* handlers_resource.c */
uint32_t gpu_handle_resource_create_2d(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_resource_create_3d(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_resource_unref(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_attach_backing(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_detach_backing(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_assign_uuid(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_transfer_to_host_2d(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_transfer_to_host_3d(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_transfer_from_host_3d(struct gpu *gpu, struct gpu_command *command);

/* handlers_context.c */
uint32_t gpu_handle_get_capset_info(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_get_capset(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_ctx_create(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_ctx_destroy(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_ctx_attach_resource(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_ctx_detach_resource(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_handle_submit_3d(struct gpu *gpu, struct gpu_command *command);

#endif
