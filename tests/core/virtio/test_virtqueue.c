/* SPDX-License-Identifier: MIT */
#include "core/virtio/virtqueue.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/driver_queue.h"
#include "tests/harness/test.h"

#include <string.h>

#define SIZE 8
#define RAM UINT64_C(0x10000)
#define ROM UINT64_C(0x20000)
#define DATA UINT64_C(0x8000) /* buffers */
#define TABLE UINT64_C(0x6000) /* indirect tables */

struct hook {
	struct guest_write_hook base;
	GString *log; /* "w(address,len)" */
};

static void written(struct guest_write_hook *base, uint64_t guest, uint64_t len)
{
	struct hook *hook = container_of(base, struct hook, base);

	if (guest >= DATA) {
		g_string_append_printf(hook->log, "w(%x,%u)", (unsigned)guest, (unsigned)len);
	}
}

struct fixture {
	struct guest_memory *memory;
	struct driver_queue driver;
	struct virtqueue *vq;
	struct hook hook;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);
	auto_fd int fd = memfd_create_sized("test", RAM + GUEST_PAGE_SIZE, NULL);

	f->memory = guest_memory_create();
	/* two regions that touch at DATA + 0x1000, and a page of ROM */
	assert_true(guest_memory_add(f->memory, 0, DATA + 0x1000, fd, 0, 0, NULL));
	assert_true(guest_memory_add(
			f->memory, DATA + 0x1000, RAM - DATA - 0x1000, fd, DATA + 0x1000, 0, NULL));
	assert_true(guest_memory_add(
			f->memory, ROM, GUEST_PAGE_SIZE, fd, RAM, GUEST_REGION_ROM, NULL));
	driver_queue_init(&f->driver, f->memory, 0, SIZE);
	f->hook = (struct hook){.base = {.written = written}, .log = g_string_new(NULL)};
	*state = f;
	return 0;
}

static void start(struct fixture *f)
{
	f->vq = virtqueue_create(f->memory, &f->driver.config, NULL);
	assert_non_null(f->vq);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtqueue_destroy(f->vq);
	guest_memory_destroy(f->memory);
	g_string_free(f->hook.log, TRUE);
	g_free(f);
	return 0;
}

static void test_bad_configs(void **state)
{
	static const struct {
		const char *name;
		struct virtqueue_config config;
		const char *says;
	} rows[] = {
			{"size 0", {0, 0, 0x1000, 0x2000}, "power of two"},
			{"size 3", {3, 0, 0x1000, 0x2000}, "power of two"},
			{"size 2048", {2048, 0, 0x1000, 0x2000}, "power of two"},
			{"desc misaligned", {8, 8, 0x1000, 0x2000}, "misaligned"},
			{"avail misaligned", {8, 0, 0x1001, 0x2000}, "misaligned"},
			{"used misaligned", {8, 0, 0x1000, 0x2002}, "misaligned"},
			{"desc outside", {8, RAM, 0x1000, 0x2000}, "descriptor ring"},
			{"desc ends outside", {8, RAM - 112, 0x1000, 0x2000}, "descriptor ring"},
			{"desc wraps", {8, UINT64_MAX - 15, 0x1000, 0x2000}, "descriptor ring"},
			{"avail ends outside", {8, 0, RAM - 20, 0x2000}, "available ring"},
			{"used ends outside", {8, 0, 0x1000, RAM - 68}, "used ring"},
			{"used in ROM", {8, 0, 0x1000, ROM}, "used ring"},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		struct virtqueue *vq = virtqueue_create(f->memory, &rows[i].config, &error);
		if (vq || !strstr(error->message, rows[i].says)) {
			fail_msg("%s: %s", rows[i].name, vq ? "accepted" : error->message);
		}
	}
}

static void test_one_request(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer buffers[] = {
			{DATA, 4, false},
			{DATA + 0x100, 3, false},
			{DATA + 0x200, 2, true},
			{DATA + 0x300, 8, true},
	};
	uint32_t head, len;
	char text[8] = "";

	start(f);
	assert_true(virtqueue_empty(f->vq));
	assert_null(virtqueue_pop(f->vq));
	assert_null(virtqueue_broken(f->vq));
	guest_memory_write(f->memory, DATA, "abcd", 4);
	uint16_t added = driver_queue_add(&f->driver, buffers, 4);
	assert_false(virtqueue_empty(f->vq));

	struct virtqueue_element *element = virtqueue_pop(f->vq);
	assert_non_null(element);
	assert_int_equal(element->head, added);
	assert_int_equal(element->readable_count, 2);
	assert_int_equal(element->readable_size, 7);
	assert_memory_equal(element->readable[0].iov_base, "abcd", 4);
	assert_int_equal(element->readable[1].iov_len, 3);
	assert_int_equal(element->writable_count, 2);
	assert_int_equal(element->writable_size, 10);
	assert_int_equal(element->writable[1].iov_len, 8);
	memcpy(element->writable[0].iov_base, "xy", 2);
	memcpy(element->writable[1].iov_base, "zzz", 3);
	assert_null(virtqueue_pop(f->vq));
	assert_false(driver_queue_take_used(&f->driver, &head, &len));

	guest_memory_set_write_hook(f->memory, &f->hook.base);
	virtqueue_push(f->vq, element, 5);
	assert_string_equal(f->hook.log->str, "w(8200,2)w(8300,3)");
	assert_true(driver_queue_take_used(&f->driver, &head, &len));
	assert_int_equal(head, added);
	assert_int_equal(len, 5);
	assert_true(guest_memory_read(f->memory, DATA + 0x300, text, 3));
	assert_string_equal(text, "zzz");
	assert_int_equal(virtqueue_next_avail(f->vq), 1);
	assert_int_equal(virtqueue_next_used(f->vq), 1);
}

/* Many more requests than the 16-bit indices count, completed in the other order. */
static void test_wraps_and_out_of_order(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer in = {DATA, 4, false}, out = {DATA + 0x100, 4, true};
	uint32_t head, len;

	start(f);
	for (unsigned round = 0; round < 40000; round++) {
		uint16_t a = driver_queue_add(&f->driver, &in, 1);
		uint16_t b = driver_queue_add(&f->driver, &out, 1);
		struct virtqueue_element *first = virtqueue_pop(f->vq);
		struct virtqueue_element *second = virtqueue_pop(f->vq);
		assert_true(first && second && !virtqueue_pop(f->vq));
		virtqueue_push(f->vq, second, 4);
		virtqueue_push(f->vq, first, 0);
		assert_true(driver_queue_take_used(&f->driver, &head, &len));
		assert_true(head == b && len == 4);
		assert_true(driver_queue_take_used(&f->driver, &head, &len));
		assert_true(head == a && len == 0);
	}
	assert_int_equal(virtqueue_next_avail(f->vq), (uint16_t)80000);
}

static void test_goes_on_elsewhere(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer in = {DATA, 4, false};
	uint32_t head, len;

	start(f);
	driver_queue_add(&f->driver, &in, 1);
	uint16_t second = driver_queue_add(&f->driver, &in, 1);
	virtqueue_push(f->vq, virtqueue_pop(f->vq), 0);
	struct virtqueue_config config = f->driver.config;
	config.next_avail = virtqueue_next_avail(f->vq);
	config.next_used = virtqueue_next_used(f->vq);
	virtqueue_destroy(f->vq);

	f->vq = virtqueue_create(f->memory, &config, NULL);
	virtqueue_push(f->vq, virtqueue_pop(f->vq), 0);
	assert_true(driver_queue_take_used(&f->driver, &head, &len));
	assert_true(driver_queue_take_used(&f->driver, &head, &len));
	assert_int_equal(head, second);
	assert_false(driver_queue_take_used(&f->driver, &head, &len));
}

/* A device that starts anew answers what its predecessor took, and goes on behind it. */
static void test_take_what_a_predecessor_popped(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer in = {DATA, 16, true};
	uint32_t head, len;

	uint16_t lost = driver_queue_add(&f->driver, &in, 1);
	driver_queue_add(&f->driver, &in, 1);
	f->driver.config.next_avail = 1;
	struct virtqueue *vq = virtqueue_create(f->memory, &f->driver.config, NULL);
	struct virtqueue_element *element = virtqueue_take(vq, lost);
	assert_non_null(element);
	assert_int_equal(element->head, lost);
	assert_int_equal(virtqueue_next_avail(vq), 1);
	virtqueue_push(vq, element, 4);
	assert_true(driver_queue_take_used(&f->driver, &head, &len));
	assert_int_equal(head, lost);
	assert_null(virtqueue_take(vq, SIZE)); /* no such descriptor */
	assert_non_null(virtqueue_broken(vq));
	virtqueue_destroy(vq);
}

static void test_indirect(void **state)
{
	struct fixture *f = *state;
	struct driver_buffer buffers[100];

	f->driver.config.indirect = true;
	start(f);
	for (unsigned i = 0; i < G_N_ELEMENTS(buffers); i++) {
		buffers[i] = (struct driver_buffer){DATA + 16 * i, 16, i >= 60};
	}
	driver_queue_add_indirect(&f->driver, TABLE, buffers, G_N_ELEMENTS(buffers));
	struct virtqueue_element *element = virtqueue_pop(f->vq);
	assert_non_null(element);
	assert_int_equal(element->readable_count, 60);
	assert_int_equal(element->writable_count, 40);
	assert_int_equal(element->writable_size, 640);
	virtqueue_push(f->vq, element, 640);
}

/* 2.7.5.3.2: plain descriptors, then one indirect one. */
static void test_indirect_after_plain(void **state)
{
	struct fixture *f = *state;

	f->driver.config.indirect = true;
	start(f);
	driver_queue_write_desc(&f->driver, 0, DATA, 4, DRIVER_DESC_NEXT, 1);
	driver_queue_write_desc(&f->driver, 1, TABLE, 32, DRIVER_DESC_INDIRECT, 0);
	driver_table_write_desc(f->memory, TABLE, 0, DATA, 8, DRIVER_DESC_NEXT, 1);
	driver_table_write_desc(f->memory, TABLE, 1, DATA, 2, DRIVER_DESC_WRITE, 0);
	driver_queue_make_available(&f->driver, 0);
	struct virtqueue_element *element = virtqueue_pop(f->vq);
	assert_non_null(element);
	assert_int_equal(element->readable_size, 12);
	assert_int_equal(element->writable_size, 2);
	virtqueue_abandon(f->vq, element);
}

static void test_buffer_across_regions(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer buffer = {DATA + 0xffc, 8, true};

	start(f);
	driver_queue_add(&f->driver, &buffer, 1);
	struct virtqueue_element *element = virtqueue_pop(f->vq);
	assert_non_null(element);
	assert_int_equal(element->writable_count, 2);
	assert_int_equal(element->writable_size, 8);
	guest_memory_set_write_hook(f->memory, &f->hook.base);
	virtqueue_push(f->vq, element, 6);
	assert_string_equal(f->hook.log->str, "w(8ffc,4)w(9000,2)");
}

/* RAM at the end of the address space does not go on at its start. */
static void test_buffer_does_not_wrap(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer buffer = {UINT64_MAX - 3, 8, true};
	auto_fd int fd = memfd_create_sized("top", GUEST_PAGE_SIZE, NULL);

	assert_true(guest_memory_add(f->memory, UINT64_MAX - GUEST_PAGE_SIZE + 1, GUEST_PAGE_SIZE,
			fd, 0, 0, NULL));
	start(f);
	driver_queue_add(&f->driver, &buffer, 1);
	assert_null(virtqueue_pop(f->vq));
	assert_non_null(strstr(virtqueue_broken(f->vq), "not in writable RAM"));
}

static void test_rom_is_readable(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer buffer = {ROM, 8, false};

	start(f);
	driver_queue_add(&f->driver, &buffer, 1);
	struct virtqueue_element *element = virtqueue_pop(f->vq);
	assert_non_null(element);
	virtqueue_abandon(f->vq, element);
}

struct raw_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

#define NEXT DRIVER_DESC_NEXT
#define WRITE DRIVER_DESC_WRITE
#define INDIRECT DRIVER_DESC_INDIRECT

static void test_hostile_chains(void **state)
{
	static const struct {
		const char *name;
		struct raw_desc ring[4];
		struct raw_desc table[4]; /* at TABLE */
		uint16_t head;
		const char *says;
	} rows[] = {
			{"head outside", .head = SIZE, .says = "descriptor 8 of 8"},
			{"head far outside", .head = 0xffff, .says = "descriptor 65535 of 8"},
			{"next outside", {{DATA, 4, NEXT, 8}}, .says = "descriptor 8 of 8"},
			{"loop of one", {{DATA, 4, NEXT, 0}}, .says = "loops"},
			{"loop of two", {{DATA, 4, NEXT, 1}, {DATA, 4, NEXT, 0}}, .says = "loops"},
			{"no length", {{DATA, 0, 0, 0}}, .says = "no length"},
			{"outside RAM", {{RAM, 4, 0, 0}}, .says = "not in RAM"},
			{"ends outside RAM", {{RAM - 2, 4, 0, 0}}, .says = "not in RAM"},
			{"wraps", {{UINT64_MAX, 4, 0, 0}}, .says = "not in RAM"},
			{"whole of 4 GiB", {{DATA, UINT32_MAX, 0, 0}}, .says = "not in RAM"},
			{"second outside", {{DATA, 4, NEXT, 1}, {RAM, 4, 0, 0}},
					.says = "not in RAM"},
			{"writes ROM", {{ROM, 4, WRITE, 0}}, .says = "not in writable RAM"},
			{"readable after writable", {{DATA, 4, NEXT | WRITE, 1}, {DATA, 4, 0, 0}},
					.says = "after a device-writable"},
			{"table of no length", {{TABLE, 0, INDIRECT, 0}},
					.says = "table of 0 bytes"},
			{"table of odd length", {{TABLE, 17, INDIRECT, 0}},
					.says = "table of 17 bytes"},
			{"table misaligned", {{TABLE + 4, 16, INDIRECT, 0}}, .says = "misaligned"},
			{"table outside RAM", {{RAM, 16, INDIRECT, 0}}, .says = "not in RAM"},
			{"table ends outside", {{RAM - 16, 32, INDIRECT, 0}}, .says = "not in RAM"},
			{"table of 4 GiB", {{TABLE, 0xfffffff0, INDIRECT, 0}},
					.says = "not in RAM"},
			{"table with a next", {{TABLE, 16, INDIRECT | NEXT, 1}},
					.says = "with a next"},
			{"table in a table", {{TABLE, 16, INDIRECT, 0}}, {{TABLE, 16, INDIRECT, 0}},
					.says = "inside an indirect"},
			{"loop in a table", {{TABLE, 32, INDIRECT, 0}},
					{{DATA, 4, NEXT, 1}, {DATA, 4, NEXT, 0}}, .says = "loops"},
			{"next outside a table", {{TABLE, 32, INDIRECT, 0}}, {{DATA, 4, NEXT, 2}},
					.says = "descriptor 2 of 2"},
			{"readable table after writable",
					{{DATA, 4, NEXT | WRITE, 1}, {TABLE, 16, INDIRECT, 0}},
					{{DATA, 4, 0, 0}}, .says = "after a device-writable"},
	};
	struct fixture *f = *state;

	f->driver.config.indirect = true;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		driver_queue_init(&f->driver, f->memory, 0, SIZE);
		f->driver.config.indirect = true;
		struct virtqueue *vq = virtqueue_create(f->memory, &f->driver.config, NULL);
		for (unsigned j = 0; j < 4; j++) {
			const struct raw_desc *ring = &rows[i].ring[j], *table = &rows[i].table[j];
			driver_queue_write_desc(&f->driver, j, ring->addr, ring->len, ring->flags,
					ring->next);
			driver_table_write_desc(f->memory, TABLE, j, table->addr, table->len,
					table->flags, table->next);
		}
		driver_queue_make_available(&f->driver, rows[i].head);
		struct virtqueue_element *element = virtqueue_pop(vq);
		const char *broken = virtqueue_broken(vq);
		if (element || !broken || !strstr(broken, rows[i].says)) {
			fail_msg("%s: %s", rows[i].name, broken ? broken : "accepted");
		}
		/* It stays broken, whatever is made available now. */
		driver_queue_write_desc(&f->driver, 0, DATA, 4, 0, 0);
		driver_queue_make_available(&f->driver, 0);
		assert_null(virtqueue_pop(vq));
		assert_true(virtqueue_empty(vq));
		assert_false(virtqueue_enable_kicks(vq));
		virtqueue_destroy(vq);
	}
}

static void test_indirect_not_negotiated(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer in = {DATA, 4, false};

	start(f);
	driver_queue_add_indirect(&f->driver, TABLE, &in, 1);
	assert_null(virtqueue_pop(f->vq));
	assert_non_null(strstr(virtqueue_broken(f->vq), "not negotiated"));
}

static void test_index_runs_ahead(void **state)
{
	struct fixture *f = *state;

	start(f);
	driver_queue_set_avail_idx(&f->driver, SIZE + 1);
	assert_null(virtqueue_pop(f->vq));
	assert_non_null(strstr(virtqueue_broken(f->vq), "past ours"));
}

static void test_index_runs_back(void **state)
{
	struct fixture *f = *state;

	start(f);
	driver_queue_set_avail_idx(&f->driver, 0xffff);
	assert_null(virtqueue_pop(f->vq));
	assert_non_null(virtqueue_broken(f->vq));
}

/* The same head again and again, without waiting for completions: memory must stay bounded. */
static void test_too_many_in_flight(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_element *elements[SIZE];

	start(f);
	driver_queue_write_desc(&f->driver, 0, DATA, 4, 0, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		driver_queue_make_available(&f->driver, 0);
		elements[i] = virtqueue_pop(f->vq);
		assert_non_null(elements[i]);
	}
	driver_queue_make_available(&f->driver, 0);
	assert_null(virtqueue_pop(f->vq));
	assert_non_null(strstr(virtqueue_broken(f->vq), "in flight"));
	for (unsigned i = 0; i < SIZE; i++) {
		virtqueue_abandon(f->vq, elements[i]);
	}
}

/* A table of count descriptors of one byte each. */
static struct virtqueue_element *pop_long_chain(struct fixture *f, unsigned count)
{
	const uint64_t table = 0x4000;

	driver_queue_init(&f->driver, f->memory, 0, SIZE);
	f->driver.config.indirect = true;
	virtqueue_destroy(f->vq);
	start(f);
	for (unsigned i = 0; i < count; i++) {
		driver_table_write_desc(f->memory, table, i, DATA + 0x800, 1,
				i + 1 < count ? NEXT : 0, (uint16_t)(i + 1));
	}
	driver_queue_write_desc(&f->driver, 0, table, count * 16, INDIRECT, 0);
	driver_queue_make_available(&f->driver, 0);
	return virtqueue_pop(f->vq);
}

static void test_too_many_segments(void **state)
{
	struct fixture *f = *state;

	assert_null(pop_long_chain(f, VIRTQUEUE_MAX_SEGMENTS + 1));
	assert_non_null(strstr(virtqueue_broken(f->vq), "segments"));
	struct virtqueue_element *element = pop_long_chain(f, VIRTQUEUE_MAX_SEGMENTS);
	assert_non_null(element);
	assert_int_equal(element->readable_count, VIRTQUEUE_MAX_SEGMENTS);
	virtqueue_abandon(f->vq, element);
}

static struct virtqueue_element *add_and_pop(struct fixture *f)
{
	const struct driver_buffer in = {DATA, 4, false};

	driver_queue_add(&f->driver, &in, 1);
	struct virtqueue_element *element = virtqueue_pop(f->vq);
	assert_non_null(element);
	return element;
}

static void complete(struct fixture *f)
{
	uint32_t head, len;

	virtqueue_push(f->vq, add_and_pop(f), 0);
	assert_true(driver_queue_take_used(&f->driver, &head, &len));
}

static void test_notify_flag(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_false(virtqueue_needs_notify(f->vq));
	complete(f);
	assert_true(virtqueue_needs_notify(f->vq));
	assert_false(virtqueue_needs_notify(f->vq));
	driver_queue_set_no_interrupt(&f->driver, true);
	complete(f);
	assert_false(virtqueue_needs_notify(f->vq));
}

static void test_notify_event_index(void **state)
{
	struct fixture *f = *state;

	f->driver.config.event_idx = true;
	start(f);
	/* not before element 2 is used */
	driver_queue_set_used_event(&f->driver, 2);
	complete(f);
	assert_false(virtqueue_needs_notify(f->vq));
	complete(f);
	assert_false(virtqueue_needs_notify(f->vq));
	complete(f);
	assert_true(virtqueue_needs_notify(f->vq));
	complete(f);
	assert_false(virtqueue_needs_notify(f->vq));
	/* several at once, the event among them */
	driver_queue_set_used_event(&f->driver, 5);
	for (unsigned i = 0; i < 4; i++) {
		complete(f);
	}
	assert_true(virtqueue_needs_notify(f->vq));
	/* 65536 of them come back to where the index was */
	for (unsigned i = 0; i < 65536; i++) {
		complete(f);
	}
	assert_true(virtqueue_needs_notify(f->vq));
}

static void test_kick_flag(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_true(driver_queue_kick_wanted(&f->driver, 0));
	virtqueue_disable_kicks(f->vq);
	assert_false(driver_queue_kick_wanted(&f->driver, 0));
	assert_false(virtqueue_enable_kicks(f->vq));
	assert_true(driver_queue_kick_wanted(&f->driver, 0));
	driver_queue_write_desc(&f->driver, 0, DATA, 4, 0, 0);
	driver_queue_make_available(&f->driver, 0);
	assert_true(virtqueue_enable_kicks(f->vq));
}

static void test_kick_event_index(void **state)
{
	struct fixture *f = *state;
	const struct driver_buffer in = {DATA, 4, false};

	f->driver.config.event_idx = true;
	start(f);
	driver_queue_add(&f->driver, &in, 1);
	assert_true(driver_queue_kick_wanted(&f->driver, 0));
	/* a second one before the device came: it was kicked already */
	driver_queue_add(&f->driver, &in, 1);
	assert_false(driver_queue_kick_wanted(&f->driver, 1));
	virtqueue_push(f->vq, virtqueue_pop(f->vq), 0);
	virtqueue_push(f->vq, virtqueue_pop(f->vq), 0);
	driver_queue_add(&f->driver, &in, 1);
	assert_true(driver_queue_kick_wanted(&f->driver, 2));

	virtqueue_disable_kicks(f->vq);
	virtqueue_push(f->vq, virtqueue_pop(f->vq), 0);
	driver_queue_add(&f->driver, &in, 1);
	assert_false(driver_queue_kick_wanted(&f->driver, 3));
	assert_true(virtqueue_enable_kicks(f->vq));
	virtqueue_push(f->vq, virtqueue_pop(f->vq), 0);
	assert_null(virtqueue_pop(f->vq));
	driver_queue_add(&f->driver, &in, 1);
	assert_true(driver_queue_kick_wanted(&f->driver, 4));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_bad_configs),
			TEST(test_one_request),
			TEST(test_wraps_and_out_of_order),
			TEST(test_goes_on_elsewhere),
			TEST(test_take_what_a_predecessor_popped),
			TEST(test_indirect),
			TEST(test_indirect_after_plain),
			TEST(test_buffer_across_regions),
			TEST(test_buffer_does_not_wrap),
			TEST(test_rom_is_readable),
			TEST(test_hostile_chains),
			TEST(test_indirect_not_negotiated),
			TEST(test_index_runs_ahead),
			TEST(test_index_runs_back),
			TEST(test_too_many_in_flight),
			TEST(test_too_many_segments),
			TEST(test_notify_flag),
			TEST(test_notify_event_index),
			TEST(test_kick_flag),
			TEST(test_kick_event_index),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
