/* SPDX-License-Identifier: MIT */
#include "core/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

void fd_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		/* nothing can be done about a failing close of what was already written */
		(void)close(*fd);
		errno = saved;
	}
	*fd = -1;
}

void set_error_errno(GError **error, const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(saved), "%s: %s", text,
			g_strerror(saved));
}

bool fd_pread_all(int fd, void *buf, size_t len, off_t offset, GError **error)
{
	char *at = buf;

	while (len > 0) {
		ssize_t n = pread(fd, at, len, offset);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			set_error_errno(error, "read");
			return false;
		}
		if (n == 0) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_IO,
					"read: unexpected end of file");
			return false;
		}
		at += n;
		offset += n;
		len -= (size_t)n;
	}
	return true;
}

bool fd_write_all(int fd, const void *buf, size_t len, GError **error)
{
	const char *at = buf;

	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			set_error_errno(error, "write");
			return false;
		}
		at += n;
		len -= (size_t)n;
	}
	return true;
}

int eventfd_create(GError **error)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		set_error_errno(error, "eventfd");
	}
	return fd;
}

void eventfd_signal(int fd)
{
	uint64_t one = 1;
	ssize_t n;

	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

uint64_t eventfd_take(int fd)
{
	uint64_t count = 0;
	ssize_t n;

	do {
		n = read(fd, &count, sizeof(count));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(count) ? count : 0;
}

int memfd_create_sized(const char *name, uint64_t size, GError **error)
{
	auto_fd int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) {
		set_error_errno(error, "memfd '%s'", name);
		return -1;
	}
	if (ftruncate(fd, (off_t)size) < 0) {
		set_error_errno(error, "memfd '%s' of %" G_GUINT64_FORMAT " bytes", name, size);
		return -1;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		set_error_errno(error, "memfd '%s': seal", name);
		return -1;
	}
	return fd_steal(&fd);
}
