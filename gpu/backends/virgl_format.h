/* SPDX-License-Identifier: MIT */
/* How much host memory virgl resources take. */
#ifndef GPU_BACKENDS_VIRGL_FORMAT_H
#define GPU_BACKENDS_VIRGL_FORMAT_H

#include "gpu/backends/backend.h"
#include "gpu/stream/resource.h"

/* The largest edge of a texture that is asked of any host, in pixels. */
#define VIRGL_MAX_EDGE 16384

/*
 * Bytes of host memory that a resource takes at most: all levels, layers and samples, rows as
 * padded by drivers, compressed formats that drivers expand as expanded. False if no such resource
 * can exist.
 */
bool virgl_resource_bytes(const struct gpu_resource_desc *desc, uint64_t *ret_bytes);

/* What a stream checker is to know of it. */
void virgl_stream_resource(
		const struct gpu_resource_desc *desc, struct stream_resource *ret_resource);

/* Memory order of a format that a scanout can have; false for all others. */
bool virgl_pixel_format(uint32_t format, enum pixel_format *ret_format);

#endif
