/* SPDX-License-Identifier: MIT */
/* Code put together from pieces that do what software CPUs get wrong, as an input says. */
#ifndef TESTS_FUZZ_CPU_PIECES_H
#define TESTS_FUZZ_CPU_PIECES_H

#include "tests/fuzz/fuzz.h"

/* Fills GUEST_CODE with it, for operands of width bytes: 2, 4 or 8. */
void guest_write_code(uint8_t *ram, unsigned width, struct fuzz_input *input);

/* An address in a page with something about it, mostly where it begins. */
uint32_t guest_take_address(struct fuzz_input *input);

#endif
