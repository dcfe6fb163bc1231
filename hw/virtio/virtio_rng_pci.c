/* SPDX-License-Identifier: MIT */
/*
 * The entropy device (virtio 1.3, 5.4). One queue of buffers to fill; served on the main loop, a
 * bounded piece at a time.
 */
#include "hw/virtio/virtio_rng_pci.h"

#include "core/base/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define VIRTIO_ID_ENTROPY 4
#define PCI_CLASS_OTHERS 0x00ff00
#define QUEUE_SIZE 64
#define PIECE (4 * KiB) /* the most one buffer gets; 5.4.6 lets the device give less than asked */
#define BUDGET (64 * KiB) /* the most one turn of the main loop gives */

static uint64_t rng_features(struct virtio_device *device)
{
	(void)device;
	return 0;
}

static void rng_config_read(struct virtio_device *device, unsigned offset, void *buf, unsigned len)
{
	(void)device;
	(void)offset;
	memset(buf, 0, len); /* there is no configuration */
}

static size_t fill(void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = getrandom((char *)buf + done, len - done, 0);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			break;
		}
		done += (size_t)n;
	}
	return done;
}

static size_t fill_element(const struct virtqueue_element *element)
{
	size_t done = 0;

	for (unsigned i = 0; i < element->writable_count && done < PIECE; i++) {
		size_t want = MIN(element->writable[i].iov_len, PIECE - done);
		size_t got = fill(element->writable[i].iov_base, want);
		done += got;
		if (got < want) {
			break;
		}
	}
	return done;
}

static void rng_kick(struct virtio_device *device, unsigned index)
{
	struct virtio_queue *queue = &device->queues[index];
	size_t given = 0;
	unsigned budget = QUEUE_SIZE;
	struct virtqueue_element *element;

	while (given < BUDGET && budget-- > 0 && (element = virtqueue_pop(queue->vq))) {
		if (element->writable_size == 0) {
			virtqueue_abandon(queue->vq, element);
			virtio_device_broken(device, "entropy request without room for a byte");
			return;
		}
		size_t written = fill_element(element);
		given += written;
		virtqueue_push(queue->vq, element, written);
	}
	virtio_notify(device, index);
	if (!virtqueue_empty(queue->vq)) {
		eventfd_signal(queue->kick_fd); /* others come first */
	}
}

static bool rng_start(struct virtio_device *device)
{
	(void)device;
	return true;
}

static void rng_stop(struct virtio_device *device)
{
	(void)device; /* nothing is ever in flight */
}

static const struct virtio_device_impl rng_impl = {
		.id = VIRTIO_ID_ENTROPY,
		.queues = 1,
		.queue_size = QUEUE_SIZE,
		.features = rng_features,
		.config_read = rng_config_read,
		.start = rng_start,
		.stop = rng_stop,
		.kick = rng_kick,
};

static struct virtio_rng_pci *rng_of(struct device *base)
{
	return container_of(base, struct virtio_rng_pci, transport.pci.base);
}

static bool rng_realize(struct device *base, struct machine *machine, GError **error)
{
	struct virtio_rng_pci *rng = rng_of(base);

	return virtio_device_init(&rng->device, &rng_impl, machine, error) &&
	       virtio_pci_realize(&rng->transport, machine, &rng->device, PCI_CLASS_OTHERS, error);
}

static void rng_unrealize(struct device *base)
{
	struct virtio_rng_pci *rng = rng_of(base);

	virtio_pci_unrealize(&rng->transport);
	virtio_device_finish(&rng->device);
}

static void rng_reset(struct device *base)
{
	virtio_pci_reset(&rng_of(base)->transport);
}

static const struct property rng_properties[] = {
		PCI_DEVICE_PROPERTIES(struct virtio_rng_pci, transport.pci),
		{0},
};

const struct device_class virtio_rng_pci_class = {
		.name = "virtio-rng-pci",
		.description = "virtio entropy source",
		.bus = "pci",
		.size = sizeof(struct virtio_rng_pci),
		.properties = rng_properties,
		.realize = rng_realize,
		.unrealize = rng_unrealize,
		.reset = rng_reset,
};
