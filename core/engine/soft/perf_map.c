/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/perf_map.h"

#include "core/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 128

struct perf_map {
	int fd;
};

struct perf_map *perf_map_create(GError **error)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	/* Anybody may have made a link of this name, so the file has to be a new one. */
	(void)unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0) {
		set_error_errno(error, "%s", path);
		return NULL;
	}
	struct perf_map *map = g_new0(struct perf_map, 1);
	map->fd = fd;
	return map;
}

void perf_map_destroy(struct perf_map *map)
{
	if (map) {
		fd_close(&map->fd);
		g_free(map);
	}
}

void perf_map_add(struct perf_map *map, const void *code, size_t size, const char *name)
{
	char line[LINE_MAX_BYTES];

	if (!map) {
		return;
	}
	int len = snprintf(
			line, sizeof(line), "%" PRIxPTR " %zx %s\n", (uintptr_t)code, size, name);
	if (len > 0 && (size_t)len < sizeof(line)) {
		/* A line that the disk has no room for is only a name that perf does not know. */
		(void)!write(map->fd, line, (size_t)len);
	}
}

void perf_map_add_block(struct perf_map *map, const void *code, size_t size, uint64_t guest)
{
	char name[32];

	if (map) {
		(void)snprintf(name, sizeof(name), "guest-0x%" PRIx64, guest);
		perf_map_add(map, code, size, name);
	}
}
