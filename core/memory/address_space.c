/* SPDX-License-Identifier: MIT */
/*
 * Changes are made under one lock to the lists of regions and eventfds; from these a flat table of
 * ranges is built and published. Accesses look only at the table.
 */
#include "core/memory/address_space.h"

#include "core/base/checked.h"
#include "core/base/fd.h"
#include "core/base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <urcu.h>

/*
 * An eventfd as a device asked for it. Tables that name it hold references: its number must not be
 * reused under a reader.
 */
struct io_eventfd {
	uint64_t offset; /* in its region */
	unsigned size; /* 0: any */
	int asked_fd; /* the device's; to find it again */
	int fd; /* our duplicate */
	gint references;
};

/* [first, last] is answered by region. */
struct io_range {
	uint64_t first, last;
	struct io_region *region;
	uint64_t base; /* of region */
	bool has_doorbells; /* worth searching the table's doorbells */
};

/* An eventfd where the guest sees it. */
struct io_doorbell {
	uint64_t address;
	struct io_eventfd *eventfd; /* a reference */
};

struct io_table {
	struct rcu_head reclaim;
	unsigned range_count, doorbell_count;
	struct io_range *ranges; /* by address, without overlaps */
	struct io_doorbell *doorbells; /* in no order: there are few */
};

struct address_space {
	char *name;
	struct guest_memory *memory; /* may be NULL; borrowed */
	struct io_table *table; /* published; never NULL */

	GMutex lock; /* guards what follows */
	GPtrArray *regions; /* struct io_region *, in the order they were added */
	struct address_space_listener *listeners;
};

static void eventfd_unref(struct io_eventfd *eventfd)
{
	if (g_atomic_int_dec_and_test(&eventfd->references)) {
		fd_close(&eventfd->fd);
		g_free(eventfd);
	}
}

static void table_free(struct io_table *table)
{
	for (unsigned i = 0; i < table->doorbell_count; i++) {
		eventfd_unref(table->doorbells[i].eventfd);
	}
	g_free(table->ranges);
	g_free(table->doorbells);
	g_free(table);
}

static void reclaim_table(struct rcu_head *head)
{
	table_free(container_of(head, struct io_table, reclaim));
}

struct address_space *address_space_create(const char *name, struct guest_memory *memory)
{
	struct address_space *space = g_new0(struct address_space, 1);

	space->name = g_strdup(name);
	space->memory = memory;
	space->table = g_new0(struct io_table, 1);
	g_mutex_init(&space->lock);
	space->regions = g_ptr_array_new();
	return space;
}

void address_space_destroy(struct address_space *space)
{
	if (!space) {
		return;
	}
	assert(!space->listeners);
	for (unsigned i = 0; i < space->regions->len; i++) {
		struct io_region *region = space->regions->pdata[i];
		region->space = NULL;
	}
	g_ptr_array_unref(space->regions);
	table_free(space->table);
	g_mutex_clear(&space->lock);
	g_free(space->name);
	g_free(space);
}

struct guest_memory *address_space_memory(struct address_space *space)
{
	return space->memory;
}

/* The range that answers at address, NULL if none does. */
static struct io_range *find_range(const struct io_table *table, uint64_t address)
{
	unsigned low = 0, high = table->range_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (table->ranges[middle].last < address) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	bool found = low < table->range_count && table->ranges[low].first <= address;
	return found ? &table->ranges[low] : NULL;
}

/*
 * Building a table.
 */

/* The last address of a region; one that would run past the end is cut there. */
static uint64_t region_last(const struct io_region *region)
{
	uint64_t room = UINT64_MAX - region->base;

	return region->base + MIN(region->size - 1, room);
}

static struct io_range range_of(struct io_region *region, uint64_t first, uint64_t last)
{
	return (struct io_range){
			.first = first, .last = last, .region = region, .base = region->base};
}

/* Gives region what the ranges so far leave free of its addresses; keeps them in order. */
static void fill_gaps(GArray *ranges, struct io_region *region)
{
	uint64_t first = region->base;
	uint64_t last = region_last(region);
	unsigned i = 0;

	for (; i < ranges->len; i++) {
		struct io_range taken = g_array_index(ranges, struct io_range, i);
		if (taken.first > last) {
			break;
		}
		if (taken.last < first) {
			continue;
		}
		if (taken.first > first) {
			struct io_range gap = range_of(region, first, taken.first - 1);
			g_array_insert_val(ranges, i, gap);
			i++;
		}
		if (taken.last >= last) {
			return;
		}
		first = taken.last + 1;
	}
	struct io_range rest = range_of(region, first, last);
	g_array_insert_val(ranges, i, rest);
}

/*
 * Highest priority first; regions come in with the latest first, and the order of equals is kept.
 */
static gint compare_priority(gconstpointer a, gconstpointer b, gpointer opaque)
{
	const struct io_region *left = *(struct io_region *const *)a;
	const struct io_region *right = *(struct io_region *const *)b;

	(void)opaque;
	return (right->priority > left->priority) - (right->priority < left->priority);
}

static GArray *flatten(const GPtrArray *regions)
{
	g_autoptr(GPtrArray) order = g_ptr_array_new();
	GArray *ranges = g_array_new(FALSE, FALSE, sizeof(struct io_range));

	for (unsigned i = regions->len; i > 0; i--) {
		g_ptr_array_add(order, regions->pdata[i - 1]);
	}
	g_qsort_with_data(order->pdata, (int)order->len, sizeof(gpointer), compare_priority, NULL);
	for (unsigned i = 0; i < order->len; i++) {
		fill_gaps(ranges, order->pdata[i]);
	}
	return ranges;
}

static bool is_ram(struct address_space *space, uint64_t address)
{
	unsigned flags;

	if (!space->memory) {
		return false;
	}
	rcu_read_lock();
	bool ram = guest_memory_page(space->memory, address & ~(GUEST_PAGE_SIZE - 1), &flags);
	rcu_read_unlock();
	return ram;
}

/* Lists the eventfds of a region whose address that region really answers. */
static void place_region_doorbells(struct address_space *space, struct io_table *table,
		const struct io_region *region, GArray *doorbells)
{
	for (unsigned i = 0; region->eventfds && i < region->eventfds->len; i++) {
		struct io_eventfd *eventfd = region->eventfds->pdata[i];
		uint64_t address = region->base + eventfd->offset;
		struct io_range *range = find_range(table, address);
		if (range && range->region == region && !is_ram(space, address)) {
			range->has_doorbells = true;
			struct io_doorbell doorbell = {.address = address, .eventfd = eventfd};
			g_atomic_int_inc(&eventfd->references);
			g_array_append_val(doorbells, doorbell);
		}
	}
}

static void place_doorbells(struct address_space *space, struct io_table *table)
{
	GArray *doorbells = g_array_new(FALSE, FALSE, sizeof(struct io_doorbell));

	for (unsigned i = 0; i < space->regions->len; i++) {
		place_region_doorbells(space, table, space->regions->pdata[i], doorbells);
	}
	table->doorbell_count = doorbells->len;
	table->doorbells = (struct io_doorbell *)(void *)g_array_free(doorbells, FALSE);
}

static bool has_doorbell(const struct io_table *table, const struct io_doorbell *wanted)
{
	for (unsigned i = 0; i < table->doorbell_count; i++) {
		if (table->doorbells[i].address == wanted->address &&
				table->doorbells[i].eventfd == wanted->eventfd) {
			return true;
		}
	}
	return false;
}

/*
 * Changes and listeners.
 */

#define for_each_listener(space, listener) \
	for (struct address_space_listener *listener = (space)->listeners; listener; \
			listener = listener->next)

static void notify_begin_locked(struct address_space *space)
{
	for_each_listener(space, listener)
	{
		if (listener->begin) {
			listener->begin(listener);
		}
	}
}

static void notify_commit_locked(struct address_space *space)
{
	for_each_listener(space, listener)
	{
		if (listener->commit) {
			listener->commit(listener);
		}
	}
}

static void doorbell_added(
		struct address_space_listener *listener, const struct io_doorbell *doorbell)
{
	if (listener->eventfd_add) {
		listener->eventfd_add(listener, doorbell->address, doorbell->eventfd->size,
				doorbell->eventfd->fd);
	}
}

static void doorbell_gone(
		struct address_space_listener *listener, const struct io_doorbell *doorbell)
{
	if (listener->eventfd_del) {
		listener->eventfd_del(listener, doorbell->address, doorbell->eventfd->size,
				doorbell->eventfd->fd);
	}
}

/* Tells listeners of each doorbell of one table that the other lacks. */
static void notify_doorbells_locked(struct address_space *space, const struct io_table *of,
		const struct io_table *lacking,
		void (*notify)(struct address_space_listener *listener,
				const struct io_doorbell *doorbell))
{
	for (unsigned i = 0; i < of->doorbell_count; i++) {
		if (!has_doorbell(lacking, &of->doorbells[i])) {
			for_each_listener(space, listener)
			{
				notify(listener, &of->doorbells[i]);
			}
		}
	}
}

/* Builds and publishes the table that follows from the lists. */
static void rebuild_locked(struct address_space *space)
{
	struct io_table *old = space->table;
	struct io_table *table = g_new0(struct io_table, 1);
	GArray *ranges = flatten(space->regions);

	table->range_count = ranges->len;
	table->ranges = (struct io_range *)(void *)g_array_free(ranges, FALSE);
	place_doorbells(space, table);
	__atomic_store_n(&space->table, table, __ATOMIC_RELEASE);

	notify_doorbells_locked(space, old, table, doorbell_gone);
	notify_doorbells_locked(space, table, old, doorbell_added);
	call_rcu(&old->reclaim, reclaim_table);
}

void address_space_add(struct address_space *space, uint64_t base, struct io_region *region)
{
	assert(!region->space && region->size > 0 && region->read && region->write);
	g_mutex_lock(&space->lock);
	region->space = space;
	region->base = base;
	notify_begin_locked(space);
	g_ptr_array_add(space->regions, region);
	rebuild_locked(space);
	notify_commit_locked(space);
	g_mutex_unlock(&space->lock);
}

void address_space_remove(struct io_region *region)
{
	struct address_space *space = region->space;

	if (!space) {
		return;
	}
	g_mutex_lock(&space->lock);
	notify_begin_locked(space);
	bool found = g_ptr_array_remove(space->regions, region);
	assert(found);
	region->space = NULL;
	rebuild_locked(space);
	notify_commit_locked(space);
	g_mutex_unlock(&space->lock);
}

/* Publishes what a region's eventfds have become, if it is anywhere. */
static void eventfds_changed(struct address_space *space)
{
	if (space) {
		notify_begin_locked(space);
		rebuild_locked(space);
		notify_commit_locked(space);
		g_mutex_unlock(&space->lock);
	}
}

/*
 * Locks the space a region is in; NULL if it is in none. The caller serializes changes of a region.
 */
static struct address_space *lock_space_of(struct io_region *region)
{
	if (region->space) {
		g_mutex_lock(&region->space->lock);
	}
	return region->space;
}

void address_space_add_eventfd(struct io_region *region, uint64_t offset, unsigned size, int fd)
{
	assert(offset < region->size);

	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0) {
		log_warn("%s: no file descriptor left for a doorbell; its writes go to the device",
				region->name);
		return;
	}
	struct io_eventfd *eventfd = g_new0(struct io_eventfd, 1);
	*eventfd = (struct io_eventfd){
			.offset = offset, .size = size, .asked_fd = fd, .fd = own, .references = 1};

	struct address_space *space = lock_space_of(region);
	if (!region->eventfds) {
		region->eventfds = g_ptr_array_new_with_free_func((GDestroyNotify)eventfd_unref);
	}
	g_ptr_array_add(region->eventfds, eventfd);
	eventfds_changed(space);
}

void address_space_remove_eventfd(struct io_region *region, uint64_t offset, unsigned size, int fd)
{
	struct address_space *space = lock_space_of(region);

	for (unsigned i = 0; region->eventfds && i < region->eventfds->len; i++) {
		const struct io_eventfd *eventfd = region->eventfds->pdata[i];
		if (eventfd->offset == offset && eventfd->size == size && eventfd->asked_fd == fd) {
			g_ptr_array_remove_index(region->eventfds, i);
			break;
		}
	}
	if (region->eventfds && region->eventfds->len == 0) {
		g_clear_pointer(&region->eventfds, g_ptr_array_unref);
	}
	eventfds_changed(space);
}

static void collect_ram(const struct guest_region_info *info, void *opaque)
{
	g_array_append_vals(opaque, info, 1);
}

/*
 * What RAM there is. Collected first, because listeners must not be called inside a read section.
 */
static GArray *ram_infos(struct address_space *space)
{
	GArray *infos = g_array_new(FALSE, FALSE, sizeof(struct guest_region_info));

	if (space->memory) {
		guest_memory_foreach(space->memory, collect_ram, infos);
	}
	return infos;
}

/* The region that starts at guest; false if there is none. */
static bool ram_info(
		struct address_space *space, uint64_t guest, struct guest_region_info *ret_info)
{
	g_autoptr(GArray) infos = ram_infos(space);

	for (unsigned i = 0; i < infos->len; i++) {
		const struct guest_region_info *info = &g_array_index(
				infos, struct guest_region_info, i);
		if (info->guest == guest) {
			*ret_info = *info;
			return true;
		}
	}
	return false;
}

bool address_space_add_ram(struct address_space *space, uint64_t guest, uint64_t size, int fd,
		uint64_t offset, unsigned flags, GError **error)
{
	struct guest_region_info info;

	assert(space->memory);
	g_mutex_lock(&space->lock);
	bool ok = guest_memory_add(space->memory, guest, size, fd, offset, flags, error);
	if (ok) {
		bool found = ram_info(space, guest, &info);
		assert(found);
		notify_begin_locked(space);
		rebuild_locked(space); /* RAM may hide doorbells */
		for_each_listener(space, listener)
		{
			if (listener->ram_add) {
				listener->ram_add(listener, &info);
			}
		}
		notify_commit_locked(space);
	}
	g_mutex_unlock(&space->lock);
	return ok;
}

void address_space_remove_ram(struct address_space *space, uint64_t guest)
{
	struct guest_region_info info;
	struct guest_mapping keep;

	assert(space->memory);
	g_mutex_lock(&space->lock);
	/* The mapping keeps the memory in place until every listener has let go of it. */
	if (ram_info(space, guest, &info) &&
			guest_memory_map(space->memory, guest, 1, GUEST_READ, &keep)) {
		notify_begin_locked(space);
		guest_memory_remove(space->memory, guest);
		for_each_listener(space, listener)
		{
			if (listener->ram_del) {
				listener->ram_del(listener, &info);
			}
		}
		rebuild_locked(space);
		notify_commit_locked(space);
		guest_mapping_unmap(space->memory, &keep, 0);
	}
	g_mutex_unlock(&space->lock);
}

void address_space_add_listener(
		struct address_space *space, struct address_space_listener *listener)
{
	g_mutex_lock(&space->lock);
	g_autoptr(GArray) infos = ram_infos(space);
	if (listener->begin) {
		listener->begin(listener);
	}
	for (unsigned i = 0; listener->ram_add && i < infos->len; i++) {
		listener->ram_add(listener, &g_array_index(infos, struct guest_region_info, i));
	}
	for (unsigned i = 0; i < space->table->doorbell_count; i++) {
		doorbell_added(listener, &space->table->doorbells[i]);
	}
	if (listener->commit) {
		listener->commit(listener);
	}
	struct address_space_listener **link = &space->listeners;
	while (*link) {
		link = &(*link)->next;
	}
	listener->next = NULL;
	*link = listener;
	g_mutex_unlock(&space->lock);
}

void address_space_remove_listener(
		struct address_space *space, struct address_space_listener *listener)
{
	g_mutex_lock(&space->lock);
	struct address_space_listener **link = &space->listeners;
	while (*link && *link != listener) {
		link = &(*link)->next;
	}
	assert(*link);
	*link = listener->next;
	g_mutex_unlock(&space->lock);
}

/*
 * Accesses.
 */

static uint64_t all_ones(unsigned size)
{
	return UINT64_MAX >> (64 - 8 * size);
}

/* Whole accesses are single host accesses, so that other vCPUs never see half of one. */
static uint64_t load(const void *host, unsigned size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)host;
	case 2:
		return *(const volatile uint16_t *)host;
	case 4:
		return *(const volatile uint32_t *)host;
	default:
		return *(const volatile uint64_t *)host;
	}
}

static void store(void *host, uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		*(volatile uint8_t *)host = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)host = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)host = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)host = value;
		break;
	}
}

/* Inside rcu_read_lock(): where the access goes if it is RAM and stays within one page. */
static void *ram_address(
		struct address_space *space, uint64_t address, unsigned size, unsigned *ret_flags)
{
	uint64_t offset = address % GUEST_PAGE_SIZE;

	if (!space->memory || offset + size > GUEST_PAGE_SIZE) {
		return NULL;
	}
	char *page = guest_memory_page(space->memory, address - offset, ret_flags);
	return page ? page + offset : NULL;
}

/* Inside rcu_read_lock(), as long as the result is used. */
static const struct io_table *current(struct address_space *space)
{
	return __atomic_load_n(&space->table, __ATOMIC_ACQUIRE);
}

/*
 * The range that answers the whole access in one go, NULL if none does. What lies in one page is
 * known not to be RAM.
 */
static const struct io_range *find_whole(struct address_space *space, const struct io_table *table,
		uint64_t address, unsigned size)
{
	const struct io_range *range = find_range(table, address);
	bool crosses = address % GUEST_PAGE_SIZE + size > GUEST_PAGE_SIZE;

	if (crosses && (is_ram(space, address) || is_ram(space, address + size - 1))) {
		return NULL;
	}
	/*
	 * The region that answers the first byte takes the access if all of it lies within that
	 * region, even where another covers the rest: so a register inside a wider one (port 0xcf9
	 * inside 0xcf8) answers only to accesses that begin with it.
	 */
	bool whole = range && range_within(address - range->base, size, range->region->size);
	return whole && (size == 1 || !range->region->byte_wide) ? range : NULL;
}

static bool read_whole(
		struct address_space *space, uint64_t address, unsigned size, uint64_t *ret_value)
{
	unsigned flags;
	const void *host = ram_address(space, address, size, &flags);

	if (host) {
		*ret_value = load(host, size);
		return true;
	}
	const struct io_range *range = find_whole(space, current(space), address, size);
	if (range) {
		uint64_t value = range->region->read(range->region, address - range->base, size);
		*ret_value = value & all_ones(size);
	}
	return range;
}

uint64_t address_space_read(struct address_space *space, uint64_t address, unsigned size)
{
	uint64_t value = all_ones(size);

	assert(size == 1 || size == 2 || size == 4 || size == 8);
	rcu_read_lock();
	if (!read_whole(space, address, size, &value)) {
		bool answered = false;
		for (unsigned i = 0; size > 1 && i < size && address + i >= address; i++) {
			uint64_t byte = 0xff;
			/* unclaimed bytes stay ones */
			answered |= read_whole(space, address + i, 1, &byte);
			value = (value & ~(UINT64_C(0xff) << (8 * i))) | byte << (8 * i);
		}
		if (!answered) {
			log_item(LOG_ITEM_UNIMP,
					"unimp: %s: nothing answers a read of %u at 0x%" PRIx64,
					space->name, size, address);
		}
	}
	rcu_read_unlock();
	return value;
}

/* Inside rcu_read_lock(): rings the doorbell if the write hits one. */
static bool ring(const struct io_table *table, uint64_t address, unsigned size)
{
	for (unsigned i = 0; i < table->doorbell_count; i++) {
		const struct io_doorbell *doorbell = &table->doorbells[i];
		if (doorbell->address == address &&
				(doorbell->eventfd->size == 0 || doorbell->eventfd->size == size)) {
			eventfd_signal(doorbell->eventfd->fd);
			return true;
		}
	}
	return false;
}

static bool write_whole(
		struct address_space *space, uint64_t address, uint64_t value, unsigned size)
{
	unsigned flags = 0;
	void *host = ram_address(space, address, size, &flags);

	if (host) {
		if (!(flags & GUEST_REGION_ROM)) {
			store(host, value, size);
			guest_memory_written(space->memory, address, size);
		}
		return true;
	}
	const struct io_table *table = current(space);
	const struct io_range *range = find_whole(space, table, address, size);
	if (range && !(range->has_doorbells && ring(table, address, size))) {
		range->region->write(
				range->region, address - range->base, value & all_ones(size), size);
	}
	return range;
}

void address_space_write(
		struct address_space *space, uint64_t address, uint64_t value, unsigned size)
{
	assert(size == 1 || size == 2 || size == 4 || size == 8);
	rcu_read_lock();
	if (!write_whole(space, address, value, size)) {
		bool answered = false;
		for (unsigned i = 0; size > 1 && i < size && address + i >= address; i++) {
			answered |= write_whole(space, address + i, (uint8_t)(value >> (8 * i)), 1);
		}
		if (!answered) {
			log_item(LOG_ITEM_UNIMP,
					"unimp: %s: nothing answers a write of %u at 0x%" PRIx64
					": 0x%" PRIx64,
					space->name, size, address, value);
		}
	}
	rcu_read_unlock();
}

void address_space_quiesce(struct address_space *space)
{
	(void)space;
	synchronize_rcu();
}
