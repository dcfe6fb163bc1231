# SPDX-License-Identifier: MIT
"""
What the kernel says of each thread of a running machine: filtered, a vCPU's twice; its picture too, and the next one; the
launcher, which starts it, is not. With -sandbox off nothing is.
"""

import os
import signal

from machine import Machine, check, children, small_guest
from qmp import Qmp

OPTIONS = small_guest("oriel.job=shell") + ["-accel", "soft", "-device", "virtio-gpu-pci"]
FILTER = 2  # SECCOMP_MODE_FILTER


def threads(process):
    """The status of each thread of a process by its name: a list of dictionaries, for names are not unique."""
    found = []
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/status", encoding="ascii", errors="replace") as file:
            found.append(dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line))
    return found


def check_filters(process, mode, count=None):
    """Every thread is in this mode; each has count filters, one more if it is a vCPU's."""
    for status in threads(process):
        name = status["Name"]
        check(int(status["Seccomp"]) == mode, f"{name}: Seccomp: {status['Seccomp']}")
        check(int(status["NoNewPrivs"]) == (1 if count else 0), f"{name}: NoNewPrivs: {status['NoNewPrivs']}")
        if count and "Seccomp_filters" in status:  # Linux 5.9
            wanted = count + (1 if name.startswith("vcpu-") else 0)
            check(int(status["Seccomp_filters"]) == wanted, f"{name}: {status['Seccomp_filters']} filters")


def own_filters():
    """How many this test has itself, in a container for example."""
    status = threads("self")[0]
    return int(status["Seccomp"]), int(status.get("Seccomp_filters", 0))


def test_on(folder):
    _, already = own_filters()
    with Qmp() as qmp, Machine(folder, OPTIONS + qmp.options(), name="on") as machine:
        qmp.connect(machine)
        machine.wait_shell()
        names = [status["Name"] for status in threads(machine.process.pid)]
        check("vcpu-0" in names and len(names) > 3, f"the machine's threads are {names}")
        check_filters(machine.process.pid, FILTER, already + 1)
        picture = machine.picture()
        check_filters(picture, FILTER, already + 1)
        launcher, = children(machine.process.pid)
        check(int(threads(launcher)[0]["NoNewPrivs"]) == 1, "the launcher may gain privileges")
        os.kill(picture, signal.SIGKILL)
        check_filters_of_next(machine, picture, already + 1)
        qmp.execute("system_reset")
        machine.wait_for(r"oriel: [0-9.]+ init\n")  # behind the prompt
        machine.wait_shell()
        check_filters(machine.process.pid, FILTER, already + 1)
        machine.stop()
    check(not machine.said(r"system call [0-9]|without a sandbox"), "something was refused or warned of")


def check_filters_of_next(machine, old, count):
    """Its list comes when its driver runs."""
    picture = machine.picture(other_than=[old])
    while any(int(status["Seccomp_filters"]) < count for status in threads(picture)):
        check(machine.process.poll() is None, "oriel ended")
    check_filters(picture, FILTER, count)


def test_off(folder):
    mode, _ = own_filters()
    with Machine(folder, OPTIONS + ["-sandbox", "off"], name="off") as machine:
        machine.wait_shell()
        check_filters(machine.process.pid, mode)
        check_filters(machine.picture(), mode)
        machine.stop()


def test(folder):
    test_on(folder)
    test_off(folder)
