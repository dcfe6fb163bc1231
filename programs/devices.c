/* SPDX-License-Identifier: MIT */
#include "programs/devices.h"

#include "core/base/log.h"
#include "core/block/block.h"
#include "core/device/device.h"
#include "hw/pc/isa_debug.h"
#include "hw/pc/pc_testdev.h"
#include "hw/virtio/virtio_blk_pci.h"
#include "hw/virtio/virtio_input_pci.h"
#include "hw/virtio/virtio_rng_pci.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

const struct device_class *const device_classes[] = {
		&virtio_gpu_gl_pci_class,
		&virtio_gpu_pci_class,
		&virtio_blk_pci_class,
		&virtio_rng_pci_class,
		&virtio_keyboard_pci_class,
		&virtio_tablet_pci_class,
		&pvpanic_class,
		&debug_exit_class,
		&pc_testdev_class,
		NULL,
};

struct devices {
	const struct options *options;
	GPtrArray *blocks; /* struct block * */
	GPtrArray *pending; /* struct device *, not yet the machine's */
	struct virtio_gpu_pci *gpu; /* the first; NULL: none */
	struct device *keyboard, *pointer; /* where input goes; NULL: nowhere */
};

/* blocks are in the order of the -drive options. */
static bool open_drives(struct devices *devices, GError **error)
{
	const GArray *drives = devices->options->drives;

	for (unsigned i = 0; i < drives->len; i++) {
		const struct option_drive *drive = &g_array_index(drives, struct option_drive, i);
		struct block_options options;
		properties_set_defaults(&options, block_properties);
		g_free(options.file);
		g_free(options.id);
		options.file = g_strdup(drive->file);
		options.id = g_strdup(drive->id);
		options.read_only = drive->read_only;
		options.snapshot = drive->snapshot;
		options.aio = drive->aio;
		options.discard = drive->discard % 2 ? BLOCK_DISCARD_UNMAP : BLOCK_DISCARD_IGNORE;
		struct block *block = block_open(&options, error);
		properties_clear(&options, block_properties);
		if (!block) {
			g_prefix_error(error, "-drive: ");
			return false;
		}
		g_ptr_array_add(devices->blocks, block);
		if (block_size(block) == 0) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
					"-drive: '%s' is empty: a disk has at least one sector of 512 "
					"bytes",
					drive->file);
			return false;
		}
	}
	return true;
}

static void add_disk(struct devices *devices, struct block *block)
{
	struct device *device = device_create(&virtio_blk_pci_class);

	virtio_blk_pci_set_block(device, block);
	g_ptr_array_add(devices->pending, device);
}

static bool block_is_used(const struct devices *devices, const struct block *block)
{
	for (unsigned i = 0; i < devices->pending->len; i++) {
		const struct device *device = devices->pending->pdata[i];
		if (device->device_class == &virtio_blk_pci_class &&
				virtio_blk_pci_block(device) == block) {
			return true;
		}
	}
	return false;
}

static bool set_drive_error(
		GError **error, const struct device *device, const char *id, const char *why)
{
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "-device %s: drive=%s: %s",
			device_name(device), id, why);
	return false;
}

/* Gives the device the drive that it names. */
static bool attach_drive(struct devices *devices, struct device *device, GError **error)
{
	const GArray *drives = devices->options->drives;
	const char *id = virtio_blk_pci_drive(device);

	for (unsigned i = 0; id && i < drives->len; i++) {
		const struct option_drive *drive = &g_array_index(drives, struct option_drive, i);
		struct block *block = devices->blocks->pdata[i];
		if (g_strcmp0(drive->id, id) != 0) {
			continue;
		}
		if (drive->interface != OPTION_DRIVE_NONE) {
			return set_drive_error(error, device, id,
					"that -drive makes a disk by itself; if=none leaves it to -device");
		}
		if (block_is_used(devices, block)) {
			return set_drive_error(
					error, device, id, "another device has that drive already");
		}
		virtio_blk_pci_set_block(device, block);
		return true;
	}
	return set_drive_error(error, device, id ? id : "", "no -drive with if=none has that id");
}

/* Drives of their own interface in their places among the -device, as the command line has them. */
static bool create_named(struct devices *devices, GError **error)
{
	const GArray *drives = devices->options->drives, *named = devices->options->devices;
	unsigned next = 0;

	for (unsigned i = 0; i <= named->len; i++) {
		for (; next < drives->len; next++) {
			const struct option_drive *drive = &g_array_index(
					drives, struct option_drive, next);
			if (drive->devices_before > i) {
				break;
			}
			if (drive->interface == OPTION_DRIVE_VIRTIO) {
				add_disk(devices, devices->blocks->pdata[next]);
			}
		}
		if (i == named->len) {
			break;
		}
		struct device *device = option_device_create(
				&g_array_index(named, struct option_device, i), error);
		if (!device) {
			g_prefix_error(error, "-device: ");
			return false;
		}
		g_ptr_array_add(devices->pending, device);
		if (device->device_class == &virtio_blk_pci_class &&
				!attach_drive(devices, device, error)) {
			return false;
		}
	}
	return true;
}

/* A disk that nobody sees is a slip of the pen. */
static bool check_drives_used(const struct devices *devices, GError **error)
{
	for (unsigned i = 0; i < devices->blocks->len; i++) {
		const struct block *block = devices->blocks->pdata[i];
		if (!block_is_used(devices, block)) {
			g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
					"-drive if=none,id=%s: no -device has it (-device "
					"virtio-blk-pci,drive=%s)",
					block_id(block), block_id(block));
			return false;
		}
	}
	return true;
}

/* Beside this program where it was built, else where it is installed. */
static char *find_picture_program(GError **error)
{
	const char *named = g_getenv("ORIEL_GPU");
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
	g_autofree char *beside = g_build_filename(folder, "oriel-gpu", NULL);

	if (named) {
		return g_strdup(named);
	}
	if (access(beside, X_OK) == 0) {
		return g_steal_pointer(&beside);
	}
	if (access(ORIEL_LIBEXECDIR "/oriel-gpu", X_OK) == 0) {
		return g_strdup(ORIEL_LIBEXECDIR "/oriel-gpu");
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
			"oriel-gpu is neither at '%s' nor at '" ORIEL_LIBEXECDIR
			"/oriel-gpu' (ORIEL_GPU=PATH names it)",
			beside);
	return NULL;
}

static void add_argument(GPtrArray *arguments, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void add_argument(GPtrArray *arguments, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(arguments, g_strdup_vprintf(format, args));
	va_end(args);
}

static void add_display_arguments(GPtrArray *arguments, const struct options *options)
{
	switch (options->display.kind) {
	case OPTION_DISPLAY_NONE:
		add_argument(arguments, "--display=none");
		break;
	case OPTION_DISPLAY_SDL:
		add_argument(arguments, "--display=sdl");
		break;
	case OPTION_DISPLAY_EGL_HEADLESS:
		add_argument(arguments, "--display=egl-headless");
		break;
	case OPTION_DISPLAY_DEFAULT:
	default:
		add_argument(arguments, "--display=%s", options->no_graphic ? "none" : "default");
		break;
	}
	if (options->display.kind == OPTION_DISPLAY_SDL && !options->display.gl) {
		add_argument(arguments, "--no-gl");
	}
	if (options->display.render_node) {
		add_argument(arguments, "--rendernode=%s", options->display.render_node);
	}
	add_argument(arguments, "--title=%s", options->name ? options->name : "Oriel");
}

/* The picture's default is the machine's. */
static void add_sandbox_argument(GPtrArray *arguments, const struct sandbox_config *config)
{
	if (config->required || !config->on) {
		add_argument(arguments, "--sandbox=%s", config->on ? "on" : "off");
	}
}

/* What of -d and -D concerns the picture. */
static void add_log_arguments(GPtrArray *arguments, const struct options *options)
{
	bool faults = options->log_items & LOG_ITEM_GUEST_ERRORS;
	bool debug = options->log_items & LOG_ITEM_DEBUG;

	if (faults || debug) {
		add_argument(arguments, "--log=%s%s%s", faults ? "guest_errors" : "",
				faults && debug ? "," : "", debug ? "debug" : "");
	}
	if (options->log_file) {
		add_argument(arguments, "--log-file=%s", options->log_file);
	}
}

/* A guest switches its heads off before it ends: what is to be taken then must be kept. */
static bool wants_last_picture(const struct options *options)
{
	for (unsigned i = 0; i < options->screendumps->len; i++) {
		if (g_array_index(options->screendumps, struct option_screendump, i).when ==
				OPTION_SCREENDUMP_EXIT) {
			return true;
		}
	}
	return false;
}

static bool start_picture(struct devices *devices, struct virtio_gpu_pci *gpu,
		struct virtio_gpu_host *host, GError **error)
{
	const struct device_class *device_class = gpu->transport.pci.base.device_class;
	g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *program = find_picture_program(error);

	if (!program) {
		return false;
	}
	add_argument(arguments, "--backend=%s",
			device_class == &virtio_gpu_gl_pci_class ? "virgl" : "2d");
	add_argument(arguments, "--max-outputs=%u", gpu->config.max_outputs);
	add_argument(arguments, "--xres=%u", gpu->config.xres);
	add_argument(arguments, "--yres=%u", gpu->config.yres);
	add_argument(arguments, "--max-hostmem=%" G_GUINT64_FORMAT, gpu->config.max_hostmem);
	add_argument(arguments, "--max-contexts=%u", gpu->config.max_contexts);
	add_argument(arguments, "--max-resources=%u", gpu->config.max_resources);
	add_argument(arguments, "--max-request=%" G_GUINT64_FORMAT, gpu->config.max_request);
	add_argument(arguments, "--max-shader=%" G_GUINT64_FORMAT, gpu->config.max_shader);
	add_argument(arguments, "--hang-time=%u", gpu->config.hang_time);
	if (!gpu->config.edid) {
		add_argument(arguments, "--no-edid");
	}
	if (wants_last_picture(devices->options)) {
		add_argument(arguments, "--keep-last");
	}
	add_display_arguments(arguments, devices->options);
	add_log_arguments(arguments, devices->options);
	add_sandbox_argument(arguments, &devices->options->sandbox);
	g_ptr_array_add(arguments, NULL);
	if (!virtio_gpu_pci_start_picture(gpu, program,
			    (const char *const *)(void *)arguments->pdata, host, error)) {
		g_prefix_error(error, "%s", g_getenv("ORIEL_GPU") ? "ORIEL_GPU: " : "");
		return false;
	}
	return true;
}

/* GPUs first: their processes get ready while the rest is built. */
static bool create_gpus(struct devices *devices, struct virtio_gpu_host *host, GError **error)
{
	for (unsigned i = 0; i < devices->pending->len; i++) {
		struct device *device = devices->pending->pdata[i];
		if (!device_is_virtio_gpu(device)) {
			continue;
		}
		struct virtio_gpu_pci *gpu = container_of(
				device, struct virtio_gpu_pci, transport.pci.base);
		if (!start_picture(devices, gpu, host, error)) {
			return false;
		}
		if (!devices->gpu) {
			devices->gpu = gpu;
		}
	}
	return true;
}

/* The pending device of a class, NULL if there is none. */
static struct device *find_pending(
		const struct devices *devices, const struct device_class *device_class)
{
	for (unsigned i = 0; i < devices->pending->len; i++) {
		struct device *device = devices->pending->pdata[i];
		if (device->device_class == device_class) {
			return device;
		}
	}
	return NULL;
}

static void add_default(struct devices *devices, const struct device_class *device_class)
{
	if (!find_pending(devices, device_class)) {
		g_ptr_array_add(devices->pending, device_create(device_class));
	}
}

static void add_defaults(struct devices *devices)
{
	add_default(devices, &virtio_rng_pci_class);
	add_default(devices, &pvpanic_class);
	if (devices->gpu) {
		add_default(devices, &virtio_keyboard_pci_class);
		add_default(devices, &virtio_tablet_pci_class);
	}
}

struct devices *devices_create(
		const struct options *options, struct virtio_gpu_host *host, GError **error)
{
	struct devices *devices = g_new0(struct devices, 1);

	devices->options = options;
	devices->blocks = g_ptr_array_new();
	devices->pending = g_ptr_array_new();
	if (!open_drives(devices, error) || !create_named(devices, error) ||
			!check_drives_used(devices, error) || !create_gpus(devices, host, error)) {
		devices_destroy(devices);
		return NULL;
	}
	if (!options->no_defaults) {
		add_defaults(devices);
	}
	devices->keyboard = find_pending(devices, &virtio_keyboard_pci_class);
	devices->pointer = find_pending(devices, &virtio_tablet_pci_class);
	return devices;
}

bool devices_realize(struct devices *devices, struct pc *pc, GError **error)
{
	while (devices->pending->len > 0) {
		struct device *device = devices->pending->pdata[0];
		if (!pc_add_device(pc, device, error)) {
			g_prefix_error(error, "-device ");
			return false;
		}
		g_ptr_array_remove_index(devices->pending, 0);
	}
	return true;
}

unsigned devices_outputs(const struct devices *devices)
{
	return devices->gpu ? devices->gpu->config.max_outputs : 0;
}

struct picture *devices_picture(const struct devices *devices)
{
	return devices->gpu ? devices->gpu->picture : NULL;
}

void devices_input(struct devices *devices, const struct control_input *input)
{
	struct device *targets[] = {devices->keyboard, devices->pointer};

	for (unsigned i = 0; i < G_N_ELEMENTS(targets); i++) {
		if (targets[i]) {
			virtio_input_send(targets[i], (enum virtio_input_kind)input->kind,
					input->code, input->value);
		}
	}
}

void devices_destroy(struct devices *devices)
{
	if (!devices) {
		return;
	}
	for (unsigned i = 0; i < devices->pending->len; i++) {
		device_destroy(devices->pending->pdata[i]);
	}
	for (unsigned i = 0; i < devices->blocks->len; i++) {
		block_close(devices->blocks->pdata[i]);
	}
	g_ptr_array_unref(devices->pending);
	g_ptr_array_unref(devices->blocks);
	g_free(devices);
}
