# SPDX-License-Identifier: MIT
"""How a machine starts, starts again, panics and ends, and the state in which it leaves the terminal."""

import os
import signal
import termios
import time

from machine import LIMIT, Machine, check, graphics_guest, small_guest
from qmp import Qmp

SOFT = ["-accel", "soft"]
SHELL = "oriel.job=shell"
PVPANIC_PORT = 0x505


def test_reset_in_place(folder):
    """A shell answers; the guest starts anew in the same process; then it powers off."""
    with Qmp() as qmp, Machine(folder, small_guest(SHELL) + SOFT + qmp.options(), name="reset") as machine:
        qmp.connect(machine)
        for _ in range(2):
            machine.wait_milestone("init")
            machine.wait_shell()
            # Nothing is left of the boot before.
            machine.checked("[ ! -e /tmp/mark ] && echo mark >/tmp/mark")
            check(machine.checked("echo $((6 * 7))").strip() == "42", "the shell cannot count")
            if machine.text.count(" init\n") == 1:
                machine.type("reboot -f\n")
                qmp.wait_event("RESET")
        machine.type("poweroff -f\n")
        check(qmp.wait_event("SHUTDOWN")["guest"], "the end was not the guest's")
        machine.expect_end(0)


def test_no_reboot(folder):
    """With -no-reboot the same reset ends the program."""
    options = small_guest("oriel.job=none oriel.end=reboot") + SOFT + ["-no-reboot"]
    with Machine(folder, options, name="no-reboot") as machine:
        machine.wait_milestone("done")
        machine.expect_end(0)
        check(machine.text.count(" init\n") == 1, "the guest was started twice")


def test_panic(folder):
    """The guest says that it panics, which is reported once; it panics and starts anew; QMP ends it."""
    # The cloud kernel has no /dev/port.
    options = graphics_guest(SHELL) + ["-display", "none"] + SOFT
    with Qmp() as qmp, Machine(folder, options + qmp.options(), name="panic") as machine:
        qmp.connect(machine)
        machine.wait_shell()
        for _ in range(3):
            machine.checked(f"[ -c /dev/port ] && printf '\\001' | dd of=/dev/port bs=1 seek={PVPANIC_PORT}")
        qmp.wait_event("GUEST_PANICKED")
        machine.wait_message("the guest panicked")
        machine.type("echo c >/proc/sysrq-trigger\n")
        machine.wait_for("Kernel panic")
        qmp.wait_event("RESET")
        machine.wait_milestone("init")
        machine.wait_shell()
        check(qmp.execute("query-status")["running"], "the machine does not run")
        check(sum("the guest panicked" in line for line in machine.messages()) == 1, "one panic was reported twice")
        qmp.execute("quit")
        machine.expect_end(0)


class Terminal:
    """A terminal for oriel to run on."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        self.before = self.modes()

    def modes(self):
        return termios.tcgetattr(self.slave)

    def wait_raw(self, machine):
        deadline = time.monotonic() + LIMIT
        while self.modes()[3] & termios.ICANON:
            check(machine.process.poll() is None, "oriel ended before it took the terminal")
            check(time.monotonic() < deadline, "oriel does not take the terminal")
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.slave)
        os.close(self.master)


def ends_on_terminal(folder, name, options, end, status):
    with Terminal() as terminal:
        with Machine(folder, options + SOFT, name="terminal-" + name, terminal=terminal.slave) as machine:
            machine.listen(terminal.master, terminal.master)
            terminal.wait_raw(machine)
            end(machine)
            machine.expect_end(status)
        check(terminal.modes() == terminal.before, f"{name}: the terminal is not as it was")


def ends_by_signal(folder, number, status):
    """The machine is made but does not run, which makes no difference here."""
    with Qmp() as qmp:
        def send(machine):
            qmp.connect(machine)
            machine.process.send_signal(number)
        ends_on_terminal(folder, number.name.lower(), small_guest(SHELL) + ["-S"] + qmp.options(), send, status)


def ends_before_it_runs(folder, number):
    """The terminal is taken, and oriel still waits for a peer of its monitor."""
    ends_on_terminal(folder, "early-" + number.name.lower(),
                     small_guest(SHELL) + ["-qmp", "tcp:127.0.0.1:0,server=on"],
                     lambda machine: machine.process.send_signal(number), 0)


def quit_by_keys(machine):
    machine.wait_shell()
    check(machine.checked("echo $((6 * 7))").strip() == "42", "the shell cannot count")
    machine.type("\x01x")


def test_terminal(folder):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        ends_by_signal(folder, number, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        ends_before_it_runs(folder, number)
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT):
        ends_by_signal(folder, number, -number)
    ends_on_terminal(folder, "keys", small_guest(SHELL), quit_by_keys, 0)
    ends_on_terminal(folder, "poweroff", small_guest("oriel.job=none"),
                     lambda machine: machine.wait_milestone("done"), 0)


def test(folder):
    test_panic(folder)
    test_terminal(folder)
    test_reset_in_place(folder)
    test_no_reboot(folder)
