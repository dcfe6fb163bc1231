/* SPDX-License-Identifier: MIT */
/*
 * A guest that does anything to the whole board through ports and memory: every device of hw/pc, configuration cycles by
 * both ways, BARs that move, DMA of fw_cfg and of a few virtio devices into RAM with anything in it. Input: operations of one
 * byte and their arguments; time passes only when an operation says so. The vCPU stands still: the input is what it does.
 */
#include "core/base/bytes.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/boot/kernel.h"
#include "core/control/chardev.h"
#include "core/engine/engines.h"
#include "core/engine/soft/soft.h"
#include "hw/pc/isa_debug.h"
#include "hw/pc/pc.h"
#include "hw/pc/pc_testdev.h"
#include "hw/pc/q35.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_regs.h"
#include "hw/virtio/virtio_blk_pci.h"
#include "hw/virtio/virtio_input_pci.h"
#include "hw/virtio/virtio_rng_pci.h"
#include "tests/fuzz/fuzz.h"
#include "tests/harness/kernel_image.h"
#include "tests/harness/virtio_driver.h"

#define RAM_SIZE (2 * MiB)
#define KERNEL_AT MiB
#define IMAGE_SIZE UINT64_C(0x10000)
#define MAX_OPERATIONS 2000
#define SLOTS 8 /* with devices that are asked for */
#define LPC_DEVFN PCI_DEVFN(31, 0)
#define DRIVERS 3 /* virtio devices, from slot 1 on but for the reserved one */
#define RINGS UINT64_C(0x8000) /* a page each */
#define RING_SIZE 8
#define IOAPIC UINT64_C(0xfec00000)

const struct engine_impl *const engine_impls[] = {&soft_engine, NULL};

struct target {
	struct pc *pc;
	struct machine *machine;
	struct pc_events events;
	struct boot_image *kernel;
	struct fake_machine view; /* the machine for drivers, who only look at its spaces and bus */
	struct virtio_driver drivers[DRIVERS];
	struct driver_queue queues[DRIVERS];
};

/* Where accesses go. The last port and byte are beyond what is there. */
struct range {
	uint64_t base, size;
};

static const struct range port_ranges[] = {
		{0x20, 3}, /* 8259 */
		{0xa0, 3}, {0x4d0, 3}, /* ELCR */
		{0x40, 5}, /* 8254 */
		{0x60, 6}, /* 8042, port 61 */
		{0x70, 3}, /* RTC */
		{0x92, 2}, {0xe0, 13}, /* pc-testdev */
		{0x2000, 25}, {0x3f8, 9}, /* serial */
		{0x2f8, 9}, {0x501, 5}, /* debug exit, pvpanic */
		{0x510, 13}, /* fw_cfg */
		{0x600, 0x81}, /* power management, watchdog */
		{0xcf8, 9}, /* configuration, reset */
};

static const struct range memory_ranges[] = {
		{0xfec00000, 0x50}, /* I/O APIC */
		{0xfee00000, 0x400},
		{0xfed1f408, 16}, /* GCS */
		{0xff000000, 0x10001}, /* pc-testdev */
		{Q35_ECAM_BASE, 0x100000},
		{Q35_ECAM_BASE + Q35_ECAM_SIZE - 8, 16},
		{0x9fff8, 16}, /* RAM's ends */
		{0xbfff8, 16},
		{RAM_SIZE - 8, 16},
};

static void handle_event(struct pc_events *events, enum machine_event event, int status)
{
	(void)events;
	(void)event;
	(void)status;
}

static void handle_vcpu_stopped(struct pc_events *events, struct vcpu *vcpu, enum vcpu_exit reason)
{
	(void)events;
	(void)vcpu;
	(void)reason;
	assert(!"no vCPU runs");
}

static struct block *open_image(void)
{
	struct block_options options;
	int fd = memfd_create_sized("image", IMAGE_SIZE, NULL);

	assert(fd >= 0);
	properties_set_defaults(&options, block_properties);
	options.file = g_strdup_printf("/proc/self/fd/%d", fd);
	options.snapshot = true;
	struct block *block = block_open(&options, NULL);
	properties_clear(&options, block_properties);
	fd_close(&fd);
	assert(block);
	return block;
}

/* A kernel that will not run. */
static struct boot_image *make_kernel(void)
{
	static const uint8_t halt = 0xf4;
	const struct kernel_image image = {
			.entry = KERNEL_AT,
			.segment_count = 1,
			.segments = {{KERNEL_AT, KERNEL_AT, &halt, sizeof(halt), sizeof(halt)}},
			.pvh = true,
			.pvh_entry = KERNEL_AT,
	};
	g_autoptr(GBytes) contents = kernel_image_elf(&image);
	struct boot_image *kernel = boot_image_parse("fuzz", contents, NULL);

	assert(kernel);
	return kernel;
}

static void add(struct target *target, struct device *device)
{
	bool ok = pc_add_device(target->pc, device, NULL);

	assert(ok);
}

static struct target *target_once(void)
{
	static struct target target;

	if (target.pc) {
		return &target;
	}
	thread_register();
	target.events = (struct pc_events){
			.event = handle_event, .vcpu_stopped = handle_vcpu_stopped};
	const struct pc_config config = {
			.accel = "soft",
			.ram_size = RAM_SIZE,
			.vcpus = 1,
			.clock = CLOCK_KIND_VIRTUAL,
			.serial = {chardev_open("null", NULL), chardev_open("null", NULL)},
			.events = &target.events,
	};
	/* What it says about bad guests is of no interest here. */
	bool ok = log_set_file("/dev/null", true, NULL);
	assert(ok);
	target.kernel = make_kernel();
	target.pc = pc_create(&config, NULL);
	assert(target.pc);
	target.machine = pc_machine(target.pc);
	add(&target, device_create(&pvpanic_class));
	add(&target, device_create(&debug_exit_class));
	add(&target, device_create(&pc_testdev_class));
	add(&target, device_create(&virtio_rng_pci_class));
	add(&target, device_create(&virtio_keyboard_pci_class));
	struct device *disk = device_create(&virtio_blk_pci_class);
	virtio_blk_pci_set_block(disk, open_image());
	add(&target, disk);
	target.view.machine.memory = target.machine->memory;
	target.view.machine.ports = target.machine->ports;
	target.view.machine.ram = target.machine->ram;
	target.view.machine.pci = target.machine->pci;
	return &target;
}

static void reset(struct target *target)
{
	const struct pc_boot boot = {.kernel = target->kernel, .command_line = "quiet"};
	bool ok = pc_reset(target->pc, &boot, NULL);

	assert(ok);
}

/* A driver for each of the virtio devices that the bits of which name. */
static void start_drivers(struct target *target, unsigned which)
{
	static const uint8_t slots[DRIVERS] = {1, 3, 4};

	for (unsigned i = 0; i < DRIVERS; i++) {
		struct virtio_driver *driver = &target->drivers[i];
		if (!(which & 1u << i)) {
			continue;
		}
		pci_config_write(target->machine->pci, 0, PCI_DEVFN(slots[i], 0), PCI_COMMAND,
				PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
		virtio_driver_init(driver, &target->view, PCI_DEVFN(slots[i], 0));
		bool ok = virtio_driver_negotiate(driver, virtio_driver_offered(driver));
		assert(ok);
		if (which & 0x10u << i) {
			virtio_driver_enable_msix(driver, 2);
		}
		driver_queue_init(&target->queues[i], target->machine->ram,
				RINGS + i * GUEST_PAGE_SIZE, RING_SIZE);
		virtio_driver_setup_queue(driver, 0, &target->queues[i]);
		virtio_driver_ok(driver);
	}
}

static uint64_t take_value(struct fuzz_input *input, unsigned size)
{
	uint64_t value = 0;

	fuzz_take(input, &value, size);
	return value;
}

/* An access of any size; bit 7 of how says that it writes. */
static void access_space(struct address_space *space, struct fuzz_input *input, unsigned how,
		uint64_t address)
{
	unsigned size = 1u << ((how >> 5) & 3);

	if (how & 0x80) {
		address_space_write(space, address, take_value(input, size), size);
	} else {
		(void)address_space_read(space, address, size);
	}
}

/* Vendors' numbers say where a guest finds registers; so does the fuzzer. */
static uint64_t bar_address(struct target *target, struct fuzz_input *input)
{
	unsigned devfn = PCI_DEVFN(fuzz_take8(input) % SLOTS, 0);
	unsigned bar = PCI_BAR0 + 4 * (fuzz_take8(input) % PCI_BAR_COUNT);
	uint64_t address = pci_config_read(target->machine->pci, 0, devfn, bar, 4);

	if ((address & 7) == 4) {
		address |= (uint64_t)pci_config_read(target->machine->pci, 0, devfn, bar + 4, 4)
			   << 32;
	}
	return (address & ~UINT64_C(15)) + (fuzz_take16(input) & 0x3fff);
}

static uint64_t ecam_address(struct fuzz_input *input)
{
	unsigned slot = fuzz_take8(input) % (SLOTS + 1);
	unsigned devfn = slot == SLOTS ? LPC_DEVFN : PCI_DEVFN(slot, 0);

	return Q35_ECAM_BASE + devfn * UINT64_C(4096) + (fuzz_take16(input) & 0xfff);
}

static void access_config_ports(struct target *target, struct fuzz_input *input, unsigned how)
{
	unsigned slot = fuzz_take8(input) % (SLOTS + 1);
	unsigned devfn = slot == SLOTS ? LPC_DEVFN : PCI_DEVFN(slot, 0);
	unsigned offset = fuzz_take8(input);

	address_space_write(target->machine->ports, 0xcf8,
			0x80000000u | devfn << 8 | (offset & 0xfc), 4);
	access_space(target->machine->ports, input, how, 0xcfc + (offset & 3));
}

/* A descriptor of RAM, of anything else at times, made available. */
static void queue_request(struct target *target, struct fuzz_input *input)
{
	unsigned which = fuzz_take8(input);
	struct driver_queue *queue = &target->queues[which % DRIVERS];
	uint64_t at = fuzz_take16(input);
	uint32_t len = fuzz_take8(input) * (which & 0x80 ? 0x10001u : 16u);
	unsigned index = fuzz_take8(input), flags = fuzz_take8(input) & 7;

	if (!queue->memory) {
		return; /* never started */
	}
	driver_queue_write_desc(queue, index % RING_SIZE, at, len, (uint16_t)flags,
			(index >> 3) % (RING_SIZE + 1));
	if (which & 0x40) {
		driver_queue_make_available(queue, index % RING_SIZE);
		virtio_driver_kick(&target->drivers[which % DRIVERS], 0);
	}
}

static void program_ioapic(struct target *target, struct fuzz_input *input)
{
	address_space_write(target->machine->memory, IOAPIC, fuzz_take8(input) & 0x3f, 4);
	address_space_write(target->machine->memory, IOAPIC + 0x10, take_value(input, 4), 4);
}

/* As the vCPU's local APIC and the main loop do it. */
static void do_otherwise(struct target *target, struct fuzz_input *input)
{
	struct irqchip_board *board = target->machine->engine->config.board;
	uint8_t ram[16];
	uint64_t at;

	switch (fuzz_take8(input) % 8) {
	case 0:
		(void)board->pic_acknowledge(board);
		break;
	case 1:
		board->eoi(board, fuzz_take8(input));
		break;
	case 2:
		pc_power_button(target->pc);
		break;
	case 3:
		reset(target);
		break;
	case 4:
		queue_request(target, input);
		break;
	case 5:
		program_ioapic(target, input);
		break;
	case 6:
		at = fuzz_take16(input);
		fuzz_take(input, ram, sizeof(ram));
		(void)guest_memory_write(target->machine->ram, at, ram, sizeof(ram));
		break;
	default:
		/* Up to two seconds. */
		clock_advance(target->machine->clock, INT64_C(1) << (fuzz_take8(input) & 31));
		clock_run_timers(target->machine->clock);
		break;
	}
}

static void do_operation(struct target *target, struct fuzz_input *input)
{
	struct machine *machine = target->machine;
	unsigned how = fuzz_take8(input), index;

	switch (how & 7) {
	case 0:
	case 1:
		index = fuzz_take8(input) % G_N_ELEMENTS(port_ranges);
		access_space(machine->ports, input, how,
				port_ranges[index].base +
						fuzz_take8(input) % port_ranges[index].size);
		break;
	case 2:
		index = fuzz_take8(input) % G_N_ELEMENTS(memory_ranges);
		access_space(machine->memory, input, how,
				memory_ranges[index].base +
						fuzz_take16(input) % memory_ranges[index].size);
		break;
	case 3:
		access_space(machine->memory, input, how, bar_address(target, input));
		break;
	case 4:
		access_space(machine->memory, input, how, ecam_address(input));
		break;
	case 5:
		access_config_ports(target, input, how);
		break;
	case 6:
		access_space(machine->ports, input, how, fuzz_take16(input));
		break;
	default:
		do_otherwise(target, input);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target *target = target_once();
	struct fuzz_input input = {data, size};

	reset(target);
	start_drivers(target, fuzz_take8(&input));
	for (unsigned i = 0; i < MAX_OPERATIONS && input.left > 0; i++) {
		do_operation(target, &input);
	}
	while (g_main_context_iteration(NULL, FALSE)) {
		/* what was posted to the main thread */
	}
	return 0;
}
