# SPDX-License-Identifier: MIT
"""Oriel's software CPU and QEMU's TCG with the same guest: what starts them, in turns, and what the guest says."""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT = 300
GUEST = os.environ.get("GUEST", os.path.join(TOP, "out", "guest"))
MILESTONE = re.compile(r"^oriel: [0-9.]+ ([\w-]+) ?(.*)")
KMSCUBE = "oriel.job=kmscube oriel.count=600"


def arguments(usage):
    """A parser with the options that every comparison has."""
    parser = argparse.ArgumentParser(usage=usage)
    parser.add_argument("-b", dest="build", default=os.path.join(TOP, "build"))
    parser.add_argument("-n", dest="rounds", type=int, default=3)
    return parser


def check_guest():
    if not os.path.exists(os.path.join(GUEST, "disk.img")):
        sys.exit(f"bench: there is no {GUEST}/disk.img: guest-drivers/linux/build makes it")


def commands(build, *, graphics=True, cpus=1, initrd=None):
    """What starts each monitor; the kernel's command line comes last."""
    disk = os.path.join(GUEST, "disk.img")
    boot = ["-m", "1G", "-smp", str(cpus), "-kernel", os.path.join(GUEST, "vmlinuz"),
            "-initrd", initrd or os.path.join(GUEST, "initrd"), "-serial", "stdio", "-no-reboot"]
    oriel_gpu = ["-device", "virtio-gpu-gl-pci,xres=1024,yres=768"]
    # egl-headless needs a render node; this way QEMU draws without one.
    qemu_gpu = ["-display", "sdl,gl=on", "-device", "virtio-vga-gl,xres=1024,yres=768"]
    return {
        "oriel": [os.path.join(build, "oriel"), "-accel", "soft", *boot, "-display", "none",
                  "-drive", f"file={disk},if=virtio,snapshot=on", *(oriel_gpu if graphics else []), "-append"],
        "qemu": ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35", *boot,
                 "-vga", "none", "-nic", "none", *(qemu_gpu if graphics else ["-display", "none"]), "-drive",
                 f"file={disk},if=none,id=d0,format=raw,snapshot=on", "-device", "virtio-blk-pci,drive=d0", "-append"],
    }


def lines(command, append, limit=LIMIT):
    """Boots, and yields (seconds since the start, line) for each line of the guest's console."""
    # QEMU's EDID offers larger modes than the one asked for, and programs take the largest.
    append = f"console=ttyS0 quiet panic=-1 drm.edid_firmware=edid/1024x768.bin {append}"
    environment = dict(os.environ, SDL_VIDEODRIVER="offscreen", LIBGL_ALWAYS_SOFTWARE="1")
    start = time.monotonic()
    with subprocess.Popen([*command, append], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=environment, text=True, errors="replace") as process:
        try:
            for line in process.stdout:
                yield time.monotonic() - start, line
                if time.monotonic() - start > limit:
                    break
        finally:
            if process.poll() is None and time.monotonic() - start > limit:
                process.kill()
            process.wait(LIMIT)


def milestones(command, append):
    """Yields (seconds since the start, name, detail) for each milestone (guest-drivers/linux/README.md)."""
    for seconds, line in lines(command, append):
        found = MILESTONE.match(line)
        if found:
            yield seconds, found[1], found[2]


def median(results, key):
    """Of what several runs, dictionaries, found under a key; not a number if none has it."""
    found = [figures[key] for figures in results if key in figures]
    return statistics.median(found) if found else float("nan")


def best(results, key):
    """The same, the least of them."""
    return min((figures[key] for figures in results if key in figures), default=float("nan"))


def load():
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
