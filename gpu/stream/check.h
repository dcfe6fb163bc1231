/* SPDX-License-Identifier: MIT */
/*
 * What a virgl command stream must obey before a renderer sees it. The renderer was not written
 * against hostile guests: it trusts lengths, handles and counts in places, and calculates with
 * signed numbers. A checker follows one context: its sub-contexts, the objects its streams have
 * created, what is bound where, and the shaders that arrive in parts. One thread.
 */
#ifndef GPU_STREAM_CHECK_H
#define GPU_STREAM_CHECK_H

#include "core/base/base.h"
#include "gpu/stream/resource.h"

struct stream_checker;

/* What one context may use up. */
struct stream_limits {
	uint32_t shader_bytes; /* text of one shader, all parts */
	uint32_t sub_contexts;
	uint32_t objects; /* in all sub-contexts together */
};

/* Where resources are known. Required, all of it. */
struct stream_resources {
	/* NULL if there is none of that id. */
	struct stream_resource *(*find)(struct stream_resources *resources, uint32_t id);
	/*
	 * Objects and bindings keep a resource's memory alive in the renderer after the guest has
	 * destroyed it. Each hold is given back by one release.
	 */
	void (*hold)(struct stream_resources *resources, struct stream_resource *resource);
	void (*release)(struct stream_resources *resources, struct stream_resource *resource);
};

struct stream_report {
	const char *reason; /* static; NULL if the stream is good */
	const char *command; /* static: name of the command at fault */
	size_t word; /* its index in the stream */
	unsigned created_sub_contexts; /* how many GL contexts the renderer will want */
};

/* resources is borrowed. */
struct stream_checker *stream_checker_create(
		const struct stream_limits *limits, struct stream_resources *resources);
void stream_checker_destroy(struct stream_checker *checker); /* may be NULL */

/*
 * Checks count words and follows what they create, bind and destroy. Commands that a guest may send
 * but that the renderer must not see become NOPs. False if the stream must not be submitted beyond
 * ret_report->word; what came before it is followed all the same.
 */
bool stream_check(struct stream_checker *checker, uint32_t *words, size_t count,
		struct stream_report *ret_report);

#endif
