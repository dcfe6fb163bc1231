# SPDX-License-Identifier: MIT
"""The graphics guest with a shell on its console, and what is typed there to draw and to recover."""

import os

from cube import MODE, check_cube
from machine import graphics_guest

# kmscube ends when there is something to read on its input.
QUIET = "/run/oriel/quiet"
DRAW = f"ORIEL_HOLD=3600 ORIEL_FRAMES=/run/oriel/first-frame LD_PRELOAD=/oriel/frames.so kmscube <>{QUIET}"
DRIVER = "/sys/bus/virtio/drivers/virtio_gpu"


def shell_options(qmp, append="", gpu=""):
    """append: more for the kernel's command line; gpu: more properties of the GPU."""
    return graphics_guest(f"oriel.job=shell {append}", mode=MODE, gpu=gpu) + [
        "-accel", "soft", "-display", "egl-headless"] + qmp.options()


def prepare(machine):
    """The shell is there and writes nothing by itself."""
    machine.wait_milestone("job")
    machine.wait_shell()
    # What the kernel says could come between what the shell says.
    machine.checked(f"dmesg -n 1; set +m; mkfifo {QUIET}")


def draw_forever(machine):
    """A cube that turns until it is killed; its frames are on the screen."""
    machine.type(f"{DRAW} >/run/oriel/endless.log 2>&1 & endless=$!\n")
    machine.wait_milestone("first-frame")


def draw_reference(machine, qmp, folder, name):
    """A new kmscube draws the cube that it has to, and ends."""
    picture = os.path.join(folder, name + ".png")
    machine.type(f"{DRAW} --count=1 >/run/oriel/{name}.log 2>&1 & cube=$!\n")
    machine.wait_milestone("last-frame")
    qmp.execute("screendump", filename=picture)
    check_cube(picture, folder)
    machine.checked("kill $cube; wait $cube; true")


def end_programs(machine):
    """What drew with the renderer that is gone ends, however it likes."""
    machine.checked("kill -9 $endless; wait $endless; true")


def rebind(machine):
    """The driver starts anew: its device has lost everything."""
    machine.checked("for console in /sys/class/vtconsole/vtcon*/bind; do echo 0 >$console 2>/dev/null; done; true")
    machine.checked(f"device=$(cd {DRIVER} && echo virtio*)")
    machine.checked(f"echo $device >{DRIVER}/unbind")
    machine.checked(f"echo $device >{DRIVER}/bind")
    machine.checked("[ -e /dev/dri/card0 ]")
