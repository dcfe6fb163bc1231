/* SPDX-License-Identifier: MIT */
/* The vtest server with the virgl back end, driven by clients that speak the protocol by hand. */
#include "gpu/service/vtest.h"
#include "tests/harness/test.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "gpu/service/vtest_protocol.h"
#include "guest-drivers/bare/gallium.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE 16u
#define BYTES (SIZE * SIZE * 4)

struct fixture {
	char *directory, *path;
	struct display *display;
	struct vtest_server *server;
	struct gpu *gpu;
	pthread_t thread;
	bool ok;
	GError *error;
};

static void serve(void *opaque)
{
	struct fixture *fixture = opaque;

	fixture->ok = vtest_server_run(fixture->server, fixture->gpu, &fixture->error);
}

static int setup(void **state)
{
	const struct display_config display_config = {
			.title = "test", .heads = 1, .width = 64, .height = 64, .gl = true};
	const struct gpu_config config = {
			.backend = "virgl",
			.scanouts = 1,
			.width = 64,
			.height = 64,
			.limits = gpu_default_limits,
	};
	struct fixture *fixture = g_new0(struct fixture, 1);

	fixture->directory = g_dir_make_tmp("vtest-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->directory, "socket", NULL);
	fixture->display = display_create("egl-headless", &display_config, NULL);
	assert_non_null(fixture->display);
	fixture->server = vtest_server_create(fixture->path, &config.limits, NULL);
	assert_non_null(fixture->server);
	fixture->gpu = gpu_create(
			&config, fixture->display, vtest_server_client(fixture->server), NULL);
	assert_non_null(fixture->gpu);
	assert_true(thread_create(&fixture->thread, "vtest", serve, fixture, NULL));
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	vtest_server_stop(fixture->server);
	pthread_join(fixture->thread, NULL);
	assert_true(fixture->ok);
	gpu_destroy(fixture->gpu, 5000);
	vtest_server_destroy(fixture->server);
	display_destroy(fixture->display);
	assert_int_equal(g_access(fixture->path, F_OK), -1);
	assert_int_equal(g_rmdir(fixture->directory), 0);
	g_free(fixture->path);
	g_free(fixture->directory);
	g_free(fixture);
	return 0;
}

/* The client's side. */

static int client_connect(struct fixture *fixture)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)g_strlcpy(address.sun_path, fixture->path, sizeof(address.sun_path));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void client_send(int fd, uint32_t length, uint32_t command, const void *payload, size_t size)
{
	/* At once: the server may close the connection as soon as it has read the header. */
	struct vtest_header header = {length, command};
	struct iovec iov[] = {{&header, sizeof(header)}, {(void *)(uintptr_t)payload, size}};
	const struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};

	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), sizeof(header) + size);
}

static void client_receive(int fd, void *buf, size_t size)
{
	assert_int_equal(recv(fd, buf, size, MSG_WAITALL), size);
}

static void client_expect(int fd, uint32_t length, uint32_t command)
{
	struct vtest_header header;

	client_receive(fd, &header, sizeof(header));
	assert_int_equal(header.length, length);
	assert_int_equal(header.command, command);
}

/* The server closed the connection. */
static void client_expect_end(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	assert_true(n <= 0);
}

static int client_receive_fd(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes)};
	int received = -1;

	assert_int_equal(recvmsg(fd, &message, MSG_CMSG_CLOEXEC), 1);
	assert_non_null(CMSG_FIRSTHDR(&message));
	memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(received));
	return received;
}

static int client_start(struct fixture *fixture)
{
	int fd = client_connect(fixture);

	client_send(fd, 5, VTEST_CREATE_RENDERER, "test", 5);
	return fd;
}

/* A render target under the client's handle; returns its shared memory. */
static uint32_t *client_create_target(int fd, uint32_t handle)
{
	const struct vtest_resource_create2 create = {
			.handle = handle,
			.target = VIRGL_TARGET_2D,
			.format = VIRGL_FORMAT_B8G8R8A8_UNORM,
			.bind = VIRGL_BIND_RENDER_TARGET,
			.width = SIZE,
			.height = SIZE,
			.depth = 1,
			.array_size = 1,
			.data_size = BYTES,
	};

	client_send(fd, 11, VTEST_RESOURCE_CREATE2, &create, sizeof(create));
	auto_fd int shared = client_receive_fd(fd);
	assert_true(shared >= 0);
	uint32_t *pixels = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
	assert_ptr_not_equal(pixels, MAP_FAILED);
	return pixels;
}

static void client_clear(int fd, uint32_t handle, float red, float green, float blue)
{
	const float color[4] = {red, green, blue, 1};
	const uint32_t surface = 7;
	uint32_t words[64];
	struct gallium g;

	gallium_init(&g, words, G_N_ELEMENTS(words));
	gallium_create_surface(&g, surface, handle, VIRGL_FORMAT_B8G8R8A8_UNORM);
	gallium_set_framebuffer(&g, &surface, 1, 0);
	gallium_clear(&g, VIRGL_CLEAR_COLOR0, color, 1.0);
	client_send(fd, (uint32_t)g.count, VTEST_SUBMIT_CMD, words, g.count * 4);
}

static uint32_t client_busy(int fd, uint32_t handle, uint32_t flags)
{
	const struct vtest_busy_wait wait = {handle, flags};
	uint32_t busy;

	client_send(fd, 2, VTEST_RESOURCE_BUSY_WAIT, &wait, sizeof(wait));
	client_expect(fd, 1, VTEST_RESOURCE_BUSY_WAIT);
	client_receive(fd, &busy, sizeof(busy));
	return busy;
}

static void client_transfer(int fd, uint32_t command, uint32_t handle)
{
	const struct vtest_transfer2 transfer = {.handle = handle,
			.width = SIZE,
			.height = SIZE,
			.depth = 1,
			.data_size = BYTES};

	/* As Mesa does, the header of a PUT2 announces data that never comes. */
	client_send(fd, command == VTEST_TRANSFER_PUT2 ? 10 + BYTES / 4 : 10, command, &transfer,
			sizeof(transfer));
	assert_int_equal(client_busy(fd, handle, VTEST_BUSY_WAIT_FLAG_WAIT), 0);
}

/* Tests. */

static void versions_are_negotiated(void **state)
{
	auto_fd int fd = client_start(*state);
	struct vtest_word version = {3};

	client_send(fd, 0, VTEST_PING_PROTOCOL_VERSION, NULL, 0);
	client_expect(fd, 0, VTEST_PING_PROTOCOL_VERSION);
	assert_int_equal(client_busy(fd, 0, 0), 0);
	client_send(fd, 1, VTEST_PROTOCOL_VERSION_NEGOTIATE, &version, sizeof(version));
	client_expect(fd, 1, VTEST_PROTOCOL_VERSION_NEGOTIATE);
	client_receive(fd, &version, sizeof(version));
	assert_int_equal(version.value, 2);
	version.value = 0;
	client_send(fd, 1, VTEST_PROTOCOL_VERSION_NEGOTIATE, &version, sizeof(version));
	client_expect_end(fd);
}

static void capsets_come_in_both_versions(void **state)
{
	auto_fd int fd = client_start(*state);
	uint8_t caps[4096];

	client_send(fd, 0, VTEST_GET_CAPS2, NULL, 0);
	client_send(fd, 0, VTEST_GET_CAPS, NULL, 0);
	for (uint32_t set = 2; set >= 1; set--) {
		struct vtest_header header;
		client_receive(fd, &header, sizeof(header));
		assert_int_equal(header.command, set);
		assert_in_range(header.length, 300, sizeof(caps));
		client_receive(fd, caps, header.length - 1);
		assert_int_equal(caps[0], set);
	}
}

static void clients_are_apart(void **state)
{
	auto_fd int a = client_start(*state);
	auto_fd int b = client_start(*state);
	uint32_t *red = client_create_target(a, 1), *blue = client_create_target(b, 1);

	client_clear(a, 1, 1, 0, 0);
	client_clear(b, 1, 0, 0, 1);
	client_transfer(a, VTEST_TRANSFER_GET2, 1);
	client_transfer(b, VTEST_TRANSFER_GET2, 1);
	for (unsigned i = 0; i < SIZE * SIZE; i++) {
		assert_int_equal(red[i], 0xffff0000);
		assert_int_equal(blue[i], 0xff0000ff);
	}
	munmap(red, BYTES);
	munmap(blue, BYTES);
}

static void what_was_put_can_be_got(void **state)
{
	auto_fd int fd = client_start(*state);
	uint32_t *pixels = client_create_target(fd, 5);

	for (unsigned i = 0; i < SIZE * SIZE; i++) {
		pixels[i] = 0xff000000u | i;
	}
	client_transfer(fd, VTEST_TRANSFER_PUT2, 5);
	memset(pixels, 0, BYTES);
	client_transfer(fd, VTEST_TRANSFER_GET2, 5);
	for (unsigned i = 0; i < SIZE * SIZE; i++) {
		assert_int_equal(pixels[i], 0xff000000u | i);
	}
	munmap(pixels, BYTES);
}

static void the_same_handle_can_be_used_again(void **state)
{
	auto_fd int fd = client_start(*state);

	for (unsigned i = 0; i < 3; i++) {
		const struct vtest_word handle = {9};
		uint32_t *pixels = client_create_target(fd, 9);
		client_send(fd, 1, VTEST_RESOURCE_UNREF, &handle, sizeof(handle));
		munmap(pixels, BYTES);
	}
	assert_int_equal(client_busy(fd, 0, VTEST_BUSY_WAIT_FLAG_WAIT), 0);
}

static void protocol_breaches_end_the_connection(void **state)
{
	static const struct {
		uint32_t length, command;
		uint32_t payload[11];
		size_t size;
	} breaches[] = {
			{0, 0, {0}, 0},
			{0, 99, {0}, 0},
			{10, VTEST_RESOURCE_CREATE, {0}, 40}, /* version 0 */
			{0xffffffff, VTEST_SUBMIT_CMD, {0}, 0},
			{5, VTEST_CREATE_RENDERER, {0}, 8}, /* a second one */
			{11, VTEST_RESOURCE_CREATE2, {0}, 44}, /* handle 0 */
			/* 4 GiB of shared memory */
			{11, VTEST_RESOURCE_CREATE2, {1, 2, 1, 2, 16, 16, 1, 1, 0, 0, 0xffffffff},
					44},
			/* a resource that nobody created */
			{2, VTEST_SUBMIT_CMD, {VIRGL_HEADER(VIRGL_GET_MEMORY_INFO, 0, 1), 77}, 8},
			/* a texture that cannot be */
			{11, VTEST_RESOURCE_CREATE2, {1, 2, 1, 2, 0x80000000, 16, 1, 1}, 44},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(breaches); i++) {
		auto_fd int fd = client_start(*state);
		client_send(fd, breaches[i].length, breaches[i].command, breaches[i].payload,
				breaches[i].size);
		client_expect_end(fd);
	}
}

static void nothing_before_the_renderer(void **state)
{
	const struct vtest_word handle = {1};
	auto_fd int fd = client_connect(*state);

	client_send(fd, 1, VTEST_RESOURCE_UNREF, &handle, sizeof(handle));
	client_expect_end(fd);
}

/*
 * A client that vanishes gives everything back; another one sees it in the statistics once its own
 * command is done.
 */
static void vanished_clients_leave_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct gpu_statistics statistics;

	for (unsigned i = 0; i < 3; i++) {
		int fd = client_start(fixture);
		uint32_t *pixels = client_create_target(fd, 1);
		client_clear(fd, 1, 0, 1, 0);
		munmap(pixels, BYTES);
		close(fd);
	}
	do {
		auto_fd int fd = client_start(fixture);
		assert_int_equal(client_busy(fd, 0, VTEST_BUSY_WAIT_FLAG_WAIT), 0);
		gpu_get_statistics(fixture->gpu, &statistics);
	} while (statistics.resources > 0); /* ends when the server has seen them go */
	assert_int_equal(statistics.host_bytes, 0);
}

static void socket_in_use_is_refused_and_a_dead_one_replaced(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *dead = g_strconcat(fixture->path, "-dead", NULL);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	g_autoptr(GError) error = NULL;

	assert_null(vtest_server_create(fixture->path, &gpu_default_limits, &error));
	assert_non_null(error);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)g_strlcpy(address.sun_path, dead, sizeof(address.sun_path));
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	struct vtest_server *server = vtest_server_create(dead, &gpu_default_limits, NULL);
	assert_non_null(server);
	vtest_server_destroy(server);
}

#define VTEST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			VTEST_TEST(versions_are_negotiated),
			VTEST_TEST(capsets_come_in_both_versions),
			VTEST_TEST(clients_are_apart),
			VTEST_TEST(what_was_put_can_be_got),
			VTEST_TEST(the_same_handle_can_be_used_again),
			VTEST_TEST(protocol_breaches_end_the_connection),
			VTEST_TEST(nothing_before_the_renderer),
			VTEST_TEST(vanished_clients_leave_nothing),
			VTEST_TEST(socket_in_use_is_refused_and_a_dead_one_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
