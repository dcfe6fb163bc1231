/* SPDX-License-Identifier: MIT */
/*
 * The KVM engine: the host's processor runs guest code. Local APICs are the kernel's, the I/O APIC
 * and the 8259 the board's (split irqchip).
 */
#ifndef CORE_ENGINE_KVM_KVM_H
#define CORE_ENGINE_KVM_KVM_H

#include "core/engine/engine.h"

extern const struct engine_impl kvm_engine;

#endif
