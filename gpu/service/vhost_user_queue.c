/* SPDX-License-Identifier: MIT */
#include "gpu/service/vhost_user_queue.h"

#include "core/base/fd.h"
#include "core/base/iov.h"
#include "core/base/log.h"

#include <glib-unix.h>

/* A request on its way through the GPU. */
struct queue_request {
	struct gpu_request base;
	struct vhost_user_queue *queue;
	struct virtqueue *vq; /* the ring it came from: a stopped one no longer takes it */
	struct virtqueue_element *element;
};

void vhost_user_queue_init(struct vhost_user_queue *queue, unsigned index, struct gpu **gpu)
{
	*queue = (struct vhost_user_queue){
			.index = index,
			.gpu = gpu,
			.kick_fd = -1,
			.call_fd = -1,
			.err_fd = -1,
	};
	g_mutex_init(&queue->lock);
	queue->retired = g_ptr_array_new_with_free_func((GDestroyNotify)virtqueue_destroy);
}

void vhost_user_queue_finish(struct vhost_user_queue *queue)
{
	(void)vhost_user_queue_stop(queue); /* where it would go on no longer matters */
	assert(queue->in_flight == 0);
	g_ptr_array_unref(queue->retired);
	fd_close(&queue->call_fd);
	fd_close(&queue->err_fd);
	g_mutex_clear(&queue->lock);
}

void vhost_user_queue_set_call(struct vhost_user_queue *queue, int take_fd)
{
	g_mutex_lock(&queue->lock);
	fd_close(&queue->call_fd);
	queue->call_fd = take_fd;
	/* What completed while nobody listened must not be lost. */
	if (queue->vq && take_fd >= 0) {
		eventfd_signal(take_fd);
	}
	g_mutex_unlock(&queue->lock);
}

void vhost_user_queue_set_err(struct vhost_user_queue *queue, int take_fd)
{
	fd_close(&queue->err_fd);
	queue->err_fd = take_fd;
}

static void notify_locked(struct vhost_user_queue *queue)
{
	if (queue->call_fd >= 0 && virtqueue_needs_notify(queue->vq)) {
		eventfd_signal(queue->call_fd);
	}
}

static void push_locked(
		struct vhost_user_queue *queue, struct virtqueue_element *element, size_t written)
{
	uint16_t head = element->head;

	if (queue->inflight) {
		inflight_pushing(queue->inflight, head);
	}
	virtqueue_push(queue->vq, element, written);
	if (queue->inflight) {
		inflight_end(queue->inflight, head, virtqueue_next_used(queue->vq));
	}
	notify_locked(queue);
}

void vhost_user_queue_completed(struct gpu_request *base, size_t written)
{
	struct queue_request *request = container_of(base, struct queue_request, base);
	struct vhost_user_queue *queue = request->queue;

	g_mutex_lock(&queue->lock);
	if (queue->vq == request->vq) {
		push_locked(queue, request->element, written);
	} else {
		virtqueue_abandon(request->vq, request->element);
	}
	assert(queue->in_flight > 0);
	queue->in_flight--;
	if (queue->in_flight == 0) {
		g_ptr_array_set_size(queue->retired, 0);
	}
	g_mutex_unlock(&queue->lock);
	g_free(request);
}

static struct queue_request *pop(struct vhost_user_queue *queue)
{
	struct queue_request *request = NULL;

	g_mutex_lock(&queue->lock);
	struct virtqueue_element *element = queue->vq ? virtqueue_pop(queue->vq) : NULL;
	if (element) {
		if (queue->inflight) {
			inflight_begin(queue->inflight, element->head);
		}
		queue->in_flight++;
		request = g_new0(struct queue_request, 1);
		request->queue = queue;
		request->vq = queue->vq;
		request->element = element;
		request->base = (struct gpu_request){
				.queue = queue->index,
				.readable = element->readable,
				.readable_count = element->readable_count,
				.writable = element->writable,
				.writable_count = element->writable_count,
		};
	}
	g_mutex_unlock(&queue->lock);
	return request;
}

static bool take_all(struct vhost_user_queue *queue)
{
	struct queue_request *request;

	while ((request = pop(queue))) {
		gpu_submit(*queue->gpu, &request->base);
	}
	g_mutex_lock(&queue->lock);
	bool more = queue->vq && virtqueue_enable_kicks(queue->vq);
	const char *broken = queue->vq ? virtqueue_broken(queue->vq) : NULL;
	g_mutex_unlock(&queue->lock);
	if (broken) {
		guest_error("virtio-gpu: queue %u: %s", queue->index, broken);
		if (queue->err_fd >= 0) {
			eventfd_signal(queue->err_fd);
		}
		return false;
	}
	return more;
}

static gboolean handle_kick(int fd, GIOCondition condition, gpointer opaque)
{
	struct vhost_user_queue *queue = opaque;
	(void)condition;

	eventfd_take(fd);
	while (take_all(queue)) {
	}
	return G_SOURCE_CONTINUE;
}

/* The protocol's error to a request that a predecessor did not live to answer; fence echoed. */
static void answer_lost_locked(struct vhost_user_queue *queue, uint16_t head)
{
	struct virtqueue_element *element = virtqueue_take(queue->vq, head);
	struct virtio_gpu_ctrl_hdr request = {0}, reply = {0};

	if (!element) {
		return;
	}
	/* One that is too short for a header is answered without a fence. */
	(void)iov_to_buf(element->readable, element->readable_count, 0, &request, sizeof(request));
	reply.type = VIRTIO_GPU_RESP_ERR_UNSPEC;
	reply.flags = request.flags & (VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	reply.fence_id = request.fence_id;
	reply.ctx_id = request.ctx_id;
	reply.ring_idx = request.ring_idx;
	size_t written = iov_from_buf(
			element->writable, element->writable_count, 0, &reply, sizeof(reply));
	push_locked(queue, element, written);
}

static bool create_ring_locked(
		struct vhost_user_queue *queue, struct guest_memory *memory, GError **error)
{
	uint16_t heads[VIRTQUEUE_MAX_SIZE];
	unsigned lost = 0;

	if (queue->inflight) {
		/* What was taken and not answered is behind us: the ring goes on after it. */
		lost = inflight_recover(queue->inflight, queue->config.next_used, heads);
		queue->config.next_avail = (uint16_t)(queue->config.next_used + lost);
	}
	queue->vq = virtqueue_create(memory, &queue->config, error);
	if (!queue->vq) {
		return false;
	}
	for (unsigned i = 0; i < lost; i++) {
		answer_lost_locked(queue, heads[i]);
	}
	if (lost > 0) {
		log_info("virtio-gpu: queue %u: %u requests answered with an error", queue->index,
				lost);
	}
	return true;
}

bool vhost_user_queue_start(struct vhost_user_queue *queue, struct guest_memory *memory,
		int take_kick_fd, GError **error)
{
	auto_fd int kick_fd = take_kick_fd;

	assert(!queue->kick_source);
	g_mutex_lock(&queue->lock);
	bool ok = create_ring_locked(queue, memory, error);
	g_mutex_unlock(&queue->lock);
	if (!ok) {
		return false;
	}
	queue->kick_fd = fd_steal(&kick_fd);
	queue->kick_source = g_unix_fd_source_new(queue->kick_fd, G_IO_IN);
	g_source_set_callback(queue->kick_source, G_SOURCE_FUNC(handle_kick), queue, NULL);
	g_source_attach(queue->kick_source, g_main_context_get_thread_default());
	/* What was queued before needs no kick. */
	eventfd_signal(queue->kick_fd);
	return true;
}

void vhost_user_queue_pause(struct vhost_user_queue *queue)
{
	if (queue->kick_source) {
		g_source_destroy(queue->kick_source);
		g_source_unref(queue->kick_source);
		queue->kick_source = NULL;
	}
	fd_close(&queue->kick_fd);
}

uint16_t vhost_user_queue_stop(struct vhost_user_queue *queue)
{
	uint16_t base = queue->config.next_avail;

	vhost_user_queue_pause(queue);
	g_mutex_lock(&queue->lock);
	if (queue->vq) {
		base = virtqueue_next_avail(queue->vq);
		if (queue->in_flight == 0) {
			virtqueue_destroy(queue->vq);
		} else {
			g_ptr_array_add(queue->retired, queue->vq);
		}
		queue->vq = NULL;
	}
	g_mutex_unlock(&queue->lock);
	return base;
}
