/* SPDX-License-Identifier: MIT */
#include "core/boot/decompress.h"

#include "core/base/bytes.h"

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#define FIRST_CAPACITY (4 * MiB)
#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_LEGACY_BLOCK (8 * MiB) /* a block decompresses to at most this much */
#define LZMA_MEMORY_LIMIT (512 * MiB)

static const struct {
	const char *name;
	enum compression compression;
	uint8_t magic_len;
	uint8_t magic[9];
} formats[] = {
		{"gzip", COMPRESSION_GZIP, 2, {0x1f, 0x8b}},
		{"xz", COMPRESSION_XZ, 6, {0xfd, '7', 'z', 'X', 'Z', 0}},
		{"lzma", COMPRESSION_LZMA, 3, {0x5d, 0, 0}},
		{"zstd", COMPRESSION_ZSTD, 4, {0x28, 0xb5, 0x2f, 0xfd}},
		{"lz4", COMPRESSION_LZ4, 4, {0x02, 0x21, 0x4c, 0x18}},
		{"bzip2", COMPRESSION_BZIP2, 3, {'B', 'Z', 'h'}},
		{"lzo", COMPRESSION_LZO, 9, {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'}},
};

enum compression compression_detect(const uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		if (len >= formats[i].magic_len &&
				memcmp(data, formats[i].magic, formats[i].magic_len) == 0) {
			return formats[i].compression;
		}
	}
	return COMPRESSION_UNKNOWN;
}

const char *compression_name(enum compression compression)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		if (formats[i].compression == compression) {
			return formats[i].name;
		}
	}
	return "an unknown format";
}

/* Grows as it fills, up to max. */
struct output {
	uint8_t *data;
	size_t len, capacity, max;
};

static bool set_error(GError **error, const char *what)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s", what);
	return false;
}

static bool set_cut_short(GError **error)
{
	return set_error(error, "the compressed data is cut short");
}

static bool set_corrupt(GError **error)
{
	return set_error(error, "the compressed data is corrupt");
}

/* Makes room for at least one more byte, or for wanted if max allows it. */
static bool make_room(struct output *output, size_t wanted, GError **error)
{
	size_t room = output->capacity - output->len;

	if (room >= wanted) {
		return true;
	}
	if (output->capacity == output->max) {
		return room > 0 ||
		       set_error(error,
				       "more comes out of the compressed data than a kernel can hold");
	}
	size_t capacity = MAX(MAX(output->capacity * 2, FIRST_CAPACITY), output->len + wanted);
	capacity = MIN(capacity, output->max);
	uint8_t *data = g_try_realloc(output->data, capacity);
	if (!data) {
		return set_error(error, "not enough memory to decompress");
	}
	output->data = data;
	output->capacity = capacity;
	return true;
}

static bool decompress_gzip(struct output *output, const uint8_t *data, size_t len, GError **error)
{
	z_stream stream = {.next_in = (uint8_t *)(uintptr_t)data, .avail_in = (uInt)len};
	int ret = inflateInit2(&stream, 15 + 16);
	bool ok = ret == Z_OK || set_error(error, "not enough memory to decompress");

	while (ok && ret != Z_STREAM_END) {
		ok = make_room(output, 1, error);
		if (!ok) {
			break;
		}
		size_t room = output->capacity - output->len;
		stream.next_out = output->data + output->len;
		stream.avail_out = (uInt)room;
		ret = inflate(&stream, Z_NO_FLUSH);
		output->len += room - stream.avail_out;
		if (ret == Z_BUF_ERROR ||
				(ret == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
			ok = set_cut_short(error);
		} else if (ret != Z_OK && ret != Z_STREAM_END) {
			ok = set_corrupt(error);
		}
	}
	inflateEnd(&stream);
	return ok;
}

/* .xz and the older .lzma. */
static bool decompress_lzma(struct output *output, const uint8_t *data, size_t len, GError **error)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_ret ret = lzma_auto_decoder(&stream, LZMA_MEMORY_LIMIT, 0);
	bool ok = ret == LZMA_OK || set_error(error, "not enough memory to decompress");

	stream.next_in = data;
	stream.avail_in = len;
	while (ok && ret != LZMA_STREAM_END) {
		ok = make_room(output, 1, error);
		if (!ok) {
			break;
		}
		size_t room = output->capacity - output->len;
		stream.next_out = output->data + output->len;
		stream.avail_out = room;
		ret = lzma_code(&stream, LZMA_RUN);
		output->len += room - stream.avail_out;
		if (ret == LZMA_BUF_ERROR ||
				(ret == LZMA_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
			ok = set_cut_short(error);
		} else if (ret == LZMA_MEMLIMIT_ERROR || ret == LZMA_MEM_ERROR) {
			ok = set_error(error, "not enough memory to decompress");
		} else if (ret != LZMA_OK && ret != LZMA_STREAM_END) {
			ok = set_corrupt(error);
		}
	}
	lzma_end(&stream);
	return ok;
}

static bool decompress_zstd(struct output *output, const uint8_t *data, size_t len, GError **error)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	ZSTD_inBuffer in = {.src = data, .size = len};
	bool ok = stream || set_error(error, "not enough memory to decompress");
	size_t ret = 1;

	while (ok && ret != 0) {
		ok = make_room(output, 1, error);
		if (!ok) {
			break;
		}
		ZSTD_outBuffer out = {
				.dst = output->data, .size = output->capacity, .pos = output->len};
		ret = ZSTD_decompressStream(stream, &out, &in);
		bool full = out.pos == out.size;
		output->len = out.pos;
		if (ZSTD_isError(ret)) {
			ok = set_corrupt(error);
		} else if (ret != 0 && in.pos == in.size && !full) {
			ok = set_cut_short(error);
		}
	}
	ZSTD_freeDStream(stream);
	return ok;
}

/* A magic number, then blocks: compressed length, data. Frames may follow each other; the end of input is the end. */
static bool decompress_lz4(struct output *output, const uint8_t *data, size_t len, GError **error)
{
	size_t at = 4;

	while (len - at >= 4) {
		uint32_t size = le32_load(data + at);
		at += 4;
		if (size == LZ4_LEGACY_MAGIC) {
			continue;
		}
		if (size == 0 || size > len - at) {
			/* A kernel's payload ends with a number that is no block: its uncompressed size. */
			return output->len > 0 && at == len ? true : set_cut_short(error);
		}
		if (!make_room(output, LZ4_LEGACY_BLOCK, error)) {
			return false;
		}
		size_t room = MIN(output->capacity - output->len, LZ4_LEGACY_BLOCK);
		int n = LZ4_decompress_safe((const char *)data + at,
				(char *)output->data + output->len, (int)size, (int)room);
		if (n < 0) {
			return set_corrupt(error);
		}
		output->len += (size_t)n;
		at += size;
	}
	return output->len > 0 || set_cut_short(error);
}

GBytes *decompress(enum compression compression, const uint8_t *data, size_t len, size_t max,
		GError **error)
{
	struct output output = {.max = max};
	bool ok = false;

	switch (len <= INT_MAX ? compression : COMPRESSION_UNKNOWN) {
	case COMPRESSION_GZIP:
		ok = decompress_gzip(&output, data, len, error);
		break;
	case COMPRESSION_XZ:
	case COMPRESSION_LZMA:
		ok = decompress_lzma(&output, data, len, error);
		break;
	case COMPRESSION_ZSTD:
		ok = decompress_zstd(&output, data, len, error);
		break;
	case COMPRESSION_LZ4:
		ok = decompress_lz4(&output, data, len, error);
		break;
	case COMPRESSION_UNKNOWN:
	case COMPRESSION_BZIP2:
	case COMPRESSION_LZO:
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"compressed with %s, which is not supported (gzip, xz, lzma, zstd and lz4 are)",
				compression_name(compression));
		break;
	}
	if (!ok) {
		g_free(output.data);
		return NULL;
	}
	return g_bytes_new_take(output.data, output.len);
}
