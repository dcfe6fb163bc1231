/* SPDX-License-Identifier: MIT */
#include "core/control/gdb_link.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <errno.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE (2 * (GDB_PACKET_SIZE + 8))
#define SEND_PATIENCE_MS 1000 /* with a client that does not read */
#define INTERRUPT '\003'
#define FRAME_OVERHEAD 4 /* $ and #xx */

struct gdb_link {
	struct gdb_link_user *user;
	int listener, client; /* -1: none */
	guint listener_source, client_source;
	unsigned port;

	char input[BUFFER_SIZE];
	size_t length; /* bytes in input */
	bool acks, stop_acks, hang_up;
	GString *last; /* the frame sent last, for a client that did not understand it */
};

static void disconnect(struct gdb_link *link)
{
	if (link->client < 0) {
		return;
	}
	g_source_remove(link->client_source);
	link->client_source = 0;
	fd_close(&link->client);
	link->user->disconnected(link->user);
}

/* False when the connection must end. */
static bool send_bytes(struct gdb_link *link, const char *data, size_t len)
{
	while (len > 0) {
		struct pollfd pfd = {.fd = link->client, .events = POLLOUT};
		ssize_t n = send(link->client, data, len, MSG_NOSIGNAL);
		if (n >= 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (poll(&pfd, 1, SEND_PATIENCE_MS) != 1) {
				return false;
			}
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

static void send_or_hang_up(struct gdb_link *link, const char *data, size_t len)
{
	if (link->client >= 0 && !send_bytes(link, data, len)) {
		link->hang_up = true;
	}
}

void gdb_link_send(struct gdb_link *link, const char *text)
{
	uint8_t sum = 0;

	for (const char *c = text; *c; c++) {
		assert(!strchr("$#}*", *c));
		sum = (uint8_t)(sum + (uint8_t)*c);
	}
	g_string_printf(link->last, "$%s#%02x", text, sum);
	send_or_hang_up(link, link->last->str, link->last->len);
}

void gdb_link_stop_acks(struct gdb_link *link)
{
	link->stop_acks = true;
}

void gdb_link_hang_up(struct gdb_link *link)
{
	link->hang_up = true;
}

/* The frame that begins the input: its length, 0 as long as it has not come whole. */
static size_t frame_length(const struct gdb_link *link)
{
	const char *end = memchr(link->input, '#', link->length);
	size_t length = end ? (size_t)(end - link->input) + 3 : 0;

	return length <= link->length ? length : 0;
}

static bool frame_good(const char *frame, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 1; i < length - 3; i++) {
		sum = (uint8_t)(sum + (uint8_t)frame[i]);
	}
	int high = g_ascii_xdigit_value(frame[length - 2]);
	int low = g_ascii_xdigit_value(frame[length - 1]);
	return high >= 0 && low >= 0 && sum == high * 16 + low;
}

static void handle_frame(struct gdb_link *link, size_t length)
{
	bool good = frame_good(link->input, length);

	if (link->acks) {
		send_or_hang_up(link, good ? "+" : "-", 1);
	}
	if (good) {
		link->input[length - 3] = 0;
		link->user->packet(link->user, link->input + 1);
	}
	if (link->stop_acks) {
		link->acks = link->stop_acks = false;
	}
}

/* Handles what the input begins with; returns how much of it that was, 0: more is needed. */
static size_t handle_some(struct gdb_link *link)
{
	size_t length;

	switch (link->input[0]) {
	case '$':
		length = frame_length(link);
		if (length > 0) {
			handle_frame(link, length);
		}
		return length;
	case '-':
		if (link->acks) {
			send_or_hang_up(link, link->last->str, link->last->len);
		}
		return 1;
	case INTERRUPT:
		link->user->interrupt(link->user);
		return 1;
	default: /* an acknowledgement, or noise */
		return 1;
	}
}

static void handle_all(struct gdb_link *link)
{
	size_t used = 1;

	while (link->length > 0 && used > 0 && !link->hang_up) {
		used = handle_some(link);
		link->length -= used;
		memmove(link->input, link->input + used, link->length);
	}
	if (link->length == BUFFER_SIZE) {
		log_warn("gdb: a packet of more than %u bytes: connection closed", GDB_PACKET_SIZE);
		link->hang_up = true;
	}
}

static gboolean handle_client(int fd, GIOCondition condition, gpointer opaque)
{
	struct gdb_link *link = opaque;
	ssize_t n = recv(fd, link->input + link->length, BUFFER_SIZE - link->length, 0);
	(void)condition;

	if (n > 0) {
		link->length += (size_t)n;
		handle_all(link);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		link->hang_up = true;
	}
	if (link->hang_up) {
		disconnect(link);
		return G_SOURCE_CONTINUE; /* it is removed already */
	}
	return G_SOURCE_CONTINUE;
}

static gboolean handle_listener(int fd, GIOCondition condition, gpointer opaque)
{
	struct gdb_link *link = opaque;
	auto_fd int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int one = 1;
	(void)condition;

	if (client < 0) {
		return G_SOURCE_CONTINUE;
	}
	if (link->client >= 0) {
		log_warn("gdb: a second debugger was turned away");
		return G_SOURCE_CONTINUE;
	}
	/* A packet is small and waited for. */
	(void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	link->client = fd_steal(&client);
	link->length = 0;
	link->acks = true;
	link->stop_acks = link->hang_up = false;
	g_string_truncate(link->last, 0);
	link->client_source = g_unix_fd_add(link->client, G_IO_IN | G_IO_HUP, handle_client, link);
	link->user->connected(link->user);
	return G_SOURCE_CONTINUE;
}

static bool split_address(const char *address, char **ret_host, char **ret_port, GError **error)
{
	const char *port = strrchr(address, ':');

	if (!g_str_has_prefix(address, "tcp:") || port == address + 3 || !port[1]) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"'%s' is not tcp:[HOST]:PORT", address);
		return false;
	}
	*ret_host = g_strndup(address + 4, (gsize)(port - address - 4));
	*ret_port = g_strdup(port + 1);
	return true;
}

static int listen_at(const struct addrinfo *info)
{
	auto_fd int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
			bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, 1) < 0) {
		return -1;
	}
	return fd_steal(&fd);
}

static int listen_on(const char *address, GError **error)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
	g_autofree char *host = NULL, *port = NULL;
	struct addrinfo *infos = NULL;
	int fd = -1;

	if (!split_address(address, &host, &port, error)) {
		return -1;
	}
	int ret = getaddrinfo(*host ? host : "127.0.0.1", port, &hints, &infos);
	if (ret != 0) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: %s", address,
				gai_strerror(ret));
		return -1;
	}
	for (const struct addrinfo *info = infos; info && fd < 0; info = info->ai_next) {
		fd = listen_at(info);
	}
	if (fd < 0) {
		set_error_errno(error, "%s", address);
	}
	freeaddrinfo(infos);
	return fd;
}

static unsigned port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address;
	socklen_t length = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(fd, &address.any, &length) < 0) {
		return 0;
	}
	return ntohs(address.any.sa_family == AF_INET6 ? address.in6.sin6_port
						       : address.in.sin_port);
}

struct gdb_link *gdb_link_create(const char *address, struct gdb_link_user *user, GError **error)
{
	int listener = listen_on(address, error);

	if (listener < 0) {
		return NULL;
	}
	struct gdb_link *link = g_new0(struct gdb_link, 1);
	link->user = user;
	link->client = -1;
	link->listener = listener;
	link->port = port_of(listener);
	link->last = g_string_new(NULL);
	link->listener_source = g_unix_fd_add(listener, G_IO_IN, handle_listener, link);
	return link;
}

void gdb_link_destroy(struct gdb_link *link)
{
	if (!link) {
		return;
	}
	if (link->client_source) {
		g_source_remove(link->client_source);
	}
	g_source_remove(link->listener_source);
	fd_close(&link->client);
	fd_close(&link->listener);
	g_string_free(link->last, TRUE);
	g_free(link);
}

unsigned gdb_link_port(const struct gdb_link *link)
{
	return link->port;
}
