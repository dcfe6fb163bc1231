/* SPDX-License-Identifier: MIT */
/*
 * Heads, frames, cursors and input. A display shows finished frames somewhere (a window, nowhere
 * but on request) and reports what the user does. The GPU publishes frames; it never waits for a
 * display.
 */
#ifndef DISPLAY_DISPLAY_H
#define DISPLAY_DISPLAY_H

#include "core/base/base.h"
#include "core/base/checked.h"

#define DISPLAY_MAX_HEADS 16

struct display;
struct egl; /* display/egl.h */

/*
 * Memory order of the bytes of a pixel, as DRM fourcc codes do; the first is at the lowest address.
 */
enum pixel_format {
	PIXEL_BGRA, /* DRM_FORMAT_ARGB8888 */
	PIXEL_BGRX,
	PIXEL_ARGB,
	PIXEL_XRGB,
	PIXEL_RGBA,
	PIXEL_XBGR,
	PIXEL_ABGR,
	PIXEL_RGBX,
	PIXEL_FORMAT_COUNT,
};

enum display_image_kind {
	DISPLAY_IMAGE_PIXELS = 1 << 0,
	DISPLAY_IMAGE_TEXTURE = 1 << 1, /* a GL texture of the egl's share group */
	DISPLAY_IMAGE_NONE = 1 << 2, /* no image: for displays that show nothing */
};

/*
 * An image that a head shows. It belongs to the GPU until released is called, exactly once for each
 * frame handed to display_present(), from any thread. The image is complete: all work on it has
 * signalled.
 */
struct display_frame {
	enum display_image_kind kind;
	enum pixel_format format; /* of PIXELS */
	uint32_t image_width, image_height; /* pixels, of the whole image */
	struct rect source; /* the part the head shows; inside the image */
	bool y_inverted; /* row 0 of the image is the bottom one (GL origin) */

	const void *pixels; /* PIXELS: first byte of row 0 */
	uint32_t stride; /* PIXELS: bytes */
	uint32_t texture; /* TEXTURE: GL name, GL_TEXTURE_2D */

	void (*released)(struct display_frame *frame);
};

/* A pointer image: 64x64 BGRA, straight alpha as guests send it, rows top down. */
struct display_cursor {
	uint32_t width, height;
	uint32_t hot_x, hot_y;
	uint32_t pixels[64 * 64];
};

/* Linux input event codes (linux/input-event-codes.h), so that nobody translates twice. */
enum display_input_kind {
	DISPLAY_INPUT_KEY, /* code KEY_* or BTN_*, value 1 down, 0 up */
	DISPLAY_INPUT_ABS, /* code ABS_X or ABS_Y, value 0..0x7fff over the head */
	DISPLAY_INPUT_REL, /* code REL_WHEEL, REL_HWHEEL */
	DISPLAY_INPUT_SYNC,
};

struct display_input {
	uint16_t kind; /* enum display_input_kind */
	uint16_t code;
	int32_t value;
};

/* Called on the display's thread; post, do not block. All required. */
struct display_events {
	void (*input)(struct display_events *events, unsigned head,
			const struct display_input *input);
	/* The user resized a window: the head would like this mode. 0x0: the head was closed. */
	void (*mode)(struct display_events *events, unsigned head, uint32_t width, uint32_t height);
	/* The user closed the last window. */
	void (*closed)(struct display_events *events);
};

struct display_config {
	const char *title; /* of windows: the VM's name */
	unsigned heads; /* 1..DISPLAY_MAX_HEADS */
	uint32_t width, height; /* initial mode of head 0, pixels */
	bool gl; /* the GPU renders with GL: contexts are needed, textures may be presented */
	bool pixels_only; /* present pixels even so */
	const char *render_node; /* path, or NULL: choose */
	struct display_events *events;
};

/*
 * Shows finished frames somewhere. Calls post to the display's own thread and return at once; any
 * thread.
 */
struct display_impl {
	const char *name;
	uint32_t accepts; /* enum display_image_kind, one bit each, when gl is on; PIXELS always */

	/*
	 * Shows frame on a head. damage is in pixels of the head, origin top left; NULL means all
	 * of it. One frame in flight a head, newest wins. Required.
	 */
	void (*present)(struct display *display, unsigned head, struct display_frame *frame,
			const struct rect *damage);
	/* The head shows nothing from now on; a frame it held is released. Required. */
	void (*disable)(struct display *display, unsigned head);
	/* NULL hides the cursor. The image is copied. Required. */
	void (*set_cursor)(struct display *display, unsigned head,
			const struct display_cursor *cursor);
	/* In pixels of the head: where the hotspot is. Required. */
	void (*move_cursor)(struct display *display, unsigned head, int32_t x, int32_t y);
	void (*destroy)(struct display *display); /* required */
};

struct display {
	const struct display_impl *impl;
	struct egl *egl; /* where contexts come from; NULL without GL. Owned by the display */
	uint32_t accepts; /* of this instance */
};

/*
 * Opens the named display ("none", "egl-headless", "sdl"). NULL with an error that names what is
 * missing.
 */
struct display *display_create(
		const char *name, const struct display_config *config, GError **error);
void display_destroy(struct display *display); /* may be NULL */

void display_present(struct display *display, unsigned head, struct display_frame *frame,
		const struct rect *damage /* may be NULL */);
void display_disable(struct display *display, unsigned head);
void display_set_cursor(struct display *display, unsigned head,
		const struct display_cursor *cursor /* may be NULL */);
void display_move_cursor(struct display *display, unsigned head, int32_t x, int32_t y);

#endif
