/* SPDX-License-Identifier: MIT */
#include "core/engine/soft/translator/store_log.h"

#include "core/engine/soft/mmu.h"

#define STORES 4096u
#define STORED_BYTES (64 * KiB)
#define ENTRIES 256u

struct store {
	uint8_t *host;
	uint32_t at, len; /* of its bytes in old and new */
};

struct admitted {
	struct tlb_entry *slot;
	struct tlb_entry entry;
};

struct store_log {
	enum store_log_phase phase;
	bool incomplete;
	const uint8_t *stray; /* NULL: none */
	uint32_t count, bytes, entry_count;
	struct store stores[STORES];
	struct admitted entries[ENTRIES];
	uint8_t old[STORED_BYTES], new[STORED_BYTES];
};

struct store_log *store_log_create(void)
{
	return g_new0(struct store_log, 1);
}

void store_log_destroy(struct store_log *log)
{
	g_free(log);
}

void store_log_begin(struct store_log *log)
{
	log->phase = STORE_LOG_RECORD;
	log->incomplete = false;
	log->stray = NULL;
	log->count = log->bytes = log->entry_count = 0;
}

void store_log_idle(struct store_log *log)
{
	for (uint32_t i = 0; i < log->entry_count && log->phase == STORE_LOG_REPLAY; i++) {
		log->entries[i].slot->tag = TLB_INVALID(tlb_index(log->entries[i].entry.tag));
	}
	log->phase = STORE_LOG_IDLE;
}

enum store_log_phase store_log_phase(const struct store_log *log)
{
	return log->phase;
}

static bool is_recorded(const struct store_log *log, const uint8_t *host, size_t len)
{
	for (uint32_t i = 0; i < log->count; i++) {
		const struct store *store = &log->stores[i];
		if (host >= store->host && host + len <= store->host + store->len) {
			return true;
		}
	}
	return false;
}

void store_log_write(struct store_log *log, uint8_t *host, size_t len)
{
	if (log->phase == STORE_LOG_REPLAY && !is_recorded(log, host, len)) {
		log->stray = host;
	}
	if (log->phase != STORE_LOG_RECORD) {
		return;
	}
	if (log->count == STORES || len > STORED_BYTES - log->bytes) {
		log->incomplete = true;
		return;
	}
	log->stores[log->count++] = (struct store){
			.host = host, .at = log->bytes, .len = (uint32_t)len};
	memcpy(log->old + log->bytes, host, len);
	log->bytes += (uint32_t)len;
}

void store_log_happened(struct store_log *log)
{
	log->incomplete = true;
}

void store_log_admit(struct store_log *log, struct tlb_entry *slot, const struct tlb_entry *entry)
{
	if (log->phase == STORE_LOG_RECORD && log->entry_count < ENTRIES) {
		log->entries[log->entry_count++] = (struct admitted){.slot = slot, .entry = *entry};
	}
}

bool store_log_complete(const struct store_log *log)
{
	return !log->incomplete;
}

void store_log_put_old(struct store_log *log)
{
	for (uint32_t i = log->count; i-- > 0;) {
		const struct store *store = &log->stores[i];
		memcpy(store->host, log->old + store->at, store->len);
	}
}

void store_log_put_new(struct store_log *log)
{
	for (uint32_t i = 0; i < log->count; i++) {
		const struct store *store = &log->stores[i];
		memcpy(store->host, log->new + store->at, store->len);
	}
}

void store_log_undo(struct store_log *log)
{
	for (uint32_t i = 0; i < log->count; i++) {
		const struct store *store = &log->stores[i];
		memcpy(log->new + store->at, store->host, store->len);
	}
	store_log_put_old(log);
}

void store_log_replay(struct store_log *log)
{
	for (uint32_t i = 0; i < log->entry_count; i++) {
		*log->entries[i].slot = log->entries[i].entry;
	}
	log->phase = STORE_LOG_REPLAY;
}

bool store_log_compare(const struct store_log *log, struct store_difference *ret)
{
	if (log->stray || log->incomplete) {
		*ret = (struct store_difference){.host = log->stray, .stray = true};
		return true;
	}
	for (uint32_t i = 0; i < log->count; i++) {
		const struct store *store = &log->stores[i];
		for (uint32_t k = 0; k < store->len; k++) {
			if (store->host[k] != log->new[store->at + k]) {
				*ret = (struct store_difference){.host = store->host + k,
						.recorded = log->new[store->at + k],
						.replayed = store->host[k]};
				return true;
			}
		}
	}
	return false;
}
