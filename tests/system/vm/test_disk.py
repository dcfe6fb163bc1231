# SPDX-License-Identifier: MIT
"""
The guest's disks and the files behind them: a host without space left, snapshot=on, readonly=on, discards,
and what is in the file when oriel is killed.
"""

import ctypes
import os
import resource
import signal

from machine import Machine, check, small_guest

MIB = 2**20
SIZE = 32 * MIB
ROOM = 12 * MIB  # on the host, for the disk of SIZE that does not fit
SMALL = 2 * MIB
CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 0x4000, 0x40000
# What RLIMIT_FSIZE sends would end a process that does not ignore it.
IGNORE_LIMIT = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh"]


def mount_small(folder):
    """A file system of ROOM that only this process and its children see; False if that is not allowed here."""
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNS) != 0:
        if libc.unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0:
            return False
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open("/proc/self/" + name, "w", encoding="ascii") as file:
                file.write(text)
    return libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0 and \
        libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={ROOM}".encode()) == 0


class Disk:
    """A file, and the guest's device that it is."""

    def __init__(self, folder, name, letter, options="", content=None):
        self.path, self.device = os.path.join(folder, name + ".img"), "/dev/vd" + letter
        self.unmaps = "discard=unmap" in options
        self.arguments = ["-drive", f"file={self.path},if=virtio{options}"]
        with open(self.path, "wb") as file:
            file.truncate(SIZE)
            if content:
                file.write(content * SIZE)

    def starts_with(self, content, offset=0):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(len(content)) == content

    def allocated(self):
        return os.stat(self.path).st_blocks * 512


def write(disk, letter, size, offset=0):
    """The guest's command that writes so many letters to the disk and flushes them."""
    return (f"tr '\\0' {letter} </dev/zero | head -c {size} |"
            f" dd of={disk.device} bs=64k iflag=fullblock oflag=direct conv=fsync seek={offset // 65536}")


def digest(letter, size):
    return f"$(tr '\\0' {letter} </dev/zero | head -c {size} | md5sum)"


def reads_back(disk, letter, size, offset=0):
    return (f"[ \"$(dd if={disk.device} bs=64k iflag=direct skip={offset // 65536} count={size // 65536} | md5sum)\""
            f" = \"{digest(letter, size)}\" ]")


def check_full(machine, disk, make_room):
    """What was flushed stays, what does not fit is an error, and with room again it fits."""
    machine.checked(write(disk, "a", SMALL))
    status, output = machine.command(write(disk, "b", SIZE - 4 * MIB, 4 * MIB))
    check(status != 0 and "error" in output, f"more than the host has room for was written: {output}")
    check(disk.starts_with(b"a" * SMALL), "the host's disk is full, and what was flushed before is damaged")
    machine.checked(reads_back(disk, "a", SMALL))
    make_room()
    machine.checked(write(disk, "c", SMALL, SIZE - SMALL))
    check(disk.starts_with(b"c" * SMALL, SIZE - SMALL), "what was written after there was room again is missing")


def check_snapshot(machine, disk):
    machine.checked(write(disk, "s", SMALL))
    machine.checked(reads_back(disk, "s", SMALL))
    check(disk.starts_with(b"o" * SIZE), "snapshot=on changed the file")


def check_readonly(machine, disk):
    machine.checked(reads_back(disk, "r", SMALL))
    check(machine.checked(f"cat /sys/block/{os.path.basename(disk.device)}/ro").strip() == "1", "not read-only")
    status, _ = machine.command(write(disk, "w", SMALL))
    check(status != 0, "a read-only disk was written to")
    check(disk.starts_with(b"r" * SIZE), "readonly=on changed the file")


def check_discard(machine, disk):
    """A discard frees the file's space if that was allowed, and otherwise changes nothing."""
    before = disk.allocated()
    check(before >= SIZE, f"the file has holes to begin with: {before} bytes")
    machine.checked(f"blkdiscard -o {SMALL} -l {SIZE - SMALL} {disk.device}")
    if disk.unmaps:
        check(disk.allocated() <= before - (SIZE - SMALL) + MIB, f"{disk.allocated()} bytes are still allocated")
        check(disk.starts_with(b"d" * SMALL + bytes(SIZE - SMALL)), "not what was discarded is gone")
    else:
        check(disk.starts_with(b"d" * SIZE) and disk.allocated() == before, "the discard changed the file")


def test(folder):
    small = os.path.join(folder, "small")
    os.mkdir(small)
    mounted = mount_small(small)
    full = Disk(small, "full", "a")
    snapshot = Disk(folder, "snapshot", "b", ",snapshot=on", b"o")
    readonly = Disk(folder, "readonly", "c", ",readonly=on", b"r")
    discard = Disk(folder, "discard", "d", ",discard=unmap", b"d")
    killed = Disk(folder, "killed", "e")
    ignored = Disk(folder, "ignored", "f", "", b"d")
    ballast = os.path.join(small, "ballast")
    disks = (full, snapshot, readonly, discard, killed, ignored)
    options = small_guest("oriel.job=shell") + ["-accel", "soft"] + sum((disk.arguments for disk in disks), [])
    with Machine(folder, options, prefix=() if mounted else IGNORE_LIMIT) as machine:
        machine.wait_shell()
        machine.checked("dmesg -n 1; modprobe -a virtio_pci virtio_blk && [ -b /dev/vdf ]")
        if mounted:
            with open(ballast, "wb") as file:
                file.write(bytes(2 * SMALL))
            check_full(machine, full, lambda: os.remove(ballast))
        else:
            limits = resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE, (ROOM, limits[1]))
            check_full(machine, full,
                       lambda: resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE, limits))
        check_snapshot(machine, snapshot)
        check_readonly(machine, readonly)
        check_discard(machine, discard)
        check_discard(machine, ignored)
        machine.checked(write(killed, "k", SMALL))
        machine.process.send_signal(signal.SIGKILL)
        machine.expect_end(-signal.SIGKILL)
    check(killed.starts_with(b"k" * SMALL), "what the guest flushed is not in the file")
    check(snapshot.starts_with(b"o" * SIZE), "snapshot=on changed the file")
    for disk in disks:
        os.remove(disk.path)
