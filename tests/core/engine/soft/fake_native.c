/* SPDX-License-Identifier: MIT */
/* No vector instructions, for tests that have no use for them. */
#include "core/engine/soft/exec.h"

void exec_bind_native(struct insn *insn)
{
	insn->exec = exec_undefined;
}
