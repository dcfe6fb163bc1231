/* SPDX-License-Identifier: MIT */
/*
 * The picture that proves a renderer works: a blue square with a triangle in it, red at the top,
 * green below on both sides. One stream draws all of it in a context without any state. /
 */
#ifndef TESTS_HARNESS_TRIANGLE_H
#define TESTS_HARNESS_TRIANGLE_H

#include "guest-drivers/bare/gallium.h"
#include "tests/harness/picture_client.h"

#define TRIANGLE_SIZE 256u /* pixels, both ways */
#define TRIANGLE_STRIDE (TRIANGLE_SIZE * 4) /* bytes */

/* Resources of the stream. */
enum { TRIANGLE_TARGET = 1, TRIANGLE_VERTICES = 2 };
/* Objects it creates. */
enum {
	TRIANGLE_SURFACE = 1,
	TRIANGLE_BLEND,
	TRIANGLE_DSA,
	TRIANGLE_RASTERIZER,
	TRIANGLE_VERTEX_SHADER,
	TRIANGLE_FRAGMENT_SHADER,
	TRIANGLE_ELEMENTS,
};

/* State, clear and draw. */
void triangle_encode(struct gallium *g);

/*
 * Creates context and resources, the target with a backing at PICTURE_DATA. False if anything was
 * refused.
 */
bool triangle_setup(struct picture_client *client, uint32_t ctx);

/* The stream in a context that was set up. */
bool triangle_draw(struct picture_client *client, uint32_t ctx);

/* Reads the target back and looks at it. */
bool triangle_is_right(struct picture_client *client, uint32_t ctx);

/* Drops context and resources. */
bool triangle_teardown(struct picture_client *client, uint32_t ctx);

#endif
