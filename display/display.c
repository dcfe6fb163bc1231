/* SPDX-License-Identifier: MIT */
#include "display/display.h"

void display_destroy(struct display *display)
{
	if (display) {
		display->impl->destroy(display);
	}
}

void display_present(struct display *display, unsigned head, struct display_frame *frame,
		const struct rect *damage)
{
	assert(frame->released);
	assert(frame->kind & display->accepts);
	assert(rect_within(&frame->source, frame->image_width, frame->image_height));
	display->impl->present(display, head, frame, damage);
}

void display_disable(struct display *display, unsigned head)
{
	display->impl->disable(display, head);
}

void display_set_cursor(struct display *display, unsigned head, const struct display_cursor *cursor)
{
	assert(!cursor || (size_t)cursor->width * cursor->height <= G_N_ELEMENTS(cursor->pixels));
	display->impl->set_cursor(display, head, cursor);
}

void display_move_cursor(struct display *display, unsigned head, int32_t x, int32_t y)
{
	display->impl->move_cursor(display, head, x, y);
}
