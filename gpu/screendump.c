/* SPDX-License-Identifier: MIT */
#include "gpu/screendump.h"

#include "core/base/fd.h"
#include "display/png.h"
#include "gpu/cursor.h"
#include "gpu/fence.h"
#include "gpu/format.h"
#include "gpu/resource.h"
#include "gpu/worker.h"

struct screendump {
	struct gpu_work work;
	unsigned head;
	bool cursor;
	int fd;
	void (*done)(void *opaque, const GError *error);
	void *opaque;
};

static void finish(struct screendump *dump, const GError *error)
{
	fd_close(&dump->fd);
	dump->done(dump->opaque, error);
	g_free(dump);
}

static void fail(struct screendump *dump, const char *why)
{
	g_autoptr(GError) error = NULL;

	g_set_error(&error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "head %u: %s", dump->head, why);
	finish(dump, error);
}

/* The cursor over the picture, which becomes BGRX. */
static void add_cursor(struct gpu *gpu, unsigned head, struct rect *size, enum pixel_format *format,
		uint8_t **pixels)
{
	struct display_cursor cursor;
	int32_t x, y;
	uint32_t stride = size->width * GPU_BYTES_PER_PIXEL;

	if (!gpu_cursor_get(gpu, head, &cursor, &x, &y)) {
		return;
	}
	uint8_t *bgra = g_try_malloc((size_t)stride * size->height);
	if (!bgra) {
		return; /* the picture without it is still the better one */
	}
	pixel_convert_to_bgra(*format, size->width, size->height, *pixels, stride, bgra, stride);
	pixel_blend_cursor(bgra, size->width, size->height, stride, &cursor, x, y);
	g_free(*pixels);
	*pixels = bgra;
	*format = PIXEL_BGRX;
}

/* The head's picture lies still: all work has signalled. */
static void dump_then(struct gpu *gpu, void *opaque)
{
	struct screendump *dump = opaque;
	struct gpu_head *head = &gpu->heads[dump->head];
	struct rect source = head->source;
	uint32_t stride = source.width * GPU_BYTES_PER_PIXEL;
	enum pixel_format format = PIXEL_BGRX;
	g_autofree uint8_t *pixels = NULL;
	g_autoptr(GError) error = NULL;

	pixels = g_try_malloc((size_t)stride * source.height);
	if (!pixels) {
		fail(dump, "no memory for the picture");
		return;
	}
	if (gpu->impl->read_pixels(gpu->backend, head->resource->desc.id, &source, pixels, stride,
			    &format) != 0) {
		fail(dump, "the renderer cannot read the picture");
		return;
	}
	if (dump->cursor) {
		add_cursor(gpu, dump->head, &source, &format, &pixels);
	}
	(void)png_write(dump->fd, format, source.width, source.height, pixels, stride,
			&error); /* error says it */
	finish(dump, error);
}

/* Where the head shows nothing: what it showed last. */
static void dump_kept(struct screendump *dump, const struct gpu_kept *kept)
{
	g_autoptr(GError) error = NULL;

	if (!kept->pixels) {
		fail(dump, "it shows nothing");
		return;
	}
	(void)png_write(dump->fd, kept->format, kept->width, kept->height, kept->pixels,
			kept->width * GPU_BYTES_PER_PIXEL, &error); /* error says it */
	finish(dump, error);
}

static void dump_cancel(struct gpu *gpu, void *opaque)
{
	(void)gpu;
	fail(opaque, "the device was reset");
}

static void screendump_run(struct gpu *gpu, struct gpu_work *work)
{
	struct screendump *dump = container_of(work, struct screendump, work);

	if (dump->head >= gpu->config.scanouts) {
		fail(dump, "there is no such head");
	} else if (!gpu->heads[dump->head].resource) {
		dump_kept(dump, &gpu->heads[dump->head].kept);
	} else {
		gpu_barrier_start(gpu, dump_then, dump_cancel, dump);
	}
}

static void screendump_drop(struct gpu *gpu, struct gpu_work *work)
{
	dump_cancel(gpu, container_of(work, struct screendump, work));
}

void gpu_screendump_post(struct gpu *gpu, unsigned head, bool cursor, int take_fd,
		void (*done)(void *opaque, const GError *error), void *opaque)
{
	struct screendump *dump = g_new0(struct screendump, 1);

	dump->work.run = screendump_run;
	dump->work.drop = screendump_drop;
	dump->head = head;
	dump->cursor = cursor;
	dump->fd = take_fd;
	dump->done = done;
	dump->opaque = opaque;
	worker_post(gpu, &dump->work);
}
