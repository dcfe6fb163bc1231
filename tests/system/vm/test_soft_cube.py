# SPDX-License-Identifier: MIT
"""A stock Debian guest on the software CPU draws kmscube's cube through virgl, without a window."""

import os

from cube import MODE, ONE_FRAME, check_cube, check_renderer
from machine import Machine, graphics_guest


def test(folder):
    picture = os.path.join(folder, "picture.png")
    options = graphics_guest(ONE_FRAME + " oriel.hold=2", mode=MODE) + [
        "-accel", "soft", "-display", "egl-headless", "-no-reboot",
        "-screendump", f"file={picture},when=serial:first-frame"]
    with Machine(folder, options) as machine:
        check_renderer(machine)
        machine.wait_milestone("first-frame")
        machine.wait_milestone("done")
        machine.expect_end(0)
    check_cube(picture, folder)
