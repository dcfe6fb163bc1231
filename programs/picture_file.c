/* SPDX-License-Identifier: MIT */
#include "programs/picture_file.h"

#include "core/base/fd.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool picture_file_open(struct picture_file *file, const char *path, int *ret_fd, GError **error)
{
	bool created = true;
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EEXIST) {
		created = false;
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	}
	if (fd < 0) {
		set_error_errno(error, "open");
		return false;
	}
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (*ret_fd < 0) {
		set_error_errno(error, "dup");
		if (created) {
			(void)unlink(path); /* the error above counts */
		}
		return false;
	}
	*file = (struct picture_file){
			.path = g_strdup(path), .fd = fd_steal(&fd), .created = created};
	return true;
}

/* Both descriptors share one offset: where the picture ends. An older, longer one ends there too. */
static void cut(const struct picture_file *file)
{
	struct stat info;

	if (fstat(file->fd, &info) < 0 || !S_ISREG(info.st_mode)) {
		return;
	}
	off_t end = lseek(file->fd, 0, SEEK_CUR);
	if (end >= 0 && end < info.st_size && ftruncate(file->fd, end) < 0) {
		log_warn("'%s': the end of an older file stays behind the picture", file->path);
	}
}

void picture_file_close(struct picture_file *file, bool written)
{
	if (file->fd < 0) {
		return;
	}
	if (written) {
		cut(file);
	} else if (file->created) {
		(void)unlink(file->path); /* the failure itself is reported */
	}
	fd_close(&file->fd);
	g_clear_pointer(&file->path, g_free);
}
