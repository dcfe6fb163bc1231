/* SPDX-License-Identifier: MIT */
/* Decoded code as tests say it is; see fixture.h. */
#include "tests/core/engine/soft/fixture.h"

bool code_admits_writer(struct cpu *cpu, uint64_t physical_page)
{
	(void)cpu;
	return physical_page != fixture_code_page;
}

void code_written(struct cpu *cpu, uint64_t physical, size_t len)
{
	(void)cpu;
	(void)physical;
	(void)len;
	fixture_code_writes++;
}
