/* SPDX-License-Identifier: MIT */
/*
 * Input devices (virtio 1.3, 5.8): an event queue of buffers that wait for events, a status queue
 * on which the driver sets LEDs (accepted, shown nowhere). Left out: force feedback, multi-touch.
 */
#include "hw/virtio/virtio_input_pci.h"

#include "core/base/fd.h"
#include "core/base/iov.h"

#include <linux/input.h>
#include <string.h>

#define VIRTIO_ID_INPUT 18
#define QUEUE_SIZE 64
#define EVENT_QUEUE 0
#define STATUS_QUEUE 1
#define PCI_CLASS_INPUT_KEYBOARD 0x090000
#define PCI_CLASS_INPUT_OTHER 0x098000

enum { CFG_UNSET = 0, CFG_ID_NAME, CFG_ID_SERIAL, CFG_ID_DEVIDS };
enum { CFG_PROP_BITS = 0x10, CFG_EV_BITS, CFG_ABS_INFO };
#define CFG_PAYLOAD 128

/* 5.8.4 */
struct input_config {
	uint8_t select, subsel, size, reserved[5];
	union {
		char string[CFG_PAYLOAD];
		uint8_t bitmap[CFG_PAYLOAD];
		struct {
			uint32_t min, max, fuzz, flat, res;
		} abs;
		struct {
			uint16_t bustype, vendor, product, version;
		} ids;
	} u;
};
_Static_assert(sizeof(struct input_config) == 136, "virtio 5.8.4");

/* Codes first to last of an event type. */
struct code_range {
	uint8_t type; /* EV_*; 0 ends a list */
	uint16_t first, last;
};

struct virtio_input_model {
	const char *name;
	uint16_t product;
	uint32_t class_code;
	const struct code_range *codes;
};

static const struct code_range keyboard_codes[] = {
		{EV_KEY, KEY_ESC, BTN_MISC - 1},
		{EV_LED, LED_NUML, LED_SCROLLL},
		{EV_REP, REP_DELAY, REP_PERIOD},
		{0},
};

static const struct code_range tablet_codes[] = {
		{EV_KEY, BTN_LEFT, BTN_TASK},
		{EV_ABS, ABS_X, ABS_Y},
		{EV_REL, REL_HWHEEL, REL_HWHEEL},
		{EV_REL, REL_WHEEL, REL_WHEEL},
		{0},
};

static const struct virtio_input_model keyboard_model = {
		.name = "Oriel Keyboard",
		.product = 1,
		.class_code = PCI_CLASS_INPUT_KEYBOARD,
		.codes = keyboard_codes,
};

static const struct virtio_input_model tablet_model = {
		.name = "Oriel Tablet",
		.product = 2,
		.class_code = PCI_CLASS_INPUT_OTHER,
		.codes = tablet_codes,
};

static struct virtio_input_pci *input_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_input_pci, device);
}

static bool has_code(const struct virtio_input_model *model, unsigned type, unsigned code)
{
	for (const struct code_range *range = model->codes; range->type; range++) {
		if (range->type == type && code >= range->first && code <= range->last) {
			return true;
		}
	}
	return false;
}

/* The codes of a type as bits; returns the bytes up to the last one that is not zero. */
static uint8_t code_bits(
		const struct virtio_input_model *model, unsigned type, uint8_t bitmap[CFG_PAYLOAD])
{
	unsigned size = 0;

	for (unsigned code = 0; code < CFG_PAYLOAD * 8; code++) {
		if (has_code(model, type, code)) {
			bitmap[code / 8] |= (uint8_t)(1u << (code % 8));
			size = code / 8 + 1;
		}
	}
	return (uint8_t)size;
}

static uint64_t input_features(struct virtio_device *device)
{
	(void)device;
	return 0;
}

/* What the selectors select. */
static void fill_config(const struct virtio_input_pci *input, struct input_config *config)
{
	const struct virtio_input_model *model = input->model;

	config->select = input->select;
	config->subsel = input->subsel;
	switch (input->select) {
	case CFG_ID_NAME:
		config->size = (uint8_t)strlen(model->name);
		memcpy(config->u.string, model->name, config->size);
		break;
	case CFG_ID_DEVIDS:
		config->size = sizeof(config->u.ids);
		config->u.ids.bustype = BUS_VIRTUAL;
		config->u.ids.vendor = 0x1af4;
		config->u.ids.product = model->product;
		config->u.ids.version = 1;
		break;
	case CFG_EV_BITS:
		/* Sync and the like have no bits of their own. */
		config->size = input->subsel == EV_SYN
					       ? 0
					       : code_bits(model, input->subsel, config->u.bitmap);
		break;
	case CFG_ABS_INFO:
		if (has_code(model, EV_ABS, input->subsel)) {
			config->size = sizeof(config->u.abs);
			config->u.abs.max = VIRTIO_INPUT_ABS_MAX;
		}
		break;
	default:
		break; /* size 0: there is no such thing */
	}
}

static void input_config_read(
		struct virtio_device *device, unsigned offset, void *buf, unsigned len)
{
	struct input_config config = {0};

	fill_config(input_of(device), &config);
	memset(buf, 0, len);
	if (offset < sizeof(config)) {
		memcpy(buf, (const char *)&config + offset, MIN(len, sizeof(config) - offset));
	}
}

static void input_config_write(
		struct virtio_device *device, unsigned offset, const void *buf, unsigned len)
{
	struct virtio_input_pci *input = input_of(device);
	const uint8_t *bytes = buf;

	for (unsigned i = 0; i < len; i++) {
		if (offset + i == offsetof(struct input_config, select)) {
			input->select = bytes[i];
		} else if (offset + i == offsetof(struct input_config, subsel)) {
			input->subsel = bytes[i];
		}
	}
}

/* The driver set LEDs or the like. */
static void input_kick(struct virtio_device *device, unsigned index)
{
	struct virtqueue *vq = device->queues[index].vq;
	struct virtqueue_element *element;
	unsigned budget = QUEUE_SIZE;

	if (index != STATUS_QUEUE) {
		return; /* buffers are taken when there are events */
	}
	while (budget-- > 0 && (element = virtqueue_pop(vq))) {
		virtqueue_push(vq, element, 0);
	}
	virtio_notify(device, index);
	if (!virtqueue_empty(vq)) {
		eventfd_signal(device->queues[index].kick_fd);
	}
}

static bool input_start(struct virtio_device *device)
{
	struct virtio_input_pci *input = input_of(device);

	input->frame_count = 0;
	input->frame_overflow = false;
	return true;
}

static void input_stop(struct virtio_device *device)
{
	struct virtio_input_pci *input = input_of(device);

	while (input->spare_count > 0) {
		virtqueue_abandon(
				device->queues[EVENT_QUEUE].vq, input->spare[--input->spare_count]);
	}
	input->select = input->subsel = 0;
}

static const struct virtio_device_impl input_impl = {
		.id = VIRTIO_ID_INPUT,
		.queues = 2,
		.queue_size = QUEUE_SIZE,
		.features = input_features,
		.config_read = input_config_read,
		.config_write = input_config_write,
		.start = input_start,
		.stop = input_stop,
		.kick = input_kick,
};

/* Makes sure of count buffers, one for each event. Lock held. */
static bool reserve_locked(struct virtio_input_pci *input, unsigned count)
{
	struct virtqueue *vq = input->device.queues[EVENT_QUEUE].vq;

	while (input->spare_count < count) {
		struct virtqueue_element *element = virtqueue_pop(vq);
		if (!element) {
			virtio_device_check_queue(&input->device, EVENT_QUEUE);
			return false;
		}
		if (element->writable_size < sizeof(struct virtio_input_event)) {
			virtqueue_abandon(vq, element);
			virtio_device_broken(&input->device, "buffer too small for an event");
			return false;
		}
		input->spare[input->spare_count++] = element;
	}
	return true;
}

/* Hands the frame to the driver, in the order in which it gave the buffers. Lock held. */
static void deliver_locked(struct virtio_input_pci *input)
{
	struct virtio_device *device = &input->device;
	unsigned count = input->frame_count;

	for (unsigned i = 0; i < count; i++) {
		struct virtqueue_element *element = input->spare[i];
		(void)iov_from_buf(element->writable, element->writable_count, 0, &input->frame[i],
				sizeof(input->frame[i])); /* there is room */
		virtqueue_push(device->queues[EVENT_QUEUE].vq, element, sizeof(input->frame[i]));
	}
	input->spare_count -= count;
	memmove(input->spare, input->spare + count,
			input->spare_count * sizeof(struct virtqueue_element *));
	virtio_notify(device, EVENT_QUEUE);
}

static void append_locked(
		struct virtio_input_pci *input, uint16_t type, uint16_t code, int32_t value)
{
	if (input->frame_count == VIRTIO_INPUT_MAX_FRAME) {
		input->frame_overflow = true;
		return;
	}
	input->frame[input->frame_count++] = (struct virtio_input_event){
			.type = type, .code = code, .value = (uint32_t)value};
}

static void end_frame_locked(struct virtio_input_pci *input)
{
	if (input->frame_count == 0) {
		return;
	}
	append_locked(input, EV_SYN, SYN_REPORT, 0);
	if (virtio_device_healthy(&input->device) && input->device.queues[EVENT_QUEUE].vq) {
		if (!input->frame_overflow && reserve_locked(input, input->frame_count)) {
			deliver_locked(input);
		} else {
			input->dropped++;
		}
	}
	input->frame_count = 0;
	input->frame_overflow = false;
}

void virtio_input_send(
		struct device *device, enum virtio_input_kind kind, uint16_t code, int32_t value)
{
	static const uint16_t types[] = {
			[VIRTIO_INPUT_KEY] = EV_KEY,
			[VIRTIO_INPUT_ABS] = EV_ABS,
			[VIRTIO_INPUT_REL] = EV_REL,
	};
	assert(device_is_virtio_input(device) && device->realized);
	struct virtio_input_pci *input = container_of(
			device, struct virtio_input_pci, transport.pci.base);

	g_mutex_lock(&input->device.lock);
	if (kind == VIRTIO_INPUT_SYNC) {
		end_frame_locked(input);
	} else if (kind < G_N_ELEMENTS(types) && has_code(input->model, types[kind], code)) {
		append_locked(input, types[kind], code, value);
	}
	g_mutex_unlock(&input->device.lock);
}

static struct virtio_input_pci *input_of_base(struct device *base)
{
	return container_of(base, struct virtio_input_pci, transport.pci.base);
}

static bool input_realize(struct device *base, struct machine *machine, GError **error)
{
	struct virtio_input_pci *input = input_of_base(base);

	input->model = base->device_class == &virtio_keyboard_pci_class ? &keyboard_model
									: &tablet_model;
	return virtio_device_init(&input->device, &input_impl, machine, error) &&
	       virtio_pci_realize(&input->transport, machine, &input->device,
			       input->model->class_code, error);
}

static void input_unrealize(struct device *base)
{
	struct virtio_input_pci *input = input_of_base(base);

	virtio_pci_unrealize(&input->transport);
	virtio_device_finish(&input->device);
}

static void input_reset(struct device *base)
{
	struct virtio_input_pci *input = input_of_base(base);

	virtio_pci_reset(&input->transport);
	g_mutex_lock(&input->device.lock);
	input->select = input->subsel = 0;
	g_mutex_unlock(&input->device.lock);
}

bool device_is_virtio_input(const struct device *device)
{
	return device->device_class == &virtio_keyboard_pci_class ||
	       device->device_class == &virtio_tablet_pci_class;
}

static const struct property input_properties[] = {
		PCI_DEVICE_PROPERTIES(struct virtio_input_pci, transport.pci),
		{0},
};

const struct device_class virtio_keyboard_pci_class = {
		.name = "virtio-keyboard-pci",
		.description = "virtio keyboard",
		.bus = "pci",
		.size = sizeof(struct virtio_input_pci),
		.properties = input_properties,
		.realize = input_realize,
		.unrealize = input_unrealize,
		.reset = input_reset,
};

const struct device_class virtio_tablet_pci_class = {
		.name = "virtio-tablet-pci",
		.description = "virtio tablet: a pointer with absolute coordinates and a wheel",
		.bus = "pci",
		.size = sizeof(struct virtio_input_pci),
		.properties = input_properties,
		.realize = input_realize,
		.unrealize = input_unrealize,
		.reset = input_reset,
};
