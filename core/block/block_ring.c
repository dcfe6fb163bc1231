/* SPDX-License-Identifier: MIT */
#include "core/block/block_ring.h"

#include "core/base/fd.h"

#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

struct block_ring {
	struct io_uring uring;
};

static bool knows_operations(struct io_uring *uring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
	bool ok = probe && io_uring_opcode_supported(probe, IORING_OP_READV) &&
		  io_uring_opcode_supported(probe, IORING_OP_WRITEV) &&
		  io_uring_opcode_supported(probe, IORING_OP_FSYNC);

	io_uring_free_probe(probe);
	return ok;
}

/* Disabled at first, which kernels before 5.10 do not know. */
static int make_ring(struct io_uring *uring, unsigned depth)
{
	int ret = io_uring_queue_init(depth, uring, IORING_SETUP_R_DISABLED);

	return ret == -EINVAL ? io_uring_queue_init(depth, uring, 0) : ret;
}

/* The library's own functions for these two are missing from some of its releases. */
static long do_register(
		struct io_uring *uring, unsigned operation, const void *argument, unsigned count)
{
	return syscall(SYS_io_uring_register, uring->ring_fd, operation, argument, count);
}

/* Nobody who takes the process over can ask the ring for more: no filter of system calls sees what it is asked for. */
static int restrict_and_enable(struct io_uring *uring)
{
	static const uint8_t operations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC};
	struct io_uring_restriction restrictions[G_N_ELEMENTS(operations)] = {{0}};

	if (!(uring->flags & IORING_SETUP_R_DISABLED)) {
		return 0;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(operations); i++) {
		restrictions[i].opcode = IORING_RESTRICTION_SQE_OP;
		restrictions[i].sqe_op = operations[i];
	}
	if (do_register(uring, IORING_REGISTER_RESTRICTIONS, restrictions,
			    G_N_ELEMENTS(restrictions)) < 0 ||
			do_register(uring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0) {
		return -errno;
	}
	return 0;
}

struct block_ring *block_ring_create(unsigned depth, int done_fd, GError **error)
{
	struct block_ring *ring = g_new0(struct block_ring, 1);
	int ret = make_ring(&ring->uring, depth);

	if (ret < 0) {
		errno = -ret;
		set_error_errno(error, "io_uring");
		g_free(ring);
		return NULL;
	}
	ret = knows_operations(&ring->uring) ? io_uring_register_eventfd(&ring->uring, done_fd)
					     : -EOPNOTSUPP;
	if (ret >= 0) {
		ret = restrict_and_enable(&ring->uring);
	}
	if (ret < 0) {
		errno = -ret;
		set_error_errno(error, "io_uring");
		block_ring_destroy(ring);
		return NULL;
	}
	return ring;
}

void block_ring_destroy(struct block_ring *ring)
{
	if (!ring) {
		return;
	}
	io_uring_queue_exit(&ring->uring);
	g_free(ring);
}

bool block_ring_submit(struct block_ring *ring, int fd, struct block_request *request)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe) {
		return false;
	}
	switch (request->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, fd, request->iov, request->iov_count, request->offset);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev(sqe, fd, request->iov, request->iov_count, request->offset);
		sqe->rw_flags = request->through ? RWF_DSYNC : 0;
		break;
	default:
		assert(request->op == BLOCK_FLUSH);
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	}
	io_uring_sqe_set_data(sqe, request);
	return true;
}

bool block_ring_commit(struct block_ring *ring)
{
	while (io_uring_sq_ready(&ring->uring) > 0) {
		int ret = io_uring_submit(&ring->uring);
		if (ret == -EINTR) {
			continue;
		}
		if (ret <= 0) {
			return false;
		}
	}
	return true;
}

struct block_request *block_ring_reap(struct block_ring *ring, int *ret_result)
{
	struct io_uring_cqe *cqe;

	if (io_uring_peek_cqe(&ring->uring, &cqe) != 0) {
		return NULL;
	}
	struct block_request *request = io_uring_cqe_get_data(cqe);
	*ret_result = cqe->res;
	io_uring_cqe_seen(&ring->uring, cqe);
	return request;
}
