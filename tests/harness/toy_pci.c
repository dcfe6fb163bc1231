/* SPDX-License-Identifier: MIT */
#include "tests/harness/toy_pci.h"

#include "hw/pci/pci_regs.h"

static uint64_t toy_read(struct toy_pci *toy, uint64_t offset, unsigned size)
{
	toy->reads++;
	toy->last_offset = offset;
	toy->last_size = size;
	return UINT64_C(0x0807060504030201);
}

static void toy_write(struct toy_pci *toy, uint64_t offset, uint64_t value, unsigned size)
{
	toy->writes++;
	toy->last_offset = offset;
	toy->last_value = value;
	toy->last_size = size;
}

#define TOY_REGION(member) \
	static uint64_t member##_read(struct io_region *region, uint64_t offset, unsigned size) \
	{ \
		return toy_read(container_of(region, struct toy_pci, member), offset, size); \
	} \
	static void member##_write( \
			struct io_region *region, uint64_t offset, uint64_t value, unsigned size) \
	{ \
		toy_write(container_of(region, struct toy_pci, member), offset, value, size); \
	}

TOY_REGION(io)
TOY_REGION(memory)
TOY_REGION(memory64)

static struct toy_pci *toy_of(struct device *base)
{
	return container_of(base, struct toy_pci, pci.base);
}

static bool toy_realize(struct device *base, struct machine *machine, GError **error)
{
	static const struct pci_identity identity = {
			.vendor = 0x1234,
			.device = 0x5678,
			.subsystem_vendor = 0x9abc,
			.subsystem = 0xdef0,
			.revision = 7,
			.class_code = 0xff0102,
	};
	struct toy_pci *toy = toy_of(base);

	toy->io = (struct io_region){
			.name = "toy-io", .size = TOY_IO_SIZE, .read = io_read, .write = io_write};
	toy->memory = (struct io_region){.name = "toy-memory",
			.size = TOY_MEMORY_SIZE,
			.read = memory_read,
			.write = memory_write};
	toy->memory64 = (struct io_region){.name = "toy-memory64",
			.size = TOY_MEMORY64_SIZE,
			.read = memory64_read,
			.write = memory64_write};
	toy->pci.config[PCI_INTERRUPT_PIN] = 1;
	if (!pci_device_realize(&toy->pci, machine, &identity, error)) {
		return false;
	}
	pci_add_bar(&toy->pci, TOY_IO_BAR, PCI_BAR_IO, &toy->io);
	pci_add_bar(&toy->pci, TOY_MEMORY_BAR, PCI_BAR_MEMORY32, &toy->memory);
	pci_add_bar(&toy->pci, TOY_MEMORY64_BAR, PCI_BAR_MEMORY64_PREFETCHABLE, &toy->memory64);
	return msix_init(&toy->pci, TOY_VECTORS, TOY_MSIX_BAR, error);
}

static void toy_unrealize(struct device *base)
{
	pci_device_unrealize(&toy_of(base)->pci);
}

static void toy_reset(struct device *base)
{
	pci_device_reset(&toy_of(base)->pci);
}

static const struct property toy_properties[] = {
		PCI_DEVICE_PROPERTIES(struct toy_pci, pci),
		{0},
};

const struct device_class toy_pci_class = {
		.name = "toy-pci",
		.description = "for tests",
		.bus = "pci",
		.size = sizeof(struct toy_pci),
		.properties = toy_properties,
		.realize = toy_realize,
		.unrealize = toy_unrealize,
		.reset = toy_reset,
};
