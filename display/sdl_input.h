/* SPDX-License-Identifier: MIT */
/* What users do, from SDL's names into Linux input events. The display's thread only. */
#ifndef DISPLAY_SDL_INPUT_H
#define DISPLAY_SDL_INPUT_H

#include "display/display.h"

#include <SDL2/SDL.h>
#include <linux/input-event-codes.h>

struct sdl_input {
	struct display_events *events;
	bool pressed[KEY_MAX + 1]; /* keys and buttons that the guest believes held */
};

/* KEY_* of a key by its place on the keyboard; 0 (KEY_RESERVED): Linux has none. */
uint16_t sdl_key_code(SDL_Scancode scancode);

/* BTN_* of a mouse button (SDL_BUTTON_*); 0: Linux has none. */
uint16_t sdl_button_code(uint8_t button);

/* A key or button; repeats and code 0 are dropped. */
void sdl_input_key(struct sdl_input *input, unsigned head, uint16_t code, bool down);

/* Lets go of everything: releases that go to another window are never seen here. */
void sdl_input_release_all(struct sdl_input *input, unsigned head);

/* The pointer is at x, y of a window of width x height. */
void sdl_input_motion(struct sdl_input *input, unsigned head, int x, int y, int width, int height);

void sdl_input_wheel(struct sdl_input *input, unsigned head, const SDL_MouseWheelEvent *wheel);

#endif
