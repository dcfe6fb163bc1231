/* SPDX-License-Identifier: MIT */
/*
 * The displays there are, for the table of names in display.c. Each fails with an error that names
 * what is missing.
 */
#ifndef DISPLAY_DISPLAYS_H
#define DISPLAY_DISPLAYS_H

#include "display/display.h"

/* Shows nothing. With config->gl it still has an egl, so that a 3D GPU works under it. */
struct display *none_display_create(const struct display_config *config, GError **error);

/* The same, but GL is its purpose: it always has an egl. */
struct display *egl_headless_display_create(const struct display_config *config, GError **error);

/* Windows; only where built with SDL. */
struct display *sdl_display_create(const struct display_config *config, GError **error);

#endif
