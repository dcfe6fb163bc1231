# SPDX-License-Identifier: MIT
"""What kmscube shows, and whether a picture shows it."""

import os
import re
import subprocess

from machine import LIMIT, TOP, check
from picture import difference, read_png, write_png

MODE = (256, 192)
# kmscube draws frame 0 to set the mode; with a count of 1 it flips once, to frame 1, and ends.
ONE_FRAME = "oriel.job=kmscube oriel.count=1"
REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cube-frame-1.png")

# Rasterisers differ by a level or two inside a face and in which pixels an edge covers.
TOLERANCE = 6
EDGE_PIXELS = 250


def check_cube(path, folder):
    """The file shows the cube of frame 1; what differs is left in the folder."""
    shape = subprocess.run([os.path.join(TOP, "scripts", "check-cube"), path], capture_output=True, text=True,
                           check=False)
    check(shape.returncode == 0, shape.stderr.strip())
    picture, reference = read_png(path), read_png(REFERENCE)
    count, image = difference(picture, reference, TOLERANCE)
    if count > EDGE_PIXELS:
        left = os.path.join(folder, "difference.png")
        write_png(left, image)
        check(False, f"{path}: {count} pixels are not those of {REFERENCE}; see {left}")


def check_renderer(machine, limit=LIMIT):
    renderer = machine.wait_milestone("gl-renderer", limit)
    check(re.search(r"\bvirgl\b", renderer), f"GL_RENDERER is '{renderer}', not virgl")
