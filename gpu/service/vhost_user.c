/* SPDX-License-Identifier: MIT */
#include "gpu/service/vhost_user.h"

#include "core/base/checked.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/virtio/vhost_user.h"
#include "gpu/service/vhost_user_queue.h"

#include <glib-unix.h>
#include <string.h>
#include <sys/mman.h>

#define PROTOCOL_FEATURES \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) | \
			BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
			BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
			BIT(VHOST_USER_PROTOCOL_F_CONFIG) | \
			BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
			BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))

#define RING_FEATURES \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_INDIRECT_DESC) | BIT(VIRTIO_F_RING_EVENT_IDX))

#define RESET_POLL_MS 500

struct vhost_user_backend {
	struct gpu_client client;
	struct vhost_user_backend_events *events;
	struct gpu *gpu; /* NULL until attached */
	int socket;
	GSource *source;
	GMainContext *context;

	uint64_t features, protocol_features; /* negotiated */
	struct guest_memory *memory;
	struct vhost_user_memory table; /* for front-end addresses */
	struct vhost_user_queue queues[VIRTIO_GPU_QUEUE_COUNT];
	struct inflight *inflight;

	/* The dirty log: a bit a page, shared with the front end. */
	struct guest_write_hook write_hook;
	GMutex log_lock;
	uint8_t *log; /* guarded by log_lock */
	uint64_t log_size; /* bytes; guarded by log_lock */

	GMutex channel_lock;
	int channel; /* our requests to the front end; guarded by channel_lock */
};

/* One handler a message. False: the message is refused, error set. */
typedef bool handler_fn(struct vhost_user_backend *backend, struct vhost_user_message *message,
		GError **error);

static bool refuse(GError **error, const char *what)
{
	g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, what);
	return false;
}

static bool reply(struct vhost_user_backend *backend, struct vhost_user_message *message,
		uint32_t size, GError **error)
{
	message->header.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
	message->header.size = size;
	return vhost_user_send(backend->socket, message, error);
}

static bool reply_u64(struct vhost_user_backend *backend, struct vhost_user_message *message,
		uint64_t value, GError **error)
{
	message->payload.u64 = value;
	message->nfds = 0;
	return reply(backend, message, sizeof(value), error);
}

static int take_fd(struct vhost_user_message *message, unsigned index)
{
	return index < message->nfds ? fd_steal(&message->fds[index]) : -1;
}

static bool handle_get_features(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	return reply_u64(backend, message,
			gpu_features(backend->gpu) | RING_FEATURES | BIT(VHOST_F_LOG_ALL) |
					BIT(VHOST_USER_F_PROTOCOL_FEATURES),
			error);
}

static bool handle_set_features(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	backend->features = message->payload.u64;
	(void)error;
	return true;
}

static bool handle_get_protocol_features(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	return reply_u64(backend, message, PROTOCOL_FEATURES, error);
}

static bool handle_set_protocol_features(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	if (message->payload.u64 & ~PROTOCOL_FEATURES) {
		return refuse(error, "protocol features that were not offered");
	}
	backend->protocol_features = message->payload.u64;
	return true;
}

static bool handle_nothing(struct vhost_user_backend *backend, struct vhost_user_message *message,
		GError **error)
{
	(void)backend;
	(void)message;
	(void)error;
	return true;
}

static bool handle_get_queue_num(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	return reply_u64(backend, message, VIRTIO_GPU_QUEUE_COUNT, error);
}

static bool handle_set_mem_table(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	const struct vhost_user_memory *table = &message->payload.memory;

	if (table->nregions > VHOST_USER_MAX_REGIONS || table->nregions != message->nfds) {
		return refuse(error, "memory table: as many descriptors as regions, at most 8");
	}
	/* Mappings in use keep their memory; everything else is looked up anew. */
	guest_memory_clear(backend->memory);
	backend->table.nregions = 0;
	for (uint32_t i = 0; i < table->nregions; i++) {
		const struct vhost_user_region *region = &table->regions[i];
		if (!guest_memory_add(backend->memory, region->guest_addr, region->size,
				    message->fds[i], region->mmap_offset, 0, error)) {
			return false;
		}
	}
	backend->table = *table;
	return true;
}

/* Ring addresses come in the front end's address space. */
static bool to_guest(const struct vhost_user_backend *backend, uint64_t user, uint64_t *ret_guest)
{
	for (uint32_t i = 0; i < backend->table.nregions; i++) {
		const struct vhost_user_region *region = &backend->table.regions[i];
		if (user >= region->user_addr && user - region->user_addr < region->size) {
			*ret_guest = region->guest_addr + (user - region->user_addr);
			return true;
		}
	}
	return false;
}

static struct vhost_user_queue *queue_at(
		struct vhost_user_backend *backend, uint64_t index, GError **error)
{
	if (index >= VIRTIO_GPU_QUEUE_COUNT) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "queue %" G_GUINT64_FORMAT,
				index);
		return NULL;
	}
	return &backend->queues[index];
}

static bool handle_set_vring_num(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	struct vhost_user_queue *queue = queue_at(backend, message->payload.state.index, error);
	uint32_t num = message->payload.state.num;

	if (!queue) {
		return false;
	}
	if (num == 0 || num > VIRTQUEUE_MAX_SIZE || (num & (num - 1))) {
		return refuse(error, "queue size: a power of two up to 1024");
	}
	queue->config.size = (uint16_t)num;
	return true;
}

static bool handle_set_vring_addr(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	const struct vhost_user_vring_addr *addr = &message->payload.addr;
	struct vhost_user_queue *queue = queue_at(backend, addr->index, error);

	if (!queue) {
		return false;
	}
	if (!to_guest(backend, addr->desc, &queue->config.desc) ||
			!to_guest(backend, addr->avail, &queue->config.avail) ||
			!to_guest(backend, addr->used, &queue->config.used)) {
		return refuse(error, "ring addresses outside the memory table");
	}
	queue->addresses_set = true;
	return true;
}

static bool handle_set_vring_base(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	struct vhost_user_queue *queue = queue_at(backend, message->payload.state.index, error);

	if (!queue) {
		return false;
	}
	queue->config.next_avail = (uint16_t)message->payload.state.num;
	return true;
}

static bool handle_get_vring_base(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	struct vhost_user_queue *queue = queue_at(backend, message->payload.state.index, error);

	if (!queue) {
		return false;
	}
	message->payload.state.num = vhost_user_queue_stop(queue);
	queue->config.next_avail = (uint16_t)message->payload.state.num;
	return reply(backend, message, sizeof(message->payload.state), error);
}

/* Which queue a descriptor message is for, and the descriptor (-1: none). */
static struct vhost_user_queue *fd_message(struct vhost_user_backend *backend,
		struct vhost_user_message *message, int *ret_fd, GError **error)
{
	struct vhost_user_queue *queue = queue_at(backend, message->payload.u64 & 0xff, error);

	if (queue) {
		*ret_fd = message->payload.u64 & VHOST_USER_VRING_NOFD ? -1 : take_fd(message, 0);
	}
	return queue;
}

static bool handle_set_vring_kick(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	int fd;
	struct vhost_user_queue *queue = fd_message(backend, message, &fd, error);

	if (!queue) {
		return false;
	}
	if (fd < 0 || !queue->addresses_set || queue->config.size == 0) {
		fd_close(&fd);
		return refuse(error,
				"a kick descriptor, size and addresses are needed to start a queue");
	}
	(void)vhost_user_queue_stop(queue); /* it goes on from config.next_avail */
	queue->config.event_idx = backend->features & BIT(VIRTIO_F_RING_EVENT_IDX);
	queue->config.indirect = backend->features & BIT(VIRTIO_F_RING_INDIRECT_DESC);
	if (!guest_memory_read(backend->memory, queue->config.used + 2, &queue->config.next_used,
			    sizeof(queue->config.next_used))) {
		fd_close(&fd);
		return refuse(error, "used ring outside guest memory");
	}
	queue->inflight = backend->inflight ? inflight_queue_at(backend->inflight, queue->index)
					    : NULL;
	return vhost_user_queue_start(queue, backend->memory, fd, error);
}

static bool handle_set_vring_call(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	int fd;
	struct vhost_user_queue *queue = fd_message(backend, message, &fd, error);

	if (!queue) {
		return false;
	}
	vhost_user_queue_set_call(queue, fd);
	return true;
}

static bool handle_set_vring_err(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	int fd;
	struct vhost_user_queue *queue = fd_message(backend, message, &fd, error);

	if (!queue) {
		return false;
	}
	vhost_user_queue_set_err(queue, fd);
	return true;
}

static bool handle_set_vring_enable(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	struct vhost_user_queue *queue = queue_at(backend, message->payload.state.index, error);

	if (!queue) {
		return false;
	}
	queue->enabled = message->payload.state.num != 0;
	return true;
}

static bool handle_set_backend_req_fd(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	int fd = take_fd(message, 0);

	if (fd < 0) {
		return refuse(error, "a descriptor is needed");
	}
	g_mutex_lock(&backend->channel_lock);
	fd_close(&backend->channel);
	backend->channel = fd;
	g_mutex_unlock(&backend->channel_lock);
	return true;
}

static bool handle_get_config(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	struct vhost_user_config *config = &message->payload.config;
	struct virtio_gpu_config contents;

	gpu_get_config(backend->gpu, &contents);
	if (!range_within(config->offset, config->size, sizeof(contents)) ||
			config->size > sizeof(config->data)) {
		/* The protocol's way to refuse: an empty payload. */
		return reply(backend, message, 0, error);
	}
	memcpy(config->data, (const char *)&contents + config->offset, config->size);
	return reply(backend, message,
			(uint32_t)offsetof(struct vhost_user_config, data) + config->size, error);
}

static bool handle_set_config(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	const struct vhost_user_config *config = &message->payload.config;
	uint32_t events;

	if (config->offset != offsetof(struct virtio_gpu_config, events_clear) ||
			config->size != sizeof(events)) {
		return refuse(error, "only events_clear can be written");
	}
	memcpy(&events, config->data, sizeof(events));
	gpu_clear_events(backend->gpu, events);
	return true;
}

static bool inflight_geometry_ok(const struct vhost_user_inflight *inflight)
{
	return inflight->num_queues == VIRTIO_GPU_QUEUE_COUNT && inflight->queue_size > 0 &&
	       inflight->queue_size <= VIRTQUEUE_MAX_SIZE;
}

static bool handle_get_inflight_fd(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	struct vhost_user_inflight *inflight = &message->payload.inflight;

	if (!inflight_geometry_ok(inflight)) {
		return refuse(error, "inflight region: two queues of up to 1024 descriptors");
	}
	inflight->mmap_offset = 0;
	inflight->mmap_size = inflight_size(inflight->num_queues, inflight->queue_size);
	auto_fd int fd = memfd_create_sized("gpu-inflight", inflight->mmap_size, error);
	if (fd < 0) {
		return false;
	}
	message->fds[0] = fd;
	message->nfds = 1;
	bool ok = reply(backend, message, sizeof(*inflight), error);
	message->nfds = 0;
	return ok;
}

static bool handle_set_inflight_fd(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	const struct vhost_user_inflight *inflight = &message->payload.inflight;

	if (!inflight_geometry_ok(inflight) || message->nfds != 1) {
		return refuse(error, "inflight region: two queues of up to 1024 descriptors");
	}
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		if (backend->queues[i].vq) {
			return refuse(error, "the inflight region comes before the rings start");
		}
	}
	struct inflight *mapped = inflight_map(message->fds[0], inflight->mmap_size,
			inflight->mmap_offset, inflight->num_queues, inflight->queue_size, error);
	if (!mapped) {
		return false;
	}
	inflight_unmap(backend->inflight);
	backend->inflight = mapped;
	return true;
}

static bool handle_set_log_base(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	const struct vhost_user_log *log = &message->payload.log;

	if (message->nfds != 1 || log->size == 0 || log->offset % GUEST_PAGE_SIZE != 0) {
		return refuse(error, "dirty log: one descriptor, a size, a page-aligned offset");
	}
	void *map = mmap(NULL, log->size, PROT_READ | PROT_WRITE, MAP_SHARED, message->fds[0],
			(off_t)log->offset);
	if (map == MAP_FAILED) {
		set_error_errno(error, "dirty log");
		return false;
	}
	g_mutex_lock(&backend->log_lock);
	if (backend->log) {
		munmap(backend->log, backend->log_size);
	}
	backend->log = map;
	backend->log_size = log->size;
	g_mutex_unlock(&backend->log_lock);
	return reply_u64(backend, message, 0, error);
}

static void reset_done(void *opaque)
{
	eventfd_signal(*(int *)opaque);
}

/* The front end waits for this one: afterwards nothing of the old driver is left. */
static bool handle_reset_device(struct vhost_user_backend *backend,
		struct vhost_user_message *message, GError **error)
{
	auto_fd int done = eventfd_create(error);
	(void)message;

	if (done < 0) {
		return false;
	}
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		(void)vhost_user_queue_stop(&backend->queues[i]); /* a reset starts rings at 0 */
		backend->queues[i].config = (struct virtqueue_config){0};
		backend->queues[i].addresses_set = false;
		backend->queues[i].enabled = false;
	}
	gpu_reset(backend->gpu, reset_done, &done);
	GPollFD poll_fd = {.fd = done, .events = G_IO_IN};
	while (g_poll(&poll_fd, 1, RESET_POLL_MS) <= 0) {
		/* This thread is the watchdog's, and a reset waits for what hangs. */
		(void)gpu_check_hang(backend->gpu);
	}
	(void)eventfd_take(done); /* after what the worker did */
	return true;
}

static const struct {
	handler_fn *handle;
	uint32_t min_size; /* of the payload */
	bool replies; /* by itself */
} handlers[] = {
		[VHOST_USER_GET_FEATURES] = {handle_get_features, 0, true},
		[VHOST_USER_SET_FEATURES] = {handle_set_features, 8, false},
		[VHOST_USER_SET_OWNER] = {handle_nothing, 0, false},
		[VHOST_USER_RESET_OWNER] = {handle_nothing, 0, false},
		[VHOST_USER_SET_MEM_TABLE] = {handle_set_mem_table, 8, false},
		[VHOST_USER_SET_LOG_BASE] = {handle_set_log_base, sizeof(struct vhost_user_log),
				true},
		[VHOST_USER_SET_LOG_FD] = {handle_nothing, 0, false},
		[VHOST_USER_SET_VRING_NUM] = {handle_set_vring_num, 8, false},
		[VHOST_USER_SET_VRING_ADDR] = {handle_set_vring_addr,
				sizeof(struct vhost_user_vring_addr), false},
		[VHOST_USER_SET_VRING_BASE] = {handle_set_vring_base, 8, false},
		[VHOST_USER_GET_VRING_BASE] = {handle_get_vring_base, 8, true},
		[VHOST_USER_SET_VRING_KICK] = {handle_set_vring_kick, 8, false},
		[VHOST_USER_SET_VRING_CALL] = {handle_set_vring_call, 8, false},
		[VHOST_USER_SET_VRING_ERR] = {handle_set_vring_err, 8, false},
		[VHOST_USER_GET_PROTOCOL_FEATURES] = {handle_get_protocol_features, 0, true},
		[VHOST_USER_SET_PROTOCOL_FEATURES] = {handle_set_protocol_features, 8, false},
		[VHOST_USER_GET_QUEUE_NUM] = {handle_get_queue_num, 0, true},
		[VHOST_USER_SET_VRING_ENABLE] = {handle_set_vring_enable, 8, false},
		[VHOST_USER_SET_BACKEND_REQ_FD] = {handle_set_backend_req_fd, 0, false},
		[VHOST_USER_GET_CONFIG] = {handle_get_config, 12, true},
		[VHOST_USER_SET_CONFIG] = {handle_set_config, 12, false},
		[VHOST_USER_GET_INFLIGHT_FD] = {handle_get_inflight_fd,
				sizeof(struct vhost_user_inflight), true},
		[VHOST_USER_SET_INFLIGHT_FD] = {handle_set_inflight_fd,
				sizeof(struct vhost_user_inflight), false},
		[VHOST_USER_RESET_DEVICE] = {handle_reset_device, 0, false},
};

static bool dispatch(struct vhost_user_backend *backend, struct vhost_user_message *message,
		GError **error)
{
	uint32_t request = message->header.request;
	bool ack = (message->header.flags & VHOST_USER_FLAG_NEED_REPLY) &&
		   (backend->protocol_features & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
	g_autoptr(GError) refusal = NULL;

	if (request >= G_N_ELEMENTS(handlers) || !handlers[request].handle) {
		g_set_error(&refusal, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"request %u is not supported", request);
	} else if (message->header.size < handlers[request].min_size) {
		g_set_error(&refusal, G_FILE_ERROR, G_FILE_ERROR_INVAL, "payload of %u bytes",
				message->header.size);
	} else if (handlers[request].handle(backend, message, &refusal) &&
			handlers[request].replies) {
		return true;
	}
	if (refusal) {
		log_warn("vhost-user: %s refused: %s", vhost_user_request_name(request),
				refusal->message);
		/* A front end that waits for a payload we cannot give would wait for ever. */
		if (!ack) {
			g_propagate_error(error, g_steal_pointer(&refusal));
			return false;
		}
	}
	return !ack || reply_u64(backend, message, refusal ? 1 : 0, error);
}

static void disconnect(struct vhost_user_backend *backend, const GError *error)
{
	g_source_destroy(backend->source);
	g_source_unref(backend->source);
	backend->source = NULL;
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		vhost_user_queue_pause(&backend->queues[i]);
	}
	backend->events->disconnected(backend->events,
			g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_PIPE) ? NULL : error);
}

static gboolean handle_message(int fd, GIOCondition condition, gpointer opaque)
{
	struct vhost_user_backend *backend = opaque;
	struct vhost_user_message message;
	g_autoptr(GError) error = NULL;
	(void)condition;

	if (!vhost_user_receive(fd, &message, &error)) {
		disconnect(backend, error);
		return G_SOURCE_REMOVE;
	}
	bool ok = dispatch(backend, &message, &error);
	vhost_user_message_close_fds(&message);
	if (!ok) {
		disconnect(backend, error);
		return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

static struct vhost_user_backend *backend_from(struct gpu_client *client)
{
	return container_of(client, struct vhost_user_backend, client);
}

static void client_completed(struct gpu_client *client, struct gpu_request *request, size_t written)
{
	(void)client;
	vhost_user_queue_completed(request, written);
}

static bool client_map(struct gpu_client *client, uint64_t guest, size_t len,
		struct gpu_mapping *ret_mapping)
{
	struct guest_mapping *mapping = g_new0(struct guest_mapping, 1);

	if (!guest_memory_map(backend_from(client)->memory, guest, len, GUEST_WRITE, mapping)) {
		g_free(mapping);
		return false;
	}
	*ret_mapping = (struct gpu_mapping){
			.host = mapping->host,
			.len = len,
			.guest = guest,
			.client = mapping,
	};
	return true;
}

static void client_unmap(struct gpu_client *client, struct gpu_mapping *mapping, bool written)
{
	guest_mapping_unmap(
			backend_from(client)->memory, mapping->client, written ? mapping->len : 0);
	g_free(mapping->client);
	*mapping = (struct gpu_mapping){0};
}

static void client_written(struct gpu_client *client, uint64_t guest, size_t len)
{
	guest_memory_written(backend_from(client)->memory, guest, len);
}

static void client_config_changed(struct gpu_client *client)
{
	struct vhost_user_backend *backend = backend_from(client);
	const struct vhost_user_message message = {
			.header =
					{
							.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
							.flags = VHOST_USER_VERSION,
					},
	};
	g_autoptr(GError) error = NULL;

	g_mutex_lock(&backend->channel_lock);
	if (backend->channel >= 0 && !vhost_user_send(backend->channel, &message, &error)) {
		log_warn("vhost-user: the front end does not hear of the new configuration: %s",
				error->message);
	}
	g_mutex_unlock(&backend->channel_lock);
}

static void client_lost(struct gpu_client *client, const char *reason)
{
	struct vhost_user_backend *backend = backend_from(client);

	backend->events->lost(backend->events, reason);
}

static const struct gpu_client_impl client_impl = {
		.completed = client_completed,
		.map = client_map,
		.unmap = client_unmap,
		.written = client_written,
		.config_changed = client_config_changed,
		.lost = client_lost,
};

/* Marks pages in the log that the front end gave us. Any thread. */
static void log_written(struct guest_write_hook *hook, uint64_t guest, uint64_t len)
{
	struct vhost_user_backend *backend = container_of(
			hook, struct vhost_user_backend, write_hook);
	uint64_t first = guest / GUEST_PAGE_SIZE, last = (guest + len - 1) / GUEST_PAGE_SIZE;

	g_mutex_lock(&backend->log_lock);
	if (backend->log && len > 0) {
		last = MIN(last, backend->log_size * 8 - 1);
		for (uint64_t page = first; page <= last; page++) {
			__atomic_fetch_or(&backend->log[page / 8], (uint8_t)(1u << (page % 8)),
					__ATOMIC_RELEASE);
		}
	}
	g_mutex_unlock(&backend->log_lock);
}

struct vhost_user_backend *vhost_user_backend_create(
		int take_socket, struct vhost_user_backend_events *events)
{
	struct vhost_user_backend *backend = g_new0(struct vhost_user_backend, 1);

	backend->client.impl = &client_impl;
	backend->events = events;
	backend->socket = take_socket;
	backend->channel = -1;
	backend->memory = guest_memory_create();
	backend->context = g_main_context_ref_thread_default();
	g_mutex_init(&backend->log_lock);
	g_mutex_init(&backend->channel_lock);
	backend->write_hook.written = log_written;
	guest_memory_set_write_hook(backend->memory, &backend->write_hook);
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		vhost_user_queue_init(&backend->queues[i], i, &backend->gpu);
	}
	return backend;
}

struct gpu_client *vhost_user_backend_client(struct vhost_user_backend *backend)
{
	return &backend->client;
}

void vhost_user_backend_attach(struct vhost_user_backend *backend, struct gpu *gpu)
{
	backend->gpu = gpu;
	backend->source = g_unix_fd_source_new(backend->socket, G_IO_IN | G_IO_HUP);
	g_source_set_callback(backend->source, G_SOURCE_FUNC(handle_message), backend, NULL);
	g_source_attach(backend->source, backend->context);
}

void vhost_user_backend_destroy(struct vhost_user_backend *backend)
{
	if (!backend) {
		return;
	}
	if (backend->source) {
		g_source_destroy(backend->source);
		g_source_unref(backend->source);
	}
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		vhost_user_queue_finish(&backend->queues[i]);
	}
	inflight_unmap(backend->inflight);
	guest_memory_destroy(backend->memory);
	if (backend->log) {
		munmap(backend->log, backend->log_size);
	}
	fd_close(&backend->socket);
	fd_close(&backend->channel);
	g_mutex_clear(&backend->log_lock);
	g_mutex_clear(&backend->channel_lock);
	g_main_context_unref(backend->context);
	g_free(backend);
}
