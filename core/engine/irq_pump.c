/* SPDX-License-Identifier: MIT */
#include "core/engine/irqchip.h"

#include "core/base/fd.h"
#include "core/base/thread.h"

#include <errno.h>
#include <sys/epoll.h>

/*
 * Routes are known to epoll by number, not by address: an event may be on its way to the pump's thread while its route is
 * destroyed.
 */
struct irq_route {
	uint64_t id;
	int fd; /* the caller's */
	uint64_t address; /* guarded by pump->lock, as are the next two */
	uint32_t data;
	bool masked;
};

#define WAKE_ID 0 /* the pump's own eventfd: time to end */

struct irq_pump {
	struct irqchip *irqchip;
	void (*before_send)(void *opaque); /* may be NULL */
	void *opaque;
	int epoll, wake;
	pthread_t thread;
	bool thread_started;

	GMutex lock; /* guards what follows */
	GCond idle; /* sending changed */
	GHashTable *routes; /* id to struct irq_route */
	uint64_t last_id;
	uint64_t sending; /* the route whose message is being sent; WAKE_ID: none */
};

/* Takes the signal of a route and says where its message goes; false if it is gone, masked or was not signalled. */
static bool take_signal(
		struct irq_pump *pump, uint64_t id, uint64_t *ret_address, uint32_t *ret_data)
{
	g_mutex_lock(&pump->lock);
	const struct irq_route *route = g_hash_table_lookup(pump->routes, &id);
	bool send = route && !route->masked && eventfd_take(route->fd) > 0;
	if (send) {
		*ret_address = route->address;
		*ret_data = route->data;
		pump->sending = id;
	}
	g_mutex_unlock(&pump->lock);
	return send;
}

static void send(struct irq_pump *pump, uint64_t id)
{
	uint64_t address;
	uint32_t data;

	if (!take_signal(pump, id, &address, &data)) {
		return;
	}
	/* Not under the lock: a vCPU that waits for it could be one that the hook waits for. */
	if (pump->before_send) {
		pump->before_send(pump->opaque);
	}
	irqchip_send_msi(pump->irqchip, address, data);
	g_mutex_lock(&pump->lock);
	pump->sending = WAKE_ID;
	g_cond_broadcast(&pump->idle);
	g_mutex_unlock(&pump->lock);
}

static void pump_main(void *opaque)
{
	struct irq_pump *pump = opaque;
	struct epoll_event events[16];

	for (;;) {
		int count = epoll_wait(pump->epoll, events, G_N_ELEMENTS(events), -1);
		assert(count >= 0 || errno == EINTR);
		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == WAKE_ID) {
				return;
			}
			send(pump, events[i].data.u64);
		}
	}
}

static bool watch(struct irq_pump *pump, int operation, int fd, uint64_t id, bool masked)
{
	struct epoll_event event = {.events = masked ? 0 : EPOLLIN, .data.u64 = id};

	return epoll_ctl(pump->epoll, operation, fd, &event) == 0;
}

struct irq_pump *irq_pump_create(struct irqchip *irqchip, void (*before_send)(void *opaque),
		void *opaque, GError **error)
{
	struct irq_pump *pump = g_new0(struct irq_pump, 1);

	pump->irqchip = irqchip;
	pump->before_send = before_send;
	pump->opaque = opaque;
	g_mutex_init(&pump->lock);
	g_cond_init(&pump->idle);
	pump->routes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	pump->wake = -1;
	pump->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (pump->epoll < 0) {
		set_error_errno(error, "epoll");
		goto fail;
	}
	pump->wake = eventfd_create(error);
	if (pump->wake < 0) {
		goto fail;
	}
	if (!watch(pump, EPOLL_CTL_ADD, pump->wake, WAKE_ID, false)) {
		set_error_errno(error, "epoll");
		goto fail;
	}
	if (!thread_create(&pump->thread, "irq-pump", pump_main, pump, error)) {
		goto fail;
	}
	pump->thread_started = true;
	return pump;

fail:
	irq_pump_destroy(pump);
	return NULL;
}

void irq_pump_destroy(struct irq_pump *pump)
{
	if (!pump) {
		return;
	}
	assert(g_hash_table_size(pump->routes) == 0);
	if (pump->thread_started) {
		eventfd_signal(pump->wake);
		pthread_join(pump->thread, NULL);
	}
	fd_close(&pump->wake);
	fd_close(&pump->epoll);
	g_hash_table_unref(pump->routes);
	g_cond_clear(&pump->idle);
	g_mutex_clear(&pump->lock);
	g_free(pump);
}

struct irq_route *irq_pump_route_create(struct irq_pump *pump, int fd, GError **error)
{
	struct irq_route *route = g_new0(struct irq_route, 1);

	/* Leads nowhere until route_set. */
	*route = (struct irq_route){.fd = fd, .masked = true};
	g_mutex_lock(&pump->lock);
	route->id = ++pump->last_id;
	bool ok = watch(pump, EPOLL_CTL_ADD, fd, route->id, true);
	if (ok) {
		g_hash_table_insert(pump->routes, &route->id, route);
	} else {
		set_error_errno(error, "interrupt route");
	}
	g_mutex_unlock(&pump->lock);
	if (!ok) {
		g_free(route);
		return NULL;
	}
	return route;
}

void irq_pump_route_set(struct irq_pump *pump, struct irq_route *route, uint64_t address,
		uint32_t data, bool masked)
{
	g_mutex_lock(&pump->lock);
	route->address = address;
	route->data = data;
	if (route->masked != masked) {
		route->masked = masked;
		bool ok = watch(pump, EPOLL_CTL_MOD, route->fd, route->id, masked);
		assert(ok); /* the fd is the caller's until the route is destroyed */
	}
	g_mutex_unlock(&pump->lock);
}

void irq_pump_route_destroy(struct irq_pump *pump, struct irq_route *route)
{
	if (!route) {
		return;
	}
	g_mutex_lock(&pump->lock);
	(void)epoll_ctl(pump->epoll, EPOLL_CTL_DEL, route->fd, NULL); /* it is there */
	while (pump->sending == route->id) {
		g_cond_wait(&pump->idle, &pump->lock);
	}
	g_hash_table_remove(pump->routes, &route->id);
	g_mutex_unlock(&pump->lock);
}
