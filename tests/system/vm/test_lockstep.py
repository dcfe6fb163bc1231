# SPDX-License-Identifier: MIT
"""Every block that the translator makes while the small guest boots does what the interpreter does;
lockstep-cube is the same of a boot to the cube, in minutes."""

from machine import LIMIT, Machine, check, small_guest

# Far fewer, and the check did not take place.
MANY = 10_000_000


def test(folder):
    options = small_guest("oriel.job=none") + ["-accel", "soft,translate=check,host-fsgsbase=off", "-no-reboot", "-d", "stats"]
    with Machine(folder, options) as machine:
        status = machine.wait_milestone("done", 4 * LIMIT)
        check(status == "0", f"the job ended with status {status}")
        machine.expect_end(0)
        check(not machine.said("lockstep:"), "a translation differs from the interpreter")
        count = machine.said(r"stats: cpu 0: lockstep_compared ([0-9]+)")
        check(count and int(count.group(1)) >= MANY, "hardly a block was compared")
