/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/pv.h"

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/engine/soft/apic.h"
#include "core/engine/soft/cpu.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/smp.h"
#include "core/memory/guest_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#define MSR_WALL_CLOCK 0x11u
#define MSR_SYSTEM_TIME 0x12u
#define MSR_WALL_CLOCK_NEW 0x4b564d00u
#define MSR_SYSTEM_TIME_NEW 0x4b564d01u
#define MSR_STEAL_TIME 0x4b564d03u
#define MSR_EOI 0x4b564d04u

#define ENABLED UINT64_C(1) /* bit 0 of the MSRs that lead to a structure */

#define CALL_VAPIC_POLL_IRQ 1u
#define CALL_KICK_CPU 5u
#define CALL_SEND_IPI 10u

/* Bits of the ICR that say whom it is for in other ways: logical destination, shorthand. */
#define ICR_ELSEWHERE UINT64_C(0xc0800)

/* Errors of hypercalls, negated; the others are errno's. */
#define ERROR_NO_CALL 1000

/* Steal time is written at an interrupt, if the last time was so long ago. */
#define ACCOUNT_NS 1000000

struct wall_clock {
	uint32_t version; /* odd while it is written */
	uint32_t sec, nsec; /* when system time was 0 */
};

struct system_time {
	uint32_t version;
	uint32_t reserved;
	uint64_t tsc; /* when system time was base */
	uint64_t base; /* ns */
	uint32_t mul; /* ns = (ticks << shift) * mul >> 32 */
	int8_t shift;
	uint8_t flags;
	uint8_t reserved2[2];
};
_Static_assert(sizeof(struct system_time) == 32, "pvclock_vcpu_time_info");

#define SYSTEM_TIME_STABLE 1u /* the same on all vCPUs, at all times */
#define SYSTEM_TIME_PAUSED 2u /* the guest stood still; it clears this */

struct steal_time {
	uint64_t steal; /* ns */
	uint32_t version;
	uint32_t flags;
	uint8_t preempted;
	uint8_t reserved[47];
};
_Static_assert(sizeof(struct steal_time) == 64, "kvm_steal_time");

#define STEAL_TIME_RESERVED UINT64_C(0x3e) /* of the MSR */
#define PREEMPTED 1u /* it does not run: somebody may set */
#define PREEMPTED_FLUSH 2u /* for its TLB to be flushed when it does */

#define EOI_RESERVED UINT64_C(2)

/* What other threads ask for, beside CPU_REQUEST_PV. */
enum pv_request {
	PV_REQUEST_UNHALT = 1 << 0,
	PV_REQUEST_CLOCK = 1 << 1, /* whether the clocks agree may have changed */
};

bool pv_offered(const struct cpu *cpu)
{
	return cpu->features.words[CPU_WORD_KVM] != 0;
}

static bool offers(const struct cpu *cpu, enum cpu_feature feature)
{
	return cpu_features_has(&cpu->features, feature);
}

void pv_reset(struct cpu *cpu)
{
	cpu->pv = (struct pv){0};
}

static void ask(struct cpu *cpu, enum pv_request request)
{
	__atomic_fetch_or(&cpu->pv.asked, (uint32_t)request, __ATOMIC_SEQ_CST);
	cpu_request(cpu, CPU_REQUEST_PV);
}

/* False, and a word to whoever debugs the guest, where its structure is not in RAM. */
static bool map(struct cpu *cpu, uint64_t guest, size_t len, struct guest_mapping *ret_mapping)
{
	if (guest_memory_map(cpu->memory, guest, len, GUEST_WRITE, ret_mapping)) {
		return true;
	}
	guest_error("cpu %u: paravirtual structure at 0x%" PRIx64 ", where no RAM is", cpu->index,
			guest);
	return false;
}

/*
 * What was written may be somebody's code, and then the writer waits until nobody runs it any more. So it is outside meanwhile.
 */
static void unmap(struct cpu *cpu, struct guest_mapping *mapping, size_t written)
{
	bool inside = cpu->inside;

	if (inside) {
		smp_leave(cpu);
	}
	guest_mapping_unmap(cpu->memory, mapping, written);
	if (inside) {
		smp_enter(cpu);
	}
}

/*
 * Writes buf, which begins with a version, in such a way that the guest sees when it read half of it. The version in
 * memory counts on.
 */
static void write_versioned(
		uint8_t *host, size_t version_at, const uint8_t *buf, size_t begin, size_t end)
{
	uint8_t *place = host + version_at;
	uint32_t version = (le32_load(place) | 1) + 1; /* even, and another one */

	le32_store(place, version - 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy(host + begin, buf + begin, end - begin);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	le32_store(place, version);
}

/* The scale from ticks to ns, mul as large as it can be. */
static void clock_scale(uint64_t hz, uint32_t *ret_mul, int8_t *ret_shift)
{
	unsigned __int128 numerator = (unsigned __int128)1000000000u << 32;
	int shift = 0;

	while (numerator / hz > UINT32_MAX) {
		hz <<= 1;
		shift++;
	}
	while ((numerator << 1) / hz <= UINT32_MAX) {
		numerator <<= 1;
		shift--;
	}
	*ret_mul = (uint32_t)(numerator / hz);
	*ret_shift = (int8_t)shift;
}

/* Clocks agree while all TSCs do: guests may take one vCPU's structure for another's TSC. */
static bool clocks_agree(const struct cpu *cpu)
{
	const struct cpu *other;

	for (unsigned i = 0; cpu->apic && (other = apic_nth_cpu(cpu->apic, i)) != NULL; i++) {
		if (__atomic_load_n(&other->tsc_adjust, __ATOMIC_RELAXED) != cpu->tsc_adjust) {
			return false;
		}
	}
	return true;
}

/*
 * The clock starts with the machine, and its formula never changes but with the guest's TSC: so it neither jumps nor
 * differs between vCPUs.
 */
static struct system_time read_clock(const struct cpu *cpu)
{
	struct system_time time = {
			.tsc = (uint64_t)cpu->tsc_offset + (cpu->tsc_virtual ? 0 : cpu->tsc_base),
	};

	clock_scale(cpu->tsc_hz, &time.mul, &time.shift);
	if (offers(cpu, CPU_FEATURE_KVM_CLOCK_STABLE) && clocks_agree(cpu)) {
		time.flags = SYSTEM_TIME_STABLE;
	}
	return time;
}

static uint64_t clock_ns(const struct cpu *cpu)
{
	struct system_time time = read_clock(cpu);
	uint64_t ticks = cpu_tsc(cpu) - time.tsc;

	ticks = time.shift >= 0 ? ticks << time.shift : ticks >> -time.shift;
	return (uint64_t)((unsigned __int128)ticks * time.mul >> 32);
}

static void write_system_time(struct cpu *cpu, bool paused)
{
	struct system_time time = read_clock(cpu);
	struct guest_mapping mapping;

	if (!(cpu->pv.system_time & ENABLED) ||
			!map(cpu, cpu->pv.system_time & ~ENABLED, sizeof(time), &mapping)) {
		return;
	}
	uint8_t *host = mapping.host;
	uint8_t old = host[offsetof(struct system_time, flags)];
	time.flags |= (uint8_t)((old & SYSTEM_TIME_PAUSED) | (paused ? SYSTEM_TIME_PAUSED : 0));
	write_versioned(host, 0, (const uint8_t *)&time, 4, sizeof(time));
	unmap(cpu, &mapping, sizeof(time));
}

static void write_wall_clock(struct cpu *cpu, uint64_t guest)
{
	struct guest_mapping mapping;
	struct timespec now;

	if (guest == 0 || !map(cpu, guest, sizeof(struct wall_clock), &mapping)) {
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t start = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - clock_ns(cpu);
	struct wall_clock wall = {
			.sec = (uint32_t)(start / 1000000000),
			.nsec = (uint32_t)(start % 1000000000),
	};
	write_versioned(mapping.host, 0, (const uint8_t *)&wall, 4, sizeof(wall));
	unmap(cpu, &mapping, sizeof(wall));
}

void pv_tsc_changed(struct cpu *cpu)
{
	struct cpu *other;

	write_system_time(cpu, false);
	for (unsigned i = 0; cpu->apic && (other = apic_nth_cpu(cpu->apic, i)) != NULL; i++) {
		if (other != cpu) {
			ask(other, PV_REQUEST_CLOCK);
		}
	}
}

static int64_t time_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void begin_run(struct cpu *cpu)
{
	cpu->pv.run_start = time_ns(CLOCK_MONOTONIC);
	cpu->pv.used_start = time_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* The time since begin_run(), and begins again. */
static void end_run(struct cpu *cpu)
{
	int64_t run = cpu->pv.run_start, used = cpu->pv.used_start;

	begin_run(cpu);
	pv_note_run(cpu, (uint64_t)MAX(cpu->pv.run_start - run, 0),
			(uint64_t)MAX(cpu->pv.used_start - used, 0));
}

/* Sums are compared, and not single runs: the CPU time of some hosts has coarse steps. */
void pv_note_run(struct cpu *cpu, uint64_t wanted, uint64_t used)
{
	struct pv *pv = &cpu->pv;

	pv->wanted += wanted;
	pv->used += used;
	if (pv->wanted > pv->used) {
		pv->stolen = MAX(pv->stolen, pv->wanted - pv->used);
	}
}

static void write_steal(struct cpu *cpu, uint8_t *host)
{
	struct pv *pv = &cpu->pv;
	struct steal_time time = {.steal = le64_load(host) + (pv->stolen - pv->reported)};

	if (pv->stolen == pv->reported) {
		return;
	}
	pv->reported = pv->stolen;
	write_versioned(host, offsetof(struct steal_time, version), (const uint8_t *)&time, 0,
			sizeof(time.steal));
}

static bool map_steal_time(struct cpu *cpu, struct guest_mapping *ret_mapping)
{
	return (cpu->pv.steal_time & ENABLED) &&
	       map(cpu, cpu->pv.steal_time & ~ENABLED, sizeof(struct steal_time), ret_mapping);
}

static uint8_t *preempted_of(const struct guest_mapping *mapping)
{
	return (uint8_t *)mapping->host + offsetof(struct steal_time, preempted);
}

/* How much of the structure is written, of what is not reserved. */
#define STEAL_TIME_WRITTEN (offsetof(struct steal_time, preempted) + 1)

static void enter_steal(struct cpu *cpu)
{
	struct guest_mapping mapping;

	if (!map_steal_time(cpu, &mapping)) {
		return;
	}
	uint8_t was = __atomic_exchange_n(preempted_of(&mapping), 0, __ATOMIC_SEQ_CST);
	if (was & PREEMPTED_FLUSH) {
		mmu_flush_all(cpu);
	}
	write_steal(cpu, mapping.host);
	unmap(cpu, &mapping, STEAL_TIME_WRITTEN);
	begin_run(cpu);
}

static void leave_steal(struct cpu *cpu)
{
	struct guest_mapping mapping;

	if (!map_steal_time(cpu, &mapping)) {
		return;
	}
	end_run(cpu);
	/* From here on others leave flushes to pv_enter(), so the TLB is not looked at until then. */
	__atomic_store_n(preempted_of(&mapping), PREEMPTED, __ATOMIC_SEQ_CST);
	unmap(cpu, &mapping, STEAL_TIME_WRITTEN);
}

void pv_enter(struct cpu *cpu)
{
	if (cpu->pv.steal_time & ENABLED) {
		enter_steal(cpu);
	}
}

void pv_resume(struct cpu *cpu)
{
	write_system_time(cpu, true);
	pv_enter(cpu);
}

void pv_leave(struct cpu *cpu)
{
	if (cpu->pv.steal_time & ENABLED) {
		leave_steal(cpu);
	}
}

void pv_account(struct cpu *cpu)
{
	struct guest_mapping mapping;

	if (!(cpu->pv.steal_time & ENABLED) ||
			time_ns(CLOCK_MONOTONIC) - cpu->pv.run_start < ACCOUNT_NS) {
		return;
	}
	end_run(cpu);
	if (cpu->pv.stolen != cpu->pv.reported && map_steal_time(cpu, &mapping)) {
		write_steal(cpu, mapping.host);
		unmap(cpu, &mapping, STEAL_TIME_WRITTEN);
	}
}

static bool write_steal_msr(struct cpu *cpu, uint64_t value)
{
	if (value & STEAL_TIME_RESERVED) {
		return false;
	}
	cpu->pv.steal_time = value;
	cpu->pv.reported = cpu->pv.stolen; /* it starts to count now */
	pv_enter(cpu);
	return true;
}

static bool write_eoi_msr(struct cpu *cpu, uint64_t value)
{
	struct guest_mapping mapping;

	if (value & EOI_RESERVED) {
		return false;
	}
	if (cpu->apic) {
		apic_settle_pv_eoi(cpu->apic);
	}
	if (value & ENABLED) {
		if (!map(cpu, value & ~ENABLED, 4, &mapping)) {
			return false;
		}
		unmap(cpu, &mapping, 0);
	}
	cpu->pv.eoi = value;
	return true;
}

void pv_eoi_offer(struct cpu *cpu)
{
	struct guest_mapping mapping;

	if (!(cpu->pv.eoi & ENABLED) || !map(cpu, cpu->pv.eoi & ~ENABLED, 4, &mapping)) {
		return;
	}
	*(uint8_t *)mapping.host |= 1;
	unmap(cpu, &mapping, 1);
	cpu->pv.eoi_offered = true;
}

bool pv_eoi_taken(struct cpu *cpu, bool revoke)
{
	struct guest_mapping mapping;
	bool taken = false;

	assert(cpu->pv.eoi_offered);
	if (!map(cpu, cpu->pv.eoi & ~ENABLED, 4, &mapping)) {
		cpu->pv.eoi_offered = false;
		return false;
	}
	uint8_t *host = mapping.host;
	taken = !(*host & 1);
	if (revoke && !taken) {
		*host &= 0xfe;
	}
	unmap(cpu, &mapping, revoke && !taken ? 1 : 0);
	cpu->pv.eoi_offered = !taken && !revoke;
	return taken;
}

bool pv_take_kick(struct cpu *cpu)
{
	bool kicked = cpu->pv.kicked;

	cpu->pv.kicked = false;
	return kicked;
}

void pv_attend(struct cpu *cpu)
{
	uint32_t asked = __atomic_exchange_n(&cpu->pv.asked, 0, __ATOMIC_SEQ_CST);

	if (asked & PV_REQUEST_UNHALT) {
		if (cpu->activity == CPU_HALTED) {
			cpu->activity = CPU_ACTIVE;
		} else {
			cpu->pv.kicked = true;
		}
	}
	if (asked & PV_REQUEST_CLOCK) {
		write_system_time(cpu, false);
	}
}

/* The feature that a register belongs to; CPU_FEATURE_NONE: it is none of ours. */
static enum cpu_feature msr_feature(uint32_t msr)
{
	switch (msr) {
	case MSR_WALL_CLOCK:
	case MSR_SYSTEM_TIME:
		return CPU_FEATURE_KVM_CLOCK;
	case MSR_WALL_CLOCK_NEW:
	case MSR_SYSTEM_TIME_NEW:
		return CPU_FEATURE_KVM_CLOCK2;
	case MSR_STEAL_TIME:
		return CPU_FEATURE_KVM_STEAL_TIME;
	case MSR_EOI:
		return CPU_FEATURE_KVM_PV_EOI;
	default:
		return CPU_FEATURE_NONE;
	}
}

bool pv_is_msr(uint32_t msr)
{
	return msr_feature(msr) != CPU_FEATURE_NONE;
}

bool pv_msr_read(const struct cpu *cpu, uint32_t msr, uint64_t *ret_value)
{
	if (!offers(cpu, msr_feature(msr))) {
		return false;
	}
	switch (msr) {
	case MSR_WALL_CLOCK:
	case MSR_WALL_CLOCK_NEW:
		*ret_value = cpu->pv.wall_clock;
		return true;
	case MSR_SYSTEM_TIME:
	case MSR_SYSTEM_TIME_NEW:
		*ret_value = cpu->pv.system_time;
		return true;
	case MSR_STEAL_TIME:
		*ret_value = cpu->pv.steal_time;
		return true;
	default:
		*ret_value = cpu->pv.eoi;
		return true;
	}
}

bool pv_msr_write(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	if (!offers(cpu, msr_feature(msr))) {
		return false;
	}
	switch (msr) {
	case MSR_WALL_CLOCK:
	case MSR_WALL_CLOCK_NEW:
		cpu->pv.wall_clock = value;
		write_wall_clock(cpu, value);
		return true;
	case MSR_SYSTEM_TIME:
	case MSR_SYSTEM_TIME_NEW:
		cpu->pv.system_time = value;
		write_system_time(cpu, false);
		return true;
	case MSR_STEAL_TIME:
		return write_steal_msr(cpu, value);
	default:
		return write_eoi_msr(cpu, value);
	}
}

static int64_t kick(struct cpu *cpu, uint64_t id)
{
	struct cpu *other;

	for (unsigned i = 0; cpu->apic && (other = apic_nth_cpu(cpu->apic, i)) != NULL; i++) {
		if (apic_id(other->apic) == id) {
			ask(other, PV_REQUEST_UNHALT);
		}
	}
	return 0;
}

struct hypercall {
	uint64_t number, argument[4];
};

/* At most 128 destinations, the first of which argument[2] names; 64 outside 64-bit mode. */
static int64_t send_ipis(struct cpu *cpu, const struct hypercall *call)
{
	bool wide = cpu->mode == INSN_MODE_64;
	uint64_t low = wide ? call->argument[0] : call->argument[0] | call->argument[1] << 32;
	uint64_t high = wide ? call->argument[1] : 0;

	if (!cpu->apic || (call->argument[3] & ICR_ELSEWHERE)) {
		return -EINVAL;
	}
	return apic_send_ipis(cpu->apic, (uint32_t)call->argument[2], low, high, call->argument[3]);
}

static int64_t answer(struct cpu *cpu, const struct hypercall *call)
{
	if (cpu->cpl != 0) {
		return -EPERM;
	}
	switch (call->number) {
	case CALL_VAPIC_POLL_IRQ:
		return 0;
	case CALL_KICK_CPU:
		return offers(cpu, CPU_FEATURE_KVM_PV_UNHALT) ? kick(cpu, call->argument[1])
							      : -ERROR_NO_CALL;
	case CALL_SEND_IPI:
		return offers(cpu, CPU_FEATURE_KVM_PV_IPI) ? send_ipis(cpu, call) : -ERROR_NO_CALL;
	default:
		return -ERROR_NO_CALL;
	}
}

void pv_hypercall(struct cpu *cpu)
{
	uint64_t mask = cpu->mode == INSN_MODE_64 ? UINT64_MAX : UINT32_MAX;
	struct hypercall call = {
			.number = cpu->regs[X86_RAX] & mask,
			.argument = {cpu->regs[X86_RBX] & mask, cpu->regs[X86_RCX] & mask,
					cpu->regs[X86_RDX] & mask, cpu->regs[X86_RSI] & mask},
	};

	stats_count(&cpu->stats, STAT_HYPERCALLS);
	cpu->regs[X86_RAX] = (uint64_t)answer(cpu, &call) & mask;
}
