/* SPDX-License-Identifier: MIT */
/*
 * Which requests a back end has taken and not answered, in memory that outlives it (vhost-user's
 * inflight region, split virtqueue layout). A back end that starts anew answers them with an error
 * instead of running them again: one of them killed its predecessor.
 */
#ifndef GPU_SERVICE_INFLIGHT_H
#define GPU_SERVICE_INFLIGHT_H

#include "core/base/base.h"

struct inflight;
struct inflight_queue;

/* Bytes a region for this many queues of this many descriptors takes. */
size_t inflight_size(unsigned queues, unsigned queue_size);

/* Maps size bytes of fd at offset; checks them against the geometry. */
struct inflight *inflight_map(int fd, uint64_t size, uint64_t offset, unsigned queues,
		unsigned queue_size, GError **error);
void inflight_unmap(struct inflight *inflight); /* may be NULL */
struct inflight_queue *inflight_queue_at(struct inflight *inflight, unsigned index);

/* head was popped; is about to be pushed; was pushed, the ring's used index is now used_idx. */
void inflight_begin(struct inflight_queue *queue, uint16_t head);
void inflight_pushing(struct inflight_queue *queue, uint16_t head);
void inflight_end(struct inflight_queue *queue, uint16_t head, uint16_t used_idx);

/*
 * After a restart: the heads that were taken and not answered, oldest first, given that the ring's
 * used index is used_idx. heads has room for the queue size; returns how many.
 */
unsigned inflight_recover(struct inflight_queue *queue, uint16_t used_idx, uint16_t *heads);

#endif
