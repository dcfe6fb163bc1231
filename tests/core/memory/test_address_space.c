/* SPDX-License-Identifier: MIT */
#include "core/memory/address_space.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/test.h"

#include <string.h>
#include <urcu.h>

#define PAGE GUEST_PAGE_SIZE

/* A device of registers that remembers its last access and reads as its tag in every byte. */
struct toy {
	struct io_region region;
	uint8_t tag;
	unsigned reads, writes;
	uint64_t offset, value;
	unsigned size;
	void (*on_write)(struct toy *toy);
};

static uint64_t toy_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct toy *toy = container_of(region, struct toy, region);

	toy->reads++;
	toy->offset = offset;
	toy->size = size;
	return UINT64_C(0x0101010101010101) * toy->tag;
}

static void toy_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct toy *toy = container_of(region, struct toy, region);

	toy->writes++;
	toy->offset = offset;
	toy->value = value;
	toy->size = size;
	if (toy->on_write) {
		toy->on_write(toy);
	}
}

static struct toy toy_new(uint8_t tag, uint64_t size, int priority)
{
	return (struct toy){
			.region = {.name = "toy",
					.size = size,
					.read = toy_read,
					.write = toy_write,
					.priority = priority},
			.tag = tag,
	};
}

/*
 * Writes down what it is told: "[" and "]" around a change, "+ram(guest)", "-door(address,size)".
 */
struct recorder {
	struct address_space_listener base;
	GString *log;
};

static void recorder_begin(struct address_space_listener *listener)
{
	g_string_append(container_of(listener, struct recorder, base)->log, "[");
}

static void recorder_commit(struct address_space_listener *listener)
{
	g_string_append(container_of(listener, struct recorder, base)->log, "]");
}

static void recorder_ram_add(
		struct address_space_listener *listener, const struct guest_region_info *info)
{
	g_string_append_printf(container_of(listener, struct recorder, base)->log, "+ram(%x)",
			(unsigned)info->guest);
}

static void recorder_ram_del(
		struct address_space_listener *listener, const struct guest_region_info *info)
{
	/* What was taken away is still there to be looked at. */
	(void)*(volatile char *)info->host;
	g_string_append_printf(container_of(listener, struct recorder, base)->log, "-ram(%x)",
			(unsigned)info->guest);
}

static void recorder_eventfd_add(
		struct address_space_listener *listener, uint64_t address, unsigned size, int fd)
{
	assert_true(fd >= 0);
	g_string_append_printf(container_of(listener, struct recorder, base)->log, "+door(%x,%u)",
			(unsigned)address, size);
}

static void recorder_eventfd_del(
		struct address_space_listener *listener, uint64_t address, unsigned size, int fd)
{
	assert_true(fd >= 0);
	g_string_append_printf(container_of(listener, struct recorder, base)->log, "-door(%x,%u)",
			(unsigned)address, size);
}

static void recorder_init(struct recorder *recorder)
{
	*recorder = (struct recorder){
			.base = {.begin = recorder_begin,
					.commit = recorder_commit,
					.ram_add = recorder_ram_add,
					.ram_del = recorder_ram_del,
					.eventfd_add = recorder_eventfd_add,
					.eventfd_del = recorder_eventfd_del},
			.log = g_string_new(NULL),
	};
}

static void recorder_expect(struct recorder *recorder, const char *expected)
{
	assert_string_equal(recorder->log->str, expected);
	g_string_truncate(recorder->log, 0);
}

struct fixture {
	struct guest_memory *memory;
	struct address_space *space;
	struct recorder recorder; /* not added */
	int fd;
};

static int setup(void **state)
{
	struct fixture *f = g_new0(struct fixture, 1);

	f->fd = memfd_create_sized("test", 16 * PAGE, NULL);
	f->memory = guest_memory_create();
	f->space = address_space_create("memory", f->memory);
	assert_ptr_equal(address_space_memory(f->space), f->memory);
	assert_true(address_space_add_ram(f->space, 0, 2 * PAGE, f->fd, 0, 0, NULL));
	recorder_init(&f->recorder);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	address_space_destroy(f->space);
	guest_memory_destroy(f->memory);
	g_string_free(f->recorder.log, TRUE);
	fd_close(&f->fd);
	g_free(f);
	return 0;
}

static void test_ram(void **state)
{
	struct fixture *f = *state;

	address_space_write(f->space, 8, 0x1122334455667788, 8);
	assert_int_equal(address_space_read(f->space, 8, 8), 0x1122334455667788);
	assert_int_equal(address_space_read(f->space, 9, 1), 0x77);
	assert_int_equal(address_space_read(f->space, 9, 2), 0x6677);
	assert_int_equal(address_space_read(f->space, 11, 4), 0x22334455);
	/* across a page, and out of the end of RAM */
	address_space_write(f->space, PAGE - 3, 0xaabbccdd, 4);
	assert_int_equal(address_space_read(f->space, PAGE - 3, 4), 0xaabbccdd);
	address_space_write(f->space, 2 * PAGE - 1, 0xddccbbaa, 4);
	assert_int_equal(address_space_read(f->space, 2 * PAGE - 1, 4), 0xffffffaa);
}

static void test_rom_is_read_only(void **state)
{
	struct fixture *f = *state;

	assert_true(address_space_add_ram(
			f->space, 16 * PAGE, PAGE, f->fd, 4 * PAGE, GUEST_REGION_ROM, NULL));
	address_space_write(f->space, 16 * PAGE, 0x55, 1);
	assert_int_equal(address_space_read(f->space, 16 * PAGE, 1), 0);
}

static void test_nothing_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(address_space_read(f->space, 1 << 20, 1), 0xff);
	assert_int_equal(address_space_read(f->space, 1 << 20, 2), 0xffff);
	assert_int_equal(address_space_read(f->space, 1 << 20, 8), UINT64_MAX);
	assert_int_equal(address_space_read(f->space, UINT64_MAX, 4), 0xffffffff);
	address_space_write(f->space, UINT64_MAX, 0x1234, 2);
	assert_int_equal(address_space_read(f->space, 0, 1), 0); /* not wrapped into RAM */
}

static void test_region(void **state)
{
	struct fixture *f = *state;
	struct toy toy = toy_new(0xab, 0x100, 0);

	address_space_add(f->space, 0x10000, &toy.region);
	assert_int_equal(address_space_read(f->space, 0x10010, 4), 0xabababab);
	assert_int_equal(toy.offset, 0x10);
	assert_int_equal(toy.size, 4);
	address_space_write(f->space, 0x100fe, 0x12345678, 2);
	assert_int_equal(toy.offset, 0xfe);
	assert_int_equal(toy.value, 0x5678);
	/* beyond its end: bytes */
	toy.reads = 0;
	assert_int_equal(address_space_read(f->space, 0x100fe, 4), 0xffffabab);
	assert_int_equal(toy.reads, 2);
	assert_int_equal(toy.size, 1);
	toy.writes = 0;
	address_space_write(f->space, 0xfffe, 0x11223344, 4);
	assert_int_equal(toy.writes, 2);
	assert_int_equal(toy.offset, 1);
	assert_int_equal(toy.value, 0x11);

	address_space_remove(&toy.region);
	address_space_remove(&toy.region);
	assert_int_equal(address_space_read(f->space, 0x10010, 4), 0xffffffff);
	address_space_add(f->space, 0x20000, &toy.region);
	assert_int_equal(address_space_read(f->space, 0x20000, 1), 0xab);
	address_space_remove(&toy.region);
}

static void test_byte_wide_region(void **state)
{
	struct address_space *ports = address_space_create("ports", NULL);
	struct toy toy = toy_new(0x11, 4, 0);
	(void)state;

	toy.region.byte_wide = true;
	address_space_add(ports, 0x40, &toy.region);
	address_space_write(ports, 0x40, 0x44332211, 4);
	assert_int_equal(toy.writes, 4);
	assert_int_equal(toy.offset, 3);
	assert_int_equal(toy.value, 0x44);
	assert_int_equal(toy.size, 1);
	assert_int_equal(address_space_read(ports, 0x41, 2), 0x1111);
	assert_int_equal(toy.reads, 2);
	assert_int_equal(toy.offset, 2);
	assert_int_equal(toy.size, 1);
	/* Half in, half out. */
	assert_int_equal(address_space_read(ports, 0x43, 2), 0xff11);
	address_space_remove(&toy.region);
	address_space_destroy(ports);
}

static void test_region_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct toy toy = toy_new(0xab, 0x1000, 0);

	address_space_add(f->space, UINT64_MAX - 0xff, &toy.region);
	assert_int_equal(address_space_read(f->space, UINT64_MAX, 1), 0xab);
	assert_int_equal(toy.offset, 0xff);
	assert_int_equal(address_space_read(f->space, 0x800, 1), 0);
	address_space_remove(&toy.region);
}

static void test_priorities(void **state)
{
	struct fixture *f = *state;
	struct toy low = toy_new(1, 0x100, -1), first = toy_new(2, 0x40, 0),
		   later = toy_new(3, 0x40, 0), high = toy_new(4, 8, 1);

	address_space_add(f->space, 0x10020, &first.region);
	address_space_add(f->space, 0x10038, &high.region);
	address_space_add(f->space, 0x10000, &low.region);
	address_space_add(f->space, 0x10040, &later.region);

	assert_int_equal(address_space_read(f->space, 0x10000, 1), 1);
	assert_int_equal(address_space_read(f->space, 0x10020, 1), 2);
	assert_int_equal(address_space_read(f->space, 0x1003c, 1), 4);
	assert_int_equal(address_space_read(f->space, 0x10040, 1), 3);
	assert_int_equal(address_space_read(f->space, 0x1007f, 1), 3);
	assert_int_equal(address_space_read(f->space, 0x10080, 1), 1);
	assert_int_equal(low.offset, 0x80);
	/* over a border: two devices, byte by byte */
	assert_int_equal(address_space_read(f->space, 0x1003e, 4), 0x03030404);

	address_space_remove(&high.region);
	assert_int_equal(address_space_read(f->space, 0x1003c, 1), 2);
	address_space_remove(&later.region);
	assert_int_equal(address_space_read(f->space, 0x10040, 1), 2);
	address_space_remove(&first.region);
	assert_int_equal(address_space_read(f->space, 0x10040, 1), 1);
	address_space_remove(&low.region);
}

static void test_ram_wins(void **state)
{
	struct fixture *f = *state;
	struct toy toy = toy_new(0xab, 4 * PAGE, 100);

	address_space_add(f->space, PAGE, &toy.region);
	address_space_write(f->space, PAGE, 0x55, 1);
	assert_int_equal(address_space_read(f->space, PAGE, 1), 0x55);
	assert_int_equal(toy.writes, 0);
	assert_int_equal(address_space_read(f->space, 2 * PAGE, 1), 0xab);
	assert_int_equal(toy.offset, PAGE);
	/* half RAM, half device */
	assert_int_equal(address_space_read(f->space, 2 * PAGE - 1, 2), 0xab00);
	address_space_remove_ram(f->space, 0);
	assert_int_equal(address_space_read(f->space, PAGE, 1), 0xab);
	address_space_remove(&toy.region);
}

static void move_away(struct toy *toy)
{
	struct address_space *space = toy->region.space;

	address_space_remove(&toy->region);
	address_space_add(space, toy->value, &toy->region);
}

static void test_region_moves_itself(void **state)
{
	struct fixture *f = *state;
	struct toy toy = toy_new(0xab, 0x100, 0);

	toy.on_write = move_away;
	address_space_add(f->space, 0x10000, &toy.region);
	address_space_write(f->space, 0x10000, 0x40000, 4);
	assert_int_equal(address_space_read(f->space, 0x10000, 1), 0xff);
	assert_int_equal(address_space_read(f->space, 0x40000, 1), 0xab);
	address_space_quiesce(f->space);
	address_space_remove(&toy.region);
}

/* Port 0xcf9 inside 0xcf8: the narrow register answers only to what begins with it. */
static void test_register_inside_another(void **state)
{
	struct fixture *f = *state;
	struct toy wide = toy_new(0xab, 4, 0), narrow = toy_new(0xcd, 1, 1);

	address_space_add(f->space, 0x10000, &wide.region);
	address_space_add(f->space, 0x10001, &narrow.region);
	address_space_write(f->space, 0x10000, 0, 4);
	assert_int_equal(wide.writes, 1);
	assert_int_equal(narrow.writes, 0);
	address_space_write(f->space, 0x10001, 0, 1);
	assert_int_equal(wide.writes, 1);
	assert_int_equal(narrow.writes, 1);
	address_space_remove(&wide.region);
	address_space_remove(&narrow.region);
}

static void test_eventfds(void **state)
{
	struct fixture *f = *state;
	struct toy toy = toy_new(0xab, 0x100, 0);
	auto_fd int any = eventfd_create(NULL), word = eventfd_create(NULL);

	address_space_add(f->space, 0x10000, &toy.region);
	address_space_add_eventfd(&toy.region, 0x10, 0, any);
	address_space_add_eventfd(&toy.region, 0x20, 2, word);

	address_space_write(f->space, 0x10010, 1, 1);
	address_space_write(f->space, 0x10010, 1, 4);
	assert_int_equal(eventfd_take(any), 2);
	assert_int_equal(toy.writes, 0);
	address_space_write(f->space, 0x10020, 1, 2);
	assert_int_equal(eventfd_take(word), 1);
	assert_int_equal(toy.writes, 0);

	/* another size, another address, a read: the device's */
	address_space_write(f->space, 0x10020, 1, 4);
	address_space_write(f->space, 0x10011, 1, 1);
	(void)address_space_read(f->space, 0x10010, 4);
	assert_int_equal(toy.writes, 2);
	assert_int_equal(toy.reads, 1);
	assert_int_equal(eventfd_take(any), 0);
	assert_int_equal(eventfd_take(word), 0);

	address_space_remove_eventfd(&toy.region, 0x10, 0, any);
	address_space_write(f->space, 0x10010, 1, 1);
	assert_int_equal(eventfd_take(any), 0);
	assert_int_equal(toy.writes, 3);

	address_space_remove(&toy.region);
	address_space_add(f->space, 0x30000, &toy.region); /* it follows its region */
	address_space_write(f->space, 0x30020, 1, 2);
	assert_int_equal(eventfd_take(word), 1);
	address_space_write(f->space, 0x10020, 1, 2);
	assert_int_equal(eventfd_take(word), 0);
	address_space_remove_eventfd(&toy.region, 0x20, 2, word);
	address_space_write(f->space, 0x30020, 1, 2);
	assert_int_equal(eventfd_take(word), 0);
	assert_int_equal(toy.writes, 4);
	address_space_remove(&toy.region);
}

static void test_listener(void **state)
{
	struct fixture *f = *state;
	struct toy toy = toy_new(0xab, 0x100, 0), cover = toy_new(0xcd, 0x100, 1);
	auto_fd int fd = eventfd_create(NULL);

	address_space_add(f->space, 0x10000, &toy.region);
	address_space_add_eventfd(&toy.region, 0x10, 2, fd);
	address_space_add_listener(f->space, &f->recorder.base);
	recorder_expect(&f->recorder, "[+ram(0)+door(10010,2)]");

	assert_true(address_space_add_ram(f->space, 0x40000, PAGE, f->fd, 4 * PAGE, 0, NULL));
	recorder_expect(&f->recorder, "[+ram(40000)]");
	assert_false(address_space_add_ram(f->space, 0x40000, PAGE, f->fd, 4 * PAGE, 0, NULL));
	address_space_remove_ram(f->space, 0x40000);
	address_space_remove_ram(f->space, 0x40000);
	recorder_expect(&f->recorder, "[-ram(40000)]");

	/* A doorbell under another device, or under RAM, is none. */
	address_space_add(f->space, 0x10000, &cover.region);
	recorder_expect(&f->recorder, "[-door(10010,2)]");
	address_space_remove(&cover.region);
	recorder_expect(&f->recorder, "[+door(10010,2)]");
	assert_true(address_space_add_ram(f->space, 0x10000, PAGE, f->fd, 4 * PAGE, 0, NULL));
	recorder_expect(&f->recorder, "[-door(10010,2)+ram(10000)]");
	address_space_remove_ram(f->space, 0x10000);
	recorder_expect(&f->recorder, "[-ram(10000)+door(10010,2)]");

	address_space_remove(&toy.region);
	recorder_expect(&f->recorder, "[-door(10010,2)]");
	address_space_remove_listener(f->space, &f->recorder.base);
	address_space_add(f->space, 0x10000, &toy.region);
	recorder_expect(&f->recorder, "");
	address_space_remove(&toy.region);
	address_space_remove_eventfd(&toy.region, 0x10, 2, fd);
}

static void test_ports_have_no_ram(void **state)
{
	struct toy toy = toy_new(0xab, 8, 0);
	struct address_space *ports = address_space_create("ports", NULL);

	(void)state;
	address_space_add(ports, 0x60, &toy.region);
	assert_int_equal(address_space_read(ports, 0x60, 1), 0xab);
	assert_int_equal(address_space_read(ports, 0x70, 1), 0xff);
	address_space_remove(&toy.region);
	address_space_destroy(ports);
}

struct race {
	struct address_space *space;
	gint done;
	unsigned hits;
};

static void write_until_done(void *opaque)
{
	struct race *race = opaque;

	while (!g_atomic_int_get(&race->done) || race->hits == 0) {
		address_space_write(race->space, 0x10010, 1, 2);
		race->hits += address_space_read(race->space, 0x10000, 1) == 0xab;
	}
}

static void test_writers_race_with_changes(void **state)
{
	struct fixture *f = *state;
	struct toy toy = toy_new(0xab, 0x100, 0);
	struct race race = {.space = f->space};
	pthread_t thread;
	auto_fd int fd = eventfd_create(NULL);

	assert_true(thread_create(&thread, "writer", write_until_done, &race, NULL));
	for (unsigned i = 0; i < 500; i++) {
		address_space_add(f->space, 0x10000, &toy.region);
		address_space_add_eventfd(&toy.region, 0x10, 2, fd);
		address_space_remove(&toy.region);
		address_space_remove_eventfd(&toy.region, 0x10, 2, fd);
	}
	address_space_add(f->space, 0x10000, &toy.region);
	g_atomic_int_set(&race.done, 1);
	pthread_join(thread, NULL);
	address_space_remove(&toy.region);
	address_space_quiesce(f->space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup_teardown(test_ram, setup, teardown),
			cmocka_unit_test_setup_teardown(test_rom_is_read_only, setup, teardown),
			cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
			cmocka_unit_test_setup_teardown(test_region, setup, teardown),
			cmocka_unit_test(test_byte_wide_region),
			cmocka_unit_test_setup_teardown(test_region_at_the_end, setup, teardown),
			cmocka_unit_test_setup_teardown(test_priorities, setup, teardown),
			cmocka_unit_test_setup_teardown(test_ram_wins, setup, teardown),
			cmocka_unit_test_setup_teardown(test_region_moves_itself, setup, teardown),
			cmocka_unit_test_setup_teardown(
					test_register_inside_another, setup, teardown),
			cmocka_unit_test_setup_teardown(test_eventfds, setup, teardown),
			cmocka_unit_test_setup_teardown(test_listener, setup, teardown),
			cmocka_unit_test(test_ports_have_no_ram),
			cmocka_unit_test_setup_teardown(
					test_writers_race_with_changes, setup, teardown),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
