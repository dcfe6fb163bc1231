/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer: on the files named on the command line, or on inputs from a fixed seed, so that
 * targets stay built and obvious faults show in every test run.
 */
#include "core/base/base.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#define RUNS 3000
#define INPUT_MAX_SIZE 4096

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Mostly small numbers and zeroes: what gets past first checks. */
static uint8_t random_byte(uint64_t *seed)
{
	uint64_t r = next_random(seed);

	switch (r % 4) {
	case 0:
		return 0;
	case 1:
		return (uint8_t)(r >> 8 & 7);
	default:
		return (uint8_t)(r >> 8);
	}
}

static bool run_file(const char *path)
{
	g_autofree char *data = NULL;
	g_autoptr(GError) error = NULL;
	size_t size;

	if (!g_file_get_contents(path, &data, &size, &error)) {
		fprintf(stderr, "%s\n", error->message);
		return false;
	}
	(void)LLVMFuzzerTestOneInput((const uint8_t *)data, size);
	return true;
}

int main(int argc, char **argv)
{
	static uint8_t input[INPUT_MAX_SIZE];
	uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

	for (int i = 1; i < argc; i++) {
		if (!run_file(argv[i])) {
			return EXIT_FAILURE;
		}
	}
	for (unsigned i = 0; argc == 1 && i < RUNS; i++) {
		size_t size = next_random(&seed) % (INPUT_MAX_SIZE + 1);
		for (size_t j = 0; j < size; j++) {
			input[j] = random_byte(&seed);
		}
		(void)LLVMFuzzerTestOneInput(input, size);
	}
	return EXIT_SUCCESS;
}
