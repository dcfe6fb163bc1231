/* SPDX-License-Identifier: MIT */
#include "tests/harness/picture_client.h"

#include "core/base/fd.h"
#include "core/virtio/vhost_user.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define QUEUE_SIZE 256
#define RING_SPACE (UINT64_C(64) << 10) /* of one queue */
#define SLOT_COUNT 32
#define SLOT_BASE (UINT64_C(1) << 20)
#define SLOT_SIZE (UINT64_C(448) << 10) /* request, extra, reply */
#define SLOT_REPLY (SLOT_SIZE - 4096)
#define TIMEOUT_MS 30000
#define CHILD_VHOST_FD 3
#define CHILD_CONTROL_FD 4

static bool send_message(
		struct picture_client *client, struct vhost_user_message *message, GError **error)
{
	message->header.flags |= VHOST_USER_VERSION;
	return vhost_user_send(client->vhost, message, error);
}

/* Sends a message that must be acknowledged. */
static bool command(
		struct picture_client *client, struct vhost_user_message *message, GError **error)
{
	uint32_t request = message->header.request;

	message->header.flags = VHOST_USER_FLAG_NEED_REPLY;
	if (!send_message(client, message, error) ||
			!vhost_user_receive(client->vhost, message, error)) {
		return false;
	}
	vhost_user_message_close_fds(message);
	if (message->payload.u64 != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s was refused",
				vhost_user_request_name(request));
		return false;
	}
	return true;
}

static bool command_u64(
		struct picture_client *client, uint32_t request, uint64_t value, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = request, .size = 8}, .payload.u64 = value};

	return command(client, &message, error);
}

static bool command_state(struct picture_client *client, uint32_t request, uint32_t index,
		uint32_t num, GError **error)
{
	struct vhost_user_message message = {.header = {.request = request, .size = 8},
			.payload.state = {.index = index, .num = num}};

	return command(client, &message, error);
}

static bool command_fd(struct picture_client *client, uint32_t request, uint32_t index, int fd,
		GError **error)
{
	struct vhost_user_message message = {.header = {.request = request, .size = 8},
			.payload.u64 = index,
			.fds = {fd},
			.nfds = 1};

	return command(client, &message, error);
}

static bool ask(struct picture_client *client, struct vhost_user_message *message, GError **error)
{
	return send_message(client, message, error) &&
	       vhost_user_receive(client->vhost, message, error);
}

static bool set_memory(struct picture_client *client, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_SET_MEM_TABLE,
					.size = offsetof(struct vhost_user_memory, regions) +
						sizeof(struct vhost_user_region)},
			.payload.memory = {.nregions = 1,
					.regions = {{.size = PICTURE_RAM,
							.user_addr = (uint64_t)(uintptr_t)
										     client->ram}}},
			.fds = {client->ram_fd},
			.nfds = 1,
	};

	return command(client, &message, error);
}

static bool set_inflight(struct picture_client *client, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_GET_INFLIGHT_FD,
					.size = sizeof(struct vhost_user_inflight)},
			.payload.inflight = {.num_queues = VIRTIO_GPU_QUEUE_COUNT,
					.queue_size = QUEUE_SIZE},
	};

	if (client->inflight_fd < 0) {
		if (!ask(client, &message, error)) {
			return false;
		}
		client->inflight_fd = fd_steal(&message.fds[0]);
		client->inflight_size = message.payload.inflight.mmap_size;
		vhost_user_message_close_fds(&message);
	}
	message = (struct vhost_user_message){
			.header = {.request = VHOST_USER_SET_INFLIGHT_FD,
					.size = sizeof(struct vhost_user_inflight)},
			.payload.inflight = {.mmap_size = client->inflight_size,
					.num_queues = VIRTIO_GPU_QUEUE_COUNT,
					.queue_size = QUEUE_SIZE},
			.fds = {client->inflight_fd},
			.nfds = 1,
	};
	return command(client, &message, error);
}

static bool start_queue(struct picture_client *client, unsigned i, GError **error)
{
	const struct virtqueue_config *config = &client->queues[i].config;
	uint64_t base = (uint64_t)(uintptr_t)client->ram;
	uint16_t used_idx;
	struct vhost_user_message addr = {
			.header = {.request = VHOST_USER_SET_VRING_ADDR,
					.size = sizeof(struct vhost_user_vring_addr)},
			.payload.addr = {.index = i,
					.desc = base + config->desc,
					.avail = base + config->avail,
					.used = base + config->used},
	};

	memcpy(&used_idx, client->ram + config->used + 2, sizeof(used_idx));
	return command_state(client, VHOST_USER_SET_VRING_NUM, i, QUEUE_SIZE, error) &&
	       command_state(client, VHOST_USER_SET_VRING_BASE, i, used_idx, error) &&
	       command(client, &addr, error) &&
	       command_fd(client, VHOST_USER_SET_VRING_CALL, i, client->call[i], error) &&
	       command_fd(client, VHOST_USER_SET_VRING_KICK, i, client->kick[i], error) &&
	       command_state(client, VHOST_USER_SET_VRING_ENABLE, i, 1, error);
}

static bool start_queues(struct picture_client *client, GError **error)
{
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		if (!start_queue(client, i, error)) {
			return false;
		}
	}
	return true;
}

static bool negotiate(struct picture_client *client, GError **error)
{
	struct vhost_user_message message = {.header = {.request = VHOST_USER_GET_FEATURES}};
	const uint64_t protocol = BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
				  BIT(VHOST_USER_PROTOCOL_F_CONFIG) |
				  BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |
				  BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE);

	if (!ask(client, &message, error)) {
		return false;
	}
	client->features = message.payload.u64;
	message = (struct vhost_user_message){
			.header = {.request = VHOST_USER_SET_PROTOCOL_FEATURES, .size = 8},
			.payload.u64 = protocol};
	return send_message(client, &message, error) &&
	       command_u64(client, VHOST_USER_SET_FEATURES,
			       client->features & ~BIT(VIRTIO_F_RING_EVENT_IDX), error) &&
	       set_memory(client, error) && set_inflight(client, error) &&
	       start_queues(client, error);
}

/* Takes control messages until one of this type; notes what else is said. */
static bool control_await(struct picture_client *client, uint32_t type,
		struct control_message *ret_message, GError **error)
{
	struct pollfd pfd = {.fd = client->control, .events = POLLIN};

	do {
		if (poll(&pfd, 1, TIMEOUT_MS) != 1) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "no answer");
			return false;
		}
		if (!control_receive(client->control, ret_message, error)) {
			return false;
		}
		fd_close(&ret_message->fd);
		client->lost |= ret_message->header.type == CONTROL_LOST;
	} while (ret_message->header.type != type);
	return true;
}

static bool wait_hello(struct picture_client *client, GError **error)
{
	struct control_message message;

	if (!control_await(client, CONTROL_HELLO, &message, error)) {
		return false;
	}
	client->hello = message.payload.hello;
	return true;
}

static bool spawn(struct picture_client *client, GError **error)
{
	int vhost[2], control[2];
	posix_spawn_file_actions_t actions;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, vhost) < 0 ||
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
		set_error_errno(error, "socketpair");
		return false;
	}
	int child_vhost = fcntl(vhost[1], F_DUPFD_CLOEXEC, 10);
	int child_control = fcntl(control[1], F_DUPFD_CLOEXEC, 10);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, child_vhost, CHILD_VHOST_FD);
	posix_spawn_file_actions_adddup2(&actions, child_control, CHILD_CONTROL_FD);
	int ret = posix_spawn(&client->pid, client->argv[0], &actions, NULL, client->argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(vhost[1]);
	close(control[1]);
	close(child_vhost);
	close(child_control);
	client->vhost = vhost[0];
	client->control = control[0];
	client->lost = false;
	if (ret != 0) {
		client->pid = 0;
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: %s", client->argv[0],
				g_strerror(ret));
		return false;
	}
	const struct timeval timeout = {.tv_sec = TIMEOUT_MS / 1000};
	(void)setsockopt(client->vhost, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return wait_hello(client, error) && negotiate(client, error);
}

static void init_rings(struct picture_client *client)
{
	memset(client->ram, 0, RING_SPACE * VIRTIO_GPU_QUEUE_COUNT);
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		driver_queue_init(&client->queues[i], client->memory, i * RING_SPACE, QUEUE_SIZE);
		client->queues[i].config.indirect = true;
		(void)eventfd_take(client->call[i]);
		(void)eventfd_take(client->kick[i]);
	}
	client->slots = 0;
}

struct picture_client *picture_client_start(const char *const *arguments, GError **error)
{
	struct picture_client *client = g_new0(struct picture_client, 1);
	const char *program = g_getenv("ORIEL_GPU");
	GPtrArray *argv = g_ptr_array_new();

	client->vhost = client->control = client->inflight_fd = -1;
	g_ptr_array_add(argv, g_strdup(program ? program : "oriel-gpu"));
	g_ptr_array_add(argv, g_strdup_printf("--vhost-fd=%d", CHILD_VHOST_FD));
	g_ptr_array_add(argv, g_strdup_printf("--control-fd=%d", CHILD_CONTROL_FD));
	for (unsigned i = 0; arguments && arguments[i]; i++) {
		g_ptr_array_add(argv, g_strdup(arguments[i]));
	}
	g_ptr_array_add(argv, NULL);
	client->argv = (char **)g_ptr_array_free(argv, FALSE);

	client->memory = guest_memory_create();
	client->ram_fd = memfd_create_sized("picture-ram", PICTURE_RAM, error);
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		client->kick[i] = eventfd_create(NULL);
		client->call[i] = eventfd_create(NULL);
	}
	if (client->ram_fd < 0 || !guest_memory_add(client->memory, 0, PICTURE_RAM, client->ram_fd,
						  0, 0, error)) {
		(void)picture_client_stop(client);
		return NULL;
	}
	client->ram = mmap(
			NULL, PICTURE_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, client->ram_fd, 0);
	assert(client->ram != MAP_FAILED);
	init_rings(client);
	if (!spawn(client, error)) {
		(void)picture_client_stop(client);
		return NULL;
	}
	return client;
}

static int status_of(int status)
{
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int reap(struct picture_client *client)
{
	struct rusage usage;
	int status = 0;

	if (client->pid > 0) {
		wait4(client->pid, &status, 0, &usage);
		client->pid = 0;
		client->peak_kib = MAX(client->peak_kib, (uint64_t)usage.ru_maxrss);
	}
	fd_close(&client->vhost);
	fd_close(&client->control);
	return status_of(status);
}

int picture_client_stop(struct picture_client *client)
{
	const struct control_message quit = {
			.header = {.version = CONTROL_VERSION, .type = CONTROL_QUIT}, .fd = -1};

	if (client->control >= 0) {
		(void)control_send(client->control, &quit, NULL); /* it may be dead already */
	}
	int status = reap(client);
	if (client->ram) {
		munmap(client->ram, PICTURE_RAM);
	}
	guest_memory_destroy(client->memory);
	fd_close(&client->ram_fd);
	fd_close(&client->inflight_fd);
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		fd_close(&client->kick[i]);
		fd_close(&client->call[i]);
	}
	g_strfreev(client->argv);
	g_free(client);
	return status;
}

uint64_t picture_client_resident(const struct picture_client *client)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/statm", client->pid);
	g_autofree char *text = NULL;
	unsigned long size, resident;

	if (!g_file_get_contents(path, &text, NULL, NULL) ||
			sscanf(text, "%lu %lu", &size, &resident) != 2) {
		return 0;
	}
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool picture_client_wait_death(struct picture_client *client, int timeout_ms)
{
	struct pollfd pfd = {.fd = client->vhost, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1 && (pfd.revents & POLLHUP);
}

bool picture_client_restart(struct picture_client *client, GError **error)
{
	if (client->pid > 0) {
		kill(client->pid, SIGKILL);
	}
	(void)reap(client);
	return spawn(client, error);
}

bool picture_client_reset(struct picture_client *client, GError **error)
{
	struct vhost_user_message message = {.header = {.request = VHOST_USER_RESET_DEVICE}};

	if (!command(client, &message, error)) {
		return false;
	}
	init_rings(client);
	return start_queues(client, error);
}

static uint64_t slot_address(unsigned slot)
{
	return SLOT_BASE + slot * SLOT_SIZE;
}

unsigned picture_client_post(struct picture_client *client, unsigned queue, const void *request,
		size_t len, const void *extra, size_t extra_len, size_t reply_len)
{
	unsigned slot = 0;
	struct driver_buffer buffers[2];
	unsigned count = 0;

	while (client->slots & BIT(slot)) {
		slot++;
	}
	assert(slot < SLOT_COUNT && len + extra_len <= SLOT_REPLY && reply_len <= 4096);
	client->slots |= BIT(slot);
	uint64_t at = slot_address(slot);
	memcpy(client->ram + at, request, len);
	if (extra_len > 0) {
		memcpy(client->ram + at + len, extra, extra_len);
	}
	memset(client->ram + at + SLOT_REPLY, 0, reply_len);
	if (len + extra_len > 0) {
		buffers[count++] = (struct driver_buffer){at, (uint32_t)(len + extra_len), false};
	}
	if (reply_len > 0) {
		buffers[count++] = (struct driver_buffer){
				at + SLOT_REPLY, (uint32_t)reply_len, true};
	}
	uint16_t head = driver_queue_add(&client->queues[queue], buffers, count);
	client->heads[queue][head] = (uint8_t)slot;
	eventfd_signal(client->kick[queue]);
	return slot;
}

/* Takes completions; those of other slots are remembered. */
static void collect(struct picture_client *client, unsigned queue)
{
	uint32_t head, len;

	while (driver_queue_take_used(&client->queues[queue], &head, &len)) {
		unsigned slot = client->heads[queue][head];
		client->slots &= ~BIT(slot);
		client->written[slot] = len;
	}
}

/* Whether the picture has said that its renderer is lost. */
static bool is_lost(struct picture_client *client, short events)
{
	struct control_message message;

	if ((events & POLLIN) && control_receive(client->control, &message, NULL)) {
		fd_close(&message.fd);
		client->lost |= message.header.type == CONTROL_LOST;
	}
	return client->lost;
}

bool picture_client_wait(struct picture_client *client, unsigned queue, unsigned slot, void *reply,
		size_t reply_len, int timeout_ms)
{
	int64_t end = g_get_monotonic_time() + (int64_t)timeout_ms * 1000;

	collect(client, queue);
	while (client->slots & BIT(slot)) {
		struct pollfd fds[] = {{.fd = client->call[queue], .events = POLLIN},
				{.fd = client->vhost, .events = 0},
				{.fd = client->control, .events = POLLIN}};
		int64_t left = (end - g_get_monotonic_time()) / 1000;
		if (left < 0 || poll(fds, 3, (int)left) <= 0 || (fds[1].revents & POLLHUP) ||
				is_lost(client, fds[2].revents)) {
			return false;
		}
		(void)eventfd_take(client->call[queue]);
		collect(client, queue);
	}
	if (reply) {
		memcpy(reply, client->ram + slot_address(slot) + SLOT_REPLY, reply_len);
	}
	return true;
}

uint32_t picture_client_call(struct picture_client *client, unsigned queue, const void *request,
		size_t len, const void *extra, size_t extra_len, void *reply, size_t reply_len)
{
	struct virtio_gpu_ctrl_hdr header;
	size_t room = MAX(reply_len, sizeof(header));
	unsigned slot = picture_client_post(client, queue, request, len, extra, extra_len, room);

	if (!picture_client_wait(client, queue, slot, NULL, 0, TIMEOUT_MS)) {
		return 0;
	}
	const uint8_t *at = client->ram + slot_address(slot) + SLOT_REPLY;
	if (reply) {
		memcpy(reply, at, reply_len);
	}
	memcpy(&header, at, sizeof(header));
	return header.type;
}

/* A control request without reply data. */
#define CALL(client, request, extra, extra_len) \
	picture_client_call((client), VIRTIO_GPU_QUEUE_CONTROL, &(request), sizeof(request), \
			(extra), (extra_len), NULL, 0)

uint32_t picture_client_create_2d(struct picture_client *client, uint32_t id, uint32_t format,
		uint32_t width, uint32_t height)
{
	const struct virtio_gpu_resource_create_2d request = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
			.resource_id = id,
			.format = format,
			.width = width,
			.height = height,
	};

	return CALL(client, request, NULL, 0);
}

uint32_t picture_client_create_3d(struct picture_client *client, uint32_t ctx, uint32_t id,
		uint32_t target, uint32_t format, uint32_t bind, uint32_t width, uint32_t height)
{
	const struct virtio_gpu_resource_create_3d request = {
			.hdr = {.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, .ctx_id = ctx},
			.resource_id = id,
			.target = target,
			.format = format,
			.bind = bind,
			.width = width,
			.height = height,
			.depth = 1,
			.array_size = 1,
	};

	return CALL(client, request, NULL, 0);
}

uint32_t picture_client_attach_backing(
		struct picture_client *client, uint32_t id, uint64_t guest, uint32_t len)
{
	const struct virtio_gpu_resource_cmd request = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
			.resource_id = id,
			.argument = 1};
	const struct virtio_gpu_mem_entry entry = {.addr = guest, .length = len};

	return CALL(client, request, &entry, sizeof(entry));
}

uint32_t picture_client_context(struct picture_client *client, uint32_t ctx)
{
	const struct virtio_gpu_ctx_create request = {
			.hdr = {.type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = ctx},
			.nlen = 4,
			.debug_name = "test",
	};

	return CALL(client, request, NULL, 0);
}

uint32_t picture_client_ctx_attach(struct picture_client *client, uint32_t ctx, uint32_t id)
{
	const struct virtio_gpu_resource_cmd request = {
			.hdr = {.type = VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, .ctx_id = ctx},
			.resource_id = id};

	return CALL(client, request, NULL, 0);
}

static struct virtio_gpu_ctrl_hdr fenced(struct picture_client *client, uint32_t type, uint32_t ctx)
{
	return (struct virtio_gpu_ctrl_hdr){
			.type = type,
			.flags = VIRTIO_GPU_FLAG_FENCE,
			.fence_id = ++client->next_fence,
			.ctx_id = ctx,
	};
}

uint32_t picture_client_submit(
		struct picture_client *client, uint32_t ctx, const uint32_t *words, size_t count)
{
	const struct virtio_gpu_cmd_submit request = {
			.hdr = fenced(client, VIRTIO_GPU_CMD_SUBMIT_3D, ctx),
			.size = (uint32_t)count * 4};

	return CALL(client, request, words, count * 4);
}

uint32_t picture_client_transfer_2d(
		struct picture_client *client, uint32_t id, uint32_t width, uint32_t height)
{
	const struct virtio_gpu_transfer_to_host_2d request = {
			.hdr = fenced(client, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, 0),
			.r = {.width = width, .height = height},
			.resource_id = id,
	};

	return CALL(client, request, NULL, 0);
}

uint32_t picture_client_transfer_3d(struct picture_client *client, bool to_host, uint32_t ctx,
		uint32_t id, uint32_t width, uint32_t height, uint32_t stride)
{
	const struct virtio_gpu_transfer_host_3d request = {
			.hdr = fenced(client,
					to_host ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D
						: VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
					ctx),
			.box = {.width = width, .height = height, .depth = 1},
			.resource_id = id,
			.stride = stride,
	};

	return CALL(client, request, NULL, 0);
}

uint32_t picture_client_set_scanout(struct picture_client *client, uint32_t head, uint32_t id,
		uint32_t width, uint32_t height)
{
	const struct virtio_gpu_set_scanout request = {
			.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT,
			.r = {.width = width, .height = height},
			.scanout_id = head,
			.resource_id = id,
	};

	return CALL(client, request, NULL, 0);
}

uint32_t picture_client_flush(
		struct picture_client *client, uint32_t id, uint32_t width, uint32_t height)
{
	const struct virtio_gpu_resource_flush request = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
			.r = {.width = width, .height = height},
			.resource_id = id,
	};

	return CALL(client, request, NULL, 0);
}

/* Sends a control message and waits for the answer of this type. */
static bool control_ask(struct picture_client *client, struct control_message *message,
		uint32_t answer, GError **error)
{
	message->header.version = CONTROL_VERSION;
	return control_send(client->control, message, error) &&
	       control_await(client, answer, message, error);
}

bool picture_client_screendump(
		struct picture_client *client, unsigned head, const char *path, GError **error)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	struct control_message message = {
			.header.type = CONTROL_SCREENDUMP,
			.payload.screendump = {.head = head, .cursor = 1},
			.fd = fd,
	};

	if (fd < 0) {
		set_error_errno(error, "%s", path);
		return false;
	}
	if (!control_ask(client, &message, CONTROL_SCREENDUMP_DONE, error)) {
		return false;
	}
	if (!message.payload.status.ok) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s",
				message.payload.status.message);
		return false;
	}
	return true;
}

bool picture_client_statistics(
		struct picture_client *client, struct control_statistics *ret_statistics)
{
	struct control_message message = {.header.type = CONTROL_QUERY_STATISTICS, .fd = -1};

	if (!control_ask(client, &message, CONTROL_STATISTICS, NULL)) {
		return false;
	}
	*ret_statistics = message.payload.statistics;
	return true;
}
