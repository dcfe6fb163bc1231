/* SPDX-License-Identifier: MIT */
#include "tests/harness/fake_machine.h"

#include "core/base/fd.h"
#include "hw/pci/pci_regs.h"

#include <stdarg.h>
#include <string.h>

static struct fake_machine *fake_of(struct irqchip *irqchip)
{
	return container_of(irqchip, struct fake_machine, irqchip);
}

static void send_msi(struct irqchip *irqchip, uint64_t address, uint32_t data)
{
	struct fake_machine *fake = fake_of(irqchip);
	const struct fake_msi msi = {.address = address, .data = data};

	g_mutex_lock(&fake->lock);
	g_array_append_val(fake->msis, msi);
	g_cond_broadcast(&fake->changed);
	g_mutex_unlock(&fake->lock);
}

static void set_extint(struct irqchip *irqchip, bool level)
{
	struct fake_machine *fake = fake_of(irqchip);

	g_mutex_lock(&fake->lock);
	fake->extint = level;
	g_mutex_unlock(&fake->lock);
}

static void set_eoi_vectors(struct irqchip *irqchip, const uint64_t vectors[4])
{
	struct fake_machine *fake = fake_of(irqchip);

	g_mutex_lock(&fake->lock);
	memcpy(fake->eoi_vectors, vectors, sizeof(fake->eoi_vectors));
	g_mutex_unlock(&fake->lock);
}

static struct irq_route *route_create(struct irqchip *irqchip, int fd, GError **error)
{
	struct fake_machine *fake = fake_of(irqchip);

	if (fake->refuse_routes) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "no routes today");
		return NULL;
	}
	struct irq_route *route = g_new0(struct irq_route, 1);
	route->fd = fd;
	route->masked = true;
	g_mutex_lock(&fake->lock);
	g_ptr_array_add(fake->routes, route);
	g_mutex_unlock(&fake->lock);
	return route;
}

static void route_set(struct irqchip *irqchip, struct irq_route *route, uint64_t address,
		uint32_t data, bool masked)
{
	struct fake_machine *fake = fake_of(irqchip);

	g_mutex_lock(&fake->lock);
	route->message = (struct fake_msi){.address = address, .data = data};
	route->masked = masked;
	g_mutex_unlock(&fake->lock);
}

static void route_destroy(struct irqchip *irqchip, struct irq_route *route)
{
	struct fake_machine *fake = fake_of(irqchip);

	g_mutex_lock(&fake->lock);
	bool found = g_ptr_array_remove(fake->routes, route);
	assert(found);
	g_mutex_unlock(&fake->lock);
	g_free(route);
}

static const struct irqchip_impl fake_irqchip = {
		.name = "fake",
		.send_msi = send_msi,
		.set_extint = set_extint,
		.set_eoi_vectors = set_eoi_vectors,
		.route_create = route_create,
		.route_set = route_set,
		.route_destroy = route_destroy,
};

static void set_gsi(struct machine *machine, unsigned gsi, bool level)
{
	struct fake_machine *fake = container_of(machine, struct fake_machine, machine);

	g_mutex_lock(&fake->lock);
	fake->gsi_rises[gsi] += level && !fake->gsis[gsi];
	fake->gsis[gsi] = level;
	fake->gsi_changes++;
	g_cond_broadcast(&fake->changed);
	g_mutex_unlock(&fake->lock);
}

static void record_event(struct machine *machine, enum machine_event event, int status)
{
	struct fake_machine *fake = container_of(machine, struct fake_machine, machine);
	const struct fake_event record = {.event = event, .status = status};

	g_mutex_lock(&fake->lock);
	g_array_append_val(fake->events, record);
	g_mutex_unlock(&fake->lock);
}

struct fake_machine *fake_machine_create(uint64_t ram_size)
{
	struct fake_machine *fake = g_new0(struct fake_machine, 1);
	auto_fd int fd = memfd_create_sized("fake-ram", ram_size, NULL);

	g_mutex_init(&fake->lock);
	g_cond_init(&fake->changed);
	fake->msis = g_array_new(FALSE, FALSE, sizeof(struct fake_msi));
	fake->routes = g_ptr_array_new();
	fake->events = g_array_new(FALSE, FALSE, sizeof(struct fake_event));
	fake->irqchip.impl = &fake_irqchip;

	struct machine *machine = &fake->machine;
	g_mutex_init(&machine->line_lock);
	machine->ram = guest_memory_create();
	machine->memory = address_space_create("memory", machine->ram);
	machine->ports = address_space_create("ports", NULL);
	machine->clock = clock_create(CLOCK_KIND_VIRTUAL, NULL);
	machine->irqchip = &fake->irqchip;
	machine->set_gsi = set_gsi;
	machine->event = record_event;
	machine->pci = pci_bus_create(machine, "pci0");
	bool ok = fd >= 0 && address_space_add_ram(machine->memory, 0, ram_size, fd, 0, 0, NULL);
	assert(ok && machine->clock);
	return fake;
}

void fake_machine_destroy(struct fake_machine *fake)
{
	struct machine *machine = &fake->machine;

	pci_bus_destroy(machine->pci);
	clock_destroy(machine->clock);
	address_space_destroy(machine->memory);
	address_space_destroy(machine->ports);
	guest_memory_destroy(machine->ram);
	g_mutex_clear(&machine->line_lock);
	assert(fake->routes->len == 0);
	g_ptr_array_unref(fake->routes);
	g_array_unref(fake->msis);
	g_array_unref(fake->events);
	g_cond_clear(&fake->changed);
	g_mutex_clear(&fake->lock);
	g_free(fake);
}

struct device *fake_machine_device(const struct device_class *device_class, ...)
{
	struct device *device = device_create(device_class);
	const char *name;
	va_list args;

	va_start(args, device_class);
	while ((name = va_arg(args, const char *))) {
		bool ok = device_set_property(device, name, va_arg(args, const char *), NULL);
		assert(ok);
	}
	va_end(args);
	return device;
}

void fake_machine_assign(struct fake_machine *fake)
{
	pci_bus_assign_resources(fake->machine.pci, 3 * GiB, 4 * GiB, 64 * GiB, 65 * GiB, 0x1000);
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		if (pci_bus_device(fake->machine.pci, devfn)) {
			uint32_t command = fake_config_read(fake, devfn, PCI_COMMAND, 2);
			fake_config_write(
					fake, devfn, PCI_COMMAND, command | PCI_COMMAND_MASTER, 2);
		}
	}
}

static bool take_msi_locked(struct fake_machine *fake, struct fake_msi *ret_msi)
{
	if (fake->msis->len == 0) {
		return false;
	}
	*ret_msi = g_array_index(fake->msis, struct fake_msi, 0);
	g_array_remove_index(fake->msis, 0);
	return true;
}

bool fake_machine_take_msi(struct fake_machine *fake, struct fake_msi *ret_msi)
{
	g_mutex_lock(&fake->lock);
	bool ok = take_msi_locked(fake, ret_msi);
	g_mutex_unlock(&fake->lock);
	return ok;
}

struct fake_msi fake_machine_wait_msi(struct fake_machine *fake)
{
	struct fake_msi msi = {0};

	g_mutex_lock(&fake->lock);
	while (!take_msi_locked(fake, &msi)) {
		g_cond_wait(&fake->changed, &fake->lock);
	}
	g_mutex_unlock(&fake->lock);
	return msi;
}

unsigned fake_machine_run_routes(struct fake_machine *fake)
{
	unsigned count = 0;

	g_mutex_lock(&fake->lock);
	for (unsigned i = 0; i < fake->routes->len; i++) {
		const struct irq_route *route = fake->routes->pdata[i];
		if (!route->masked && eventfd_take(route->fd) > 0) {
			g_array_append_val(fake->msis, route->message);
			count++;
		}
	}
	g_mutex_unlock(&fake->lock);
	return count;
}

void fake_machine_wait_gsi(struct fake_machine *fake, unsigned gsi, bool level)
{
	g_mutex_lock(&fake->lock);
	while (fake->gsis[gsi] != level) {
		g_cond_wait(&fake->changed, &fake->lock);
	}
	g_mutex_unlock(&fake->lock);
}

bool fake_machine_gsi(struct fake_machine *fake, unsigned gsi)
{
	g_mutex_lock(&fake->lock);
	bool level = fake->gsis[gsi];
	g_mutex_unlock(&fake->lock);
	return level;
}

unsigned fake_machine_take_rises(struct fake_machine *fake, unsigned gsi)
{
	g_mutex_lock(&fake->lock);
	unsigned rises = fake->gsi_rises[gsi];
	fake->gsi_rises[gsi] = 0;
	g_mutex_unlock(&fake->lock);
	return rises;
}

bool fake_machine_take_event(struct fake_machine *fake, struct fake_event *ret_event)
{
	g_mutex_lock(&fake->lock);
	bool ok = fake->events->len > 0;
	if (ok) {
		*ret_event = g_array_index(fake->events, struct fake_event, 0);
		g_array_remove_index(fake->events, 0);
	}
	g_mutex_unlock(&fake->lock);
	return ok;
}

void fake_machine_run(struct fake_machine *fake, int64_t ns)
{
	struct clock *clock = fake->machine.clock;
	int64_t end = clock_now(clock) + ns;

	for (;;) {
		int64_t now = clock_now(clock);
		int64_t next = MIN(clock_next_deadline(clock), end);
		clock_advance(clock, MAX(next - now, 0));
		if (clock_next_deadline(clock) > end) {
			break;
		}
		clock_run_timers(clock);
	}
	clock_advance(clock, end - clock_now(clock));
}

uint64_t fake_port_read(struct fake_machine *fake, uint64_t port, unsigned size)
{
	return address_space_read(fake->machine.ports, port, size);
}

void fake_port_write(struct fake_machine *fake, uint64_t port, uint64_t value, unsigned size)
{
	address_space_write(fake->machine.ports, port, value, size);
}

uint8_t fake_in8(struct fake_machine *fake, uint64_t port)
{
	return (uint8_t)fake_port_read(fake, port, 1);
}

void fake_out8(struct fake_machine *fake, uint64_t port, uint8_t value)
{
	fake_port_write(fake, port, value, 1);
}

void fake_write(struct fake_machine *fake, uint64_t guest, const void *buf, size_t len)
{
	bool ok = guest_memory_write(fake->machine.ram, guest, buf, len);
	assert(ok);
}

void fake_read(struct fake_machine *fake, uint64_t guest, void *buf, size_t len)
{
	bool ok = guest_memory_read(fake->machine.ram, guest, buf, len);
	assert(ok);
}

uint8_t fake_read8(struct fake_machine *fake, uint64_t guest)
{
	uint8_t value;

	fake_read(fake, guest, &value, sizeof(value));
	return value;
}

uint64_t fake_mmio_read(struct fake_machine *fake, uint64_t address, unsigned size)
{
	return address_space_read(fake->machine.memory, address, size);
}

void fake_mmio_write(struct fake_machine *fake, uint64_t address, uint64_t value, unsigned size)
{
	address_space_write(fake->machine.memory, address, value, size);
}

uint32_t fake_config_read(struct fake_machine *fake, unsigned devfn, unsigned offset, unsigned size)
{
	return pci_config_read(fake->machine.pci, 0, devfn, offset, size);
}

void fake_config_write(struct fake_machine *fake, unsigned devfn, unsigned offset, uint32_t value,
		unsigned size)
{
	pci_config_write(fake->machine.pci, 0, devfn, offset, value, size);
}
