/* SPDX-License-Identifier: MIT */
#include "core/control/gdb_memory.h"

#define MAX_BREAKPOINTS 1024

struct gdb_breakpoint {
	uint64_t linear, physical;
	uint8_t original; /* the byte that int3 has replaced */
};

void gdb_memory_init(struct gdb_memory *memory, struct guest_memory *guest_memory)
{
	memory->memory = guest_memory;
	memory->breakpoints = g_array_new(FALSE, FALSE, sizeof(struct gdb_breakpoint));
}

void gdb_memory_finish(struct gdb_memory *memory)
{
	g_array_unref(memory->breakpoints);
}

static bool translate(struct vcpu *vcpu, uint64_t linear, uint64_t *ret_physical)
{
	const struct engine_impl *impl = vcpu->engine->impl;

	return impl->vcpu_translate && impl->vcpu_translate(vcpu, linear, ret_physical);
}

/* What remains of len from linear on in its page. */
static size_t within_page(uint64_t linear, size_t len)
{
	return MIN(len, (size_t)(GUEST_PAGE_SIZE - linear % GUEST_PAGE_SIZE));
}

static struct gdb_breakpoint *find_breakpoint(const struct gdb_memory *memory, uint64_t linear)
{
	for (unsigned i = 0; i < memory->breakpoints->len; i++) {
		struct gdb_breakpoint *breakpoint = &g_array_index(
				memory->breakpoints, struct gdb_breakpoint, i);
		if (breakpoint->linear == linear) {
			return breakpoint;
		}
	}
	return NULL;
}

size_t gdb_memory_read(struct gdb_memory *memory, struct vcpu *vcpu, uint64_t linear, uint8_t *data,
		size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = within_page(linear + done, len - done);
		uint64_t physical;
		if (!translate(vcpu, linear + done, &physical) ||
				!guest_memory_read(memory->memory, physical, data + done, piece)) {
			break;
		}
		done += piece;
	}
	for (unsigned i = 0; i < memory->breakpoints->len; i++) {
		const struct gdb_breakpoint *breakpoint = &g_array_index(
				memory->breakpoints, struct gdb_breakpoint, i);
		if (breakpoint->linear - linear < done) {
			data[breakpoint->linear - linear] = breakpoint->original;
		}
	}
	return done;
}

bool gdb_memory_write(struct gdb_memory *memory, struct vcpu *vcpu, uint64_t linear, uint8_t *data,
		size_t len)
{
	for (unsigned i = 0; i < memory->breakpoints->len; i++) {
		struct gdb_breakpoint *breakpoint = &g_array_index(
				memory->breakpoints, struct gdb_breakpoint, i);
		if (breakpoint->linear - linear < len) {
			breakpoint->original = data[breakpoint->linear - linear];
			data[breakpoint->linear - linear] = GDB_INT3;
		}
	}
	for (size_t done = 0; done < len;) {
		size_t piece = within_page(linear + done, len - done);
		uint64_t physical;
		if (!translate(vcpu, linear + done, &physical) ||
				!guest_memory_write(memory->memory, physical, data + done, piece)) {
			return false;
		}
		done += piece;
	}
	return true;
}

bool gdb_memory_add_breakpoint(struct gdb_memory *memory, struct vcpu *vcpu, uint64_t linear)
{
	struct gdb_breakpoint breakpoint = {.linear = linear};
	const uint8_t int3 = GDB_INT3;

	if (find_breakpoint(memory, linear)) {
		return true;
	}
	if (memory->breakpoints->len >= MAX_BREAKPOINTS ||
			!translate(vcpu, linear, &breakpoint.physical) ||
			!guest_memory_read(memory->memory, breakpoint.physical,
					&breakpoint.original, 1) ||
			!guest_memory_write(memory->memory, breakpoint.physical, &int3, 1)) {
		return false;
	}
	g_array_append_val(memory->breakpoints, breakpoint);
	return true;
}

/* Takes the int3 away, unless the guest has written something else in its place. */
static void restore_byte(struct gdb_memory *memory, const struct gdb_breakpoint *breakpoint)
{
	uint8_t now;

	if (guest_memory_read(memory->memory, breakpoint->physical, &now, 1) && now == GDB_INT3) {
		(void)guest_memory_write(memory->memory, breakpoint->physical,
				&breakpoint->original, 1); /* fails if the RAM is gone */
	}
}

bool gdb_memory_remove_breakpoint(struct gdb_memory *memory, uint64_t linear)
{
	struct gdb_breakpoint *breakpoint = find_breakpoint(memory, linear);

	if (!breakpoint) {
		return false;
	}
	restore_byte(memory, breakpoint);
	g_array_remove_index_fast(memory->breakpoints,
			(guint)(breakpoint - (struct gdb_breakpoint *)(void *)
							     memory->breakpoints->data));
	return true;
}

void gdb_memory_remove_breakpoints(struct gdb_memory *memory)
{
	for (unsigned i = 0; i < memory->breakpoints->len; i++) {
		restore_byte(memory, &g_array_index(memory->breakpoints, struct gdb_breakpoint, i));
	}
	g_array_set_size(memory->breakpoints, 0);
}

bool gdb_memory_has_breakpoint(const struct gdb_memory *memory, uint64_t linear)
{
	return find_breakpoint(memory, linear);
}

bool gdb_memory_has_breakpoints(const struct gdb_memory *memory)
{
	return memory->breakpoints->len > 0;
}
