# SPDX-License-Identifier: MIT
"""
The picture's process is killed, then stopped, while the guest draws: it is replaced each time, the
guest goes on, and its driver, bound anew, draws what it drew before.
"""

import os
import signal

from desktop import draw_forever, draw_reference, end_programs, prepare, rebind, shell_options
from machine import Machine, check
from qmp import Qmp


WATCHDOG = "no answer for 30 s; it is killed"
REPLACED = r"killed by signal 9 .*; a new one is started"


def loses(machine, qmp, folder, number):
    """The picture gets the signal while the guest draws: how often the shell answered until it was replaced."""
    draw_forever(machine)
    old, since, answers = machine.picture(), len(machine.messages()), 0
    os.kill(old, number)
    while not machine.said(REPLACED, since):
        machine.checked("true")
        answers += 1
    machine.picture(other_than=[old])
    end_programs(machine)
    rebind(machine)
    draw_reference(machine, qmp, folder, f"after-{number.name.lower()}")
    return answers


def reset_while_hung(machine, qmp, folder):
    """The driver resets a device whose picture hangs: it waits for that a moment, not until the watchdog wakes."""
    draw_forever(machine)
    old, since = machine.picture(), len(machine.messages())
    os.kill(old, signal.SIGSTOP)
    end_programs(machine)
    rebind(machine)
    machine.wait_message(REPLACED)
    check(machine.said("RESET_DEVICE.*; it is killed", since), "the reset did not replace the picture")
    check(not machine.said(WATCHDOG, since), "the guest's processor waited until the watchdog woke")
    draw_reference(machine, qmp, folder, "after-reset")


def test(folder):
    with Qmp() as qmp, Machine(folder, shell_options(qmp)) as machine:
        qmp.connect(machine)
        prepare(machine)
        draw_reference(machine, qmp, folder, "before")
        loses(machine, qmp, folder, signal.SIGKILL)
        reset_while_hung(machine, qmp, folder)
        since = len(machine.messages())
        answers = loses(machine, qmp, folder, signal.SIGSTOP)
        check(machine.said(WATCHDOG, since), "oriel does not say that its picture hung")
        check(answers > 1, "the guest's processor waited for the picture")
        machine.type("poweroff -f\n")
        machine.expect_end(0)
