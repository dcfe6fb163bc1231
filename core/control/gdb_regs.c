/* SPDX-License-Identifier: MIT */
#include "core/control/gdb_regs.h"

#include "core/base/bytes.h"

#include <string.h>

#define UNAVAILABLE SIZE_MAX
#define SSE_FEATURE "org.gnu.gdb.i386.sse"

struct gdb_register {
	const char *name;
	const char *type;
	const char *feature; /* of the first one of a feature; NULL: the same as before */
	unsigned bits; /* as gdb sees it */
	size_t offset, size; /* in struct x86_state, bytes */
};

#define STATE(name_, type_, bits_, member) \
	{ \
		.name = (name_), .type = (type_), .bits = (bits_), \
		.offset = offsetof(struct x86_state, member), \
		.size = sizeof(((struct x86_state *)0)->member) \
	}
#define GENERAL(name_, index) STATE(name_, "int64", 64, regs[index])
#define SELECTOR(name_, index) STATE(name_, "int32", 32, seg[index].selector)
#define CONTROL(name_, member) STATE(name_, "int64", 64, member)
#define MISSING(name_, type_, bits_) \
	{ \
		.name = (name_), .type = (type_), .bits = (bits_), .offset = UNAVAILABLE \
	}
#define X87(name_) MISSING(name_, "i387_ext", 80)
#define X87_CONTROL(name_) MISSING(name_, "int", 32)
#define XMM(name_) MISSING(name_, "vec128", 128)

/* In gdb's order: its number is the index. */
static const struct gdb_register registers[] = {
		{"rax", "int64", "org.gnu.gdb.i386.core", 64,
				offsetof(struct x86_state, regs[X86_RAX]), 8},
		GENERAL("rbx", X86_RBX),
		GENERAL("rcx", X86_RCX),
		GENERAL("rdx", X86_RDX),
		GENERAL("rsi", X86_RSI),
		GENERAL("rdi", X86_RDI),
		STATE("rbp", "data_ptr", 64, regs[X86_RBP]),
		STATE("rsp", "data_ptr", 64, regs[X86_RSP]),
		GENERAL("r8", X86_R8),
		GENERAL("r9", X86_R9),
		GENERAL("r10", X86_R10),
		GENERAL("r11", X86_R11),
		GENERAL("r12", X86_R12),
		GENERAL("r13", X86_R13),
		GENERAL("r14", X86_R14),
		GENERAL("r15", X86_R15),
		STATE("rip", "code_ptr", 64, rip),
		STATE("eflags", "int32", 32, rflags),
		SELECTOR("cs", X86_CS),
		SELECTOR("ss", X86_SS),
		SELECTOR("ds", X86_DS),
		SELECTOR("es", X86_ES),
		SELECTOR("fs", X86_FS),
		SELECTOR("gs", X86_GS),
		X87("st0"),
		X87("st1"),
		X87("st2"),
		X87("st3"),
		X87("st4"),
		X87("st5"),
		X87("st6"),
		X87("st7"),
		X87_CONTROL("fctrl"),
		X87_CONTROL("fstat"),
		X87_CONTROL("ftag"),
		X87_CONTROL("fiseg"),
		X87_CONTROL("fioff"),
		X87_CONTROL("foseg"),
		X87_CONTROL("fooff"),
		X87_CONTROL("fop"),
		{"xmm0", "vec128", SSE_FEATURE, 128, UNAVAILABLE, 0},
		XMM("xmm1"),
		XMM("xmm2"),
		XMM("xmm3"),
		XMM("xmm4"),
		XMM("xmm5"),
		XMM("xmm6"),
		XMM("xmm7"),
		XMM("xmm8"),
		XMM("xmm9"),
		XMM("xmm10"),
		XMM("xmm11"),
		XMM("xmm12"),
		XMM("xmm13"),
		XMM("xmm14"),
		XMM("xmm15"),
		MISSING("mxcsr", "int", 32),
		{"fs_base", "int", "org.gnu.gdb.i386.segments", 64,
				offsetof(struct x86_state, seg[X86_FS].base), 8},
		STATE("gs_base", "int", 64, seg[X86_GS].base),
		{"cr0", "int64", "oriel.i386.system", 64, offsetof(struct x86_state, cr0), 8},
		CONTROL("cr2", cr2),
		CONTROL("cr3", cr3),
		CONTROL("cr4", cr4),
		CONTROL("cr8", cr8),
		CONTROL("efer", efer),
};

/* gdb knows the other types by itself. */
static const char sse_types[] =
		"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
		"<vector id=\"v4i\" type=\"int32\" count=\"4\"/>"
		"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
		"<field name=\"v4_int32\" type=\"v4i\"/><field name=\"uint128\" type=\"uint128\"/></union>";

char *gdb_regs_description(void)
{
	GString *text = g_string_new("<?xml version=\"1.0\"?>"
				     "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
				     "<target><architecture>i386:x86-64</architecture>");

	for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
		const struct gdb_register *reg = &registers[i];
		if (reg->feature) {
			g_string_append_printf(text, "%s<feature name=\"%s\">%s",
					i > 0 ? "</feature>" : "", reg->feature,
					strcmp(reg->feature, SSE_FEATURE) == 0 ? sse_types : "");
		}
		g_string_append_printf(text, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>",
				reg->name, reg->bits, reg->type);
	}
	g_string_append(text, "</feature></target>");
	return g_string_free(text, FALSE);
}

bool gdb_regs_append(const struct x86_state *state, unsigned number, GString *text)
{
	if (number >= G_N_ELEMENTS(registers)) {
		return false;
	}
	const struct gdb_register *reg = &registers[number];
	uint64_t value = 0;
	if (reg->offset != UNAVAILABLE) {
		value = le_load((const char *)state + reg->offset, (unsigned)reg->size);
	}
	for (unsigned i = 0; i < reg->bits / 8; i++) {
		if (reg->offset == UNAVAILABLE) {
			g_string_append(text, "xx");
		} else {
			g_string_append_printf(text, "%02x", (unsigned)(value >> (8 * i)) & 0xff);
		}
	}
	return true;
}

void gdb_regs_append_all(const struct x86_state *state, GString *text)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
		(void)gdb_regs_append(state, i, text); /* it is in the table */
	}
}

bool gdb_regs_set(struct x86_state *state, unsigned number, const char **text)
{
	if (number >= G_N_ELEMENTS(registers)) {
		return false;
	}
	const struct gdb_register *reg = &registers[number];
	unsigned bytes = reg->bits / 8;
	uint64_t value = 0;
	if (strnlen(*text, 2 * (size_t)bytes) < 2 * (size_t)bytes) {
		return false;
	}
	if (reg->offset != UNAVAILABLE) {
		for (unsigned i = 0; i < bytes; i++) {
			int high = g_ascii_xdigit_value((*text)[2 * i]);
			int low = g_ascii_xdigit_value((*text)[2 * i + 1]);
			if (high < 0 || low < 0) {
				return false;
			}
			value |= (uint64_t)(high * 16 + low) << (8 * i);
		}
		le_store((char *)state + reg->offset, value, (unsigned)reg->size);
	}
	*text += 2 * (size_t)bytes;
	return true;
}

bool gdb_regs_set_all(struct x86_state *state, const char *text)
{
	struct x86_state changed = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
		if (!gdb_regs_set(&changed, i, &text)) {
			return false;
		}
	}
	*state = changed;
	return true;
}
