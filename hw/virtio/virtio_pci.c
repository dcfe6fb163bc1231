/* SPDX-License-Identifier: MIT */
/*
 * The modern virtio-pci transport (virtio 1.3, 4.1). Left out: the legacy interface, notification
 * data, queue reset, shared-memory windows.
 */
#include "hw/virtio/virtio_pci.h"

#include "core/base/bytes.h"
#include "core/base/checked.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "hw/pci/pci_regs.h"

#include <glib-unix.h>
#include <string.h>

#define VIRTIO_PCI_VENDOR 0x1af4
#define VIRTIO_PCI_DEVICE_BASE 0x1040
#define MSIX_BAR 1
#define REGISTER_BAR 4

#define COMMON_OFFSET 0x0000u
#define ISR_OFFSET 0x1000u
#define DEVICE_OFFSET 0x2000u
#define NOTIFY_OFFSET 0x3000u
#define REGION_SIZE 0x1000u
#define REGISTERS_SIZE 0x4000u
#define NOTIFY_MULTIPLIER 4u

enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };
#define CAP_SIZE 16u
#define CAP_BAR 4 /* from the capability */
#define CAP_OFFSET 8
#define CAP_LENGTH 12
#define CAP_EXTRA 16 /* notify multiplier, or the access window's data */

#define ISR_QUEUE 1u
#define ISR_CONFIG 2u

/* struct virtio_pci_common_cfg, 4.1.4.3. */
enum common_register {
	COMMON_DEVICE_FEATURE_SELECT = 0,
	COMMON_DEVICE_FEATURE = 4,
	COMMON_DRIVER_FEATURE_SELECT = 8,
	COMMON_DRIVER_FEATURE = 12,
	COMMON_CONFIG_VECTOR = 16,
	COMMON_NUM_QUEUES = 18,
	COMMON_STATUS = 20,
	COMMON_GENERATION = 21,
	COMMON_QUEUE_SELECT = 22,
	COMMON_QUEUE_SIZE = 24,
	COMMON_QUEUE_VECTOR = 26,
	COMMON_QUEUE_ENABLE = 28,
	COMMON_QUEUE_NOTIFY_OFF = 30,
	COMMON_QUEUE_DESC = 32,
	COMMON_QUEUE_DRIVER = 40,
	COMMON_QUEUE_DEVICE = 48,
	COMMON_SIZE = 56,
};

static unsigned vector_count(const struct virtio_pci *transport)
{
	return transport->device->impl->queues + 1;
}

static struct virtio_queue *selected_queue(struct virtio_pci *transport)
{
	struct virtio_device *device = transport->device;

	return transport->queue_select < device->impl->queues
			       ? &device->queues[transport->queue_select]
			       : NULL;
}

static void raise_interrupt(struct virtio_pci *transport, uint16_t vector, uint8_t isr)
{
	if (msix_enabled(&transport->pci)) {
		msix_notify(&transport->pci, vector);
	} else {
		transport->isr |= isr;
		pci_set_intx(&transport->pci, true);
	}
}

static void notify_queue(struct virtio_device *device, unsigned queue)
{
	raise_interrupt(device->transport, device->queues[queue].vector, ISR_QUEUE);
}

static void notify_config(struct virtio_device *device)
{
	struct virtio_pci *transport = device->transport;

	raise_interrupt(transport, transport->config_vector, ISR_CONFIG);
}

/* The slow way for calls of an external queue: INTx, or a vector shared with another queue. */
static gboolean handle_call(int fd, GIOCondition condition, gpointer opaque)
{
	struct virtio_queue *queue = opaque;
	struct virtio_device *device = queue->device;
	(void)condition;

	g_mutex_lock(&device->lock);
	if (eventfd_take(fd) > 0 && device->started) {
		notify_queue(device, (unsigned)(queue - device->queues));
	}
	g_mutex_unlock(&device->lock);
	return G_SOURCE_CONTINUE;
}

static bool vector_is_shared(const struct virtio_device *device, unsigned index)
{
	for (unsigned i = 0; i < index; i++) {
		if (device->queues[i].vector == device->queues[index].vector) {
			return true;
		}
	}
	return device->transport->config_vector == device->queues[index].vector;
}

static void route_calls_off(struct virtio_pci *transport)
{
	struct virtio_device *device = transport->device;

	/* None where the slot was refused. */
	for (unsigned i = 0; transport->pci.msix && i < vector_count(transport); i++) {
		(void)msix_set_eventfd(&transport->pci, i, -1, NULL); /* taking away cannot fail */
	}
	for (unsigned i = 0; i < device->impl->queues; i++) {
		GSource **source = &device->queues[i].call_source;
		if (*source) {
			g_source_destroy(*source);
			g_source_unref(*source);
			*source = NULL;
		}
	}
}

static void route_calls(struct virtio_device *device, bool on)
{
	struct virtio_pci *transport = device->transport;

	route_calls_off(transport);
	for (unsigned i = 0; on && i < device->impl->queues; i++) {
		struct virtio_queue *queue = &device->queues[i];
		bool direct = msix_enabled(&transport->pci) &&
			      queue->vector < vector_count(transport) &&
			      !vector_is_shared(device, i);
		g_autoptr(GError) error = NULL;

		if (direct && msix_set_eventfd(&transport->pci, queue->vector, queue->call_fd,
					      &error)) {
			continue;
		}
		queue->call_source = g_unix_fd_source_new(queue->call_fd, G_IO_IN);
		g_source_set_callback(queue->call_source, G_SOURCE_FUNC(handle_call), queue, NULL);
		g_source_attach(queue->call_source, NULL);
	}
}

/* Calls that go past us must find the way the driver chose now. Lock held. */
static void vectors_changed(struct virtio_pci *transport)
{
	struct virtio_device *device = transport->device;

	if (virtio_device_is_external(device) && device->started) {
		route_calls(device, true);
	}
}

static uint64_t common_read_queue(struct virtio_pci *transport, uint64_t offset)
{
	const struct virtio_queue *queue = selected_queue(transport);

	if (!queue) {
		return offset == COMMON_QUEUE_VECTOR ? VIRTIO_NO_VECTOR : 0;
	}
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		return queue->size;
	case COMMON_QUEUE_VECTOR:
		return queue->vector;
	case COMMON_QUEUE_ENABLE:
		return queue->enabled;
	case COMMON_QUEUE_NOTIFY_OFF:
		return transport->queue_select;
	case COMMON_QUEUE_DESC:
		return queue->desc;
	case COMMON_QUEUE_DESC + 4:
		return queue->desc >> 32;
	case COMMON_QUEUE_DRIVER:
		return queue->avail;
	case COMMON_QUEUE_DRIVER + 4:
		return queue->avail >> 32;
	case COMMON_QUEUE_DEVICE:
		return queue->used;
	case COMMON_QUEUE_DEVICE + 4:
		return queue->used >> 32;
	default:
		return 0;
	}
}

static uint64_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static uint64_t common_read(struct virtio_pci *transport, uint64_t offset)
{
	struct virtio_device *device = transport->device;

	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		return transport->device_feature_select;
	case COMMON_DEVICE_FEATURE:
		return feature_word(
				virtio_device_offered(device), transport->device_feature_select);
	case COMMON_DRIVER_FEATURE_SELECT:
		return transport->driver_feature_select;
	case COMMON_DRIVER_FEATURE:
		return feature_word(device->negotiated, transport->driver_feature_select);
	case COMMON_CONFIG_VECTOR:
		return transport->config_vector;
	case COMMON_NUM_QUEUES:
		return device->impl->queues;
	case COMMON_STATUS:
		return device->status;
	case COMMON_GENERATION:
		return device->config_generation;
	case COMMON_QUEUE_SELECT:
		return transport->queue_select;
	default:
		return common_read_queue(transport, offset);
	}
}

static void set_low(uint64_t *target, uint64_t value, unsigned size)
{
	*target = size == 8 ? value : (*target & ~UINT64_C(0xffffffff)) | (uint32_t)value;
}

static void set_high(uint64_t *target, uint64_t value)
{
	*target = (*target & 0xffffffff) | value << 32;
}

/* Vectors that do not exist read back as NO_VECTOR (4.1.5.1.2). */
static uint16_t valid_vector(const struct virtio_pci *transport, uint64_t value)
{
	return value < vector_count(transport) ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void write_queue_size(
		struct virtio_pci *transport, struct virtio_queue *queue, uint64_t value)
{
	if (value == 0 || value > transport->device->impl->queue_size || (value & (value - 1))) {
		guest_error("virtio-pci %s: queue size %" G_GUINT64_FORMAT
			    " is no power of two up to %u",
				device_name(&transport->pci.base), value,
				transport->device->impl->queue_size);
		return;
	}
	queue->size = (uint16_t)value;
}

static void common_write_queue(
		struct virtio_pci *transport, uint64_t offset, uint64_t value, unsigned size)
{
	struct virtio_queue *queue = selected_queue(transport);

	if (!queue) {
		return;
	}
	if (offset == COMMON_QUEUE_VECTOR) {
		queue->vector = valid_vector(transport, value);
		vectors_changed(transport);
		return;
	}
	/* 4.1.5.1.3: queues are set up before DRIVER_OK and stay so until a reset. */
	if (queue->enabled || (transport->device->status & VIRTIO_STATUS_DRIVER_OK)) {
		guest_error("virtio-pci %s: write to register %#x of a queue in use",
				device_name(&transport->pci.base), (unsigned)offset);
		return;
	}
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		write_queue_size(transport, queue, value);
		break;
	case COMMON_QUEUE_ENABLE:
		queue->enabled = value == 1;
		break;
	case COMMON_QUEUE_DESC:
		set_low(&queue->desc, value, size);
		break;
	case COMMON_QUEUE_DESC + 4:
		set_high(&queue->desc, value);
		break;
	case COMMON_QUEUE_DRIVER:
		set_low(&queue->avail, value, size);
		break;
	case COMMON_QUEUE_DRIVER + 4:
		set_high(&queue->avail, value);
		break;
	case COMMON_QUEUE_DEVICE:
		set_low(&queue->used, value, size);
		break;
	case COMMON_QUEUE_DEVICE + 4:
		set_high(&queue->used, value);
		break;
	default:
		break; /* read-only */
	}
}

static void reset_registers(struct virtio_pci *transport)
{
	transport->config_vector = VIRTIO_NO_VECTOR;
	transport->queue_select = 0;
	transport->device_feature_select = transport->driver_feature_select = 0;
	transport->isr = 0;
	pci_set_intx(&transport->pci, false);
}

static void write_driver_features(struct virtio_pci *transport, uint64_t value)
{
	struct virtio_device *device = transport->device;
	uint32_t select = transport->driver_feature_select;

	if (select >= 2 || (device->status & VIRTIO_STATUS_FEATURES_OK)) {
		return;
	}
	uint64_t mask = UINT64_C(0xffffffff) << (32 * select);
	device->negotiated = (device->negotiated & ~mask) | (uint64_t)(uint32_t)value
									    << (32 * select);
}

static void common_write(
		struct virtio_pci *transport, uint64_t offset, uint64_t value, unsigned size)
{
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		transport->device_feature_select = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		transport->driver_feature_select = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE:
		write_driver_features(transport, value);
		break;
	case COMMON_CONFIG_VECTOR:
		transport->config_vector = valid_vector(transport, value);
		vectors_changed(transport);
		break;
	case COMMON_STATUS:
		virtio_device_set_status(transport->device, (uint8_t)value);
		if ((uint8_t)value == 0) {
			reset_registers(transport);
		}
		break;
	case COMMON_QUEUE_SELECT:
		transport->queue_select = (uint16_t)value;
		break;
	default:
		common_write_queue(transport, offset, value, size);
		break;
	}
}

static uint64_t isr_read(struct virtio_pci *transport)
{
	uint8_t isr = transport->isr;

	transport->isr = 0;
	pci_set_intx(&transport->pci, false);
	return isr;
}

static uint64_t registers_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct virtio_pci *transport = container_of(region, struct virtio_pci, registers);
	struct virtio_device *device = transport->device;
	uint64_t value = 0;

	g_mutex_lock(&device->lock);
	if (offset < COMMON_SIZE) {
		value = common_read(transport, offset);
	} else if (offset == ISR_OFFSET) {
		value = isr_read(transport);
	} else if (offset >= DEVICE_OFFSET && offset < DEVICE_OFFSET + REGION_SIZE) {
		device->impl->config_read(device, (unsigned)(offset - DEVICE_OFFSET), &value, size);
	}
	g_mutex_unlock(&device->lock);
	return size < 8 ? value & (BIT(8 * size) - 1) : value;
}

static void registers_write(
		struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct virtio_pci *transport = container_of(region, struct virtio_pci, registers);
	struct virtio_device *device = transport->device;

	if (offset >= NOTIFY_OFFSET) {
		/* Normally the eventfd is signalled without coming here. */
		unsigned queue = (unsigned)(offset - NOTIFY_OFFSET) / NOTIFY_MULTIPLIER;
		if (queue < device->impl->queues) {
			eventfd_signal(device->queues[queue].kick_fd);
		}
		return;
	}
	g_mutex_lock(&device->lock);
	if (offset < COMMON_SIZE) {
		common_write(transport, offset, value, size);
	} else if (offset >= DEVICE_OFFSET && offset < DEVICE_OFFSET + REGION_SIZE &&
			device->impl->config_write) {
		device->impl->config_write(
				device, (unsigned)(offset - DEVICE_OFFSET), &value, size);
	}
	g_mutex_unlock(&device->lock);
}

/*
 * The window through which the registers can be reached by configuration cycles alone (4.1.4.9):
 * what the guest pointed it at, if that is somewhere.
 */
struct access_window {
	uint32_t offset, size;
	uint32_t data; /* what was written last */
};

static bool access_window(struct virtio_pci *transport, struct access_window *ret_window)
{
	const uint8_t *cap = transport->pci.config + transport->access_capability;

	g_mutex_lock(&transport->pci.lock);
	const struct access_window window = {
			.offset = le32_load(cap + CAP_OFFSET),
			.size = le32_load(cap + CAP_LENGTH),
			.data = le32_load(cap + CAP_EXTRA),
	};
	bool ok = cap[CAP_BAR] == REGISTER_BAR;
	g_mutex_unlock(&transport->pci.lock);

	if (!ok || (window.size != 1 && window.size != 2 && window.size != 4) ||
			window.offset % window.size != 0 ||
			!range_within(window.offset, window.size, REGISTERS_SIZE)) {
		return false;
	}
	*ret_window = window;
	return true;
}

static void config_reading(struct pci_device *pci, unsigned offset, unsigned len)
{
	struct virtio_pci *transport = container_of(pci, struct virtio_pci, pci);
	unsigned data = transport->access_capability + CAP_EXTRA;
	struct access_window window;

	if (ranges_overlap(offset, len, data, 4) && access_window(transport, &window)) {
		uint64_t value = registers_read(&transport->registers, window.offset, window.size);
		g_mutex_lock(&pci->lock);
		le_store(pci->config + data, value, window.size);
		g_mutex_unlock(&pci->lock);
	}
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned len)
{
	struct virtio_pci *transport = container_of(pci, struct virtio_pci, pci);
	unsigned data = transport->access_capability + CAP_EXTRA;
	struct access_window window;

	if (ranges_overlap(offset, len, data, 4) && access_window(transport, &window)) {
		uint64_t mask = UINT32_MAX >> (32 - 8 * window.size);
		registers_write(&transport->registers, window.offset, window.data & mask,
				window.size);
	} else if (msix_control_written(pci, offset, len)) {
		g_mutex_lock(&transport->device->lock);
		vectors_changed(transport);
		g_mutex_unlock(&transport->device->lock);
	}
}

static unsigned add_capability(struct virtio_pci *transport, uint8_t type, uint32_t offset,
		uint32_t length, unsigned extra)
{
	struct pci_device *pci = &transport->pci;
	unsigned cap = pci_add_capability(pci, PCI_CAP_ID_VENDOR, CAP_SIZE + extra);

	pci->config[cap + 2] = (uint8_t)(CAP_SIZE + extra);
	pci->config[cap + 3] = type;
	pci->config[cap + CAP_BAR] = REGISTER_BAR;
	le32_store(pci->config + cap + CAP_OFFSET, offset);
	le32_store(pci->config + cap + CAP_LENGTH, length);
	return cap;
}

static void add_capabilities(struct virtio_pci *transport)
{
	struct pci_device *pci = &transport->pci;

	add_capability(transport, CAP_COMMON, COMMON_OFFSET, REGION_SIZE, 0);
	add_capability(transport, CAP_ISR, ISR_OFFSET, REGION_SIZE, 0);
	add_capability(transport, CAP_DEVICE, DEVICE_OFFSET, REGION_SIZE, 0);
	unsigned notify = add_capability(transport, CAP_NOTIFY, NOTIFY_OFFSET, REGION_SIZE, 4);
	le32_store(pci->config + notify + CAP_EXTRA, NOTIFY_MULTIPLIER);

	unsigned cap = add_capability(transport, CAP_PCI, 0, 0, 4);
	transport->access_capability = cap;
	pci->config[cap + CAP_BAR] = 0; /* the guest's to set */
	pci->writable[cap + CAP_BAR] = 0xff;
	memset(pci->writable + cap + CAP_OFFSET, 0xff, 4);
	memset(pci->writable + cap + CAP_LENGTH, 0xff, 4);
	memset(pci->writable + cap + CAP_EXTRA, 0xff, 4);
	pci->config_reading = config_reading;
	pci->config_written = config_written;
}

bool virtio_pci_realize(struct virtio_pci *transport, struct machine *machine,
		struct virtio_device *device, uint32_t class_code, GError **error)
{
	const struct pci_identity identity = {
			.vendor = VIRTIO_PCI_VENDOR,
			.device = (uint16_t)(VIRTIO_PCI_DEVICE_BASE + device->impl->id),
			.subsystem_vendor = VIRTIO_PCI_VENDOR,
			.subsystem = 0x1100,
			.revision = 1,
			.class_code = class_code,
	};

	transport->device = device;
	transport->config_vector = VIRTIO_NO_VECTOR;
	device->transport = transport;
	device->notify_queue = notify_queue;
	device->notify_config = notify_config;
	device->route_calls = route_calls;

	transport->registers = (struct io_region){
			.name = "virtio-pci",
			.size = REGISTERS_SIZE,
			.read = registers_read,
			.write = registers_write,
	};
	transport->pci.config[PCI_INTERRUPT_PIN] = 1;
	if (!pci_device_realize(&transport->pci, machine, &identity, error) ||
			!msix_init(&transport->pci, vector_count(transport), MSIX_BAR, error)) {
		return false;
	}
	pci_add_bar(&transport->pci, REGISTER_BAR, PCI_BAR_MEMORY64_PREFETCHABLE,
			&transport->registers);
	add_capabilities(transport);
	for (unsigned i = 0; i < device->impl->queues; i++) {
		address_space_add_eventfd(&transport->registers,
				NOTIFY_OFFSET + i * NOTIFY_MULTIPLIER, 0,
				device->queues[i].kick_fd);
	}
	return true;
}

void virtio_pci_unrealize(struct virtio_pci *transport)
{
	if (transport->device) {
		/* First, so that no vCPU starts the device again. */
		pci_device_withdraw(&transport->pci);
		virtio_pci_reset(transport);
		for (unsigned i = 0; i < transport->device->impl->queues; i++) {
			address_space_remove_eventfd(&transport->registers,
					NOTIFY_OFFSET + i * NOTIFY_MULTIPLIER, 0,
					transport->device->queues[i].kick_fd);
		}
	}
	pci_device_unrealize(&transport->pci);
	transport->device = NULL;
}

static void reset_window(struct virtio_pci *transport)
{
	struct pci_device *pci = &transport->pci;

	g_mutex_lock(&pci->lock);
	for (unsigned i = 0; transport->access_capability > 0 && i < CAP_SIZE + 4; i++) {
		unsigned at = transport->access_capability + i;
		pci->config[at] &= (uint8_t)~pci->writable[at];
	}
	g_mutex_unlock(&pci->lock);
}

void virtio_pci_reset(struct virtio_pci *transport)
{
	struct virtio_device *device = transport->device;

	g_mutex_lock(&device->lock);
	virtio_device_set_status(device, 0);
	reset_registers(transport);
	g_mutex_unlock(&device->lock);
	pci_device_reset(&transport->pci);
	reset_window(transport);
}
