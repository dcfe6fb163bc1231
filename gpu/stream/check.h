/* SPDX-License-Identifier: MIT */
/*
 * What a virgl command stream must obey before a renderer sees it. The renderer was not written
 * against hostile guests: it trusts lengths, handles and counts in places. A checker follows one
 * context: its sub-contexts, the objects its streams have created and the shaders that arrive in
 * parts. One thread.
 */
#ifndef GPU_STREAM_CHECK_H
#define GPU_STREAM_CHECK_H

#include "core/base/base.h"

struct stream_checker;

/* What one context may use up. */
struct stream_limits {
	uint32_t shader_bytes; /* text of one shader, all parts */
	uint32_t sub_contexts;
	uint32_t objects; /* in all sub-contexts together */
};

struct stream_report {
	const char *reason; /* static; NULL if the stream is good */
	const char *command; /* static: name of the command at fault */
	size_t word; /* its index in the stream */
	unsigned created_sub_contexts; /* how many GL contexts the renderer will want */
};

struct stream_checker *stream_checker_create(const struct stream_limits *limits);
void stream_checker_destroy(struct stream_checker *checker); /* may be NULL */

/*
 * Checks count words and follows what they create and destroy. Commands that a guest may send but
 * that the renderer must not see become NOPs. False if the stream must not be submitted; what came
 * before the fault is followed all the same.
 */
bool stream_check(struct stream_checker *checker, uint32_t *words, size_t count,
		struct stream_report *ret_report);

#endif
