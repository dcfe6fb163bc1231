/* SPDX-License-Identifier: MIT */
/*
 * A driver that writes anything into its rings while the device pops, pushes and abandons. Input: a byte of options, then
 * operations of one byte and their arguments.
 */
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/virtio/virtqueue.h"
#include "tests/fuzz/fuzz.h"

#define RAM_SIZE UINT64_C(0x4000)
#define SPLIT UINT64_C(0x2000) /* where one region ends and the next begins */
#define MAX_HELD 64

static struct guest_memory *memory_once(void)
{
	static struct guest_memory *memory;

	if (!memory) {
		auto_fd int fd = memfd_create_sized("fuzz", RAM_SIZE, NULL);
		thread_register();
		/* What it says about bad guests is of no interest here. */
		bool ok = log_set_file("/dev/null", true, NULL);
		memory = guest_memory_create();
		ok = ok && guest_memory_add(memory, 0, SPLIT, fd, 0, 0, NULL);
		ok = ok && guest_memory_add(memory, SPLIT, RAM_SIZE - SPLIT, fd, SPLIT, 0, NULL);
		assert(ok);
	}
	return memory;
}

/* Reads and writes all that the element offers. */
static void use(struct virtqueue_element *element)
{
	volatile char sum = 0;

	for (unsigned i = 0; i < element->readable_count; i++) {
		const char *bytes = element->readable[i].iov_base;
		sum = (char)(sum + bytes[0] + bytes[element->readable[i].iov_len - 1]);
	}
	for (unsigned i = 0; i < element->writable_count; i++) {
		char *bytes = element->writable[i].iov_base;
		bytes[0]++;
		bytes[element->writable[i].iov_len - 1]++;
	}
}

struct held {
	struct virtqueue_element *elements[MAX_HELD];
	unsigned count;
};

static void pop(struct virtqueue *vq, struct held *held)
{
	struct virtqueue_element *element = held->count < MAX_HELD ? virtqueue_pop(vq) : NULL;

	if (element) {
		use(element);
		held->elements[held->count++] = element;
	}
}

static struct virtqueue_element *let_go(struct held *held, unsigned which)
{
	which %= held->count;
	struct virtqueue_element *element = held->elements[which];

	held->count--;
	held->elements[which] = held->elements[held->count];
	return element;
}

/* Addresses mostly in RAM, now and then anywhere. */
static uint64_t take_address(struct fuzz_input *input)
{
	uint16_t value = fuzz_take16(input);

	return value >= 0xff00 ? UINT64_MAX - (value & 0xff) : value % (RAM_SIZE + 0x100);
}

static void write_desc(struct guest_memory *memory, struct fuzz_input *input)
{
	unsigned index = fuzz_take8(input) % 64; /* the ring, and the tables behind it */
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = {.addr = take_address(input),
			.len = fuzz_take16(input),
			.flags = fuzz_take8(input) % 8,
			.next = fuzz_take8(input) % 16};

	if (desc.len >= 0xff00) {
		desc.len = UINT32_MAX - (desc.len & 0xff);
	}
	(void)guest_memory_write(memory, index * sizeof(desc), &desc, sizeof(desc));
}

static void make_available(struct guest_memory *memory, const struct virtqueue_config *config,
		struct fuzz_input *input)
{
	uint16_t idx, head = fuzz_take8(input) % 16;

	(void)guest_memory_read(memory, config->avail + 2, &idx, sizeof(idx));
	(void)guest_memory_write(
			memory, config->avail + 4 + 2u * (idx % config->size), &head, sizeof(head));
	idx++;
	(void)guest_memory_write(memory, config->avail + 2, &idx, sizeof(idx));
}

static void operate(struct virtqueue *vq, struct guest_memory *memory,
		const struct virtqueue_config *config, struct fuzz_input *input, struct held *held)
{
	uint8_t operation = fuzz_take8(input);
	uint16_t value;

	switch (operation % 12) {
	case 0:
	case 1:
		pop(vq, held);
		break;
	case 2:
		if (held->count > 0) {
			struct virtqueue_element *element = let_go(held, operation / 12);
			virtqueue_push(vq, element, element->writable_size);
		}
		break;
	case 3:
		if (held->count > 0) {
			virtqueue_abandon(vq, let_go(held, operation / 12));
		}
		break;
	case 4:
		(void)virtqueue_needs_notify(vq);
		break;
	case 5:
		virtqueue_disable_kicks(vq);
		break;
	case 6:
		(void)virtqueue_enable_kicks(vq);
		break;
	case 7:
		value = fuzz_take16(input);
		(void)guest_memory_write(memory, take_address(input), &value, sizeof(value));
		break;
	case 8:
	case 9:
		write_desc(memory, input);
		break;
	default:
		make_available(memory, config, input);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	struct guest_memory *memory = memory_once();
	uint8_t options = fuzz_take8(&input);
	struct virtqueue_config config = {.size = (uint16_t)(1u << (options & 3)),
			.desc = 0,
			.avail = 0x400,
			.used = 0x500,
			.event_idx = options & 4,
			.indirect = options & 8};
	struct held held = {.count = 0};
	static const uint8_t zeroes[0x600];

	bool ok = guest_memory_write(memory, 0, zeroes, sizeof(zeroes));
	assert(ok);
	struct virtqueue *vq = virtqueue_create(memory, &config, NULL);
	assert(vq);
	for (unsigned i = 0; i < 512 && input.left > 0; i++) {
		operate(vq, memory, &config, &input, &held);
	}
	while (held.count > 0) {
		virtqueue_abandon(vq, held.elements[--held.count]);
	}
	virtqueue_destroy(vq);
	return 0;
}
