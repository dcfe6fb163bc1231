/* SPDX-License-Identifier: MIT */
#include "core/boot/layout.h"

#include "core/base/checked.h"

#include <inttypes.h>

#define RESERVED_LOW UINT64_C(0x9fc00) /* extended BIOS data, then video, ROMs, tables */
#define RESERVED_LOW_END UINT64_C(0x100000)

static const struct boot_range *range_at(const GArray *ranges, unsigned index)
{
	return &g_array_index(ranges, struct boot_range, index);
}

static void append(GArray *ranges, uint64_t start, uint64_t end, uint32_t type)
{
	struct boot_range range = {.start = start, .size = end - start, .type = type};

	if (end > start) {
		g_array_append_val(ranges, range);
	}
}

static gint compare_start(gconstpointer a, gconstpointer b)
{
	const struct boot_range *left = a, *right = b;

	return (left->start > right->start) - (left->start < right->start);
}

static void add_region(const struct guest_region_info *info, void *opaque)
{
	struct layout *layout = opaque;

	if (info->flags & GUEST_REGION_ROM) {
		return;
	}
	if (layout->ram->len > 0) {
		struct boot_range *last = &g_array_index(
				layout->ram, struct boot_range, layout->ram->len - 1);
		if (last->start + last->size == info->guest) {
			last->size += info->size;
			return;
		}
	}
	append(layout->ram, info->guest, info->guest + info->size, BOOT_RANGE_RAM);
}

/* Whether the map says the same already. */
static bool is_covered(const GArray *map, const struct boot_range *range)
{
	for (unsigned i = 0; i < map->len; i++) {
		const struct boot_range *other = range_at(map, i);
		if (range->type == other->type && range->start >= other->start &&
				range_within(range->start - other->start, range->size,
						other->size)) {
			return true;
		}
	}
	return false;
}

/* Cuts a reserved range out of the RAM. */
static void reserve(struct layout *layout, const struct boot_range *reserved)
{
	GArray *left = g_array_new(FALSE, FALSE, sizeof(struct boot_range));
	uint64_t end = reserved->start + reserved->size;

	for (unsigned i = 0; i < layout->ram->len; i++) {
		const struct boot_range *ram = range_at(layout->ram, i);
		uint64_t ram_end = ram->start + ram->size;
		append(left, ram->start, MIN(ram_end, reserved->start), BOOT_RANGE_RAM);
		append(left, MAX(ram->start, end), ram_end, BOOT_RANGE_RAM);
	}
	g_array_unref(layout->ram);
	layout->ram = left;
	if (!is_covered(layout->map, reserved)) {
		g_array_append_val(layout->map, *reserved);
	}
}

void layout_init(struct layout *layout, struct guest_memory *memory,
		const struct boot_range *reserved, unsigned reserved_count)
{
	static const struct boot_range low = {
			RESERVED_LOW, RESERVED_LOW_END - RESERVED_LOW, BOOT_RANGE_RESERVED};

	layout->memory = memory;
	layout->ram = g_array_new(FALSE, FALSE, sizeof(struct boot_range));
	layout->map = g_array_new(FALSE, FALSE, sizeof(struct boot_range));
	layout->taken = g_array_new(FALSE, FALSE, sizeof(struct boot_range));
	guest_memory_foreach(memory, add_region, layout);
	reserve(layout, &low);
	for (unsigned i = 0; i < reserved_count; i++) {
		assert(reserved[i].size > 0 && reserved[i].size <= UINT64_MAX - reserved[i].start);
		reserve(layout, &reserved[i]);
	}
	if (layout->ram->len > 0) {
		g_array_append_vals(layout->map, layout->ram->data, layout->ram->len);
	}
	g_array_sort(layout->map, compare_start);
}

void layout_finish(struct layout *layout)
{
	g_array_unref(layout->ram);
	g_array_unref(layout->map);
	g_array_unref(layout->taken);
}

bool layout_is_ram(const struct layout *layout, uint64_t start, uint64_t size)
{
	for (unsigned i = 0; i < layout->ram->len; i++) {
		const struct boot_range *ram = range_at(layout->ram, i);
		if (start >= ram->start && range_within(start - ram->start, size, ram->size)) {
			return true;
		}
	}
	return false;
}

void layout_take(struct layout *layout, uint64_t start, uint64_t size)
{
	append(layout->taken, start, start + size, 0);
}

/* What is taken of [start, start + size), if anything is. */
static const struct boot_range *find_taken(
		const struct layout *layout, uint64_t start, uint64_t size)
{
	for (unsigned i = 0; i < layout->taken->len; i++) {
		const struct boot_range *taken = range_at(layout->taken, i);
		if (ranges_overlap(start, size, taken->start, taken->size)) {
			return taken;
		}
	}
	return NULL;
}

bool layout_find_low(struct layout *layout, uint64_t size, uint64_t align, uint64_t *ret_start)
{
	for (unsigned i = 0; i < layout->ram->len; i++) {
		const struct boot_range *ram = range_at(layout->ram, i);
		uint64_t end = MIN(ram->start + ram->size, 4 * GiB);
		uint64_t start = MAX(ram->start, LAYOUT_LOW_START);
		for (;;) {
			start = (start + align - 1) & ~(align - 1);
			if (start >= end || size > end - start) {
				break;
			}
			const struct boot_range *taken = find_taken(layout, start, size);
			if (!taken) {
				layout_take(layout, start, size);
				*ret_start = start;
				return true;
			}
			start = taken->start + taken->size;
		}
	}
	return false;
}

bool layout_find_high(struct layout *layout, uint64_t size, uint64_t limit, uint64_t *ret_start)
{
	for (unsigned i = layout->ram->len; i > 0; i--) {
		const struct boot_range *ram = range_at(layout->ram, i - 1);
		uint64_t end = MIN(ram->start + ram->size, limit);
		uint64_t lowest = MAX(ram->start, LAYOUT_LOW_START);
		while (end > lowest && size <= end - lowest) {
			uint64_t start = (end - size) & ~(GUEST_PAGE_SIZE - 1);
			if (start < lowest) {
				break;
			}
			const struct boot_range *taken = find_taken(layout, start, size);
			if (!taken) {
				layout_take(layout, start, size);
				*ret_start = start;
				return true;
			}
			end = taken->start;
		}
	}
	return false;
}

bool layout_put(struct layout *layout, const char *what, const void *data, size_t len,
		uint64_t *ret_start, GError **error)
{
	if (!layout_find_low(layout, len, 16, ret_start)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
				"no RAM left for the %s (%zu bytes)", what, len);
		return false;
	}
	bool ok = guest_memory_write(layout->memory, *ret_start, data, len);
	assert(ok); /* the layout is made of RAM */
	return true;
}
