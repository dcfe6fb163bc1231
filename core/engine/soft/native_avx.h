/* SPDX-License-Identifier: MIT */
#ifndef CORE_ENGINE_SOFT_NATIVE_AVX_H
#define CORE_ENGINE_SOFT_NATIVE_AVX_H

#include "core/engine/soft/avx.h"
#include "core/engine/soft/native.h"

/*
 * The thunk for an AVX instruction with the row desc; NULL when the code area is full. Its arguments: pointers to the operands
 * named by ModRM.reg, ModRM.rm, VEX.vvvv (of VPCMPESTR?: the value of rdx) and the immediate. A vector is pointed to by its
 * half in cpu->fx, a general register by that in cpu->regs; rm may be memory of the operand's size. The flag is
 * NATIVE_FLAG_MXCSR or none. Any thread.
 */
const struct native_op *native_avx_get(const struct insn *insn, const struct avx_desc *desc);

#endif
