# SPDX-License-Identifier: MIT
"""An X server without a screen, whose picture is a file."""

import os
import subprocess
import tempfile

from machine import check, need
from picture import read_xwd


class XServer:
    """Xvfb on a display number of its own; programs use it with environment."""

    def __init__(self, folder, width, height):
        program = need("Xvfb")
        self.frames = tempfile.TemporaryDirectory(prefix="oriel-x.")
        source, sink = os.pipe()
        with open(os.path.join(folder, "xvfb.log"), "wb") as log:
            self.process = subprocess.Popen(
                [program, "-displayfd", str(sink), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp",
                 "-fbdir", self.frames.name], pass_fds=[sink], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        os.close(sink)
        with os.fdopen(source) as numbers:
            number = numbers.readline().strip()
        check(number, "Xvfb did not start")
        self.environment = {"DISPLAY": ":" + number, "SDL_VIDEODRIVER": "x11"}

    def screen(self):
        return read_xwd(os.path.join(self.frames.name, "Xvfb_screen0"))

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.frames.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
