/* SPDX-License-Identifier: MIT */
/*
 * Zydis as the judge of the instruction decoder: what it says of some bytes, put in terms of struct
 * insn, against what insn_decode() says. Differences that are meant are listed in decode_oracle.c.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_DECODE_ORACLE_H
#define TESTS_CORE_ENGINE_SOFT_DECODE_ORACLE_H

#include "core/engine/soft/decode.h"

#include <Zydis/Zydis.h>

struct decode_oracle {
	enum insn_mode mode;
	ZydisDecoder decoder;
	uint64_t agreed; /* encodings both know */
	uint64_t undefined; /* encodings neither knows, or the processor does not offer */
	uint64_t different;
};

void decode_oracle_init(struct decode_oracle *oracle, enum insn_mode mode);

/*
 * Decodes the instruction at bytes both ways and counts the outcome; says the first few differences
 * on stderr. Returns the instruction's length as Zydis sees it, or 1 where there is none.
 */
size_t decode_oracle_check(struct decode_oracle *oracle, const uint8_t *bytes, size_t size);

#endif
