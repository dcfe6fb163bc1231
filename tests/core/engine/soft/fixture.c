/* SPDX-License-Identifier: MIT */
#include "tests/core/engine/soft/fixture.h"

#include "core/base/fd.h"

#define ATTRIBUTES(type, dpl, bits) \
	((uint32_t)(X86_SEG_P | X86_SEG_S | X86_SEG_G | (bits)) | (type) | \
			(dpl) << X86_SEG_DPL_SHIFT)

uint64_t fixture_code_page = UINT64_MAX;
unsigned fixture_code_writes;

static void remember_ram(const struct guest_region_info *info, void *opaque)
{
	struct fixture *fixture = opaque;

	if (info->guest == 0) {
		fixture->ram = info->host;
	}
}

struct fixture *fixture_create(struct apic_host *host)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	g_autoptr(GError) error = NULL;
	auto_fd int fd = memfd_create_sized("test", FIXTURE_RAM_SIZE, &error);

	fixture->clock = clock_create(CLOCK_KIND_VIRTUAL, &error);
	fixture->memory = guest_memory_create();
	fixture->space = address_space_create("memory", fixture->memory);
	fixture->ports = address_space_create("ports", NULL);
	assert_true(address_space_add_ram(fixture->space, 0, FIXTURE_RAM_SIZE, fd, 0, 0, &error));
	guest_memory_foreach(fixture->memory, remember_ram, fixture);
	fixture->cpu = cpu_create(
			0, fixture->memory, fixture->space, fixture->ports, fixture->clock);
	fixture->cpu->tsc_virtual = true;
	fixture->cpu->tsc_hz = 1000000000;
	cpu_reset(fixture->cpu, false);
	fixture->bus = apic_bus_create(host);
	apic_create(fixture->bus, fixture->cpu);
	fixture_code_page = UINT64_MAX;
	fixture_code_writes = 0;
	return fixture;
}

void fixture_destroy(struct fixture *fixture)
{
	apic_destroy(fixture->cpu->apic);
	apic_bus_destroy(fixture->bus);
	cpu_destroy(fixture->cpu);
	address_space_remove_ram(fixture->space, 0);
	address_space_destroy(fixture->ports);
	address_space_destroy(fixture->space);
	guest_memory_destroy(fixture->memory);
	clock_destroy(fixture->clock);
	g_free(fixture);
}

static void set_segments(struct cpu *cpu, unsigned cpl, uint32_t code_bits)
{
	for (unsigned i = 0; i < X86_SEGMENT_COUNT; i++) {
		bool code = i == X86_CS;
		cpu->seg[i] = (struct x86_segment){
				.limit = UINT32_MAX,
				.attributes = code ? ATTRIBUTES(11, cpl, code_bits)
						   : ATTRIBUTES(3, cpl, X86_SEG_DB),
				.selector = (uint16_t)((code ? 8 : 16) | cpl),
		};
	}
	cpu->cpl = (uint8_t)cpl;
}

void fixture_enter_long_mode(struct fixture *fixture, unsigned cpl)
{
	struct cpu *cpu = fixture->cpu;

	cpu_reset(cpu, false);
	fixture_put64(fixture, FIXTURE_PML4, FIXTURE_PDPT | 7);
	fixture_put64(fixture, FIXTURE_PDPT, FIXTURE_PD | 7);
	fixture_put64(fixture, FIXTURE_PD, FIXTURE_PAGE_TABLE | 7);
	for (uint64_t i = 0; i < 512; i++) {
		fixture_put64(fixture, FIXTURE_PAGE_TABLE + 8 * i, i * GUEST_PAGE_SIZE | 7);
	}
	cpu_set_cr4(cpu, X86_CR4_PAE);
	cpu_set_cr3(cpu, FIXTURE_PML4);
	cpu_set_efer(cpu, X86_EFER_LME | X86_EFER_NXE | X86_EFER_SCE);
	cpu_set_cr0(cpu, X86_CR0_PE | X86_CR0_PG | X86_CR0_WP);
	set_segments(cpu, cpl, X86_SEG_L);
	cpu_update_mode(cpu);
}

void fixture_enter_protected_mode(struct fixture *fixture, unsigned cpl)
{
	struct cpu *cpu = fixture->cpu;

	cpu_reset(cpu, false);
	cpu_set_cr0(cpu, X86_CR0_PE);
	set_segments(cpu, cpl, X86_SEG_DB);
	cpu_update_mode(cpu);
}
