/* SPDX-License-Identifier: MIT */
/*
 * Ways of executing integer instructions against the host CPU: the same registers, flags and memory, made so that accesses
 * fall on every kind of page border, for the oracle and for a fake machine; then the same outcome, undefined flags included.
 */
#ifndef TESTS_CORE_ENGINE_SOFT_DIFFER_H
#define TESTS_CORE_ENGINE_SOFT_DIFFER_H

#include "tests/core/engine/soft/fake_machine.h"
#include "tests/harness/oracle.h"

#define DIFFER_FLAGS (X86_FLAGS_ARITH | X86_FLAG_DF)

struct differ {
	struct oracle *oracle;
	struct fake_machine *fake;
	uint8_t *memory; /* the fake's copy of the data pages */
	uint64_t data; /* their linear address */
	uint64_t code;
	uint64_t seed;
	uint64_t cases, faults, differences;
	/* Runs the instruction at cpu->rip; false if it faulted. At first fake_machine_execute(). */
	bool (*execute)(struct differ *differ, const uint8_t *bytes, size_t len);
	/* What is done with a case; at first both run it and are compared. */
	void (*compare)(struct differ *differ, const uint8_t *bytes, size_t len,
			const struct oracle_state *before);
	/* Arithmetic flags that execute() need not have right after a fault. */
	uint64_t fault_flags;
};

void differ_start(struct differ *differ);
void differ_stop(struct differ *differ);

/* Repeatable everywhere. */
uint64_t differ_random(struct differ *differ);
uint64_t differ_below(struct differ *differ, uint64_t limit);

/* Often at the edge of some range. */
uint64_t differ_value(struct differ *differ);

/* An address in the data pages, most often near a border. */
uint64_t differ_address(struct differ *differ);

/*
 * Executes, with random registers and flags, the instruction of which the first bytes are given, up to and with the opcode;
 * ModRM (if it has one) and what follows as given, or random bytes. Nothing is done if the oracle cannot say what is right.
 */
void differ_try(struct differ *differ, const uint8_t *bytes, size_t opcode_len, size_t len);

/* The same for an opcode that has ModRM, with what names memory in it, or a register, at random. */
void differ_try_form(struct differ *differ, const uint8_t *opcode, size_t opcode_len, unsigned reg,
		bool memory);

/* Many instances of an opcode: with every prefix, modrm.reg, registers and memory. */
void differ_try_opcode(struct differ *differ, const uint8_t *escape, size_t escape_len,
		unsigned opcode, unsigned rounds);

#endif
