/* SPDX-License-Identifier: MIT */
/* File descriptors: scoped closing, whole reads and writes, eventfds, memfds. */
#ifndef CORE_BASE_FD_H
#define CORE_BASE_FD_H

#include "core/base/base.h"

#include <sys/types.h>

/* Closes *fd if it is one and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* An int that closes itself at the end of its scope: auto_fd int fd = open(...). */
#define auto_fd __attribute__((cleanup(fd_close), unused))

/* Returns *fd and sets it to -1: ownership moves to the caller. */
static inline int fd_steal(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* Reads len bytes at offset. False with an error at end of file or on failure. */
bool fd_pread_all(int fd, void *buf, size_t len, off_t offset, GError **error);

/* Writes len bytes. */
bool fd_write_all(int fd, const void *buf, size_t len, GError **error);

/* An eventfd, close-on-exec and non-blocking; -1 on failure. */
int eventfd_create(GError **error);

/* Adds one to the eventfd. Never blocks; a full counter already wakes the reader. */
void eventfd_signal(int fd);

/* Takes the count, 0 if there was none. */
uint64_t eventfd_take(int fd);

/* A sealed-size memfd of size bytes; -1 on failure. The pages are not yet allocated. */
int memfd_create_sized(const char *name, uint64_t size, GError **error);

/* Sets error from errno with the G_FILE_ERROR domain: "format: strerror". */
void set_error_errno(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
