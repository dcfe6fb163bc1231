# SPDX-License-Identifier: MIT
"""What a stock kernel makes of the software CPU's paravirtual side, and what the CPU says that it counted."""

import time

from machine import Machine, check, small_guest
from qmp import Qmp

SOFT = ["-accel", "soft", "-smp", "2"]
SHELL = "oriel.job=shell"
CLOCKS = "/sys/devices/system/clocksource/clocksource0"

# What Linux says of each thing that it uses.
USED = (
    "Hypervisor detected: KVM",
    "kvm-clock: Using msrs 4b564d01 and 4b564d00",
    "KVM setup pv remote TLB flush",
    "PV spinlocks enabled",
    "setup PV IPIs",
)
TROUBLE = ("soft lockup", "rcu: INFO", "Marking clocksource", "unstable", "Call Trace")

# Both processors start programs, hand bytes to each other and forget their memory again.
WORK = ("for i in 1 2 3 4; do (j=0; while [ $j -lt 15 ]; do echo $j | cat >/dev/null; j=$((j + 1)); done) & done; wait")


def check_clock(machine):
    """The guest's time of day is the host's, give or take a second: Linux sets it by a clock of whole ones, plus a half."""
    before = int(time.time())
    guest = int(machine.checked("date -u +%s"))
    check(before - 1 <= guest <= int(time.time()) + 1, f"the guest's time is {guest}, not {before}")


def numbers(qmp, target):
    """Of each object that is counted for: its numbers by name."""
    results = qmp.execute("query-stats", target=target)
    return [{stat["name"]: stat["value"] for stat in result["stats"]} for result in results]


def check_numbers(qmp):
    schemas = {schema["target"]: [stat["name"] for stat in schema["stats"]]
               for schema in qmp.execute("query-stats-schemas", provider="soft")}
    machine, cpus = numbers(qmp, "vm"), numbers(qmp, "vcpu")
    check(len(machine) == 1 and len(cpus) == 2, f"{len(machine)} machines, {len(cpus)} processors")
    check(list(machine[0]) == schemas["vm"] and list(cpus[0]) == schemas["vcpu"], f"other names than {schemas}")
    for name in ("blocks_translated", "call_outs", "interrupts", "halts"):
        check(all(cpu[name] > 0 for cpu in cpus), f"{name}: {[cpu[name] for cpu in cpus]}")
    # Hypercalls are up to chance: Linux makes them for spin locks under contention and for interrupts to some of many.
    for name in ("page_faults", "tlb_flushes_local"):
        check(any(cpu[name] > 0 for cpu in cpus), f"no {name}")


def test_used(folder):
    """The kernel finds and uses all of it; clocks agree; a pause does no harm; the CPU has counted."""
    with Qmp() as qmp, Machine(folder, small_guest(SHELL) + SOFT + qmp.options(), name="used") as machine:
        qmp.connect(machine)
        machine.wait_milestone("init")
        machine.wait_shell()
        check_clock(machine)
        log = machine.checked("dmesg")
        for text in USED:
            check(text in log, f"the kernel does not say '{text}'")
        machine.checked(WORK)
        machine.checked(f"echo kvm-clock >{CLOCKS}/current_clocksource && grep kvm-clock {CLOCKS}/current_clocksource")
        machine.checked(WORK)
        check_clock(machine)
        qmp.execute("stop")
        qmp.execute("cont")
        check_clock(machine)
        check_numbers(qmp)
        log = machine.checked("dmesg")
        for text in TROUBLE:
            check(text not in log, f"the kernel says '{text}'")
        machine.type("poweroff -f\n")
        machine.expect_end(0)


def test_hidden(folder):
    """With kvm=off it is another hypervisor's guest, and works all the same."""
    options = small_guest(SHELL) + SOFT + ["-cpu", "max,kvm=off"]
    with Machine(folder, options, name="hidden") as machine:
        machine.wait_milestone("init")
        machine.wait_shell()
        log = machine.checked("dmesg")
        check("kvm-clock" not in log and "detected: KVM" not in log, "the kernel has found KVM")
        machine.checked(WORK)
        machine.type("poweroff -f\n")
        machine.expect_end(0)


def test(folder):
    test_used(folder)
    test_hidden(folder)
