/* SPDX-License-Identifier: MIT */
/*
 * A check of the translator: each block that has a translation is run twice from the same state, by the interpreter and
 * translated, whenever its turn comes, and what came of it is compared. For machines with one processor; slow. vCPU thread
 * only.
 *
 * What a block cannot do twice (accesses to devices, reading the time, stores into code) is done once, by the interpreter, and
 * not compared. Nor is what a device writes meanwhile told from a fault of the translator's at once: a block that differs is
 * taken back and run again, and only one that goes on differing is reported. Then the vCPU ends with an error.
 */
#ifndef CORE_ENGINE_SOFT_TRANSLATOR_LOCKSTEP_H
#define CORE_ENGINE_SOFT_TRANSLATOR_LOCKSTEP_H

#include "core/engine/soft/block.h"

struct lockstep;

/* Makes cpu, which has a translator, a processor that is checked; cpu->lockstep from then on. */
void lockstep_start(struct cpu *cpu);
void lockstep_stop(struct cpu *cpu);

/* Runs the block at cpu->rip and nothing more. entry: of its translation. A fault unwinds to the run loop. */
void lockstep_run(struct cpu *cpu, struct block *block, const uint8_t *entry);

/*
 * An instruction has left its block by cpu->unwind; restart: by interp_restart(), else by a fault. True if that was taken back,
 * and there is nothing to be delivered. May unwind once more: to compare a fault with the other's.
 */
bool lockstep_unwound(struct cpu *cpu, bool restart);

/* A difference was found and reported: the vCPU is not to go on. */
bool lockstep_failed(const struct cpu *cpu);

#endif
