/* SPDX-License-Identifier: MIT */
/*
 * 82093AA I/O APIC (Intel 290566), version 0x20 with the EOI register of the ICHs (ICH9 datasheet,
 * 13.5): index and data window at 0xfec00000, 24 redirection entries. Deliveries become messages in
 * MSI format to the engine's local APICs, at once: the delivery status is always idle. Edges at a
 * masked input are lost, as the data sheet has it. The board drives inputs as asserted or not, so
 * the polarity bit is kept without effect. Left out: the 8259s' request at input 0 (it goes to the
 * boot CPU's LINT0 only).
 */
#include "hw/pc/ioapic.h"

#include "core/base/log.h"
#include "core/engine/irqchip.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#define IOAPIC_BASE UINT64_C(0xfec00000)
#define IOAPIC_SIZE 0x1000
#define IOAPIC_INPUTS MACHINE_GSI_COUNT
#define IOAPIC_VERSION 0x20u

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI 0x40

#define INDEX_ID 0x00
#define INDEX_VERSION 0x01
#define INDEX_ARBITRATION 0x02
#define INDEX_ENTRIES 0x10

#define ENTRY_VECTOR 0xffu
#define ENTRY_DELIVERY 0x700u
#define ENTRY_DELIVERY_LOWEST 0x100u
#define ENTRY_DEST_MODE BIT(11)
#define ENTRY_POLARITY BIT(13)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DEST UINT64_C(0xff00000000000000)
#define ENTRY_DEST_SHIFT 56
#define ENTRY_WRITABLE \
	(ENTRY_VECTOR | ENTRY_DELIVERY | ENTRY_DEST_MODE | ENTRY_POLARITY | ENTRY_LEVEL | \
			ENTRY_MASKED | ENTRY_DEST)

#define MSI_ADDRESS_BASE UINT64_C(0xfee00000)
#define MSI_ADDRESS_DEST_MODE BIT(2)
#define MSI_DATA_LEVEL BIT(15)
#define MSI_DATA_ASSERT BIT(14)

struct ioapic {
	struct device base;
	struct machine *machine;
	struct io_region region;
	GMutex lock;

	/* guest-visible; guarded by lock */
	uint8_t select;
	uint8_t id;
	uint64_t entries[IOAPIC_INPUTS];

	/* guarded by lock */
	bool level[IOAPIC_INPUTS]; /* what the board drives */
};

static struct ioapic *ioapic_of(struct device *device)
{
	assert(device->device_class == &ioapic_class);
	return container_of(device, struct ioapic, base);
}

/* Only fixed and lowest-priority interrupts end with an EOI: all others are edges for good. */
static bool is_level(uint64_t entry)
{
	return (entry & ENTRY_LEVEL) && (entry & ENTRY_DELIVERY) <= ENTRY_DELIVERY_LOWEST;
}

static void send_locked(struct ioapic *ioapic, unsigned input)
{
	uint64_t entry = ioapic->entries[input];
	uint64_t address = MSI_ADDRESS_BASE | (entry >> ENTRY_DEST_SHIFT) << 12;
	uint32_t data = (uint32_t)(entry & (ENTRY_VECTOR | ENTRY_DELIVERY)) |
			(uint32_t)MSI_DATA_ASSERT;

	if (entry & ENTRY_DEST_MODE) {
		address |= MSI_ADDRESS_DEST_MODE;
	}
	if (is_level(entry)) {
		data |= (uint32_t)MSI_DATA_LEVEL;
		ioapic->entries[input] |= ENTRY_REMOTE_IRR;
	}
	irqchip_send_msi(ioapic->machine->irqchip, address, data);
}

/* Sends a level-triggered input that is high and not yet being served. */
static void evaluate_level_locked(struct ioapic *ioapic, unsigned input)
{
	uint64_t entry = ioapic->entries[input];

	if (is_level(entry) && ioapic->level[input] && !(entry & ENTRY_MASKED) &&
			!(entry & ENTRY_REMOTE_IRR)) {
		send_locked(ioapic, input);
	}
}

void ioapic_set_input(struct device *device, unsigned input, bool level)
{
	struct ioapic *ioapic = ioapic_of(device);

	assert(input < IOAPIC_INPUTS);
	g_mutex_lock(&ioapic->lock);
	bool rising = level && !ioapic->level[input];
	ioapic->level[input] = level;
	if (is_level(ioapic->entries[input])) {
		evaluate_level_locked(ioapic, input);
	} else if (rising && !(ioapic->entries[input] & ENTRY_MASKED)) {
		send_locked(ioapic, input);
	}
	g_mutex_unlock(&ioapic->lock);
}

static void eoi_locked(struct ioapic *ioapic, uint8_t vector)
{
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
		uint64_t entry = ioapic->entries[i];
		if ((entry & ENTRY_REMOTE_IRR) && (entry & ENTRY_VECTOR) == vector) {
			ioapic->entries[i] &= ~ENTRY_REMOTE_IRR;
			evaluate_level_locked(ioapic, i);
		}
	}
}

void ioapic_eoi(struct device *device, uint8_t vector)
{
	struct ioapic *ioapic = ioapic_of(device);

	g_mutex_lock(&ioapic->lock);
	eoi_locked(ioapic, vector);
	g_mutex_unlock(&ioapic->lock);
}

/*
 * Tells the engine which vectors need an EOI back. Those of masked inputs too: systems mask an
 * input while its interrupt is in service, and its remote IRR must not stay set for that.
 */
static void publish_eoi_vectors_locked(struct ioapic *ioapic)
{
	struct irqchip *irqchip = ioapic->machine->irqchip;
	uint64_t vectors[4] = {0};

	if (!irqchip->impl->set_eoi_vectors) {
		return;
	}
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
		uint64_t entry = ioapic->entries[i];
		if (is_level(entry)) {
			vectors[(entry & ENTRY_VECTOR) / 64] |= BIT((entry & ENTRY_VECTOR) % 64);
		}
	}
	irqchip->impl->set_eoi_vectors(irqchip, vectors);
}

static void write_entry_locked(struct ioapic *ioapic, unsigned index, uint32_t value)
{
	unsigned input = index / 2;
	uint64_t entry = ioapic->entries[input];
	uint64_t half = index % 2 ? (uint64_t)value << 32 : value;
	uint64_t mask = index % 2 ? ~UINT64_C(0xffffffff) : UINT64_C(0xffffffff);

	mask &= ENTRY_WRITABLE;
	entry = (entry & ~mask) | (half & mask);
	if (!is_level(entry)) {
		entry &= ~ENTRY_REMOTE_IRR; /* how Linux clears a stuck one */
	}
	ioapic->entries[input] = entry;
	publish_eoi_vectors_locked(ioapic);
	evaluate_level_locked(ioapic, input);
}

static void write_window_locked(struct ioapic *ioapic, uint32_t value)
{
	unsigned index = ioapic->select;

	if (index == INDEX_ID) {
		ioapic->id = (value >> 24) & 0xf;
	} else if (index >= INDEX_ENTRIES && index < INDEX_ENTRIES + 2 * IOAPIC_INPUTS) {
		write_entry_locked(ioapic, index - INDEX_ENTRIES, value);
	}
}

static uint32_t read_window_locked(const struct ioapic *ioapic)
{
	unsigned index = ioapic->select;

	if (index >= INDEX_ENTRIES && index < INDEX_ENTRIES + 2 * IOAPIC_INPUTS) {
		uint64_t entry = ioapic->entries[(index - INDEX_ENTRIES) / 2];
		return (uint32_t)(index % 2 ? entry >> 32 : entry);
	}
	switch (index) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return (uint32_t)ioapic->id << 24;
	case INDEX_VERSION:
		return IOAPIC_VERSION | (IOAPIC_INPUTS - 1) << 16;
	default:
		return 0;
	}
}

/* Registers are of 32 bits; of a wider access the upper half goes nowhere. */
static uint64_t ioapic_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct ioapic *ioapic = container_of(region, struct ioapic, region);
	uint32_t value = 0;
	(void)size;

	g_mutex_lock(&ioapic->lock);
	if (offset == REG_SELECT) {
		value = ioapic->select;
	} else if (offset == REG_WINDOW) {
		value = read_window_locked(ioapic);
	}
	g_mutex_unlock(&ioapic->lock);
	return value;
}

static void ioapic_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct ioapic *ioapic = container_of(region, struct ioapic, region);

	g_mutex_lock(&ioapic->lock);
	switch (offset) {
	case REG_SELECT:
		ioapic->select = (uint8_t)value;
		break;
	case REG_WINDOW:
		if (size < sizeof(uint32_t)) {
			guest_error("ioapic: write of %u bytes to the window ignored", size);
		} else {
			write_window_locked(ioapic, (uint32_t)value);
		}
		break;
	case REG_EOI:
		eoi_locked(ioapic, (uint8_t)value);
		break;
	default:
		break;
	}
	g_mutex_unlock(&ioapic->lock);
}

static bool ioapic_realize(struct device *device, struct machine *machine, GError **error)
{
	struct ioapic *ioapic = ioapic_of(device);
	(void)error;

	ioapic->machine = machine;
	g_mutex_init(&ioapic->lock);
	ioapic->region = (struct io_region){
			.name = "ioapic",
			.size = IOAPIC_SIZE,
			.read = ioapic_read,
			.write = ioapic_write,
	};
	address_space_add(machine->memory, IOAPIC_BASE, &ioapic->region);
	return true;
}

static void ioapic_unrealize(struct device *device)
{
	struct ioapic *ioapic = ioapic_of(device);

	address_space_remove(&ioapic->region);
	g_mutex_clear(&ioapic->lock);
}

static void ioapic_reset(struct device *device)
{
	struct ioapic *ioapic = ioapic_of(device);

	g_mutex_lock(&ioapic->lock);
	ioapic->select = 0;
	ioapic->id = 0;
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
		ioapic->entries[i] = ENTRY_MASKED;
	}
	publish_eoi_vectors_locked(ioapic);
	g_mutex_unlock(&ioapic->lock);
}

const struct device_class ioapic_class = {
		.name = "ioapic",
		.description = "I/O APIC",
		.size = sizeof(struct ioapic),
		.internal = true,
		.realize = ioapic_realize,
		.unrealize = ioapic_unrealize,
		.reset = ioapic_reset,
};
