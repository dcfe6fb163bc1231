#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Wrong input to oriel and oriel-gpu: one exact line on stderr, exit status 1, nothing starts.

usage: test_bad_input.py ORIEL ORIEL_GPU

A row is: arguments, the line without the program's name, and environment variables to set (None: to unset).
A compiled pattern stands where the host has a say in the line. Rows run in a folder with the files that
make_files() makes.
"""

import os
import re
import shlex
import socket
import struct
import subprocess
import sys
import tempfile

TIMEOUT = 20  # seconds; nothing here waits for anything

WANTED = 'wanted is a Linux bzImage, an ELF kernel with a PVH entry, or a multiboot image'
SIZE = 'is not a size: a whole number, with suffix K, M, G or T if wanted'
MISSING = "something is missing before or after a comma or '=' (in a value, write ',,' for a comma)"
CHARDEVS = ('is no character device (null, stdio, file:PATH, pty, unix:PATH[,server=on][,wait=off], '
            'tcp:HOST:PORT[,server=on][,wait=off])')
SOCKET = 'is no socket (unix:PATH or tcp:HOST:PORT, with ,server=on,wait=off)'
WHEN = 'is not exit, serial:TEXT, time:SECONDS or frame:N (N from 1 on)'
GDB = 'is not tcp:[HOST]:PORT, with a port from 1 to 65535'
GPU_PROPERTIES = ('addr, max_outputs, xres, yres, edid, max_hostmem, max_contexts, max_resources, max_request, '
                  'max_shader, hang_time')
LOG_ITEMS = 'guest_errors, unimp, int, cpu_reset, exec, in_asm, stats, debug'
NO_FILE = 'No such file or directory'
NO_WINDOW = 'display sdl: no window system (DISPLAY and WAYLAND_DISPLAY lead nowhere)'
NO_DESKTOP = {'DISPLAY': None, 'WAYLAND_DISPLAY': None, 'XDG_RUNTIME_DIR': None}

# Refused while the command line is read: nothing else is given.
OPTIONS = [
    ('', '-kernel FILE is needed: there is no firmware to boot anything else'),
    ('-frobnicate', '-frobnicate: no such option; -help lists them'),
    ('-kernle x', '-kernle: no such option; did you mean -kernel?'),
    ('--devcie x', '--devcie: no such option; did you mean -device?'),
    ('-chardev stdio,id=a', '-chardev: no such option; -help lists them'),
    ('disk.img', "'disk.img': not an option; a disk is given as -drive file=disk.img, a kernel as -kernel disk.img"),
    ('-m', '-m: needs an argument: SIZE'),

    ('-accel foo', "-accel: no accelerator 'foo' (there is: kvm, soft)"),
    ('-accel kvn', "-accel: no accelerator 'kvn'; did you mean 'kvm'?"),
    ('-accel kvm,thread=multi', "-accel: no property 'thread' (there is: accel, translate, tb-size, host-fsgsbase)"),
    ('-machine pc', "-machine: no machine 'pc' (there is: q35)"),
    ('-accel kvm,translate=off', "-accel: 'kvm,translate=off': translate, tb-size and host-fsgsbase are of soft"),
    ('-accel soft,translate=maybe', "-accel: translate: 'maybe' is not one of off, on, check"),
    ('-accel soft,translate=check -smp 2', '-accel: translate=check is for one processor, not 2'),
    ('-accel soft,tb-size=1', "-accel: tb-size: '1' is not a size from 1M to 1G"),
    ('-machine q35,accel=tcg', "-machine: no accelerator 'tcg' (there is: kvm, soft)"),
    ('-M q35,usb=off', "-M: no property 'usb' (there is: type, accel)"),
    ("-cpu ''", "-cpu: '' names no model; '-cpu help' lists them"),
    ('-cpu nehalem', "-cpu: no model 'nehalem'; did you mean 'Nehalem'?"),
    ('-cpu z80', "-cpu: no model 'z80'; '-cpu help' lists them"),
    ('-cpu max,+popcmt', "-cpu: no flag 'popcmt'; did you mean 'popcnt'?"),
    ('-cpu max,-xyzzy', "-cpu: no flag 'xyzzy'; '-cpu help' lists them"),
    ('-cpu max,aes=perhaps', "-cpu: aes: 'perhaps' is not on or off"),
    ('-cpu max,family=six', "-cpu: family: 'six' is not a number from 0 to 270"),
    ('-cpu max,', '-cpu: a flag is missing before or after a comma'),
    ("-m ''", f"-m: '': {MISSING}"),
    ('-m 0', "-m: '0' is not a size from 1M to 4096G"),
    ('-m -1', f"-m: '-1' {SIZE}"),
    ('-m 12Q', f"-m: '12Q' {SIZE}"),
    ('-m 1.5G', f"-m: '1.5G' {SIZE}"),
    ('-m 512MB', f"-m: '512MB' {SIZE}"),
    ('-m 9000G', "-m: '9000G' is not a size from 1M to 4096G"),
    ('-m 1048577B', "-m: '1048577B' is not a multiple of 4K"),
    ('-m 1G,slots=2', "-m: no property 'slots' (there is: size)"),
    ('-smp 0', "-smp: cpus: '0' is not a number from 1 to 64"),
    ('-smp 1000', "-smp: cpus: '1000' is not a number from 1 to 64"),
    ('-smp two', "-smp: cpus: 'two' is not a number from 1 to 64"),
    ('-smp 2,sockets=2', "-smp: no property 'sockets' (there is: cpus)"),
    ("-name ''", '-name: a name has 1 to 64 bytes'),
    ('-initrd x', '-initrd: only a -kernel can use it'),
    ('-append x', '-append: only a -kernel can use it'),

    ('-drive if=none,id=d', "-drive: 'if=none,id=d' names no file (file=PATH)"),
    ('-drive file=disk,if=none', '-drive: if=none needs an id=, for -device ...,drive=ID'),
    ('-drive file=disk,if=ide', "-drive: if: 'ide' is not one of virtio, none"),
    ('-drive file=disk,format=qcow2', "-drive: format: 'qcow2' is not one of raw"),
    ('-drive file=disk,snapshot=maybe', "-drive: snapshot: 'maybe' is not on or off"),
    ('-drive file=disk,read-only=on', "-drive: no property 'read-only'; did you mean 'readonly'?"),
    ('-drive file=disk,cache=none',
     "-drive: no property 'cache' (there is: file, id, if, format, aio, discard, snapshot, readonly)"),
    ('-drive file=disk,aio=native', "-drive: aio: 'native' is not one of auto, threads, io_uring"),
    ('-drive file=disk,discard=trim', "-drive: discard: 'trim' is not one of ignore, unmap, off, on"),
    ('-drive file=disk,id=a -drive file=disk,id=a', "-drive: the id 'a' is that of a drive already"),
    ('-device virtio-rng-pci,id=a -device pvpanic,id=a', "-device: the id 'a' is that of a device already"),

    ("-device ''", f"-device: '': {MISSING}"),
    ('-device pvpanic,', f"-device: 'pvpanic,': {MISSING}"),
    ('-device id=a', "-device: 'id=a' names no device"),
    ('-device e1000', "-device: no device 'e1000'; '-device help' lists them"),
    ('-device virtio-gpu-gl-cpi', "-device: no device 'virtio-gpu-gl-cpi'; did you mean 'virtio-gpu-gl-pci'?"),
    ('-device virtio-gpu-gl-pci,xrez=1',
     "-device: virtio-gpu-gl-pci: no property 'xrez'; did you mean 'xres'?"),
    ('-device virtio-gpu-gl-pci,blob=on',
     f"-device: virtio-gpu-gl-pci: no property 'blob' (there is: {GPU_PROPERTIES})"),
    ('-device virtio-gpu-gl-pci,xres=15',
     "-device: virtio-gpu-gl-pci: xres: '15' is not a number from 16 to 16384"),
    ('-device virtio-gpu-gl-pci,id=g,yres=wide', "-device: g: yres: 'wide' is not a number from 16 to 16384"),
    ('-device virtio-gpu-pci,max_outputs=17',
     "-device: virtio-gpu-pci: max_outputs: '17' is not a number from 1 to 16"),
    ('-device virtio-gpu-pci,edid=5', "-device: virtio-gpu-pci: edid: '5' is not on or off"),
    ('-device virtio-gpu-pci,max_hostmem=2T',
     "-device: virtio-gpu-pci: max_hostmem: '2T' is not a size from 1M to 1T"),
    ('-device virtio-gpu-pci,max_contexts=0',
     "-device: virtio-gpu-pci: max_contexts: '0' is not a number from 1 to 65536"),
    ('-device virtio-gpu-pci,max_resources=-5',
     "-device: virtio-gpu-pci: max_resources: '-5' is not a number from 1 to 16777216"),
    ('-device virtio-gpu-pci,max_request=1K',
     "-device: virtio-gpu-pci: max_request: '1K' is not a size from 4K to 1G"),
    ('-device virtio-gpu-pci,max_shader=2G',
     "-device: virtio-gpu-pci: max_shader: '2G' is not a size from 1K to 1G"),
    ('-device virtio-gpu-pci,hang_time=1',
     "-device: virtio-gpu-pci: hang_time: '1' is not a number from 100 to 3600000"),
    ('-device virtio-rng-pci,addr=20',
     "-device: virtio-rng-pci: addr: '20' is not a PCI address: slot[.function] in hexadecimal, 0 to 1f.7"),
    ('-device virtio-rng-pci,addr=3.8',
     "-device: virtio-rng-pci: addr: '3.8' is not a PCI address: slot[.function] in hexadecimal, 0 to 1f.7"),
    ('-device virtio-rng-pci,addr=0x3',
     "-device: virtio-rng-pci: addr: '0x3' is not a PCI address: slot[.function] in hexadecimal, 0 to 1f.7"),
    ('-device virtio-blk-pci,logical_block_size=100',
     "-device: virtio-blk-pci: logical_block_size: '100' is not a number from 512 to 4096"),
    ('-device virtio-blk-pci,write-cache=perhaps',
     "-device: virtio-blk-pci: write-cache: 'perhaps' is not on or off"),
    ('-device isa-debug-exit,iobase=0x10000',
     "-device: isa-debug-exit: iobase: '0x10000' is not a number from 1 to 65528"),

    ('-display gtk', "-display: no display 'gtk' (there is: none, sdl, egl-headless)"),
    ('-display sld', "-display: no display 'sld'; did you mean 'sdl'?"),
    ('-display sdl,gl=perhaps', "-display: gl: 'perhaps' is not one of off, on, core, es"),
    ('-display none,gl=on', "-display: no property 'gl' (there is: none)"),
    ('-display egl-headless,rendernod=x', "-display: no property 'rendernod'; did you mean 'rendernode'?"),
    ('-serial null -serial null -serial null -serial null -serial stdio',
     "-serial: 'stdio' is one too many: there are 4 serial ports"),
    ('-screendump file=', "-screendump: 'file=' names no file (file=PATH)"),
    ('-screendump x,when=never', f"-screendump: when: 'never' {WHEN}"),
    ('-screendump x,when=frame:0', f"-screendump: when: 'frame:0' {WHEN}"),
    ('-screendump x,when=time:soon', f"-screendump: when: 'time:soon' {WHEN}"),
    ('-screendump x,head=16', "-screendump: head: '16' is not a number from 0 to 15"),
    ('-screendump x,format=ppm', "-screendump: no property 'format' (there is: file, head, when)"),
    ('-gdb 1234', f"-gdb: '1234' {GDB}"),
    ('-gdb tcp::0', f"-gdb: 'tcp::0' {GDB}"),
    ('-gdb tcp::99999', f"-gdb: 'tcp::99999' {GDB}"),
    ('-sandbox maybe', "-sandbox: enable: 'maybe' is not on or off"),
    ('-sandbox on,spawn=never', "-sandbox: spawn: 'never' is not one of deny, allow"),
    ('-d exce', "-d: no log item 'exce'; did you mean 'exec'?"),
    ('-d int,,exec', f"-d: no log item '' (there is: {LOG_ITEMS})"),
    ('-d mmu', f"-d: no log item 'mmu' (there is: {LOG_ITEMS})"),
    ('-qmp stdio', f"-qmp: 'stdio' {SOCKET}"),
    ('-monitor stdio', "-monitor: 'stdio' is not none, all there is"),
    ('-net user', "-net: 'user' is not none, all there is"),
    ('-nic user', "-nic: 'user' is not none, all there is"),
    ('-parallel stdio', "-parallel: 'stdio' is not none, all there is"),
    ('-vga std', "-vga: 'std' is not none, all there is"),
]

# Refused by what the command line names. MACHINE comes before each.
# What LeakSanitizer says when it has a leak of a library to pass over and no llvm-symbolizer to name it with.
SANITIZER = re.compile(r'==\d+==WARNING: .*external symbolizer')

MACHINE = '-accel soft -display none -serial none '
GOOD = MACHINE + '-kernel good '
GPU = GOOD + '-device virtio-gpu-pci '
NOT_READY = 'before it was ready: is it oriel-gpu?'
FILES = [
    (MACHINE + '-kernel missing', f"-kernel 'missing': {NO_FILE}"),
    (MACHINE + '-kernel folder', f"-kernel 'folder': not a regular file; {WANTED}"),
    (MACHINE + '-kernel /dev/null', f"-kernel '/dev/null': not a regular file; {WANTED}"),
    (MACHINE + '-kernel empty', f"-kernel 'empty': not a kernel but an empty file; {WANTED}"),
    (MACHINE + '-kernel zeros', f"-kernel 'zeros': not a kernel but data of an unknown kind; {WANTED}"),
    (MACHINE + '-kernel script', f"-kernel 'script': not a kernel but a script; {WANTED}"),
    (MACHINE + '-kernel elf-header', "-kernel 'elf-header': broken ELF file: the header is cut short"),
    (MACHINE + '-kernel elf-no-segments',
     "-kernel 'elf-no-segments': broken ELF file: no program headers, or too many"),
    (MACHINE + '-kernel bzimage-cut', "-kernel 'bzimage-cut': a bzImage that is cut short after 2563 bytes"),
    (MACHINE + '-kernel bzimage-lzo', "-kernel 'bzimage-lzo': compressed with lzo, which is not supported "
                                         '(gzip, xz, lzma, zstd and lz4 are)'),
    (GOOD + '-initrd missing', f"-initrd 'missing': {NO_FILE}"),
    (GOOD + '-initrd folder', "-initrd 'folder': not a regular file"),
    (GOOD + '-initrd empty', "-initrd 'empty': the file is empty"),
    (GOOD + '-m 2M -initrd large', re.compile("-initrd 'large': its 4.0.MiB do not fit into the RAM that the kernel leaves free "
                                      'below 4.0.GiB; give the guest more with -m')),
    (GOOD + '-m 1M', "-kernel 'good': it wants RAM from 0x100000 to 0x100024, which the guest has not; "
                     'give it more with -m'),
    (GOOD + '-m 4096G', re.compile(r'-m 4194304M: the host has only \d+M')),

    (GOOD + '-cpu max,+svm', '-cpu: the software CPU does not have svm; -cpu max is what it has'),
    (GOOD + '-cpu Haswell,enforce', re.compile('-cpu Haswell,enforce: the software CPU does not have .*rtm.*')),
    (GOOD + '-cpu max,+sse4.2,-sse4.1', '-cpu: sse4.2 needs sse4.1, which is switched off'),

    (GOOD + '-drive file=missing', f"-drive: cannot open 'missing' for writing: {NO_FILE}"),
    (GOOD + '-drive file=missing,snapshot=on', f"-drive: cannot open 'missing' for reading: {NO_FILE}"),
    (GOOD + '-drive file=folder', "-drive: cannot open 'folder' for writing: Is a directory"),
    (GOOD + '-drive file=folder,readonly=on', "-drive: 'folder' is neither a file nor a block device"),
    (GOOD + '-drive file=empty', "-drive: 'empty' is empty: a disk has at least one sector of 512 bytes"),
    (GOOD + '-drive file=disk,snapshot=on', '-drive: snapshot=on: no temporary file in nowhere '
                                              f'(TMPDIR names another folder): {NO_FILE}', {'TMPDIR': 'nowhere'}),
    (GOOD + '-drive file=disk -drive file=disk',
     "-drive: failed to get the \"write\" lock of 'disk': another process uses the image; readonly=on or "
     'snapshot=on share it with readers'),
    (GOOD + '-drive file=disk,if=none,id=d', '-drive if=none,id=d: no -device has it '
                                             '(-device virtio-blk-pci,drive=d)'),
    (GOOD + '-device virtio-blk-pci', '-device virtio-blk-pci: drive=: no -drive with if=none has that id'),
    (GOOD + '-device virtio-blk-pci,id=b,drive=x', '-device b: drive=x: no -drive with if=none has that id'),
    (GOOD + '-drive file=disk,id=d -device virtio-blk-pci,drive=d',
     '-device virtio-blk-pci: drive=d: that -drive makes a disk by itself; if=none leaves it to -device'),
    (GOOD + '-drive file=disk,if=none,id=d -device virtio-blk-pci,drive=d -device virtio-blk-pci,id=b,drive=d',
     '-device b: drive=d: another device has that drive already'),
    (GOOD + '-drive file=disk,if=none,id=d -device virtio-blk-pci,drive=d,serial=123456789012345678901',
     "-device virtio-blk-pci: serial: '123456789012345678901' is longer than 20 characters"),
    (GOOD + '-drive file=disk,if=none,id=d -device virtio-blk-pci,drive=d,logical_block_size=4096',
     '-device virtio-blk-pci: block sizes 4096 (logical) and 512 (physical): powers of two are wanted, the '
     'second no smaller than the first'),
    (GOOD + '-device virtio-rng-pci,addr=3 -device virtio-keyboard-pci,addr=3',
     '-device virtio-keyboard-pci: slot 03.0 of pci0 is taken by pci0/03.0; give another addr= or none'),
    (GOOD + '-device virtio-rng-pci,addr=1f',
     '-device virtio-rng-pci: slot 1f.0 of pci0 is taken by pci0/1f.0; give another addr= or none'),

    (GPU + '-display egl-headless,rendernode=missing',
     f"display egl-headless: render node 'missing': {NO_FILE}"),
    (GPU + '-display egl-headless,rendernode=/dev/null', "display egl-headless: '/dev/null' is not a render node"),
    (GPU + '-display egl-headless,rendernode=folder', "display egl-headless: render node 'folder': Is a directory"),
    (GPU + '-display sdl', NO_WINDOW, NO_DESKTOP),
    (GPU + '-display sdl', NO_WINDOW, {**NO_DESKTOP, 'DISPLAY': ':7777'}),
    (GPU + '-display sdl', NO_WINDOW, {**NO_DESKTOP, 'WAYLAND_DISPLAY': 'nobody'}),
    (GPU + '-display sdl', 'display sdl: no window system: nonsense not available', {'SDL_VIDEODRIVER': 'nonsense'}),

    (MACHINE + '-kernel good -serial foo', f"-serial: 'foo' {CHARDEVS}"),
    (GOOD + '-serial file:', f"-serial: 'file:' {CHARDEVS}"),
    (GOOD + '-serial file:folder', "-serial: file 'folder': Is a directory"),
    (GOOD + '-serial file:no/file', f"-serial: file 'no/file': {NO_FILE}"),
    (GOOD + '-serial unix:', "-serial: unix socket '': a path of 1 to 107 bytes is needed"),
    (GOOD + '-serial unix:missing', f"-serial: unix socket 'missing': {NO_FILE}"),
    (GOOD + '-serial unix:x,sever=on',
     "-serial: 'unix:x,sever=on': unknown option 'sever=on' (known: server=on|off, wait=on|off)"),
    (GOOD + '-serial tcp:1234', "-serial: tcp address '1234': HOST:PORT is needed"),
    (GOOD + '-qmp unix:', "-qmp: unix socket '': a path of 1 to 107 bytes is needed"),
    (GOOD + '-qmp unix:no/socket,server=on', f"-qmp: unix socket 'no/socket': {NO_FILE}"),
    (GOOD + '-qmp tcp:localhost', "-qmp: tcp address 'localhost': HOST:PORT is needed"),
    (GOOD + '-gdb tcp:127.0.0.1:@PORT@', re.compile(r'-gdb: tcp:127\.0\.0\.1:\d+: Address already in use')),
    (GOOD + '-D no/log', f"-D: log file 'no/log': {NO_FILE}"),
    (GOOD + '-D folder', "-D: log file 'folder': Is a directory"),

    (GOOD + '-screendump x', '-screendump: there is no GPU (-device virtio-gpu-gl-pci)'),
    (GPU + '-screendump no/picture', f"-screendump: 'no/picture': {NO_FILE}"),
    (GPU + '-screendump folder', "-screendump: 'folder': Is a directory"),
    (GPU + '-screendump script/x', "-screendump: 'script/x': Not a directory"),
    (GPU + '-screendump x,head=1', "-screendump: there is no head 1; the GPU's max_outputs is 1"),
    (GPU + '-screendump x,when=serial:hello',
     '-screendump: when=serial: there is no serial port (-serial)'),

    (GPU, f'ORIEL_GPU: missing: {NO_FILE}', {'ORIEL_GPU': 'missing'}),
    (GPU, 'ORIEL_GPU: folder: Permission denied', {'ORIEL_GPU': 'folder'}),
    (GPU, 'ORIEL_GPU: disk: Permission denied', {'ORIEL_GPU': 'disk'}),
    (GPU, f'/bin/false exited with status 1 {NOT_READY}', {'ORIEL_GPU': '/bin/false'}),
    (GPU, f'/bin/true exited with status 0 {NOT_READY}', {'ORIEL_GPU': '/bin/true'}),
    (GPU, f'./suicide killed by signal 9 (Killed) {NOT_READY}', {'ORIEL_GPU': './suicide'}),
]

# oriel-gpu's own command line.
VTEST = '--vtest=socket '
PICTURE = [
    ('', 'give one of --socket-path=PATH, --vhost-fd=N and --vtest=PATH: who brings the requests'),
    ('--socket-path=a --vtest=b',
     'give one of --socket-path=PATH, --vhost-fd=N and --vtest=PATH: who brings the requests'),
    ('--frobnicate', '--frobnicate: no such option; --help lists them'),
    ('--max-contxts=3', '--max-contxts: no such option; did you mean --max-contexts?'),
    ('socket', 'socket: no such argument (see --help)'),
    ('--vtest=', '--vtest: a path is needed'),
    ('--vtest=no/socket', f"vtest: socket 'no/socket': {NO_FILE}"),
    ('--vtest=folder', "vtest: socket 'folder': Address already in use"),
    ('--vtest=@BUSY@', "vtest: socket 'busy': Address already in use"),
    ('--socket-path=no/socket', f'--socket-path=no/socket: {NO_FILE}'),
    ('--socket-path=folder', '--socket-path=folder: Address already in use'),
    ('--socket-path=' + 'x' * 200, f"--socket-path={'x' * 200}: at most 107 bytes are possible"),
    ('--vhost-fd=99', '--vhost-fd=99: that descriptor is no socket'),
    ('--vhost-fd=1', '--vhost-fd=1: that descriptor is no socket'),
    ('--vhost-fd=-7', '--vhost-fd=-7: that descriptor is no socket'),
    ('--vhost-fd=x', re.compile('Cannot parse integer value .x. for --vhost-fd')),
    (VTEST + '--control-fd=99', '--control-fd=99: that descriptor is no socket'),
    (VTEST + '--backend=vulkan', re.compile("GPU back end 'vulkan' is not in this build, which has '2d'.*")),
    (VTEST + '--display=gtk', re.compile("no display 'gtk'; there are: none, egl-headless.*")),
    (VTEST + '--rendernode=/dev/null', "display none: '/dev/null' is not a render node"),
    (VTEST + '--xres=1', '--xres=1: a number from 16 to 16384 is possible'),
    (VTEST + '--yres=100000', '--yres=100000: a number from 16 to 16384 is possible'),
    (VTEST + '--max-outputs=0', '--max-outputs=0: a number from 1 to 16 is possible'),
    (VTEST + '--max-hostmem=1', f'--max-hostmem=1: a number from 1048576 to {2 ** 40} is possible'),
    (VTEST + '--max-contexts=0', '--max-contexts=0: a number from 1 to 65536 is possible'),
    (VTEST + '--max-resources=0', '--max-resources=0: a number from 1 to 16777216 is possible'),
    (VTEST + '--max-request=1', '--max-request=1: a number from 4096 to 1073741824 is possible'),
    (VTEST + '--max-shader=1', '--max-shader=1: a number from 1024 to 1073741824 is possible'),
    (VTEST + '--sandbox=maybe', '--sandbox=maybe: on and off are possible'),
    (VTEST + '--log=int,none', '--log=int,none: guest_errors and debug are possible'),
    (VTEST + '--log=int', '--log=int: guest_errors and debug are possible'),
    (VTEST + '--log-file=no/log', f"--log-file: log file 'no/log': {NO_FILE}"),
    (VTEST + '--hang-time=1', '--hang-time=1: a number from 100 to 3600000 is possible'),
]


def multiboot_kernel():
    """The smallest kernel there is: cli, hlt."""
    code = b'\xfa\xf4\xeb\xfd'
    base, flags = 0x100000, 1 << 16  # the header says where everything goes
    end = base + 32 + len(code)
    return struct.pack('<8I', 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xffffffff,
                       base, base, end, 0, base + 32) + code


def bzimage(payload, length):
    """A setup part of four sectors; of the payload, length bytes are promised."""
    image = bytearray(5 * 512)
    image[0x1f1] = 4
    image[0x1fe:0x200] = b'\x55\xaa'
    image[0x202:0x206] = b'HdrS'
    struct.pack_into('<H', image, 0x206, 0x20f)
    image[0x211] = 1  # loaded high
    struct.pack_into('<II', image, 0x248, 0, length)
    return bytes(image) + payload


def make_files():
    elf = b'\x7fELF\2\1\1' + bytes(9) + struct.pack('<HHIQQQIHHHHHH', 2, 62, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    files = {
        'good': multiboot_kernel(),
        'empty': b'',
        'zeros': bytes(65536),
        'script': b'#!/bin/sh\nexit 0\n',
        'suicide': b'#!/bin/sh\nkill -KILL $$\n',
        'elf-header': elf[:7],
        'elf-no-segments': elf,
        'bzimage-cut': bzimage(b'\x1f\x8b\x08', 1 << 20),
        'bzimage-lzo': bzimage(b'\x89LZO\0\r\n\x1a\n' + bytes(64), 73),
        'disk': bytes(1 << 20),
        'large': b'\1' * (4 << 20),
    }
    for name, content in files.items():
        with open(name, 'wb') as file:
            file.write(content)
    os.chmod('suicide', 0o755)
    os.mkdir('folder')


def environment(changes, picture):
    result = {**os.environ, 'LC_ALL': 'C', 'ORIEL_GPU': picture}
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def check(program, says, row, picture):
    """None, or what is wrong."""
    arguments, expected, changes = (*row, {})[:3]
    try:
        done = subprocess.run([program, *shlex.split(arguments)], env=environment(changes, picture),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return 'accepted: still running'
    lines = [line for line in done.stderr.splitlines() if not SANITIZER.match(line)]
    if done.returncode != 1:
        return f'status {done.returncode}, {lines}'
    if len(lines) != 1 or done.stdout:
        return f'not one line on stderr: {done.stdout!r}, {lines}'
    name, _, text = lines[0].partition(': ')
    if name not in says:
        return f'who says that? {lines[0]}'
    if isinstance(expected, str) and text != expected:
        return f'says:   {text}\n    expected: {expected}'
    if not isinstance(expected, str) and not expected.fullmatch(text):
        return f'says:   {text}\n    expected: /{expected.pattern}/'
    return None


def options_with_argument(oriel):
    text = subprocess.run([oriel, '-help'], capture_output=True, text=True, check=True).stdout
    return re.findall(r'^  (-\w[\w-]*) \S', text, re.MULTILINE)


def uncovered(oriel):
    """Options that no row gives a bad value: what takes free text cannot have one."""
    used = {word for row in OPTIONS + FILES for word in shlex.split(row[0]) if word.startswith('-')}
    alone = {'-enable-kvm', '-nodefaults', '-nographic', '-no-reboot', '-S', '-s', '-help', '-h', '-version'}
    return [name for name in options_with_argument(oriel) if name not in used | alone]


def main():
    oriel, picture = map(os.path.abspath, sys.argv[1:3])
    failures = [f'{name}: no row has it' for name in uncovered(oriel)]
    with tempfile.TemporaryDirectory() as folder, socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        os.chdir(folder)
        make_files()
        tcp.bind(('127.0.0.1', 0))
        tcp.listen()
        unix.bind('busy')
        unix.listen()
        places = {'@PORT@': str(tcp.getsockname()[1]), '@BUSY@': 'busy'}
        tables = [(oriel, ['oriel'], OPTIONS), (oriel, ['oriel', 'oriel-gpu'], FILES),
                  (picture, ['oriel-gpu'], PICTURE)]
        if not os.path.exists('/dev/kvm'):
            tables.append((oriel, ['oriel'], [
                ('-kernel good -accel kvm', re.compile(f'-accel kvm: .*/dev/kvm.*{NO_FILE}.*'))]))
        count = 0
        for program, says, rows in tables:
            for row in rows:
                for place, value in places.items():
                    row = (row[0].replace(place, value), *row[1:])
                wrong = check(program, says, row, picture)
                count += 1
                if wrong:
                    failures.append(f'{os.path.basename(program)} {row[0]}\n    {wrong}')
        os.chdir('/')
    print(f'{count} rows, {len(failures)} failures')
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
