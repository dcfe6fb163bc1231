/* SPDX-License-Identifier: MIT */
/*
 * The virtio block device on PCI (virtio 1.3, 5.2): configuration, the queue, the I/O thread. What
 * a request means is in virtio_blk_request.c.
 */
#include "hw/virtio/virtio_blk_pci.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "hw/virtio/io_thread.h"
#include "hw/virtio/virtio_blk_request.h"

#include <glib-unix.h>
#include <string.h>

#define PCI_CLASS_STORAGE_SCSI 0x010000
#define QUEUE_SIZE 256
#define DEPTH 128 /* requests in flight */
/* Requests taken for one kick: a driver that never stops must not keep the lock for ever. */
#define BUDGET (2 * QUEUE_SIZE)

static struct virtio_blk_pci *blk_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_blk_pci, device);
}

static uint64_t blk_features(struct virtio_device *device)
{
	const struct virtio_blk_pci *blk = blk_of(device);
	uint64_t features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
			    BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
			    BIT(VIRTIO_BLK_F_CONFIG_WCE);

	if (block_is_read_only(blk->block)) {
		return features | BIT(VIRTIO_BLK_F_RO);
	}
	if (blk->config.discard) {
		features |= BIT(VIRTIO_BLK_F_DISCARD);
	}
	if (blk->config.write_zeroes) {
		features |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	}
	return features;
}

static void blk_config_read(struct virtio_device *device, unsigned offset, void *buf, unsigned len)
{
	const struct virtio_blk_pci *blk = blk_of(device);
	uint32_t logical = blk->config.logical_block_size;
	const struct virtio_blk_config config = {
			.capacity = virtio_blk_capacity(blk),
			.seg_max = QUEUE_SIZE - 2,
			.blk_size = logical,
			.physical_block_exp = (uint8_t)__builtin_ctz(
					blk->config.physical_block_size / logical),
			.writeback = blk->writeback,
			.num_queues = 1,
			.max_discard_sectors = VIRTIO_BLK_MAX_DISCARD_SECTORS,
			.max_discard_seg = 1,
			.discard_sector_alignment = logical / VIRTIO_BLK_SECTOR,
			.max_write_zeroes_sectors = VIRTIO_BLK_MAX_ZEROES_SECTORS,
			.max_write_zeroes_seg = 1,
			.write_zeroes_may_unmap = 1,
	};

	memset(buf, 0, len);
	if (offset < sizeof(config)) {
		memcpy(buf, (const char *)&config + offset, MIN(len, sizeof(config) - offset));
	}
}

static void blk_config_write(
		struct virtio_device *device, unsigned offset, const void *buf, unsigned len)
{
	struct virtio_blk_pci *blk = blk_of(device);
	bool writeback = *(const uint8_t *)buf;

	/* 5.2.4.2: only the cache mode is writable, and only if that was negotiated. */
	if (offset != offsetof(struct virtio_blk_config, writeback) || len != 1 ||
			!(device->negotiated & BIT(VIRTIO_BLK_F_CONFIG_WCE))) {
		return;
	}
	if (blk->writeback && !writeback && device->started) {
		/* What the cache holds must not stay there now that nobody will flush it. */
		const struct block_request flush = {.op = BLOCK_FLUSH};
		block_queue_drain(blk->queue);
		virtio_notify(device, 0);
		if (block_perform(blk->block, &flush) != 0) {
			log_warn("%s: what was written before the cache was switched off may be lost",
					block_name(blk->block));
		}
	}
	blk->writeback = writeback;
}

/* Takes what the driver queued, as far as there is room. Lock held. */
static void take_requests(struct virtio_blk_pci *blk)
{
	struct virtio_device *device = &blk->device;
	struct virtio_queue *queue = &device->queues[0];
	unsigned budget = BUDGET;

	if (blk->quiesced || !device->started || !queue->vq) {
		return;
	}
	do {
		struct virtqueue_element *element = NULL;
		virtqueue_disable_kicks(queue->vq);
		while (budget > 0 && !block_queue_full(blk->queue) &&
				(element = virtqueue_pop(queue->vq))) {
			budget--;
			if (!virtio_blk_request_start(blk, element)) {
				break;
			}
		}
		if (block_queue_full(blk->queue)) {
			break; /* without kicks: completions bring us back */
		}
		if (budget == 0) {
			eventfd_signal(queue->kick_fd);
			break;
		}
	} while (virtio_device_healthy(device) && virtqueue_enable_kicks(queue->vq));
	block_queue_commit(blk->queue);
	virtio_notify(device, 0);
}

static void blk_kick(struct virtio_device *device, unsigned queue)
{
	(void)queue;
	take_requests(blk_of(device));
}

static gboolean handle_completions(int fd, GIOCondition condition, gpointer opaque)
{
	struct virtio_blk_pci *blk = opaque;
	(void)fd; /* its count is taken by reap, under the lock: a drain may be waiting for it */
	(void)condition;

	g_mutex_lock(&blk->device.lock);
	bool was_full = block_queue_full(blk->queue);
	block_queue_reap(blk->queue);
	if (blk->device.started) {
		virtio_notify(&blk->device, 0);
	}
	if (was_full) {
		take_requests(blk);
		virtio_device_check_queue(&blk->device, 0);
	}
	g_mutex_unlock(&blk->device.lock);
	return G_SOURCE_CONTINUE;
}

static bool blk_start(struct virtio_device *device)
{
	(void)device; /* the kick that follows does it all */
	return true;
}

/* What is in flight finishes: the host cannot be asked to forget a write. */
static void blk_stop(struct virtio_device *device)
{
	struct virtio_blk_pci *blk = blk_of(device);

	block_queue_drain(blk->queue);
	blk->writeback = blk->config.write_cache;
}

static const struct virtio_device_impl blk_impl = {
		.id = VIRTIO_ID_BLOCK,
		.queues = 1,
		.queue_size = QUEUE_SIZE,
		.features = blk_features,
		.config_read = blk_config_read,
		.config_write = blk_config_write,
		.start = blk_start,
		.stop = blk_stop,
		.kick = blk_kick,
};

static bool check_config(const struct virtio_blk_pci *blk, GError **error)
{
	uint32_t logical = blk->config.logical_block_size;
	uint32_t physical = blk->config.physical_block_size;

	if (!blk->block) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"drive= must name a drive (-drive if=none,id=...)");
		return false;
	}
	if ((logical & (logical - 1)) || (physical & (physical - 1)) || physical < logical) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"block sizes %u (logical) and %u (physical): powers of two are "
				"wanted, the second no smaller than the first",
				logical, physical);
		return false;
	}
	if (blk->config.serial && strlen(blk->config.serial) > VIRTIO_BLK_ID_SIZE) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"serial: '%s' is longer than %u characters", blk->config.serial,
				VIRTIO_BLK_ID_SIZE);
		return false;
	}
	return true;
}

static bool start_thread(struct virtio_blk_pci *blk, GError **error)
{
	blk->queue = block_queue_create(blk->block, DEPTH, error);
	if (!blk->queue) {
		return false;
	}
	blk->thread = io_thread_create("disk-io", error);
	if (!blk->thread) {
		return false;
	}
	blk->device.context = io_thread_context(blk->thread);
	blk->done_source = g_unix_fd_source_new(block_queue_fd(blk->queue), G_IO_IN);
	g_source_set_callback(blk->done_source, G_SOURCE_FUNC(handle_completions), blk, NULL);
	g_source_attach(blk->done_source, blk->device.context);
	return true;
}

static struct virtio_blk_pci *blk_of_base(struct device *base)
{
	return container_of(base, struct virtio_blk_pci, transport.pci.base);
}

static bool blk_realize(struct device *base, struct machine *machine, GError **error)
{
	struct virtio_blk_pci *blk = blk_of_base(base);

	if (!check_config(blk, error) ||
			!virtio_device_init(&blk->device, &blk_impl, machine, error)) {
		return false;
	}
	blk->writeback = blk->config.write_cache;
	return start_thread(blk, error) &&
	       virtio_pci_realize(&blk->transport, machine, &blk->device, PCI_CLASS_STORAGE_SCSI,
			       error);
}

static void blk_unrealize(struct device *base)
{
	struct virtio_blk_pci *blk = blk_of_base(base);

	virtio_pci_unrealize(&blk->transport);
	if (blk->done_source) {
		g_source_destroy(blk->done_source);
		g_clear_pointer(&blk->done_source, g_source_unref);
	}
	io_thread_destroy(blk->thread);
	blk->thread = NULL;
	block_queue_destroy(blk->queue);
	blk->queue = NULL;
	virtio_device_finish(&blk->device);
}

static void blk_reset(struct device *base)
{
	virtio_pci_reset(&blk_of_base(base)->transport);
}

static void blk_quiesce(struct device *base)
{
	struct virtio_blk_pci *blk = blk_of_base(base);

	g_mutex_lock(&blk->device.lock);
	blk->quiesced = true;
	block_queue_drain(blk->queue);
	if (blk->device.started) {
		virtio_notify(&blk->device, 0);
	}
	g_mutex_unlock(&blk->device.lock);
}

static void blk_resume(struct device *base)
{
	struct virtio_blk_pci *blk = blk_of_base(base);

	g_mutex_lock(&blk->device.lock);
	blk->quiesced = false;
	if (blk->device.started) {
		eventfd_signal(blk->device.queues[0].kick_fd);
	}
	g_mutex_unlock(&blk->device.lock);
}

void virtio_blk_pci_set_block(struct device *device, struct block *block)
{
	assert(device->device_class == &virtio_blk_pci_class && !device->realized);
	blk_of_base(device)->block = block;
}

struct block *virtio_blk_pci_block(const struct device *device)
{
	assert(device->device_class == &virtio_blk_pci_class);
	return container_of(device, const struct virtio_blk_pci, transport.pci.base)->block;
}

const char *virtio_blk_pci_drive(const struct device *device)
{
	assert(device->device_class == &virtio_blk_pci_class);
	return container_of(device, const struct virtio_blk_pci, transport.pci.base)->config.drive;
}

static const struct property blk_properties[] = {
		PCI_DEVICE_PROPERTIES(struct virtio_blk_pci, transport.pci),
		{.name = "drive",
				.type = PROPERTY_STRING,
				.offset = offsetof(struct virtio_blk_pci, config.drive),
				.help = "id of the drive"},
		{.name = "serial",
				.type = PROPERTY_STRING,
				.offset = offsetof(struct virtio_blk_pci, config.serial),
				.help = "serial number, up to 20 characters"},
		{.name = "logical_block_size",
				.type = PROPERTY_UINT32,
				.offset = offsetof(
						struct virtio_blk_pci, config.logical_block_size),
				.default_value = "512",
				.min = 512,
				.max = 4096,
				.help = "bytes, the unit of requests"},
		{.name = "physical_block_size",
				.type = PROPERTY_UINT32,
				.offset = offsetof(
						struct virtio_blk_pci, config.physical_block_size),
				.default_value = "512",
				.min = 512,
				.max = 65536,
				.help = "bytes, the unit the guest should prefer"},
		{.name = "write-cache",
				.type = PROPERTY_BOOL,
				.offset = offsetof(struct virtio_blk_pci, config.write_cache),
				.default_value = "on",
				.help = "writes are safe only after a flush"},
		{.name = "discard",
				.type = PROPERTY_BOOL,
				.offset = offsetof(struct virtio_blk_pci, config.discard),
				.default_value = "on",
				.help = "offer discards to the guest"},
		{.name = "write-zeroes",
				.type = PROPERTY_BOOL,
				.offset = offsetof(struct virtio_blk_pci, config.write_zeroes),
				.default_value = "on",
				.help = "offer to write zeroes"},
		{0},
};

const struct device_class virtio_blk_pci_class = {
		.name = "virtio-blk-pci",
		.description = "virtio disk",
		.bus = "pci",
		.size = sizeof(struct virtio_blk_pci),
		.properties = blk_properties,
		.realize = blk_realize,
		.unrealize = blk_unrealize,
		.reset = blk_reset,
		.quiesce = blk_quiesce,
		.resume = blk_resume,
};
