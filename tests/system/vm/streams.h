/* SPDX-License-Identifier: MIT */
/*
 * A file of command streams: for each a header, its resources (struct good_resource of
 * tests/harness/hostile_stream.h, with ids from 1), its words.
 */
#ifndef TESTS_SYSTEM_VM_STREAMS_H
#define TESTS_SYSTEM_VM_STREAMS_H

#include <stdint.h>

#define STREAM_MAGIC 0x5453484fu /* "OHST" */

struct stream_header {
	uint32_t magic;
	uint32_t number;
	uint32_t resources;
	uint32_t words;
};

#endif
