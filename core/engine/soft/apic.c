/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/apic.h"

#include "core/base/log.h"
#include "core/engine/soft/apic_internal.h"
#include "core/engine/soft/cpu.h"
#include "core/engine/soft/interrupt.h"
#include "core/engine/soft/mmu.h"
#include "core/engine/soft/walk.h"

static unsigned highest_bit(const uint32_t words[8])
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = __atomic_load_n(&words[i], __ATOMIC_ACQUIRE);
		if (word) {
			return (unsigned)i * 32 + 31 - (unsigned)__builtin_clz(word);
		}
	}
	return APIC_NO_VECTOR;
}

static void set_bit(uint32_t words[8], uint8_t vector)
{
	__atomic_fetch_or(&words[vector / 32], 1u << (vector % 32), __ATOMIC_SEQ_CST);
}

static void clear_bit(uint32_t words[8], uint8_t vector)
{
	__atomic_fetch_and(&words[vector / 32], ~(1u << (vector % 32)), __ATOMIC_SEQ_CST);
}

static bool test_bit(const uint32_t words[8], uint8_t vector)
{
	return (__atomic_load_n(&words[vector / 32], __ATOMIC_ACQUIRE) >> (vector % 32)) & 1;
}

bool apic_enabled(const struct apic *apic)
{
	return __atomic_load_n(&apic->base, __ATOMIC_RELAXED) & APIC_BASE_ENABLED;
}

static bool is_x2apic(const struct apic *apic)
{
	return __atomic_load_n(&apic->base, __ATOMIC_RELAXED) & APIC_BASE_EXTENDED;
}

bool apic_software_enabled(const struct apic *apic)
{
	return apic_enabled(apic) &&
	       (__atomic_load_n(&apic->spurious, __ATOMIC_RELAXED) & APIC_SPURIOUS_ENABLED);
}

uint32_t apic_id(const struct apic *apic)
{
	uint32_t id = __atomic_load_n(&apic->id, __ATOMIC_RELAXED);

	return is_x2apic(apic) ? id : id >> 24;
}

uint8_t apic_sipi_vector(const struct apic *apic)
{
	return __atomic_load_n(&apic->sipi_vector, __ATOMIC_ACQUIRE);
}

/* Error interrupts report a new bit in the ESR, once it is not yet pending. */
static void report_error(struct apic *apic, uint32_t bit)
{
	if (__atomic_fetch_or(&apic->error_pending, bit, __ATOMIC_SEQ_CST) & bit) {
		return;
	}
	uint32_t lvt = __atomic_load_n(&apic->lvt[APIC_LVT_ERROR], __ATOMIC_RELAXED);
	if (!(lvt & APIC_LVT_MASKED) && (lvt & 0xff) >= 16) {
		apic_accept(apic, (uint8_t)lvt, false);
	}
}

void apic_accept(struct apic *apic, uint8_t vector, bool level)
{
	if (!apic_software_enabled(apic)) {
		return;
	}
	if (vector < 16) {
		report_error(apic, APIC_ERROR_RECEIVED_VECTOR);
		return;
	}
	if (level) {
		set_bit(apic->tmr, vector);
	} else {
		clear_bit(apic->tmr, vector);
	}
	set_bit(apic->irr, vector);
	cpu_request(apic->cpu, CPU_REQUEST_INTERRUPT);
}

/* Fires an entry of the local vector table. */
void apic_fire_lvt(struct apic *apic, enum apic_lvt which)
{
	uint32_t lvt = __atomic_load_n(&apic->lvt[which], __ATOMIC_RELAXED);

	if ((lvt & APIC_LVT_MASKED) || !apic_enabled(apic)) {
		return;
	}
	switch (APIC_DELIVERY_MODE(lvt)) {
	case APIC_DELIVERY_FIXED:
		apic_accept(apic, (uint8_t)lvt, false);
		break;
	case APIC_DELIVERY_NMI:
		cpu_request(apic->cpu, CPU_REQUEST_NMI);
		break;
	case APIC_DELIVERY_EXTINT:
		cpu_request(apic->cpu, CPU_REQUEST_INTERRUPT);
		break;
	default:
		break;
	}
}

uint8_t apic_get_tpr(const struct apic *apic)
{
	return apic->tpr;
}

static uint8_t processor_priority(const struct apic *apic)
{
	unsigned in_service = highest_bit(apic->isr);
	uint8_t served = in_service == APIC_NO_VECTOR ? 0 : (uint8_t)(in_service & 0xf0);

	return (apic->tpr & 0xf0) >= served ? apic->tpr : served;
}

void apic_set_tpr(struct apic *apic, uint8_t tpr)
{
	apic->tpr = tpr;
	interrupt_recheck(apic->cpu);
}

/* False if none is in service. */
static bool finish_interrupt(struct apic *apic)
{
	unsigned vector = highest_bit(apic->isr);

	if (vector == APIC_NO_VECTOR) {
		return false;
	}
	clear_bit(apic->isr, (uint8_t)vector);
	if (test_bit(apic->tmr, (uint8_t)vector)) {
		apic_bus_eoi(apic->bus, (uint8_t)vector);
	}
	return true;
}

/* The guest may have finished the interrupt in service without a word to us: before ISR is looked at. */
static void settle_pv_eoi(struct apic *apic, bool revoke)
{
	if (unlikely(apic->cpu->pv.eoi_offered) && pv_eoi_taken(apic->cpu, revoke)) {
		(void)finish_interrupt(apic);
	}
}

void apic_settle_pv_eoi(struct apic *apic)
{
	settle_pv_eoi(apic, true);
}

static void end_of_interrupt(struct apic *apic)
{
	settle_pv_eoi(apic, true);
	if (finish_interrupt(apic)) {
		interrupt_recheck(apic->cpu);
	}
}

/* The 8259 reaches the processor through LINT0, or directly if the APIC is off. */
static bool has_extint(const struct apic *apic)
{
	uint32_t lint0 = apic->lvt[APIC_LVT_LINT0];

	if (!apic_bus_extint(apic->bus)) {
		return false;
	}
	return !apic_enabled(apic) ||
	       (!(lint0 & APIC_LVT_MASKED) && APIC_DELIVERY_MODE(lint0) == APIC_DELIVERY_EXTINT);
}

static unsigned deliverable_vector(const struct apic *apic)
{
	unsigned vector;

	if (!apic_software_enabled(apic)) {
		return APIC_NO_VECTOR;
	}
	vector = highest_bit(apic->irr);
	if (vector == APIC_NO_VECTOR || (vector & 0xf0) <= (processor_priority(apic) & 0xf0u)) {
		return APIC_NO_VECTOR;
	}
	return vector;
}

bool apic_has_interrupt(struct apic *apic)
{
	/* One that waits is looked at when this one ends, which we must learn then. */
	settle_pv_eoi(apic, highest_bit(apic->irr) != APIC_NO_VECTOR);
	return has_extint(apic) || deliverable_vector(apic) != APIC_NO_VECTOR;
}

int apic_take_interrupt(struct apic *apic)
{
	if (has_extint(apic)) {
		int acknowledged = apic_bus_acknowledge(apic->bus);
		if (acknowledged >= 0) {
			interrupt_recheck(apic->cpu);
			return acknowledged;
		}
	}
	unsigned vector = deliverable_vector(apic);
	if (vector == APIC_NO_VECTOR) {
		return -1;
	}
	clear_bit(apic->irr, (uint8_t)vector);
	set_bit(apic->isr, (uint8_t)vector);
	if (!test_bit(apic->tmr, (uint8_t)vector) && highest_bit(apic->irr) == APIC_NO_VECTOR) {
		pv_eoi_offer(apic->cpu);
	}
	interrupt_recheck(apic->cpu);
	return (int)vector;
}

static void write_spurious(struct apic *apic, uint32_t value)
{
	__atomic_store_n(&apic->spurious, value & 0x1ff, __ATOMIC_RELAXED);
	if (!(value & APIC_SPURIOUS_ENABLED)) {
		for (unsigned i = 0; i < APIC_LVT_COUNT; i++) {
			__atomic_fetch_or(&apic->lvt[i], APIC_LVT_MASKED, __ATOMIC_RELAXED);
		}
	}
	interrupt_recheck(apic->cpu);
}

static void write_lvt(struct apic *apic, enum apic_lvt which, uint32_t value)
{
	static const uint32_t writable[APIC_LVT_COUNT] = {
			[APIC_LVT_TIMER] = 0x700ff,
			[APIC_LVT_THERMAL] = 0x107ff,
			[APIC_LVT_PERFORMANCE] = 0x107ff,
			[APIC_LVT_LINT0] = 0x1a7ff,
			[APIC_LVT_LINT1] = 0x1a7ff,
			[APIC_LVT_ERROR] = 0x100ff,
	};
	uint32_t old = apic->lvt[which];

	value &= writable[which];
	if (!apic_software_enabled(apic)) {
		value |= APIC_LVT_MASKED;
	}
	__atomic_store_n(&apic->lvt[which], value, __ATOMIC_RELAXED);
	if (which == APIC_LVT_TIMER && ((old ^ value) & APIC_TIMER_MODE)) {
		apic_timer_mode_changed(apic, old, value);
	}
	if (which == APIC_LVT_LINT0) {
		interrupt_recheck(apic->cpu);
	}
}

static void write_self_ipi(struct apic *apic, uint32_t value)
{
	if ((value & 0xff) < 16) {
		report_error(apic, APIC_ERROR_SENT_VECTOR);
		return;
	}
	apic_accept(apic, (uint8_t)value, false);
}

static void write_icr(struct apic *apic, uint64_t value)
{
	uint32_t mode = APIC_DELIVERY_MODE(value);

	apic->icr = value & ~(uint64_t)APIC_ICR_PENDING;
	if ((mode == APIC_DELIVERY_FIXED || mode == APIC_DELIVERY_LOWEST) && (value & 0xff) < 16) {
		report_error(apic, APIC_ERROR_SENT_VECTOR);
		return;
	}
	apic_bus_send_ipi(apic->bus, apic, value);
}

static bool is_lvt(uint32_t reg, enum apic_lvt *ret_which)
{
	if (reg < APIC_REG_LVT_FIRST || reg > APIC_REG_LVT_LAST) {
		return false;
	}
	*ret_which = (enum apic_lvt)(reg - APIC_REG_LVT_FIRST);
	return true;
}

/* Registers by number: MMIO offset / 16, or x2APIC MSR - 800H. */
static bool read_register(struct apic *apic, uint32_t reg, uint32_t *ret_value)
{
	enum apic_lvt lvt;

	if (is_lvt(reg, &lvt)) {
		*ret_value = apic->lvt[lvt];
		return true;
	}
	if ((reg >= APIC_REG_ISR && reg < APIC_REG_TMR) || reg == APIC_REG_PPR) {
		settle_pv_eoi(apic, false);
	}
	if (reg >= APIC_REG_ISR && reg < APIC_REG_ERROR) {
		const uint32_t *words[] = {apic->isr, apic->tmr, apic->irr};
		const uint32_t *word = &words[(reg - APIC_REG_ISR) / 8][reg % 8];
		*ret_value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
		return true;
	}
	switch (reg) {
	case APIC_REG_ID:
		*ret_value = apic->id;
		return true;
	case APIC_REG_VERSION:
		*ret_value = APIC_VERSION | (APIC_LVT_COUNT - 1) << 16;
		return true;
	case APIC_REG_TPR:
		*ret_value = apic->tpr;
		return true;
	case APIC_REG_PPR:
		*ret_value = processor_priority(apic);
		return true;
	case APIC_REG_LDR:
		*ret_value = apic->logical_id;
		return true;
	case APIC_REG_SPURIOUS:
		*ret_value = apic->spurious;
		return true;
	case APIC_REG_ERROR:
		*ret_value = apic->error;
		return true;
	case APIC_REG_ICR_LOW:
		*ret_value = (uint32_t)apic->icr;
		return true;
	case APIC_REG_TIMER_INITIAL:
		*ret_value = apic->timer_initial;
		return true;
	case APIC_REG_TIMER_CURRENT:
		*ret_value = apic_timer_current(apic);
		return true;
	case APIC_REG_TIMER_DIVIDE:
		*ret_value = apic->timer_divide;
		return true;
	default:
		return false;
	}
}

static bool write_register(struct apic *apic, uint32_t reg, uint32_t value)
{
	enum apic_lvt lvt;

	if (is_lvt(reg, &lvt)) {
		write_lvt(apic, lvt, value);
		return true;
	}
	switch (reg) {
	case APIC_REG_TPR:
		apic_set_tpr(apic, (uint8_t)value);
		return true;
	case APIC_REG_EOI:
		end_of_interrupt(apic);
		return true;
	case APIC_REG_SPURIOUS:
		write_spurious(apic, value);
		return true;
	case APIC_REG_ERROR:
		apic->error = __atomic_exchange_n(&apic->error_pending, 0, __ATOMIC_SEQ_CST);
		return true;
	case APIC_REG_TIMER_INITIAL:
		apic_timer_start(apic, value);
		return true;
	case APIC_REG_TIMER_DIVIDE:
		apic_timer_set_divide(apic, value & 0xb);
		return true;
	default:
		return false;
	}
}

static bool mmio_read_only_here(struct apic *apic, uint32_t reg, uint32_t *ret_value)
{
	switch (reg) {
	case APIC_REG_APR:
	case APIC_REG_EOI:
		*ret_value = 0;
		return true;
	case APIC_REG_DFR:
		*ret_value = apic->format;
		return true;
	case APIC_REG_ICR_HIGH:
		*ret_value = (uint32_t)(apic->icr >> 32);
		return true;
	default:
		return read_register(apic, reg, ret_value);
	}
}

uint32_t apic_mmio_read(struct apic *apic, uint32_t offset, unsigned size)
{
	uint32_t value = 0;

	if ((offset & 15) + size > 4) {
		return 0;
	}
	if (offset >= APIC_MMIO_SIZE || !mmio_read_only_here(apic, offset / 16, &value)) {
		report_error(apic, APIC_ERROR_REGISTER);
	}
	return value >> (8 * (offset & 3));
}

void apic_mmio_write(struct apic *apic, uint32_t offset, uint64_t wide, unsigned size)
{
	uint32_t value = (uint32_t)wide;

	if (size != 4 || (offset & 15)) {
		guest_error("apic: write of %u bytes at 0x%x", size, offset);
		return;
	}
	switch (offset / 16) {
	case APIC_REG_ID:
		__atomic_store_n(&apic->id, value & 0xff000000, __ATOMIC_RELAXED);
		break;
	case APIC_REG_LDR:
		__atomic_store_n(&apic->logical_id, value & 0xff000000, __ATOMIC_RELAXED);
		break;
	case APIC_REG_DFR:
		__atomic_store_n(&apic->format, value | 0x0fffffff, __ATOMIC_RELAXED);
		break;
	case APIC_REG_ICR_LOW:
		write_icr(apic, (apic->icr & ~UINT64_C(0xffffffff)) | value);
		break;
	case APIC_REG_ICR_HIGH:
		apic->icr = (uint32_t)apic->icr | (uint64_t)(value & 0xff000000) << 32;
		break;
	default:
		if (offset >= APIC_MMIO_SIZE || !write_register(apic, offset / 16, value)) {
			report_error(apic, APIC_ERROR_REGISTER);
		}
		break;
	}
}

static bool x2apic_read(struct apic *apic, uint32_t reg, uint64_t *ret_value)
{
	uint32_t value;

	if (reg == APIC_REG_ICR_LOW) {
		*ret_value = apic->icr;
		return true;
	}
	if (!read_register(apic, reg, &value)) {
		return false;
	}
	*ret_value = value;
	return true;
}

/* Reserved bits of x2APIC registers raise #GP. */
static bool x2apic_value_valid(uint32_t reg, uint64_t value)
{
	if (reg != APIC_REG_ICR_LOW && value >> 32) {
		return false;
	}
	switch (reg) {
	case APIC_REG_TPR:
	case APIC_REG_SELF_IPI:
		return value <= 0xff;
	case APIC_REG_EOI:
	case APIC_REG_ERROR:
		return value == 0;
	case APIC_REG_SPURIOUS:
		return !(value & ~UINT64_C(0x1ff));
	case APIC_REG_TIMER_DIVIDE:
		return !(value & ~UINT64_C(0xb));
	case APIC_REG_ICR_LOW:
		return !(value & 0xfff32000);
	default:
		return true;
	}
}

static bool x2apic_write(struct apic *apic, uint32_t reg, uint64_t value)
{
	if (!x2apic_value_valid(reg, value)) {
		return false;
	}
	switch (reg) {
	case APIC_REG_ICR_LOW:
		write_icr(apic, value);
		return true;
	case APIC_REG_SELF_IPI:
		write_self_ipi(apic, (uint32_t)value);
		return true;
	default:
		return write_register(apic, reg, (uint32_t)value);
	}
}

/* The registers' page moved or vanished: translations to it are void. */
static void update_page(struct apic *apic)
{
	bool mmio = apic_enabled(apic) && !is_x2apic(apic);

	apic->cpu->apic_page = mmio ? apic->base & ~(GUEST_PAGE_SIZE - 1) : UINT64_MAX;
	mmu_flush_all(apic->cpu);
}

static void enter_x2apic(struct apic *apic)
{
	uint32_t id = apic->cpu->index;

	__atomic_store_n(&apic->id, id, __ATOMIC_RELAXED);
	__atomic_store_n(&apic->logical_id, (id >> 4) << 16 | 1u << (id & 15), __ATOMIC_RELAXED);
}

static bool write_base(struct apic *apic, uint64_t value)
{
	uint64_t defined = APIC_BASE_BSP | APIC_BASE_EXTENDED | APIC_BASE_ENABLED |
			   ((BIT(WALK_PHYSICAL_BITS) - 1) & ~(GUEST_PAGE_SIZE - 1));
	bool enabled = value & APIC_BASE_ENABLED, extended = value & APIC_BASE_EXTENDED;

	if ((value & ~defined) || (extended && !enabled)) {
		return false;
	}
	if (is_x2apic(apic) && enabled && !extended) {
		return false; /* the way back leads through "disabled" */
	}
	if (!apic_enabled(apic) && extended) {
		return false;
	}
	bool was_extended = is_x2apic(apic), was_enabled = apic_enabled(apic);
	__atomic_store_n(&apic->base, value, __ATOMIC_RELAXED);
	if (extended && !was_extended) {
		enter_x2apic(apic);
	}
	if (was_enabled && !enabled) {
		settle_pv_eoi(apic, true);
		apic_reset(apic, true);
	}
	update_page(apic);
	interrupt_recheck(apic->cpu);
	return true;
}

bool apic_msr_read(struct apic *apic, uint32_t msr, uint64_t *ret_value)
{
	switch (msr) {
	case X86_MSR_APIC_BASE:
		*ret_value = apic->base;
		return true;
	case X86_MSR_TSC_DEADLINE:
		*ret_value = apic_timer_get_deadline(apic);
		return true;
	default:
		return is_x2apic(apic) && msr >= X86_MSR_X2APIC_FIRST &&
		       msr <= X86_MSR_X2APIC_LAST &&
		       x2apic_read(apic, msr - X86_MSR_X2APIC_FIRST, ret_value);
	}
}

bool apic_msr_write(struct apic *apic, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case X86_MSR_APIC_BASE:
		return write_base(apic, value);
	case X86_MSR_TSC_DEADLINE:
		apic_timer_set_deadline(apic, value);
		return true;
	default:
		return is_x2apic(apic) && msr >= X86_MSR_X2APIC_FIRST &&
		       msr <= X86_MSR_X2APIC_LAST &&
		       x2apic_write(apic, msr - X86_MSR_X2APIC_FIRST, value);
	}
}

void apic_reset(struct apic *apic, bool init)
{
	apic_timer_stop(apic);
	if (!init) {
		apic->base = APIC_BASE_DEFAULT | APIC_BASE_ENABLED |
			     (apic->cpu->index == 0 ? APIC_BASE_BSP : 0);
	}
	if (is_x2apic(apic)) {
		enter_x2apic(apic);
	} else {
		apic->id = apic->cpu->index << 24;
		apic->logical_id = 0;
	}
	apic->format = 0xffffffff;
	apic->tpr = 0;
	apic->spurious = 0xff;
	apic->error = apic->error_pending = 0;
	apic->icr = 0;
	for (unsigned i = 0; i < APIC_LVT_COUNT; i++) {
		apic->lvt[i] = APIC_LVT_MASKED;
	}
	if (apic->cpu->index == 0) {
		/*
		 * Firmware leaves the 8259 connected; guests entered without firmware rely on it as
		 * well.
		 */
		apic->lvt[APIC_LVT_LINT0] = APIC_DELIVERY_EXTINT << 8;
	}
	memset(apic->irr, 0, sizeof(apic->irr));
	memset(apic->isr, 0, sizeof(apic->isr));
	memset(apic->tmr, 0, sizeof(apic->tmr));
	apic->timer_initial = 0;
	apic->timer_divide = 0;
	update_page(apic);
}
