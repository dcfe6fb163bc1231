/* SPDX-License-Identifier: MIT */
#include "core/memory/guest_memory.h"

#include "core/base/checked.h"
#include "core/base/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <urcu.h>

/* One piece of RAM. Alive while the table or a mapping refers to it. */
struct guest_region {
	uint64_t guest, size;
	int fd;
	uint64_t offset; /* in fd */
	void *host;
	unsigned flags; /* enum guest_region_flag */
	gint references;
	struct rcu_head reclaim; /* for the table's reference */
};

/* The memory of a published table, with what its deferred release needs. */
struct table_block {
	struct rcu_head reclaim;
	struct guest_table table;
};

struct guest_memory {
	struct guest_memory_published published;
	GMutex lock; /* held by those who replace the table */
	struct guest_write_hook *hook; /* read by every writer, set before devices run */
};

/* liburcu's reclaiming thread must not be the one that a signal is delivered to. */
static void start_reclaimer(void)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	(void)get_default_call_rcu_data();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void region_unref(struct guest_region *region)
{
	if (!g_atomic_int_dec_and_test(&region->references)) {
		return;
	}
	if (region->host) {
		munmap(region->host, region->size);
	}
	fd_close(&region->fd);
	g_free(region);
}

static void reclaim_region(struct rcu_head *head)
{
	region_unref(container_of(head, struct guest_region, reclaim));
}

static void reclaim_table(struct rcu_head *head)
{
	g_free(container_of(head, struct table_block, reclaim));
}

static struct guest_table *table_create(unsigned count)
{
	struct table_block *block = g_malloc0(
			sizeof(struct table_block) + count * sizeof(struct guest_range));
	block->table.count = count;
	return &block->table;
}

/* The table that the holder of memory->lock replaces. */
static struct guest_table *current_locked(struct guest_memory *memory)
{
	return memory->published.table;
}

static void publish_locked(struct guest_memory *memory, struct guest_table *table)
{
	struct guest_table *old = memory->published.table;

	__atomic_store_n(&memory->published.table, table, __ATOMIC_RELEASE);
	call_rcu(&container_of(old, struct table_block, table)->reclaim, reclaim_table);
}

struct guest_memory *guest_memory_create(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_reclaimer);
	struct guest_memory *memory = g_new0(struct guest_memory, 1);
	g_mutex_init(&memory->lock);
	memory->published.table = table_create(0);
	return memory;
}

void guest_memory_destroy(struct guest_memory *memory)
{
	if (!memory) {
		return;
	}
	guest_memory_clear(memory);
	g_free(container_of(memory->published.table, struct table_block, table));
	g_mutex_clear(&memory->lock);
	g_free(memory);
}

static bool check_region(uint64_t guest, uint64_t size, int fd, uint64_t offset, GError **error)
{
	struct stat st;
	uint64_t end;

	if (size == 0 || (guest | size | offset) % GUEST_PAGE_SIZE != 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"not whole pages: start, size and offset must be multiples of 4096");
		return false;
	}
	if (!checked_add(guest, size - 1, &end) || !checked_add(offset, size, &end) ||
			size > SIZE_MAX / 2 || end > INT64_MAX) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"runs past the end of the address space");
		return false;
	}
	if (fstat(fd, &st) < 0) {
		set_error_errno(error, "file descriptor");
		return false;
	}
	/* Touching a page beyond the file's end would be a SIGBUS. */
	if (S_ISREG(st.st_mode) && end > (uint64_t)st.st_size) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
				"the file holds only %" G_GINT64_FORMAT " bytes",
				(int64_t)st.st_size);
		return false;
	}
	return true;
}

static struct guest_region *region_create(uint64_t guest, uint64_t size, int fd, uint64_t offset,
		unsigned flags, GError **error)
{
	struct guest_region *region = g_new0(struct guest_region, 1);

	*region = (struct guest_region){.guest = guest,
			.size = size,
			.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
			.offset = offset,
			.flags = flags,
			.references = 1};
	if (region->fd < 0) {
		set_error_errno(error, "file descriptor");
		goto fail;
	}
	void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			region->fd, (off_t)offset);
	if (host == MAP_FAILED) {
		set_error_errno(error, "map");
		goto fail;
	}
	region->host = host;
	(void)madvise(host, size, MADV_DONTDUMP); /* only makes core files smaller */
	return region;

fail:
	region_unref(region);
	return NULL;
}

static struct guest_range range_of(struct guest_region *region)
{
	return (struct guest_range){.guest = region->guest,
			.size = region->size,
			.host = region->host,
			.flags = region->flags,
			.region = region};
}

/* Where a region at guest belongs in the table; count if last. False if it would overlap. */
static bool find_place(
		const struct guest_table *table, uint64_t guest, uint64_t size, unsigned *ret_place)
{
	unsigned place = 0;

	while (place < table->count && table->ranges[place].guest < guest) {
		place++;
	}
	if (place > 0 && guest - table->ranges[place - 1].guest < table->ranges[place - 1].size) {
		return false;
	}
	if (place < table->count && table->ranges[place].guest - guest < size) {
		return false;
	}
	*ret_place = place;
	return true;
}

bool guest_memory_add(struct guest_memory *memory, uint64_t guest, uint64_t size, int fd,
		uint64_t offset, unsigned flags, GError **error)
{
	struct guest_region *region = NULL;
	unsigned place;
	bool ok = false;

	g_mutex_lock(&memory->lock);
	struct guest_table *old = current_locked(memory);
	if (!check_region(guest, size, fd, offset, error)) {
		goto out;
	}
	if (!find_place(old, guest, size, &place)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST, "overlaps other memory");
		goto out;
	}
	region = region_create(guest, size, fd, offset, flags, error);
	if (!region) {
		goto out;
	}
	struct guest_table *table = table_create(old->count + 1);
	memcpy(table->ranges, old->ranges, place * sizeof(old->ranges[0]));
	table->ranges[place] = range_of(region);
	memcpy(&table->ranges[place + 1], &old->ranges[place],
			(old->count - place) * sizeof(old->ranges[0]));
	publish_locked(memory, table);
	ok = true;
out:
	g_mutex_unlock(&memory->lock);
	if (!ok) {
		g_prefix_error(error, "guest memory at 0x%" PRIx64 ", 0x%" PRIx64 " bytes: ", guest,
				size);
	}
	return ok;
}

bool guest_memory_remove(struct guest_memory *memory, uint64_t guest)
{
	unsigned place = 0;

	g_mutex_lock(&memory->lock);
	struct guest_table *old = current_locked(memory);
	while (place < old->count && old->ranges[place].guest != guest) {
		place++;
	}
	bool found = place < old->count;
	if (found) {
		struct guest_region *region = old->ranges[place].region;
		struct guest_table *table = table_create(old->count - 1);
		memcpy(table->ranges, old->ranges, place * sizeof(old->ranges[0]));
		memcpy(&table->ranges[place], &old->ranges[place + 1],
				(table->count - place) * sizeof(old->ranges[0]));
		publish_locked(memory, table);
		call_rcu(&region->reclaim, reclaim_region);
	}
	g_mutex_unlock(&memory->lock);
	return found;
}

void guest_memory_clear(struct guest_memory *memory)
{
	g_mutex_lock(&memory->lock);
	struct guest_table *old = current_locked(memory);
	if (old->count > 0) {
		/*
		 * Published first: a region's last reference may only go when no reader can find
		 * it.
		 */
		struct guest_table *empty = table_create(0);
		__atomic_store_n(&memory->published.table, empty, __ATOMIC_RELEASE);
		for (unsigned i = 0; i < old->count; i++) {
			call_rcu(&old->ranges[i].region->reclaim, reclaim_region);
		}
		call_rcu(&container_of(old, struct table_block, table)->reclaim, reclaim_table);
	}
	g_mutex_unlock(&memory->lock);
}

void guest_memory_set_write_hook(struct guest_memory *memory, struct guest_write_hook *hook)
{
	__atomic_store_n(&memory->hook, hook, __ATOMIC_RELEASE);
}

/* Inside rcu_read_lock(), as long as the result is used. */
static const struct guest_table *current(struct guest_memory *memory)
{
	return __atomic_load_n(&memory->published.table, __ATOMIC_ACQUIRE);
}

/* The range that holds guest, NULL if it is not RAM. */
static const struct guest_range *find_range(const struct guest_table *table, uint64_t guest)
{
	for (unsigned i = 0; i < table->count; i++) {
		if (guest - table->ranges[i].guest < table->ranges[i].size) {
			return &table->ranges[i];
		}
	}
	return NULL;
}

static bool allows(const struct guest_range *range, enum guest_access access)
{
	return access == GUEST_READ || !(range->flags & GUEST_REGION_ROM);
}

static bool map(struct guest_memory *memory, uint64_t guest, size_t len, size_t least,
		enum guest_access access, struct guest_mapping *ret_mapping)
{
	rcu_read_lock();
	const struct guest_range *range = find_range(current(memory), guest);
	bool ok = range && len > 0 && allows(range, access) &&
		  range->size - (guest - range->guest) >= least;
	if (ok) {
		uint64_t offset = guest - range->guest;
		g_atomic_int_inc(&range->region->references);
		*ret_mapping = (struct guest_mapping){.host = range->host + offset,
				.guest = guest,
				.len = MIN(len, range->size - offset),
				.access = access,
				.region = range->region};
	}
	rcu_read_unlock();
	return ok;
}

bool guest_memory_map(struct guest_memory *memory, uint64_t guest, size_t len,
		enum guest_access access, struct guest_mapping *ret_mapping)
{
	return map(memory, guest, len, len, access, ret_mapping);
}

bool guest_memory_map_some(struct guest_memory *memory, uint64_t guest, size_t len,
		enum guest_access access, struct guest_mapping *ret_mapping)
{
	return map(memory, guest, len, 1, access, ret_mapping);
}

void guest_mapping_unmap(struct guest_memory *memory, struct guest_mapping *mapping, size_t written)
{
	assert(mapping->region && written <= mapping->len);
	assert(written == 0 || mapping->access == GUEST_WRITE);
	guest_memory_written(memory, mapping->guest, written);
	region_unref(mapping->region);
	mapping->region = NULL;
	mapping->host = NULL;
}

/* Calls visit for each piece of [guest, guest + len), which all_ram() approved. */
static void walk(const struct guest_table *table, uint64_t guest, size_t len,
		void (*visit)(void *host, uint64_t guest, size_t n, void *opaque), void *opaque)
{
	while (len > 0) {
		const struct guest_range *range = find_range(table, guest);
		uint64_t offset = guest - range->guest;
		size_t n = MIN(len, range->size - offset);
		visit(range->host + offset, guest, n, opaque);
		guest += n;
		len -= n;
	}
}

static bool all_ram(const struct guest_table *table, uint64_t guest, size_t len,
		enum guest_access access)
{
	uint64_t last;

	if (len > 0 && !checked_add(guest, len - 1, &last)) {
		return false;
	}
	while (len > 0) {
		const struct guest_range *range = find_range(table, guest);
		if (!range || !allows(range, access)) {
			return false;
		}
		size_t n = MIN(len, range->size - (guest - range->guest));
		guest += n;
		len -= n;
	}
	return true;
}

struct copy {
	struct guest_memory *memory;
	char *to;
	const char *from;
};

static void copy_out(void *host, uint64_t guest, size_t n, void *opaque)
{
	struct copy *copy = opaque;

	(void)guest;
	memcpy(copy->to, host, n);
	copy->to += n;
}

static void copy_in(void *host, uint64_t guest, size_t n, void *opaque)
{
	struct copy *copy = opaque;

	memcpy(host, copy->from, n);
	copy->from += n;
	guest_memory_written(copy->memory, guest, n);
}

bool guest_memory_read(struct guest_memory *memory, uint64_t guest, void *buf, size_t len)
{
	struct copy copy = {.to = buf};

	rcu_read_lock();
	const struct guest_table *table = current(memory);
	bool ok = all_ram(table, guest, len, GUEST_READ);
	if (ok) {
		walk(table, guest, len, copy_out, &copy);
	}
	rcu_read_unlock();
	return ok;
}

bool guest_memory_write(struct guest_memory *memory, uint64_t guest, const void *buf, size_t len)
{
	struct copy copy = {.memory = memory, .from = buf};

	rcu_read_lock();
	const struct guest_table *table = current(memory);
	bool ok = all_ram(table, guest, len, GUEST_WRITE);
	if (ok) {
		walk(table, guest, len, copy_in, &copy);
	}
	rcu_read_unlock();
	return ok;
}

void guest_memory_written(struct guest_memory *memory, uint64_t guest, uint64_t len)
{
	struct guest_write_hook *hook = __atomic_load_n(&memory->hook, __ATOMIC_ACQUIRE);

	if (hook && len > 0) {
		hook->written(hook, guest, len);
	}
}

void guest_memory_foreach(struct guest_memory *memory,
		void (*visit)(const struct guest_region_info *info, void *opaque), void *opaque)
{
	rcu_read_lock();
	const struct guest_table *table = current(memory);
	for (unsigned i = 0; i < table->count; i++) {
		const struct guest_region *region = table->ranges[i].region;
		struct guest_region_info info = {.guest = region->guest,
				.size = region->size,
				.fd = region->fd,
				.offset = region->offset,
				.host = region->host,
				.flags = region->flags};
		visit(&info, opaque);
	}
	rcu_read_unlock();
}

uint64_t guest_memory_size(struct guest_memory *memory)
{
	uint64_t size = 0;

	rcu_read_lock();
	const struct guest_table *table = current(memory);
	for (unsigned i = 0; i < table->count; i++) {
		size += table->ranges[i].size;
	}
	rcu_read_unlock();
	return size;
}
