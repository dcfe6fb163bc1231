# SPDX-License-Identifier: MIT
"""Every block of the guest's kernel, as it lies in its file, is translated to what the interpreter does: no
machine is started, but only a guest image has such code."""

import lzma
import os
import struct
import subprocess

from machine import LIMIT, Failure, check, guest, program


def unpack(bzimage, path):
    """Writes the ELF file in a bzImage, packed as Debian packs it (Linux, Documentation/arch/x86/boot.rst)."""
    with open(bzimage, "rb") as file:
        image = file.read()
    check(image[0x202:0x206] == b"HdrS", f"{bzimage} is no bzImage")
    start = (image[0x1f1] + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
    try:
        kernel = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(image[start:])
    except lzma.LZMAError as error:
        raise Failure(f"{bzimage} is not packed with xz") from error
    with open(path, "wb") as file:
        file.write(kernel)


def test(folder):
    kernel = os.path.join(folder, "vmlinux")
    unpack(guest("vmlinuz"), kernel)
    with open(os.path.join(folder, "blocks.log"), "wb") as log:
        done = subprocess.run([program("tests/core/engine/soft/translator/test_soft_real_blocks"), kernel],
                              stdout=log, stderr=log, timeout=4 * LIMIT, check=False)
    os.unlink(kernel)
    check(done.returncode == 0, f"it ended with status {done.returncode}")
