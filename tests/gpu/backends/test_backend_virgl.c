/* SPDX-License-Identifier: MIT */
#include "gpu/backends/virgl_format.h"
#include "tests/harness/test.h"
#include "tests/gpu/backends/virgl_fixture.h"

#include "display/egl.h"

#include <epoxy/gl.h>
#include <string.h>

enum { PICTURE = 20, OTHER_CONTEXT = 2 };

#define WIDTH 8u
#define HEIGHT 4u

/* Capability sets and contexts. */

static void capsets_are_virgl_and_virgl2(void **state)
{
	struct virgl_fixture *fixture = *state;
	uint32_t id, version, size;

	assert_int_equal(gpu_backend_virgl.capset_count(fixture->backend), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(gpu_backend_virgl.capset_info(
				fixture->backend, i, &id, &version, &size));
		assert_int_equal(id, i == 0 ? VIRTIO_GPU_CAPSET_VIRGL : VIRTIO_GPU_CAPSET_VIRGL2);
		g_autofree uint32_t *caps = g_malloc0(size);
		assert_true(gpu_backend_virgl.capset(fixture->backend, id, version, caps));
		assert_int_equal(caps[0], version); /* max_version */
		assert_false(gpu_backend_virgl.capset(fixture->backend, id, version + 1, caps));
	}
	assert_false(gpu_backend_virgl.capset_info(fixture->backend, 2, &id, &version, &size));
	assert_false(gpu_backend_virgl.capset(fixture->backend, 4 /* venus */, 0, &size));
}

static void context_init_takes_virgl_only(void **state)
{
	static const struct {
		uint32_t context_init;
		uint32_t expect;
	} cases[] = {
			{0, 0},
			{1, 0},
			{2, 0},
			{3, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{4, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{6, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{0x102, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
	};
	struct virgl_fixture *fixture = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		assert_int_equal(gpu_backend_virgl.ctx_create(fixture->backend, OTHER_CONTEXT,
						 cases[i].context_init, "other"),
				cases[i].expect);
		if (cases[i].expect == 0) {
			gpu_backend_virgl.ctx_destroy(fixture->backend, OTHER_CONTEXT);
		}
	}
}

static uint32_t submit_clear(struct virgl_fixture *fixture, uint32_t ctx_id, uint32_t handle)
{
	const float black[4] = {0, 0, 0, 1};
	uint32_t words[64];
	struct gallium g;

	gallium_init(&g, words, G_N_ELEMENTS(words));
	gallium_create_surface(&g, handle, PICTURE, VIRGL_FORMAT_B8G8R8A8_UNORM);
	gallium_set_framebuffer(&g, &handle, 1, 0);
	gallium_clear(&g, VIRGL_CLEAR_COLOR0, black, 1.0);
	return gpu_backend_virgl.submit(
			fixture->backend, ctx_id, g.words, g.count * sizeof(*g.words));
}

static void creating_a_context_leaves_the_others_alone(void **state)
{
	struct virgl_fixture *fixture = *state;
	struct gpu_backend *backend = fixture->backend;

	virgl_fixture_texture(fixture, PICTURE, VIRGL_FORMAT_B8G8R8A8_UNORM, WIDTH, HEIGHT, 0);
	assert_int_equal(submit_clear(fixture, VIRGL_FIXTURE_CONTEXT, 1), 0);
	assert_int_equal(gpu_backend_virgl.ctx_create(backend, OTHER_CONTEXT, 2, "other"), 0);
	assert_int_equal(submit_clear(fixture, VIRGL_FIXTURE_CONTEXT, 2), 0);
	gpu_backend_virgl.ctx_attach(backend, OTHER_CONTEXT, PICTURE);
	assert_int_equal(submit_clear(fixture, OTHER_CONTEXT, 1), 0);
	gpu_backend_virgl.ctx_destroy(backend, OTHER_CONTEXT);
	assert_int_equal(submit_clear(fixture, VIRGL_FIXTURE_CONTEXT, 3), 0);
	assert_int_equal(submit_clear(fixture, OTHER_CONTEXT, 1),
			VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

static void bad_stream_fails_and_the_next_works(void **state)
{
	struct virgl_fixture *fixture = *state;
	uint32_t bad[] = {VIRGL_HEADER(0xfe, 0, 0)};

	virgl_fixture_texture(fixture, PICTURE, VIRGL_FORMAT_B8G8R8A8_UNORM, WIDTH, HEIGHT, 0);
	assert_int_equal(gpu_backend_virgl.submit(
					 fixture->backend, VIRGL_FIXTURE_CONTEXT, bad, sizeof(bad)),
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(submit_clear(fixture, VIRGL_FIXTURE_CONTEXT, 1), 0);
	assert_int_equal(gpu_backend_virgl.submit(fixture->backend, VIRGL_FIXTURE_CONTEXT, bad, 0),
			0);
}

/* Fences. */

static void fence(struct virgl_fixture *fixture, struct gpu_timeline_id timeline, uint64_t seq)
{
	assert_int_equal(gpu_backend_virgl.fence(fixture->backend, timeline, seq), 0);
}

static bool has_signalled(
		struct virgl_fixture *fixture, const struct gpu_timeline_id *timeline, uint64_t seq)
{
	for (unsigned i = 0; i < fixture->signalled->len; i++) {
		const struct virgl_signal *signal = &g_array_index(
				fixture->signalled, struct virgl_signal, i);
		if (signal->timeline.global == timeline->global &&
				signal->timeline.ctx_id == timeline->ctx_id &&
				signal->timeline.ring == timeline->ring && signal->seq == seq) {
			return true;
		}
	}
	return false;
}

static const struct gpu_timeline_id global = {.global = true};
static const struct gpu_timeline_id ring0 = {.ctx_id = VIRGL_FIXTURE_CONTEXT};
static const struct gpu_timeline_id ring9 = {.ctx_id = VIRGL_FIXTURE_CONTEXT, .ring = 9};
static const struct gpu_timeline_id other_ring = {.ctx_id = OTHER_CONTEXT};

/* Each fence signals exactly once, on its own timeline, with its own 64-bit number. */
static void timelines_are_apart(void **state)
{
	struct virgl_fixture *fixture = *state;
	const uint64_t large = UINT64_C(0x123456789abcdef0);

	virgl_fixture_texture(fixture, PICTURE, VIRGL_FORMAT_B8G8R8A8_UNORM, WIDTH, HEIGHT, 0);
	assert_int_equal(gpu_backend_virgl.ctx_create(fixture->backend, OTHER_CONTEXT, 2, "other"),
			0);
	gpu_backend_virgl.ctx_attach(fixture->backend, OTHER_CONTEXT, PICTURE);
	assert_int_equal(submit_clear(fixture, VIRGL_FIXTURE_CONTEXT, 1), 0);
	assert_int_equal(submit_clear(fixture, OTHER_CONTEXT, 1), 0);
	fence(fixture, ring0, large);
	fence(fixture, ring9, 1);
	fence(fixture, other_ring, 3);
	fence(fixture, global, 2);
	virgl_fixture_wait(fixture, 4);
	assert_true(has_signalled(fixture, &ring0, large));
	assert_true(has_signalled(fixture, &ring9, 1));
	assert_true(has_signalled(fixture, &other_ring, 3));
	assert_true(has_signalled(fixture, &global, 2));
	assert_int_equal(fixture->signalled->len, 4);
}

/* Nothing that signalled may be lost while the renderer's thread waits and contexts go. */
static void destroying_a_context_retires_nobody_else(void **state)
{
	struct virgl_fixture *fixture = *state;
	unsigned expected = 0;

	virgl_fixture_texture(fixture, PICTURE, VIRGL_FORMAT_B8G8R8A8_UNORM, WIDTH, HEIGHT, 0);
	for (uint64_t i = 1; i <= 20; i++) {
		assert_int_equal(gpu_backend_virgl.ctx_create(
						 fixture->backend, OTHER_CONTEXT, 2, "other"),
				0);
		gpu_backend_virgl.ctx_attach(fixture->backend, OTHER_CONTEXT, PICTURE);
		assert_int_equal(submit_clear(fixture, OTHER_CONTEXT, 1), 0);
		fence(fixture, other_ring, i);
		fence(fixture, ring0, i);
		fence(fixture, global, i);
		gpu_backend_virgl.ctx_destroy(fixture->backend, OTHER_CONTEXT);
		assert_true(has_signalled(fixture, &other_ring, i));
		expected += 3;
	}
	virgl_fixture_wait(fixture, expected);
	for (uint64_t i = 1; i <= 20; i++) {
		assert_true(has_signalled(fixture, &ring0, i));
		assert_true(has_signalled(fixture, &global, i));
	}
	assert_int_equal(fixture->signalled->len, expected);
}

static void fences_work_after_a_reset(void **state)
{
	struct virgl_fixture *fixture = *state;

	fence(fixture, ring0, 1);
	virgl_fixture_wait(fixture, 1);
	fence(fixture, ring0, 2); /* outstanding: dies with the device */
	virgl_fixture_reset(fixture);
	g_array_set_size(fixture->signalled, 0);
	fence(fixture, ring0, 1);
	fence(fixture, global, 1);
	virgl_fixture_wait(fixture, 2);
	assert_true(has_signalled(fixture, &ring0, 1));
	assert_true(has_signalled(fixture, &global, 1));
	assert_int_equal(gpu_backend_virgl.fence(fixture->backend, other_ring, 1),
			VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

/* Pictures. */

static const struct {
	uint32_t format;
	enum pixel_format pixel;
	bool opaque; /* the fourth byte means nothing */
} formats_2d[] = {
		{VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, PIXEL_BGRA, false},
		{VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, PIXEL_BGRX, true},
		{VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, PIXEL_ARGB, false},
		{VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, PIXEL_XRGB, true},
		{VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, PIXEL_RGBA, false},
		{VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, PIXEL_XBGR, true},
		{VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, PIXEL_ABGR, false},
		{VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, PIXEL_RGBX, true},
};

static void create_2d(struct virgl_fixture *fixture, uint32_t format)
{
	const struct gpu_resource_desc desc = {
			.id = PICTURE,
			.format = format,
			.width = WIDTH,
			.height = HEIGHT,
			.is_2d = true,
	};

	assert_int_equal(gpu_backend_virgl.resource_create(fixture->backend, &desc), 0);
}

/* Bytes that differ everywhere. */
static void fill_pattern(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (uint8_t)(i * 2 + 1);
	}
}

/* Uploads the pattern through a backing of two pieces. */
static void upload(struct virgl_fixture *fixture, uint8_t *bytes)
{
	struct iovec iov[] = {{bytes, 40}, {bytes + 40, WIDTH * HEIGHT * 4 - 40}};
	const struct gpu_transfer transfer = {
			.resource_id = PICTURE,
			.box = {0, 0, 0, WIDTH, HEIGHT, 1},
			.stride = WIDTH * 4,
	};

	assert_int_equal(gpu_backend_virgl.backing_attach(fixture->backend, PICTURE, iov, 2), 0);
	assert_int_equal(gpu_backend_virgl.transfer_to_host(fixture->backend, &transfer), 0);
	gpu_backend_virgl.backing_detach(fixture->backend, PICTURE);
}

static void all_2d_formats_read_back_as_written(void **state)
{
	struct virgl_fixture *fixture = *state;
	uint8_t pattern[WIDTH * HEIGHT * 4];

	fill_pattern(pattern, sizeof(pattern));
	for (unsigned i = 0; i < G_N_ELEMENTS(formats_2d); i++) {
		enum pixel_format format;
		create_2d(fixture, formats_2d[i].format);
		upload(fixture, pattern);
		g_autofree uint32_t *pixels = virgl_fixture_read(
				fixture, PICTURE, WIDTH, HEIGHT, &format);
		assert_int_equal(format, formats_2d[i].pixel);
		const uint8_t *bytes = (const uint8_t *)pixels;
		unsigned x = format == PIXEL_XRGB || format == PIXEL_XBGR ? 0 : 3;
		for (unsigned j = 0; j < sizeof(pattern); j++) {
			if (formats_2d[i].opaque && j % 4 == x) {
				continue;
			}
			if (bytes[j] != pattern[j]) {
				fail_msg("format %u, byte %u: %u", formats_2d[i].format, j,
						bytes[j]);
			}
		}
		gpu_backend_virgl.resource_destroy(fixture->backend, PICTURE);
	}
}

static void part_of_a_2d_picture_is_transferred(void **state)
{
	struct virgl_fixture *fixture = *state;
	uint32_t source[WIDTH * HEIGHT], black[WIDTH * HEIGHT] = {0};
	struct iovec iov = {source, sizeof(source)};
	enum pixel_format format;
	/* The rectangle (2,1)-(5,3) of a guest's image; its stride is the image's. */
	const struct gpu_transfer transfer = {
			.resource_id = PICTURE,
			.box = {2, 1, 0, 3, 2, 1},
			.offset = (1 * WIDTH + 2) * 4,
	};

	for (unsigned i = 0; i < WIDTH * HEIGHT; i++) {
		source[i] = 0xff000000u | i;
	}
	create_2d(fixture, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	upload(fixture, (uint8_t *)black);
	assert_int_equal(gpu_backend_virgl.backing_attach(fixture->backend, PICTURE, &iov, 1), 0);
	assert_int_equal(gpu_backend_virgl.transfer_to_host(fixture->backend, &transfer), 0);
	gpu_backend_virgl.backing_detach(fixture->backend, PICTURE);

	g_autofree uint32_t *pixels = virgl_fixture_read(fixture, PICTURE, WIDTH, HEIGHT, &format);
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++) {
		unsigned x = i % WIDTH, y = i / WIDTH;
		bool inside = x >= 2 && x < 5 && y >= 1 && y < 3;
		assert_int_equal(pixels[i], inside ? source[i] : 0);
	}
}

static void transfer_from_host_writes_the_backing(void **state)
{
	struct virgl_fixture *fixture = *state;
	uint8_t pattern[WIDTH * HEIGHT * 4], back[WIDTH * HEIGHT * 4];
	struct iovec iov = {back, sizeof(back)};
	const struct gpu_transfer transfer = {
			.ctx_id = VIRGL_FIXTURE_CONTEXT,
			.resource_id = PICTURE,
			.box = {0, 0, 0, WIDTH, HEIGHT, 1},
			.stride = WIDTH * 4,
	};

	fill_pattern(pattern, sizeof(pattern));
	memset(back, 0, sizeof(back));
	virgl_fixture_texture(fixture, PICTURE, VIRGL_FORMAT_B8G8R8A8_UNORM, WIDTH, HEIGHT, 0);
	upload(fixture, pattern);
	assert_int_equal(gpu_backend_virgl.backing_attach(fixture->backend, PICTURE, &iov, 1), 0);
	assert_int_equal(gpu_backend_virgl.transfer_from_host(fixture->backend, &transfer), 0);
	assert_memory_equal(back, pattern, sizeof(pattern));
}

static void bad_transfers_are_refused(void **state)
{
	static const struct {
		const char *name;
		struct gpu_transfer transfer;
		uint32_t expect;
	} cases[] = {
			{"no such resource", {.resource_id = 99, .box = {0, 0, 0, 1, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID},
			{"no such context",
					{.ctx_id = 99,
							.resource_id = PICTURE,
							.box = {0, 0, 0, 1, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID},
			{"level", {.resource_id = PICTURE, .level = 1, .box = {0, 0, 0, 1, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"huge level",
					{.resource_id = PICTURE,
							.level = 0x80000000u,
							.box = {0, 0, 0, 1, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"too wide", {.resource_id = PICTURE, .box = {0, 0, 0, WIDTH + 1, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"wrapping x",
					{.resource_id = PICTURE,
							.box = {0xffffffffu, 0, 0, 2, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"second layer", {.resource_id = PICTURE, .box = {0, 0, 1, 1, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"no width", {.resource_id = PICTURE, .box = {0, 0, 0, 0, 1, 1}},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"offset beyond the backing",
					{.resource_id = PICTURE,
							.box = {0, 0, 0, 1, 1, 1},
							.offset = 1 << 20},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"huge offset",
					{.resource_id = PICTURE,
							.box = {0, 0, 0, 1, 1, 1},
							.offset = UINT64_MAX - 3},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
			{"huge stride",
					{.resource_id = PICTURE,
							.box = {0, 0, 0, 1, 2, 1},
							.stride = 0xfffffffcu},
					VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER},
	};
	struct virgl_fixture *fixture = *state;
	uint8_t bytes[WIDTH * HEIGHT * 4];
	struct iovec iov = {bytes, sizeof(bytes)};

	memset(bytes, 0, sizeof(bytes));
	create_2d(fixture, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	assert_int_equal(gpu_backend_virgl.backing_attach(fixture->backend, PICTURE, &iov, 1), 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint32_t to = gpu_backend_virgl.transfer_to_host(
				fixture->backend, &cases[i].transfer);
		uint32_t from = gpu_backend_virgl.transfer_from_host(
				fixture->backend, &cases[i].transfer);
		if (to != cases[i].expect || from != cases[i].expect) {
			fail_msg("%s: %#x, %#x", cases[i].name, to, from);
		}
	}
}

/* Reads a texture as a display would, in a context of its own. */
static void read_texture(struct virgl_fixture *fixture, GLuint texture, uint32_t *pixels)
{
	struct egl *egl = fixture->display->egl;
	EGLContext old = eglGetCurrentContext();
	EGLContext context = egl_context_create(egl, 0, 0, false);

	assert_true(egl_make_current(egl, context));
	glBindTexture(GL_TEXTURE_2D, texture);
	glGetTexImage(GL_TEXTURE_2D, 0, GL_BGRA, GL_UNSIGNED_BYTE, pixels);
	assert_int_equal(glGetError(), GL_NO_ERROR);
	assert_true(egl_make_current(egl, old));
	egl_context_destroy(egl, context);
}

static void texture_and_its_orientation(void **state)
{
	struct virgl_fixture *fixture = *state;
	uint32_t texels[WIDTH * HEIGHT];
	uint8_t pattern[WIDTH * HEIGHT * 4];

	fill_pattern(pattern, sizeof(pattern));
	for (uint32_t flags = 0; flags <= VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP; flags++) {
		struct display_frame frame = {0};
		virgl_fixture_texture(fixture, PICTURE, VIRGL_FORMAT_B8G8R8A8_UNORM, WIDTH, HEIGHT,
				flags);
		upload(fixture, pattern);
		assert_false(gpu_backend_virgl.scanout_image(
				fixture->backend, PICTURE, DISPLAY_IMAGE_PIXELS, &frame));
		assert_true(gpu_backend_virgl.scanout_image(fixture->backend, PICTURE,
				DISPLAY_IMAGE_PIXELS | DISPLAY_IMAGE_TEXTURE, &frame));
		assert_int_equal(frame.kind, DISPLAY_IMAGE_TEXTURE);
		assert_int_equal(frame.image_width, WIDTH);
		assert_int_equal(frame.image_height, HEIGHT);
		assert_int_equal(frame.y_inverted, flags != 0);
		read_texture(fixture, frame.texture, texels);
		for (unsigned y = 0; y < HEIGHT; y++) {
			unsigned row = frame.y_inverted ? HEIGHT - 1 - y : y;
			assert_memory_equal(
					texels + row * WIDTH, pattern + y * WIDTH * 4, WIDTH * 4);
		}
		gpu_backend_virgl.resource_destroy(fixture->backend, PICTURE);
	}
}

static void reading_outside_is_refused(void **state)
{
	static const struct rect bad[] = {{0, 0, WIDTH + 1, 1}, {WIDTH, 0, 1, 1}, {0, HEIGHT, 1, 1},
			{0xffffffffu, 0, 2, 1}};
	struct virgl_fixture *fixture = *state;
	uint32_t pixels[WIDTH * HEIGHT];
	enum pixel_format format;

	create_2d(fixture, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		assert_int_equal(gpu_backend_virgl.read_pixels(fixture->backend, PICTURE, &bad[i],
						 pixels, WIDTH * 4, &format),
				VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	}
	assert_int_equal(gpu_backend_virgl.read_pixels(
					 fixture->backend, 99, &bad[0], pixels, WIDTH * 4, &format),
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

#define VIRGL_TEST(name) \
	cmocka_unit_test_setup_teardown(name, virgl_fixture_setup, virgl_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			VIRGL_TEST(capsets_are_virgl_and_virgl2),
			VIRGL_TEST(context_init_takes_virgl_only),
			VIRGL_TEST(creating_a_context_leaves_the_others_alone),
			VIRGL_TEST(bad_stream_fails_and_the_next_works),
			VIRGL_TEST(timelines_are_apart),
			VIRGL_TEST(destroying_a_context_retires_nobody_else),
			VIRGL_TEST(fences_work_after_a_reset),
			VIRGL_TEST(all_2d_formats_read_back_as_written),
			VIRGL_TEST(part_of_a_2d_picture_is_transferred),
			VIRGL_TEST(transfer_from_host_writes_the_backing),
			VIRGL_TEST(bad_transfers_are_refused),
			VIRGL_TEST(texture_and_its_orientation),
			VIRGL_TEST(reading_outside_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
