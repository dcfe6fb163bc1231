# SPDX-License-Identifier: MIT
"""The cube in a window: what the X server shows is what the screen dump says."""

import os
import time

from cube import MODE, ONE_FRAME, check_cube, check_renderer
from machine import LIMIT, Failure, Machine, graphics_guest
from picture import difference, read_png, write_png
from xserver import XServer

SCREEN = (640, 480)


def window(screen):
    """The part of the screen that is not the black behind the window, None if there is none."""
    black = bytes(3 * screen.width)
    rows = [y for y in range(screen.height) if screen.rows[y] != black]
    if not rows:
        return None
    columns = [x for y in (rows[0], rows[-1]) for x in range(screen.width) if screen.pixel(x, y) != (0, 0, 0)]
    left, right = min(columns), max(columns)
    return screen.crop(left, rows[0], right - left + 1, rows[-1] - rows[0] + 1)


def wait_window(server, picture, folder):
    """The window shows the picture; it may take the display's thread a moment."""
    deadline, seen = time.monotonic() + LIMIT, None
    while time.monotonic() < deadline:
        seen = window(server.screen())
        if seen and difference(seen, picture, 0)[0] == 0:
            return
        time.sleep(0.1)
    if not seen:
        raise Failure("no window is on the screen")
    write_png(os.path.join(folder, "window.png"), seen)
    raise Failure(f"the window ({seen.width}x{seen.height}) does not show what the screen dump shows")


def test(folder):
    path = os.path.join(folder, "picture.png")
    options = graphics_guest(ONE_FRAME + " oriel.hold=3600", mode=MODE) + [
        "-accel", "soft", "-display", "sdl", "-screendump", f"file={path},when=serial:last-frame"]
    with XServer(folder, *SCREEN) as server, \
            Machine(folder, options, environment=server.environment) as machine:
        check_renderer(machine)
        machine.wait_milestone("last-frame")
        machine.wait_message(r"^oriel: screendump '")
        check_cube(path, folder)
        wait_window(server, read_png(path), folder)
        machine.stop()
