# SPDX-License-Identifier: MIT
"""A running oriel: its console to read and type on, its processes, its end."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time

# For anything a machine does, seconds: far beyond what a busy host takes, so that only a hang reaches it.
LIMIT = int(os.environ.get("ORIEL_LIMIT", "400"))

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


class Failure(Exception):
    """The test failed; the text says how."""


def check(truth, text):
    if not truth:
        raise Failure(text)


def program(name):
    """Where a program of the build is."""
    build = os.environ.get("ORIEL_BUILD", os.path.join(TOP, "build"))
    path = os.path.join(build, name)
    check(os.access(path, os.X_OK), f"no {path}: build it, or name the build folder in ORIEL_BUILD")
    return path


def guest(name):
    """Where a file of the Linux guest is."""
    path = os.path.join(os.environ.get("ORIEL_GUEST", os.path.join(TOP, "out", "guest")), name)
    check(os.path.exists(path), f"no {path}: run guest-drivers/linux/build")
    return path


def graphics_guest(append, *, memory="512M", mode=(256, 192), gpu=""):
    """Options that boot the graphics guest from its disk, whose writes are forgotten."""
    return [
        "-m", memory, "-kernel", guest("vmlinuz"), "-initrd", guest("initrd"),
        "-append", f"console=ttyS0 quiet panic=-1 {append}",
        "-drive", f"file={guest('disk.img')},if=virtio,snapshot=on",
        "-device", f"virtio-gpu-gl-pci,xres={mode[0]},yres={mode[1]}" + (gpu and "," + gpu), "-serial", "stdio",
    ]


def small_guest(append, *, memory="256M"):
    """Options that boot the guest without a disk and without graphics."""
    return [
        "-m", memory, "-kernel", guest("vmlinuz-cloud"), "-initrd", guest("initrd-cloud"),
        "-append", f"console=ttyS0 quiet panic=-1 {append}", "-serial", "stdio", "-display", "none",
    ]


def children(process):
    """The process numbers of a process's children."""
    numbers = []
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children", encoding="ascii") as file:
                numbers += [int(number) for number in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it or the thread ended
    return numbers


class Machine:
    """oriel with its serial port on pipes, or on the terminal given as file descriptor; prefix starts it."""

    def __init__(self, folder, options, *, name="oriel", environment=None, terminal=None, prefix=()):
        os.makedirs(folder, exist_ok=True)
        self.console_path = os.path.join(folder, name + ".console")
        self.messages_path = os.path.join(folder, name + ".stderr")
        self.text = ""  # what the guest wrote so far; guarded by changed
        self.ended = False  # it will write no more; guarded by changed
        self.at = 0  # what lies before was looked at
        self.commands = 0
        self.changed = threading.Condition()
        self.started = time.monotonic()
        with open(self.messages_path, "wb") as messages:
            self.process = subprocess.Popen(
                [*prefix, program("oriel"), *options], stdin=terminal if terminal is not None else subprocess.PIPE,
                stdout=terminal if terminal is not None else subprocess.PIPE, stderr=messages,
                env={**os.environ, **(environment or {})}, start_new_session=True)
        self.reader = None
        if terminal is None:
            self.listen(self.process.stdout.fileno(), self.process.stdin.fileno())

    def listen(self, source, sink):
        """Reads the console from one descriptor, types to the other."""
        self.sink = sink
        self.reader = threading.Thread(target=self._read, args=(source,), daemon=True)
        self.reader.start()

    def _read(self, source):
        with open(self.console_path, "wb") as log:
            while True:
                try:
                    data = os.read(source, 65536)
                except OSError:  # a terminal whose other end is closed
                    data = b""
                log.write(data)
                log.flush()
                with self.changed:
                    self.text += data.decode(errors="replace").replace("\r", "")
                    self.ended = not data
                    self.changed.notify_all()
                    if not data:
                        return

    def wait_for(self, pattern, limit=LIMIT):
        """The match of a regular expression in what the guest writes, from where the last one ended."""
        expression, deadline = re.compile(pattern, re.MULTILINE), time.monotonic() + limit
        with self.changed:
            while True:
                match = expression.search(self.text, self.at)
                if match:
                    self.at = match.end()
                    return match
                check(not self.ended, f"oriel ended before the guest wrote '{pattern}'")
                left = deadline - time.monotonic()
                check(left > 0, f"the guest did not write '{pattern}' within {limit} s")
                self.changed.wait(left)

    def wait_milestone(self, name, limit=LIMIT):
        """The detail behind a milestone of the guest (guest-drivers/linux/README.md)."""
        # A shell's prompt may be on the line already.
        return self.wait_for(rf"(?:^|\x1b\[6n|[#$] )oriel: [0-9.]+ {name}(?: (.*))?\n", limit).group(1)

    def type(self, text):
        os.write(self.sink, text.encode())

    def wait_shell(self, limit=LIMIT):
        self.wait_for(r"[#$] (?:\x1b\[6n)?\Z", limit)

    def command(self, text, limit=LIMIT):
        """Runs a command in the guest's shell: (exit status, what it wrote)."""
        self.commands += 1
        tag = f"{self.commands:04}"
        # Quotes keep the echo of what is typed apart from what the shell then writes.
        self.type(f"echo B''{tag}; {text}; echo E''{tag} $?\n")
        self.wait_for(rf"^B{tag}\n", limit)
        start = self.at
        match = self.wait_for(rf"E{tag} ([0-9]+)\n", limit)
        return int(match.group(1)), self.text[start:match.start()]

    def checked(self, text, limit=LIMIT):
        """The same for a command that must succeed: what it wrote."""
        status, output = self.command(text, limit)
        check(status == 0, f"in the guest: '{text}' ended with status {status}: {output.strip()}")
        return output

    def picture(self, other_than=()):
        """The process number of the picture; a new one if some are excluded."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            check(self.process.poll() is None, "oriel ended")
            # Its parent is the launcher, which is oriel's child.
            pictures = [picture for launcher in children(self.process.pid) for picture in children(launcher)]
            fresh = [number for number in pictures if number not in other_than]
            if fresh:
                return fresh[0]
            time.sleep(0.01)
        raise Failure("no picture process")

    def messages(self):
        """What oriel and its picture said, lines."""
        with open(self.messages_path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def said(self, pattern, since=0):
        """The match of a regular expression in a line (from one on) that oriel or its picture said, or None."""
        return next(filter(None, (re.search(pattern, line) for line in self.messages()[since:])), None)

    def wait_message(self, pattern, limit=LIMIT):
        """The same, once it is said."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            match = self.said(pattern)
            if match:
                return match
            check(self.process.poll() is None, f"oriel ended before it said '{pattern}'")
            time.sleep(0.05)
        raise Failure(f"oriel did not say '{pattern}' within {limit} s")

    def stop(self):
        """Ends it the way a user's kill does: with status 0."""
        self.process.terminate()
        self.expect_end(0)

    def wait(self, limit=LIMIT):
        """The exit status; minus the signal's number if one ended it."""
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failure(f"oriel did not end within {limit} s") from None
        if self.reader and self.process.stdout:
            self.reader.join()
        return status

    def expect_end(self, status=0, limit=LIMIT):
        ended = self.wait(limit)
        check(ended == status, f"oriel ended with status {ended}, not {status}")

    def close(self):
        """Whatever happened, nothing of it runs on."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def need(name, group="test"):
    """A program of the host that the test needs; installed by scripts/deps where that can be."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        subprocess.run([os.path.join(TOP, "scripts", "deps"), group], check=False)
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    check(path, f"no {name} on this host: run scripts/deps {group}")
    return path
