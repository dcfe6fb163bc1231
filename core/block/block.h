/* SPDX-License-Identifier: MIT */
/*
 * Disk images: raw files and block devices, bare or under a throw-away overlay (snapshot=on), and
 * the queues through which devices read and write them without waiting.
 *
 * A block object may be used from any thread. A block queue belongs to one user, who serializes the
 * calls (a device: under its lock); its requests complete in block_queue_reap() and
 * block_queue_drain(), on the caller's thread. Offsets and lengths are bytes; errors of requests
 * are errno values, 0 is success.
 */
#ifndef CORE_BLOCK_BLOCK_H
#define CORE_BLOCK_BLOCK_H

#include "core/base/base.h"
#include "core/device/property.h"

#include <sys/uio.h>

#define BLOCK_SECTOR UINT64_C(512)
#define BLOCK_MAX_SEGMENTS 1024 /* iovecs in one request */

struct block;
struct block_queue;

enum block_format {
	BLOCK_FORMAT_RAW,
};

/* What -drive attaches the image to. */
enum block_interface {
	BLOCK_INTERFACE_VIRTIO,
	BLOCK_INTERFACE_NONE, /* a -device names it by its id */
};

enum block_aio {
	BLOCK_AIO_AUTO, /* io_uring where the host allows it, else threads */
	BLOCK_AIO_THREADS,
	BLOCK_AIO_IO_URING,
};

enum block_discard {
	BLOCK_DISCARD_IGNORE,
	BLOCK_DISCARD_UNMAP,
};

/* What follows -drive. Set it up with properties_set_defaults(&options, block_properties). */
struct block_options {
	char *file;
	char *id;
	unsigned interface; /* enum block_interface */
	unsigned format; /* enum block_format */
	unsigned aio; /* enum block_aio */
	unsigned discard; /* enum block_discard: whether guests may free space of the image */
	bool read_only;
	bool snapshot; /* writes go to a temporary file that is gone afterwards */
	bool locking; /* keep other programs from using the image in a conflicting way */
};

extern const struct property block_properties[]; /* of struct block_options */

/*
 * Opens an image and locks it against other programs: shared if it is only read (read_only or
 * snapshot), alone otherwise. The options are not needed afterwards.
 */
struct block *block_open(const struct block_options *options, GError **error);
void block_close(struct block *block); /* no queue may be left; may be NULL */

const char *block_name(const struct block *block); /* id, else file name: for messages */
const char *block_id(const struct block *block); /* may be NULL */
uint64_t block_size(const struct block *block); /* bytes, whole sectors */
bool block_is_read_only(const struct block *block); /* to its users; never with snapshot=on */
/* Whether discards free space of the image; otherwise they are accepted and do nothing. */
bool block_unmaps(const struct block *block);

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH, /* what was completed before it was submitted is on stable storage */
	BLOCK_DISCARD, /* the range is not needed any more; its contents become undefined */
	BLOCK_WRITE_ZEROES,
};

/* Embedded by its user, who keeps it and the buffers until done. */
struct block_request {
	enum block_op op;
	bool through; /* writes: on stable storage when done */
	bool may_unmap; /* BLOCK_WRITE_ZEROES may free the space */
	uint64_t offset, len; /* not for BLOCK_FLUSH */
	const struct iovec *iov; /* reads and writes: len bytes in all */
	unsigned iov_count; /* at most BLOCK_MAX_SEGMENTS */
	void (*done)(struct block_request *request, int error);

	struct block_request *next; /* the queue's, as the next */
	int error;
};

/* Carries a request out and waits for it; returns the error. done is not called. */
int block_perform(struct block *block, const struct block_request *request);

/* A queue for at most depth requests in flight. */
struct block_queue *block_queue_create(struct block *block, unsigned depth, GError **error);
void block_queue_destroy(struct block_queue *queue); /* drained; may be NULL */

/* "io_uring" or "threads". */
const char *block_queue_engine(const struct block_queue *queue);

/* Readable when block_queue_reap() has something to do. Only the queue takes its count. */
int block_queue_fd(const struct block_queue *queue);

/* Whether depth requests are in flight: submit no more. */
bool block_queue_full(const struct block_queue *queue);
unsigned block_queue_in_flight(const struct block_queue *queue);

/*
 * Takes a request; block_queue_commit() sets off what was submitted. Requests may complete in any
 * order.
 */
void block_queue_submit(struct block_queue *queue, struct block_request *request);
void block_queue_commit(struct block_queue *queue);

/* Calls done of the requests that are; returns how many. done may submit. */
unsigned block_queue_reap(struct block_queue *queue);

/* Waits until no request is in flight, calling done for each. */
void block_queue_drain(struct block_queue *queue);

#endif
