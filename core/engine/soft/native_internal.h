/* SPDX-License-Identifier: MIT */
/* How thunks are written: for native.c and native_avx.c. */
#ifndef CORE_ENGINE_SOFT_NATIVE_INTERNAL_H
#define CORE_ENGINE_SOFT_NATIVE_INTERNAL_H

#include "core/engine/soft/native.h"

#define THUNK_MAX 224 /* bytes; the longest is about 190 */

/* One thunk under construction. */
struct emitter {
	uint8_t *bytes; /* THUNK_MAX of them, in the writable mapping */
	size_t len;
	size_t offset; /* of bytes in the area */
};

void native_emit(struct emitter *emitter, const uint8_t *bytes, size_t len);
void native_emit32(struct emitter *emitter, uint32_t value);

#define EMIT(emitter, ...) \
	native_emit((emitter), (const uint8_t[]){__VA_ARGS__}, \
			sizeof((const uint8_t[]){__VA_ARGS__}))

/* An instruction whose memory operand is [r8 + offset]: r8 points at the struct cpu. rex_w adds REX.W. */
void native_emit_cpu(struct emitter *emitter, bool rex_w, const uint8_t *opcode, size_t opcode_len,
		unsigned reg, size_t offset);

#define EMIT_CPU(emitter, rex_w, reg, field, ...) \
	native_emit_cpu((emitter), (rex_w), (const uint8_t[]){__VA_ARGS__}, \
			sizeof((const uint8_t[]){__VA_ARGS__}), (reg), \
			offsetof(struct cpu, field))

void native_emit_host_mxcsr(struct emitter *emitter);

/* Merges the host's arithmetic flags into cpu->rflags. Clobbers rax. */
void native_emit_save_flags(struct emitter *emitter);

/* Returns 0. */
void native_emit_return(struct emitter *emitter);

typedef void native_emit_fn(struct emitter *emitter, const void *opaque);

/* Keys of who builds thunks by native_thunk_get() have this bit. */
#define NATIVE_KEY_AVX BIT(63)

/* The thunk with that key, emitted if there is none yet; NULL when the code area is full. */
const struct native_op *native_thunk_get(
		uint64_t key, uint16_t flags, native_emit_fn *emit, const void *opaque);

#endif
