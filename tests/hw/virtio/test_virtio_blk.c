/* SPDX-License-Identifier: MIT */
#include "hw/virtio/virtio_blk_pci.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "tests/harness/test.h"
#include "tests/harness/virtio_driver.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define IMAGE_SIZE (4 * MiB)
#define SECTORS (IMAGE_SIZE / 512)
#define RAM_SIZE (16 * MiB)
#define RINGS 0x10000u
#define HEADER 0x20000u /* the header of the n-th request at + 64 * n */
#define STATUS 0x30000u
#define RANGE 0x40000u
#define DATA 0x100000u
#define RING_SIZE 64
#define SLOT PCI_DEVFN(3, 0)
#define UNTOUCHED 0xee

#define ALL_FEATURES \
	(BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES) | \
			BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_F_RING_INDIRECT_DESC))

struct fixture {
	struct fake_machine *fake;
	char *folder, *file;
	struct block *block;
	struct device *device;
	struct virtio_driver driver;
	struct driver_queue queue;
	unsigned requests;
};

/* What every test is run with. */
struct variant {
	const char *aio;
	bool snapshot;
};

static const struct variant *variant_of(void **state)
{
	return *state;
}

static void make_image(struct fixture *f)
{
	f->folder = g_dir_make_tmp("oriel-test-XXXXXX", NULL);
	assert_non_null(f->folder);
	f->file = g_build_filename(f->folder, "disk.img", NULL);
	g_autofree char *content = g_malloc(IMAGE_SIZE);
	for (unsigned i = 0; i < IMAGE_SIZE; i++) {
		content[i] = (char)(i / 512 + i);
	}
	assert_true(g_file_set_contents(f->file, content, IMAGE_SIZE, NULL));
}

static struct block *open_image(
		const struct fixture *f, const struct variant *variant, bool read_only)
{
	struct block_options options;

	properties_set_defaults(&options, block_properties);
	options.file = g_strdup(f->file);
	options.snapshot = variant->snapshot;
	options.read_only = read_only;
	options.discard = BLOCK_DISCARD_UNMAP;
	assert_true(property_set(&options, block_properties, "aio", variant->aio, NULL));
	struct block *block = block_open(&options, NULL);
	properties_clear(&options, block_properties);
	assert_non_null(block);
	return block;
}

/* A realized device with a name and a value of one property, which may be NULL. */
static struct fixture start(void **state, bool read_only, const char *property, const char *value)
{
	struct fixture f = {.fake = fake_machine_create(RAM_SIZE)};

	make_image(&f);
	f.block = open_image(&f, variant_of(state), read_only);
	f.device = fake_machine_device(&virtio_blk_pci_class, "addr", "3", "serial", "ORIEL-0001",
			property, value, NULL);
	virtio_blk_pci_set_block(f.device, f.block);
	assert_true(device_realize(f.device, &f.fake->machine, NULL));
	device_reset(f.device);
	fake_machine_assign(f.fake);
	virtio_driver_init(&f.driver, f.fake, SLOT);
	return f;
}

static void stop(struct fixture *f)
{
	device_destroy(f->device);
	block_close(f->block);
	unlink(f->file);
	rmdir(f->folder);
	g_free(f->file);
	g_free(f->folder);
	fake_machine_destroy(f->fake);
}

static void bring_up(struct fixture *f, uint64_t features)
{
	assert_true(virtio_driver_negotiate(&f->driver, features));
	virtio_driver_enable_msix(&f->driver, 2);
	driver_queue_init(&f->queue, f->fake->machine.ram, RINGS, RING_SIZE);
	f->queue.config.event_idx = features & BIT(VIRTIO_F_RING_EVENT_IDX);
	virtio_driver_setup_queue(&f->driver, 0, &f->queue);
	virtio_driver_ok(&f->driver);
	assert_int_equal(virtio_driver_status(&f->driver), 15);
}

static uint64_t header_at(unsigned index)
{
	return HEADER + 64u * index;
}

/* Queues a request of a header, an optional buffer, and a status byte. */
static void queue_request(struct fixture *f, uint32_t type, uint64_t sector,
		const struct driver_buffer *data, uint64_t status)
{
	const struct virtio_blk_header header = {.type = type, .sector = sector};
	struct driver_buffer buffers[3];
	const uint8_t untouched = UNTOUCHED;
	unsigned count = 0;
	uint64_t at = header_at(f->requests++ % RING_SIZE);

	fake_write(f->fake, at, &header, sizeof(header));
	fake_write(f->fake, status, &untouched, 1);
	buffers[count++] = (struct driver_buffer){at, sizeof(header), false};
	if (data) {
		buffers[count++] = *data;
	}
	buffers[count++] = (struct driver_buffer){status, 1, true};
	driver_queue_add(&f->queue, buffers, count);
}

static uint32_t finish_request(struct fixture *f)
{
	uint32_t head, len;

	while (!driver_queue_take_used(&f->queue, &head, &len)) {
		virtio_driver_wait(&f->driver, 0);
	}
	return len;
}

static uint8_t request(
		struct fixture *f, uint32_t type, uint64_t sector, const struct driver_buffer *data)
{
	queue_request(f, type, sector, data, STATUS);
	virtio_driver_kick(&f->driver, 0);
	finish_request(f);
	return fake_read8(f->fake, STATUS);
}

static uint8_t read_sectors(struct fixture *f, uint64_t sector, unsigned count)
{
	const struct driver_buffer data = {DATA, 512 * count, true};

	return request(f, VIRTIO_BLK_T_IN, sector, &data);
}

static uint8_t write_sectors(struct fixture *f, uint64_t sector, unsigned count, uint8_t fill)
{
	const struct driver_buffer data = {DATA, 512 * count, false};
	g_autofree char *buf = g_malloc(512u * count);

	memset(buf, fill, 512u * count);
	fake_write(f->fake, DATA, buf, 512u * count);
	return request(f, VIRTIO_BLK_T_OUT, sector, &data);
}

static uint8_t range_request(
		struct fixture *f, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	const struct virtio_blk_range range = {sector, sectors, flags};
	const struct driver_buffer data = {RANGE, sizeof(range), false};

	fake_write(f->fake, RANGE, &range, sizeof(range));
	return request(f, type, 0, &data);
}

static uint8_t image_byte(const struct fixture *f, uint64_t offset)
{
	auto_fd int fd = open(f->file, O_RDONLY | O_CLOEXEC);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	return byte;
}

static uint8_t original(uint64_t offset)
{
	return (uint8_t)(offset / 512 + offset);
}

static void test_config(void **state)
{
	struct fixture f = start(state, false, "physical_block_size", "4096");
	struct virtio_blk_config config;

	const uint64_t offered = virtio_driver_offered(&f.driver);
	assert_true((offered & ALL_FEATURES) == ALL_FEATURES);
	assert_false(offered & BIT(VIRTIO_BLK_F_RO));
	virtio_driver_config_read(&f.driver, 0, &config, sizeof(config));
	assert_int_equal(config.capacity, SECTORS);
	assert_int_equal(config.blk_size, 512);
	assert_int_equal(config.physical_block_exp, 3);
	assert_int_equal(config.seg_max, 254);
	assert_int_equal(config.writeback, 1);
	assert_int_equal(config.max_discard_seg, 1);
	/* beyond its end, and half in it */
	assert_int_equal(fake_mmio_read(f.fake, f.driver.structures[DRIVER_CAP_DEVICE] + 64, 4), 0);
	assert_int_equal(fake_mmio_read(f.fake, f.driver.structures[DRIVER_CAP_DEVICE] + 60, 8), 0);
	stop(&f);
}

static void test_read(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	uint8_t buf[1024];

	bring_up(&f, ALL_FEATURES);
	assert_int_equal(read_sectors(&f, 5, 2), VIRTIO_BLK_S_OK);
	fake_read(f.fake, DATA, buf, sizeof(buf));
	for (unsigned i = 0; i < sizeof(buf); i++) {
		assert_int_equal(buf[i], original(5 * 512 + i));
	}
	/* the last sector, and one past it */
	assert_int_equal(read_sectors(&f, SECTORS - 1, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(read_sectors(&f, SECTORS - 1, 2), VIRTIO_BLK_S_IOERR);
	assert_int_equal(read_sectors(&f, SECTORS, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(read_sectors(&f, UINT64_MAX, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(read_sectors(&f, UINT64_MAX / 512, 1), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

static void test_write(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);

	bring_up(&f, ALL_FEATURES);
	assert_int_equal(write_sectors(&f, 9, 3, 0xa5), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&f, VIRTIO_BLK_T_FLUSH, 0, NULL), VIRTIO_BLK_S_OK);
	if (variant_of(state)->snapshot) {
		assert_int_equal(image_byte(&f, 9 * 512), original(9 * 512));
	} else {
		assert_int_equal(image_byte(&f, 9 * 512), 0xa5);
		assert_int_equal(image_byte(&f, 12 * 512 - 1), 0xa5);
		assert_int_equal(image_byte(&f, 12 * 512), original(12 * 512));
	}
	/* reads see what was written, and what lies around it */
	assert_int_equal(read_sectors(&f, 8, 5), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_read8(f.fake, DATA), original(8 * 512));
	assert_int_equal(fake_read8(f.fake, DATA + 512), 0xa5);
	assert_int_equal(fake_read8(f.fake, DATA + 4 * 512), original(12 * 512));
	assert_int_equal(write_sectors(&f, SECTORS - 1, 2, 1), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

static void test_read_only(void **state)
{
	struct fixture f = start(state, true, NULL, NULL);

	assert_int_equal(virtio_driver_offered(&f.driver) &
					 (BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_DISCARD) |
							 BIT(VIRTIO_BLK_F_WRITE_ZEROES)),
			BIT(VIRTIO_BLK_F_RO));
	bring_up(&f, BIT(VIRTIO_BLK_F_RO));
	assert_int_equal(write_sectors(&f, 0, 1, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(image_byte(&f, 1), original(1));
	assert_int_equal(read_sectors(&f, 0, 1), VIRTIO_BLK_S_OK);
	stop(&f);
}

static void test_get_id(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	const struct driver_buffer whole = {DATA, 20, true}, cut = {DATA, 19, true};
	char id[20];

	bring_up(&f, 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_GET_ID, 0, &whole), VIRTIO_BLK_S_OK);
	fake_read(f.fake, DATA, id, sizeof(id));
	assert_memory_equal(id, "ORIEL-0001\0\0\0\0\0\0\0\0\0", 20);
	assert_int_equal(request(&f, VIRTIO_BLK_T_GET_ID, 0, &cut), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

static void test_discard_and_zeroes(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);

	bring_up(&f, ALL_FEATURES);
	assert_int_equal(range_request(&f, VIRTIO_BLK_T_DISCARD, 8, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range_request(&f, VIRTIO_BLK_T_WRITE_ZEROES, 100, 3, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range_request(&f, VIRTIO_BLK_T_WRITE_ZEROES, 200, 300,
					 VIRTIO_BLK_RANGE_UNMAP),
			VIRTIO_BLK_S_OK);
	assert_int_equal(read_sectors(&f, 99, 5), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_read8(f.fake, DATA + 511), original(100 * 512 - 1));
	for (unsigned i = 0; i < 3 * 512; i++) {
		assert_int_equal(fake_read8(f.fake, DATA + 512 + i), 0);
	}
	assert_int_equal(fake_read8(f.fake, DATA + 4 * 512), original(103 * 512));
	assert_int_equal(read_sectors(&f, 199, 302), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_read8(f.fake, DATA + 1), original(199 * 512 + 1));
	assert_int_equal(fake_read8(f.fake, DATA + 512), 0);
	assert_int_equal(fake_read8(f.fake, DATA + 301 * 512 - 1), 0);
	assert_int_equal(fake_read8(f.fake, DATA + 301 * 512 + 1), original(500 * 512 + 1));
	stop(&f);
}

static void test_bad_ranges(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
		uint64_t sector;
		uint32_t sectors, flags;
		uint8_t expect;
	} cases[] = {
			{"discard past the end", VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0,
					VIRTIO_BLK_S_IOERR},
			{"discard that wraps", VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0,
					VIRTIO_BLK_S_IOERR},
			{"discard of too much", VIRTIO_BLK_T_DISCARD, 0, 0x200001, 0,
					VIRTIO_BLK_S_IOERR},
			{"discard with unmap", VIRTIO_BLK_T_DISCARD, 0, 1, 1, VIRTIO_BLK_S_UNSUPP},
			{"discard of nothing", VIRTIO_BLK_T_DISCARD, 0, 0, 0, VIRTIO_BLK_S_OK},
			{"zeroes past the end", VIRTIO_BLK_T_WRITE_ZEROES, SECTORS, 1, 0,
					VIRTIO_BLK_S_IOERR},
			{"zeroes too many", VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0,
					VIRTIO_BLK_S_IOERR},
			{"zeroes, unknown flag", VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2,
					VIRTIO_BLK_S_UNSUPP},
	};
	struct fixture f = start(state, false, NULL, NULL);
	const struct driver_buffer two = {RANGE, 32, false}, half = {RANGE, 8, false};

	bring_up(&f, ALL_FEATURES);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint8_t status = range_request(&f, cases[i].type, cases[i].sector, cases[i].sectors,
				cases[i].flags);
		if (status != cases[i].expect) {
			fail_msg("%s: %u", cases[i].name, status);
		}
	}
	assert_int_equal(request(&f, VIRTIO_BLK_T_DISCARD, 0, &two), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_DISCARD, 0, &half), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

static void test_unsupported(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);

	bring_up(&f, 0);
	assert_int_equal(request(&f, 3, 0, NULL), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(&f, UINT32_MAX, 0, NULL), VIRTIO_BLK_S_UNSUPP);
	/* what was not negotiated */
	assert_int_equal(request(&f, VIRTIO_BLK_T_FLUSH, 0, NULL), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range_request(&f, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(
			range_request(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	/* without FLUSH the cache is write-through: it works all the same */
	assert_int_equal(write_sectors(&f, 3, 1, 7), VIRTIO_BLK_S_OK);
	stop(&f);
}

/* 2.7.4: how a request is cut into descriptors means nothing. */
static void test_any_layout(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	const struct virtio_blk_header in = {.type = VIRTIO_BLK_T_IN, .sector = 7};
	const struct driver_buffer read[] = {{HEADER, 1, false}, {HEADER + 1, 7, false},
			{HEADER + 8, 8, false}, {DATA, 100, true}, {DATA + 100, 413, true}};
	struct {
		struct virtio_blk_header header;
		uint8_t data[512];
	} __attribute__((packed)) out = {.header = {.type = VIRTIO_BLK_T_OUT, .sector = 8}};
	const struct driver_buffer write[] = {{DATA, sizeof(out), false}, {STATUS, 1, true}};

	bring_up(&f, ALL_FEATURES);
	fake_write(f.fake, HEADER, &in, sizeof(in));
	driver_queue_add_indirect(&f.queue, 0x50000, read, G_N_ELEMENTS(read));
	virtio_driver_kick(&f.driver, 0);
	assert_int_equal(finish_request(&f), 513);
	assert_int_equal(fake_read8(f.fake, DATA + 99), original(7 * 512 + 99));
	assert_int_equal(fake_read8(f.fake, DATA + 511), original(7 * 512 + 511));
	assert_int_equal(fake_read8(f.fake, DATA + 512), VIRTIO_BLK_S_OK);

	memset(out.data, 0x77, sizeof(out.data));
	fake_write(f.fake, DATA, &out, sizeof(out));
	driver_queue_add(&f.queue, write, G_N_ELEMENTS(write));
	virtio_driver_kick(&f.driver, 0);
	assert_int_equal(finish_request(&f), 1);
	assert_int_equal(fake_read8(f.fake, STATUS), VIRTIO_BLK_S_OK);
	assert_int_equal(read_sectors(&f, 8, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_read8(f.fake, DATA), 0x77);
	assert_int_equal(fake_read8(f.fake, DATA + 511), 0x77);
	stop(&f);
}

static void test_odd_sizes(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	const struct driver_buffer odd_in = {DATA, 511, true}, odd_out = {DATA, 513, false};
	const struct driver_buffer cut[] = {{HEADER, 15, false}, {STATUS, 1, true}};
	const struct driver_buffer headless = {STATUS, 1, true};

	bring_up(&f, ALL_FEATURES);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 0, &odd_in), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_OUT, 0, &odd_out), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 0, NULL), VIRTIO_BLK_S_OK);
	driver_queue_add(&f.queue, cut, 2);
	virtio_driver_kick(&f.driver, 0);
	finish_request(&f);
	assert_int_equal(fake_read8(f.fake, STATUS), VIRTIO_BLK_S_IOERR);
	driver_queue_add(&f.queue, &headless, 1);
	virtio_driver_kick(&f.driver, 0);
	finish_request(&f);
	assert_int_equal(fake_read8(f.fake, STATUS), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

static void test_logical_blocks(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);

	/* again, with blocks of 4 KiB */
	device_destroy(f.device);
	f.device = fake_machine_device(&virtio_blk_pci_class, "addr", "3", "logical_block_size",
			"4096", "physical_block_size", "4096", NULL);
	virtio_blk_pci_set_block(f.device, f.block);
	assert_true(device_realize(f.device, &f.fake->machine, NULL));
	fake_machine_assign(f.fake);
	bring_up(&f, ALL_FEATURES);
	assert_int_equal(read_sectors(&f, 8, 8), VIRTIO_BLK_S_OK);
	assert_int_equal(read_sectors(&f, 8, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(read_sectors(&f, 1, 8), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(&f, VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

/* No place for the status: the device gives up until it is reset, and then works again. */
static void test_no_status(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	const struct driver_buffer header = {HEADER, 16, false};

	bring_up(&f, ALL_FEATURES);
	driver_queue_add(&f.queue, &header, 1);
	virtio_driver_kick(&f.driver, 0);
	struct fake_msi msi = fake_machine_wait_msi(f.fake);
	assert_int_equal(msi.data, DRIVER_MSI_DATA + DRIVER_CONFIG_VECTOR);
	assert_true(virtio_driver_status(&f.driver) & 64);
	bring_up(&f, ALL_FEATURES);
	assert_int_equal(read_sectors(&f, 0, 1), VIRTIO_BLK_S_OK);
	stop(&f);
}

/* A full queue at once: every request is answered, whatever the order. */
static void test_many(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	enum { COUNT = RING_SIZE / 3 };

	bring_up(&f, ALL_FEATURES | BIT(VIRTIO_F_RING_EVENT_IDX));
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			const struct driver_buffer data = {DATA + i * 0x2000, 0x2000, true};
			queue_request(&f, VIRTIO_BLK_T_IN, 16 * i, &data, STATUS + i);
		}
		driver_queue_set_used_event(&f.queue, f.queue.last_used);
		virtio_driver_kick(&f.driver, 0);
		for (unsigned i = 0; i < COUNT; i++) {
			uint32_t head, len;
			while (!driver_queue_take_used(&f.queue, &head, &len)) {
				driver_queue_set_used_event(&f.queue, f.queue.last_used);
				if (!driver_queue_take_used(&f.queue, &head, &len)) {
					virtio_driver_wait(&f.driver, 0);
					continue;
				}
				break;
			}
			assert_int_equal(len, 0x2001);
		}
		for (unsigned i = 0; i < COUNT; i++) {
			assert_int_equal(fake_read8(f.fake, STATUS + i), VIRTIO_BLK_S_OK);
			assert_int_equal(fake_read8(f.fake, DATA + i * 0x2000 + 77),
					original(i * 0x2000 + 77));
		}
		/* interrupts that came for what was already taken */
		struct fake_msi msi;
		while (fake_machine_take_msi(f.fake, &msi)) {
		}
	}
	stop(&f);
}

/* A reset waits for what is in flight: nothing is written to guest memory after it. */
static void test_reset_in_flight(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);

	for (unsigned round = 0; round < 50; round++) {
		bring_up(&f, ALL_FEATURES);
		for (unsigned i = 0; i < RING_SIZE / 3; i++) {
			const struct driver_buffer data = {DATA + i * 0x10000, 0x10000, true};
			queue_request(&f, VIRTIO_BLK_T_IN, 0, &data, STATUS + i);
		}
		virtio_driver_kick(&f.driver, 0);
		/* the first is done: others are under way */
		uint32_t head, len;
		while (!driver_queue_take_used(&f.queue, &head, &len)) {
			g_thread_yield();
		}
		virtio_driver_reset(&f.driver);
		uint8_t marks[0x1000];
		memset(marks, UNTOUCHED, sizeof(marks));
		fake_write(f.fake, DATA, marks, sizeof(marks));
		fake_write(f.fake, STATUS, marks, sizeof(marks));
		bring_up(&f, ALL_FEATURES);
		const struct driver_buffer id = {DATA + 0x100000, 20, true};
		queue_request(&f, VIRTIO_BLK_T_GET_ID, 0, &id, STATUS + 0x2000);
		virtio_driver_kick(&f.driver, 0);
		struct fake_msi msi;
		while (!driver_queue_take_used(&f.queue, &head, &len)) {
			msi = fake_machine_wait_msi(f.fake);
		}
		(void)msi;
		for (unsigned i = 0; i < sizeof(marks); i++) {
			assert_int_equal(fake_read8(f.fake, DATA + i), UNTOUCHED);
			assert_int_equal(fake_read8(f.fake, STATUS + i), UNTOUCHED);
		}
		virtio_driver_reset(&f.driver);
		while (fake_machine_take_msi(f.fake, &msi)) {
		}
	}
	stop(&f);
}

static void test_quiesce(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	const struct driver_buffer data = {DATA, 512, true};
	uint32_t head, len;

	bring_up(&f, ALL_FEATURES);
	assert_int_equal(read_sectors(&f, 0, 1), VIRTIO_BLK_S_OK);
	f.device->device_class->quiesce(f.device);
	queue_request(&f, VIRTIO_BLK_T_IN, 1, &data, STATUS);
	virtio_driver_kick(&f.driver, 0);
	assert_false(driver_queue_take_used(&f.queue, &head, &len));
	f.device->device_class->resume(f.device);
	finish_request(&f);
	assert_int_equal(fake_read8(f.fake, STATUS), VIRTIO_BLK_S_OK);
	stop(&f);
}

static void test_cache_mode(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	uint8_t writeback;

	/* not negotiated: not writable */
	bring_up(&f, 0);
	virtio_driver_config_write(&f.driver, 32, 0, 1);
	virtio_driver_config_read(&f.driver, 32, &writeback, 1);
	assert_int_equal(writeback, 1);

	bring_up(&f, ALL_FEATURES);
	assert_int_equal(write_sectors(&f, 0, 1, 1), VIRTIO_BLK_S_OK);
	virtio_driver_config_write(&f.driver, 32, 0, 1);
	virtio_driver_config_read(&f.driver, 32, &writeback, 1);
	assert_int_equal(writeback, 0);
	assert_int_equal(write_sectors(&f, 1, 1, 2), VIRTIO_BLK_S_OK);
	/* a reset brings the default back */
	virtio_driver_reset(&f.driver);
	virtio_driver_config_read(&f.driver, 32, &writeback, 1);
	assert_int_equal(writeback, 1);
	stop(&f);
}

/* Without MSI-X: the pin, the status register, and its release by reading. */
static void test_intx(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	const struct driver_buffer data = {DATA, 512, true};
	uint32_t head, len;
	const unsigned gsi = 16 + 3;

	assert_true(virtio_driver_negotiate(&f.driver, 0));
	driver_queue_init(&f.queue, f.fake->machine.ram, RINGS, RING_SIZE);
	virtio_driver_setup_queue(&f.driver, 0, &f.queue);
	virtio_driver_ok(&f.driver);
	queue_request(&f, VIRTIO_BLK_T_IN, 0, &data, STATUS);
	virtio_driver_kick(&f.driver, 0);
	fake_machine_wait_gsi(f.fake, gsi, true);
	assert_true(driver_queue_take_used(&f.queue, &head, &len));
	assert_int_equal(virtio_driver_isr(&f.driver), 1);
	assert_false(fake_machine_gsi(f.fake, gsi));
	assert_int_equal(virtio_driver_isr(&f.driver), 0);
	stop(&f);
}

static void test_two_devices(void **state)
{
	struct fixture f = start(state, false, NULL, NULL), g = start(state, false, NULL, NULL);

	bring_up(&f, ALL_FEATURES);
	bring_up(&g, ALL_FEATURES);
	assert_int_equal(write_sectors(&f, 0, 1, 0x11), VIRTIO_BLK_S_OK);
	assert_int_equal(read_sectors(&g, 0, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_read8(g.fake, DATA), original(0));
	stop(&f);
	stop(&g);
}

static void test_realize_errors(void **state)
{
	struct fixture f = start(state, false, NULL, NULL);
	g_autoptr(GError) error = NULL;
	struct device *none = fake_machine_device(&virtio_blk_pci_class, NULL);
	struct device *sizes = fake_machine_device(&virtio_blk_pci_class, "logical_block_size",
			"1024", "physical_block_size", "512", NULL);
	struct device *taken = fake_machine_device(&virtio_blk_pci_class, "addr", "3", NULL);

	assert_false(device_realize(none, &f.fake->machine, &error));
	assert_non_null(strstr(error->message, "drive="));
	g_clear_error(&error);
	virtio_blk_pci_set_block(sizes, f.block);
	assert_false(device_realize(sizes, &f.fake->machine, &error));
	assert_non_null(strstr(error->message, "block sizes"));
	g_clear_error(&error);
	virtio_blk_pci_set_block(taken, f.block);
	assert_false(device_realize(taken, &f.fake->machine, &error));
	assert_non_null(strstr(error->message, "taken"));
	device_destroy(none);
	device_destroy(sizes);
	device_destroy(taken);
	stop(&f);
}

#define TESTS(variant) \
	cmocka_unit_test_prestate(test_config, (variant)), \
			cmocka_unit_test_prestate(test_read, (variant)), \
			cmocka_unit_test_prestate(test_write, (variant)), \
			cmocka_unit_test_prestate(test_read_only, (variant)), \
			cmocka_unit_test_prestate(test_get_id, (variant)), \
			cmocka_unit_test_prestate(test_discard_and_zeroes, (variant)), \
			cmocka_unit_test_prestate(test_bad_ranges, (variant)), \
			cmocka_unit_test_prestate(test_unsupported, (variant)), \
			cmocka_unit_test_prestate(test_any_layout, (variant)), \
			cmocka_unit_test_prestate(test_odd_sizes, (variant)), \
			cmocka_unit_test_prestate(test_logical_blocks, (variant)), \
			cmocka_unit_test_prestate(test_no_status, (variant)), \
			cmocka_unit_test_prestate(test_many, (variant)), \
			cmocka_unit_test_prestate(test_reset_in_flight, (variant)), \
			cmocka_unit_test_prestate(test_quiesce, (variant)), \
			cmocka_unit_test_prestate(test_cache_mode, (variant)), \
			cmocka_unit_test_prestate(test_intx, (variant)), \
			cmocka_unit_test_prestate(test_two_devices, (variant)), \
			cmocka_unit_test_prestate(test_realize_errors, (variant))

int main(void)
{
	struct variant threads = {.aio = "threads"};
	struct variant fastest = {.aio = "auto"};
	struct variant snapshot = {.aio = "auto", .snapshot = true};
	const struct CMUnitTest tests[] = {TESTS(&threads), TESTS(&fastest), TESTS(&snapshot)};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
