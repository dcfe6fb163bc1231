/* SPDX-License-Identifier: MIT */
/*
 * The cursor queue. Positions and hiding take effect on the submitting thread, at once, even while the renderer is busy; a
 * new image needs the worker, which drops it if a newer update has overtaken it.
 */
#ifndef GPU_CURSOR_H
#define GPU_CURSOR_H

#include "gpu/command.h"

/* Submitting thread. */
uint32_t gpu_cursor_handle_move(struct gpu *gpu, struct gpu_command *command);
uint32_t gpu_cursor_handle_update(struct gpu *gpu, struct gpu_command *command);

/* Worker: reads the image. */
uint32_t gpu_cursor_handle_image(struct gpu *gpu, struct gpu_command *command);

/* Hides the cursors of all heads. */
void gpu_cursors_clear(struct gpu *gpu);

/* What the head's cursor looks like and where it is; false if it is hidden. Any thread. */
bool gpu_cursor_get(struct gpu *gpu, unsigned head, struct display_cursor *ret_cursor,
		int32_t *ret_x, int32_t *ret_y);

#endif
