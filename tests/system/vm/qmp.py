# SPDX-License-Identifier: MIT
"""A client of oriel's machine protocol, on a socket in a folder of its own."""

import json
import os
import socket
import tempfile
import time

from machine import LIMIT, Failure, check


class Qmp:
    """options() goes on oriel's command line; then connect()."""

    def __init__(self):
        # A socket's name is short, which a build folder's need not be.
        self.folder = tempfile.TemporaryDirectory(prefix="oriel-qmp.")
        self.path = os.path.join(self.folder.name, "qmp")
        self.socket = self.file = None
        self.events = []

    def options(self):
        return ["-qmp", f"unix:{self.path},server=on,wait=off"]

    def connect(self, machine):
        deadline = time.monotonic() + LIMIT
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(self.path)
                break
            except OSError:
                self.socket.close()
                check(machine.process.poll() is None, "oriel ended before it took a QMP client")
                check(time.monotonic() < deadline, f"oriel took no QMP client within {LIMIT} s")
                time.sleep(0.05)
        self.socket.settimeout(LIMIT)
        self.file = self.socket.makefile("r", encoding="utf-8")
        check("QMP" in self.receive(), "the greeting is not QMP's")
        self.execute("qmp_capabilities")

    def receive(self):
        try:
            line = self.file.readline()
        except TimeoutError:
            raise Failure(f"oriel said nothing by QMP for {LIMIT} s") from None
        check(line, "oriel closed the QMP connection")
        return json.loads(line)

    def execute(self, command, **arguments):
        """What the command returns; it must succeed. Events that come meanwhile are kept."""
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self.socket.sendall((json.dumps(request) + "\n").encode())
        while True:
            message = self.receive()
            if "event" in message:
                self.events.append(message)
                continue
            check("return" in message, f"QMP {command}: {message}")
            return message["return"]

    def wait_event(self, name):
        """The data of an event; earlier ones of other names are dropped."""
        while True:
            message = self.events.pop(0) if self.events else self.receive()
            if message.get("event") == name:
                return message.get("data")

    def close(self):
        for end in (self.file, self.socket):
            if end:
                end.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
