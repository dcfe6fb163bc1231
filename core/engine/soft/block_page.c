/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/block_internal.h"

#include "core/engine/soft/operand.h"
#include "core/engine/soft/smp.h"
#include "core/engine/soft/walk.h"

#define LINE_SHIFT 6 /* 64 lines a page, one bit each */

/* Blocks that begin in a page and those that end there, the oldest first; linked by next_of(). */
struct block_list {
	struct block *first;
	struct block **end; /* where the next one goes; NULL: to first */
};

/* A guest-physical page with blocks, as one cache sees it. */
struct code_page {
	uint64_t physical;
	uint64_t lines; /* those that blocks cover, or have covered */
	struct block_list lists[2]; /* of young blocks, which go as they came; [1] of kept ones */
	struct code_page *next;
};

static inline unsigned page_slot(uint64_t physical)
{
	return (physical >> 12) & ((1u << BLOCK_PAGE_HASH_BITS) - 1);
}

static struct code_page *page_find(const struct block_cache *cache, uint64_t physical)
{
	struct code_page *page = cache->pages[page_slot(physical)];

	physical &= ~(GUEST_PAGE_SIZE - 1);
	while (page && page->physical != physical) {
		page = page->next;
	}
	return page;
}

void block_page_take(struct cpu *cpu, uint64_t physical)
{
	struct block_cache *cache = cpu->blocks;
	struct code_page *page = page_find(cache, physical);
	struct code_page **slot = &cache->pages[page_slot(physical)];

	if (page) {
		return;
	}
	page = g_new0(struct code_page, 1);
	page->physical = physical & ~(GUEST_PAGE_SIZE - 1);
	page->next = *slot;
	*slot = page;
	/* The mark first, the writers and then the bytes second; code_admits_writer() does it the other way round. */
	struct code_entry *entry = code_map_get(cache->map, physical);
	__atomic_fetch_add(&entry->users, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&entry->writers, __ATOMIC_SEQ_CST)) {
		smp_purge_writers(cpu, &entry->writers);
	}
}

static void page_free(struct block_cache *cache, struct code_page *page)
{
	__atomic_fetch_sub(&code_map_get(cache->map, page->physical)->users, 1, __ATOMIC_SEQ_CST);
	g_free(page);
}

static void page_drop(struct block_cache *cache, struct code_page *page)
{
	struct code_page **link = &cache->pages[page_slot(page->physical)];

	while (*link != page) {
		link = &(*link)->next;
	}
	*link = page->next;
	page_free(cache, page);
}

static bool is_empty(const struct code_page *page)
{
	return !page->lists[0].first && !page->lists[1].first;
}

void block_page_release(struct block_cache *cache, uint64_t physical)
{
	struct code_page *page = page_find(cache, physical);

	if (page && is_empty(page)) {
		page_drop(cache, page);
	}
}

void block_pages_clear(struct block_cache *cache)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cache->pages); i++) {
		while (cache->pages[i]) {
			struct code_page *page = cache->pages[i];
			cache->pages[i] = page->next;
			page_free(cache, page);
		}
	}
}

static uint64_t line_mask(uint64_t physical, size_t len)
{
	unsigned first = (physical & (GUEST_PAGE_SIZE - 1)) >> LINE_SHIFT;
	unsigned last = ((physical + len - 1) & (GUEST_PAGE_SIZE - 1)) >> LINE_SHIFT;

	return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

/* A block that straddles is in the lists of both its pages. */
static struct block **next_of(const struct code_page *page, struct block *block)
{
	bool first = (block->physical & ~(GUEST_PAGE_SIZE - 1)) == page->physical;

	return first ? &block->page_next : &block->links->second_next;
}

static void add_to(struct block_cache *cache, struct block *block, uint64_t physical, size_t len)
{
	struct code_page *page = page_find(cache, physical);
	struct block_list *list = &page->lists[block->kept];
	struct block **next = next_of(page, block);

	page->lines |= line_mask(physical, len);
	*next = NULL;
	*(list->end ? list->end : &list->first) = block;
	list->end = next;
}

static void remove_from(struct block_cache *cache, struct block *block, uint64_t physical)
{
	struct code_page *page = page_find(cache, physical);
	struct block_list *list = &page->lists[block->kept];
	struct block **link = &list->first, **next = next_of(page, block);

	while (*link != block) {
		link = next_of(page, *link);
	}
	*link = *next;
	if (list->end == next) {
		list->end = link == &list->first ? NULL : link;
	}
	if (is_empty(page)) {
		page_drop(cache, page);
	}
}

/* Bytes of the block in its first page. */
static size_t first_bytes(const struct block *block)
{
	size_t room = GUEST_PAGE_SIZE - (block->physical & (GUEST_PAGE_SIZE - 1));

	return MIN(room, block->bytes);
}

void block_pages_add(struct block_cache *cache, struct block *block)
{
	size_t first = first_bytes(block);

	add_to(cache, block, block->physical, first);
	if (block->straddles) {
		add_to(cache, block, block->links->second_page, block->bytes - first);
	}
}

void block_pages_remove(struct block_cache *cache, struct block *block)
{
	remove_from(cache, block, block->physical);
	if (block->straddles) {
		remove_from(cache, block, block->links->second_page);
	}
}

static bool block_overlaps(const struct block *block, uint64_t physical, size_t len)
{
	size_t first = first_bytes(block);

	if (block->straddles) {
		uint64_t second_page = block->links->second_page;
		if (physical < second_page + block->bytes - first && second_page < physical + len) {
			return true;
		}
	}
	return physical < block->physical + first && block->physical < physical + len;
}

static void page_written(struct cpu *cpu, uint64_t physical, size_t len)
{
	struct block_cache *cache = cpu->blocks;
	struct code_page *page = page_find(cache, physical);
	struct code_entry *entry = code_map_peek(cache->map, physical);
	unsigned own = page ? 1 : 0;

	if (entry && __atomic_load_n(&entry->users, __ATOMIC_SEQ_CST) > own) {
		code_map_note_written(cache->map, entry, physical & ~(GUEST_PAGE_SIZE - 1));
		smp_request(cpu->smp, cpu, CPU_REQUEST_CODE);
	}
	if (!page || !(page->lines & line_mask(physical, len))) {
		return;
	}
	/* Taken up before: with the last block the page goes. */
	struct block *lists[] = {page->lists[0].first, page->lists[1].first};
	for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
		for (struct block *block = lists[i], *next; block; block = next) {
			next = *next_of(page, block);
			if (block_overlaps(block, physical, len)) {
				block_kill(cache, block);
				stats_count(&cpu->stats, STAT_BLOCKS_OVERWRITTEN);
			}
		}
	}
}

/* Blocks that lie in two pages are never translated, and compared when they are next looked up. */
static bool still_holds(struct block *block, const uint8_t *page)
{
	return block->straddles ||
	       (page && block_holds(block, page + (block->physical & (GUEST_PAGE_SIZE - 1))));
}

static void review_page(struct cpu *cpu, uint64_t physical)
{
	struct block_cache *cache = cpu->blocks;
	struct code_page *page = page_find(cache, physical);
	unsigned flags;
	const uint8_t *host = walk_ram_page(cpu, physical, &flags);

	if (!page) {
		return;
	}
	struct block *lists[] = {page->lists[0].first, page->lists[1].first};
	for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
		for (struct block *block = lists[i], *next; block; block = next) {
			next = *next_of(page, block);
			if (!still_holds(block, host)) {
				block_kill(cache, block);
			}
		}
	}
}

static void review_all(struct cpu *cpu)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cpu->blocks->pages); i++) {
		for (struct code_page *page = cpu->blocks->pages[i], *next; page; page = next) {
			next = page->next;
			review_page(cpu, page->physical);
		}
	}
}

void block_cache_review(struct cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;
	uint64_t written[CODE_MAP_WRITTEN];
	unsigned count = code_map_take_written(cache->map, &cache->reviewed, written);

	if (!cache->translator) {
		return;
	}
	if (count <= CODE_MAP_WRITTEN) {
		for (unsigned i = 0; i < count; i++) {
			review_page(cpu, written[i]);
		}
		return;
	}
	review_all(cpu);
}

void code_written(struct cpu *cpu, uint64_t physical, size_t len)
{
	while (len > 0) {
		size_t room = GUEST_PAGE_SIZE - (physical & (GUEST_PAGE_SIZE - 1));
		size_t part = MIN(room, len);
		page_written(cpu, physical, part);
		physical += part;
		len -= part;
	}
}

bool code_admits_writer(struct cpu *cpu, uint64_t physical_page)
{
	struct code_entry *entry = code_map_get(cpu->blocks->map, physical_page);
	uint16_t bit = smp_writer_bit(cpu);

	if (!(__atomic_load_n(&entry->writers, __ATOMIC_SEQ_CST) & bit)) {
		__atomic_fetch_or(&entry->writers, bit, __ATOMIC_SEQ_CST);
	}
	return __atomic_load_n(&entry->users, __ATOMIC_SEQ_CST) == 0;
}
