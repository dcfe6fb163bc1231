/* SPDX-License-Identifier: MIT */
#include "core/control/chardev_socket.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct chardev_server {
	int fd;
	char *path; /* of a socket in the file system; NULL: none */
	GSource *source;
	void (*connected)(void *opaque, int fd);
	void *opaque;
};

/* What stands behind the commas of a socket's address. */
struct socket_options {
	bool server, wait;
};

static bool parse_options(
		char **words, struct socket_options *ret_options, const char *spec, GError **error)
{
	static const struct {
		const char *word;
		bool is_server, value;
	} known[] = {
			{"server", true, true},
			{"server=on", true, true},
			{"server=off", true, false},
			{"wait", false, true},
			{"wait=on", false, true},
			{"wait=off", false, false},
			{"nowait", false, false},
	};
	struct socket_options options = {.wait = true};

	for (; *words; words++) {
		unsigned i = 0;
		while (i < G_N_ELEMENTS(known) && strcmp(known[i].word, *words) != 0) {
			i++;
		}
		if (i == G_N_ELEMENTS(known)) {
			g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
					"'%s': unknown option '%s' (known: server=on|off, "
					"wait=on|off)",
					spec, *words);
			return false;
		}
		if (known[i].is_server) {
			options.server = known[i].value;
		} else {
			options.wait = known[i].value;
		}
	}
	*ret_options = options;
	return true;
}

/* Connects or listens; 0, or an errno. */
static int engage(int fd, const struct sockaddr *address, socklen_t len, bool server)
{
	int one = 1;

	if (!server) {
		int ret = connect(fd, address, len);
		return ret < 0 ? errno : 0;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* a convenience */
	return bind(fd, address, len) < 0 || listen(fd, 1) < 0 ? errno : 0;
}

/* What a predecessor left in our place; anything but a socket is somebody's file. */
static void remove_stale(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		(void)unlink(path); /* bind tells what is wrong */
	}
}

static int open_unix(const char *path, bool server, GError **error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_fd int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path) || *path == '\0') {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NAMETOOLONG,
				"unix socket '%s': a path of 1 to %zu bytes is needed", path,
				sizeof(address.sun_path) - 1);
		return -1;
	}
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		set_error_errno(error, "unix socket '%s'", path);
		return -1;
	}
	if (server) {
		remove_stale(path);
	}
	errno = engage(fd, (struct sockaddr *)&address, sizeof(address), server);
	if (errno != 0) {
		set_error_errno(error, "unix socket '%s'", path);
		return -1;
	}
	return fd_steal(&fd);
}

/* Tries what a name stands for, one address after the other: "localhost" may be two. */
static int engage_any(const struct addrinfo *list, bool server)
{
	int result = EADDRNOTAVAIL;

	for (; list; list = list->ai_next) {
		auto_fd int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int one = 1;
		result = fd < 0 ? errno : engage(fd, list->ai_addr, list->ai_addrlen, server);
		if (result == 0) {
			/* Keys are answered one by one. */
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			return fd_steal(&fd);
		}
	}
	errno = result;
	return -1;
}

/* HOST:PORT, [HOST]:PORT or :PORT. */
static int open_tcp(const char *address, bool server, GError **error)
{
	const char *colon = strrchr(address, ':');
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;

	if (!colon || !colon[1]) {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
				"tcp address '%s': HOST:PORT is needed", address);
		return -1;
	}
	g_autofree char *host = g_strndup(address, (gsize)(colon - address));
	size_t len = strlen(host);
	char *name = host;
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		name = host + 1;
	}
	/*
	 * No name, or the loopback's (RFC 6761, 6.3): needs no resolver, which containers may lack. Servers take the
	 * address of it that every client tries.
	 */
	bool loopback = !*name || strcmp(name, "localhost") == 0;
	if (loopback && server) {
		hints.ai_family = AF_INET;
	}
	int ret = getaddrinfo(loopback ? NULL : name, colon + 1, &hints, &list);
	if (ret != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "tcp address '%s': %s",
				address, gai_strerror(ret));
		return -1;
	}
	int fd = engage_any(list, server);
	if (fd < 0) {
		set_error_errno(error, "tcp address '%s'", address);
	}
	freeaddrinfo(list);
	return fd;
}

static int accept_peer(int listener)
{
	int fd;

	do {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd;
}

static struct chardev_server *server_new(int fd, const char *path)
{
	struct chardev_server *server = g_new0(struct chardev_server, 1);

	server->fd = fd;
	server->path = g_strdup(path);
	return server;
}

int chardev_socket_open(const char *spec, struct chardev_server **ret_server, GError **error)
{
	bool tcp = g_str_has_prefix(spec, "tcp:");
	g_auto(GStrv) words = g_strsplit(strchr(spec, ':') + 1, ",", -1);
	const char *address = words[0] ? words[0] : "";
	struct socket_options options;

	if (!parse_options(words[0] ? words + 1 : words, &options, spec, error)) {
		return -1;
	}
	int fd = tcp ? open_tcp(address, options.server, error)
		     : open_unix(address, options.server, error);
	if (fd < 0 || !options.server) {
		return fd;
	}
	int peer = -1;
	struct chardev_server *server = server_new(fd, tcp ? NULL : address);
	if (options.wait) {
		log_info("waiting for a connection to %s", spec);
		peer = accept_peer(fd);
	}
	*ret_server = server;
	return peer;
}

static gboolean handle_connection(int listener, GIOCondition condition, gpointer opaque)
{
	struct chardev_server *server = opaque;
	int fd = accept_peer(listener);
	(void)condition;

	if (fd >= 0) {
		server->connected(server->opaque, fd);
	}
	return G_SOURCE_CONTINUE;
}

void chardev_server_start(struct chardev_server *server, void (*connected)(void *opaque, int fd),
		void *opaque)
{
	/* A peer that has gone again by the time it is accepted must not block the main loop. */
	(void)fcntl(server->fd, F_SETFL, O_RDWR | O_NONBLOCK);
	server->connected = connected;
	server->opaque = opaque;
	server->source = g_unix_fd_source_new(server->fd, G_IO_IN);
	g_source_set_callback(server->source, G_SOURCE_FUNC(handle_connection), server, NULL);
	g_source_attach(server->source, NULL);
}

void chardev_server_destroy(struct chardev_server *server)
{
	if (!server) {
		return;
	}
	if (server->source) {
		g_source_destroy(server->source);
		g_source_unref(server->source);
	}
	if (server->path) {
		(void)unlink(server->path); /* it may be gone already */
	}
	fd_close(&server->fd);
	g_free(server->path);
	g_free(server);
}
