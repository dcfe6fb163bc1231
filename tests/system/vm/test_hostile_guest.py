# SPDX-License-Identifier: MIT
"""
A program in the guest sends the GPU streams that nobody should send, and two that would never end.
The renderer may die of each; another takes its place, and in the end the guest draws its cube.

ORIEL_HOSTILE_STREAMS (300), ORIEL_HOSTILE_SEED (1) and ORIEL_HOSTILE_FIRST (0) choose the streams.
"""

import os
import re
import shutil
import subprocess

from desktop import draw_reference, prepare, rebind, shell_options
from machine import Machine, check, need, program
from qmp import Qmp

HANG_MS = 2000
MOUNT = "/run/streams"


def make_disk(folder, streams):
    """A disk with the streams and what sends them."""
    content, disk = os.path.join(folder, "content"), os.path.join(folder, "streams.img")
    os.makedirs(content)
    file = os.path.join(content, "streams")
    subprocess.run([program("tests/system/vm/make_streams"), file, *map(str, streams)], check=True)
    shutil.copy(program("tests/system/vm/replay_streams"), content)
    size = os.path.getsize(file) // 2**20
    subprocess.run([need("mke2fs"), "-qF", "-t", "ext4", "-O", "^has_journal", "-d", content, disk,
                    f"{size + size // 8 + 8}M"], stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(content)
    return disk


def number(name, default):
    return int(os.environ.get("ORIEL_HOSTILE_" + name, default))


def test(folder):
    count, seed, first = number("STREAMS", 300), number("SEED", 1), number("FIRST", 0)
    disk = make_disk(folder, (seed, first, count))
    with Qmp() as qmp:
        options = shell_options(qmp, "virtio_gpu.virglhack=0 drm_kms_helper.fbdev_emulation=0", f"hang_time={HANG_MS}")
        options += ["-drive", f"file={disk},if=virtio,readonly=on"]
        with Machine(folder, options) as machine:
            qmp.connect(machine)
            prepare(machine)
            machine.checked(f"mkdir {MOUNT} && mount -t ext4 -o ro /dev/vdb {MOUNT}")
            output = machine.checked(f"{MOUNT}/replay_streams {MOUNT}/streams", limit=3600)
            sent, lost = map(int, re.search(r"^sent (\d+) lost (\d+)$", output, re.MULTILINE).groups())
            replaced = sum("a new one is started" in line for line in machine.messages())
            hung = sum("the renderer hangs; it is killed" in line for line in machine.messages())
            print(f"{sent} streams, renderer lost {lost} times, replaced {replaced} times, {hung} of them hung")
            check(sent == count + 2, f"{sent} of {count + 2} streams were sent")
            check(f"lost by stream {first + count}\n" in output, "the endless draw came to an end")
            check(replaced == lost, f"the renderer was replaced {replaced} times, the guest lost it {lost} times")
            rebind(machine)
            draw_reference(machine, qmp, folder, "after")
            machine.type("poweroff -f\n")
            machine.expect_end(0)
    os.remove(disk)
