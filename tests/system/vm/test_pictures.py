# SPDX-License-Identifier: MIT
"""The tests' own judgement: the reference cube passes, and every wrong cube made from it fails."""

import os

from cube import REFERENCE, check_cube
from machine import Failure, check
from picture import Picture, read_png, read_xwd, write_png


def map_rows(picture, change):
    return Picture(picture.width, picture.height, [change(row) for row in picture.rows])


def swap_red_and_blue(row):
    row = bytearray(row)
    row[0::3], row[2::3] = row[2::3], row[0::3]
    return row


def mirror(row):
    row = bytearray(row)
    for channel in range(3):
        row[channel::3] = row[channel::3][::-1]
    return row


def grey(row):
    return bytearray([128]) * len(row)


def wrong_cubes(cube):
    yield "colours swapped", map_rows(cube, swap_red_and_blue)
    yield "upside down", Picture(cube.width, cube.height, cube.rows[::-1])
    yield "mirrored", map_rows(cube, mirror)
    yield "one pixel to the side", map_rows(cube, lambda row: row[-3:] + row[:-3])
    yield "darker", map_rows(cube, lambda row: bytearray(value * 9 // 10 for value in row))
    yield "no cube", map_rows(cube, grey)
    yield "half of it", Picture(cube.width, cube.height // 2, cube.rows[:cube.height // 2])
    yield "cut off", Picture(cube.width, cube.height, cube.rows[:100] + [grey(row) for row in cube.rows[100:]])


def write_xwd(path, picture):
    """As Xvfb does: little-endian pixels behind a big-endian header."""
    fields = [100, 7, 2, 24, picture.width, picture.height, 0, 0, 32, 0, 32, 32, 4 * picture.width, 4,
              0xff0000, 0xff00, 0xff, 8, 256, 0, picture.width, picture.height, 0, 0, 0]
    with open(path, "wb") as file:
        file.write(b"".join(field.to_bytes(4, "big") for field in fields))
        for row in picture.rows:
            line = bytearray(4 * picture.width)
            line[0::4], line[1::4], line[2::4] = row[2::3], row[1::3], row[0::3]
            file.write(line)


def test(folder):
    cube = read_png(REFERENCE)
    path = os.path.join(folder, "copy.png")
    write_png(path, cube)
    check_cube(path, folder)

    write_xwd(os.path.join(folder, "copy.xwd"), cube)
    dump = read_xwd(os.path.join(folder, "copy.xwd"))
    check(dump.rows == cube.rows, "a window dump does not come back as it was written")

    for name, picture in wrong_cubes(cube):
        write_png(path, picture)
        try:
            check_cube(path, folder)
        except Failure:
            continue
        raise Failure(f"a wrong cube passes: {name}")
