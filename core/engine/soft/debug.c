/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/debug.h"

#include "core/base/checked.h"
#include "core/engine/soft/mmu.h"

/* The R/W fields of DR7. */
enum breakpoint_kind {
	BREAKPOINT_EXECUTE,
	BREAKPOINT_WRITE,
	BREAKPOINT_IO,
	BREAKPOINT_ACCESS,
};

#define BREAKPOINTS 4

static bool is_enabled(const struct cpu *cpu, unsigned i)
{
	return (cpu->dr[7] >> (2 * i)) & 3;
}

static enum breakpoint_kind kind_of(const struct cpu *cpu, unsigned i)
{
	return (enum breakpoint_kind)((cpu->dr[7] >> (16 + 4 * i)) & 3);
}

static unsigned length_of(const struct cpu *cpu, unsigned i)
{
	static const uint8_t lengths[] = {1, 2, 8, 4};

	return lengths[(cpu->dr[7] >> (18 + 4 * i)) & 3];
}

static bool is_data(enum breakpoint_kind kind)
{
	return kind == BREAKPOINT_WRITE || kind == BREAKPOINT_ACCESS;
}

bool debug_watches_page(const struct cpu *cpu, uint64_t linear_page)
{
	if (likely(!(cpu->dr[7] & 0xff))) {
		return false;
	}
	for (unsigned i = 0; i < BREAKPOINTS; i++) {
		if (is_enabled(cpu, i) && is_data(kind_of(cpu, i)) &&
				(cpu->dr[i] & ~(GUEST_PAGE_SIZE - 1)) == linear_page) {
			return true;
		}
	}
	return false;
}

/* Breakpoint addresses are aligned to their length: the processor ignores the low bits. */
static bool covers(const struct cpu *cpu, unsigned i, uint64_t address, unsigned size)
{
	unsigned len = length_of(cpu, i);
	uint64_t start = cpu->dr[i] & ~(uint64_t)(len - 1);

	return start - address < size || address - start < len;
}

void debug_note_access(struct cpu *cpu, uint64_t linear, unsigned size, bool is_write)
{
	for (unsigned i = 0; i < BREAKPOINTS; i++) {
		enum breakpoint_kind kind = kind_of(cpu, i);
		if (is_enabled(cpu, i) && is_data(kind) &&
				(is_write || kind == BREAKPOINT_ACCESS) &&
				covers(cpu, i, linear, size)) {
			cpu->debug_pending |= 1u << i;
		}
	}
}

void debug_note_io(struct cpu *cpu, uint16_t port, unsigned size)
{
	if (likely(!(cpu->dr[7] & 0xff)) || !(cpu->cr4 & X86_CR4_DE)) {
		return;
	}
	for (unsigned i = 0; i < BREAKPOINTS; i++) {
		if (is_enabled(cpu, i) && kind_of(cpu, i) == BREAKPOINT_IO &&
				covers(cpu, i, port, size)) {
			cpu->debug_pending |= 1u << i;
		}
	}
}

uint32_t debug_instruction_match(const struct cpu *cpu, uint64_t linear)
{
	uint32_t hits = 0;

	for (unsigned i = 0; i < BREAKPOINTS; i++) {
		if (kind_of(cpu, i) == BREAKPOINT_EXECUTE && cpu->dr[i] == linear) {
			hits |= is_enabled(cpu, i) ? 1u << i : 0;
		}
	}
	return hits;
}

void debug_set_dr7(struct cpu *cpu, uint64_t value)
{
	bool watched = cpu->dr[7] & 0xff;

	cpu->dr[7] = (value & 0xffff2fffu) | DEBUG_DR7_FIXED;
	if (watched || (cpu->dr[7] & 0xff)) {
		mmu_flush_all(cpu);
	}
}
