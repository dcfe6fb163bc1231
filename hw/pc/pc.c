/* SPDX-License-Identifier: MIT */
#include "hw/pc/pc.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/boot/kernel.h"
#include "core/device/device.h"
#include "hw/pc/acpi.h"
#include "hw/pc/fw_cfg.h"
#include "hw/pc/i8254.h"
#include "hw/pc/i8259.h"
#include "hw/pc/ich9.h"
#include "hw/pc/ioapic.h"
#include "hw/pc/legacy_ports.h"
#include "hw/pc/q35.h"
#include "hw/pc/rtc.h"
#include "hw/pc/serial.h"
#include "hw/pc/smbios.h"
#include "hw/pci/pci.h"

#include <glib-unix.h>
#include <string.h>

/*
 * Guest-physical layout. RAM: [0, 640 KiB), [768 KiB, low end), [4 GiB, ...). Between: VGA's
 * window, and from low end the configuration window, BARs, I/O APIC, local APICs.
 */
#define VGA_HOLE UINT64_C(0xa0000)
#define VGA_HOLE_END UINT64_C(0xc0000)
#define LOW_RAM_MAX UINT64_C(0xb0000000)
#define LOW_RAM_LARGE UINT64_C(0x80000000) /* where it ends once there is RAM above 4 GiB */
#define HIGH_RAM UINT64_C(0x100000000)
#define MMIO_BASE UINT64_C(0xc0000000)
#define MMIO_END UINT64_C(0xfec00000)
#define MMIO64_ALIGNMENT (UINT64_C(16) << 30)
#define MMIO64_SIZE (UINT64_C(32) << 30)
#define IO_BASE 0xc000

#define GRAPHICS_SLOT 2
#define TIMER_IRQ 0
#define TIMER_GSI 2 /* the override of the MADT */
#define ISA_GSI_COUNT 16

#define EVENT_COUNT (MACHINE_EVENT_PANICKED + 1)

/* Something for the main thread: an event of the machine, or a vCPU that stopped. */
struct notice {
	struct vcpu *vcpu; /* NULL: an event */
	enum vcpu_exit reason;
	enum machine_event event;
	int status;
};

struct pc {
	struct machine machine;
	struct pc_config config;
	struct irqchip_board board;
	struct engine_events engine_events;
	struct device *pic, *ioapic, *lpc;
	GPtrArray *devices; /* struct device *, in the order they were realized */
	guint clock_source;
	uint64_t mmio64_base;
	bool running;

	GMutex notice_lock;
	/* Not yet delivered, oldest first: each event once, each vCPU once. Guarded by notice_lock. */
	struct notice notices[EVENT_COUNT + ENGINE_MAX_VCPUS];
	unsigned notice_count;
};

static void set_gsi(struct machine *machine, unsigned gsi, bool level)
{
	struct pc *pc = container_of(machine, struct pc, machine);

	if (gsi < ISA_GSI_COUNT) {
		i8259_set_input(pc->pic, gsi, level);
	}
	ioapic_set_input(pc->ioapic, gsi == TIMER_IRQ ? TIMER_GSI : gsi, level);
}

static uint8_t board_acknowledge(struct irqchip_board *board)
{
	struct pc *pc = container_of(board, struct pc, board);

	return i8259_acknowledge(pc->pic);
}

static void board_eoi(struct irqchip_board *board, uint8_t vector)
{
	struct pc *pc = container_of(board, struct pc, board);

	ioapic_eoi(pc->ioapic, vector);
}

/* One at a time, so that a guest that makes events without end does not keep the main loop. */
static gboolean deliver_notice(gpointer opaque)
{
	struct pc *pc = opaque;
	struct pc_events *events = pc->config.events;

	g_mutex_lock(&pc->notice_lock);
	if (pc->notice_count == 0) {
		g_mutex_unlock(&pc->notice_lock);
		return G_SOURCE_REMOVE; /* a reset came first */
	}
	struct notice notice = pc->notices[0];
	pc->notice_count--;
	memmove(&pc->notices[0], &pc->notices[1], pc->notice_count * sizeof(pc->notices[0]));
	bool more = pc->notice_count > 0;
	g_mutex_unlock(&pc->notice_lock);
	if (notice.vcpu) {
		events->vcpu_stopped(events, notice.vcpu, notice.reason);
	} else {
		events->event(events, notice.event, notice.status);
	}
	return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* A guest may repeat itself as fast as it can: what is on its way already is not posted again. */
static void post(struct pc *pc, const struct notice *notice)
{
	bool known = false;

	g_mutex_lock(&pc->notice_lock);
	for (unsigned i = 0; i < pc->notice_count; i++) {
		const struct notice *other = &pc->notices[i];
		known = known || (other->vcpu == notice->vcpu && other->event == notice->event);
	}
	if (!known) {
		assert(pc->notice_count < G_N_ELEMENTS(pc->notices));
		pc->notices[pc->notice_count] = *notice;
		if (pc->notice_count++ == 0) {
			g_idle_add_full(G_PRIORITY_HIGH, deliver_notice, pc, NULL);
		}
	}
	g_mutex_unlock(&pc->notice_lock);
}

/* What a machine said before it was reset concerns nobody any more. */
static void forget_notices(struct pc *pc)
{
	g_mutex_lock(&pc->notice_lock);
	pc->notice_count = 0;
	g_mutex_unlock(&pc->notice_lock);
}

static void machine_event(struct machine *machine, enum machine_event event, int status)
{
	const struct notice notice = {.event = event, .status = status};

	post(container_of(machine, struct pc, machine), &notice);
}

static void vcpu_stopped(struct engine_events *events, struct vcpu *vcpu, enum vcpu_exit reason)
{
	const struct notice notice = {.vcpu = vcpu, .reason = reason};

	post(container_of(events, struct pc, engine_events), &notice);
}

static void sync_writes(struct engine_events *events)
{
	struct pc *pc = container_of(events, struct pc, engine_events);

	g_mutex_lock(&pc->machine.writers_lock);
	for (struct external_writer *writer = pc->machine.writers; writer; writer = writer->next) {
		writer->sync(writer);
	}
	g_mutex_unlock(&pc->machine.writers_lock);
}

static gboolean handle_clock(int fd, GIOCondition condition, gpointer opaque)
{
	struct pc *pc = opaque;
	(void)fd;
	(void)condition;

	clock_run_timers(pc->machine.clock);
	return G_SOURCE_CONTINUE;
}

static bool add_ram(struct pc *pc, int fd, uint64_t guest, uint64_t end, uint64_t offset,
		GError **error)
{
	return end <= guest ||
	       address_space_add_ram(pc->machine.memory, guest, end - guest, fd, offset, 0, error);
}

static bool create_ram(struct pc *pc, GError **error)
{
	uint64_t size = pc->config.ram_size;
	uint64_t low = size > LOW_RAM_MAX ? LOW_RAM_LARGE : size;
	uint64_t high = size - low;
	auto_fd int fd = memfd_create_sized("guest-ram", size, error);

	if (fd < 0) {
		return false;
	}
	pc->mmio64_base = (HIGH_RAM + high + MMIO64_ALIGNMENT - 1) & ~(MMIO64_ALIGNMENT - 1);
	return add_ram(pc, fd, 0, VGA_HOLE, 0, error) &&
	       add_ram(pc, fd, VGA_HOLE_END, low, VGA_HOLE_END, error) &&
	       add_ram(pc, fd, HIGH_RAM, HIGH_RAM + high, low, error);
}

static bool create_engine(struct pc *pc, GError **error)
{
	const struct engine_config config = {
			.vcpus = pc->config.vcpus,
			.memory = pc->machine.memory,
			.ports = pc->machine.ports,
			.clock = pc->machine.clock,
			.tb_size = pc->config.tb_size,
			.check_translation = pc->config.check_translation,
			.no_fsgsbase = pc->config.no_fsgsbase,
			.cpu = pc->config.cpu,
			.perf_map = pc->config.perf_map,
			.board = &pc->board,
			.events = &pc->engine_events,
	};

	pc->engine_events.vcpu_stopped = vcpu_stopped;
	pc->engine_events.sync_writes = sync_writes;
	pc->board = (struct irqchip_board){
			.pic_acknowledge = board_acknowledge,
			.eoi = board_eoi,
	};
	pc->machine.engine = engine_create(pc->config.accel, &config, error);
	if (!pc->machine.engine) {
		return false;
	}
	pc->machine.irqchip = pc->machine.engine->irqchip;
	return true;
}

/* Realizes a device of the board; *ret_device, if given, is it. */
static bool add_board_device(struct pc *pc, const struct device_class *device_class,
		struct device **ret_device, GError **error)
{
	struct device *device = device_create(device_class);

	if (!pc_add_device(pc, device, error)) {
		device_destroy(device);
		return false;
	}
	if (ret_device) {
		*ret_device = device;
	}
	return true;
}

static bool add_serial_ports(struct pc *pc, GError **error)
{
	for (unsigned i = 0; i < PC_SERIAL_COUNT; i++) {
		if (!pc->config.serial[i]) {
			continue;
		}
		struct device *device = device_create(&serial_class);
		serial_configure(device, i, pc->config.serial[i]);
		if (!pc_add_device(pc, device, error)) {
			device_destroy(device);
			return false;
		}
	}
	return true;
}

static bool create_board(struct pc *pc, GError **error)
{
	pc->machine.pci = pci_bus_create(&pc->machine, "pci0");
	pci_bus_reserve(pc->machine.pci, GRAPHICS_SLOT);
	/* Interrupt controllers first: realizing and resetting others may drive their inputs. */
	return add_board_device(pc, &i8259_class, &pc->pic, error) &&
	       add_board_device(pc, &ioapic_class, &pc->ioapic, error) &&
	       add_board_device(pc, &i8254_class, NULL, error) &&
	       add_board_device(pc, &rtc_class, NULL, error) &&
	       add_board_device(pc, &fw_cfg_class, NULL, error) &&
	       add_board_device(pc, &q35_host_class, NULL, error) &&
	       add_board_device(pc, &ich9_lpc_class, &pc->lpc, error) &&
	       add_board_device(pc, &legacy_ports_class, NULL, error) &&
	       add_serial_ports(pc, error);
}

struct pc *pc_create(const struct pc_config *config, GError **error)
{
	struct pc *pc = g_new0(struct pc, 1);

	pc->config = *config;
	g_mutex_init(&pc->machine.writers_lock);
	pc->devices = g_ptr_array_new();
	g_mutex_init(&pc->notice_lock);
	g_mutex_init(&pc->machine.line_lock);
	pc->machine.set_gsi = set_gsi;
	pc->machine.event = machine_event;
	pc->machine.ram = guest_memory_create();
	pc->machine.memory = address_space_create("memory", pc->machine.ram);
	pc->machine.ports = address_space_create("ports", NULL);
	pc->machine.clock = clock_create(config->clock, error);
	if (!pc->machine.clock || !create_ram(pc, error) || !create_engine(pc, error) ||
			!create_board(pc, error)) {
		pc_destroy(pc);
		return NULL;
	}
	clock_stop(pc->machine.clock);
	pc->clock_source = g_unix_fd_add(clock_fd(pc->machine.clock), G_IO_IN, handle_clock, pc);
	return pc;
}

void pc_destroy(struct pc *pc)
{
	if (!pc) {
		return;
	}
	if (pc->machine.engine) {
		engine_stop(pc->machine.engine);
	}
	g_clear_handle_id(&pc->clock_source, g_source_remove);
	for (unsigned i = pc->devices->len; i > 0; i--) {
		device_destroy(pc->devices->pdata[i - 1]);
	}
	g_ptr_array_unref(pc->devices);
	pci_bus_destroy(pc->machine.pci);
	engine_destroy(pc->machine.engine);
	address_space_destroy(pc->machine.ports);
	address_space_destroy(pc->machine.memory);
	guest_memory_destroy(pc->machine.ram);
	clock_destroy(pc->machine.clock);
	g_mutex_clear(&pc->machine.writers_lock);
	while (g_source_remove_by_user_data(pc)) {
		/* deliveries that will not be */
	}
	g_mutex_clear(&pc->notice_lock);
	g_mutex_clear(&pc->machine.line_lock);
	g_free(pc);
}

struct machine *pc_machine(struct pc *pc)
{
	return &pc->machine;
}

bool pc_add_device(struct pc *pc, struct device *device, GError **error)
{
	if (!device_realize(device, &pc->machine, error)) {
		return false;
	}
	g_ptr_array_add(pc->devices, device);
	return true;
}

static unsigned serial_ports(const struct pc *pc)
{
	unsigned ports = 0;

	for (unsigned i = 0; i < PC_SERIAL_COUNT; i++) {
		ports |= pc->config.serial[i] ? 1u << i : 0;
	}
	return ports;
}

static bool place_boot(struct pc *pc, const struct pc_boot *boot, GError **error)
{
	static const struct boot_range reserved[] = {
			{ACPI_BASE, ACPI_SIZE, BOOT_RANGE_RESERVED},
			{SMBIOS_BASE, SMBIOS_SIZE, BOOT_RANGE_RESERVED},
			{Q35_ECAM_BASE, Q35_ECAM_SIZE, BOOT_RANGE_RESERVED},
	};
	const struct acpi_config acpi = {
			.vcpus = pc->config.vcpus,
			.mmio64_base = pc->mmio64_base,
			.mmio64_size = MMIO64_SIZE,
			.serial_ports = serial_ports(pc),
	};
	const struct smbios_config smbios = {
			.vcpus = pc->config.vcpus, .ram_size = pc->config.ram_size};
	struct boot_config config = {
			.command_line = boot->command_line,
			.modules = boot->modules,
			.reserved = reserved,
			.reserved_count = G_N_ELEMENTS(reserved),
	};
	struct x86_state state;

	if (!acpi_place(pc->machine.ram, &acpi, &config.rsdp) ||
			!smbios_place(pc->machine.ram, &smbios)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
				"-m: at least 1 MiB of RAM is needed");
		return false;
	}
	if (!boot_image_place(boot->kernel, pc->machine.ram, &config, &state, error)) {
		return false;
	}
	vcpu_set_state(pc->machine.engine->vcpus[0], &state);
	return true;
}

bool pc_reset(struct pc *pc, const struct pc_boot *boot, GError **error)
{
	assert(!pc->running);
	forget_notices(pc);
	for (unsigned i = 0; i < pc->devices->len; i++) {
		device_reset(pc->devices->pdata[i]);
	}
	engine_reset(pc->machine.engine);
	pci_bus_assign_resources(pc->machine.pci, MMIO_BASE, MMIO_END, pc->mmio64_base,
			pc->mmio64_base + MMIO64_SIZE, IO_BASE);
	return place_boot(pc, boot, error);
}

void pc_start(struct pc *pc)
{
	if (!pc->running) {
		pc->running = true;
		clock_continue(pc->machine.clock);
		engine_start(pc->machine.engine);
	}
}

void pc_stop(struct pc *pc)
{
	if (pc->running) {
		engine_stop(pc->machine.engine);
		clock_stop(pc->machine.clock);
		pc->running = false;
	}
}

bool pc_running(const struct pc *pc)
{
	return pc->running;
}

void pc_power_button(struct pc *pc)
{
	ich9_power_button(pc->lpc);
}
