/* SPDX-License-Identifier: MIT */
/*
 * What a block of guest code stores, so that it can be undone: for lockstep.c, which runs each block twice. While a processor has
 * a log, its TLB has no write entries of its own, so that all stores pass by here, at the end of the MMU's slow path. vCPU
 * thread only.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_STORE_LOG_H
#define CORE_ENGINE_SOFT_TRANSLATOR_STORE_LOG_H

#include "core/engine/soft/cpu.h"

enum store_log_phase {
	STORE_LOG_IDLE, /* nothing is noted */
	STORE_LOG_RECORD,
	STORE_LOG_REPLAY, /* the same stores once more: others are strays */
};

struct store_log;

struct store_log *store_log_create(void);
void store_log_destroy(struct store_log *log);

/* Forgets everything and records from now on. */
void store_log_begin(struct store_log *log);
void store_log_idle(struct store_log *log);
enum store_log_phase store_log_phase(const struct store_log *log);

/* The MMU's: len bytes of RAM at host are about to be written. */
void store_log_write(struct store_log *log, uint8_t *host, size_t len);

/* The same: something is about to happen that cannot happen twice. A device is accessed, code overwritten. */
void store_log_happened(struct store_log *log);

/* The same: the TLB would have this write entry. */
void store_log_admit(struct store_log *log, struct tlb_entry *slot, const struct tlb_entry *entry);

/* Whether everything recorded can be taken back: nothing happened, and there was room for all of it. */
bool store_log_complete(const struct store_log *log);

/* Takes back what is recorded, and keeps what was written. */
void store_log_undo(struct store_log *log);

/*
 * From here on the TLB has write entries of the pages that were written; and no more of them. store_log_idle() takes them away,
 * too.
 */
void store_log_replay(struct store_log *log);

/* A byte that the replay left different from the record. */
struct store_difference {
	const uint8_t *host;
	uint8_t recorded, replayed;
	bool stray; /* a store that the record does not have; the bytes are the same then */
};

/* False if there is none. */
bool store_log_compare(const struct store_log *log, struct store_difference *ret);

/* Memory as before the record, and as after it. */
void store_log_put_old(struct store_log *log);
void store_log_put_new(struct store_log *log);

#endif
