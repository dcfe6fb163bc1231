/* SPDX-License-Identifier: MIT */
#include "gpu/service/vtest_connection.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "gpu/service/vtest_protocol.h"
#include "gpu/stream/resources.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_IN_FLIGHT 256 /* requests; beyond it the client waits */
#define MAX_COMMANDS_A_TURN 64 /* then another connection's turn comes */

enum phase {
	PHASE_HEADER,
	PHASE_PAYLOAD,
};

struct vtest_connection {
	struct vtest_shared *shared;
	int fd;
	uint32_t ctx_id;
	bool has_context;
	bool closing, broken;
	GHashTable *resources; /* the client's handle -> id */

	enum phase phase;
	struct vtest_header header;
	uint8_t *payload; /* owned */
	size_t have, want; /* bytes of the header or the payload */

	unsigned in_flight, fences; /* requests; those of them that are fenced */
	uint64_t last_fence;
	bool waiting; /* a BUSY_WAIT is to be answered */
	bool wait_for_fences;
};

struct vtest_connection *vtest_connection_create(
		struct vtest_shared *shared, int take_fd, uint32_t ctx_id)
{
	struct vtest_connection *connection = g_new0(struct vtest_connection, 1);

	connection->shared = shared;
	connection->fd = take_fd;
	connection->ctx_id = ctx_id;
	connection->resources = g_hash_table_new(g_direct_hash, g_direct_equal);
	connection->want = sizeof(connection->header);
	return connection;
}

void vtest_connection_destroy(struct vtest_connection *connection)
{
	if (!connection) {
		return;
	}
	fd_close(&connection->fd);
	g_hash_table_destroy(connection->resources);
	g_free(connection->payload);
	g_free(connection);
}

int vtest_connection_poll_fd(const struct vtest_connection *connection)
{
	bool blocked = connection->closing || connection->waiting ||
		       connection->in_flight >= MAX_IN_FLIGHT;

	return blocked ? -1 : connection->fd;
}

bool vtest_connection_finished(const struct vtest_connection *connection)
{
	return connection->closing && connection->in_flight == 0;
}

bool vtest_connection_broken(const struct vtest_connection *connection)
{
	return connection->broken;
}

static bool refuse(const struct vtest_connection *connection, const char *why)
{
	guest_error("vtest client %u: %s", connection->ctx_id, why);
	return false;
}

/*
 * Replies. The client reads each before it goes on, so a full socket is a client that misbehaves.
 */

static bool reply(struct vtest_connection *connection, uint32_t length, uint32_t command,
		const void *payload, size_t size)
{
	struct vtest_header header = {length, command};
	struct iovec iov[] = {{&header, sizeof(header)}, {(void *)(uintptr_t)payload, size}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n != (ssize_t)(sizeof(header) + size)) {
		return refuse(connection, "does not read its replies");
	}
	return true;
}

static bool reply_fd(struct vtest_connection *connection, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char nothing = 0;
	struct iovec iov = {&nothing, 1};
	struct msghdr message = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
		return refuse(connection, "does not read its replies");
	}
	return true;
}

/* Requests. */

static void send_request(struct vtest_connection *connection, struct vtest_request *request)
{
	connection->in_flight++;
	if (request->fenced) {
		connection->fences++;
	}
	gpu_submit(connection->shared->gpu, &request->base);
}

static void send_resource_command(
		struct vtest_connection *connection, uint32_t type, uint32_t ctx_id, uint32_t id)
{
	struct vtest_request *request = vtest_request_create(connection, type, ctx_id,
			sizeof(struct virtio_gpu_resource_cmd), sizeof(struct virtio_gpu_ctrl_hdr));

	request->command.resource.resource_id = id;
	send_request(connection, request);
}

static uint32_t find_resource(const struct vtest_connection *connection, uint32_t handle)
{
	return GPOINTER_TO_UINT(
			g_hash_table_lookup(connection->resources, GUINT_TO_POINTER(handle)));
}

/* An id that no connection uses. */
static uint32_t new_resource_id(struct vtest_shared *shared)
{
	do {
		shared->last_resource++;
	} while (shared->last_resource == 0 ||
			g_hash_table_contains(shared->resources,
					GUINT_TO_POINTER(shared->last_resource)));
	g_hash_table_add(shared->resources, GUINT_TO_POINTER(shared->last_resource));
	return shared->last_resource;
}

/*
 * Requests before it may still be waiting to map the memory: it goes when this one has completed.
 */
static void drop_resource(struct vtest_connection *connection, uint32_t id)
{
	send_resource_command(connection, VIRTIO_GPU_CMD_RESOURCE_UNREF, 0, id);
}

static void resource_dropped(struct vtest_shared *shared, uint32_t id)
{
	vtest_memory_remove(&shared->memory, id);
	g_hash_table_remove(shared->resources, GUINT_TO_POINTER(id));
}

/* Commands. Each returns false where the connection is to be closed. */

typedef bool handler_fn(struct vtest_connection *connection);

static bool handle_create_renderer(struct vtest_connection *connection)
{
	struct virtio_gpu_ctx_create *create;
	struct vtest_request *request;

	if (connection->has_context) {
		return refuse(connection, "creates a second renderer");
	}
	request = vtest_request_create(connection, VIRTIO_GPU_CMD_CTX_CREATE, connection->ctx_id,
			sizeof(*create), sizeof(struct virtio_gpu_ctrl_hdr));
	create = &request->command.ctx_create;
	create->context_init = VIRTIO_GPU_CAPSET_VIRGL2;
	create->nlen = (uint32_t)MIN(connection->want, sizeof(create->debug_name));
	memcpy(create->debug_name, connection->payload, create->nlen);
	connection->has_context = true;
	send_request(connection, request);
	return true;
}

static bool handle_ping(struct vtest_connection *connection)
{
	return reply(connection, 0, VTEST_PING_PROTOCOL_VERSION, NULL, 0);
}

static bool handle_version(struct vtest_connection *connection)
{
	struct vtest_word version = *(const struct vtest_word *)connection->payload;

	if (version.value < VTEST_PROTOCOL_VERSION) {
		return refuse(connection, "speaks a protocol older than version 2");
	}
	version.value = VTEST_PROTOCOL_VERSION;
	return reply(connection, 1, VTEST_PROTOCOL_VERSION_NEGOTIATE, &version, sizeof(version));
}

/* The reply's command is the number of the set. */
static bool reply_capset(struct vtest_connection *connection, unsigned set)
{
	struct vtest_shared *shared = connection->shared;
	uint32_t size = shared->capset_sizes[set - 1];

	return reply(connection, size + 1, set, shared->capsets[set - 1], size);
}

static bool handle_caps(struct vtest_connection *connection)
{
	return reply_capset(connection, VIRTIO_GPU_CAPSET_VIRGL);
}

static bool handle_caps2(struct vtest_connection *connection)
{
	return reply_capset(connection, VIRTIO_GPU_CAPSET_VIRGL2);
}

static void send_create_3d(struct vtest_connection *connection, uint32_t id,
		const struct vtest_resource_create2 *from)
{
	struct virtio_gpu_resource_create_3d *create;
	struct vtest_request *request = vtest_request_create(connection,
			VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, 0, sizeof(*create),
			sizeof(struct virtio_gpu_ctrl_hdr));

	create = &request->command.create_3d;
	create->resource_id = id;
	create->target = from->target;
	create->format = from->format;
	create->bind = from->bind;
	create->width = from->width;
	create->height = from->height;
	create->depth = from->depth;
	create->array_size = from->array_size;
	create->last_level = from->last_level;
	create->nr_samples = from->nr_samples;
	send_request(connection, request);
}

static void send_backing(struct vtest_connection *connection, uint32_t id, uint32_t size)
{
	struct virtio_gpu_mem_entry *entry = g_new0(struct virtio_gpu_mem_entry, 1);
	struct vtest_request *request = vtest_request_create(connection,
			VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, 0,
			sizeof(struct virtio_gpu_resource_cmd), sizeof(struct virtio_gpu_ctrl_hdr));

	entry->addr = vtest_memory_address(id);
	entry->length = size;
	request->command.resource.resource_id = id;
	request->command.resource.argument = 1;
	vtest_request_set_payload(request, entry, sizeof(*entry));
	send_request(connection, request);
}

static bool handle_resource_create2(struct vtest_connection *connection)
{
	struct vtest_resource_create2 create;
	g_autoptr(GError) error = NULL;
	auto_fd int fd = -1;

	memcpy(&create, connection->payload, sizeof(create));
	if (create.handle == 0 || find_resource(connection, create.handle) != 0) {
		return refuse(connection, "resource handle is 0 or in use");
	}
	if (g_hash_table_size(connection->resources) >= connection->shared->limits.resources) {
		return refuse(connection, "too many resources");
	}
	uint32_t id = new_resource_id(connection->shared);
	g_hash_table_insert(connection->resources, GUINT_TO_POINTER(create.handle),
			GUINT_TO_POINTER(id));
	send_create_3d(connection, id, &create);
	send_resource_command(
			connection, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, connection->ctx_id, id);
	if (create.data_size == 0) {
		return true;
	}
	if (!vtest_memory_add(&connection->shared->memory, id, create.data_size, &fd, &error)) {
		return refuse(connection, error->message);
	}
	send_backing(connection, id, create.data_size);
	return reply_fd(connection, fd);
}

static bool handle_resource_unref(struct vtest_connection *connection)
{
	uint32_t handle = ((const struct vtest_word *)connection->payload)->value;
	uint32_t id = find_resource(connection, handle);

	if (id != 0) {
		g_hash_table_remove(connection->resources, GUINT_TO_POINTER(handle));
		drop_resource(connection, id);
	}
	return true;
}

static bool send_transfer(struct vtest_connection *connection, uint32_t type)
{
	struct vtest_transfer2 from;
	struct virtio_gpu_transfer_host_3d *transfer;
	struct vtest_request *request;

	memcpy(&from, connection->payload, sizeof(from));
	request = vtest_request_create(connection, type, connection->ctx_id, sizeof(*transfer),
			sizeof(struct virtio_gpu_ctrl_hdr));
	transfer = &request->command.transfer;
	transfer->box = (struct virtio_gpu_box){
			from.x, from.y, from.z, from.width, from.height, from.depth};
	transfer->offset = from.offset;
	transfer->resource_id = find_resource(
			connection, from.handle); /* 0 is refused by the GPU */
	transfer->level = from.level;
	send_request(connection, request);
	return true;
}

static bool handle_transfer_get2(struct vtest_connection *connection)
{
	return send_transfer(connection, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D);
}

static bool handle_transfer_put2(struct vtest_connection *connection)
{
	return send_transfer(connection, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D);
}

static bool rename_resource(uint32_t *id, void *opaque)
{
	*id = find_resource(opaque, *id);
	return *id != 0;
}

static bool handle_submit(struct vtest_connection *connection)
{
	uint32_t *words = (uint32_t *)g_steal_pointer(&connection->payload);
	size_t size = connection->want;
	struct vtest_request *request;

	if (!stream_visit_resources(words, size / 4, rename_resource, connection)) {
		g_free(words);
		return refuse(connection, "its stream names a resource it does not have");
	}
	request = vtest_request_create(connection, VIRTIO_GPU_CMD_SUBMIT_3D, connection->ctx_id,
			sizeof(struct virtio_gpu_cmd_submit), sizeof(struct virtio_gpu_ctrl_hdr));
	request->command.submit.size = (uint32_t)size;
	vtest_request_set_payload(request, words, size);
	vtest_request_set_fence(request, ++connection->last_fence);
	send_request(connection, request);
	return true;
}

/*
 * Answers a BUSY_WAIT when it is time. Even without WAIT the answer says that all transfers before
 * it are done: clients write their shared memory again after it.
 */
static bool answer_wait(struct vtest_connection *connection)
{
	struct vtest_word busy = {connection->fences > 0};
	bool ready = connection->in_flight == connection->fences &&
		     (!connection->wait_for_fences || connection->fences == 0);

	if (!connection->waiting || !ready) {
		return true;
	}
	connection->waiting = false;
	return reply(connection, 1, VTEST_RESOURCE_BUSY_WAIT, &busy, sizeof(busy));
}

static bool handle_busy_wait(struct vtest_connection *connection)
{
	const struct vtest_busy_wait *wait = (const struct vtest_busy_wait *)connection->payload;

	connection->waiting = true;
	connection->wait_for_fences = wait->flags & VTEST_BUSY_WAIT_FLAG_WAIT;
	return answer_wait(connection);
}

static bool handle_too_old(struct vtest_connection *connection)
{
	return refuse(connection, "speaks a protocol older than version 2");
}

static const struct {
	handler_fn *handler;
	uint32_t size; /* bytes of payload; 0 where the header says */
	bool needs_context;
} commands[] = {
		[VTEST_GET_CAPS] = {handle_caps, 0, false},
		[VTEST_RESOURCE_CREATE] = {handle_too_old, 0, false},
		[VTEST_RESOURCE_UNREF] = {handle_resource_unref, sizeof(struct vtest_word), true},
		[VTEST_TRANSFER_GET] = {handle_too_old, 0, false},
		[VTEST_TRANSFER_PUT] = {handle_too_old, 0, false},
		[VTEST_SUBMIT_CMD] = {handle_submit, 0, true},
		[VTEST_RESOURCE_BUSY_WAIT] = {handle_busy_wait, sizeof(struct vtest_busy_wait),
				false},
		[VTEST_CREATE_RENDERER] = {handle_create_renderer, 0, false},
		[VTEST_GET_CAPS2] = {handle_caps2, 0, false},
		[VTEST_PING_PROTOCOL_VERSION] = {handle_ping, 0, false},
		[VTEST_PROTOCOL_VERSION_NEGOTIATE] = {handle_version, sizeof(struct vtest_word),
				false},
		[VTEST_RESOURCE_CREATE2] = {handle_resource_create2,
				sizeof(struct vtest_resource_create2), true},
		[VTEST_TRANSFER_GET2] = {handle_transfer_get2, sizeof(struct vtest_transfer2),
				true},
		[VTEST_TRANSFER_PUT2] = {handle_transfer_put2, sizeof(struct vtest_transfer2),
				true},
};

/* Reading. */

/* How much payload follows the header. */
static bool payload_size(const struct vtest_connection *connection, size_t *ret_size)
{
	const struct vtest_header *header = &connection->header;

	if (header->command >= G_N_ELEMENTS(commands) || !commands[header->command].handler) {
		return refuse(connection, "no such command");
	}
	if (commands[header->command].needs_context && !connection->has_context) {
		return refuse(connection, "uses a renderer before it creates one");
	}
	*ret_size = commands[header->command].size;
	if (header->command == VTEST_SUBMIT_CMD) {
		*ret_size = (size_t)header->length * 4;
	} else if (header->command == VTEST_CREATE_RENDERER) {
		*ret_size = header->length;
	}
	if (*ret_size > connection->shared->limits.request_bytes) {
		return refuse(connection, "command larger than the limit");
	}
	return true;
}

static bool begin_payload(struct vtest_connection *connection)
{
	size_t size;

	if (!payload_size(connection, &size)) {
		return false;
	}
	g_free(connection->payload);
	connection->payload = g_try_malloc(size);
	if (size > 0 && !connection->payload) {
		return refuse(connection, "no memory for its command");
	}
	connection->phase = PHASE_PAYLOAD;
	connection->have = 0;
	connection->want = size;
	return true;
}

static bool handle_command(struct vtest_connection *connection)
{
	bool ok = commands[connection->header.command].handler(connection);

	connection->phase = PHASE_HEADER;
	connection->have = 0;
	connection->want = sizeof(connection->header);
	return ok;
}

/* Reads on. False at the end of the connection; *ret_blocked if there is no more for now. */
static bool fill(struct vtest_connection *connection, bool *ret_blocked)
{
	uint8_t *at = connection->phase == PHASE_HEADER ? (uint8_t *)&connection->header
							: connection->payload;
	ssize_t n = recv(connection->fd, at + connection->have, connection->want - connection->have,
			MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		*ret_blocked = true;
		return true;
	}
	if (n <= 0) {
		return false;
	}
	connection->have += (size_t)n;
	return true;
}

bool vtest_connection_read(struct vtest_connection *connection)
{
	unsigned handled = 0;
	bool blocked = false;

	while (handled < MAX_COMMANDS_A_TURN && vtest_connection_poll_fd(connection) >= 0) {
		if (connection->have < connection->want && !fill(connection, &blocked)) {
			return false;
		}
		if (connection->have < connection->want) {
			if (blocked) {
				return true;
			}
			continue;
		}
		if (connection->phase == PHASE_HEADER) {
			if (!begin_payload(connection)) {
				return false;
			}
			continue;
		}
		handled++;
		if (!handle_command(connection)) {
			return false;
		}
	}
	return true;
}

bool vtest_connection_completed(struct vtest_connection *connection, struct vtest_request *request)
{
	uint32_t type = request->command.hdr.type;
	bool succeeded = vtest_request_succeeded(request);

	connection->in_flight--;
	if (request->fenced) {
		connection->fences--;
	}
	if (type == VIRTIO_GPU_CMD_RESOURCE_UNREF) {
		resource_dropped(connection->shared, request->command.resource.resource_id);
	}
	vtest_request_destroy(request);
	if (connection->closing) {
		return connection->in_flight == 0;
	}
	/* A failed stream or transfer is a wrong picture; without its resource a client is lost. */
	if (!succeeded && (type == VIRTIO_GPU_CMD_CTX_CREATE ||
					  type == VIRTIO_GPU_CMD_RESOURCE_CREATE_3D ||
					  type == VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING)) {
		connection->broken = !refuse(connection, "cannot have what it asks for");
	} else {
		connection->broken |= !answer_wait(connection);
	}
	return connection->broken;
}

void vtest_connection_close(struct vtest_connection *connection)
{
	GHashTableIter iter;
	gpointer id;

	if (connection->closing) {
		return;
	}
	connection->closing = true;
	fd_close(&connection->fd);
	g_hash_table_iter_init(&iter, connection->resources);
	while (g_hash_table_iter_next(&iter, NULL, &id)) {
		drop_resource(connection, GPOINTER_TO_UINT(id));
	}
	if (connection->has_context) {
		send_request(connection,
				vtest_request_create(connection, VIRTIO_GPU_CMD_CTX_DESTROY,
						connection->ctx_id,
						sizeof(struct virtio_gpu_ctrl_hdr),
						sizeof(struct virtio_gpu_ctrl_hdr)));
	}
}
