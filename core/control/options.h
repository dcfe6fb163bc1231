/* SPDX-License-Identifier: MIT */
/*
 * The command line of the machine: QEMU's names and syntax where QEMU has the feature. Parsing checks what can be checked without
 * opening anything; every error is one line that names the option, the value and what would be accepted. Main thread.
 */
#ifndef CORE_CONTROL_OPTIONS_H
#define CORE_CONTROL_OPTIONS_H

#include "core/base/base.h"
#include "core/control/keyval.h"
#include "core/device/device.h"
#include "core/engine/cpu_model.h"
#include "core/sandbox/sandbox.h"

#define OPTIONS_MAX_SERIALS 4
#define OPTIONS_DEFAULT_MEMORY (512 * MiB)

/* What this program has, so that wrong names are found and help is complete. */
struct options_context {
	const char *program; /* as it was called */
	const char *version; /* one line for -version */
	const struct device_class *const *classes; /* NULL-terminated; what -device may name */
	const char *const *accels; /* NULL-terminated, best first */
	unsigned max_cpus;
};

enum option_drive_interface {
	OPTION_DRIVE_VIRTIO, /* makes a virtio-blk-pci by itself */
	OPTION_DRIVE_NONE, /* for a -device with drive=ID */
};

struct option_drive {
	char *file;
	char *id; /* may be NULL */
	unsigned interface; /* enum option_drive_interface */
	unsigned format; /* 0: raw, the only one */
	unsigned aio; /* index into the names of -drive aio=: auto, threads, io_uring */
	unsigned discard; /* index into ignore, unmap, off, on: odd ones free space of the image */
	bool snapshot; /* writes are forgotten in the end */
	bool read_only;
	unsigned devices_before; /* how many -device came before it on the command line */
};

struct option_device {
	const struct device_class *device_class;
	char *id; /* may be NULL */
	struct keyval properties; /* checked against the class */
};

enum option_display_kind {
	OPTION_DISPLAY_DEFAULT, /* the program chooses */
	OPTION_DISPLAY_NONE,
	OPTION_DISPLAY_SDL,
	OPTION_DISPLAY_EGL_HEADLESS,
};

struct option_display {
	enum option_display_kind kind;
	bool gl; /* of sdl */
	char *render_node; /* of egl-headless; NULL: the program chooses */
};

enum option_screendump_when {
	OPTION_SCREENDUMP_EXIT,
	OPTION_SCREENDUMP_SERIAL, /* when the first serial port wrote text */
	OPTION_SCREENDUMP_TIME,
	OPTION_SCREENDUMP_FRAME,
};

struct option_screendump {
	char *file;
	uint32_t head;
	enum option_screendump_when when;
	char *text; /* of SERIAL, else NULL */
	int64_t time_ns; /* of TIME */
	uint64_t frame; /* of FRAME, from 1 on */
};

enum option_translate {
	OPTION_TRANSLATE_OFF,
	OPTION_TRANSLATE_ON,
	OPTION_TRANSLATE_CHECK, /* and compared with the interpreter: one processor only */
};

struct options {
	char *name; /* of the machine; may be NULL */
	char *accel; /* NULL: the best that works */
	enum option_translate translate; /* soft */
	bool perf_map; /* soft: names of translated code for perf */
	uint64_t tb_size; /* soft: bytes of translated code, for all processors */
	bool no_fsgsbase; /* soft: as on a host without these instructions */
	uint64_t memory; /* bytes, whole pages */
	unsigned cpus;
	struct cpu_model cpu;

	char *kernel, *initrd, *append; /* may be NULL */
	GArray *drives; /* struct option_drive */
	GArray *devices; /* struct option_device */
	struct option_display display;
	GPtrArray *serials; /* char *, for chardev_open(), in the order of the ports */
	GArray *screendumps; /* struct option_screendump */

	bool no_defaults; /* only the devices that were named */
	bool no_graphic;
	bool no_reboot; /* a reset ends the program */
	bool start_paused;
	char *gdb; /* "tcp:HOST:PORT", HOST may be empty; NULL: no debugger */
	char *qmp; /* for chardev_open(); NULL: none */
	struct sandbox_config sandbox; /* required: on was asked for */
	uint32_t log_items; /* enum log_item, bits */
	char *log_file; /* may be NULL */
};

enum options_result {
	OPTIONS_RUN,
	OPTIONS_TEXT, /* *ret_text is to be printed, then the program ends with success */
	OPTIONS_ERROR,
};

/* *ret_options is filled in any case and wants options_clear(); *ret_text belongs to the caller. */
enum options_result options_parse(const struct options_context *context, int argc, char **argv,
		struct options *ret_options, char **ret_text, GError **error);
void options_clear(struct options *options);

/* A device as the option describes it, not realized. */
struct device *option_device_create(const struct option_device *option, GError **error);

#endif
