/* SPDX-License-Identifier: MIT */
/* The ways in which kernel images are compressed. The input is not trusted; what comes out is bounded. Any thread. */
#ifndef CORE_BOOT_DECOMPRESS_H
#define CORE_BOOT_DECOMPRESS_H

#include "core/base/base.h"

enum compression {
	COMPRESSION_UNKNOWN,
	COMPRESSION_GZIP,
	COMPRESSION_XZ,
	COMPRESSION_LZMA,
	COMPRESSION_ZSTD,
	COMPRESSION_LZ4, /* in the "legacy" frames that kernels use */
	COMPRESSION_BZIP2, /* recognized, not supported */
	COMPRESSION_LZO, /* likewise */
};

/* What the data looks like by its first bytes. */
enum compression compression_detect(const uint8_t *data, size_t len);

/* "gzip" and so on; "an unknown format". */
const char *compression_name(enum compression compression);

/*
 * Decompresses the stream that data begins with; what follows its end is ignored. More than max bytes of output, or a
 * stream that is cut short, is an error.
 */
GBytes *decompress(enum compression compression, const uint8_t *data, size_t len, size_t max,
		GError **error);

#endif
