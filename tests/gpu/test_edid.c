/* SPDX-License-Identifier: MIT */
#include "tests/harness/test.h"

#include "core/base/bytes.h"
#include "gpu/edid.h"

/* What a driver reads out of it. */
struct mode {
	uint32_t width, height, hblank, vblank, clock; /* clock in 10 kHz */
	bool extended; /* from the extension block */
};

static void check_sum(const uint8_t *block, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum = (uint8_t)(sum + block[i]);
	}
	assert_int_equal(sum, 0);
}

static void parse_displayid(const uint8_t *block, struct mode *mode)
{
	const uint8_t *d = block + 8;

	assert_int_equal(block[0], 0x70);
	assert_int_equal(block[1], 0x12);
	assert_int_equal(block[2], 23); /* bytes of data blocks */
	check_sum(block + 1, 5 + 23);
	assert_int_equal(block[5], 0x03);
	assert_int_equal(block[7], 20);
	assert_int_equal(d[3] & 0x80, 0x80); /* preferred */
	mode->clock = (d[0] | d[1] << 8 | d[2] << 16) + 1;
	mode->width = le16_load(d + 4) + 1u;
	mode->hblank = le16_load(d + 6) + 1u;
	mode->height = le16_load(d + 12) + 1u;
	mode->vblank = le16_load(d + 14) + 1u;
	/* Fronts and syncs lie inside the blanks. */
	assert_true((le16_load(d + 8) & 0x7fff) + 1u + le16_load(d + 10) + 1u < mode->hblank);
	assert_true(le16_load(d + 16) + 1u + le16_load(d + 18) + 1u < mode->vblank);
	mode->extended = true;
}

static void parse_detailed(const uint8_t *d, struct mode *mode)
{
	mode->clock = le16_load(d);
	mode->width = d[2] | (d[4] >> 4) << 8;
	mode->hblank = d[3] | (d[4] & 0xf) << 8;
	mode->height = d[5] | (d[7] >> 4) << 8;
	mode->vblank = d[6] | (d[7] & 0xf) << 8;
	assert_true(d[8] + d[9] < mode->hblank);
	assert_true((d[10] >> 4) + (d[10] & 0xf) < (int)mode->vblank);
	mode->extended = false;
}

/* Checks what holds for every EDID and finds its one mode. */
static void parse(const uint8_t *edid, size_t size, struct mode *mode)
{
	static const uint8_t magic[] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
	unsigned timings = 0;

	assert_memory_equal(edid, magic, sizeof(magic));
	assert_int_equal(edid[18], 1);
	assert_int_equal(edid[19], 4);
	check_sum(edid, 128);
	assert_int_equal(edid[24] & 0x01, 0); /* no inferred modes */
	assert_int_equal(edid[24] & 0x02, 0x02);
	assert_int_equal(edid[35] | edid[36] | edid[37], 0); /* no established timings */
	for (unsigned i = 38; i < 54; i++) {
		assert_int_equal(edid[i], 0x01); /* no standard timings */
	}
	for (const uint8_t *d = edid + 54; d < edid + 126; d += 18) {
		if (le16_load(d) != 0) {
			parse_detailed(d, mode);
			timings++;
			assert_ptr_equal(d, edid + 54);
		}
	}
	assert_int_equal(edid[126], size / 128 - 1);
	if (edid[126] > 0) {
		check_sum(edid + 128, 128);
		parse_displayid(edid + 128, mode);
		timings++;
	}
	assert_int_equal(timings, 1);
}

static void check(uint32_t width, uint32_t height)
{
	uint8_t edid[EDID_MAX_SIZE];
	struct mode mode = {0};

	size_t size = edid_build(0, width, height, edid);
	assert_true(size == 128 || size == 256);
	parse(edid, size, &mode);
	assert_int_equal(mode.width, width);
	assert_int_equal(mode.height, height);
	/* 60 Hz to within the step of the clock. */
	uint64_t total = (uint64_t)(mode.width + mode.hblank) * (mode.height + mode.vblank);
	assert_in_range((uint64_t)mode.clock * 10000, MAX(total * 60, 250000) - 250000,
			MAX(total * 60, 250000));
}

static void test_known_sizes(void **state)
{
	static const uint32_t sizes[][2] = {{640, 480}, {800, 600}, {1024, 768}, {1280, 720},
			{1366, 768}, {1920, 1080}, {2560, 1440}, {3840, 2160}, {4095, 2160},
			{4096, 2160}, {5120, 2880}, {7680, 4320}, {1, 1}, {16384, 16384},
			{16384, 1}, {1, 16384}, {1023, 767}};
	(void)state;

	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		check(sizes[i][0], sizes[i][1]);
	}
}

static void test_every_size_in_steps(void **state)
{
	(void)state;

	for (uint32_t width = 1; width <= 5120; width += 37) {
		for (uint32_t height = 1; height <= 2880; height += 41) {
			check(width, height);
		}
	}
}

static void test_extension_only_where_needed(void **state)
{
	uint8_t edid[EDID_MAX_SIZE];
	(void)state;

	assert_int_equal(edid_build(0, 3840, 2160, edid), 128);
	assert_int_equal(edid_build(0, 4096, 2160, edid), 256);
	assert_int_equal(edid_build(0, 2160, 4096, edid), 256);
	assert_int_equal(edid_build(0, 4000, 4000, edid), 256); /* its clock does not fit */
	/* CVT's own figures for 1920x1080 with reduced blanking. */
	edid_build(0, 1920, 1080, edid);
	assert_int_equal(le16_load(edid + 54), 13850);
	assert_int_equal(edid[54 + 3], 160);
	assert_int_equal(edid[54 + 6], 31);
}

static void test_heads_differ(void **state)
{
	uint8_t a[EDID_MAX_SIZE], b[EDID_MAX_SIZE];
	(void)state;

	edid_build(0, 1024, 768, a);
	edid_build(1, 1024, 768, b);
	assert_int_not_equal(le32_load(a + 12), le32_load(b + 12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_known_sizes),
			cmocka_unit_test(test_every_size_in_steps),
			cmocka_unit_test(test_extension_only_where_needed),
			cmocka_unit_test(test_heads_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
