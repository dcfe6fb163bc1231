/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues, virtio 1.3 section 2.7. The driver may change anything in its memory at any time: what decides
 * something here is read once, into locals, and checked there.
 */
#include "core/virtio/virtqueue.h"

#include "core/base/log.h"

#include <inttypes.h>
#include <string.h>

#define DESC_F_NEXT 1u
#define DESC_F_WRITE 2u
#define DESC_F_INDIRECT 4u
#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY 1u

/* The rings of 2.7.5, 2.7.6 and 2.7.8. */
struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
_Static_assert(sizeof(struct ring_desc) == 16, "virtio 2.7.5");

struct ring_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[]; /* size of them, then used_event */
};

struct ring_used_element {
	uint32_t id;
	uint32_t len;
};

struct ring_used {
	uint16_t flags;
	uint16_t idx;
	struct ring_used_element ring[]; /* size of them, then avail_event */
};
_Static_assert(offsetof(struct ring_used, ring) == 4, "virtio 2.7.8");

struct virtqueue {
	struct guest_memory *memory;
	struct virtqueue_config config;
	struct guest_mapping desc_mapping, avail_mapping, used_mapping;
	const struct ring_desc *desc;
	struct ring_avail *avail;
	struct ring_used *used;

	uint16_t next_avail, next_used;
	unsigned in_flight; /* popped, neither pushed nor abandoned */
	unsigned unannounced; /* pushed since the last virtqueue_needs_notify() */
	bool kicks_wanted;
	char *broken; /* why; NULL while it works */

	/* The chain that is being popped: bounded, so that a guest cannot make it grow. */
	unsigned mapping_count;
	struct guest_mapping mappings[VIRTQUEUE_MAX_SEGMENTS];
};

static void break_queue(struct virtqueue *vq, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The guest's fault: the queue is of no use until it is set up anew. */
static void break_queue(struct virtqueue *vq, const char *format, ...)
{
	va_list args;

	if (vq->broken) {
		return;
	}
	va_start(args, format);
	vq->broken = g_strdup_vprintf(format, args);
	va_end(args);
	guest_error("virtqueue: %s", vq->broken);
}

static bool check_config(const struct virtqueue_config *config, GError **error)
{
	if (config->size == 0 || config->size > VIRTQUEUE_MAX_SIZE ||
			(config->size & (config->size - 1)) != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"queue size %u is not a power of two up to %d", config->size,
				VIRTQUEUE_MAX_SIZE);
		return false;
	}
	/* 2.7: the alignment of the three parts. */
	if (config->desc % 16 != 0 || config->avail % 2 != 0 || config->used % 4 != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "a ring is misaligned");
		return false;
	}
	return true;
}

static bool map_ring(struct virtqueue *vq, const char *name, uint64_t guest, size_t len,
		enum guest_access access, struct guest_mapping *ret_mapping, GError **error)
{
	if (guest_memory_map(vq->memory, guest, len, access, ret_mapping)) {
		return true;
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAULT,
			"the %s ring at 0x%" PRIx64 " (%zu bytes) is not in RAM", name, guest, len);
	return false;
}

struct virtqueue *virtqueue_create(
		struct guest_memory *memory, const struct virtqueue_config *config, GError **error)
{
	if (!check_config(config, error)) {
		return NULL;
	}
	struct virtqueue *vq = g_new0(struct virtqueue, 1);
	vq->memory = memory;
	vq->config = *config;
	vq->next_avail = config->next_avail;
	vq->next_used = config->next_used;
	vq->kicks_wanted = true;

	size_t desc_len = sizeof(struct ring_desc) * config->size;
	size_t avail_len = sizeof(struct ring_avail) + sizeof(uint16_t) * (config->size + 1u);
	size_t used_len = sizeof(struct ring_used) +
			  sizeof(struct ring_used_element) * config->size + sizeof(uint16_t);
	if (!map_ring(vq, "descriptor", config->desc, desc_len, GUEST_READ, &vq->desc_mapping,
			    error) ||
			!map_ring(vq, "available", config->avail, avail_len, GUEST_READ,
					&vq->avail_mapping, error) ||
			!map_ring(vq, "used", config->used, used_len, GUEST_WRITE,
					&vq->used_mapping, error)) {
		virtqueue_destroy(vq);
		return NULL;
	}
	vq->desc = vq->desc_mapping.host;
	vq->avail = vq->avail_mapping.host;
	vq->used = vq->used_mapping.host;
	return vq;
}

static void unmap_if_mapped(struct virtqueue *vq, struct guest_mapping *mapping)
{
	if (mapping->region) {
		guest_mapping_unmap(vq->memory, mapping, 0);
	}
}

void virtqueue_destroy(struct virtqueue *vq)
{
	if (!vq) {
		return;
	}
	assert(vq->in_flight == 0);
	unmap_if_mapped(vq, &vq->desc_mapping);
	unmap_if_mapped(vq, &vq->avail_mapping);
	unmap_if_mapped(vq, &vq->used_mapping);
	g_free(vq->broken);
	g_free(vq);
}

static uint16_t avail_index(const struct virtqueue *vq)
{
	return __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
}

/* Stores into the used ring's 16-bit fields and tells the dirty hooks. */
static void store_used16(struct virtqueue *vq, uint16_t *field, uint16_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELEASE);
	guest_memory_written(vq->memory,
			vq->config.used + (uint64_t)((char *)field - (char *)vq->used),
			sizeof(*field));
}

static uint16_t *avail_event(struct virtqueue *vq)
{
	return (uint16_t *)(void *)&vq->used->ring[vq->config.size];
}

/* With the event index: from which request on the driver should kick (2.7.10). */
static void publish_avail_event(struct virtqueue *vq)
{
	if (vq->config.event_idx && vq->kicks_wanted) {
		store_used16(vq, avail_event(vq), vq->next_avail);
	}
}

/* Requests the driver made available and we have not popped. */
static uint16_t pending(const struct virtqueue *vq)
{
	return (uint16_t)(avail_index(vq) - vq->next_avail);
}

bool virtqueue_empty(struct virtqueue *vq)
{
	return vq->broken || pending(vq) == 0;
}

/* Whether there is something to pop; breaks the queue if the driver claims the impossible. */
static bool has_request(struct virtqueue *vq)
{
	uint16_t count = pending(vq);

	if (count == 0) {
		/* The driver reads the event after it wrote its index, we the other way round: one of us sees the other. */
		publish_avail_event(vq);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		count = pending(vq);
	}
	if (count > vq->config.size) {
		break_queue(vq, "available index %u is %u past ours, more than the queue's %u",
				avail_index(vq), count, vq->config.size);
		return false;
	}
	if (count > 0 && vq->in_flight >= vq->config.size) {
		break_queue(vq, "more requests in flight than its %u descriptors", vq->config.size);
		return false;
	}
	return count > 0;
}

/* A descriptor, read once. */
static struct ring_desc load_desc(const struct ring_desc *table, unsigned index)
{
	const uint64_t *raw = (const uint64_t *)(const void *)&table[index];
	uint64_t copy[2] = {__atomic_load_n(&raw[0], __ATOMIC_RELAXED),
			__atomic_load_n(&raw[1], __ATOMIC_RELAXED)};
	struct ring_desc desc;

	memcpy(&desc, copy, sizeof(desc));
	return desc;
}

/* What is known of the chain so far. */
struct chain {
	const struct ring_desc *table; /* the ring's, or an indirect one */
	unsigned table_size;
	unsigned in_table; /* descriptors seen in it; bounds the walk */
	unsigned readable_count; /* mappings */
	uint64_t readable_size, writable_size;
	struct guest_mapping indirect; /* region NULL: not in use */
};

/* Maps one buffer; in more than one piece where it lies across regions. */
static bool map_buffer(struct virtqueue *vq, struct chain *chain, const struct ring_desc *desc)
{
	bool writable = desc->flags & DESC_F_WRITE;
	uint64_t guest = desc->addr;
	size_t len = desc->len;

	if (len == 0) {
		break_queue(vq, "descriptor of no length");
		return false;
	}
	if (!writable && chain->writable_size > 0) {
		break_queue(vq, "device-readable descriptor after a device-writable one");
		return false;
	}
	uint64_t *size = writable ? &chain->writable_size : &chain->readable_size;
	*size += len;
	/* 2.7.5: a chain holds less than 4 GiB. */
	if (chain->readable_size + chain->writable_size > UINT32_MAX) {
		break_queue(vq, "chain of more than 4 GiB");
		return false;
	}
	while (len > 0) {
		if (vq->mapping_count == VIRTQUEUE_MAX_SEGMENTS) {
			break_queue(vq, "chain of more than %d segments", VIRTQUEUE_MAX_SEGMENTS);
			return false;
		}
		struct guest_mapping *mapping = &vq->mappings[vq->mapping_count];
		if (guest + (len - 1) < guest ||
				!guest_memory_map_some(vq->memory, guest, len,
						writable ? GUEST_WRITE : GUEST_READ, mapping)) {
			break_queue(vq, "buffer at 0x%" PRIx64 " (%u bytes) is not in %sRAM",
					desc->addr, desc->len, writable ? "writable " : "");
			return false;
		}
		vq->mapping_count++;
		chain->readable_count += !writable;
		guest += mapping->len;
		len -= mapping->len;
	}
	return true;
}

/* 2.7.5.3: goes on in the table that desc points at. */
static bool enter_indirect(struct virtqueue *vq, struct chain *chain, const struct ring_desc *desc)
{
	if (!vq->config.indirect) {
		break_queue(vq, "indirect descriptor, which was not negotiated");
	} else if (chain->indirect.region) {
		break_queue(vq, "indirect descriptor inside an indirect table");
	} else if (desc->flags & DESC_F_NEXT) {
		break_queue(vq, "indirect descriptor with a next one");
	} else if (desc->len == 0 || desc->len % sizeof(struct ring_desc) != 0) {
		break_queue(vq, "indirect table of %u bytes", desc->len);
	} else if (desc->addr % sizeof(uint64_t) != 0) {
		break_queue(vq, "misaligned indirect table at 0x%" PRIx64, desc->addr);
	} else if (!guest_memory_map(vq->memory, desc->addr, desc->len, GUEST_READ,
				   &chain->indirect)) {
		break_queue(vq, "indirect table at 0x%" PRIx64 " (%u bytes) is not in RAM",
				desc->addr, desc->len);
	} else {
		chain->table = chain->indirect.host;
		chain->table_size = desc->len / sizeof(struct ring_desc);
		chain->in_table = 0;
		return true;
	}
	return false;
}

/* Maps every buffer of the chain into vq->mappings. */
static bool walk_chain(struct virtqueue *vq, struct chain *chain, unsigned head)
{
	unsigned index = head;

	for (;;) {
		if (index >= chain->table_size) {
			break_queue(vq, "descriptor %u of %u", index, chain->table_size);
			return false;
		}
		struct ring_desc desc = load_desc(chain->table, index);
		if (desc.flags & DESC_F_INDIRECT) {
			if (!enter_indirect(vq, chain, &desc)) {
				return false;
			}
			index = 0;
			continue;
		}
		if (++chain->in_table > chain->table_size) {
			break_queue(vq, "chain that loops");
			return false;
		}
		if (!map_buffer(vq, chain, &desc)) {
			return false;
		}
		if (!(desc.flags & DESC_F_NEXT)) {
			return true;
		}
		index = desc.next;
	}
}

static struct virtqueue_element *element_create(
		const struct virtqueue *vq, const struct chain *chain, uint16_t head)
{
	unsigned count = vq->mapping_count;
	struct virtqueue_element *element = g_malloc(
			sizeof(*element) +
			count * (sizeof(struct guest_mapping) + sizeof(struct iovec)));
	struct guest_mapping *mappings = (struct guest_mapping *)(void *)(element + 1);
	struct iovec *iov = (struct iovec *)(void *)(mappings + count);

	memcpy(mappings, vq->mappings, count * sizeof(*mappings));
	for (unsigned i = 0; i < count; i++) {
		iov[i] = (struct iovec){mappings[i].host, mappings[i].len};
	}
	*element = (struct virtqueue_element){.head = head,
			.readable_count = chain->readable_count,
			.writable_count = count - chain->readable_count,
			.readable = iov,
			.writable = iov + chain->readable_count,
			.readable_size = chain->readable_size,
			.writable_size = chain->writable_size,
			.mappings = mappings};
	return element;
}

/* Maps the chain that begins with head; NULL with the queue broken if it is wrong. */
static struct virtqueue_element *load_chain(struct virtqueue *vq, uint16_t head)
{
	struct chain chain = {.table = vq->desc, .table_size = vq->config.size};

	vq->mapping_count = 0;
	bool ok = walk_chain(vq, &chain, head);
	unmap_if_mapped(vq, &chain.indirect);
	if (!ok) {
		for (unsigned i = 0; i < vq->mapping_count; i++) {
			guest_mapping_unmap(vq->memory, &vq->mappings[i], 0);
		}
		return NULL;
	}
	vq->in_flight++;
	return element_create(vq, &chain, head);
}

struct virtqueue_element *virtqueue_pop(struct virtqueue *vq)
{
	if (vq->broken || !has_request(vq)) {
		return NULL;
	}
	const uint16_t *slot = &vq->avail->ring[vq->next_avail & (vq->config.size - 1)];
	uint16_t head = __atomic_load_n(slot, __ATOMIC_RELAXED);
	struct virtqueue_element *element = load_chain(vq, head);

	if (element) {
		vq->next_avail++;
		publish_avail_event(vq);
	}
	return element;
}

struct virtqueue_element *virtqueue_take(struct virtqueue *vq, uint16_t head)
{
	return vq->broken || vq->in_flight >= vq->config.size ? NULL : load_chain(vq, head);
}

/* Unmaps the buffers, of which written bytes of the writable ones were changed, and frees the element. */
static void release(struct virtqueue *vq, struct virtqueue_element *element, size_t written)
{
	unsigned count = element->readable_count + element->writable_count;

	for (unsigned i = 0; i < count; i++) {
		size_t here = i < element->readable_count ? 0
							  : MIN(written, element->mappings[i].len);
		guest_mapping_unmap(vq->memory, &element->mappings[i], here);
		written -= here;
	}
	assert(vq->in_flight > 0);
	vq->in_flight--;
	g_free(element);
}

void virtqueue_push(struct virtqueue *vq, struct virtqueue_element *element, size_t written)
{
	assert(written <= element->writable_size);
	uint16_t slot = vq->next_used & (vq->config.size - 1);
	struct ring_used_element used = {.id = element->head, .len = (uint32_t)written};

	release(vq, element, written); /* before the driver can see the completion */
	memcpy(&vq->used->ring[slot], &used, sizeof(used));
	guest_memory_written(vq->memory,
			vq->config.used + offsetof(struct ring_used, ring) + slot * sizeof(used),
			sizeof(used));
	vq->next_used++;
	vq->unannounced++;
	store_used16(vq, &vq->used->idx, vq->next_used);
}

void virtqueue_abandon(struct virtqueue *vq, struct virtqueue_element *element)
{
	release(vq, element, 0);
}

bool virtqueue_needs_notify(struct virtqueue *vq)
{
	unsigned count = vq->unannounced;

	if (count == 0) {
		return false;
	}
	vq->unannounced = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* our index before the driver's wish */
	if (!vq->config.event_idx) {
		return !(__atomic_load_n(&vq->avail->flags, __ATOMIC_RELAXED) &
				AVAIL_F_NO_INTERRUPT);
	}
	/* 2.7.7.2: if the element of index used_event is among the new ones. */
	uint16_t used_event = __atomic_load_n(&vq->avail->ring[vq->config.size], __ATOMIC_RELAXED);
	return (uint16_t)(vq->next_used - used_event - 1) < count;
}

void virtqueue_disable_kicks(struct virtqueue *vq)
{
	vq->kicks_wanted = false;
	if (!vq->config.event_idx) {
		store_used16(vq, &vq->used->flags, USED_F_NO_NOTIFY);
	}
	/* With the event index it is enough that avail_event stays behind. */
}

bool virtqueue_enable_kicks(struct virtqueue *vq)
{
	vq->kicks_wanted = true;
	if (vq->config.event_idx) {
		publish_avail_event(vq);
	} else {
		store_used16(vq, &vq->used->flags, 0);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !virtqueue_empty(vq);
}

const char *virtqueue_broken(const struct virtqueue *vq)
{
	return vq->broken;
}

uint16_t virtqueue_next_avail(const struct virtqueue *vq)
{
	return vq->next_avail;
}

uint16_t virtqueue_next_used(const struct virtqueue *vq)
{
	return vq->next_used;
}
