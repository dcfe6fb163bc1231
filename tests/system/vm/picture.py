# SPDX-License-Identifier: MIT
"""Pictures as tests see them: 8-bit RGB, read from PNG files and X window dumps, compared, written."""

import struct
import zlib

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Picture:
    """width x height pixels, rows of 3 bytes a pixel."""

    def __init__(self, width, height, rows):
        self.width, self.height, self.rows = width, height, rows

    def pixel(self, x, y):
        return tuple(self.rows[y][3 * x:3 * x + 3])

    def crop(self, x, y, width, height):
        return Picture(width, height, [row[3 * x:3 * (x + width)] for row in self.rows[y:y + height]])


def _unfilter(kind, line, above, step):
    """Undoes one of PNG's row filters in place."""
    if kind == 0:
        return
    for i, value in enumerate(line):
        left = line[i - step] if i >= step else 0
        up = above[i]
        corner = above[i - step] if i >= step else 0
        if kind == 1:
            value += left
        elif kind == 2:
            value += up
        elif kind == 3:
            value += (left + up) // 2
        elif kind == 4:
            guess = left + up - corner
            value += min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
        else:
            raise ValueError(f"no row filter {kind}")
        line[i] = value & 255


def read_png(path):
    """An 8-bit RGB or RGBA PNG without interlace; alpha is left out."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != PNG_SIGNATURE:
        raise ValueError("not a PNG file")
    at, packed, header = 8, b"", None
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    if header is None:
        raise ValueError("a PNG without a header")
    width, height, depth, colour, _, _, interlace = header
    if depth != 8 or colour not in (2, 6) or interlace:
        raise ValueError("not 8-bit RGB")
    step = 3 if colour == 2 else 4
    raw = zlib.decompress(packed)
    stride = 1 + width * step
    if len(raw) < height * stride:
        raise ValueError("a PNG cut short")
    rows, above = [], bytearray(width * step)
    for y in range(height):
        line = bytearray(raw[y * stride + 1:(y + 1) * stride])
        _unfilter(raw[y * stride], line, above, step)
        above = line
        if step == 4:
            line = bytearray(len(line) // 4 * 3)
            for channel in range(3):
                line[channel::3] = above[channel::4]
        rows.append(line)
    return Picture(width, height, rows)


def write_png(path, picture):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    raw = b"".join(b"\0" + bytes(row) for row in picture.rows)
    with open(path, "wb") as file:
        file.write(PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def read_xwd(path):
    """A dump of an X window with 32 bits a pixel, as xwd writes it and Xvfb keeps it (-fbdir)."""
    with open(path, "rb") as file:
        data = file.read()
    order = ">"
    fields = struct.unpack(order + "25I", data[:100])
    header_size, version, image_format = fields[0], fields[1], fields[2]
    width, height, byte_order, bits, stride = fields[4], fields[5], fields[7], fields[11], fields[12]
    masks, colours = fields[14:17], fields[19]
    if version != 7 or image_format != 2 or bits != 32 or masks != (0xff0000, 0xff00, 0xff):
        raise ValueError("not an X window dump of 32 bits a pixel")
    start = header_size + 12 * colours
    channels = (1, 2, 3) if byte_order == 1 else (2, 1, 0)
    rows = []
    for y in range(height):
        line = data[start + y * stride:start + y * stride + 4 * width]
        row = bytearray(3 * width)
        for to, channel in enumerate(channels):
            row[to::3] = line[channel::4]
        rows.append(row)
    return Picture(width, height, rows)


def difference(a, b, tolerance):
    """
    How many pixels differ by more than tolerance in a channel, and a picture of them: what is equal
    is dark, what differs is red. Pictures of different sizes differ in every pixel.
    """
    if (a.width, a.height) != (b.width, b.height):
        return a.width * a.height, a
    count, rows = 0, []
    for row_a, row_b in zip(a.rows, b.rows):
        row = bytearray(value // 4 for value in row_a)
        if row_a != row_b:
            for x in range(a.width):
                at = 3 * x
                if any(abs(row_a[at + i] - row_b[at + i]) > tolerance for i in range(3)):
                    count += 1
                    row[at:at + 3] = b"\xff\0\0"
        rows.append(row)
    return count, Picture(a.width, a.height, rows)
