/* SPDX-License-Identifier: MIT */
/*
 * In the guest: sends the command streams of a file to the GPU, each in a context of its own, and
 * says which of them the renderer did not survive.
 *
 *	replay_streams FILE
 *
 * A renderer lives if a buffer comes back from the host as it was sent. When it is gone, new contexts
 * and resources live in its successor. The streams name resources by numbers from 1: the kernel
 * must give out the lowest free number (virtio_gpu.virglhack=0) and hold none itself
 * (drm_kms_helper.fbdev_emulation=0). Exit status 1 if the kernel refuses what it must not.
 */
#include "tests/harness/hostile_stream.h"
#include "tests/system/vm/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <virtgpu_drm.h>

#define DEVICE "/dev/dri/renderD128"
#define MAX_RESOURCES 64
#define MAX_WORDS 65536
#define BACKING_SIZE 65536u
#define PULSE_SIZE 4096u
#define PULSE_TRIES 100
#define CREATE_TRIES 5000
#define STREAM_LIMIT_MS 120000 /* far beyond the renderer's watchdog */

struct buffer {
	uint32_t handle, id;
};

static struct {
	int fd;
	struct buffer buffer;
	uint8_t *memory;
	uint8_t beat;
} pulse = {.fd = -1};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	int number = errno;
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(": %s\n", strerror(number));
	exit(1);
}

static int open_device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		die("%s", DEVICE);
	}
	return fd;
}

static void close_buffer(int fd, struct buffer *buffer)
{
	struct drm_gem_close request = {.handle = buffer->handle};

	if (ioctl(fd, DRM_IOCTL_GEM_CLOSE, &request) < 0) {
		die("GEM_CLOSE");
	}
}

static struct buffer create_buffer(int fd, const struct good_resource *resource, uint32_t size)
{
	struct drm_virtgpu_resource_create request = {
			.target = resource->target,
			.format = resource->format,
			.bind = resource->bind,
			.width = resource->width,
			.height = resource->height,
			.depth = resource->depth,
			.array_size = resource->array_size,
			.last_level = resource->last_level,
			.nr_samples = resource->nr_samples,
			.size = size,
	};

	if (ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, &request) < 0) {
		die("RESOURCE_CREATE");
	}
	return (struct buffer){.handle = request.bo_handle, .id = request.res_handle};
}

static const struct good_resource pulse_resource = {
		.target = 0, /* a buffer */
		.format = 64, /* R8_UNORM */
		.bind = 1 << 4, /* of vertices */
		.width = PULSE_SIZE,
		.height = 1,
		.depth = 1,
		.array_size = 1,
};

/* The buffer takes a number behind those of any stream. */
static void open_pulse(void)
{
	struct buffer fill[MAX_RESOURCES];

	pulse.fd = open_device();
	for (unsigned i = 0; i < MAX_RESOURCES; i++) {
		fill[i] = create_buffer(pulse.fd, &pulse_resource, PULSE_SIZE);
	}
	pulse.buffer = create_buffer(pulse.fd, &pulse_resource, PULSE_SIZE);
	for (unsigned i = 0; i < MAX_RESOURCES; i++) {
		close_buffer(pulse.fd, &fill[i]);
	}
	struct drm_virtgpu_map map = {.handle = pulse.buffer.handle};
	if (ioctl(pulse.fd, DRM_IOCTL_VIRTGPU_MAP, &map) < 0) {
		die("MAP");
	}
	pulse.memory = mmap(NULL, PULSE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, pulse.fd,
			(off_t)map.offset);
	if (pulse.memory == MAP_FAILED) {
		die("mmap");
	}
}

static void close_pulse(void)
{
	munmap(pulse.memory, PULSE_SIZE);
	close(pulse.fd);
	pulse.fd = -1;
}

static void await_pulse(void)
{
	struct drm_virtgpu_3d_wait wait = {.handle = pulse.buffer.handle};

	while (ioctl(pulse.fd, DRM_IOCTL_VIRTGPU_WAIT, &wait) < 0) {
		if (errno != EBUSY && errno != EINTR) {
			die("WAIT");
		}
	}
}

/* Whether the buffer goes to the host and comes back. */
static bool beats(void)
{
	const struct drm_virtgpu_3d_box box = {.w = PULSE_SIZE, .h = 1, .d = 1};
	struct drm_virtgpu_3d_transfer_to_host to = {.bo_handle = pulse.buffer.handle, .box = box};
	struct drm_virtgpu_3d_transfer_from_host from = {
			.bo_handle = pulse.buffer.handle, .box = box};

	pulse.beat = (uint8_t)(pulse.beat % 255 + 1);
	memset(pulse.memory, pulse.beat, PULSE_SIZE);
	if (ioctl(pulse.fd, DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, &to) < 0) {
		die("TRANSFER_TO_HOST");
	}
	await_pulse();
	memset(pulse.memory, 0, PULSE_SIZE);
	if (ioctl(pulse.fd, DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST, &from) < 0) {
		die("TRANSFER_FROM_HOST");
	}
	await_pulse();
	return pulse.memory[0] == pulse.beat && pulse.memory[PULSE_SIZE - 1] == pulse.beat;
}

/* Until a renderer answers; false if none does. */
static bool revive(void)
{
	for (unsigned tries = 0; tries < PULSE_TRIES; tries++) {
		close_pulse();
		open_pulse();
		if (beats()) {
			return true;
		}
		usleep(50000);
	}
	return false;
}

static bool create_numbered(int fd, const struct good_resource *resources, uint32_t count,
		struct buffer *ret_buffers)
{
	for (unsigned i = 0; i < count; i++) {
		ret_buffers[i] = create_buffer(fd, &resources[i], BACKING_SIZE);
		if (ret_buffers[i].id != resources[i].id) {
			do {
				close_buffer(fd, &ret_buffers[i]);
			} while (i-- > 0);
			return false;
		}
	}
	return true;
}

/* The kernel has a number back when the device has answered, and it has looked at the answer. */
static void create_buffers(int fd, const struct good_resource *resources, uint32_t count,
		struct buffer *ret_buffers)
{
	for (unsigned tries = 0; !create_numbered(fd, resources, count, ret_buffers); tries++) {
		if (tries == CREATE_TRIES) {
			die("the kernel does not give out the numbers of the streams");
		}
		usleep(2000);
	}
}

static void submit(int fd, const struct buffer *buffers, uint32_t count, const uint32_t *words,
		uint32_t word_count)
{
	uint32_t handles[MAX_RESOURCES];
	struct drm_virtgpu_execbuffer request = {
			.flags = VIRTGPU_EXECBUF_FENCE_FD_OUT,
			.size = word_count * 4,
			.command = (uintptr_t)words,
			.bo_handles = (uintptr_t)handles,
			.num_bo_handles = count,
			.fence_fd = -1,
	};

	for (unsigned i = 0; i < count; i++) {
		handles[i] = buffers[i].handle;
	}
	if (ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &request) < 0) {
		die("EXECBUFFER");
	}
	struct pollfd done = {.fd = request.fence_fd, .events = POLLIN};
	if (poll(&done, 1, STREAM_LIMIT_MS) != 1) {
		die("a stream without an end");
	}
	close(request.fence_fd);
}

/* Whether another stream was there. */
static bool read_stream(FILE *file, struct stream_header *header, struct good_resource *resources,
		uint32_t *words)
{
	if (fread(header, sizeof(*header), 1, file) != 1) {
		return false;
	}
	if (header->magic != STREAM_MAGIC || header->resources > MAX_RESOURCES ||
			header->words > MAX_WORDS ||
			fread(resources, sizeof(*resources), header->resources, file) !=
					header->resources ||
			fread(words, sizeof(*words), header->words, file) != header->words) {
		die("not a file of streams");
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct good_resource resources[MAX_RESOURCES];
	static struct buffer buffers[MAX_RESOURCES];
	static uint32_t words[MAX_WORDS];
	struct stream_header header;
	unsigned sent = 0, lost = 0;
	FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;

	if (!file) {
		die("usage: replay_streams FILE");
	}
	setlinebuf(stdout);
	open_pulse();
	if (!beats()) {
		die("the renderer does not answer to begin with");
	}
	while (read_stream(file, &header, resources, words)) {
		int fd = open_device();
		create_buffers(fd, resources, header.resources, buffers);
		submit(fd, buffers, header.resources, words, header.words);
		close(fd);
		sent++;
		if (!beats()) {
			lost++;
			printf("lost by stream %u\n", header.number);
			if (!revive()) {
				die("no renderer any more");
			}
		}
	}
	printf("sent %u lost %u\n", sent, lost);
	return 0;
}
