/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's registers, for reset, the boot code, save/restore and the debugger. Reset goes back to
 * what the kernel made at creation, so nothing that KVM knows of survives by being forgotten here.
 */
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/engine/kvm/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define MAX_MSRS 1024
#define MISC_ENABLE_FAST_STRING BIT(0)
#define MTRR_ENABLE BIT(11)
#define MTRR_WRITE_BACK 6u
#define VARIABLE_MTRR_FIRST 0x200u
#define VARIABLE_MTRR_MSRS 16u
#define XEN_HYPERV_MSR_FIRST 0x40000000u
#define XEN_HYPERV_MSR_LAST 0x4fffffffu

/* In the order of setting: the local APIC needs its base (in sregs) first. */
#define PART(set_, member, extension_) \
	{ \
		KVM_GET_##set_, KVM_SET_##set_, offsetof(struct kvm_power_up, member), extension_, \
				#set_ \
	}
static const struct {
	unsigned long get, set;
	size_t offset;
	unsigned extension; /* 0: always there */
	const char *name;
} parts[] = {
		PART(REGS, regs, 0),
		PART(SREGS, sregs, 0),
		PART(FPU, fpu, 0),
		PART(XCRS, xcrs, KVM_CAP_XCRS),
		PART(XSAVE, xsave, KVM_CAP_XSAVE),
		PART(DEBUGREGS, debugregs, 0),
		PART(LAPIC, lapic, 0),
		PART(MP_STATE, mp_state, 0),
		PART(VCPU_EVENTS, events, 0),
};

static bool has_part(const struct kvm_cpu *cpu, unsigned extension)
{
	int kvm = kvm_vm_of(cpu->base.engine)->kvm;

	return extension == 0 || ioctl(kvm, KVM_CHECK_EXTENSION, extension) > 0;
}

static uint64_t power_up_value(uint32_t index, uint64_t created)
{
	switch (index) {
	case X86_MSR_TSC:
		return 0;
	case X86_MSR_MISC_ENABLE:
		return created | MISC_ENABLE_FAST_STRING;
	case X86_MSR_MTRR_DEF_TYPE:
		/*
		 * As firmware would leave it: a kernel that is entered directly takes switched-off
		 * MTRRs to mean that caching is off and the PAT of no use.
		 */
		return MTRR_ENABLE | MTRR_WRITE_BACK;
	default:
		return created;
	}
}

/* Reads one MSR; false if this vCPU does not have it. */
static bool read_msr(const struct kvm_cpu *cpu, struct kvm_msr_entry *entry)
{
	g_autofree struct kvm_msrs *one = g_malloc0(sizeof(*one) + sizeof(one->entries[0]));

	one->nmsrs = 1;
	one->entries[0] = *entry;
	bool ok = ioctl(cpu->fd, KVM_GET_MSRS, one) == 1;
	*entry = one->entries[0];
	return ok;
}

/* Adds what the vCPU has of an MSR. */
static void save_msr(struct kvm_cpu *cpu, uint32_t index)
{
	struct kvm_msrs *msrs = cpu->power_up.msrs;
	struct kvm_msr_entry entry = {.index = index};

	/* Other hypervisors' MSRs do things when written; our CPUID offers none of them. */
	bool foreign = index >= XEN_HYPERV_MSR_FIRST && index <= XEN_HYPERV_MSR_LAST;
	if (!foreign && read_msr(cpu, &entry)) {
		entry.data = power_up_value(index, entry.data);
		msrs->entries[msrs->nmsrs++] = entry;
	}
}

/* The MSRs KVM lists, and the MTRRs, which it does not. */
static bool save_msrs(struct kvm_cpu *cpu, GError **error)
{
	static const uint32_t fixed_mtrrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b,
			0x26c, 0x26d, 0x26e, 0x26f};
	g_autofree struct kvm_msr_list *list = g_malloc0(
			sizeof(*list) + MAX_MSRS * sizeof(list->indices[0]));

	list->nmsrs = MAX_MSRS;
	if (ioctl(kvm_vm_of(cpu->base.engine)->kvm, KVM_GET_MSR_INDEX_LIST, list) < 0) {
		set_error_errno(error, "/dev/kvm: list of MSRs");
		return false;
	}
	size_t count = list->nmsrs + G_N_ELEMENTS(fixed_mtrrs) + VARIABLE_MTRR_MSRS + 1;
	cpu->power_up.msrs = g_malloc0(
			sizeof(struct kvm_msrs) + count * sizeof(struct kvm_msr_entry));
	for (unsigned i = 0; i < list->nmsrs; i++) {
		save_msr(cpu, list->indices[i]);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(fixed_mtrrs); i++) {
		save_msr(cpu, fixed_mtrrs[i]);
	}
	for (uint32_t i = 0; i < VARIABLE_MTRR_MSRS; i++) {
		save_msr(cpu, VARIABLE_MTRR_FIRST + i);
	}
	save_msr(cpu, X86_MSR_MTRR_DEF_TYPE);
	return true;
}

/* Writes all MSRs; KVM stops at one it does not take, so that one is skipped. */
static void restore_msrs(struct kvm_cpu *cpu)
{
	const struct kvm_msrs *from = cpu->power_up.msrs;
	g_autofree struct kvm_msrs *msrs = g_malloc0(
			sizeof(*msrs) + from->nmsrs * sizeof(struct kvm_msr_entry));

	for (unsigned done = 0; done < from->nmsrs;) {
		msrs->nmsrs = from->nmsrs - done;
		memcpy(msrs->entries, from->entries + done,
				msrs->nmsrs * sizeof(struct kvm_msr_entry));
		int count = ioctl(cpu->fd, KVM_SET_MSRS, msrs);
		done += (unsigned)MAX(count, 0);
		if (done < from->nmsrs) {
			log_debug("kvm: MSR 0x%x keeps its value over reset",
					from->entries[done].index);
			done++;
		}
	}
}

bool kvm_power_up_save(struct kvm_cpu *cpu, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
		void *part = (char *)&cpu->power_up + parts[i].offset;
		if (has_part(cpu, parts[i].extension) && ioctl(cpu->fd, parts[i].get, part) < 0) {
			set_error_errno(error, "/dev/kvm: %s", parts[i].name);
			return false;
		}
	}
	return save_msrs(cpu, error);
}

void kvm_vcpu_reset(struct vcpu *vcpu)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);

	if (!cpu->power_up.msrs) {
		return; /* its creation failed, which was reported */
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
		const void *part = (char *)&cpu->power_up + parts[i].offset;
		if (has_part(cpu, parts[i].extension) && ioctl(cpu->fd, parts[i].set, part) < 0) {
			log_error("kvm: vCPU %u: reset of %s: %s", vcpu->index, parts[i].name,
					g_strerror(errno));
		}
	}
	restore_msrs(cpu);
}

/*
 * Registers, ours and KVM's.
 */

static struct x86_segment segment_from_kvm(const struct kvm_segment *k)
{
	return (struct x86_segment){
			.base = k->base,
			.limit = k->limit,
			.selector = k->selector,
			.attributes = (uint32_t)(k->type | (k->s ? X86_SEG_S : 0) |
						 (uint32_t)k->dpl << X86_SEG_DPL_SHIFT |
						 (k->present ? X86_SEG_P : 0) |
						 (k->avl ? X86_SEG_AVL : 0) |
						 (k->l ? X86_SEG_L : 0) | (k->db ? X86_SEG_DB : 0) |
						 (k->g ? X86_SEG_G : 0) |
						 (k->unusable ? X86_SEG_UNUSABLE : 0)),
	};
}

static struct kvm_segment segment_to_kvm(const struct x86_segment *s)
{
	uint32_t attributes = s->attributes;

	return (struct kvm_segment){
			.base = s->base,
			.limit = s->limit,
			.selector = s->selector,
			.type = attributes & X86_SEG_TYPE_MASK,
			.s = (attributes & X86_SEG_S) != 0,
			.dpl = (attributes >> X86_SEG_DPL_SHIFT) & 3,
			.present = (attributes & X86_SEG_P) != 0,
			.avl = (attributes & X86_SEG_AVL) != 0,
			.l = (attributes & X86_SEG_L) != 0,
			.db = (attributes & X86_SEG_DB) != 0,
			.g = (attributes & X86_SEG_G) != 0,
			.unusable = (attributes & X86_SEG_UNUSABLE) != 0,
	};
}

static void regs_from_kvm(const struct kvm_regs *regs, struct x86_state *state)
{
	const uint64_t values[X86_REG_COUNT] = {
			[X86_RAX] = regs->rax,
			[X86_RCX] = regs->rcx,
			[X86_RDX] = regs->rdx,
			[X86_RBX] = regs->rbx,
			[X86_RSP] = regs->rsp,
			[X86_RBP] = regs->rbp,
			[X86_RSI] = regs->rsi,
			[X86_RDI] = regs->rdi,
			[X86_R8] = regs->r8,
			[X86_R9] = regs->r9,
			[X86_R10] = regs->r10,
			[X86_R11] = regs->r11,
			[X86_R12] = regs->r12,
			[X86_R13] = regs->r13,
			[X86_R14] = regs->r14,
			[X86_R15] = regs->r15,
	};

	memcpy(state->regs, values, sizeof(values));
	state->rip = regs->rip;
	state->rflags = regs->rflags;
}

static struct kvm_regs regs_to_kvm(const struct x86_state *state)
{
	const uint64_t *regs = state->regs;

	return (struct kvm_regs){
			.rax = regs[X86_RAX],
			.rcx = regs[X86_RCX],
			.rdx = regs[X86_RDX],
			.rbx = regs[X86_RBX],
			.rsp = regs[X86_RSP],
			.rbp = regs[X86_RBP],
			.rsi = regs[X86_RSI],
			.rdi = regs[X86_RDI],
			.r8 = regs[X86_R8],
			.r9 = regs[X86_R9],
			.r10 = regs[X86_R10],
			.r11 = regs[X86_R11],
			.r12 = regs[X86_R12],
			.r13 = regs[X86_R13],
			.r14 = regs[X86_R14],
			.r15 = regs[X86_R15],
			.rip = state->rip,
			.rflags = state->rflags,
	};
}

static void sregs_from_kvm(const struct kvm_sregs *sregs, struct x86_state *state)
{
	state->seg[X86_ES] = segment_from_kvm(&sregs->es);
	state->seg[X86_CS] = segment_from_kvm(&sregs->cs);
	state->seg[X86_SS] = segment_from_kvm(&sregs->ss);
	state->seg[X86_DS] = segment_from_kvm(&sregs->ds);
	state->seg[X86_FS] = segment_from_kvm(&sregs->fs);
	state->seg[X86_GS] = segment_from_kvm(&sregs->gs);
	state->ldtr = segment_from_kvm(&sregs->ldt);
	state->tr = segment_from_kvm(&sregs->tr);
	state->gdtr = (struct x86_table){.base = sregs->gdt.base, .limit = sregs->gdt.limit};
	state->idtr = (struct x86_table){.base = sregs->idt.base, .limit = sregs->idt.limit};
	state->cr0 = sregs->cr0;
	state->cr2 = sregs->cr2;
	state->cr3 = sregs->cr3;
	state->cr4 = sregs->cr4;
	state->cr8 = sregs->cr8;
	state->efer = sregs->efer;
}

/* The rest of sregs (APIC base, interrupt on its way) is left as it is. */
static void sregs_to_kvm(const struct x86_state *state, struct kvm_sregs *sregs)
{
	sregs->es = segment_to_kvm(&state->seg[X86_ES]);
	sregs->cs = segment_to_kvm(&state->seg[X86_CS]);
	sregs->ss = segment_to_kvm(&state->seg[X86_SS]);
	sregs->ds = segment_to_kvm(&state->seg[X86_DS]);
	sregs->fs = segment_to_kvm(&state->seg[X86_FS]);
	sregs->gs = segment_to_kvm(&state->seg[X86_GS]);
	sregs->ldt = segment_to_kvm(&state->ldtr);
	sregs->tr = segment_to_kvm(&state->tr);
	sregs->gdt = (struct kvm_dtable){.base = state->gdtr.base, .limit = state->gdtr.limit};
	sregs->idt = (struct kvm_dtable){.base = state->idtr.base, .limit = state->idtr.limit};
	sregs->cr0 = state->cr0;
	sregs->cr2 = state->cr2;
	sregs->cr3 = state->cr3;
	sregs->cr4 = state->cr4;
	sregs->cr8 = state->cr8;
	/* Whether long mode is active follows from the rest; KVM insists that it does. */
	bool active = (state->efer & X86_EFER_LME) && (state->cr0 & X86_CR0_PG);
	sregs->efer = (state->efer & ~X86_EFER_LMA) | (active ? X86_EFER_LMA : 0);
}

static void report_failure(const struct kvm_cpu *cpu, const char *what)
{
	log_error("kvm: vCPU %u: %s: %s", cpu->base.index, what, g_strerror(errno));
}

void kvm_vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);
	struct kvm_regs regs = {0};
	struct kvm_sregs sregs = {0};
	struct kvm_debugregs debugregs = {0};

	if (ioctl(cpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(cpu->fd, KVM_GET_SREGS, &sregs) < 0 ||
			ioctl(cpu->fd, KVM_GET_DEBUGREGS, &debugregs) < 0) {
		report_failure(cpu, "reading registers");
	}
	memset(ret_state, 0, sizeof(*ret_state));
	regs_from_kvm(&regs, ret_state);
	sregs_from_kvm(&sregs, ret_state);
	for (unsigned i = 0; i < 4; i++) {
		ret_state->dr[i] = debugregs.db[i];
	}
	ret_state->dr[6] = debugregs.dr6;
	ret_state->dr[7] = debugregs.dr7;
}

/* A processor that is sent somewhere else does not stay halted. */
static void wake_if_moved(struct kvm_cpu *cpu, uint64_t rip)
{
	struct kvm_mp_state mp_state;
	struct kvm_regs regs;

	if (ioctl(cpu->fd, KVM_GET_MP_STATE, &mp_state) == 0 &&
			ioctl(cpu->fd, KVM_GET_REGS, &regs) == 0 && regs.rip != rip &&
			mp_state.mp_state == KVM_MP_STATE_HALTED) {
		mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
		if (ioctl(cpu->fd, KVM_SET_MP_STATE, &mp_state) < 0) {
			report_failure(cpu, "leaving the halted state");
		}
	}
}

void kvm_vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);
	struct kvm_regs regs = regs_to_kvm(state);
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;

	if (ioctl(cpu->fd, KVM_GET_SREGS, &sregs) < 0 ||
			ioctl(cpu->fd, KVM_GET_DEBUGREGS, &debugregs) < 0) {
		report_failure(cpu, "reading registers");
		return;
	}
	wake_if_moved(cpu, state->rip);
	sregs_to_kvm(state, &sregs);
	for (unsigned i = 0; i < 4; i++) {
		debugregs.db[i] = state->dr[i];
	}
	debugregs.dr6 = state->dr[6];
	debugregs.dr7 = state->dr[7];
	if (ioctl(cpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(cpu->fd, KVM_SET_REGS, &regs) < 0 ||
			ioctl(cpu->fd, KVM_SET_DEBUGREGS, &debugregs) < 0) {
		report_failure(cpu, "writing registers");
	}
}

void kvm_log_registers(struct kvm_cpu *cpu)
{
	struct x86_state state;

	kvm_vcpu_get_state(&cpu->base, &state);
	for (unsigned i = 0; i < X86_REG_COUNT; i += 4) {
		static const char *const names[] = {"rax rcx rdx rbx", "rsp rbp rsi rdi",
				"r8 r9 r10 r11", "r12 r13 r14 r15"};
		log_error("  %s %llx %llx %llx %llx", names[i / 4],
				(unsigned long long)state.regs[i],
				(unsigned long long)state.regs[i + 1],
				(unsigned long long)state.regs[i + 2],
				(unsigned long long)state.regs[i + 3]);
	}
	log_error("  rip %llx rflags %llx cs %x base %llx attributes %x",
			(unsigned long long)state.rip, (unsigned long long)state.rflags,
			state.seg[X86_CS].selector, (unsigned long long)state.seg[X86_CS].base,
			state.seg[X86_CS].attributes);
	log_error("  cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx", (unsigned long long)state.cr0,
			(unsigned long long)state.cr2, (unsigned long long)state.cr3,
			(unsigned long long)state.cr4, (unsigned long long)state.efer);
}

/*
 * For the debugger.
 */

bool kvm_vcpu_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *ret_physical)
{
	struct kvm_translation translation = {.linear_address = linear};

	if (ioctl(kvm_cpu_of(vcpu)->fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid) {
		return false;
	}
	*ret_physical = translation.physical_address;
	return true;
}

bool kvm_vcpu_set_debug(struct vcpu *vcpu, unsigned flags)
{
	uint32_t known = kvm_vm_of(vcpu->engine)->debug_flags;
	struct kvm_guest_debug debug = {0};

	if (flags & VCPU_DEBUG_SINGLE_STEP) {
		/* A step is one of the code being looked at, not of an interrupt's handler. */
		debug.control |= KVM_GUESTDBG_SINGLESTEP | (known & KVM_GUESTDBG_BLOCKIRQ);
	}
	if (flags & VCPU_DEBUG_BREAKPOINTS) {
		debug.control |= KVM_GUESTDBG_USE_SW_BP;
	}
	if (debug.control) {
		debug.control |= KVM_GUESTDBG_ENABLE;
	}
	return ioctl(kvm_cpu_of(vcpu)->fd, KVM_SET_GUEST_DEBUG, &debug) == 0;
}

void kvm_vcpu_pass_breakpoint(struct vcpu *vcpu)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);
	struct kvm_vcpu_events events;

	/* RIP stays: KVM itself goes on to behind the int3 when it injects it. */
	if (ioctl(cpu->fd, KVM_GET_VCPU_EVENTS, &events) == 0) {
		events.exception.injected = 1;
		events.exception.nr = X86_VECTOR_BP;
		events.exception.has_error_code = 0;
		if (ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &events) == 0) {
			return;
		}
	}
	report_failure(cpu, "giving the guest its breakpoint");
}
