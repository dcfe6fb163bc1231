/* SPDX-License-Identifier: MIT */
/*
 * A processor without its surroundings, for tests of the SSE, MMX and x87 executors: the oracle's data pages behind a
 * small TLB stand for guest memory, exceptions are caught where they are raised. One at a time a process.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_NATIVE_FIXTURE_H
#define TESTS_CORE_ENGINE_SOFT_NATIVE_FIXTURE_H

#include "core/engine/soft/cpu.h"
#include "tests/harness/oracle.h"

struct native_fixture {
	struct cpu *cpu;
	uint64_t data_address; /* linear address of memory */
	uint8_t *memory; /* the guest's, ORACLE_DATA_SIZE bytes; permissions by enum oracle_page */
	struct oracle_fault fault; /* of the last run */
};

/* A CPU in 64-bit user mode with SSE enabled; data_address is where its memory is to be. */
struct native_fixture *native_fixture_create(uint64_t data_address);
void native_fixture_destroy(struct native_fixture *fixture);

/* Puts each accessible page into the TLB, or none of them: the fast and the slow way to memory. */
void native_fixture_fill_tlb(struct native_fixture *fixture, bool fill);

/* Decodes, binds and executes bytes at cpu->rip. True if no exception was raised; fixture->fault says which it was. */
bool native_fixture_run(struct native_fixture *fixture, const uint8_t *bytes, size_t len);

/* splitmix64. */
uint64_t native_random(uint64_t *state);

/* Registers and memory with values at the edges: zeros, denormals, infinities, NaNs, extreme integers. */
void native_random_xmm(uint64_t *random, uint8_t xmm[16]);
void native_random_st(uint64_t *random, uint8_t st[16]);

/* A whole FXSAVE image without FIP, FDP, FOP: control words mostly with exceptions masked, sometimes not. */
void native_random_fx(uint64_t *random, struct oracle_fx *fx);

#endif
