/* SPDX-License-Identifier: MIT */
#include "gpu/service/vtest.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "gpu/service/vtest_connection.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64
#define BACKLOG 16
#define STOP_MS 1000 /* the worker may hang */

struct vtest_server {
	struct gpu_client client;
	struct vtest_shared shared;
	char *path;
	int listen_fd;
	GPtrArray *connections; /* struct vtest_connection */
	uint32_t last_ctx_id;

	/* All above is the worker's while it serves. */
	int turn_fd; /* tells the worker that serving or stop changed, or that a connection is to be closed */
	atomic_bool serving, stopped;

	int wake_fd; /* tells run() that something of what follows happened, or stopped */
	atomic_bool stop;
	_Atomic(const char *) lost; /* why; static */
	pthread_mutex_t lock;
	struct vtest_request *completed; /* the server's own, newest first; guarded by lock */
};

static GQuark vtest_error_quark(void)
{
	return g_quark_from_static_string("oriel-vtest");
}

static struct vtest_server *vtest_from(struct gpu_client *client)
{
	return container_of(client, struct vtest_server, client);
}

/* What the GPU asks of its client. */

static void vtest_completed(struct gpu_client *client, struct gpu_request *base, size_t written)
{
	struct vtest_server *server = vtest_from(client);
	struct vtest_request *request = container_of(base, struct vtest_request, base);

	(void)written; /* a reply that was cut short has no success in its header */
	if (request->connection) {
		if (vtest_connection_completed(request->connection, request)) {
			eventfd_signal(server->turn_fd);
		}
		return;
	}
	pthread_mutex_lock(&server->lock);
	request->next = server->completed;
	server->completed = request;
	pthread_mutex_unlock(&server->lock);
	eventfd_signal(server->wake_fd);
}

static bool vtest_map(struct gpu_client *client, uint64_t guest, size_t len,
		struct gpu_mapping *ret_mapping)
{
	return vtest_memory_map(&vtest_from(client)->shared.memory, guest, len, ret_mapping);
}

static void vtest_unmap(struct gpu_client *client, struct gpu_mapping *mapping, bool written)
{
	(void)written; /* nobody keeps a log of dirty pages */
	vtest_memory_unmap(&vtest_from(client)->shared.memory, mapping);
}

static void vtest_written(struct gpu_client *client, uint64_t guest, size_t len)
{
	(void)client;
	(void)guest;
	(void)len;
}

static void vtest_config_changed(struct gpu_client *client)
{
	(void)client; /* there are no heads here */
}

static void vtest_lost(struct gpu_client *client, const char *reason)
{
	struct vtest_server *server = vtest_from(client);

	atomic_store(&server->lost, reason);
	eventfd_signal(server->wake_fd);
}

static const struct gpu_client_impl vtest_client_impl;

/* Life. */

/* Whether somebody listens at the address. */
static bool is_alive(const struct sockaddr_un *address)
{
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

static int listen_at(const char *path, GError **error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;

	if (strlen(path) >= sizeof(address.sun_path)) {
		g_set_error(error, vtest_error_quark(), 1,
				"vtest: the path '%s' is too long for a socket", path);
		return -1;
	}
	(void)g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !is_alive(&address)) {
		(void)unlink(path); /* bind says what is wrong if it is still there */
	}
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
			listen(fd, BACKLOG) < 0) {
		set_error_errno(error, "vtest: socket '%s'", path);
		return -1;
	}
	return fd_steal(&fd);
}

struct vtest_server *vtest_server_create(
		const char *path, const struct gpu_limits *limits, GError **error)
{
	struct vtest_server *server = g_new0(struct vtest_server, 1);

	server->client.impl = &vtest_client_impl;
	server->shared.limits = *limits;
	server->shared.resources = g_hash_table_new(g_direct_hash, g_direct_equal);
	vtest_memory_init(&server->shared.memory, limits->host_bytes);
	server->connections = g_ptr_array_new();
	pthread_mutex_init(&server->lock, NULL);
	server->wake_fd = eventfd_create(error);
	server->turn_fd = server->wake_fd < 0 ? -1 : eventfd_create(error);
	server->listen_fd = server->turn_fd < 0 ? -1 : listen_at(path, error);
	if (server->listen_fd < 0) {
		vtest_server_destroy(server);
		return NULL;
	}
	server->path = g_strdup(path);
	return server;
}

static struct vtest_request *take_completed(struct vtest_server *server)
{
	struct vtest_request *list = NULL;

	pthread_mutex_lock(&server->lock);
	while (server->completed) {
		struct vtest_request *request = server->completed;
		server->completed = request->next;
		request->next = list;
		list = request;
	}
	pthread_mutex_unlock(&server->lock);
	return list;
}

void vtest_server_destroy(struct vtest_server *server)
{
	struct vtest_request *request;

	if (!server) {
		return;
	}
	for (request = take_completed(server); request;) {
		struct vtest_request *next = request->next;
		vtest_request_destroy(request);
		request = next;
	}
	for (unsigned i = 0; i < server->connections->len; i++) {
		vtest_connection_destroy(g_ptr_array_index(server->connections, i));
	}
	g_ptr_array_free(server->connections, TRUE);
	fd_close(&server->listen_fd);
	if (server->path) {
		(void)unlink(server->path); /* it may be gone already */
	}
	fd_close(&server->wake_fd);
	fd_close(&server->turn_fd);
	pthread_mutex_destroy(&server->lock);
	vtest_memory_finish(&server->shared.memory);
	g_hash_table_destroy(server->shared.resources);
	g_free(server->shared.capsets[0]);
	g_free(server->shared.capsets[1]);
	g_free(server->path);
	g_free(server);
}

struct gpu_client *vtest_server_client(struct vtest_server *server)
{
	return &server->client;
}

void vtest_server_stop(struct vtest_server *server)
{
	atomic_store(&server->stop, true);
	eventfd_signal(server->wake_fd);
}

/* Capability sets, asked for before the first client comes. */

static void wait_for_events(struct vtest_server *server)
{
	struct pollfd pollfd = {.fd = server->wake_fd, .events = POLLIN};

	(void)poll(&pollfd, 1, -1); /* interrupted: the caller looks again */
	(void)eventfd_take(server->wake_fd);
}

/* Sends one of the server's own and waits for it. NULL if the GPU is lost meanwhile. */
static struct vtest_request *ask(struct vtest_server *server, struct vtest_request *request)
{
	struct vtest_request *done = NULL;

	gpu_submit(server->shared.gpu, &request->base);
	while (!(done = take_completed(server)) && !atomic_load(&server->lost)) {
		wait_for_events(server);
	}
	return done;
}

/* Set number index; no error where there are fewer. */
static bool take_capset(struct vtest_server *server, unsigned index)
{
	uint32_t id = 0, version = 0, size = 0;
	struct vtest_request *request = vtest_request_create(NULL, VIRTIO_GPU_CMD_GET_CAPSET_INFO,
			0, sizeof(struct virtio_gpu_get_capset_info),
			sizeof(struct virtio_gpu_resp_capset_info));

	request->command.get_capset_info.capset_index = index;
	request = ask(server, request);
	if (request && vtest_request_succeeded(request)) {
		const struct virtio_gpu_resp_capset_info *info =
				(const struct virtio_gpu_resp_capset_info *)request->reply;
		id = info->capset_id;
		version = info->capset_max_version;
		size = info->capset_max_size;
	}
	vtest_request_destroy(request);
	if (id != VIRTIO_GPU_CAPSET_VIRGL && id != VIRTIO_GPU_CAPSET_VIRGL2) {
		return true;
	}

	request = vtest_request_create(NULL, VIRTIO_GPU_CMD_GET_CAPSET, 0,
			sizeof(struct virtio_gpu_get_capset),
			sizeof(struct virtio_gpu_ctrl_hdr) + size);
	request->command.get_capset.capset_id = id;
	request->command.get_capset.capset_version = version;
	request = ask(server, request);
	bool ok = request && vtest_request_succeeded(request);
	if (ok) {
		g_free(server->shared.capsets[id - 1]);
		server->shared.capsets[id - 1] = g_memdup2(
				request->reply + sizeof(struct virtio_gpu_ctrl_hdr), size);
		server->shared.capset_sizes[id - 1] = size;
	}
	vtest_request_destroy(request);
	return ok;
}

static bool take_capsets(struct vtest_server *server, GError **error)
{
	if (!take_capset(server, 0) || !take_capset(server, 1) || !server->shared.capsets[0] ||
			!server->shared.capsets[1]) {
		g_set_error(error, vtest_error_quark(), 1,
				"vtest: the GPU does not render 3D (virgl)");
		return false;
	}
	return true;
}

/* The loop. */

static void accept_client(struct vtest_server *server)
{
	auto_fd int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		return;
	}
	if (server->connections->len >= MAX_CONNECTIONS) {
		guest_error("vtest: more than %u clients", MAX_CONNECTIONS);
		return;
	}
	/*
	 * A context id is free again when its connection is; 2^32 connections do not live at once.
	 */
	do {
		server->last_ctx_id++;
	} while (server->last_ctx_id == 0);
	g_ptr_array_add(server->connections, vtest_connection_create(&server->shared, fd_steal(&fd),
							     server->last_ctx_id));
}

static void close_broken(struct vtest_server *server)
{
	for (unsigned i = 0; i < server->connections->len; i++) {
		struct vtest_connection *connection = g_ptr_array_index(server->connections, i);
		if (vtest_connection_broken(connection)) {
			vtest_connection_close(connection);
		}
	}
}

static void bury(struct vtest_server *server)
{
	for (unsigned i = server->connections->len; i-- > 0;) {
		struct vtest_connection *connection = g_ptr_array_index(server->connections, i);
		if (vtest_connection_finished(connection)) {
			vtest_connection_destroy(connection);
			(void)g_ptr_array_remove_index_fast(server->connections, i);
		}
	}
}

static unsigned vtest_watch(struct gpu_client *client, struct pollfd *fds, unsigned max)
{
	struct vtest_server *server = vtest_from(client);
	unsigned count = 0;

	assert(max >= 2 + MAX_CONNECTIONS);
	fds[count++] = (struct pollfd){.fd = server->turn_fd, .events = POLLIN};
	if (!atomic_load(&server->serving)) {
		return count;
	}
	fds[count++] = (struct pollfd){.fd = server->listen_fd, .events = POLLIN};
	for (unsigned i = 0; i < server->connections->len; i++) {
		fds[count++] = (struct pollfd){.fd = vtest_connection_poll_fd(g_ptr_array_index(
							       server->connections, i)),
				.events = POLLIN};
	}
	return count;
}

/* What is in flight comes back before the GPU is destroyed, or with it. */
static void close_all(struct vtest_server *server)
{
	for (unsigned i = 0; i < server->connections->len; i++) {
		vtest_connection_close(g_ptr_array_index(server->connections, i));
	}
	atomic_store(&server->serving, false);
	atomic_store(&server->stopped, true);
	eventfd_signal(server->wake_fd);
}

static void vtest_ready(struct gpu_client *client, const struct pollfd *fds, unsigned count)
{
	struct vtest_server *server = vtest_from(client);

	if (fds[0].revents != 0) {
		(void)eventfd_take(server->turn_fd); /* what it announces is looked at below */
	}
	if (!atomic_load(&server->serving)) {
		return;
	}
	if (atomic_load(&server->stop)) {
		close_all(server);
		return;
	}
	for (unsigned i = 2; i < count; i++) {
		struct vtest_connection *connection = g_ptr_array_index(server->connections, i - 2);
		if (fds[i].revents != 0 && !vtest_connection_read(connection)) {
			vtest_connection_close(connection);
		}
	}
	close_broken(server);
	bury(server);
	if (count > 1 && fds[1].revents != 0) {
		accept_client(server);
	}
}

static const struct gpu_client_impl vtest_client_impl = {
		.completed = vtest_completed,
		.map = vtest_map,
		.unmap = vtest_unmap,
		.written = vtest_written,
		.config_changed = vtest_config_changed,
		.lost = vtest_lost,
		.watch = vtest_watch,
		.ready = vtest_ready,
};

bool vtest_server_run(struct vtest_server *server, struct gpu *gpu, GError **error)
{
	const char *reason;

	server->shared.gpu = gpu;
	if (!take_capsets(server, error)) {
		return false;
	}
	atomic_store(&server->serving, true);
	eventfd_signal(server->turn_fd);
	while (!atomic_load(&server->stop) && !atomic_load(&server->lost)) {
		wait_for_events(server);
	}
	reason = atomic_load(&server->lost);
	if (reason) {
		g_set_error(error, vtest_error_quark(), 1, "vtest: %s", reason);
		return false;
	}
	eventfd_signal(server->turn_fd);
	struct pollfd pollfd = {.fd = server->wake_fd, .events = POLLIN};
	while (!atomic_load(&server->stopped) && poll(&pollfd, 1, STOP_MS) > 0) {
		(void)eventfd_take(server->wake_fd);
	}
	return true;
}
