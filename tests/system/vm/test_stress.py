# SPDX-License-Identifier: MIT
"""What several processors have to agree on, all at once: the stress job of the Linux guest (guest-drivers/linux/stress-job),
by ORIEL_STRESS_SMP processors (2) for ORIEL_STRESS_SECONDS (20). No stressor may find a wrong result, nor the guest's
kernel have anything to report."""

import os

from machine import Machine, check, guest

PROCESSORS = os.environ.get("ORIEL_STRESS_SMP", "2")
SECONDS = os.environ.get("ORIEL_STRESS_SECONDS", "20")


def test(folder):
    options = [
        "-accel", "soft", "-smp", PROCESSORS, "-m", "1G", "-display", "none", "-no-reboot", "-serial", "stdio",
        "-kernel", guest("vmlinuz"), "-initrd", guest("initrd"),
        "-append", f"console=ttyS0 quiet panic=-1 oriel.job=stress oriel.time={SECONDS}",
        "-drive", f"file={guest('disk.img')},if=virtio,snapshot=on",
    ]
    with Machine(folder, options) as machine:
        status = machine.wait_milestone("done", 400 + 3 * int(SECONDS))
        check(status == "0", f"the stress job ended with status {status}")
        machine.expect_end(0)
