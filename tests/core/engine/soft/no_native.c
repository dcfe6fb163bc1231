/* SPDX-License-Identifier: MIT */
/* Stands in for the SSE, MMX and x87 executor in programs that have no use for it. */
#include "core/engine/soft/exec.h"

void exec_bind_native(struct insn *insn)
{
	insn->exec = exec_undefined;
}
