/* SPDX-License-Identifier: MIT */
/* Hardware breakpoints: DR0-DR3, DR6, DR7. SDM vol. 3, chapter 17. vCPU thread. */
#ifndef CORE_ENGINE_SOFT_DEBUG_H
#define CORE_ENGINE_SOFT_DEBUG_H

#include "core/engine/soft/cpu.h"

#define DEBUG_DR6_FIXED 0xffff0ff0u
#define DEBUG_DR6_HITS UINT64_C(15) /* replaced by each debug exception; the rest accumulates */
#define DEBUG_DR6_BD BIT(13)
#define DEBUG_DR6_BS BIT(14)
#define DEBUG_DR6_BT BIT(15)
#define DEBUG_DR7_FIXED 0x400u
#define DEBUG_DR7_GD BIT(13)

/* In cpu->debug_pending: this instruction does not single-step. */
#define DEBUG_NO_STEP BIT(31)

/* Whether a data breakpoint lies in a page, which then gets no TLB entries. */
bool debug_watches_page(const struct cpu *cpu, uint64_t linear_page);

/* Remembers the data breakpoints that an access hits, for the trap after the instruction. */
void debug_note_access(struct cpu *cpu, uint64_t linear, unsigned size, bool is_write);

/* The same for I/O breakpoints. */
void debug_note_io(struct cpu *cpu, uint16_t port, unsigned size);

/* DR6 bits of the instruction breakpoints at a linear address, 0 if none is enabled. */
uint32_t debug_instruction_match(const struct cpu *cpu, uint64_t linear);

/* Writes DR7 with what follows for the TLB. */
void debug_set_dr7(struct cpu *cpu, uint64_t value);

#endif
