/* SPDX-License-Identifier: MIT */
#include "tests/harness/driver_queue.h"

#include <string.h>

#define AVAIL_RING 4 /* offset of the slots */
#define USED_RING 4

static void write_guest(struct guest_memory *memory, uint64_t guest, const void *buf, size_t len)
{
	bool ok = guest_memory_write(memory, guest, buf, len);
	assert(ok);
}

/* The device looks at the same moment: as a driver does it, in one piece and in order with what stands before. */
static void write16(struct driver_queue *queue, uint64_t guest, uint16_t value)
{
	struct guest_mapping mapping;
	bool ok = guest_memory_map(queue->memory, guest, sizeof(value), GUEST_WRITE, &mapping);

	assert(ok);
	__atomic_store_n((uint16_t *)mapping.host, value, __ATOMIC_RELEASE);
	guest_mapping_unmap(queue->memory, &mapping, sizeof(value));
}

static uint16_t read16(struct driver_queue *queue, uint64_t guest)
{
	struct guest_mapping mapping;
	bool ok = guest_memory_map(queue->memory, guest, sizeof(uint16_t), GUEST_READ, &mapping);

	assert(ok);
	uint16_t value = __atomic_load_n((const uint16_t *)mapping.host, __ATOMIC_ACQUIRE);
	guest_mapping_unmap(queue->memory, &mapping, 0);
	return value;
}

void driver_queue_init(struct driver_queue *queue, struct guest_memory *memory, uint64_t base,
		uint16_t size)
{
	assert(base % GUEST_PAGE_SIZE == 0 && size <= VIRTQUEUE_MAX_SIZE);
	memset(queue, 0, sizeof(*queue));
	queue->memory = memory;
	queue->config.size = size;
	queue->config.desc = base;
	queue->config.avail = base + 16u * size;
	/* the used ring's alignment is 4 */
	queue->config.used = (queue->config.avail + AVAIL_RING + 2u * size + 2 + 3) & ~UINT64_C(3);
	queue->end = queue->config.used + USED_RING + 8u * size + 2;
	for (unsigned i = 0; i < size; i++) {
		queue->free[i] = (uint16_t)(size - 1 - i);
	}
	queue->free_count = size;

	g_autofree char *zeroes = g_malloc0(queue->end - base);
	write_guest(memory, base, zeroes, queue->end - base);
}

void driver_table_write_desc(struct guest_memory *memory, uint64_t table, unsigned index,
		uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = {addr, len, flags, next};

	write_guest(memory, table + index * sizeof(desc), &desc, sizeof(desc));
}

void driver_queue_write_desc(struct driver_queue *queue, unsigned index, uint64_t addr,
		uint32_t len, uint16_t flags, uint16_t next)
{
	driver_table_write_desc(queue->memory, queue->config.desc, index, addr, len, flags, next);
}

void driver_queue_set_avail_idx(struct driver_queue *queue, uint16_t idx)
{
	queue->avail_idx = idx;
	write16(queue, queue->config.avail + 2, idx);
}

void driver_queue_make_available(struct driver_queue *queue, uint16_t head)
{
	unsigned slot = queue->avail_idx % queue->config.size;

	write16(queue, queue->config.avail + AVAIL_RING + 2 * slot, head);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	driver_queue_set_avail_idx(queue, queue->avail_idx + 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint16_t take_free(struct driver_queue *queue)
{
	assert(queue->free_count > 0);
	return queue->free[--queue->free_count];
}

uint16_t driver_queue_add(
		struct driver_queue *queue, const struct driver_buffer *buffers, unsigned count)
{
	uint16_t head = take_free(queue);
	uint16_t index = head;

	assert(count > 0);
	for (unsigned i = 0; i < count; i++) {
		bool last = i == count - 1;
		uint16_t next = last ? 0 : take_free(queue);
		unsigned flags = (last ? 0 : DRIVER_DESC_NEXT) |
				 (buffers[i].writable ? DRIVER_DESC_WRITE : 0);
		driver_queue_write_desc(queue, index, buffers[i].guest, buffers[i].len,
				(uint16_t)flags, next);
		queue->chain_next[index] = next;
		index = next;
	}
	queue->chain_length[head] = (uint16_t)count;
	driver_queue_make_available(queue, head);
	return head;
}

uint16_t driver_queue_add_indirect(struct driver_queue *queue, uint64_t table,
		const struct driver_buffer *buffers, unsigned count)
{
	uint16_t head = take_free(queue);

	for (unsigned i = 0; i < count; i++) {
		bool last = i == count - 1;
		unsigned flags = (last ? 0 : DRIVER_DESC_NEXT) |
				 (buffers[i].writable ? DRIVER_DESC_WRITE : 0);
		driver_table_write_desc(queue->memory, table, i, buffers[i].guest, buffers[i].len,
				(uint16_t)flags, last ? 0 : (uint16_t)(i + 1));
	}
	driver_queue_write_desc(queue, head, table, count * 16, DRIVER_DESC_INDIRECT, 0);
	queue->chain_length[head] = 1;
	driver_queue_make_available(queue, head);
	return head;
}

bool driver_queue_take_used(struct driver_queue *queue, uint32_t *ret_head, uint32_t *ret_len)
{
	if (read16(queue, queue->config.used + 2) == queue->last_used) {
		return false;
	}
	uint32_t element[2];
	unsigned slot = queue->last_used % queue->config.size;
	bool ok = guest_memory_read(queue->memory, queue->config.used + USED_RING + 8 * slot,
			element, sizeof(element));
	assert(ok && element[0] < queue->config.size);
	uint16_t index = (uint16_t)element[0];
	for (unsigned i = 0; i < queue->chain_length[element[0]]; i++) {
		queue->free[queue->free_count++] = index;
		index = queue->chain_next[index];
	}
	queue->chain_length[element[0]] = 0;
	queue->last_used++;
	*ret_head = element[0];
	*ret_len = element[1];
	return true;
}

bool driver_queue_kick_wanted(struct driver_queue *queue, uint16_t old)
{
	if (!queue->config.event_idx) {
		return !(read16(queue, queue->config.used) & 1);
	}
	uint16_t event = read16(queue, queue->config.used + USED_RING + 8u * queue->config.size);
	return (uint16_t)(queue->avail_idx - event - 1) < (uint16_t)(queue->avail_idx - old);
}

void driver_queue_set_no_interrupt(struct driver_queue *queue, bool no_interrupt)
{
	write16(queue, queue->config.avail, no_interrupt);
}

void driver_queue_set_used_event(struct driver_queue *queue, uint16_t event)
{
	write16(queue, queue->config.avail + AVAIL_RING + 2u * queue->config.size, event);
}
