/* SPDX-License-Identifier: MIT */
/*
 * The watchdog (TCO timer) of the ICH9: a part of the LPC bridge, which owns one and passes its own
 * calls on.
 */
#ifndef HW_PC_ICH9_TCO_H
#define HW_PC_ICH9_TCO_H

#include "core/base/base.h"
#include "core/base/clock.h"
#include "core/memory/address_space.h"

struct machine;

#define ICH9_TCO_BASE 0x660 /* in the power management block */
#define ICH9_TCO_SIZE 0x20
#define ICH9_RCBA UINT64_C(0xfed1c000)
#define ICH9_RCBA_SIZE UINT64_C(0x4000)

struct ich9_tco {
	struct machine *machine;
	struct io_region ports, chipset;
	struct timer expiry;
	GMutex lock;

	/* guest-visible; guarded by lock */
	uint16_t status1, status2, control1, control2;
	uint16_t initial; /* ticks */
	uint8_t data_in, data_out, message[2], progress, irq_select;
	uint32_t general_control; /* GCS */
	bool expired_once; /* since it was last reloaded */
	int64_t left; /* ns until it expires; while halted */
	int64_t deadline; /* clock_now() when it expires; while not */
};

void ich9_tco_realize(struct ich9_tco *tco, struct machine *machine);
void ich9_tco_unrealize(struct ich9_tco *tco);

/* As firmware leaves it: halted, and without effect until NO_REBOOT is cleared. */
void ich9_tco_reset(struct ich9_tco *tco);

#endif
