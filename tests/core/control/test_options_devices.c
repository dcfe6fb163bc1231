/* SPDX-License-Identifier: MIT */
#include "tests/harness/options_fixture.h"

static const struct option_drive *drive_of(const struct options *options, unsigned index)
{
	return &g_array_index(options->drives, struct option_drive, index);
}

static const struct option_device *device_of(const struct options *options, unsigned index)
{
	return &g_array_index(options->devices, struct option_device, index);
}

static void test_drives(void **state)
{
	struct options options;

	(void)state;
	parse_good("-drive|file=disk.img|-drive|file=a,,b=c,if=none,id=d0,format=raw,snapshot=on,readonly=on",
			&options);
	assert_int_equal(options.drives->len, 2);
	assert_string_equal(drive_of(&options, 0)->file, "disk.img");
	assert_null(drive_of(&options, 0)->id);
	assert_int_equal(drive_of(&options, 0)->interface, OPTION_DRIVE_VIRTIO);
	assert_false(drive_of(&options, 0)->snapshot || drive_of(&options, 0)->read_only);
	assert_string_equal(drive_of(&options, 1)->file, "a,b=c");
	assert_string_equal(drive_of(&options, 1)->id, "d0");
	assert_int_equal(drive_of(&options, 1)->interface, OPTION_DRIVE_NONE);
	assert_true(drive_of(&options, 1)->snapshot && drive_of(&options, 1)->read_only);
	options_clear(&options);
}

static void test_drive_order_and_kind(void **state)
{
	struct options options;

	(void)state;
	parse_good("-drive|file=a|-device|virtio-gpu-pci|-device|virtio-gpu-pci|-drive|file=b,aio=io_uring,discard=unmap|"
		   "-device|virtio-gpu-pci|-drive|file=c,discard=off|-drive|file=d,discard=on,aio=threads",
			&options);
	assert_int_equal(drive_of(&options, 0)->devices_before, 0);
	assert_int_equal(drive_of(&options, 1)->devices_before, 2);
	assert_int_equal(drive_of(&options, 2)->devices_before, 3);
	assert_int_equal(drive_of(&options, 3)->devices_before, 3);
	assert_int_equal(drive_of(&options, 0)->aio, 0);
	assert_int_equal(drive_of(&options, 1)->aio, 2);
	assert_int_equal(drive_of(&options, 3)->aio, 1);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(drive_of(&options, i)->discard % 2, i % 2);
	}
	options_clear(&options);
}

static void test_devices(void **state)
{
	struct options options;

	(void)state;
	parse_good("-device|virtio-gpu-pci|-device|virtio-gpu-pci,id=gpu1,xres=800,shiny|"
		   "-device|driver=virtio-blk-pci,drive=d0",
			&options);
	assert_int_equal(options.devices->len, 3);
	assert_ptr_equal(device_of(&options, 0)->device_class, &toy_gpu);
	assert_null(device_of(&options, 0)->id);
	assert_string_equal(device_of(&options, 1)->id, "gpu1");
	assert_ptr_equal(device_of(&options, 2)->device_class, &toy_blk);

	struct device *device = option_device_create(device_of(&options, 1), NULL);
	struct toy_device *toy = container_of(device, struct toy_device, base);
	assert_string_equal(device_name(device), "gpu1");
	assert_int_equal(toy->width, 800);
	assert_true(toy->shiny);
	device_destroy(device);
	device = option_device_create(device_of(&options, 0), NULL);
	assert_int_equal(container_of(device, struct toy_device, base)->width, 1280);
	device_destroy(device);
	options_clear(&options);
}

static void test_bad(void **state)
{
	static const struct bad_line rows[] = {
			{"-drive|if=virtio", "-drive: 'if=virtio' names no file (file=PATH)"},
			{"-drive|file=", "-drive: 'file=' names no file (file=PATH)"},
			{"-drive|disk.img",
					"-drive: no property 'disk.img' (there is: file, id, if, format, aio, "
					"discard, snapshot, readonly)"},
			{"-drive|file=x,if=ide", "-drive: if: 'ide' is not one of virtio, none"},
			{"-drive|file=x,format=qcow2", "-drive: format: 'qcow2' is not one of raw"},
			{"-drive|file=x,aio=native",
					"-drive: aio: 'native' is not one of auto, threads, io_uring"},
			{"-drive|file=x,discard=trim",
					"-drive: discard: 'trim' is not one of ignore, unmap, off, on"},
			{"-drive|file=x,snapshot=maybe",
					"-drive: snapshot: 'maybe' is not on or off"},
			{"-drive|file=x,read-only=on",
					"-drive: no property 'read-only'; did you mean 'readonly'?"},
			{"-drive|file=x,if=none",
					"-drive: if=none needs an id=, for -device ...,drive=ID"},
			{"-drive|file=x,id=a|-drive|file=y,id=a",
					"-drive: the id 'a' is that of a drive already"},
			{"-device|virtio-gpu-pci,id=a|-drive|file=y,id=a",
					"-drive: the id 'a' is that of a device already"},
			{"-device|virtio-gpu-pci,id=a|-device|virtio-blk-pci,id=a",
					"-device: the id 'a' is that of a device already"},
			{"-device|virtio-gpu-cpi",
					"-device: no device 'virtio-gpu-cpi'; did you mean 'virtio-gpu-pci'?"},
			{"-device|virtio-gpu",
					"-device: no device 'virtio-gpu'; did you mean 'virtio-gpu-pci'?"},
			{"-device|e1000", "-device: no device 'e1000'; '-device help' lists them"},
			{"-device|q35-host-bridge",
					"-device: no device 'q35-host-bridge'; '-device help' lists them"},
			{"-device|id=a", "-device: 'id=a' names no device"},
			{"-device|virtio-gpu-pci,xrez=1",
					"-device: virtio-gpu-pci: no property 'xrez'; did you mean "
					"'xres'?"},
			{"-device|virtio-gpu-pci,id=g,xres=0",
					"-device: g: xres: '0' is not a number from 1 to 16384"},
	};

	(void)state;
	expect_bad(rows, G_N_ELEMENTS(rows));
}

static void test_texts(void **state)
{
	(void)state;
	expect_printed("-device|help", "  virtio-gpu-pci           Graphics\n");
	expect_printed("-device|?", "  virtio-blk-pci           A disk\n");
	expect_printed("-device|virtio-gpu-pci,help", "virtio-gpu-pci: Graphics\n  id=<text> ");
	expect_printed("-device|virtio-gpu-pci,help",
			"  xres=<number>                pixels (default: 1280) [from 1 to 16384]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_drives),
			cmocka_unit_test(test_drive_order_and_kind),
			cmocka_unit_test(test_devices),
			cmocka_unit_test(test_bad),
			cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
