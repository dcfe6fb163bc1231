/* SPDX-License-Identifier: MIT */
/*
 * What a window shows, kept apart from the frames it came from, so that those can be given back at
 * once and the window can be drawn again when it is uncovered or scaled. Two kinds: pixels in
 * memory, and a texture. The display's thread only.
 */
#ifndef DISPLAY_SDL_PICTURE_H
#define DISPLAY_SDL_PICTURE_H

#include "display/display.h"

#include <SDL2/SDL.h>

struct sdl_picture {
	uint32_t width, height; /* pixels; 0: nothing shown */
	SDL_Surface *surface; /* pixels */
	uint32_t texture, framebuffer; /* GL names, row 0 on top */
	uint32_t source_framebuffer;
};

/*
 * Takes over damage (in pixels of the head) of a frame. The frame is not needed any more
 * afterwards.
 */
bool sdl_picture_take_pixels(struct sdl_picture *picture, const struct display_frame *frame,
		const struct rect *damage);
/* The same into a texture, from a texture or pixels; a context of the share group is current. */
bool sdl_picture_take_texture(struct sdl_picture *picture, const struct display_frame *frame,
		const struct rect *damage);

/* Draws damage, or everything if NULL, scaled to the window. */
void sdl_picture_draw_pixels(
		struct sdl_picture *picture, SDL_Window *window, const struct rect *damage);
void sdl_picture_draw_texture(struct sdl_picture *picture, SDL_Window *window);

/* Shows nothing from now on. A context is current if there was a texture. */
void sdl_picture_clear(struct sdl_picture *picture);

#endif
