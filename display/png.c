/* SPDX-License-Identifier: MIT */
#include "display/png.h"

#include "core/base/fd.h"
#include "display/pixel.h"

#include <png.h>

#define COMPRESSION_LEVEL \
	3 /* a desktop of 1920x1080 in a tenth of a second, a tenth larger than the best */

struct writer {
	int fd;
	GError *error;
	png_structp png;
	png_infop info;
	uint8_t *row; /* RGB */
};

static G_NORETURN void handle_error(png_structp png, png_const_charp message)
{
	struct writer *writer = png_get_error_ptr(png);

	if (!writer->error) {
		g_set_error(&writer->error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "PNG: %s", message);
	}
	png_longjmp(png, 1);
}

static void handle_warning(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

static void handle_write(png_structp png, png_bytep data, size_t len)
{
	struct writer *writer = png_get_io_ptr(png);

	if (!fd_write_all(writer->fd, data, len, &writer->error)) {
		png_error(png, "write");
	}
}

static void handle_flush(png_structp png)
{
	(void)png;
}

static bool write_image(struct writer *writer, enum pixel_format format, uint32_t width,
		uint32_t height, const uint8_t *pixels, uint32_t stride)
{
	if (setjmp(png_jmpbuf(writer->png))) {
		return false;
	}
	png_set_write_fn(writer->png, writer, handle_write, handle_flush);
	png_set_compression_level(writer->png, COMPRESSION_LEVEL);
	png_set_IHDR(writer->png, writer->info, width, height, 8, PNG_COLOR_TYPE_RGB,
			PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(writer->png, writer->info);
	for (uint32_t y = 0; y < height; y++) {
		pixel_row_to_rgb(writer->row, pixels + (size_t)y * stride, width, format);
		png_write_row(writer->png, writer->row);
	}
	png_write_end(writer->png, NULL);
	return true;
}

bool png_write(int fd, enum pixel_format format, uint32_t width, uint32_t height,
		const void *pixels, uint32_t stride, GError **error)
{
	struct writer writer = {.fd = fd};
	bool ok = false;

	assert(format < PIXEL_FORMAT_COUNT);
	writer.png = png_create_write_struct(
			PNG_LIBPNG_VER_STRING, &writer, handle_error, handle_warning);
	if (writer.png) {
		writer.info = png_create_info_struct(writer.png);
	}
	writer.row = g_try_malloc_n(width, 3);
	if (!writer.info || !writer.row) {
		g_set_error(&writer.error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
				"PNG: no memory for %ux%u", width, height);
	} else {
		ok = write_image(&writer, format, width, height, pixels, stride);
	}
	png_destroy_write_struct(&writer.png, &writer.info);
	g_free(writer.row);
	if (!ok) {
		g_propagate_error(error, writer.error);
	}
	return ok;
}
