/* SPDX-License-Identifier: MIT */
/*
 * virtio-gpu as the guest's PCI device (virtio 1.3, 5.7): configuration space and queues, which the
 * picture process serves. What the commands do is in gpu/.
 */
#include "hw/virtio/virtio_gpu_pci.h"

#include "core/base/log.h"
#include "hw/pc/machine.h"

#include <string.h>

#define PCI_CLASS_DISPLAY_OTHER 0x038000
#define QUEUE_SIZE 256

static struct virtio_gpu_pci *gpu_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_gpu_pci, device);
}

/*
 * The back end failed us in the middle of something: it is replaced, and set up when the new one is
 * there.
 */
static void back_end_failed(struct virtio_gpu_pci *gpu, const GError *error)
{
	if (vhost_user_frontend_connected(gpu->frontend)) {
		vhost_user_frontend_disconnect(gpu->frontend);
		picture_condemn(gpu->picture, gpu->generation, error->message);
	}
}

/*
 * Connects to the process that runs now, if that was not done. It may still be starting: its first answer
 * takes that long. False while there is none; the next look tries again. Lock held.
 */
static bool ensure_connected(struct virtio_gpu_pci *gpu)
{
	g_autoptr(GError) error = NULL;

	if (vhost_user_frontend_connected(gpu->frontend)) {
		return true;
	}
	int socket = picture_take_socket(gpu->picture, &gpu->generation);
	if (socket < 0) {
		return false;
	}
	g_atomic_int_set(&gpu->space_stale, true);
	if (!vhost_user_frontend_connect(gpu->frontend, socket, &error)) {
		back_end_failed(gpu, error);
		return false;
	}
	return true;
}

static uint64_t gpu_features(struct virtio_device *device)
{
	struct virtio_gpu_pci *gpu = gpu_of(device);

	return ensure_connected(gpu) ? vhost_user_frontend_features(gpu->frontend) : 0;
}

/* Asks only for what may have changed: the vCPU that reads waits for the answer. */
static void refresh_space(struct virtio_gpu_pci *gpu)
{
	struct virtio_gpu_config space;
	g_autoptr(GError) error = NULL;

	if (!ensure_connected(gpu) ||
			!g_atomic_int_compare_and_exchange(&gpu->space_stale, true, false)) {
		return;
	}
	if (vhost_user_frontend_get_config(gpu->frontend, 0, &space, sizeof(space), &error)) {
		gpu->space = space;
	} else {
		back_end_failed(gpu, error);
	}
}

static void gpu_config_read(struct virtio_device *device, unsigned offset, void *buf, unsigned len)
{
	struct virtio_gpu_pci *gpu = gpu_of(device);

	refresh_space(gpu);
	memset(buf, 0, len);
	if (offset < sizeof(gpu->space)) {
		memcpy(buf, (const char *)&gpu->space + offset,
				MIN(len, sizeof(gpu->space) - offset));
	}
}

static void gpu_config_write(
		struct virtio_device *device, unsigned offset, const void *buf, unsigned len)
{
	struct virtio_gpu_pci *gpu = gpu_of(device);
	g_autoptr(GError) error = NULL;

	if (offset != offsetof(struct virtio_gpu_config, events_clear) || len != 4) {
		return; /* read-only */
	}
	g_atomic_int_set(&gpu->space_stale, true);
	if (ensure_connected(gpu) &&
			!vhost_user_frontend_set_config(gpu->frontend, offset, buf, len, &error)) {
		back_end_failed(gpu, error);
	}
}

/* Hands the rings to the process that is connected. Lock held. */
static bool start_rings(struct virtio_gpu_pci *gpu)
{
	g_autoptr(GError) error = NULL;

	if (!vhost_user_frontend_start(gpu->frontend, &error)) {
		guest_error("%s: %s", device_name(&gpu->transport.pci.base), error->message);
		back_end_failed(gpu, error);
		return false;
	}
	gpu->rings_generation = gpu->generation;
	return true;
}

static bool gpu_start(struct virtio_device *device)
{
	struct virtio_gpu_pci *gpu = gpu_of(device);

	if (!ensure_connected(gpu)) {
		/* A new process gets the rings when it says hello. */
		return picture_will_run(gpu->picture);
	}
	return start_rings(gpu);
}

static void gpu_stop(struct virtio_device *device)
{
	struct virtio_gpu_pci *gpu = gpu_of(device);
	g_autoptr(GError) error = NULL;

	if (!vhost_user_frontend_stop(gpu->frontend, &error)) {
		back_end_failed(gpu, error);
	}
}

static const struct virtio_device_impl gpu_impl = {
		.id = VIRTIO_ID_GPU,
		.queues = VIRTIO_GPU_QUEUE_COUNT,
		.queue_size = QUEUE_SIZE,
		.features = gpu_features,
		.config_read = gpu_config_read,
		.config_write = gpu_config_write,
		.start = gpu_start,
		.stop = gpu_stop,
};

static void sync_writes(struct external_writer *writer)
{
	vhost_user_frontend_sync_log(container_of(writer, struct virtio_gpu_pci, writer)->frontend);
}

static void handle_config_changed(struct vhost_user_frontend_events *events)
{
	struct virtio_gpu_pci *gpu = container_of(events, struct virtio_gpu_pci, frontend_events);

	g_atomic_int_set(&gpu->space_stale, true);
	virtio_config_changed(&gpu->device);
}

static void handle_restarted(struct picture_events *events)
{
	struct virtio_gpu_pci *gpu = container_of(events, struct virtio_gpu_pci, picture_events);

	g_mutex_lock(&gpu->device.lock);
	/* A vCPU that looked meanwhile may have connected already; the rings are ours to hand over. */
	if (gpu->generation != picture_generation(gpu->picture)) {
		vhost_user_frontend_disconnect(gpu->frontend);
	}
	if (ensure_connected(gpu) && gpu->device.started &&
			gpu->rings_generation != gpu->generation) {
		(void)start_rings(gpu); /* a failure condemns the process: there will be another */
	}
	g_mutex_unlock(&gpu->device.lock);
}

static void handle_input(struct picture_events *events, const struct control_input *input)
{
	struct virtio_gpu_pci *gpu = container_of(events, struct virtio_gpu_pci, picture_events);

	if (gpu->host && gpu->host->input) {
		gpu->host->input(gpu->host, input);
	}
}

static void handle_closed(struct picture_events *events)
{
	struct virtio_gpu_pci *gpu = container_of(events, struct virtio_gpu_pci, picture_events);

	if (gpu->host && gpu->host->closed) {
		gpu->host->closed(gpu->host);
	}
}

static void handle_failed(struct picture_events *events)
{
	struct virtio_gpu_pci *gpu = container_of(events, struct virtio_gpu_pci, picture_events);

	if (gpu->host && gpu->host->failed) {
		gpu->host->failed(gpu->host);
	}
}

bool virtio_gpu_pci_start_picture(struct virtio_gpu_pci *gpu, const char *program,
		const char *const *arguments, struct virtio_gpu_host *host, GError **error)
{
	gpu->host = host;
	gpu->picture_events = (struct picture_events){
			.restarted = handle_restarted,
			.input = handle_input,
			.closed = handle_closed,
			.failed = handle_failed,
	};
	gpu->picture = picture_start(program, arguments, &gpu->picture_events, error);
	return gpu->picture != NULL;
}

static bool gpu_realize(struct device *base, struct machine *machine, GError **error)
{
	struct virtio_gpu_pci *gpu = container_of(base, struct virtio_gpu_pci, transport.pci.base);

	assert(gpu->picture);
	if (!virtio_device_init(&gpu->device, &gpu_impl, machine, error)) {
		return false;
	}
	gpu->space = (struct virtio_gpu_config){.num_scanouts = 1};
	gpu->frontend_events.config_changed = handle_config_changed;
	gpu->frontend = vhost_user_frontend_create(&gpu->device, &gpu->frontend_events);
	gpu->writer.sync = sync_writes;
	machine_add_writer(machine, &gpu->writer);
	return virtio_pci_realize(
			&gpu->transport, machine, &gpu->device, PCI_CLASS_DISPLAY_OTHER, error);
}

static void gpu_unrealize(struct device *base)
{
	struct virtio_gpu_pci *gpu = container_of(base, struct virtio_gpu_pci, transport.pci.base);

	if (gpu->frontend) {
		machine_remove_writer(gpu->device.machine, &gpu->writer);
	}
	virtio_pci_unrealize(&gpu->transport);
	vhost_user_frontend_destroy(gpu->frontend);
	gpu->frontend = NULL;
	virtio_device_finish(&gpu->device);
	picture_stop(gpu->picture);
	gpu->picture = NULL;
}

static void gpu_reset_device(struct device *base)
{
	struct virtio_gpu_pci *gpu = container_of(base, struct virtio_gpu_pci, transport.pci.base);

	virtio_pci_reset(&gpu->transport);
}

static const struct property gpu_properties[] = {
		PCI_DEVICE_PROPERTIES(struct virtio_gpu_pci, transport.pci),
		{.name = "max_outputs",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct virtio_gpu_pci, config.max_outputs),
				.default_value = "1",
				.min = 1,
				.max = VIRTIO_GPU_MAX_SCANOUTS,
				.help = "scanouts the guest sees"},
		{.name = "xres",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct virtio_gpu_pci, config.xres),
				.default_value = "1280",
				.min = 16,
				.max = 16384,
				.help = "width of the preferred mode, pixels"},
		{.name = "yres",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct virtio_gpu_pci, config.yres),
				.default_value = "800",
				.min = 16,
				.max = 16384,
				.help = "height of the preferred mode, pixels"},
		{.name = "edid",
				.type = PROPERTY_BOOL,
				.offset = offsetof(struct virtio_gpu_pci, config.edid),
				.default_value = "on",
				.help = "describe the screens to the guest"},
		{.name = "max_hostmem",
				.type = PROPERTY_SIZE,
				.offset = offsetof(struct virtio_gpu_pci, config.max_hostmem),
				.default_value = "1G",
				.min = 1048576,
				.max = UINT64_C(1) << 40,
				.help = "host memory its resources may take"},
		{.name = "max_contexts",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct virtio_gpu_pci, config.max_contexts),
				.default_value = "128",
				.min = 1,
				.max = 65536,
				.help = "3D contexts at once"},
		{.name = "max_resources",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct virtio_gpu_pci, config.max_resources),
				.default_value = "16384",
				.min = 1,
				.max = 1 << 24,
				.help = "resources at once"},
		{.name = "max_request",
				.type = PROPERTY_SIZE,
				.offset = offsetof(struct virtio_gpu_pci, config.max_request),
				.default_value = "8M",
				.min = 4096,
				.max = 1 << 30,
				.help = "length of one command"},
		{.name = "max_shader",
				.type = PROPERTY_SIZE,
				.offset = offsetof(struct virtio_gpu_pci, config.max_shader),
				.default_value = "1M",
				.min = 1024,
				.max = 1 << 30,
				.help = "text of one shader"},
		{.name = "hang_time",
				.type = PROPERTY_UINT32,
				.offset = offsetof(struct virtio_gpu_pci, config.hang_time),
				.default_value = "15000",
				.min = 100,
				.max = 3600000,
				.help = "milliseconds after which a request counts as a hang"},
		{0},
};

const struct device_class virtio_gpu_pci_class = {
		.name = "virtio-gpu-pci",
		.description = "virtio GPU, 2D",
		.bus = "pci",
		.size = sizeof(struct virtio_gpu_pci),
		.properties = gpu_properties,
		.realize = gpu_realize,
		.unrealize = gpu_unrealize,
		.reset = gpu_reset_device,
};

const struct device_class virtio_gpu_gl_pci_class = {
		.name = "virtio-gpu-gl-pci",
		.description = "virtio GPU with 3D through virglrenderer",
		.bus = "pci",
		.size = sizeof(struct virtio_gpu_pci),
		.properties = gpu_properties,
		.realize = gpu_realize,
		.unrealize = gpu_unrealize,
		.reset = gpu_reset_device,
};

bool device_is_virtio_gpu(const struct device *device)
{
	return device->device_class == &virtio_gpu_pci_class ||
	       device->device_class == &virtio_gpu_gl_pci_class;
}
