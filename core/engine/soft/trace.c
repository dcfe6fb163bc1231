/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/trace.h"

#include "core/base/log.h"

#include <inttypes.h>

static const char *kind_name(enum interrupt_kind kind)
{
	switch (kind) {
	case INTERRUPT_EXTERNAL:
		return "external";
	case INTERRUPT_NMI:
		return "nmi";
	case INTERRUPT_FAULT:
		return "fault";
	case INTERRUPT_TRAP:
		return "trap";
	case INTERRUPT_SOFTWARE:
	case INTERRUPT_INT:
	case INTERRUPT_ICEBP:
		return "software";
	}
	return "";
}

void trace_event(const struct cpu *cpu, const struct event *event)
{
	char error[32] = "", cr2[32] = "";

	if (event->has_error) {
		g_snprintf(error, sizeof(error), " error 0x%04x", event->error);
	}
	if (event->kind == INTERRUPT_FAULT && event->vector == X86_VECTOR_PF) {
		g_snprintf(cr2, sizeof(cr2), " cr2 0x%" PRIx64, cpu->cr2);
	}
	log_item_line("int: cpu %u: vector 0x%02x %s%s%s at %04x:%016" PRIx64
		      " cpl %u rsp %04x:%016" PRIx64,
			cpu->index, event->vector, kind_name(event->kind), error, cr2,
			cpu->seg[X86_CS].selector, event->return_rip, cpu->cpl,
			cpu->seg[X86_SS].selector, cpu->regs[X86_RSP]);
}

void trace_exec(const struct cpu *cpu)
{
	log_item_line("exec: cpu %u: %04x:%016" PRIx64, cpu->index, cpu->seg[X86_CS].selector,
			cpu->rip);
}

void trace_block(const struct cpu *cpu, const struct block *block, uint64_t linear)
{
	static const unsigned bits[] = {
			[INSN_MODE_16] = 16, [INSN_MODE_32] = 32, [INSN_MODE_64] = 64};
	const uint8_t *bytes = block->source;
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_append_printf(text, "in_asm: cpu %u: block of %u, %u bits, at physical 0x%" PRIx64,
			cpu->index, block->count, bits[block->mode], block->physical);
	for (unsigned i = 0; i < block->count; i++) {
		unsigned length = block->insns[i].length;
		g_string_append_printf(text, "\nin_asm: %016" PRIx64 " ", linear);
		for (unsigned j = 0; j < length; j++) {
			g_string_append_printf(text, " %02x", bytes[j]);
		}
		bytes += length;
		linear += length;
	}
	log_item_line("%s", text->str);
}
