/* SPDX-License-Identifier: MIT */
#include "core/control/options.h"

#include "core/base/log.h"
#include "tests/harness/options_fixture.h"

static void test_defaults(void **state)
{
	struct options options;

	(void)state;
	parse_good("", &options);
	assert_null(options.accel);
	assert_null(options.kernel);
	assert_null(options.gdb);
	assert_int_equal(options.memory, 512 * MiB);
	assert_int_equal(options.cpus, 1);
	assert_int_equal(options.display.kind, OPTION_DISPLAY_DEFAULT);
	assert_int_equal(options.serials->len, 0);
	assert_false(options.no_defaults || options.no_reboot || options.start_paused);
	options_clear(&options);
	options_clear(&options);
}

static void test_everything(void **state)
{
	struct options options;

	(void)state;
	parse_good("-accel|soft|-machine|q35|-m|2G|-smp|4|-name|test vm|-kernel|vmlinuz|-initrd|initrd.img|"
		   "-append|console=ttyS0 a=b,c|-serial|stdio|-serial|file:a,b|-nodefaults|-no-reboot|-S|"
		   "-gdb|tcp:localhost:5555|-d|int,exec|-D|log|-perfmap|-vga|none|-nic|none|--monitor|none|-cpu|host,-avx",
			&options);
	assert_string_equal(options.accel, "soft");
	assert_int_equal(options.memory, 2 * GiB);
	assert_int_equal(options.cpus, 4);
	assert_string_equal(options.name, "test vm");
	assert_string_equal(options.kernel, "vmlinuz");
	assert_string_equal(options.initrd, "initrd.img");
	assert_string_equal(options.append, "console=ttyS0 a=b,c");
	assert_int_equal(options.serials->len, 2);
	assert_string_equal(options.serials->pdata[0], "stdio");
	assert_string_equal(options.serials->pdata[1], "file:a,b");
	assert_true(options.no_defaults && options.no_reboot && options.start_paused);
	assert_string_equal(options.gdb, "tcp:localhost:5555");
	assert_string_equal(cpu_model_name(&options.cpu), "host");
	assert_true(cpu_features_has(&options.cpu.minus, CPU_FEATURE_AVX));
	assert_int_equal(options.log_items, LOG_ITEM_INT | LOG_ITEM_EXEC);
	assert_string_equal(options.log_file, "log");
	assert_true(options.perf_map);
	options_clear(&options);
}

static void test_other_ways(void **state)
{
	static const struct {
		const char *line;
		const char *accel;
		uint64_t memory;
		unsigned cpus;
	} rows[] = {
			{"-m|256", NULL, 256 * MiB, 1},
			{"-m|size=1G", NULL, GiB, 1},
			{"-m|1", NULL, MiB, 1},
			{"-m|4194304K", NULL, 4 * GiB, 1},
			{"-m|1028K", NULL, 1028 * KiB, 1},
			{"-m|1G|-m|2G", NULL, 2 * GiB, 1},
			{"-smp|cpus=64", NULL, 512 * MiB, 64},
			{"-M|q35,accel=kvm", "kvm", 512 * MiB, 1},
			{"-machine|type=q35", NULL, 512 * MiB, 1},
			{"-machine|accel=soft", "soft", 512 * MiB, 1},
			{"-enable-kvm", "kvm", 512 * MiB, 1},
			{"--accel|accel=xen", "xen", 512 * MiB, 1},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct options options;
		parse_good(rows[i].line, &options);
		if (g_strcmp0(options.accel, rows[i].accel) != 0 ||
				options.memory != rows[i].memory || options.cpus != rows[i].cpus) {
			fail_msg("%s", rows[i].line);
		}
		options_clear(&options);
	}
}

static void test_short_ways(void **state)
{
	struct options options;

	(void)state;
	parse_good("-s", &options);
	assert_string_equal(options.gdb, "tcp::1234");
	options_clear(&options);
	parse_good("-nographic", &options);
	assert_int_equal(options.display.kind, OPTION_DISPLAY_NONE);
	assert_int_equal(options.serials->len, 1);
	assert_string_equal(options.serials->pdata[0], "stdio");
	options_clear(&options);
	parse_good("-nographic|-serial|pty|-display|egl-headless", &options);
	assert_int_equal(options.display.kind, OPTION_DISPLAY_EGL_HEADLESS);
	assert_int_equal(options.serials->len, 1);
	options_clear(&options);
}

static void test_bad(void **state)
{
	static const struct bad_line rows[] = {
			{"-kernle|x", "-kernle: no such option; did you mean -kernel?"},
			{"--kernle|x", "--kernle: no such option; did you mean -kernel?"},
			{"-frobnicate", "-frobnicate: no such option; -help lists them"},
			{"disk.img", "'disk.img': not an option; a disk is given as -drive file=disk.img, a kernel as "
				     "-kernel disk.img"},
			{"-", "-: no such option; -help lists them"},
			{"-m", "-m: needs an argument: SIZE"},
			{"-drive", "-drive: needs an argument: "
				   "file=PATH[,if=virtio|none][,format=raw][,id=ID][,snapshot=on][,readonly=on]"
				   "[,discard=ignore|unmap][,aio=auto|threads|io_uring]"},
			{"-m|0", "-m: '0' is not a size from 1M to 4096G"},
			{"-m|512K", "-m: '512K' is not a size from 1M to 4096G"},
			{"-m|5T", "-m: '5T' is not a size from 1M to 4096G"},
			{"-m|1048577B", "-m: '1048577B' is not a multiple of 4K"},
			{"-m|99999999999999999999G",
					"-m: '99999999999999999999G' is not a size: a whole number, with "
					"suffix K, M, G or T if wanted"},
			{"-m|17179869184G",
					"-m: '17179869184G' is not a size that a 64-bit number can hold"},
			{"-m|1.5G", "-m: '1.5G' is not a size: a whole number, with suffix K, M, G or T if wanted"},
			{"-m|512X", "-m: '512X' is not a size: a whole number, with suffix K, M, G or T if wanted"},
			{"-m|-1", "-m: '-1' is not a size: a whole number, with suffix K, M, G or T if wanted"},
			{"-m|1G,slots=2", "-m: no property 'slots' (there is: size)"},
			{"-m|1G,", "-m: '1G,': something is missing before or after a comma or '=' (in a value, write "
				   "',,' for a comma)"},
			{"-smp|0", "-smp: cpus: '0' is not a number from 1 to 64"},
			{"-smp|65", "-smp: cpus: '65' is not a number from 1 to 64"},
			{"-smp|two", "-smp: cpus: 'two' is not a number from 1 to 64"},
			{"-smp|2,cpu=3", "-smp: no property 'cpu'; did you mean 'cpus'?"},
			{"-accel|kvn", "-accel: no accelerator 'kvn'; did you mean 'kvm'?"},
			{"-accel|tcg", "-accel: no accelerator 'tcg' (there is: kvm, xen, soft)"},
			{"-accel|kvm,thread=multi",
					"-accel: no property 'thread' (there is: accel, translate, tb-size, "
					"host-fsgsbase)"},
			{"-accel|soft,translate=check|-smp|2",
					"-accel: translate=check is for one processor, not 2"},
			{"-machine|pc", "-machine: no machine 'pc' (there is: q35)"},
			{"-machine|q35,accel=",
					"-machine: no accelerator '' (there is: kvm, xen, soft)"},
			{"-name|", "-name: a name has 1 to 64 bytes"},
			{"-initrd|x", "-initrd: only a -kernel can use it"},
			{"-append|x", "-append: only a -kernel can use it"},
			{"-serial|null|-serial|null|-serial|null|-serial|null|-serial|stdio",
					"-serial: 'stdio' is one too many: there are 4 serial ports"},
			{"-gdb|1234", "-gdb: '1234' is not tcp:[HOST]:PORT, with a port from 1 to 65535"},
			{"-gdb|tcp:1234",
					"-gdb: 'tcp:1234' is not tcp:[HOST]:PORT, with a port from 1 to 65535"},
			{"-gdb|tcp::0", "-gdb: 'tcp::0' is not tcp:[HOST]:PORT, with a port from 1 to 65535"},
			{"-gdb|tcp::65536",
					"-gdb: 'tcp::65536' is not tcp:[HOST]:PORT, with a port from 1 to 65535"},
			{"-d|exe", "-d: no log item 'exe'; did you mean 'exec'?"},
			{"-d|", "-d: no log item '' (there is: guest_errors, unimp, int, cpu_reset, exec, "
				"in_asm, stats, debug)"},
			{"-d|int,", "-d: no log item '' (there is: guest_errors, unimp, int, cpu_reset, exec, "
				    "in_asm, stats, debug)"},
			{"-cpu|qemu65", "-cpu: no model 'qemu65'; did you mean 'qemu64'?"},
			{"-cpu|", "-cpu: '' names no model; '-cpu help' lists them"},
			{"-cpu|max,+avx5", "-cpu: no flag 'avx5'; did you mean 'avx512f'?"},
			{"-vga|std", "-vga: 'std' is not none, all there is"},
	};

	(void)state;
	expect_bad(rows, G_N_ELEMENTS(rows));
}

static void test_texts(void **state)
{
	(void)state;
	expect_printed("-version", "Toy 1.0\n");
	expect_printed("-help", "usage: toy [-OPTION [ARGUMENT]]...\n");
	expect_printed("--help", "  -kernel FILE ");
	expect_printed("-h", "\nDevices:\n  -drive file=PATH");
	expect_printed("-accel|help", "Accelerators, best first:\n  kvm\n  xen\n  soft\n");
	expect_printed("-machine|help", "Machines:\n  q35\n");
	expect_printed("-cpu|help", "\n  host  ");
	expect_printed("-cpu|help", " pcommit");
	expect_printed("-d|help", "  guest_errors   every fault of the guest ");
	/* What comes after is not looked at. */
	expect_printed("-version|-nonsense", "Toy 1.0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_defaults),
			cmocka_unit_test(test_everything),
			cmocka_unit_test(test_other_ways),
			cmocka_unit_test(test_short_ways),
			cmocka_unit_test(test_bad),
			cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
