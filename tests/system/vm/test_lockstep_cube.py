# SPDX-License-Identifier: MIT
"""Every block that the translator makes on the way to kmscube's first frame does what the interpreter does."""

import os

from cube import MODE, ONE_FRAME, check_cube, check_renderer
from machine import LIMIT, Machine, check, graphics_guest

# Blocks that a boot compares are some hundred million: far fewer, and the check did not take place.
MANY = 50_000_000


def test(folder):
    picture = os.path.join(folder, "picture.png")
    options = graphics_guest(ONE_FRAME + " oriel.hold=2", mode=MODE) + [
        "-accel", "soft,translate=check", "-display", "egl-headless", "-no-reboot", "-d", "stats",
        "-screendump", f"file={picture},when=serial:first-frame"]
    with Machine(folder, options) as machine:
        machine.wait_milestone("init", 4 * LIMIT)
        check_renderer(machine, 4 * LIMIT)
        machine.wait_milestone("first-frame", 4 * LIMIT)
        machine.wait_milestone("done")
        machine.expect_end(0)
        check(not machine.said("lockstep:"), "a translation differs from the interpreter")
        count = machine.said(r"stats: cpu 0: lockstep_compared ([0-9]+)")
        check(count and int(count.group(1)) >= MANY, "hardly a block was compared")
    check_cube(picture, folder)
