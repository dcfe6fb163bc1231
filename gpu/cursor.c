/* SPDX-License-Identifier: MIT */
#include "gpu/cursor.h"

#include "gpu/format.h"
#include "gpu/resource.h"

/* Guests send signed positions in unsigned fields; hot spots may lie outside the screen. */
static void head_move_locked(
		struct gpu *gpu, unsigned head, const struct virtio_gpu_cursor_pos *pos)
{
	gpu->heads[head].cursor.x = (int32_t)pos->x;
	gpu->heads[head].cursor.y = (int32_t)pos->y;
	display_move_cursor(gpu->display, head, (int32_t)pos->x, (int32_t)pos->y);
}

static void head_hide_locked(struct gpu *gpu, unsigned head)
{
	gpu->heads[head].cursor.visible = false;
	display_set_cursor(gpu->display, head, NULL);
}

uint32_t gpu_cursor_handle_move(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_cursor_pos *pos = &command->wire.cursor.pos;

	if (pos->scanout_id >= gpu->config.scanouts) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, "no such scanout");
	}
	pthread_mutex_lock(&gpu->cursor_lock);
	head_move_locked(gpu, pos->scanout_id, pos);
	pthread_mutex_unlock(&gpu->cursor_lock);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_cursor_handle_update(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_update_cursor *update = &command->wire.cursor;
	unsigned head = update->pos.scanout_id;
	bool hide = update->resource_id == 0;

	if (head >= gpu->config.scanouts) {
		return gpu_command_refuse(
				command, VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, "no such scanout");
	}
	if (!hide && (update->hot_x >= VIRTIO_GPU_CURSOR_SIZE ||
				     update->hot_y >= VIRTIO_GPU_CURSOR_SIZE)) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"hotspot outside the cursor");
	}
	pthread_mutex_lock(&gpu->cursor_lock);
	command->cursor_update = ++gpu->heads[head].cursor.update;
	if (hide) {
		head_hide_locked(gpu, head);
	}
	head_move_locked(gpu, head, &update->pos);
	pthread_mutex_unlock(&gpu->cursor_lock);
	return hide ? VIRTIO_GPU_RESP_OK_NODATA : 0;
}

static uint32_t read_image(
		struct gpu *gpu, struct gpu_command *command, struct display_cursor *cursor)
{
	const struct virtio_gpu_update_cursor *update = &command->wire.cursor;
	const struct rect whole = {0, 0, VIRTIO_GPU_CURSOR_SIZE, VIRTIO_GPU_CURSOR_SIZE};
	const uint32_t stride = VIRTIO_GPU_CURSOR_SIZE * GPU_BYTES_PER_PIXEL;
	struct gpu_resource *resource = gpu_resource_find(gpu, update->resource_id);
	uint32_t raw[VIRTIO_GPU_CURSOR_SIZE * VIRTIO_GPU_CURSOR_SIZE] = {0};
	enum pixel_format format = PIXEL_BGRA;

	if (!resource) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
				"no such resource");
	}
	if (!gpu_resource_is_image(resource) || resource->desc.width != VIRTIO_GPU_CURSOR_SIZE ||
			resource->desc.height != VIRTIO_GPU_CURSOR_SIZE) {
		return gpu_command_refuse(command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
				"a cursor is an image of 64x64 pixels");
	}
	uint32_t error = gpu->impl->read_pixels(
			gpu->backend, update->resource_id, &whole, raw, stride, &format);
	if (error != 0) {
		return error;
	}
	cursor->width = VIRTIO_GPU_CURSOR_SIZE;
	cursor->height = VIRTIO_GPU_CURSOR_SIZE;
	cursor->hot_x = update->hot_x;
	cursor->hot_y = update->hot_y;
	pixel_convert_to_bgra(
			format, whole.width, whole.height, raw, stride, cursor->pixels, stride);
	return 0;
}

uint32_t gpu_cursor_handle_image(struct gpu *gpu, struct gpu_command *command)
{
	unsigned head = command->wire.cursor.pos.scanout_id;
	struct display_cursor image;

	uint32_t error = read_image(gpu, command, &image);
	if (error != 0) {
		return error;
	}
	pthread_mutex_lock(&gpu->cursor_lock);
	if (gpu->heads[head].cursor.update == command->cursor_update) {
		gpu->heads[head].cursor.visible = true;
		gpu->heads[head].cursor.image = image;
		display_set_cursor(gpu->display, head, &image);
	}
	pthread_mutex_unlock(&gpu->cursor_lock);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

void gpu_cursors_clear(struct gpu *gpu)
{
	pthread_mutex_lock(&gpu->cursor_lock);
	for (unsigned i = 0; i < gpu->config.scanouts; i++) {
		gpu->heads[i].cursor.update++;
		if (gpu->heads[i].cursor.visible) {
			head_hide_locked(gpu, i);
		}
	}
	pthread_mutex_unlock(&gpu->cursor_lock);
}

bool gpu_cursor_get(struct gpu *gpu, unsigned head, struct display_cursor *ret_cursor,
		int32_t *ret_x, int32_t *ret_y)
{
	pthread_mutex_lock(&gpu->cursor_lock);
	bool visible = gpu->heads[head].cursor.visible;
	if (visible) {
		*ret_cursor = gpu->heads[head].cursor.image;
		*ret_x = gpu->heads[head].cursor.x;
		*ret_y = gpu->heads[head].cursor.y;
	}
	pthread_mutex_unlock(&gpu->cursor_lock);
	return visible;
}
