/* SPDX-License-Identifier: MIT */
/* Messages between local APICs, and to them from devices. SDM vol. 3, 11.6 and 11.11. */
#include "core/base/log.h"
#include "core/engine/soft/apic_internal.h"
#include "core/engine/soft/cpu.h"

/* MSI address and data. */
#define MSI_DESTINATION(address) (((address) >> 12) & 0xff)
#define MSI_LOGICAL BIT(2)
#define MSI_LEVEL (1u << 15)

#define BROADCAST UINT32_MAX

struct apic_bus {
	struct apic_host *host; /* may be NULL */
	GPtrArray *apics; /* struct apic; complete before vCPUs run */
	bool extint; /* atomic */
};

/* Whom a message is for and what it says. */
struct message {
	uint32_t destination; /* BROADCAST: all */
	bool logical;
	bool level;
	unsigned mode; /* enum apic_delivery */
	uint8_t vector;
};

struct apic_bus *apic_bus_create(struct apic_host *host)
{
	struct apic_bus *bus = g_new0(struct apic_bus, 1);

	bus->host = host;
	bus->apics = g_ptr_array_new();
	return bus;
}

void apic_bus_destroy(struct apic_bus *bus)
{
	if (!bus) {
		return;
	}
	assert(bus->apics->len == 0);
	g_ptr_array_free(bus->apics, TRUE);
	g_free(bus);
}

struct apic *apic_create(struct apic_bus *bus, struct cpu *cpu)
{
	struct apic *apic = g_new0(struct apic, 1);

	apic->bus = bus;
	apic->cpu = cpu;
	apic_timer_init(apic);
	apic_reset(apic, false);
	g_ptr_array_add(bus->apics, apic);
	cpu->apic = apic;
	return apic;
}

void apic_destroy(struct apic *apic)
{
	if (!apic) {
		return;
	}
	apic_timer_stop(apic);
	g_mutex_clear(&apic->run.lock);
	g_ptr_array_remove(apic->bus->apics, apic);
	apic->cpu->apic = NULL;
	g_free(apic);
}

static bool matches_logical(const struct apic *apic, uint32_t destination)
{
	uint32_t logical_id = __atomic_load_n(&apic->logical_id, __ATOMIC_RELAXED);

	if (__atomic_load_n(&apic->base, __ATOMIC_RELAXED) & APIC_BASE_EXTENDED) {
		return destination >> 16 == logical_id >> 16 && (destination & logical_id & 0xffff);
	}
	logical_id >>= 24;
	if (__atomic_load_n(&apic->format, __ATOMIC_RELAXED) >> 28 == 0xf) {
		return destination & logical_id & 0xff;
	}
	/* Cluster model: a cluster number and a member mask of four bits each. */
	uint32_t cluster = (destination >> 4) & 15;
	return (cluster == 15 || cluster == logical_id >> 4) && (destination & logical_id & 15);
}

static bool matches(const struct apic *apic, const struct message *message)
{
	if (!apic_enabled(apic)) {
		return message->mode == APIC_DELIVERY_INIT && message->destination == BROADCAST;
	}
	if (message->destination == BROADCAST) {
		return true;
	}
	return message->logical ? matches_logical(apic, message->destination)
				: apic_id(apic) == message->destination;
}

static void deliver_to(struct apic *apic, const struct message *message)
{
	switch (message->mode) {
	case APIC_DELIVERY_FIXED:
	case APIC_DELIVERY_LOWEST:
		apic_accept(apic, message->vector, message->level);
		break;
	case APIC_DELIVERY_NMI:
		cpu_request(apic->cpu, CPU_REQUEST_NMI);
		break;
	case APIC_DELIVERY_INIT:
		cpu_request(apic->cpu, CPU_REQUEST_INIT);
		break;
	case APIC_DELIVERY_SIPI:
		__atomic_store_n(&apic->sipi_vector, message->vector, __ATOMIC_RELEASE);
		cpu_request(apic->cpu, CPU_REQUEST_SIPI);
		break;
	case APIC_DELIVERY_EXTINT:
		cpu_request(apic->cpu, CPU_REQUEST_INTERRUPT);
		break;
	default:
		guest_error("apic: message with delivery mode %u ignored", message->mode);
		break;
	}
}

static void deliver_lowest(struct apic_bus *bus, const struct message *message)
{
	struct apic *best = NULL;

	for (guint i = 0; i < bus->apics->len; i++) {
		struct apic *apic = g_ptr_array_index(bus->apics, i);
		if (matches(apic, message) && apic_software_enabled(apic) &&
				(!best || apic->tpr < best->tpr)) {
			best = apic;
		}
	}
	if (best) {
		deliver_to(best, message);
	}
}

/* except may be NULL. */
static void deliver(struct apic_bus *bus, const struct message *message, const struct apic *except)
{
	if (message->mode == APIC_DELIVERY_LOWEST) {
		deliver_lowest(bus, message);
		return;
	}
	for (guint i = 0; i < bus->apics->len; i++) {
		struct apic *apic = g_ptr_array_index(bus->apics, i);
		if (apic != except && matches(apic, message)) {
			deliver_to(apic, message);
		}
	}
}

void apic_bus_deliver(struct apic_bus *bus, uint64_t address, uint32_t data)
{
	uint32_t destination = MSI_DESTINATION(address);
	struct message message = {
			.destination = destination == 0xff ? BROADCAST : destination,
			.logical = address & MSI_LOGICAL,
			.level = data & MSI_LEVEL,
			.mode = APIC_DELIVERY_MODE(data),
			.vector = (uint8_t)data,
	};

	deliver(bus, &message, NULL);
}

void apic_bus_send_ipi(struct apic_bus *bus, struct apic *from, uint64_t icr)
{
	bool extended = from->base & APIC_BASE_EXTENDED;
	uint32_t destination = extended ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56);
	struct message message = {
			.destination = !extended && destination == 0xff ? BROADCAST : destination,
			.logical = icr & APIC_ICR_LOGICAL,
			.mode = APIC_DELIVERY_MODE(icr),
			.vector = (uint8_t)icr,
	};

	if (message.mode == APIC_DELIVERY_INIT && !(icr & APIC_ICR_ASSERT)) {
		return; /* de-assert: nothing to do on processors since the Pentium 4 */
	}
	switch ((enum apic_shorthand)APIC_ICR_SHORTHAND(icr)) {
	case APIC_SHORTHAND_NONE:
		deliver(bus, &message, NULL);
		break;
	case APIC_SHORTHAND_SELF:
		deliver_to(from, &message);
		break;
	case APIC_SHORTHAND_ALL:
		message.destination = BROADCAST;
		deliver(bus, &message, NULL);
		break;
	case APIC_SHORTHAND_OTHERS:
		message.destination = BROADCAST;
		deliver(bus, &message, from);
		break;
	}
}

struct cpu *apic_nth_cpu(const struct apic *apic, unsigned n)
{
	const struct apic *nth = n < apic->bus->apics->len ? g_ptr_array_index(apic->bus->apics, n)
							   : NULL;

	return nth ? nth->cpu : NULL;
}

/* Fixed interrupts reach an APIC that software has enabled. */
static bool reaches(const struct apic *apic, const struct message *message)
{
	bool fixed = message->mode == APIC_DELIVERY_FIXED || message->mode == APIC_DELIVERY_LOWEST;

	return apic_enabled(apic) && (!fixed || apic_software_enabled(apic));
}

unsigned apic_send_ipis(
		struct apic *from, uint32_t first, uint64_t low, uint64_t high, uint64_t icr)
{
	struct message message = {.mode = APIC_DELIVERY_MODE(icr), .vector = (uint8_t)icr};
	unsigned count = 0;

	for (guint i = 0; i < from->bus->apics->len; i++) {
		struct apic *apic = g_ptr_array_index(from->bus->apics, i);
		uint64_t bit = (uint64_t)apic_id(apic) - first;
		uint64_t word = bit < 64 ? low : high;
		if (bit < 128 && (word >> (bit % 64) & 1) && reaches(apic, &message)) {
			deliver_to(apic, &message);
			count++;
		}
	}
	return count;
}

void apic_bus_set_extint(struct apic_bus *bus, bool level)
{
	__atomic_store_n(&bus->extint, level, __ATOMIC_SEQ_CST);
	if (!level) {
		return;
	}
	for (guint i = 0; i < bus->apics->len; i++) {
		struct apic *apic = g_ptr_array_index(bus->apics, i);
		cpu_request(apic->cpu, CPU_REQUEST_INTERRUPT);
	}
}

void apic_bus_nmi(struct apic_bus *bus)
{
	for (guint i = 0; i < bus->apics->len; i++) {
		apic_fire_lvt(g_ptr_array_index(bus->apics, i), APIC_LVT_LINT1);
	}
}

bool apic_bus_extint(const struct apic_bus *bus)
{
	return __atomic_load_n(&bus->extint, __ATOMIC_SEQ_CST);
}

int apic_bus_acknowledge(struct apic_bus *bus)
{
	return bus->host ? bus->host->acknowledge(bus->host) : -1;
}

void apic_bus_eoi(struct apic_bus *bus, uint8_t vector)
{
	if (bus->host) {
		bus->host->eoi(bus->host, vector);
	}
}
