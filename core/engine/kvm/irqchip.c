/* SPDX-License-Identifier: MIT */
/*
 * KVM's split irqchip: the local APICs are in the kernel, the I/O APIC and the 8259 with us. The
 * kernel's routing table has two parts. GSIs 0-23 stand for the I/O APIC's pins; the kernel takes
 * from them only which level-triggered vectors' EOIs it must hand to us. The GSIs behind are those
 * of irqfds, one a route.
 */
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/engine/kvm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#define IOAPIC_PINS 24
#define MAX_GSIS 1024

/* SDM vol. 3, 11.11: message address and data. */
#define MSI_TO_EVERYONE UINT64_C(0xfeeff000)
#define MSI_ASSERT BIT(14)
#define MSI_LEVEL BIT(15)

struct irq_route {
	unsigned gsi;
	int fd; /* the caller's */
	uint64_t address; /* guarded by apics->lock, as are the next two */
	uint32_t data;
	bool active; /* the kernel waits on fd */
};

static struct kvm_apics *apics_of(struct irqchip *irqchip)
{
	return container_of(irqchip, struct kvm_apics, base);
}

static struct kvm_vm *vm_of(struct kvm_apics *apics)
{
	return container_of(apics, struct kvm_vm, apics);
}

static void apics_send_msi(struct irqchip *irqchip, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {
			.address_lo = (uint32_t)address,
			.address_hi = (uint32_t)(address >> 32),
			.data = data,
	};

	log_item(LOG_ITEM_INT, "int: kvm: message 0x%x to 0x%llx (vector 0x%02x)", data,
			(unsigned long long)address, data & 0xff);
	/* Where nobody listens the guest's message is lost, as on a bus. */
	(void)ioctl(vm_of(apics_of(irqchip))->fd, KVM_SIGNAL_MSI, &msi);
}

/*
 * The 8259.
 */

static void apics_set_extint(struct irqchip *irqchip, bool level)
{
	struct kvm_apics *apics = apics_of(irqchip);
	int before = __atomic_exchange_n(&apics->extint, level, __ATOMIC_SEQ_CST);

	if (level && !before) {
		vcpu_kick(vm_of(apics)->base.vcpus[0]);
	}
}

void kvm_offer_extint(struct kvm_cpu *cpu)
{
	struct kvm_apics *apics = &kvm_vm_of(cpu->base.engine)->apics;
	struct irqchip_board *board = apics->base.board;
	struct kvm_run *run = cpu->run;

	if (cpu->base.index != 0) {
		return;
	}
	bool wanted = __atomic_load_n(&apics->extint, __ATOMIC_SEQ_CST);
	/* A vCPU that is about to stand still must not have a vector half-way in. */
	if (wanted && run->ready_for_interrupt_injection &&
			!__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST)) {
		struct kvm_interrupt interrupt = {.irq = board->pic_acknowledge(board)};
		log_item(LOG_ITEM_INT, "int: kvm: cpu %u: vector 0x%02x of the 8259",
				cpu->base.index, interrupt.irq);
		if (ioctl(cpu->fd, KVM_INTERRUPT, &interrupt) < 0) {
			log_warn("kvm: an interrupt of the 8259 is lost: %s", g_strerror(errno));
		}
		wanted = __atomic_load_n(&apics->extint, __ATOMIC_SEQ_CST);
	}
	run->request_interrupt_window = wanted;
}

/*
 * The routing table.
 */

static void add_entry(struct kvm_irq_routing *table, unsigned gsi, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];

	*entry = (struct kvm_irq_routing_entry){.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI};
	entry->u.msi.address_lo = (uint32_t)address;
	entry->u.msi.address_hi = (uint32_t)(address >> 32);
	entry->u.msi.data = data;
}

/* The kernel wants pins with destinations; a pin that leads to every APIC covers them all. */
static void add_pins(struct kvm_irq_routing *table, const uint64_t vectors[4])
{
	unsigned pin = 0;

	for (unsigned vector = 0; vector < 256 && pin < IOAPIC_PINS; vector++) {
		if (vectors[vector / 64] & BIT(vector % 64)) {
			uint64_t data = vector | MSI_ASSERT | MSI_LEVEL;
			add_entry(table, pin++, MSI_TO_EVERYONE, (uint32_t)data);
		}
	}
}

static bool update_table_locked(struct kvm_apics *apics)
{
	size_t count = IOAPIC_PINS + apics->routes->len;
	g_autofree struct kvm_irq_routing *table = g_malloc0(
			sizeof(*table) + count * sizeof(table->entries[0]));

	add_pins(table, apics->eoi_vectors);
	for (unsigned i = 0; i < apics->routes->len; i++) {
		const struct irq_route *route = apics->routes->pdata[i];
		if (route && route->active) {
			add_entry(table, route->gsi, route->address, route->data);
		}
	}
	return ioctl(vm_of(apics)->fd, KVM_SET_GSI_ROUTING, table) == 0;
}

static void apics_set_eoi_vectors(struct irqchip *irqchip, const uint64_t vectors[4])
{
	struct kvm_apics *apics = apics_of(irqchip);

	g_mutex_lock(&apics->lock);
	/* Writing the table waits for all its readers: not for nothing. */
	if (memcmp(apics->eoi_vectors, vectors, sizeof(apics->eoi_vectors)) != 0) {
		memcpy(apics->eoi_vectors, vectors, sizeof(apics->eoi_vectors));
		if (!update_table_locked(apics)) {
			log_error("kvm: level-triggered interrupts will hang: routing table: %s",
					g_strerror(errno));
		}
	}
	g_mutex_unlock(&apics->lock);
}

/* A place in the table, its GSI less IOAPIC_PINS; routes->len if there is none free yet. */
static unsigned free_place_locked(const struct kvm_apics *apics)
{
	unsigned i = 0;

	while (i < apics->routes->len && apics->routes->pdata[i]) {
		i++;
	}
	return i;
}

static struct irq_route *apics_route_create(struct irqchip *irqchip, int fd, GError **error)
{
	struct kvm_apics *apics = apics_of(irqchip);
	struct irq_route *route = NULL;

	if (fcntl(fd, F_GETFD) < 0) {
		set_error_errno(error, "interrupt route");
		return NULL;
	}
	g_mutex_lock(&apics->lock);
	unsigned place = free_place_locked(apics);
	if (place + IOAPIC_PINS < apics->max_gsis) {
		route = g_new0(struct irq_route, 1);
		*route = (struct irq_route){.gsi = place + IOAPIC_PINS, .fd = fd};
		if (place == apics->routes->len) {
			g_ptr_array_add(apics->routes, NULL);
		}
		apics->routes->pdata[place] = route;
	} else {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
				"interrupt route: all %u of them are in use",
				apics->max_gsis - IOAPIC_PINS);
	}
	g_mutex_unlock(&apics->lock);
	return route;
}

static bool set_irqfd(struct kvm_apics *apics, const struct irq_route *route, unsigned flags)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)route->fd, .gsi = route->gsi, .flags = flags};

	return ioctl(vm_of(apics)->fd, KVM_IRQFD, &irqfd) == 0;
}

/* Without the kernel waiting on it, the fd keeps its signals. */
static void deactivate_locked(struct kvm_apics *apics, struct irq_route *route)
{
	if (route->active) {
		bool ok = set_irqfd(apics, route, KVM_IRQFD_FLAG_DEASSIGN);
		assert(ok); /* it was assigned */
		route->active = false;
	}
}

/* The kernel looks at the fd when it gets it: what was signalled before is sent now. */
static void activate_locked(
		struct kvm_apics *apics, struct irq_route *route, uint64_t address, uint32_t data)
{
	bool was_active = route->active;

	if (was_active && route->address == address && route->data == data) {
		return;
	}
	route->address = address;
	route->data = data;
	route->active = true;
	if (!update_table_locked(apics) || (!was_active && !set_irqfd(apics, route, 0))) {
		log_error("kvm: an interrupt route cannot be set up: %s", g_strerror(errno));
		route->active = was_active;
	}
}

static void apics_route_set(struct irqchip *irqchip, struct irq_route *route, uint64_t address,
		uint32_t data, bool masked)
{
	struct kvm_apics *apics = apics_of(irqchip);

	g_mutex_lock(&apics->lock);
	if (masked) {
		deactivate_locked(apics, route);
	} else {
		activate_locked(apics, route, address, data);
	}
	g_mutex_unlock(&apics->lock);
}

static void apics_route_destroy(struct irqchip *irqchip, struct irq_route *route)
{
	struct kvm_apics *apics = apics_of(irqchip);

	if (!route) {
		return;
	}
	g_mutex_lock(&apics->lock);
	deactivate_locked(apics, route);
	apics->routes->pdata[route->gsi - IOAPIC_PINS] = NULL;
	g_mutex_unlock(&apics->lock);
	g_free(route);
}

static const struct irqchip_impl apics_impl = {
		.name = "kvm",
		.send_msi = apics_send_msi,
		.set_extint = apics_set_extint,
		.set_eoi_vectors = apics_set_eoi_vectors,
		.route_create = apics_route_create,
		.route_set = apics_route_set,
		.route_destroy = apics_route_destroy,
};

bool kvm_apics_init(struct kvm_vm *vm, GError **error)
{
	struct kvm_apics *apics = &vm->apics;
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {IOAPIC_PINS}};

	apics->base = (struct irqchip){.impl = &apics_impl, .board = vm->base.config.board};
	apics->routes = g_ptr_array_new();
	g_mutex_init(&apics->lock);
	vm->base.irqchip = &apics->base;
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0) {
		set_error_errno(error, "/dev/kvm: split irqchip");
		return false;
	}
	int max = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);
	apics->max_gsis = max > 0 ? MIN((unsigned)max, MAX_GSIS) : 0;
	return true;
}

void kvm_apics_finish(struct kvm_vm *vm)
{
	struct kvm_apics *apics = &vm->apics;

	if (!apics->routes) {
		return;
	}
	for (unsigned i = 0; i < apics->routes->len; i++) {
		assert(!apics->routes->pdata[i]);
	}
	g_clear_pointer(&apics->routes, g_ptr_array_unref);
	g_mutex_clear(&apics->lock);
}
