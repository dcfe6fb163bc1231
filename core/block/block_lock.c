/* SPDX-License-Identifier: MIT */
/*
 * Image locks that QEMU and its tools understand: each program holds shared locks on one byte for
 * every thing it does to the image, and on one for every thing it cannot bear others to do; then it
 * looks whether anybody does what it cannot bear, or cannot bear what it does. The locks are those
 * of the open file description, so they go when it is closed and do not care about threads.
 */
#include "core/block/block_impl.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>

#define DOES_BASE 100 /* first byte */
#define FORBIDS_BASE 200

enum {
	CONSISTENT_READ = 1 << 0,
	WRITE = 1 << 1,
	RESIZE = 1 << 3,
};

static bool lock_byte(int fd, off_t byte)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Whether somebody else holds a lock on the byte. */
static bool is_locked(int fd, off_t byte)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool lock_bytes(int fd, off_t base, unsigned bits)
{
	for (unsigned i = 0; bits >> i; i++) {
		if (((bits >> i) & 1) && !lock_byte(fd, base + i)) {
			return false;
		}
	}
	return true;
}

static bool any_locked(int fd, off_t base, unsigned bits)
{
	for (unsigned i = 0; bits >> i; i++) {
		if (((bits >> i) & 1) && is_locked(fd, base + i)) {
			return true;
		}
	}
	return false;
}

bool block_lock_image(int fd, const char *file, bool writable, GError **error)
{
	unsigned does = CONSISTENT_READ | (writable ? WRITE : 0u);
	unsigned forbids = WRITE | RESIZE;

	if (!lock_bytes(fd, DOES_BASE, does) || !lock_bytes(fd, FORBIDS_BASE, forbids)) {
		if (errno != EAGAIN && errno != EACCES) {
			log_warn("'%s' cannot be locked (%s): nothing keeps other programs from it",
					file, g_strerror(errno));
			return true;
		}
	} else if (!any_locked(fd, FORBIDS_BASE, does) && !any_locked(fd, DOES_BASE, forbids)) {
		return true;
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_AGAIN,
			"failed to get the \"%s\" lock of '%s': another process uses the image%s",
			writable ? "write" : "shared", file,
			writable ? "; readonly=on or snapshot=on share it with readers"
				 : " and writes to it");
	return false;
}
