/* SPDX-License-Identifier: MIT */
/*
 * Segment registers and descriptors: loading with all checks, in every mode. Limits and types of
 * accesses are checked by segment_check() (operand.h). SDM vol. 3, chapters 3, 5 and 7. vCPU
 * thread.
 */
#ifndef CORE_ENGINE_SOFT_SEGMENT_H
#define CORE_ENGINE_SOFT_SEGMENT_H

#include "core/engine/soft/cpu.h"

/*
 * System descriptor types (SDM vol. 3, table 3-2); 16-bit TSS and gates exist outside long mode
 * only.
 */
enum descriptor_type {
	DESCRIPTOR_TSS16_AVAILABLE = 1,
	DESCRIPTOR_LDT = 2,
	DESCRIPTOR_TSS16_BUSY = 3,
	DESCRIPTOR_CALL_GATE16 = 4,
	DESCRIPTOR_TASK_GATE = 5,
	DESCRIPTOR_INTERRUPT_GATE16 = 6,
	DESCRIPTOR_TRAP_GATE16 = 7,
	DESCRIPTOR_TSS_AVAILABLE = 9,
	DESCRIPTOR_TSS_BUSY = 11,
	DESCRIPTOR_CALL_GATE = 12,
	DESCRIPTOR_INTERRUPT_GATE = 14,
	DESCRIPTOR_TRAP_GATE = 15,
};

#define SELECTOR_RPL(selector) ((selector)&3u)
#define SELECTOR_INDEX(selector) ((selector)&0xfff8u)
#define SELECTOR_TI 4u
#define SELECTOR_NULL(selector) (((selector) & ~3u) == 0)

/* A descriptor as it stands in a table, and the linear address it came from. */
struct descriptor {
	uint64_t raw;
	uint64_t upper; /* second half of 16-byte long-mode system descriptors, else 0 */
	uint64_t linear;
};

static inline unsigned descriptor_type(const struct descriptor *desc)
{
	return (desc->raw >> 40) & 15;
}

/* Code or data, not system. */
static inline bool descriptor_is_segment(const struct descriptor *desc)
{
	return (desc->raw >> 44) & 1;
}

static inline unsigned descriptor_dpl(const struct descriptor *desc)
{
	return (desc->raw >> 45) & 3;
}

static inline bool descriptor_present(const struct descriptor *desc)
{
	return (desc->raw >> 47) & 1;
}

static inline bool descriptor_is_code(const struct descriptor *desc)
{
	return descriptor_is_segment(desc) && (desc->raw & BIT(43));
}

static inline bool descriptor_is_conforming(const struct descriptor *desc)
{
	return descriptor_is_code(desc) && (desc->raw & BIT(42));
}

/* Reads the 8-byte entry that selector names; false if it lies outside its table. May raise #PF. */
bool descriptor_read(struct cpu *cpu, uint16_t selector, struct descriptor *ret_desc);

/* Reads the second half of a 16-byte entry into desc->upper; false if it lies outside the table. */
bool descriptor_read_upper(struct cpu *cpu, uint16_t selector, struct descriptor *desc);

/* Sets the accessed bit in the table, if it is not set, and in desc. May raise #PF. */
void descriptor_set_accessed(struct cpu *cpu, struct descriptor *desc);

/* Flips the busy bit of a TSS descriptor in the table. */
void descriptor_set_busy(struct cpu *cpu, struct descriptor *desc, bool busy);

/* The hidden part that desc gives a segment register; also for LDT and TSS. */
struct x86_segment descriptor_segment(const struct descriptor *desc, uint16_t selector);

/* A segment register as a null selector leaves it. */
struct x86_segment segment_null(uint16_t selector);

/*
 * A segment register as real mode loads it, limit and attributes kept; and as virtual-8086 mode
 * does.
 */
struct x86_segment segment_real(const struct x86_segment *old, uint16_t selector);
struct x86_segment segment_v8086(uint16_t selector);

/*
 * Loads ES, SS, DS, FS or GS in the current mode, as MOV, POP and LDS do. Raises #GP, #NP, #SS, #PF
 * and changes nothing then.
 */
void segment_load(struct cpu *cpu, unsigned segment, uint16_t selector);

/*
 * What failed checks raise: #GP, or #TS in task switches and on the way inward; ext is the error
 * code's EXT bit.
 */
struct segment_blame {
	enum x86_vector vector;
	uint32_t ext;
};

/*
 * Protected mode: checks and reads a data or stack segment for a privilege level, without loading
 * it.
 */
struct x86_segment segment_fetch_data(
		struct cpu *cpu, uint16_t selector, unsigned cpl, struct segment_blame blame);
struct x86_segment segment_fetch_stack(
		struct cpu *cpu, uint16_t selector, unsigned cpl, struct segment_blame blame);

/* LLDT and LTR, and the part of the former in task switches. */
struct x86_segment segment_fetch_ldt(
		struct cpu *cpu, uint16_t selector, struct segment_blame blame);
void segment_load_ldtr(struct cpu *cpu, uint16_t selector);
void segment_load_tr(struct cpu *cpu, uint16_t selector);

/* Whether [offset, offset + len) lies within the limit, expand-down segments considered. */
bool segment_within(const struct x86_segment *seg, uint64_t offset, uint64_t len);

/* After a return to an outer level: data segments that the new CPL may not use become null. */
void segment_drop_privileged(struct cpu *cpu);

/* Commits CS: hidden part and CPL; the caller sets next_rip and then calls cpu_update_mode(). */
void segment_set_cs(struct cpu *cpu, const struct x86_segment *cs, unsigned cpl);

#endif
