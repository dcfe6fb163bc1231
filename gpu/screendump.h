/* SPDX-License-Identifier: MIT */
/* Pictures of what a head shows, as PNG files; see gpu_screendump(). */
#ifndef GPU_SCREENDUMP_H
#define GPU_SCREENDUMP_H

#include "gpu/state.h"

/* Queues the screendump behind the commands so far. Arguments as for gpu_screendump(). Any thread. */
void gpu_screendump_post(struct gpu *gpu, unsigned head, bool cursor, int take_fd,
		void (*done)(void *opaque, const GError *error), void *opaque);

#endif
