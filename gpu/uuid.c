/* SPDX-License-Identifier: MIT */
#include "gpu/uuid.h"

#include "core/base/base.h"

#include <errno.h>
#include <sys/random.h>

void uuid_generate(uint8_t ret_uuid[UUID_SIZE])
{
	ssize_t n;

	/* Up to 256 bytes come whole once the kernel's pool is ready. */
	do {
		n = getrandom(ret_uuid, UUID_SIZE, 0);
	} while (n < 0 && errno == EINTR);
	assert(n == UUID_SIZE);
	ret_uuid[6] = (uint8_t)((ret_uuid[6] & 0x0f) | 0x40); /* version 4: random */
	ret_uuid[8] = (uint8_t)((ret_uuid[8] & 0x3f) | 0x80); /* the RFC's own variant */
}
