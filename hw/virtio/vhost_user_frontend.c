/* SPDX-License-Identifier: MIT */
#include "hw/virtio/vhost_user_frontend.h"

#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/virtio/vhost_user.h"
#include "hw/pc/machine.h"

#include <glib-unix.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL_FEATURES \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) | \
			BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
			BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
			BIT(VHOST_USER_PROTOCOL_F_CONFIG) | \
			BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
			BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))
#define PROTOCOL_NEEDED \
	(BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_CONFIG) | \
			BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))
#define RING_FEATURES \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_INDIRECT_DESC) | BIT(VIRTIO_F_RING_EVENT_IDX))

/* A new back end answers when its renderer has started. */
#define START_TIMEOUT_S 30
/*
 * One that runs answers at once, unless it carries out a reset and the renderer is busy: what is
 * reset may be replaced as well. A vCPU waits, which must not last until the guest's own watchdogs
 * (20 s in Linux) take it for dead.
 */
#define REPLY_TIMEOUT_S 5
/* Half a message of its own holds the main loop up for this long, once. */
#define CHANNEL_TIMEOUT_S 1

struct vhost_user_frontend {
	struct virtio_device *device;
	struct vhost_user_frontend_events *events;
	int socket; /* -1: not connected */
	int channel; /* the back end's requests */
	GSource *channel_source;
	uint64_t features, protocol_features;

	int inflight_fd;
	struct vhost_user_inflight inflight;

	GMutex log_lock;
	int log_fd;
	uint64_t *log; /* guarded by log_lock; NULL: none */
	size_t log_size; /* bytes; guarded by log_lock */
};

struct vhost_user_frontend *vhost_user_frontend_create(
		struct virtio_device *device, struct vhost_user_frontend_events *events)
{
	struct vhost_user_frontend *frontend = g_new0(struct vhost_user_frontend, 1);

	frontend->device = device;
	frontend->events = events;
	frontend->socket = frontend->channel = frontend->inflight_fd = frontend->log_fd = -1;
	g_mutex_init(&frontend->log_lock);
	return frontend;
}

void vhost_user_frontend_disconnect(struct vhost_user_frontend *frontend)
{
	if (frontend->channel_source) {
		g_source_destroy(frontend->channel_source);
		g_source_unref(frontend->channel_source);
		frontend->channel_source = NULL;
	}
	fd_close(&frontend->channel);
	fd_close(&frontend->socket);
}

void vhost_user_frontend_destroy(struct vhost_user_frontend *frontend)
{
	if (!frontend) {
		return;
	}
	vhost_user_frontend_disconnect(frontend);
	fd_close(&frontend->inflight_fd);
	fd_close(&frontend->log_fd);
	if (frontend->log) {
		munmap(frontend->log, frontend->log_size);
	}
	g_mutex_clear(&frontend->log_lock);
	g_free(frontend);
}

bool vhost_user_frontend_connected(const struct vhost_user_frontend *frontend)
{
	return frontend->socket >= 0;
}

/* Sends a message and receives its reply into the same place. */
static bool ask(struct vhost_user_frontend *frontend, struct vhost_user_message *message,
		GError **error)
{
	uint32_t request = message->header.request;

	if (frontend->socket < 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PIPE, "vhost-user: not connected");
		return false;
	}
	message->header.flags |= VHOST_USER_VERSION;
	if (!vhost_user_send(frontend->socket, message, error) ||
			!vhost_user_receive(frontend->socket, message, error)) {
		g_prefix_error(error, "vhost-user %s: ", vhost_user_request_name(request));
		return false;
	}
	if (message->header.request != request ||
			!(message->header.flags & VHOST_USER_FLAG_REPLY)) {
		vhost_user_message_close_fds(message);
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"vhost-user %s: answered with %s", vhost_user_request_name(request),
				vhost_user_request_name(message->header.request));
		return false;
	}
	return true;
}

static bool ask_u64(struct vhost_user_frontend *frontend, uint32_t request, uint64_t *ret_value,
		GError **error)
{
	struct vhost_user_message message = {.header = {.request = request}};

	if (!ask(frontend, &message, error)) {
		return false;
	}
	vhost_user_message_close_fds(&message);
	*ret_value = message.payload.u64;
	return true;
}

/* Sends a message that has no reply of its own and waits until it was carried out. */
static bool command(struct vhost_user_frontend *frontend, struct vhost_user_message *message,
		GError **error)
{
	uint32_t request = message->header.request;

	/* Before the protocol features are set there are no acknowledgements. */
	if (!(frontend->protocol_features & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK))) {
		message->header.flags = VHOST_USER_VERSION;
		return vhost_user_send(frontend->socket, message, error);
	}
	message->header.flags = VHOST_USER_FLAG_NEED_REPLY;
	if (!ask(frontend, message, error)) {
		return false;
	}
	vhost_user_message_close_fds(message);
	if (message->payload.u64 != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
				"vhost-user %s: refused by the back end",
				vhost_user_request_name(request));
		return false;
	}
	return true;
}

static bool command_u64(struct vhost_user_frontend *frontend, uint32_t request, uint64_t value,
		GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = request, .size = sizeof(value)},
			.payload.u64 = value,
	};

	return command(frontend, &message, error);
}

static bool command_state(struct vhost_user_frontend *frontend, uint32_t request, uint32_t index,
		uint32_t num, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = request, .size = sizeof(message.payload.state)},
			.payload.state = {.index = index, .num = num},
	};

	return command(frontend, &message, error);
}

static bool command_fd(struct vhost_user_frontend *frontend, uint32_t request, uint32_t index,
		int fd, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = request, .size = sizeof(message.payload.u64)},
			.payload.u64 = index,
			.fds = {fd},
			.nfds = 1,
	};

	return command(frontend, &message, error);
}

static gboolean handle_channel(int fd, GIOCondition condition, gpointer opaque)
{
	struct vhost_user_frontend *frontend = opaque;
	struct vhost_user_message message;
	(void)condition;

	/* A vCPU may be closing the channel: its number must not become another file's under us. */
	g_mutex_lock(&frontend->device->lock);
	bool ok = frontend->channel == fd && vhost_user_receive_backend(fd, &message, NULL);
	g_mutex_unlock(&frontend->device->lock);
	if (!ok) {
		return G_SOURCE_REMOVE; /* the process watch says why */
	}
	vhost_user_message_close_fds(&message);
	if (message.header.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG) {
		frontend->events->config_changed(frontend->events);
	}
	return G_SOURCE_CONTINUE;
}

static void set_reply_timeout(struct vhost_user_frontend *frontend, time_t seconds)
{
	const struct timeval timeout = {.tv_sec = seconds};

	(void)setsockopt(frontend->socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	(void)setsockopt(frontend->socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

static bool open_channel(struct vhost_user_frontend *frontend, GError **error)
{
	const struct timeval timeout = {.tv_sec = CHANNEL_TIMEOUT_S};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		set_error_errno(error, "socketpair");
		return false;
	}
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_SET_BACKEND_REQ_FD},
			.fds = {pair[1]},
			.nfds = 1,
	};
	bool ok = command(frontend, &message, error);
	fd_close(&pair[1]);
	frontend->channel = pair[0];
	(void)setsockopt(frontend->channel, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	frontend->channel_source = g_unix_fd_source_new(frontend->channel, G_IO_IN | G_IO_HUP);
	g_source_set_callback(
			frontend->channel_source, G_SOURCE_FUNC(handle_channel), frontend, NULL);
	g_source_attach(frontend->channel_source, NULL);
	return ok;
}

/*
 * The region outlives back ends: the first one since the driver's last reset makes it, all are
 * given it. It is never mapped here: what a back end made, it can make fault.
 */
static bool setup_inflight(struct vhost_user_frontend *frontend, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_GET_INFLIGHT_FD,
					.size = sizeof(message.payload.inflight)},
			.payload.inflight = {.num_queues = (uint16_t)frontend->device->impl->queues,
					.queue_size = frontend->device->impl->queue_size},
	};

	if (frontend->inflight_fd >= 0 ||
			!(frontend->protocol_features &
					BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))) {
		return true;
	}
	if (!ask(frontend, &message, error)) {
		return false;
	}
	if (message.nfds < 1) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"vhost-user GET_INFLIGHT_FD: no descriptor came back");
		return false;
	}
	frontend->inflight = message.payload.inflight;
	frontend->inflight_fd = fd_steal(&message.fds[0]);
	vhost_user_message_close_fds(&message);
	return true;
}

bool vhost_user_frontend_connect(
		struct vhost_user_frontend *frontend, int take_socket, GError **error)
{
	uint64_t features, protocol;

	vhost_user_frontend_disconnect(frontend);
	frontend->socket = take_socket;
	frontend->protocol_features = 0;
	set_reply_timeout(frontend, START_TIMEOUT_S);

	if (!ask_u64(frontend, VHOST_USER_GET_FEATURES, &features, error) ||
			!ask_u64(frontend, VHOST_USER_GET_PROTOCOL_FEATURES, &protocol, error)) {
		return false;
	}
	set_reply_timeout(frontend, REPLY_TIMEOUT_S);
	if ((protocol & PROTOCOL_NEEDED) != PROTOCOL_NEEDED) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"vhost-user: the back end lacks protocol features %#" G_GINT64_MODIFIER
				"x",
				PROTOCOL_NEEDED & ~protocol);
		return false;
	}
	frontend->features = features;
	if (!command_u64(frontend, VHOST_USER_SET_PROTOCOL_FEATURES, protocol & PROTOCOL_FEATURES,
			    error)) {
		return false;
	}
	frontend->protocol_features = protocol & PROTOCOL_FEATURES;
	struct vhost_user_message owner = {.header = {.request = VHOST_USER_SET_OWNER}};
	return command(frontend, &owner, error) && open_channel(frontend, error);
}

uint64_t vhost_user_frontend_features(const struct vhost_user_frontend *frontend)
{
	return frontend->features &
	       ~(RING_FEATURES | BIT(VHOST_F_LOG_ALL) | BIT(VHOST_USER_F_PROTOCOL_FEATURES));
}

static void collect_region(const struct guest_region_info *info, void *opaque)
{
	struct vhost_user_message *message = opaque;
	uint32_t i = message->payload.memory.nregions;

	if (i == VHOST_USER_MAX_REGIONS || (info->flags & GUEST_REGION_ROM)) {
		return;
	}
	message->payload.memory.regions[i] = (struct vhost_user_region){
			.guest_addr = info->guest,
			.size = info->size,
			/* Ring addresses are given in the front end's address space. */
			.user_addr = (uint64_t)(uintptr_t)info->host,
			.mmap_offset = info->offset,
	};
	message->fds[i] = info->fd;
	message->payload.memory.nregions = message->nfds = i + 1;
}

static bool send_memory(struct vhost_user_frontend *frontend, GError **error)
{
	struct vhost_user_message message = {.header = {.request = VHOST_USER_SET_MEM_TABLE}};

	guest_memory_foreach(frontend->device->machine->ram, collect_region, &message);
	message.header.size = (uint32_t)(offsetof(struct vhost_user_memory, regions) +
					 message.payload.memory.nregions *
							 sizeof(struct vhost_user_region));
	return command(frontend, &message, error);
}

struct find {
	uint64_t guest, user;
	bool found;
};

static void find_user_address(const struct guest_region_info *info, void *opaque)
{
	struct find *find = opaque;

	if (find->guest >= info->guest && find->guest - info->guest < info->size) {
		find->user = (uint64_t)(uintptr_t)info->host + (find->guest - info->guest);
		find->found = true;
	}
}

static bool to_user(struct vhost_user_frontend *frontend, uint64_t guest, uint64_t *ret_user,
		GError **error)
{
	struct find find = {.guest = guest};

	guest_memory_foreach(frontend->device->machine->ram, find_user_address, &find);
	if (!find.found) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAULT,
				"ring at %#" G_GINT64_MODIFIER "x is outside RAM", guest);
		return false;
	}
	*ret_user = find.user;
	return true;
}

static bool start_queue(struct vhost_user_frontend *frontend, unsigned index, GError **error)
{
	const struct virtio_queue *queue = &frontend->device->queues[index];
	struct vhost_user_message addr = {
			.header = {.request = VHOST_USER_SET_VRING_ADDR,
					.size = sizeof(struct vhost_user_vring_addr)},
			.payload.addr = {.index = index},
	};
	uint16_t used_idx = 0;

	if (!to_user(frontend, queue->desc, &addr.payload.addr.desc, error) ||
			!to_user(frontend, queue->avail, &addr.payload.addr.avail, error) ||
			!to_user(frontend, queue->used, &addr.payload.addr.used, error)) {
		return false;
	}
	/* 0 for a new driver; after a reconnection the ring goes on where it was answered. */
	if (!guest_memory_read(frontend->device->machine->ram, queue->used + 2, &used_idx,
			    sizeof(used_idx))) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAULT, "used ring is outside RAM");
		return false;
	}
	return command_state(frontend, VHOST_USER_SET_VRING_NUM, index, queue->size, error) &&
	       command_state(frontend, VHOST_USER_SET_VRING_BASE, index, used_idx, error) &&
	       command(frontend, &addr, error) &&
	       command_fd(frontend, VHOST_USER_SET_VRING_CALL, index, queue->call_fd, error) &&
	       command_fd(frontend, VHOST_USER_SET_VRING_KICK, index, queue->kick_fd, error) &&
	       command_state(frontend, VHOST_USER_SET_VRING_ENABLE, index, 1, error);
}

static bool send_inflight(struct vhost_user_frontend *frontend, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_SET_INFLIGHT_FD,
					.size = sizeof(struct vhost_user_inflight)},
			.payload.inflight = frontend->inflight,
			.fds = {frontend->inflight_fd},
			.nfds = 1,
	};

	return frontend->inflight_fd < 0 || command(frontend, &message, error);
}

static void highest_address(const struct guest_region_info *info, void *opaque)
{
	uint64_t *highest = opaque;

	*highest = MAX(*highest, info->guest + info->size);
}

/* Shares a bitmap of guest pages in which the back end marks what it writes. */
static bool send_log(struct vhost_user_frontend *frontend, GError **error)
{
	uint64_t highest = 0;

	if (!(frontend->protocol_features & BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD))) {
		return true;
	}
	g_mutex_lock(&frontend->log_lock);
	if (!frontend->log) {
		guest_memory_foreach(frontend->device->machine->ram, highest_address, &highest);
		size_t size = (highest / GUEST_PAGE_SIZE / 8 + GUEST_PAGE_SIZE - 1) &
			      ~(size_t)(GUEST_PAGE_SIZE - 1);
		frontend->log_fd = memfd_create_sized("vhost-log", size, error);
		void *map = frontend->log_fd < 0 ? MAP_FAILED
						 : mmap(NULL, size, PROT_READ | PROT_WRITE,
								   MAP_SHARED, frontend->log_fd, 0);
		if (map != MAP_FAILED) {
			frontend->log = map;
			frontend->log_size = size;
		}
	}
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_SET_LOG_BASE,
					.size = sizeof(struct vhost_user_log)},
			.payload.log = {.size = frontend->log_size},
			.fds = {frontend->log_fd},
			.nfds = 1,
	};
	bool ok = frontend->log != NULL;
	g_mutex_unlock(&frontend->log_lock);
	return ok && ask(frontend, &message, error);
}

bool vhost_user_frontend_start(struct vhost_user_frontend *frontend, GError **error)
{
	uint64_t features = frontend->device->negotiated | BIT(VHOST_F_LOG_ALL) |
			    BIT(VHOST_USER_F_PROTOCOL_FEATURES);

	if (!command_u64(frontend, VHOST_USER_SET_FEATURES, features, error) ||
			!send_memory(frontend, error) || !send_log(frontend, error) ||
			!setup_inflight(frontend, error) || !send_inflight(frontend, error)) {
		return false;
	}
	for (unsigned i = 0; i < frontend->device->impl->queues; i++) {
		if (frontend->device->queues[i].enabled && !start_queue(frontend, i, error)) {
			return false;
		}
	}
	return true;
}

bool vhost_user_frontend_stop(struct vhost_user_frontend *frontend, GError **error)
{
	struct vhost_user_message message = {.header = {.request = VHOST_USER_RESET_DEVICE}};

	/* A new driver's requests must not be mistaken for the old one's. */
	fd_close(&frontend->inflight_fd);
	return !vhost_user_frontend_connected(frontend) || command(frontend, &message, error);
}

bool vhost_user_frontend_get_config(struct vhost_user_frontend *frontend, unsigned offset,
		void *buf, unsigned len, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_GET_CONFIG,
					.size = (uint32_t)offsetof(struct vhost_user_config, data) +
						len},
			.payload.config = {.offset = offset, .size = len},
	};

	assert(len <= VHOST_USER_MAX_CONFIG);
	if (!ask(frontend, &message, error)) {
		return false;
	}
	vhost_user_message_close_fds(&message);
	if (message.header.size < offsetof(struct vhost_user_config, data) + len) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"vhost-user GET_CONFIG: refused");
		return false;
	}
	memcpy(buf, message.payload.config.data, len);
	return true;
}

bool vhost_user_frontend_set_config(struct vhost_user_frontend *frontend, unsigned offset,
		const void *buf, unsigned len, GError **error)
{
	struct vhost_user_message message = {
			.header = {.request = VHOST_USER_SET_CONFIG,
					.size = (uint32_t)offsetof(struct vhost_user_config, data) +
						len},
			.payload.config = {.offset = offset, .size = len},
	};

	assert(len <= VHOST_USER_MAX_CONFIG);
	memcpy(message.payload.config.data, buf, len);
	return command(frontend, &message, error);
}

void vhost_user_frontend_sync_log(struct vhost_user_frontend *frontend)
{
	g_mutex_lock(&frontend->log_lock);
	size_t words = frontend->log_size / sizeof(uint64_t);
	for (size_t i = 0; frontend->log && i < words; i++) {
		if (!frontend->log[i]) {
			continue;
		}
		uint64_t pages = __atomic_exchange_n(&frontend->log[i], 0, __ATOMIC_ACQ_REL);
		while (pages) {
			unsigned bit = (unsigned)__builtin_ctzll(pages);
			pages &= pages - 1;
			guest_memory_written(frontend->device->machine->ram,
					(i * 64 + bit) * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
		}
	}
	g_mutex_unlock(&frontend->log_lock);
}
