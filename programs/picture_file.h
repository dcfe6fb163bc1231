/* SPDX-License-Identifier: MIT */
/*
 * A file that a picture is written to. One that cannot be made leaves nothing behind that was not there before; an old
 * picture stays until the new one is written over it. Pipes and devices are written to as they are. Main thread.
 */
#ifndef PROGRAMS_PICTURE_FILE_H
#define PROGRAMS_PICTURE_FILE_H

#include "core/base/base.h"

struct picture_file {
	char *path;
	int fd; /* -1: closed */
	bool created; /* by us: it goes again on failure */
};

/*
 * Opens path for writing; *ret_fd is a second descriptor of the same file, which the writer owns. Nothing to close on
 * failure.
 */
bool picture_file_open(struct picture_file *file, const char *path, int *ret_fd, GError **error);

/* The writer has ended; written: all of the picture is there. */
void picture_file_close(struct picture_file *file, bool written);

#endif
