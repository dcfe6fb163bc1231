/* SPDX-License-Identifier: MIT */
#include "core/boot/decompress.h"

#include "core/base/bytes.h"
#include "tests/harness/test.h"

#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define LEN (9 * MiB) /* more than one lz4 block */

/* Something that compresses, but not to nothing. */
static uint8_t *make_data(void)
{
	uint8_t *data = g_malloc(LEN);
	uint32_t seed = 1;

	for (size_t i = 0; i < LEN; i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = i % 64 < 60 ? (uint8_t)(i / 4096) : (uint8_t)(seed >> 24);
	}
	return data;
}

static size_t compress_gzip(const uint8_t *data, uint8_t *out, size_t room)
{
	z_stream stream = {.next_in = (uint8_t *)(uintptr_t)data,
			.avail_in = LEN,
			.next_out = out,
			.avail_out = (uInt)room};

	assert_int_equal(
			deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	return room - stream.avail_out;
}

static size_t compress_xz(const uint8_t *data, uint8_t *out, size_t room)
{
	lzma_options_lzma options;
	size_t len = 0;

	/* as the kernel's build does: with the x86 filter */
	lzma_lzma_preset(&options, 0);
	lzma_filter filters[] = {{LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &options},
			{LZMA_VLI_UNKNOWN, NULL}};
	assert_int_equal(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, data, LEN, out,
					 &len, room),
			LZMA_OK);
	return len;
}

static size_t compress_lzma(const uint8_t *data, uint8_t *out, size_t room)
{
	lzma_options_lzma options;
	lzma_stream stream = LZMA_STREAM_INIT;

	lzma_lzma_preset(&options, 0);
	assert_int_equal(lzma_alone_encoder(&stream, &options), LZMA_OK);
	stream.next_in = data;
	stream.avail_in = LEN;
	stream.next_out = out;
	stream.avail_out = room;
	assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
	lzma_end(&stream);
	return room - stream.avail_out;
}

static size_t compress_zstd(const uint8_t *data, uint8_t *out, size_t room)
{
	size_t len = ZSTD_compress(out, room, data, LEN, 1);

	assert_false(ZSTD_isError(len));
	return len;
}

static size_t compress_lz4(const uint8_t *data, uint8_t *out, size_t room)
{
	size_t at = 4;

	le32_store(out, 0x184c2102);
	for (size_t from = 0; from < LEN; from += 8 * MiB) {
		int n = LZ4_compress_default((const char *)data + from, (char *)out + at + 4,
				(int)MIN(LEN - from, 8 * MiB), (int)(room - at - 4));
		assert_true(n > 0);
		le32_store(out + at, (uint32_t)n);
		at += 4 + (size_t)n;
	}
	return at;
}

static const struct {
	enum compression compression;
	const char *name;
	size_t (*compress)(const uint8_t *data, uint8_t *out, size_t room);
} formats[] = {
		{COMPRESSION_GZIP, "gzip", compress_gzip},
		{COMPRESSION_XZ, "xz", compress_xz},
		{COMPRESSION_LZMA, "lzma", compress_lzma},
		{COMPRESSION_ZSTD, "zstd", compress_zstd},
		{COMPRESSION_LZ4, "lz4", compress_lz4},
};

struct fixture {
	uint8_t *data;
	uint8_t *packed; /* with room behind it */
	size_t room;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->data = make_data();
	f->room = LEN * 2;
	f->packed = g_malloc0(f->room);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	g_free(f->data);
	g_free(f->packed);
	g_free(f);
	return 0;
}

static void expect_data(
		struct fixture *f, const char *name, enum compression compression, size_t len)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = decompress(compression, f->packed, len, 2 * LEN, &error);

	if (!bytes) {
		fail_msg("%s: %s", name, error->message);
	}
	assert_int_equal(g_bytes_get_size(bytes), LEN);
	assert_memory_equal(g_bytes_get_data(bytes, NULL), f->data, LEN);
}

static void expect_error(struct fixture *f, const char *name, enum compression compression,
		size_t len, size_t max, const char *says)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = decompress(compression, f->packed, len, max, &error);

	if (bytes || !strstr(error->message, says)) {
		fail_msg("%s: %s", name, bytes ? "accepted" : error->message);
	}
}

static void test_formats(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		enum compression compression = formats[i].compression;
		const char *name = formats[i].name;
		memset(f->packed, 0, f->room);
		size_t len = formats[i].compress(f->data, f->packed, f->room - 4);
		assert_int_equal(compression_detect(f->packed, len), compression);
		assert_string_equal(compression_name(compression), name);

		expect_data(f, name, compression, len);
		/* a kernel's payload ends with its uncompressed size */
		le32_store(f->packed + len, LEN);
		expect_data(f, name, compression, len + 4);

		if (compression != COMPRESSION_LZ4) { /* whose frames have no end of their own */
			expect_error(f, name, compression, len - 20, 2 * LEN, "cut short");
		}
		expect_error(f, name, compression, len / 2, 2 * LEN, "cut short");
		expect_error(f, name, compression, 7, 2 * LEN, "cut short");
		expect_error(f, name, compression, len, LEN - 1,
				compression == COMPRESSION_LZ4 ? "corrupt" : "more comes out");
		expect_error(f, name, compression, len, 4096,
				compression == COMPRESSION_LZ4 ? "corrupt" : "more comes out");
	}
}

static void test_corrupt(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		size_t len = formats[i].compress(f->data, f->packed, f->room);
		memset(f->packed + len / 2, 0xff, 64);
		g_autoptr(GError) error = NULL;
		g_autoptr(GBytes) bytes = decompress(
				formats[i].compression, f->packed, len, 2 * LEN, &error);
		/* Formats without a checksum may not notice, but nothing else may happen. */
		assert_true(bytes || error);
	}
}

static void test_unsupported(void **state)
{
	static const struct {
		const char *magic;
		size_t len;
		enum compression compression;
		const char *says;
	} rows[] = {
			{"BZh91AY", 7, COMPRESSION_BZIP2,
					"compressed with bzip2, which is not supported (gzip,"},
			{"\x89LZO\0\r\n\x1a\n", 9, COMPRESSION_LZO, "compressed with lzo"},
			{"\x89LZO", 4, COMPRESSION_UNKNOWN, "compressed with an unknown format"},
			{"", 0, COMPRESSION_UNKNOWN, "unknown format"},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		memcpy(f->packed, rows[i].magic, rows[i].len);
		assert_int_equal(compression_detect(f->packed, rows[i].len), rows[i].compression);
		expect_error(f, rows[i].magic, rows[i].compression, rows[i].len, LEN, rows[i].says);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_formats),
			TEST(test_corrupt),
			TEST(test_unsupported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
