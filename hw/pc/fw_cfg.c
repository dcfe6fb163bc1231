/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg (QEMU's docs/specs/fw_cfg): a selector at port 0x510, data byte by byte at 0x511. Items: signature, interface
 * revision, RAM size, number of processors. Left out: DMA, the file directory; nothing here is for firmware.
 */
#include "hw/pc/fw_cfg.h"

#include "core/base/bytes.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#define FW_CFG_PORT 0x510
#define ITEM_MAX 8
#define SIGNATURE 0x554d4551u /* "QEMU" */

enum fw_cfg_item {
	FW_CFG_SIGNATURE = 0x00,
	FW_CFG_ID = 0x01,
	FW_CFG_RAM_SIZE = 0x03,
	FW_CFG_NB_CPUS = 0x05,
	FW_CFG_MAX_CPUS = 0x0f,
};

struct fw_cfg {
	struct device base;
	struct machine *machine;
	struct io_region ports;
	GMutex lock;

	/* guest-visible; guarded by lock */
	uint16_t selector;
	unsigned offset; /* of the next byte of the item */
};

static struct fw_cfg *fw_cfg_of(struct device *device)
{
	assert(device->device_class == &fw_cfg_class);
	return container_of(device, struct fw_cfg, base);
}

/* The selected item's bytes; returns how many. */
static unsigned item_of(const struct fw_cfg *fw_cfg, uint8_t item[ITEM_MAX])
{
	switch (fw_cfg->selector) {
	case FW_CFG_SIGNATURE:
		le32_store(item, SIGNATURE);
		return 4;
	case FW_CFG_ID:
		le32_store(item, 1); /* the traditional interface */
		return 4;
	case FW_CFG_RAM_SIZE:
		le64_store(item, guest_memory_size(fw_cfg->machine->ram));
		return 8;
	case FW_CFG_NB_CPUS:
	case FW_CFG_MAX_CPUS:
		/* A machine may have no processors of its own. */
		le16_store(item, (uint16_t)(fw_cfg->machine->engine ? fw_cfg->machine->engine
										      ->config.vcpus
								    : 1));
		return 2;
	default:
		return 0;
	}
}

static uint64_t fw_cfg_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct fw_cfg *fw_cfg = container_of(region, struct fw_cfg, ports);
	uint8_t item[ITEM_MAX];
	uint8_t byte = 0;
	(void)size;

	g_mutex_lock(&fw_cfg->lock);
	if (offset == 1) {
		unsigned len = item_of(fw_cfg, item);
		if (fw_cfg->offset < len) {
			byte = item[fw_cfg->offset++];
		}
	}
	g_mutex_unlock(&fw_cfg->lock);
	return byte;
}

static void fw_cfg_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct fw_cfg *fw_cfg = container_of(region, struct fw_cfg, ports);

	if (offset == 0 && size == 2) {
		g_mutex_lock(&fw_cfg->lock);
		fw_cfg->selector = (uint16_t)value;
		fw_cfg->offset = 0;
		g_mutex_unlock(&fw_cfg->lock);
	}
}

static bool fw_cfg_realize(struct device *device, struct machine *machine, GError **error)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);
	(void)error;

	fw_cfg->machine = machine;
	g_mutex_init(&fw_cfg->lock);
	fw_cfg->ports = (struct io_region){
			.name = "fw_cfg", .size = 2, .read = fw_cfg_read, .write = fw_cfg_write};
	address_space_add(machine->ports, FW_CFG_PORT, &fw_cfg->ports);
	return true;
}

static void fw_cfg_unrealize(struct device *device)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);

	address_space_remove(&fw_cfg->ports);
	g_mutex_clear(&fw_cfg->lock);
}

static void fw_cfg_reset(struct device *device)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);

	g_mutex_lock(&fw_cfg->lock);
	fw_cfg->selector = 0;
	fw_cfg->offset = 0;
	g_mutex_unlock(&fw_cfg->lock);
}

const struct device_class fw_cfg_class = {
		.name = "fw_cfg",
		.description = "firmware configuration",
		.size = sizeof(struct fw_cfg),
		.internal = true,
		.realize = fw_cfg_realize,
		.unrealize = fw_cfg_unrealize,
		.reset = fw_cfg_reset,
};
