/* SPDX-License-Identifier: MIT */
/*
 * Intel ICH9 LPC interface bridge (I/O Controller Hub 9 datasheet, 316972, chapters 13.1 and 13.8):
 * identity, the ACPI power management block at a fixed base. Fixed features follow ACPI 6.4, 4.8; the
 * timer has 32 bits, as the tables say. No general-purpose event has a source yet. Left out: SMI,
 * GPIO, sleeping states other than S5; ACPI mode is always on. The watchdog is in ich9_tco.c.
 */
#include "hw/pc/ich9.h"

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "hw/pc/ich9_tco.h"
#include "hw/pc/machine.h"
#include "hw/pci/pci.h"

#include <string.h>

#define PM_SIZE (ICH9_TCO_BASE - ICH9_PM_BASE)
#define PM_TIMER_HZ INT64_C(3579545)
#define PM_TIMER_TOP_BIT 31
#define NS_PER_SEC INT64_C(1000000000)

#define CONFIG_PMBASE 0x40
#define CONFIG_ACPI_CNTL 0x44
#define CONFIG_PIRQ_A 0x60
#define CONFIG_PIRQ_E 0x68
#define CONFIG_RCBA 0xf0

#define REG_PM1_STATUS 0x00
#define REG_PM1_ENABLE 0x02
#define REG_PM1_CONTROL 0x04
#define REG_PM_TIMER 0x08
#define REG_GPE0 0x20

#define PM1_TIMER 0x0001
#define PM1_GLOBAL 0x0020
#define PM1_POWER_BUTTON 0x0100
#define PM1_RTC 0x0400
#define PM1_WAKE 0x8000
#define PM1_STATUS_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC | PM1_WAKE)
#define PM1_ENABLE_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC)
#define PM1_CONTROL_SCI_EN 0x0001
#define PM1_CONTROL_SLEEP_TYPE 0x1c00
#define PM1_CONTROL_SLEEP_TYPE_SHIFT 10
#define PM1_CONTROL_SLEEP_EN 0x2000
#define SLEEP_TYPE_S5 0 /* as \_S5 in dsdt.asl says */

struct ich9_lpc {
	struct pci_device pci;
	struct io_region pm;
	struct ich9_tco tco;
	struct timer timer_carry; /* when the timer's highest bit changes next */
	GMutex lock;

	/* guest-visible; guarded by lock */
	uint16_t pm1_status, pm1_enable, pm1_control;
	uint8_t gpe0[ICH9_GPE0_LEN]; /* status, then enable */

	int64_t timer_seen; /* changes of the timer's highest bit so far; guarded by lock */
};

static struct ich9_lpc *lpc_of(struct device *device)
{
	assert(device->device_class == &ich9_lpc_class);
	return container_of(device, struct ich9_lpc, pci.base);
}

static void update_sci_locked(struct ich9_lpc *lpc)
{
	bool level = lpc->pm1_status & lpc->pm1_enable & PM1_ENABLE_BITS;

	for (unsigned i = 0; i < ICH9_GPE0_LEN / 2; i++) {
		level = level || (lpc->gpe0[i] & lpc->gpe0[i + ICH9_GPE0_LEN / 2]);
	}
	machine_set_gsi(lpc->pci.machine, ICH9_SCI_GSI, level);
}

static int64_t timer_ticks(const struct ich9_lpc *lpc)
{
	int64_t now = clock_now(lpc->pci.machine->clock);

	return now / NS_PER_SEC * PM_TIMER_HZ + now % NS_PER_SEC * PM_TIMER_HZ / NS_PER_SEC;
}

static int64_t ns_of_ticks(int64_t ticks)
{
	return ticks / PM_TIMER_HZ * NS_PER_SEC +
	       (ticks % PM_TIMER_HZ * NS_PER_SEC + PM_TIMER_HZ - 1) / PM_TIMER_HZ;
}

/* The timer's status bit follows its highest bit. Before every look and change. */
static void catch_up_locked(struct ich9_lpc *lpc)
{
	int64_t changes = timer_ticks(lpc) >> PM_TIMER_TOP_BIT;

	if (changes != lpc->timer_seen) {
		lpc->timer_seen = changes;
		lpc->pm1_status |= PM1_TIMER;
	}
}

/* After every change: drives the SCI and wakes up for the timer if it is to interrupt. */
static void update_locked(struct ich9_lpc *lpc)
{
	update_sci_locked(lpc);
	if (lpc->pm1_enable & ~lpc->pm1_status & PM1_TIMER) {
		timer_arm(&lpc->timer_carry,
				ns_of_ticks((lpc->timer_seen + 1) << PM_TIMER_TOP_BIT));
	} else {
		timer_cancel(&lpc->timer_carry);
	}
}

static void handle_timer_carry(struct timer *timer)
{
	struct ich9_lpc *lpc = container_of(timer, struct ich9_lpc, timer_carry);

	g_mutex_lock(&lpc->lock);
	catch_up_locked(lpc);
	update_locked(lpc);
	g_mutex_unlock(&lpc->lock);
}

static uint8_t pm_read_byte(const struct ich9_lpc *lpc, uint64_t offset)
{
	switch (offset) {
	case REG_PM1_STATUS:
	case REG_PM1_STATUS + 1:
		return (uint8_t)(lpc->pm1_status >> 8 * (offset - REG_PM1_STATUS));
	case REG_PM1_ENABLE:
	case REG_PM1_ENABLE + 1:
		return (uint8_t)(lpc->pm1_enable >> 8 * (offset - REG_PM1_ENABLE));
	case REG_PM1_CONTROL:
	case REG_PM1_CONTROL + 1:
		return (uint8_t)(lpc->pm1_control >> 8 * (offset - REG_PM1_CONTROL));
	default:
		return offset >= REG_GPE0 && offset < REG_GPE0 + ICH9_GPE0_LEN
				       ? lpc->gpe0[offset - REG_GPE0]
				       : 0;
	}
}

static uint64_t pm_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct ich9_lpc *lpc = container_of(region, struct ich9_lpc, pm);
	uint64_t value = 0;

	g_mutex_lock(&lpc->lock);
	uint32_t timer = (uint32_t)timer_ticks(lpc);
	catch_up_locked(lpc);
	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i;
		bool in_timer = at >= REG_PM_TIMER && at < REG_PM_TIMER + sizeof(timer);
		uint8_t byte = in_timer ? (uint8_t)(timer >> 8 * (at - REG_PM_TIMER))
					: pm_read_byte(lpc, at);
		value |= (uint64_t)byte << 8 * i;
	}
	update_locked(lpc);
	g_mutex_unlock(&lpc->lock);
	return value;
}

static void set_byte(uint16_t *reg, unsigned index, uint8_t byte, uint16_t writable)
{
	uint16_t mask = (uint16_t)(0xff << 8 * index) & writable;

	*reg = (uint16_t)((*reg & ~mask) | ((byte << 8 * index) & mask));
}

static void pm_write_byte(struct ich9_lpc *lpc, uint64_t offset, uint8_t byte)
{
	switch (offset) {
	case REG_PM1_STATUS:
	case REG_PM1_STATUS + 1: /* write 1 to clear */
		lpc->pm1_status &= (uint16_t) ~(byte << 8 * (offset - REG_PM1_STATUS));
		break;
	case REG_PM1_ENABLE:
	case REG_PM1_ENABLE + 1:
		set_byte(&lpc->pm1_enable, (unsigned)offset - REG_PM1_ENABLE, byte,
				PM1_ENABLE_BITS);
		break;
	case REG_PM1_CONTROL:
	case REG_PM1_CONTROL + 1:
		set_byte(&lpc->pm1_control, (unsigned)offset - REG_PM1_CONTROL, byte,
				PM1_CONTROL_SLEEP_TYPE | PM1_CONTROL_SLEEP_EN);
		break;
	default:
		if (offset >= REG_GPE0 && offset < REG_GPE0 + ICH9_GPE0_LEN / 2) {
			lpc->gpe0[offset - REG_GPE0] &= (uint8_t)~byte;
		} else if (offset >= REG_GPE0 + ICH9_GPE0_LEN / 2 &&
				offset < REG_GPE0 + ICH9_GPE0_LEN) {
			lpc->gpe0[offset - REG_GPE0] = byte;
		}
		break;
	}
}

/* Entering a sleeping state: S5 is power-off, the others are not offered. */
static bool sleep_wanted_locked(struct ich9_lpc *lpc)
{
	bool wanted = lpc->pm1_control & PM1_CONTROL_SLEEP_EN;
	unsigned type = (lpc->pm1_control & PM1_CONTROL_SLEEP_TYPE) >> PM1_CONTROL_SLEEP_TYPE_SHIFT;

	lpc->pm1_control &= (uint16_t)~PM1_CONTROL_SLEEP_EN; /* reads as zero */
	if (wanted && type != SLEEP_TYPE_S5) {
		guest_error("ich9: sleep type %u is none that the tables name", type);
	}
	return wanted && type == SLEEP_TYPE_S5;
}

static void pm_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct ich9_lpc *lpc = container_of(region, struct ich9_lpc, pm);
	struct machine *machine = lpc->pci.machine;

	g_mutex_lock(&lpc->lock);
	catch_up_locked(lpc);
	for (unsigned i = 0; i < size; i++) {
		pm_write_byte(lpc, offset + i, (uint8_t)(value >> 8 * i));
	}
	bool poweroff = sleep_wanted_locked(lpc);
	update_locked(lpc);
	g_mutex_unlock(&lpc->lock);
	if (poweroff) {
		machine->event(machine, MACHINE_EVENT_POWEROFF, 0);
	}
}

void ich9_power_button(struct device *device)
{
	struct ich9_lpc *lpc = lpc_of(device);

	g_mutex_lock(&lpc->lock);
	catch_up_locked(lpc);
	lpc->pm1_status |= PM1_POWER_BUTTON;
	update_locked(lpc);
	g_mutex_unlock(&lpc->lock);
}

static bool ich9_realize(struct device *device, struct machine *machine, GError **error)
{
	static const struct pci_identity identity = {
			.vendor = 0x8086,
			.device = 0x2918,
			.subsystem_vendor = 0x1af4,
			.subsystem = 0x1100,
			.revision = 2,
			.class_code = 0x060100,
			.multifunction = true,
	};
	struct ich9_lpc *lpc = lpc_of(device);

	g_mutex_init(&lpc->lock);
	timer_init(&lpc->timer_carry, machine->clock, handle_timer_carry);
	ich9_tco_realize(&lpc->tco, machine);
	lpc->pci.devfn = PCI_DEVFN(0x1f, 0);
	if (!pci_device_realize(&lpc->pci, machine, &identity, error)) {
		return false;
	}
	le32_store(lpc->pci.config + CONFIG_PMBASE, ICH9_PM_BASE | 1);
	le32_store(lpc->pci.config + CONFIG_RCBA, (uint32_t)ICH9_RCBA | 1);
	lpc->pci.config[CONFIG_ACPI_CNTL] = 0x80; /* the block is decoded, SCI is IRQ 9 */
	for (unsigned i = 0; i < 4; i++) {
		/* Not routed to the 8259: interrupts of PCI go to the I/O APIC. */
		lpc->pci.config[CONFIG_PIRQ_A + i] = 0x80;
		lpc->pci.config[CONFIG_PIRQ_E + i] = 0x80;
	}
	lpc->pm = (struct io_region){
			.name = "acpi-pm", .size = PM_SIZE, .read = pm_read, .write = pm_write};
	address_space_add(machine->ports, ICH9_PM_BASE, &lpc->pm);
	return true;
}

static void ich9_unrealize(struct device *device)
{
	struct ich9_lpc *lpc = lpc_of(device);

	address_space_remove(&lpc->pm);
	ich9_tco_unrealize(&lpc->tco);
	timer_cancel(&lpc->timer_carry);
	pci_device_unrealize(&lpc->pci);
	g_mutex_clear(&lpc->lock);
}

static void ich9_reset(struct device *device)
{
	struct ich9_lpc *lpc = lpc_of(device);

	pci_device_reset(&lpc->pci);
	ich9_tco_reset(&lpc->tco);
	g_mutex_lock(&lpc->lock);
	lpc->pm1_status = lpc->pm1_enable = 0;
	lpc->pm1_control = PM1_CONTROL_SCI_EN;
	memset(lpc->gpe0, 0, sizeof(lpc->gpe0));
	lpc->timer_seen = timer_ticks(lpc) >> PM_TIMER_TOP_BIT;
	update_locked(lpc);
	g_mutex_unlock(&lpc->lock);
}

const struct device_class ich9_lpc_class = {
		.name = "ich9-lpc",
		.description = "ICH9 LPC bridge",
		.bus = "pci",
		.size = sizeof(struct ich9_lpc),
		.internal = true,
		.realize = ich9_realize,
		.unrealize = ich9_unrealize,
		.reset = ich9_reset,
};
