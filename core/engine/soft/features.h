/* SPDX-License-Identifier: MIT */
/*
 * What the software CPU can be: the features that it implements, of which those that run natively depend on the host, and
 * what becomes of a decoded instruction whose feature the guest was not given.
 */
#ifndef CORE_ENGINE_SOFT_FEATURES_H
#define CORE_ENGINE_SOFT_FEATURES_H

#include "core/engine/soft/cpu.h"

/* What guests may have on this host. Constant; any thread. */
const struct cpu_offer *features_offer(void);

/* The same on a host whose processor has these. Pure. */
void features_make_offer(const struct cpu_features *host, struct cpu_offer *ret_offer);

/* The feature that the instruction belongs to, CPU_FEATURE_NONE if every processor has it. */
enum cpu_feature features_needed(const struct insn *insn, enum insn_mode mode);

/*
 * Adapts a decoded instruction to what the guest was given, before it is bound: without LZCNT and BMI1, LZCNT and TZCNT are BSR
 * and BSF. False if it is undefined for this guest.
 */
bool features_apply(const struct cpu_features *features, enum insn_mode mode, struct insn *insn);

#endif
