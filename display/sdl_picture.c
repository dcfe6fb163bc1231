/* SPDX-License-Identifier: MIT */
#include "display/sdl_picture.h"

#include "display/pixel.h"

#include <epoxy/gl.h>

void sdl_picture_clear(struct sdl_picture *picture)
{
	SDL_FreeSurface(picture->surface);
	if (picture->texture != 0) {
		glDeleteFramebuffers(1, &picture->framebuffer);
		glDeleteFramebuffers(1, &picture->source_framebuffer);
		glDeleteTextures(1, &picture->texture);
	}
	*picture = (struct sdl_picture){0};
}

/* All of the head where the picture is new, else damage as far as it is inside. */
static struct rect clip(const struct rect *damage, uint32_t width, uint32_t height, bool whole)
{
	struct rect r = {0, 0, width, height};

	if (whole || !damage) {
		return r;
	}
	r = *damage;
	r.x = MIN(r.x, width);
	r.y = MIN(r.y, height);
	r.width = MIN(r.width, width - r.x);
	r.height = MIN(r.height, height - r.y);
	return r;
}

/* Pixels. */

/* Row y of the head, as the frame has it. */
static const uint8_t *frame_row(const struct display_frame *frame, uint32_t y)
{
	uint32_t row = frame->source.y + y;

	if (frame->y_inverted) {
		row = frame->image_height - 1 - row;
	}
	return (const uint8_t *)frame->pixels + (size_t)row * frame->stride;
}

static bool resize_surface(struct sdl_picture *picture, uint32_t width, uint32_t height)
{
	SDL_Surface *surface = SDL_CreateRGBSurfaceWithFormat(
			0, (int)width, (int)height, 32, SDL_PIXELFORMAT_RGB888);

	if (!surface) {
		return false;
	}
	SDL_FreeSurface(picture->surface);
	picture->surface = surface;
	picture->width = width;
	picture->height = height;
	return true;
}

bool sdl_picture_take_pixels(struct sdl_picture *picture, const struct display_frame *frame,
		const struct rect *damage)
{
	uint32_t width = frame->source.width, height = frame->source.height;
	bool fresh = picture->width != width || picture->height != height;

	if (fresh && !resize_surface(picture, width, height)) {
		return false;
	}
	struct rect r = clip(damage, width, height, fresh);
	for (uint32_t y = r.y; y < r.y + r.height; y++) {
		uint8_t *to = (uint8_t *)picture->surface->pixels +
			      (size_t)y * (size_t)picture->surface->pitch;
		const uint8_t *from = frame_row(frame, y) + (size_t)(frame->source.x + r.x) * 4;
		pixel_row_to_bgrx((uint32_t *)to + r.x, from, r.width, frame->format);
	}
	return true;
}

void sdl_picture_draw_pixels(
		struct sdl_picture *picture, SDL_Window *window, const struct rect *damage)
{
	SDL_Surface *target = SDL_GetWindowSurface(window);

	if (!target) {
		return; /* the window is gone or has no area */
	}
	if (!picture->surface) {
		(void)SDL_FillRect(target, NULL, 0); /* fails for no surface only, as all below */
		(void)SDL_UpdateWindowSurface(window);
		return;
	}
	if ((uint32_t)target->w != picture->width || (uint32_t)target->h != picture->height) {
		(void)SDL_BlitScaled(picture->surface, NULL, target, NULL);
		(void)SDL_UpdateWindowSurface(window);
		return;
	}
	struct rect r = clip(damage, picture->width, picture->height, false);
	SDL_Rect area = {(int)r.x, (int)r.y, (int)r.width, (int)r.height};
	SDL_Rect to = area;
	(void)SDL_BlitSurface(picture->surface, &area, target, &to);
	(void)SDL_UpdateWindowSurfaceRects(window, &area, 1);
}

/* Textures. */

static bool resize_texture(struct sdl_picture *picture, uint32_t width, uint32_t height)
{
	if (picture->texture == 0) {
		glGenFramebuffers(1, &picture->framebuffer);
		glGenFramebuffers(1, &picture->source_framebuffer);
		glGenTextures(1, &picture->texture);
	}
	glBindTexture(GL_TEXTURE_2D, picture->texture);
	glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, (GLsizei)width, (GLsizei)height, 0, GL_RGBA,
			GL_UNSIGNED_BYTE, NULL);
	glBindFramebuffer(GL_FRAMEBUFFER, picture->framebuffer);
	glFramebufferTexture2D(
			GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, picture->texture, 0);
	picture->width = width;
	picture->height = height;
	return glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE;
}

/*
 * The renderer may write the texture again once the frame is released: until then the copy must be
 * done.
 */
static void wait_for_copy(void)
{
	GLsync sync = glFenceSync(GL_SYNC_GPU_COMMANDS_COMPLETE, 0);

	(void)glClientWaitSync(sync, GL_SYNC_FLUSH_COMMANDS_BIT, GL_TIMEOUT_IGNORED);
	glDeleteSync(sync);
}

static void copy_texture(struct sdl_picture *picture, const struct display_frame *frame,
		const struct rect *r)
{
	GLint left = (GLint)(frame->source.x + r->x), right = left + (GLint)r->width;
	GLint top = (GLint)(frame->source.y + r->y), bottom = top + (GLint)r->height;

	if (frame->y_inverted) {
		top = (GLint)frame->image_height - top;
		bottom = (GLint)frame->image_height - bottom;
	}
	glBindFramebuffer(GL_READ_FRAMEBUFFER, picture->source_framebuffer);
	glFramebufferTexture2D(GL_READ_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D,
			frame->texture, 0);
	glBindFramebuffer(GL_DRAW_FRAMEBUFFER, picture->framebuffer);
	glDisable(GL_SCISSOR_TEST);
	glBlitFramebuffer(left, top, right, bottom, (GLint)r->x, (GLint)r->y,
			(GLint)(r->x + r->width), (GLint)(r->y + r->height), GL_COLOR_BUFFER_BIT,
			GL_NEAREST);
	/* Else the attachment keeps a texture alive that its owner has deleted. */
	glFramebufferTexture2D(GL_READ_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, 0, 0);
	wait_for_copy();
}

static void upload_pixels(struct sdl_picture *picture, const struct display_frame *frame,
		const struct rect *r)
{
	g_autofree uint32_t *row = g_new(uint32_t, r->width);

	glBindTexture(GL_TEXTURE_2D, picture->texture);
	for (uint32_t y = r->y; y < r->y + r->height; y++) {
		const uint8_t *from = frame_row(frame, y) + (size_t)(frame->source.x + r->x) * 4;
		pixel_row_to_bgrx(row, from, r->width, frame->format);
		glTexSubImage2D(GL_TEXTURE_2D, 0, (GLint)r->x, (GLint)y, (GLsizei)r->width, 1,
				GL_BGRA, GL_UNSIGNED_BYTE, row);
	}
}

bool sdl_picture_take_texture(struct sdl_picture *picture, const struct display_frame *frame,
		const struct rect *damage)
{
	uint32_t width = frame->source.width, height = frame->source.height;
	bool fresh = picture->width != width || picture->height != height;

	if (fresh && !resize_texture(picture, width, height)) {
		return false;
	}
	struct rect r = clip(damage, width, height, fresh);
	if (rect_empty(&r)) {
		return true;
	}
	if (frame->kind == DISPLAY_IMAGE_TEXTURE) {
		copy_texture(picture, frame, &r);
	} else {
		upload_pixels(picture, frame, &r);
	}
	return true;
}

void sdl_picture_draw_texture(struct sdl_picture *picture, SDL_Window *window)
{
	int width = 0, height = 0;

	SDL_GL_GetDrawableSize(window, &width, &height);
	glBindFramebuffer(GL_DRAW_FRAMEBUFFER, 0);
	if (picture->texture == 0) {
		glClearColor(0, 0, 0, 1);
		glClear(GL_COLOR_BUFFER_BIT);
	} else {
		GLint w = (GLint)picture->width, h = (GLint)picture->height;
		bool same = w == width && h == height;
		glBindFramebuffer(GL_READ_FRAMEBUFFER, picture->framebuffer);
		/* Row 0 is the top one here and the bottom one of a window. */
		glBlitFramebuffer(0, h, w, 0, 0, 0, width, height, GL_COLOR_BUFFER_BIT,
				same ? GL_NEAREST : GL_LINEAR);
	}
	SDL_GL_SwapWindow(window);
}
