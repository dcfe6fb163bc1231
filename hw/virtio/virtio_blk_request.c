/* SPDX-License-Identifier: MIT */
/*
 * Requests of the block device (virtio 1.3, 5.2.6): in, out, flush, get id, discard, write zeroes.
 * A chain is a header to read, data, and one status byte at the very end of what is writable. Left
 * out: lifetime, secure erase, zoned devices; several ranges in one discard or write zeroes.
 */
#include "hw/virtio/virtio_blk_request.h"

#include "core/base/checked.h"
#include "core/base/iov.h"
#include "core/base/log.h"

#include <string.h>

#define STATUS_PENDING (-1) /* the block layer has it */

struct virtio_blk_request {
	struct block_request io;
	struct virtio_blk_pci *blk;
	struct virtqueue_element *element;
	struct virtio_blk_header header; /* our copy */
	size_t out_size, in_size; /* bytes of data behind the header, before the status */
	struct iovec iov[]; /* the data */
};

uint64_t virtio_blk_capacity(const struct virtio_blk_pci *blk)
{
	uint64_t block = blk->config.logical_block_size;

	return block_size(blk->block) / block * (block / VIRTIO_BLK_SECTOR);
}

static void complete(struct virtio_blk_request *request, enum virtio_blk_status status)
{
	struct virtqueue_element *element = request->element;
	const struct iovec *last = &element->writable[element->writable_count - 1];

	((uint8_t *)last->iov_base)[last->iov_len - 1] = (uint8_t)status;
	/* The status is the last byte, so all before it counts as written. */
	virtqueue_push(request->blk->device.queues[0].vq, element, element->writable_size);
	g_free(request);
}

static void handle_done(struct block_request *io, int error)
{
	struct virtio_blk_request *request = container_of(io, struct virtio_blk_request, io);

	if (error) {
		/* The host's doing, but as frequent as the guest likes. */
		guest_error("%s: %s of %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT ": %s",
				block_name(request->blk->block),
				io->op == BLOCK_READ	? "read"
				: io->op == BLOCK_FLUSH ? "flush"
							: "write",
				io->len, io->offset, g_strerror(error));
	}
	complete(request, error ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

static int submit(struct virtio_blk_request *request, enum block_op op)
{
	request->io.op = op;
	request->io.done = handle_done;
	block_queue_submit(request->blk->queue, &request->io);
	return STATUS_PENDING;
}

static int refuse(const struct virtio_blk_request *request, const char *why)
{
	guest_error("%s: request of type %u at sector %" G_GUINT64_FORMAT ": %s",
			block_name(request->blk->block), request->header.type,
			request->header.sector, why);
	return VIRTIO_BLK_S_IOERR;
}

/* Sectors as the driver counts them, in whole blocks and inside the disk; to bytes. */
static bool set_range(struct virtio_blk_request *request, uint64_t sector, uint64_t sectors)
{
	const struct virtio_blk_pci *blk = request->blk;
	uint64_t per_block = blk->config.logical_block_size / VIRTIO_BLK_SECTOR;

	if (!range_within(sector, sectors, virtio_blk_capacity(blk)) || sector % per_block != 0 ||
			sectors % per_block != 0) {
		return false;
	}
	request->io.offset = sector * VIRTIO_BLK_SECTOR;
	request->io.len = sectors * VIRTIO_BLK_SECTOR;
	return true;
}

/* 5.2.5: without the feature, or with the cache switched off, writes go through. */
static bool writes_through(const struct virtio_blk_pci *blk)
{
	const uint64_t caches = BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE);

	return !blk->writeback || !(blk->device.negotiated & caches);
}

static int transfer(struct virtio_blk_request *request, enum block_op op, const struct iovec *iov,
		unsigned count, size_t skip, size_t size)
{
	if (size % VIRTIO_BLK_SECTOR != 0 ||
			!set_range(request, request->header.sector, size / VIRTIO_BLK_SECTOR)) {
		return refuse(request, "outside the disk, or not whole blocks");
	}
	if (size == 0) {
		return VIRTIO_BLK_S_OK;
	}
	int used = iov_slice(request->iov, BLOCK_MAX_SEGMENTS, iov, count, skip, size);
	assert(used > 0); /* there is room for all of the chain */
	request->io.iov = request->iov;
	request->io.iov_count = (unsigned)used;
	return submit(request, op);
}

static int handle_in(struct virtio_blk_request *request)
{
	const struct virtqueue_element *element = request->element;

	return transfer(request, BLOCK_READ, element->writable, element->writable_count, 0,
			request->in_size);
}

static int handle_out(struct virtio_blk_request *request)
{
	const struct virtqueue_element *element = request->element;

	if (block_is_read_only(request->blk->block)) {
		return refuse(request, "the disk is read-only");
	}
	request->io.through = writes_through(request->blk);
	return transfer(request, BLOCK_WRITE, element->readable, element->readable_count,
			sizeof(request->header), request->out_size);
}

static int handle_flush(struct virtio_blk_request *request)
{
	return submit(request, BLOCK_FLUSH);
}

static int handle_get_id(struct virtio_blk_request *request)
{
	const struct virtqueue_element *element = request->element;
	const char *serial = request->blk->config.serial;
	char id[VIRTIO_BLK_ID_SIZE] = {0};

	if (request->in_size < sizeof(id)) {
		return refuse(request, "no room for an identifier");
	}
	if (serial) {
		memcpy(id, serial, strnlen(serial, sizeof(id)));
	}
	(void)iov_from_buf(element->writable, element->writable_count, 0, id, sizeof(id));
	return VIRTIO_BLK_S_OK;
}

/* What discard and write zeroes share: one range, within limits. */
static int handle_range(struct virtio_blk_request *request, enum block_op op, uint32_t max_sectors,
		uint32_t known_flags)
{
	const struct virtqueue_element *element = request->element;
	struct virtio_blk_range range;

	if (block_is_read_only(request->blk->block)) {
		return refuse(request, "the disk is read-only");
	}
	if (request->out_size != sizeof(range)) {
		return refuse(request, "not exactly one range");
	}
	(void)iov_to_buf(element->readable, element->readable_count, sizeof(request->header),
			&range, sizeof(range));
	/* 5.2.6.2: unknown flags are unsupported, not errors. */
	if (range.flags & ~known_flags) {
		return VIRTIO_BLK_S_UNSUPP;
	}
	if (range.num_sectors > max_sectors ||
			!set_range(request, range.sector, range.num_sectors)) {
		return refuse(request,
				"the range is outside the disk, too large or not whole blocks");
	}
	if (range.num_sectors == 0) {
		return VIRTIO_BLK_S_OK;
	}
	request->io.may_unmap = range.flags & VIRTIO_BLK_RANGE_UNMAP;
	request->io.through = writes_through(request->blk);
	return submit(request, op);
}

static int handle_discard(struct virtio_blk_request *request)
{
	return handle_range(request, BLOCK_DISCARD, VIRTIO_BLK_MAX_DISCARD_SECTORS, 0);
}

static int handle_write_zeroes(struct virtio_blk_request *request)
{
	return handle_range(request, BLOCK_WRITE_ZEROES, VIRTIO_BLK_MAX_ZEROES_SECTORS,
			VIRTIO_BLK_RANGE_UNMAP);
}

static const struct {
	uint32_t type; /* enum virtio_blk_type */
	uint64_t features; /* one of these must have been negotiated; 0: always there */
	/* Returns a status, or STATUS_PENDING. */
	int (*handle)(struct virtio_blk_request *request);
} handlers[] = {
		{VIRTIO_BLK_T_IN, 0, handle_in},
		{VIRTIO_BLK_T_OUT, 0, handle_out},
		{VIRTIO_BLK_T_FLUSH, BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE),
				handle_flush},
		{VIRTIO_BLK_T_GET_ID, 0, handle_get_id},
		{VIRTIO_BLK_T_DISCARD, BIT(VIRTIO_BLK_F_DISCARD), handle_discard},
		{VIRTIO_BLK_T_WRITE_ZEROES, BIT(VIRTIO_BLK_F_WRITE_ZEROES), handle_write_zeroes},
};

static int dispatch(struct virtio_blk_request *request)
{
	const struct virtqueue_element *element = request->element;
	uint64_t negotiated = request->blk->device.negotiated;

	if (iov_to_buf(element->readable, element->readable_count, 0, &request->header,
			    sizeof(request->header)) < sizeof(request->header)) {
		return refuse(request, "no whole header");
	}
	request->out_size = element->readable_size - sizeof(request->header);
	request->in_size = element->writable_size - 1;
	for (unsigned i = 0; i < G_N_ELEMENTS(handlers); i++) {
		if (handlers[i].type == request->header.type &&
				(!handlers[i].features || (handlers[i].features & negotiated))) {
			return handlers[i].handle(request);
		}
	}
	return VIRTIO_BLK_S_UNSUPP;
}

bool virtio_blk_request_start(struct virtio_blk_pci *blk, struct virtqueue_element *take_element)
{
	unsigned count = take_element->readable_count + take_element->writable_count;

	if (take_element->writable_size == 0) {
		virtqueue_abandon(blk->device.queues[0].vq, take_element);
		virtio_device_broken(&blk->device, "request without a status byte");
		return false;
	}
	/* The virtqueue bounds the segments of a chain. */
	struct virtio_blk_request *request = g_malloc0(
			sizeof(*request) + count * sizeof(request->iov[0]));
	request->blk = blk;
	request->element = take_element;
	int status = dispatch(request);
	if (status != STATUS_PENDING) {
		complete(request, (enum virtio_blk_status)status);
	}
	return true;
}
