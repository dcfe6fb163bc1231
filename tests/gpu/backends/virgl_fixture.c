/* SPDX-License-Identifier: MIT */
#include "tests/gpu/backends/virgl_fixture.h"
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "display/png.h"

#include <fcntl.h>
#include <poll.h>

#define PATIENCE_MS 10000

static void handle_signalled(
		struct gpu_backend_events *events, struct gpu_timeline_id timeline, uint64_t seq)
{
	struct virgl_fixture *fixture = container_of(events, struct virgl_fixture, events);
	const struct virgl_signal signal = {timeline, seq};

	g_array_append_val(fixture->signalled, signal);
}

static void start(struct virgl_fixture *fixture)
{
	const struct gpu_backend_config config = {
			.display = fixture->display,
			.limits = &fixture->limits,
			.events = &fixture->events,
	};
	g_autoptr(GError) error = NULL;

	fixture->backend = gpu_backend_virgl.create(&config, &error);
	if (!fixture->backend) {
		fail_msg("%s", error->message);
	}
	assert_int_equal(gpu_backend_virgl.ctx_create(
					 fixture->backend, VIRGL_FIXTURE_CONTEXT, 0, "test"),
			0);
}

int virgl_fixture_setup(void **state)
{
	const struct display_config config = {
			.title = "test", .heads = 1, .width = 64, .height = 64, .gl = true};
	struct virgl_fixture *fixture = g_new0(struct virgl_fixture, 1);
	g_autoptr(GError) error = NULL;

	fixture->events.fence_signalled = handle_signalled;
	fixture->signalled = g_array_new(FALSE, FALSE, sizeof(struct virgl_signal));
	fixture->limits = (struct gpu_limits){
			.host_bytes = 256 * MiB,
			.contexts = 16,
			.resources = 1024,
			.request_bytes = 1 * MiB,
			.shader_bytes = 64 * KiB,
			.hang_ms = 10000,
	};
	fixture->display = display_create("egl-headless", &config, &error);
	if (!fixture->display) {
		fail_msg("%s", error->message);
	}
	start(fixture);
	*state = fixture;
	return 0;
}

int virgl_fixture_teardown(void **state)
{
	struct virgl_fixture *fixture = *state;

	gpu_backend_virgl.destroy(fixture->backend);
	display_destroy(fixture->display);
	g_array_free(fixture->signalled, TRUE);
	g_free(fixture);
	return 0;
}

void virgl_fixture_reset(struct virgl_fixture *fixture)
{
	gpu_backend_virgl.destroy(fixture->backend);
	start(fixture);
}

static void create_resource(struct virgl_fixture *fixture, const struct gpu_resource_desc *desc)
{
	assert_int_equal(gpu_backend_virgl.resource_create(fixture->backend, desc), 0);
	gpu_backend_virgl.ctx_attach(fixture->backend, VIRGL_FIXTURE_CONTEXT, desc->id);
}

void virgl_fixture_texture(struct virgl_fixture *fixture, uint32_t id, uint32_t format,
		uint32_t width, uint32_t height, uint32_t flags)
{
	const struct gpu_resource_desc desc = {
			.id = id,
			.target = VIRGL_TARGET_2D,
			.format = format,
			.bind = VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SAMPLER_VIEW,
			.width = width,
			.height = height,
			.depth = 1,
			.array_size = 1,
			.flags = flags,
	};

	create_resource(fixture, &desc);
}

void virgl_fixture_buffer(struct virgl_fixture *fixture, uint32_t id, uint32_t bytes)
{
	const struct gpu_resource_desc desc = {
			.id = id,
			.target = VIRGL_TARGET_BUFFER,
			.format = VIRGL_FORMAT_R8_UNORM,
			.bind = VIRGL_BIND_VERTEX_BUFFER,
			.width = bytes,
			.height = 1,
			.depth = 1,
			.array_size = 1,
	};

	create_resource(fixture, &desc);
}

uint32_t virgl_fixture_submit(struct virgl_fixture *fixture, struct gallium *g)
{
	assert_false(g->overflow);
	return gpu_backend_virgl.submit(fixture->backend, VIRGL_FIXTURE_CONTEXT, g->words,
			g->count * sizeof(*g->words));
}

uint32_t *virgl_fixture_read(struct virgl_fixture *fixture, uint32_t id, uint32_t width,
		uint32_t height, enum pixel_format *ret_format)
{
	const struct rect whole = {0, 0, width, height};
	uint32_t *pixels = g_new0(uint32_t, (size_t)width * height);

	assert_int_equal(gpu_backend_virgl.read_pixels(fixture->backend, id, &whole, pixels,
					 width * 4, ret_format),
			0);
	return pixels;
}

void virgl_fixture_wait(struct virgl_fixture *fixture, unsigned count)
{
	struct pollfd pollfd = {
			.fd = gpu_backend_virgl.poll_fd(fixture->backend),
			.events = POLLIN,
	};

	while (fixture->signalled->len < count) {
		if (poll(&pollfd, 1, PATIENCE_MS) != 1) {
			fail_msg("%u of %u fences signalled", fixture->signalled->len, count);
		}
		gpu_backend_virgl.poll(fixture->backend);
	}
}

void virgl_fixture_png(const char *name, enum pixel_format format, uint32_t width, uint32_t height,
		const uint32_t *pixels)
{
	g_autofree char *path = g_strdup_printf("%s/%s.png", TEST_OUTPUT, name);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	assert_true(fd >= 0);
	assert_true(png_write(fd, format, width, height, pixels, width * 4, NULL));
}
