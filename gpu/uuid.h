/* SPDX-License-Identifier: MIT */
/* Random identifiers (RFC 4122, version 4) for RESOURCE_ASSIGN_UUID. */
#ifndef GPU_UUID_H
#define GPU_UUID_H

#include <stdint.h>

#define UUID_SIZE 16

/* Any thread. */
void uuid_generate(uint8_t ret_uuid[UUID_SIZE]);

#endif
