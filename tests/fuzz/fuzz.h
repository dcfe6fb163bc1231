/* SPDX-License-Identifier: MIT */
/* What a fuzz target offers, to libFuzzer or to standalone.c. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "core/base/base.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Only with libFuzzer. A target may offer the first, for changes that it would not come upon; the second is libFuzzer's. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Takes an input apart from its front; an exhausted one gives zeroes. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline void fuzz_take(struct fuzz_input *input, void *buf, size_t len)
{
	size_t n = MIN(len, input->left);

	memset(buf, 0, len);
	if (n > 0) {
		memcpy(buf, input->at, n);
		input->at += n;
		input->left -= n;
	}
}

static inline uint8_t fuzz_take8(struct fuzz_input *input)
{
	uint8_t value;
	fuzz_take(input, &value, sizeof(value));
	return value;
}

static inline uint16_t fuzz_take16(struct fuzz_input *input)
{
	uint16_t value;
	fuzz_take(input, &value, sizeof(value));
	return value;
}

#endif
